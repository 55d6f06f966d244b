package git

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// Ref is what a name in a repository stands for at the moment.
type Ref struct {
	Name string // refs/heads/main, refs/tags/v1; empty for a commit
	Hash string // of the commit, 40 hexadecimal digits
}

// Resolve asks a repository which commit a branch or a tag is, in short or in
// full; an empty name is the default branch, 40 hexadecimal digits are a commit
// already. It makes one attempt. Its errors are *Error and the context's.
func Resolve(ctx context.Context, address, name string, opt Options) (Ref, error) {
	if hashGrammar.MatchString(name) {
		return Ref{Hash: name}, nil
	}
	f := newFetcher(opt)
	ref, err := f.resolve(ctx, address, name)
	var c *cause
	if errors.As(err, &c) && ctx.Err() == nil {
		what := "branch or tag " + name
		if name == "" {
			what = "the default branch"
		}
		return Ref{}, &Error{Name: f.opt.Name, Hash: what, Tried: []Attempt{{address, c.kind, c}}, Ref: true}
	}
	return ref, err
}

func (f *fetcher) resolve(parent context.Context, address, name string) (Ref, error) {
	if strings.HasPrefix(address, "file://") {
		return resolveLocal(address, name)
	}
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	watch := time.AfterFunc(f.opt.Stall, func() { cancel(errStall) })
	defer watch.Stop()
	session, err := f.session(address)
	if err != nil {
		return Ref{}, err
	}
	defer session.Close() //nolint:errcheck // what was to be read is read
	refs, err := session.AdvertisedReferencesContext(ctx)
	switch {
	case parent.Err() != nil:
		return Ref{}, parent.Err()
	case err != nil && errors.Is(context.Cause(ctx), errStall):
		return Ref{}, causef(Unreachable, "stalled: no byte came for a while")
	case err != nil:
		return Ref{}, answered(err)
	}
	return advertised(refs, name)
}

// advertised finds a name among those that a server shows.
func advertised(refs *packp.AdvRefs, name string) (Ref, error) {
	if name == "" {
		for _, link := range refs.Capabilities.Get(capability.SymRef) {
			if target, ok := strings.CutPrefix(link, "HEAD:"); ok {
				name = target
			}
		}
	}
	if name == "" && refs.Head != nil {
		return Ref{Hash: refs.Head.String()}, nil // an old server, or a HEAD that is no branch
	}
	for _, full := range fullNames(name) {
		if commit, ok := refs.Peeled[full]; ok {
			return Ref{full, commit.String()}, nil
		}
		if tip, ok := refs.References[full]; ok {
			return Ref{full, tip.String()}, nil
		}
	}
	return Ref{}, causef(NoCommit, "the repository has no branch or tag %q", name)
}

// fullNames are the names that a short one may stand for, as git looks for them.
func fullNames(name string) []string {
	if strings.HasPrefix(name, "refs/") {
		return []string{name}
	}
	return []string{"refs/heads/" + name, "refs/tags/" + name}
}

func resolveLocal(address, name string) (Ref, error) {
	r, err := openLocal(address)
	if err != nil {
		return Ref{}, err
	}
	refs, ok := r.EncodedObjectStorer.(storer.ReferenceStorer)
	if !ok {
		return Ref{}, causef(NotRepository, "it has no branches")
	}
	names := fullNames(name)
	if name == "" {
		names = []string{string(plumbing.HEAD)}
	}
	for _, full := range names {
		found, err := storer.ResolveReference(refs, plumbing.ReferenceName(full))
		if err != nil {
			continue
		}
		hash := found.Hash()
		if tag, err := object.GetTag(r, hash); err == nil {
			hash = tag.Target
		}
		return Ref{found.Name().String(), hash.String()}, nil
	}
	return Ref{}, causef(NoCommit, "the repository has no branch or tag %q", name)
}
