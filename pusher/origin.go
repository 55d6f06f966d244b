package pusher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/platforms"
	names "github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// origin is where images are taken from. What a registry holds is read after
// load has brought it into a scratch directory.
type origin struct {
	content.Provider
	at        location
	roots     []root
	load      func(context.Context, ocispec.Descriptor) error
	referrers func(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error)
	close     func() error
}

// root is a named thing of an origin: an image or an index of images.
type root struct {
	desc  ocispec.Descriptor
	names []string
}

// open opens a place for reading. Close the origin after use.
func (p *Pusher) open(ctx context.Context, at location, scratch string) (*origin, error) {
	if at.kind == kindRegistry {
		return p.openRegistry(ctx, at, scratch)
	}
	d, err := openDisk(at.path)
	if err != nil {
		return nil, err
	}
	o := &origin{Provider: d.Provider, at: at, close: d.close, load: func(context.Context, ocispec.Descriptor) error { return nil }}
	if err := o.readIndex(ctx, d.index); err != nil {
		return nil, errors.Join(fmt.Errorf("opening image %q: %w", at, err), d.close())
	}
	return o, nil
}

func (p *Pusher) openRegistry(ctx context.Context, at location, scratch string) (*origin, error) {
	ep, err := p.endpoint(ctx, at.ref)
	if err != nil {
		return nil, err
	}
	d := &download{p: p, ep: ep, repo: ep.repository(at.ref.repository), ref: at.ref}
	desc, err := d.repo.Manifests().Resolve(ctx, at.ref.object())
	if err != nil {
		return nil, d.fail(ctx, "looking up", at.ref.object(), err)
	}
	dir, remove, err := Scratch(scratch)
	if err != nil {
		return nil, err
	}
	o := &origin{at: at, roots: []root{{desc: desc}}, close: remove}
	store, err := local.NewStore(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making a directory for image %q: %w: free some space or set TMPDIR", at, err), o.close())
	}
	d.dst, o.Provider = store, store
	if at.ref.tag != "" {
		o.roots[0].names = []string{at.ref.String()}
	}
	o.load = func(ctx context.Context, desc ocispec.Descriptor) error {
		if err := desc.Digest.Validate(); err != nil {
			return fmt.Errorf("pulling %q: digest %q: %w: the image is damaged", at, desc.Digest, err)
		}
		if isManifest(desc) {
			return d.into(ctx, d.repo.Manifests(), desc)
		}
		return d.into(ctx, d.repo.Blobs(), desc)
	}
	o.referrers = func(ctx context.Context, desc ocispec.Descriptor) (all []ocispec.Descriptor, err error) {
		err = d.repo.Referrers(ctx, desc, "", func(some []ocispec.Descriptor) error {
			all = append(all, some...)
			return nil
		})
		if err != nil {
			err = d.fail(ctx, "listing referrers", desc.Digest.String(), err)
		}
		return all, err
	}
	return o, nil
}

// isManifest says whether a registry keeps the thing among its manifests.
func isManifest(desc ocispec.Descriptor) bool {
	return images.IsIndexType(desc.MediaType) || images.IsManifestType(desc.MediaType)
}

// readIndex finds the roots of a layout's index, and what refers to them.
func (o *origin) readIndex(ctx context.Context, raw []byte) error {
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return fmt.Errorf("reading index.json: %w: write the layout again", err)
	}
	of := map[digest.Digest][]ocispec.Descriptor{}
	for _, desc := range index.Manifests {
		if !isManifest(desc) {
			continue
		}
		content, err := readBlob(ctx, o, desc)
		if err != nil {
			return err
		}
		var m ocispec.Manifest
		if err := json.Unmarshal(content, &m); err != nil {
			return fmt.Errorf("reading manifest %q: %w: write the layout again", desc.Digest, err)
		}
		if m.Subject != nil {
			of[m.Subject.Digest] = append(of[m.Subject.Digest], desc)
			continue
		}
		o.addRoot(desc)
	}
	o.referrers = func(_ context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return of[desc.Digest], nil
	}
	return nil
}

// addRoot adds an entry of index.json; several names of one image are one root.
func (o *origin) addRoot(desc ocispec.Descriptor) {
	if o.at.name != "" && !named(desc, o.at.name) {
		return
	}
	i := slices.IndexFunc(o.roots, func(r root) bool { return r.desc.Digest == desc.Digest })
	if i < 0 {
		i, o.roots = len(o.roots), append(o.roots, root{desc: desc})
	}
	if name := nameOf(desc); name != "" {
		o.roots[i].names = append(o.roots[i].names, name)
	}
}

