package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	// objectCache bounds the memory for objects that others are deltas of.
	objectCache = 32 * cache.MiByte
	// largeObject is the size in bytes from which files are not held in memory.
	largeObject = 8 << 20
	// metadataLimit bounds commits, trees and .gitmodules, which are.
	metadataLimit = 64 << 20
)

// repository has a commit's objects.
type repository struct {
	storer.EncodedObjectStorer
	url    string // where they came from
	dir    string // to remove; empty: none
	commit *object.Commit
}

func (r *repository) close() {
	if r.dir != "" {
		_ = os.RemoveAll(r.dir)
	}
}

// openRepository opens the objects below a directory such as .git.
func openRepository(dir string) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(dir), cache.NewObjectLRU(objectCache), filesystem.Options{
		LargeObjectThreshold: largeObject, AlternatesFS: osfs.New("/"),
	})
}

// openLocal opens a repository of this machine, which need not be copied.
func openLocal(address string) (*repository, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, causef(NotRepository, "%w", err)
	}
	dir := filepath.FromSlash(u.Path)
	if _, err := os.Stat(dir); err != nil {
		return nil, causef(NotRepository, "%w", err)
	}
	for _, d := range []string{dir, filepath.Join(dir, ".git")} {
		if isDir(filepath.Join(d, "objects")) && isDir(filepath.Join(d, "refs")) {
			return &repository{EncodedObjectStorer: openRepository(d), url: address}, nil
		}
	}
	return nil, causef(NotRepository, "there is no git repository in this directory")
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// read gives the content of a small object, which is what its name says.
func (r *repository) read(t plumbing.ObjectType, h plumbing.Hash) ([]byte, error) {
	o, err := r.EncodedObject(t, h)
	if err != nil {
		return nil, causef(Broken, "%s %s: %w", t, h, err)
	}
	if o.Size() > metadataLimit {
		return nil, causef(Broken, "%s %s has %d bytes", t, h, o.Size())
	}
	data := make([]byte, 0, o.Size())
	w := appender{&data}
	if err := copyObject(w, o, h); err != nil {
		return nil, err
	}
	return data, nil
}

type appender struct{ data *[]byte }

func (a appender) Write(p []byte) (int, error) {
	*a.data = append(*a.data, p...)
	return len(p), nil
}

// copyObject writes an object's content, and fails if its hash is not its name.
func copyObject(w io.Writer, o plumbing.EncodedObject, h plumbing.Hash) error {
	r, err := o.Reader()
	if err != nil {
		return causef(Broken, "%s %s: %w", o.Type(), h, err)
	}
	defer r.Close()
	sum := plumbing.NewHasher(o.Type(), o.Size())
	out := &writing{w: w}
	if _, err := io.Copy(io.MultiWriter(out, sum), r); err != nil {
		if out.err != nil {
			return out.err
		}
		return causef(Broken, "%s %s: %w", o.Type(), h, err)
	}
	if got := sum.Sum(); got != h {
		return causef(Broken, "%s %s is damaged: its content has the name %s", o.Type(), h, got)
	}
	return nil
}

// writing remembers an error of the writer, to tell it from the reader's.
type writing struct {
	w   io.Writer
	err error
}

func (w *writing) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// readCommit finds and reads the commit.
func (r *repository) readCommit(h plumbing.Hash) error {
	o, err := r.EncodedObject(plumbing.AnyObject, h)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return causef(NoCommit, "the repository does not have this commit")
	}
	if err != nil {
		return causef(Broken, "commit %s: %w", h, err)
	}
	if o.Type() != plumbing.CommitObject {
		return r.notCommit(o, h)
	}
	data, err := r.read(plumbing.CommitObject, h)
	if err != nil {
		return err
	}
	r.commit = &object.Commit{}
	if err := r.commit.Decode(memoryObject(plumbing.CommitObject, data)); err != nil {
		return causef(Broken, "commit %s: %w", h, err)
	}
	return nil
}

// notCommit says what has the name of a commit, and for a tag which one it is.
func (r *repository) notCommit(o plumbing.EncodedObject, h plumbing.Hash) error {
	tag := &object.Tag{}
	if o.Type() == plumbing.TagObject && tag.Decode(o) == nil && tag.TargetType == plumbing.CommitObject {
		return causef(NotCommit, "this is the tag %q and no commit: it stands for commit %s", tag.Name, tag.Target)
	}
	return causef(NotCommit, "this is a %s and no commit", o.Type())
}

// readTree reads a directory. Names that would leave it, or that git itself
// refuses to write, are refused.
func (r *repository) readTree(h plumbing.Hash) ([]object.TreeEntry, error) {
	data, err := r.read(plumbing.TreeObject, h)
	if err != nil {
		return nil, err
	}
	tree := &object.Tree{}
	if err := tree.Decode(memoryObject(plumbing.TreeObject, data)); err != nil {
		return nil, causef(Broken, "tree %s: %w", h, err)
	}
	seen := map[string]bool{}
	for _, e := range tree.Entries {
		if unsafeName(e.Name) || seen[e.Name] {
			return nil, causef(Broken, "tree %s has an entry %q, which git would not write: the repository may have been made to do harm", h, e.Name)
		}
		seen[e.Name] = true
	}
	return tree.Entries, nil
}

func memoryObject(t plumbing.ObjectType, data []byte) plumbing.EncodedObject {
	o := &plumbing.MemoryObject{}
	o.SetType(t)
	_, _ = o.Write(data) // into memory
	return o
}

// obtainDir makes the directory of one fetched repository.
func (f *fetcher) obtainDir() (string, error) {
	dir, err := os.MkdirTemp(f.opt.Dir, "repository-")
	if err != nil {
		return "", fmt.Errorf("making a directory for %s: %w: check the state directory", f.opt.Name, err)
	}
	return dir, nil
}

// check is what is done with a repository before it is taken.
func (f *fetcher) check(ctx context.Context, r *repository, h plumbing.Hash) error {
	if err := r.readCommit(h); err != nil {
		r.close()
		return err
	}
	return ctx.Err()
}
