package pusher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Inspection is what lies at a place, and one image of it.
type Inspection struct {
	Ref       string
	Digest    digest.Digest // of what the reference names: an image or an index
	MediaType string
	Images    []ImageInfo // all of them

	// The image that was chosen, with its blobs readable; without Manifest there
	// is none for the platform, and several others.
	Image    Image
	Manifest *ocispec.Manifest
	Platform ocispec.Platform
}

// Inspect reads what lies at a place (see CheckPlace) and hands it to show; blobs of
// a registry are readable until show returns. It chooses the image for
// opt.Platform, by default that for linux/riscv64, or the only one.
func (p *Pusher) Inspect(ctx context.Context, src string, opt CopyOptions, show func(*Inspection) error) (err error) {
	at, err := parseLocation(src)
	if err != nil {
		return err
	}
	o, err := p.open(ctx, at, opt.Scratch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	in := &Inspection{Ref: at.String()}
	var all []found
	for _, r := range o.roots {
		below, err := o.images(ctx, r)
		if err != nil {
			return err
		}
		all = append(all, below...)
	}
	if len(o.roots) == 1 {
		in.Digest, in.MediaType = o.roots[0].desc.Digest, o.roots[0].desc.MediaType
	}
	for _, f := range all {
		info, err := o.info(ctx, f)
		if err != nil {
			return err
		}
		in.Images = append(in.Images, info)
	}
	one, err := o.inspected(ctx, all, opt.Platform)
	if err != nil {
		return err
	}
	if one != nil {
		g, err := p.collect(ctx, o, one.root, false)
		if err != nil {
			return err
		}
		last := g.parts[len(g.parts)-1]
		in.Image, in.Platform, in.Manifest = Image{o, last.desc}, last.platform, &ocispec.Manifest{}
		if err := json.Unmarshal(last.raw, in.Manifest); err != nil {
			return fmt.Errorf("reading manifest %q of %q: %w", last.desc.Digest, at, err)
		}
	}
	return show(in)
}

// inspected chooses the image to look into; nil if none comes before others.
func (o *origin) inspected(ctx context.Context, all []found, platform string) (*found, error) {
	if platform == "" && len(all) == 1 {
		return &all[0], nil
	}
	if platform == "" {
		if !slices.ContainsFunc(all, func(f found) bool { return Riscv64([]string{platformName(f.platform)}) }) {
			return nil, nil
		}
		platform = DefaultPlatform
	}
	f, err := o.choose(ctx, platform)
	return &f, err
}

// info describes an image by its manifest and configuration.
func (o *origin) info(ctx context.Context, f found) (ImageInfo, error) {
	info := ImageInfo{Platform: platformName(f.platform), Digest: f.desc.Digest}
	if err := o.load(ctx, f.desc); err != nil {
		return info, err
	}
	raw, err := readBlob(ctx, o, f.desc)
	if err != nil {
		return info, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return info, fmt.Errorf("reading manifest %q of %q: %w", f.desc.Digest, o.at, err)
	}
	if err := o.load(ctx, m.Config); err != nil {
		return info, err
	}
	if raw, err = readBlob(ctx, o, m.Config); err != nil {
		return info, err
	}
	info.fill(m, raw)
	return info, nil
}

// fill notes sizes and the time of creation.
func (i *ImageInfo) fill(m ocispec.Manifest, config []byte) {
	i.blobs = append([]ocispec.Descriptor{m.Config}, m.Layers...)
	i.Size = 0
	for _, b := range i.blobs {
		i.Size += b.Size
	}
	var c ocispec.Image
	if json.Unmarshal(config, &c) != nil {
		return
	}
	if i.Created = c.Created; c.OS != "" {
		i.Platform = platformName(c.Platform)
	}
}
