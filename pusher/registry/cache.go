package registry

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"sync"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/pusher"
)

// cache answers with another registry's content and keeps it in the store. What
// is named by its digest comes from the store, once it is there. What a tag
// names is asked for each time; when the other registry gives no answer, what
// the tag named last is given.
type cache struct {
	*Store
	upstream *pusher.Remote
	log      *slog.Logger // nil: nothing

	mu        sync.Mutex
	downloads map[digest.Digest]*download
}

var _ ociregistry.Interface = (*cache)(nil)

func newCache(s *Store, upstream *pusher.Remote, log *slog.Logger) *cache {
	return &cache{Store: s, upstream: upstream, log: log, downloads: map[digest.Digest]*download{}}
}

// refusal is the error of a push.
func (c *cache) refusal() error {
	return ociregistry.NewError("this is a cache of "+c.upstream.String()+" that takes no pushes and deletes nothing: push to "+c.upstream.String()+
		" itself, or to a registry at another address", ociregistry.ErrUnsupported.Code(), nil)
}

func (c *cache) warn(what string, attrs ...any) {
	if c.log != nil {
		c.log.Warn(what, attrs...)
	}
}

// upstreamError gives an error of the other registry in the form of this one.
func upstreamError(err, unknown error) error {
	switch {
	case err == nil:
		return nil
	case pusher.IsNotFound(err):
		return unknown
	case pusher.Limited(err):
		return ociregistry.NewError(err.Error(), ociregistry.ErrTooManyRequests.Code(), nil)
	}
	return &statusError{ociregistry.NewError(err.Error(), "UNKNOWN", nil), http.StatusBadGateway}
}

// GetTag reads the manifest that a tag names now.
func (c *cache) GetTag(ctx context.Context, repo, tag string) (ociregistry.BlobReader, error) {
	return c.manifest(ctx, repo, reference{tag: tag})
}

// GetManifest reads a manifest.
func (c *cache) GetManifest(ctx context.Context, repo string, d digest.Digest) (ociregistry.BlobReader, error) {
	return c.manifest(ctx, repo, reference{digest: d})
}

// ResolveTag describes the manifest that a tag names now.
func (c *cache) ResolveTag(ctx context.Context, repo, tag string) (ociregistry.Descriptor, error) {
	return described(c.manifest(ctx, repo, reference{tag: tag}))
}

// ResolveManifest describes a manifest.
func (c *cache) ResolveManifest(ctx context.Context, repo string, d digest.Digest) (ociregistry.Descriptor, error) {
	return described(c.manifest(ctx, repo, reference{digest: d}))
}

func described(r ociregistry.BlobReader, err error) (ociregistry.Descriptor, error) {
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	return r.Descriptor(), r.Close()
}

func (c *cache) manifest(ctx context.Context, repo string, ref reference) (ociregistry.BlobReader, error) {
	if err := checkName(repo); err != nil {
		return nil, err
	}
	kept, keptErr := c.openManifest(repo, ref)
	if ref.tag == "" && keptErr == nil {
		return kept, nil
	}
	desc, err := c.upstream.Resolve(ctx, repo, ref.String())
	if err == nil && keptErr == nil && kept.Descriptor().Digest == desc.Digest {
		return kept, nil
	}
	var raw []byte
	if err == nil {
		raw, err = c.upstream.Manifest(ctx, repo, desc)
	}
	if err != nil && keptErr == nil && !pusher.IsNotFound(err) {
		c.warn("the other registry gives no answer: what it had last is given", "repository", repo, "tag", ref.tag, "digest", kept.Descriptor().Digest, "error", err.Error())
		return kept, nil
	}
	if err != nil {
		return nil, upstreamError(err, ociregistry.ErrManifestUnknown)
	}
	desc = ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	in := pushed{digest: desc.Digest, contentType: desc.MediaType, raw: raw}
	if ref.tag != "" {
		in.tags = []string{ref.tag}
	}
	if err := c.keepManifest(repo, in, desc); err != nil {
		c.warn("storing a manifest", "repository", repo, "reference", ref.String(), "error", err.Error())
	}
	return &memoryReader{bytes.NewReader(raw), desc}, nil
}

