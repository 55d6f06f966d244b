package pusher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// manifestLimit is the largest manifest or index, in bytes, that is read.
const manifestLimit = 4 << 20

// Result is what a Push did.
type Result struct {
	Digest        digest.Digest // of the manifest
	Tags          []string      // every HOST/REPOSITORY:TAG that now resolves to it
	UploadedBlobs int           // layers and configs that were sent; manifests are not counted
	UploadedBytes int64         // their sizes
}

// manifest is an image's manifest with the blobs it names, each once.
type manifest struct {
	image Image
	raw   []byte
	blobs []ocispec.Descriptor
}

// Push sends an image to every reference, [http://|https://]HOST/REPOSITORY:TAG.
// A tag that resolves to the image already costs one request. Else blobs go
// first, in parallel, those the repository has left out and those another
// repository of the registry got in this process mounted from there; then the
// manifest, then the tags in the order given. On an error the Result tells
// what was done until then; a registry's error is an *Error.
func (p *Pusher) Push(ctx context.Context, img Image, refs []string) (Result, error) {
	res := Result{Digest: img.Desc.Digest}
	targets, err := places(refs)
	if err != nil {
		return res, err
	}
	m, err := readManifest(ctx, img)
	if err != nil {
		return res, err
	}
	for _, t := range targets {
		ep, err := p.endpoint(ctx, t.reference)
		if err != nil {
			return res, err
		}
		u := &upload{p: p, ep: ep, repo: ep.repository(t.repository), place: t, m: m, res: &res}
		if err := u.run(ctx); err != nil {
			return res, err
		}
	}
	return res, nil
}

// upload is the push of one image to one repository.
type upload struct {
	p     *Pusher
	ep    *endpoint
	repo  *remote.Repository
	place *place
	m     manifest

	mu  sync.Mutex
	res *Result
}

func (u *upload) run(ctx context.Context) error {
	// One token for all that follows, instead of one to look and one to write.
	ctx = auth.AppendRepositoryScope(ctx, u.repo.Reference, auth.ActionPull, auth.ActionPush)
	wrong, err := u.wrongTags(ctx)
	if err != nil {
		return err
	}
	if len(wrong) == len(u.place.tags) {
		if err := u.content(ctx); err != nil {
			return err
		}
	}
	for _, tag := range wrong {
		if err := u.tag(ctx, tag); err != nil {
			return u.fail(ctx, "pushing tag", tag, err)
		}
	}
	for _, tag := range u.place.tags {
		r := u.place.reference
		r.tag = tag
		u.res.Tags = append(u.res.Tags, r.String())
	}
	return nil
}

// wrongTags gives the tags that do not resolve to the image yet.
func (u *upload) wrongTags(ctx context.Context) ([]string, error) {
	right := make([]bool, len(u.place.tags))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(u.p.opt.Parallel)
	for i, tag := range u.place.tags {
		group.Go(func() error {
			desc, err := u.repo.Manifests().Resolve(gctx, tag)
			if errors.Is(err, errdef.ErrNotFound) {
				return nil
			}
			if err != nil {
				return u.fail(ctx, "looking up tag", tag, err)
			}
			right[i] = desc.Digest == u.m.image.Desc.Digest
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var wrong []string
	for i, tag := range u.place.tags {
		if !right[i] && !slices.Contains(wrong, tag) {
			wrong = append(wrong, tag)
		}
	}
	return wrong, nil
}

// content sends the blobs, then the manifest.
func (u *upload) content(ctx context.Context) error {
	there, err := u.repo.Manifests().Exists(ctx, u.m.image.Desc)
	if err != nil {
		return u.fail(ctx, "looking up manifest", u.m.image.Desc.Digest.String(), err)
	}
	if there {
		return nil
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(u.p.opt.Parallel)
	for _, desc := range u.m.blobs {
		group.Go(func() error { return u.blob(gctx, desc) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	err = u.p.repeat(ctx, func() error {
		return u.repo.Manifests().Push(ctx, u.m.image.Desc, bytes.NewReader(u.m.raw))
	})
	if err != nil {
		return u.fail(ctx, "pushing manifest", u.m.image.Desc.Digest.String(), err)
	}
	return nil
}

// tag lets a tag name the manifest, and reads back what it names: what is
// reported as pushed is what will be pulled.
func (u *upload) tag(ctx context.Context, tag string) error {
	return u.p.repeat(ctx, func() error {
		if err := u.repo.Manifests().PushReference(ctx, u.m.image.Desc, bytes.NewReader(u.m.raw), tag); err != nil {
			return err
		}
		_, body, err := u.repo.Manifests().FetchReference(ctx, tag)
		if err != nil {
			return err
		}
		got, err := u.m.image.Desc.Digest.Algorithm().FromReader(io.LimitReader(body, manifestLimit))
		if err = errors.Join(err, body.Close()); err == nil && got != u.m.image.Desc.Digest {
			err = fmt.Errorf("the tag names %q after it was pushed: somebody else pushed to it, or a cache before the registry is behind", got)
		}
		return err
	})
}

// fail names what was done with what where; the caller's end stays what it is.
func (u *upload) fail(ctx context.Context, op, object string, err error) error {
	return u.ep.fail(ctx, subject{op, u.place.repository, object}, err)
}

// readManifest reads the image's manifest and verifies it.
func readManifest(ctx context.Context, img Image) (manifest, error) {
	m := manifest{image: img}
	if !images.IsManifestType(img.Desc.MediaType) {
		return m, fmt.Errorf("reading image %q: media type %q is no image manifest: choose one image of it", img.Desc.Digest, img.Desc.MediaType)
	}
	var err error
	if m.raw, err = readBlob(ctx, img.Provider, img.Desc); err != nil {
		return m, err
	}
	var parsed ocispec.Manifest
	if err := json.Unmarshal(m.raw, &parsed); err != nil {
		return m, fmt.Errorf("reading manifest %q: %w: build the image again", img.Desc.Digest, err)
	}
	seen := map[digest.Digest]bool{}
	for _, d := range append(slices.Clone(parsed.Layers), parsed.Config) {
		if err := d.Digest.Validate(); err != nil {
			return m, fmt.Errorf("reading manifest %q: digest %q: %w: build the image again", img.Desc.Digest, d.Digest, err)
		}
		if !seen[d.Digest] {
			seen[d.Digest] = true
			m.blobs = append(m.blobs, d)
		}
	}
	return m, nil
}

// readBlob reads a small blob whole and verifies it.
func readBlob(ctx context.Context, from content.Provider, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Size > manifestLimit {
		return nil, fmt.Errorf("reading %q: %d bytes are too many for a manifest or config", desc.Digest, desc.Size)
	}
	raw, err := content.ReadBlob(ctx, from, desc)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w: build the image again", desc.Digest, err)
	}
	if got := desc.Digest.Algorithm().FromBytes(raw); got != desc.Digest {
		return nil, fmt.Errorf("reading %q: the bytes are those of %q: the image is damaged, build it again", desc.Digest, got)
	}
	return raw, nil
}
