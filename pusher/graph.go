package pusher

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// graph is an image, or an index with all it leads to, in an order in which it
// can be pushed: what is named goes before what names it.
type graph struct {
	from     *origin
	root     root
	parts    []part
	external int // layers that lie elsewhere and are not copied

	seen map[digest.Digest]bool
}

// part is a manifest or an index with the blobs it names itself.
type part struct {
	desc     ocispec.Descriptor
	raw      []byte
	blobs    []ocispec.Descriptor
	platform ocispec.Platform // of an image, by its own configuration
	said     ocispec.Platform // of an image, by the index that names it
}

// collect reads the manifests that a root leads to, and brings their blobs.
func (p *Pusher) collect(ctx context.Context, from *origin, r root, referrers bool) (*graph, error) {
	g := &graph{from: from, root: r, seen: map[digest.Digest]bool{}}
	if err := g.add(ctx, r.desc); err != nil {
		return nil, err
	}
	for i := 0; referrers && i < len(g.parts); i++ { // what refers to a referrer too
		more, err := from.referrers(ctx, g.parts[i].desc)
		if err != nil {
			return nil, err
		}
		for _, desc := range more {
			if err := g.add(ctx, desc); err != nil {
				return nil, err
			}
		}
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(p.opt.Parallel)
	for _, part := range g.parts {
		for _, b := range part.blobs {
			group.Go(func() error { return from.load(gctx, b) })
		}
	}
	return g, group.Wait()
}

// add appends a manifest after what it names.
func (g *graph) add(ctx context.Context, desc ocispec.Descriptor) error {
	if g.seen[desc.Digest] {
		return nil
	}
	g.seen[desc.Digest] = true
	if err := g.from.load(ctx, desc); err != nil {
		return err
	}
	raw, err := readBlob(ctx, g.from, desc)
	if err != nil {
		return err
	}
	var m struct {
		Manifests, Layers []ocispec.Descriptor
		Config            *ocispec.Descriptor
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("reading manifest %q of %q: %w", desc.Digest, g.from.at, err)
	}
	one := part{desc: ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}, raw: raw}
	if desc.Platform != nil {
		one.said = *desc.Platform
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
		if one.platform, err = g.from.platform(ctx, raw); err != nil {
			return err
		}
	}
	for _, d := range append(m.Manifests, m.Layers...) {
		switch {
		case d.Digest.Validate() != nil:
			return fmt.Errorf("reading manifest %q of %q: %q is no digest: the image is damaged", desc.Digest, g.from.at, d.Digest)
		case isManifest(d):
			if err := g.add(ctx, d); err != nil {
				return err
			}
		case images.IsNonDistributable(d.MediaType):
			g.external++ // OCI image-spec, layer.md: "Non-Distributable Layers"
		case !g.seen[d.Digest]:
			g.seen[d.Digest] = true
			one.blobs = append(one.blobs, d)
		}
	}
	g.parts = append(g.parts, one)
	return nil
}

// platforms lists the platforms of the images.
func (g *graph) platforms() []string {
	var all []found
	for _, p := range g.parts {
		if p.platform.OS != "" {
			all = append(all, found{platform: p.platform})
		}
	}
	return platformNames(all)
}

// send pushes the parts in order, the tag last.
func (p *Pusher) send(ctx context.Context, g *graph, to reference) (Result, error) {
	res := Result{Digest: g.root.desc.Digest}
	ep, err := p.endpoint(ctx, to)
	if err != nil {
		return res, err
	}
	repo := ep.repository(to.repository)
	repo.SkipReferrersGC = true // nothing is deleted where referrers are kept under tags
	from := g.from.at.ref
	whole := &upload{p: p, ep: ep, repo: repo, place: &place{to, []string{to.tag}}, res: &res}
	for _, part := range g.parts {
		if from.host == to.host && from.scheme == to.scheme {
			for _, b := range part.blobs {
				ep.has(b.Digest, from.repository) // to be mounted from there
			}
		}
		whole.m = manifest{image: Image{g.from, part.desc}, raw: part.raw, blobs: part.blobs}
		if err := whole.content(ctx); err != nil {
			return res, err
		}
	}
	i := 0
	for g.parts[i].desc.Digest != g.root.desc.Digest {
		i++
	}
	whole.m = manifest{image: Image{g.from, g.parts[i].desc}, raw: g.parts[i].raw, blobs: g.parts[i].blobs}
	return res, whole.run(ctx)
}