// keepManifest stores a manifest that was verified; what it names comes when it
// is asked for.
func (c *cache) keepManifest(repo string, p pushed, desc ocispec.Descriptor) error {
	doc, _, err := readDocument(p.contentType, p.raw)
	if err != nil {
		return err
	}
	c.changing(repo).Lock()
	defer c.changing(repo).Unlock()
	release, err := c.shared()
	if err != nil {
		return err
	}
	defer release()
	return c.linkManifest(repo, p, doc.descriptor(desc), doc.Subject)
}

// ResolveBlob describes a blob.
func (c *cache) ResolveBlob(ctx context.Context, repo string, d digest.Digest) (ociregistry.Descriptor, error) {
	desc, err := c.Store.ResolveBlob(ctx, repo, d)
	if err == nil {
		return desc, nil
	}
	if err := errors.Join(checkName(repo), checkDigest(d)); err != nil {
		return desc, err
	}
	desc, err = c.upstream.Stat(ctx, repo, d)
	return ociregistry.Descriptor{MediaType: octets, Digest: d, Size: desc.Size}, upstreamError(err, ociregistry.ErrBlobUnknown)
}

// GetBlob opens a blob, which may still be on its way.
func (c *cache) GetBlob(ctx context.Context, repo string, d digest.Digest) (ociregistry.BlobReader, error) {
	return c.GetBlobRange(ctx, repo, d, 0, -1)
}

// GetBlobRange opens a part of a blob. The other registry is asked whether the
// repository has it, even if another repository's download can be shared.
func (c *cache) GetBlobRange(ctx context.Context, repo string, d digest.Digest, offset0, offset1 int64) (ociregistry.BlobReader, error) {
	r, err := c.Store.GetBlobRange(ctx, repo, d, offset0, offset1)
	if err == nil || errors.Is(err, ociregistry.ErrRangeInvalid) {
		return r, err
	}
	desc, err := c.ResolveBlob(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	if offset0 > 0 && offset0 >= desc.Size {
		return nil, ociregistry.ErrRangeInvalid
	}
	if have, err := c.size(d, ociregistry.ErrBlobUnknown); err == nil && have == desc.Size {
		if err := c.share(repo, d); err != nil {
			return nil, err
		}
		return c.Store.GetBlobRange(ctx, repo, d, offset0, offset1)
	}
	end := desc.Size
	if offset1 >= 0 {
		end = min(end, offset1)
	}
	return c.follow(ctx, repo, desc, extent{offset0, end})
}

// share gives a repository a blob that another has.
func (c *cache) share(repo string, d digest.Digest) error {
	release, err := c.shared()
	if err != nil {
		return err
	}
	defer release()
	if err := c.touch(c.blobPath(d)); err != nil {
		return err
	}
	return c.linkBlob(repo, d)
}

// Tags gives the other registry's tags, or those that are stored if it does
// not answer.
func (c *cache) Tags(ctx context.Context, repo, startAfter string) iter.Seq2[string, error] {
	all, err := c.upstream.Tags(ctx, repo)
	switch {
	case err == nil:
		return after(startAfter, func() ([]string, error) { return all, nil })
	case pusher.IsNotFound(err):
		return after(startAfter, func() ([]string, error) { return nil, ociregistry.ErrNameUnknown })
	}
	c.warn("the other registry gives no answer: the tags that are stored are given", "repository", repo, "error", err.Error())
	return c.Store.Tags(ctx, repo, startAfter)
}

// Referrers gives the other registry's, or those that are stored if it does
// not answer.
func (c *cache) Referrers(ctx context.Context, repo string, d digest.Digest, artifactType string) iter.Seq2[ociregistry.Descriptor, error] {
	all, err := c.upstream.Referrers(ctx, repo, d)
	if err != nil {
		c.warn("the other registry gives no answer: the referrers that are stored are given", "repository", repo, "error", err.Error())
		return c.Store.Referrers(ctx, repo, d, artifactType)
	}
	return func(yield func(ociregistry.Descriptor, error) bool) {
		for _, desc := range all {
			if (artifactType == "" || desc.ArtifactType == artifactType) && !yield(desc, nil) {
				return
			}
		}
	}
}
