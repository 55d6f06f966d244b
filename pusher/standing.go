package pusher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Standing is an image that registries hold.
type Standing struct {
	Digest      digest.Digest     // of the manifest
	Config      digest.Digest     // of its configuration
	Annotations map[string]string // of the manifest
}

// errDiffers ends the look at references when one of them names no image, or
// another one.
var errDiffers = errors.New("the references differ")

// Standing gives the one image that all references name, as Push would leave
// them: each the manifest itself or, with index, as PushIndex would: each an
// index with the image as its entry for linux/riscv64. It is false where one of
// them is not there or is anything else. Of the image no more is read than its
// manifest.
func (p *Pusher) Standing(ctx context.Context, refs []string, index bool) (Standing, bool, error) {
	targets, err := places(refs)
	if err != nil || len(targets) == 0 {
		return Standing{}, false, err
	}
	l := &look{index: index}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(p.opt.Parallel)
	for _, t := range targets {
		ep, err := p.endpoint(ctx, t.reference)
		if err != nil {
			_ = group.Wait()
			return Standing{}, false, err
		}
		repo := ep.repository(t.repository)
		for _, tag := range t.tags {
			group.Go(func() error { return l.tag(gctx, ep, repo, subject{"looking up", t.repository, tag}) })
		}
	}
	switch err := group.Wait(); {
	case errors.Is(err, errDiffers):
		return Standing{}, false, nil
	case err != nil:
		return Standing{}, false, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(l.raw, &m); err != nil {
		return Standing{}, false, nil //nolint:nilerr // no image
	}
	return Standing{Digest: l.image.Digest, Config: m.Config.Digest, Annotations: m.Annotations}, true, nil
}

// look is what was found behind references.
type look struct {
	index bool

	mu    sync.Mutex
	image ocispec.Descriptor
	raw   []byte // its manifest
}

// tag follows one tag to its image.
func (l *look) tag(ctx context.Context, ep *endpoint, repo *remote.Repository, at subject) error {
	ctx = auth.AppendRepositoryScope(ctx, repo.Reference, auth.ActionPull)
	desc, err := repo.Manifests().Resolve(ctx, at.object)
	if err == nil && l.index != images.IsIndexType(desc.MediaType) {
		return errDiffers
	}
	if err == nil && l.index {
		desc, err = entryOf(ctx, repo, desc)
	}
	if err == nil {
		err = l.add(ctx, repo, desc)
	}
	if err == nil || errors.Is(err, errDiffers) || errors.Is(err, errdef.ErrNotFound) {
		if err != nil {
			err = errDiffers
		}
		return err
	}
	return ep.fail(ctx, at, err)
}

// entryOf is the entry of an index for linux/riscv64.
func entryOf(ctx context.Context, repo *remote.Repository, index ocispec.Descriptor) (ocispec.Descriptor, error) {
	raw, err := readRemote(ctx, repo.Manifests(), index)
	if err != nil {
		return index, err
	}
	entry, err := choose(raw)
	if err != nil {
		return index, fmt.Errorf("%w: %w", errDiffers, err)
	}
	return entry, nil
}

// add compares an image with the first one, whose manifest is read.
func (l *look) add(ctx context.Context, repo *remote.Repository, desc ocispec.Descriptor) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.raw != nil {
		if desc.Digest != l.image.Digest {
			return errDiffers
		}
		return nil
	}
	if !images.IsManifestType(desc.MediaType) {
		return errDiffers
	}
	raw, err := readRemote(ctx, repo.Manifests(), desc)
	if err != nil {
		return err
	}
	l.image, l.raw = desc, raw
	return nil
}