// named says whether an entry of index.json goes by a name: its tag, or the
// full name in any of its spellings.
func named(desc ocispec.Descriptor, name string) bool {
	full := desc.Annotations[annotationImage]
	if name == full || name == desc.Annotations[ocispec.AnnotationRefName] {
		return true
	}
	a, errA := names.ParseDockerRef(full)
	b, errB := names.ParseDockerRef(name)
	if errA != nil {
		return false
	}
	tagged, ok := a.(names.NamedTagged)
	return ok && tagged.Tag() == name || errB == nil && a.String() == b.String()
}

// found is an image of an origin.
type found struct {
	root
	platform ocispec.Platform // as the index says, else as its own configuration does
}

// images lists the images below a root, those of nested indexes too.
func (o *origin) images(ctx context.Context, r root) ([]found, error) {
	if err := o.load(ctx, r.desc); err != nil {
		return nil, err
	}
	raw, err := readBlob(ctx, o, r.desc)
	if err != nil {
		return nil, err
	}
	if !images.IsIndexType(r.desc.MediaType) {
		platform, err := o.platform(ctx, raw)
		return []found{{root: r, platform: platform}}, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("reading index %q: %w", r.desc.Digest, err)
	}
	var all []found
	for _, desc := range index.Manifests {
		switch {
		case !isManifest(desc), desc.Platform != nil && desc.Platform.OS == "unknown": // an attestation
		case desc.Platform != nil && !images.IsIndexType(desc.MediaType):
			all = append(all, found{root: root{desc, r.names}, platform: *desc.Platform})
		default:
			below, err := o.images(ctx, root{desc, r.names})
			if err != nil {
				return nil, err
			}
			all = append(all, below...)
		}
	}
	return all, nil
}

// platform reads the platform of a manifest's configuration; it is empty where
// the manifest is no image.
func (o *origin) platform(ctx context.Context, manifest []byte) (ocispec.Platform, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return ocispec.Platform{}, fmt.Errorf("reading a manifest of %q: %w", o.at, err)
	}
	if !images.IsConfigType(m.Config.MediaType) {
		return ocispec.Platform{}, nil
	}
	if err := o.load(ctx, m.Config); err != nil {
		return ocispec.Platform{}, err
	}
	if p := platformOf(o, m.Config); p != nil {
		return *p, nil
	}
	return ocispec.Platform{}, nil
}

// choose takes the image for a platform, and refuses an origin that has none
// or several.
func (o *origin) choose(ctx context.Context, want string) (found, error) {
	platform, err := platforms.Parse(want)
	if err != nil {
		return found{}, fmt.Errorf("reading platform %q: %w: write OS/ARCHITECTURE, for example linux/riscv64", want, err)
	}
	var all, fit []found
	for _, r := range o.roots {
		below, err := o.images(ctx, r)
		if err != nil {
			return found{}, err
		}
		all = append(all, below...)
	}
	match := platforms.OnlyStrict(platform)
	for _, f := range all {
		if match.Match(f.platform) && !slices.ContainsFunc(fit, func(g found) bool { return g.desc.Digest == f.desc.Digest }) {
			fit = append(fit, f)
		}
	}
	switch {
	case len(all) == 0 && o.at.name != "":
		return found{}, fmt.Errorf("choosing an image of %q: there is none of that name: look into its index.json", o.at)
	case len(all) == 0:
		return found{}, fmt.Errorf("choosing an image of %q: there is no image in it: name another", o.at)
	case len(fit) == 0:
		return found{}, fmt.Errorf("choosing an image of %q: there is no %s image, only %s: take another image, build one, or name one of these with --platform",
			o.at, want, strings.Join(platformNames(all), ", "))
	case len(fit) > 1 && len(o.roots) > 1:
		return found{}, o.several()
	}
	return fit[0], nil
}

// only gives the single root of an origin that is copied whole.
func (o *origin) only() (root, error) {
	switch len(o.roots) {
	case 0:
		return root{}, fmt.Errorf("choosing an image of %q: there is none, or none of that name: look into its index.json", o.at)
	case 1:
		return o.roots[0], nil
	}
	return root{}, o.several()
}

func (o *origin) several() error {
	var all []string
	for _, r := range o.roots {
		all = append(all, strings.Join(append(slices.Clone(r.names), r.desc.Digest.String()), " "))
	}
	return fmt.Errorf("choosing an image of %q: it holds %d, %s: name one as %s:%s:NAME", o.at, len(all), strings.Join(all, ", "), o.at.kind, o.at.path)
}

// platformNames lists platforms, each once, sorted.
func platformNames(all []found) []string {
	var list []string
	for _, f := range all {
		list = append(list, platformName(f.platform))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// platformName is OS/ARCHITECTURE[/VARIANT].
func platformName(p ocispec.Platform) string {
	if p.OS == "" || p.Architecture == "" {
		return "unknown"
	}
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}
