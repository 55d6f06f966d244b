package pusher

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Remote reads one registry, or what is below a prefix of it, for a program
// that answers others with it. How the registry is spoken to is found out when
// it is first asked, and again after it could not be reached.
type Remote struct {
	p      *Pusher
	target string
	host   string // with the scheme that was written
	prefix string
}

// Remote gives a registry's reading side. target is as ParseTarget takes it.
func (p *Pusher) Remote(target string) (*Remote, error) {
	host, prefix, err := ParseTarget(target)
	if err != nil {
		return nil, err
	}
	return &Remote{p: p, target: strings.TrimRight(target, "/"), host: host, prefix: prefix}, nil
}

// String is the registry as it was named.
func (r *Remote) String() string { return r.target }

// asked is one request to a repository.
type asked struct {
	*remote.Repository
	ep  *endpoint
	at  subject
	key string
	p   *Pusher
}

func (r *Remote) ask(ctx context.Context, op, repository, object string) (context.Context, *asked, error) {
	scheme, host := cutScheme(r.host)
	ref := reference{scheme: scheme, host: host, repository: path.Join(r.prefix, repository)}
	ep, err := r.p.endpoint(ctx, ref)
	if err != nil {
		return ctx, nil, err
	}
	a := &asked{Repository: ep.repository(ref.repository), ep: ep, at: subject{op, ref.repository, object}, key: scheme + host, p: r.p}
	return auth.AppendRepositoryScope(ctx, a.Reference, auth.ActionPull), a, nil
}

// fail makes the error of a request, and forgets how the registry is spoken to
// if it was not there: what a probe said then is worth nothing.
func (a *asked) fail(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	err = a.ep.fail(ctx, a.at, err)
	if ctx.Err() == nil && Unreachable(err) {
		a.p.mu.Lock()
		defer a.p.mu.Unlock()
		delete(a.p.endpoints, a.key)
	}
	return err
}

// Resolve describes the manifest that a tag or digest names.
func (r *Remote) Resolve(ctx context.Context, repository, object string) (ocispec.Descriptor, error) {
	ctx, a, err := r.ask(ctx, "looking up", repository, object)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc, err := a.Manifests().Resolve(ctx, object)
	return desc, a.fail(ctx, err)
}

// Manifest reads a manifest, and verifies its digest.
func (r *Remote) Manifest(ctx context.Context, repository string, desc ocispec.Descriptor) ([]byte, error) {
	ctx, a, err := r.ask(ctx, "pulling", repository, desc.Digest.String())
	if err != nil {
		return nil, err
	}
	raw, err := readRemote(ctx, a.Manifests(), desc)
	return raw, a.fail(ctx, err)
}

// Stat describes a blob.
func (r *Remote) Stat(ctx context.Context, repository string, d digest.Digest) (ocispec.Descriptor, error) {
	ctx, a, err := r.ask(ctx, "looking up", repository, d.String())
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc, err := a.Blobs().Resolve(ctx, d.String())
	return desc, a.fail(ctx, err)
}

// Blob opens a blob at an offset. The bytes are not verified.
func (r *Remote) Blob(ctx context.Context, repository string, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	ctx, a, err := r.ask(ctx, "pulling", repository, desc.Digest.String())
	if err != nil {
		return nil, err
	}
	body, err := a.Blobs().Fetch(ctx, desc)
	if err == nil && offset > 0 {
		if seeker, ok := body.(io.Seeker); ok {
			_, err = seeker.Seek(offset, io.SeekStart)
		} else {
			_, err = io.CopyN(io.Discard, body, offset)
		}
		if err != nil {
			err = errors.Join(err, body.Close())
		}
	}
	return body, a.fail(ctx, err)
}

// Tags lists a repository's tags, sorted.
func (r *Remote) Tags(ctx context.Context, repository string) ([]string, error) {
	ctx, a, err := r.ask(ctx, "listing tags", repository, "")
	if err != nil {
		return nil, err
	}
	var tags []string
	err = a.Repository.Tags(ctx, "", func(some []string) error {
		tags = append(tags, some...)
		return nil
	})
	slices.Sort(tags)
	return tags, a.fail(ctx, err)
}

// Referrers lists the manifests whose subject is d.
func (r *Remote) Referrers(ctx context.Context, repository string, d digest.Digest) ([]ocispec.Descriptor, error) {
	ctx, a, err := r.ask(ctx, "listing referrers", repository, d.String())
	if err != nil {
		return nil, err
	}
	var all []ocispec.Descriptor
	err = a.Repository.Referrers(ctx, ocispec.Descriptor{Digest: d}, "", func(some []ocispec.Descriptor) error {
		all = append(all, some...)
		return nil
	})
	return all, a.fail(ctx, err)
}

// Limited says whether a registry refused for now: too many requests.
func Limited(err error) bool {
	var e *Error
	var status statusError
	return errors.As(err, &e) && errors.As(e.Err, &status) && status.resp.StatusCode == http.StatusTooManyRequests
}
