package pusher

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// defaultArtifactTag is not "latest", so that a cache does not take the place of
// an image.
const defaultArtifactTag = "cache"

// Artifact is a manifest at a tag of a registry whose blobs are pulled one by
// one, when they are wanted.
type Artifact struct {
	p   *Pusher
	ref reference
}

// Artifact gives the artifact at [http://|https://]HOST/REPOSITORY[:TAG]; the
// tag is "cache" where none is written.
func (p *Pusher) Artifact(ref string) (*Artifact, error) {
	r, err := parseArtifact(ref)
	if err != nil {
		return nil, err
	}
	return &Artifact{p: p, ref: r}, nil
}

// CheckArtifact says what is wrong with the name of an artifact.
func CheckArtifact(ref string) error {
	_, err := parseArtifact(ref)
	return err
}

func parseArtifact(ref string) (reference, error) {
	if !strings.Contains(ref[strings.LastIndexByte(ref, '/')+1:], ":") {
		ref += ":" + defaultArtifactTag
	}
	r, err := parseRef(ref)
	if err == nil && r.digest != "" {
		err = fmt.Errorf("reading image name %q: a digest cannot be written to: write a tag", ref)
	}
	return r, err
}

// String is the artifact's name.
func (a *Artifact) String() string { return a.ref.String() }

// Open pulls the manifest and its config into a store.
func (a *Artifact) Open(ctx context.Context, dst content.Store) (ocispec.Descriptor, error) {
	ctx, d, err := a.download(ctx, dst)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc, err := d.repo.Manifests().Resolve(ctx, a.ref.object())
	if err != nil {
		return desc, d.fail(ctx, "looking up", a.ref.object(), err)
	}
	if !images.IsManifestType(desc.MediaType) {
		return desc, fmt.Errorf("pulling %q: media type %q is no manifest: name another tag", a.ref, desc.MediaType)
	}
	if _, err := d.manifest(ctx, desc); err != nil {
		return desc, err
	}
	m, err := readManifest(ctx, Image{dst, desc})
	if err != nil {
		return desc, err
	}
	// The config is the last of the blobs, unless a layer is the same.
	return desc, d.into(ctx, d.repo.Blobs(), m.blobs[len(m.blobs)-1])
}

// Fetch pulls a blob into a store.
func (a *Artifact) Fetch(ctx context.Context, blob ocispec.Descriptor, dst content.Store) error {
	ctx, d, err := a.download(ctx, dst)
	if err != nil {
		return err
	}
	return d.into(ctx, d.repo.Blobs(), blob)
}

// Write pushes a manifest with its blobs to the tag.
func (a *Artifact) Write(ctx context.Context, manifest Image) error {
	_, err := a.p.Push(ctx, manifest, []string{a.ref.scheme + a.ref.String()})
	return err
}

func (a *Artifact) download(ctx context.Context, dst content.Store) (context.Context, *download, error) {
	ep, err := a.p.endpoint(ctx, a.ref)
	if err != nil {
		return ctx, nil, err
	}
	d := &download{p: a.p, ep: ep, repo: ep.repository(a.ref.repository), ref: a.ref, dst: dst}
	return auth.AppendRepositoryScope(ctx, d.repo.Reference, auth.ActionPull), d, nil
}
