package pusher

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// DefaultPlatform is what is chosen where nothing else is asked for.
const DefaultPlatform = "linux/riscv64"

// CopyOptions says what is copied.
type CopyOptions struct {
	Platform string // OS/ARCHITECTURE[/VARIANT] of the image to take; default DefaultPlatform
	All      bool   // the whole index with all platforms and what refers to them, instead of one image
	Scratch  string // directory for what a registry gives, "" for that of the system; emptied at the end
	// Judge looks at every image, its layers readable, before anything is
	// written; its error ends the copy. nil: images are not looked at, and may
	// be for another platform than the index says.
	Judge func(ctx context.Context, img Image, platform ocispec.Platform) error
}

// Copied is what a Copy did.
type Copied struct {
	Digest        digest.Digest `json:"digest"` // of the image or index; that of the source
	To            string        `json:"to"`
	Platforms     []string      `json:"platforms"`
	Manifests     int           `json:"manifests"` // images, indexes and what refers to them
	UploadedBlobs int           `json:"uploaded_blobs"`
	UploadedBytes int64         `json:"uploaded_bytes"`
}

// Copy copies an image from one place to another, both written as CheckPlace has
// them. Manifests are copied as they are, so digests stay. A registry's
// blobs go through a scratch directory. Blobs that the destination has are not
// sent; its tag, or its index.json, is written last. An archive is replaced; a
// layout keeps its other images.
func (p *Pusher) Copy(ctx context.Context, src, dst string, opt CopyOptions) (done Copied, err error) {
	from, err := parseLocation(src)
	if err != nil {
		return done, err
	}
	to, err := parseLocation(dst)
	if err != nil {
		return done, err
	}
	if err := to.writable(opt); err != nil {
		return done, err
	}
	o, err := p.open(ctx, from, opt.Scratch)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	g, err := p.chosen(ctx, o, opt)
	if err != nil {
		return done, err
	}
	if g.external > 0 {
		p.notice("%d layers of %q may not be distributed and stay where they are", g.external, from)
	}
	if err := g.judge(ctx, opt.Judge); err != nil {
		return done, err
	}
	done = Copied{Digest: g.root.desc.Digest, To: to.String(), Platforms: g.platforms(), Manifests: len(g.parts)}
	switch to.kind {
	case kindRegistry:
		var res Result
		res, err = p.send(ctx, g, to.ref)
		done.UploadedBlobs, done.UploadedBytes = res.UploadedBlobs, res.UploadedBytes
	case kindLayout:
		err = g.intoLayout(ctx, to)
	case kindDockerArchive:
		p.notice("a docker archive has no manifest: what loads %q writes one of its own, with another digest; the image ID stays", to.path)
		err = g.intoArchive(ctx, to)
	default:
		err = g.intoArchive(ctx, to)
	}
	return done, err
}

// writable refuses what cannot be written to.
func (l location) writable(opt CopyOptions) error {
	switch {
	case l.kind == kindRegistry && l.ref.digest != "":
		return fmt.Errorf("copying to %q: a digest cannot be pushed to: write a tag", l)
	case l.kind == kindDockerArchive && opt.All:
		return fmt.Errorf("copying to %q: a docker archive holds no index: leave out --all, or copy to an oci-archive", l)
	}
	return nil
}

// chosen reads what is to be copied.
func (p *Pusher) chosen(ctx context.Context, o *origin, opt CopyOptions) (*graph, error) {
	if opt.All {
		r, err := o.only()
		if err != nil {
			return nil, err
		}
		return p.collect(ctx, o, r, true)
	}
	if opt.Platform == "" {
		opt.Platform = DefaultPlatform
	}
	f, err := o.choose(ctx, opt.Platform)
	if err != nil {
		return nil, err
	}
	return p.collect(ctx, o, f.root, false)
}

// judge looks at every image: that it is for the platform under which the
// index has it, and what the caller's judgement is.
func (g *graph) judge(ctx context.Context, look func(context.Context, Image, ocispec.Platform) error) error {
	if look == nil {
		return nil
	}
	for _, p := range g.parts {
		if p.platform.OS == "" {
			continue // no image
		}
		if said := p.said; said.Architecture != "" && (said.OS != p.platform.OS || said.Architecture != p.platform.Architecture) {
			return fmt.Errorf("copying %q: its index says that %q is for %s, its configuration says %s: take another image, or copy it with --allow-other-arch",
				g.from.at, p.desc.Digest, platformName(said), platformName(p.platform))
		}
		if err := look(ctx, Image{g.from, p.desc}, p.platform); err != nil {
			return fmt.Errorf("copying %q, image %q: %w", g.from.at, p.desc.Digest, err)
		}
	}
	return nil
}
