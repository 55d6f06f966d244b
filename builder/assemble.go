package builder

import (
	"archive/tar"
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/debian/rootfs"
	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// compressFormat changes when the compressor or its level does.
const compressFormat = "klauspost-gzip-9"

// assemble makes the image: base, packages, artifacts, files; each a layer, so
// that images share what they have in common and a changed file is a small
// upload.
func (b *Builder) assemble(ctx context.Context, p *plan, g *graphs, art *image.Layer) (imageEntry, error) {
	r := p.req.Recipe
	layers, packages, err := b.packageLayers(ctx, libraryRequest{p: p, g: g, art: art})
	if err != nil {
		return imageEntry{}, fmt.Errorf("assembling the image of recipe %q: %w", r.Name, err)
	}
	if art != nil {
		layers = append(layers, *art)
	}
	files, err := b.filesLayer(ctx, p, layers)
	if err != nil {
		return imageEntry{}, fmt.Errorf("assembling the image of recipe %q: %w", r.Name, err)
	}
	if files != nil {
		layers = append(layers, *files)
	}
	if r.Image.Squash {
		one, err := b.squash(ctx, p, layers)
		if err != nil {
			return imageEntry{}, err
		}
		layers = []image.Layer{one}
	}
	for i := range layers {
		if layers[i], err = b.compressed(ctx, layers[i]); err != nil {
			return imageEntry{}, err
		}
	}
	desc, err := image.Write(ctx, b.store.Content(), image.Spec{
		Platform: image.Platform, Config: imageConfig(r, p.base), Layers: layers, Annotations: annotations(r, p.base, b.inputs(p)), Created: p.date,
	})
	return imageEntry{Desc: desc, Packages: packages}, err
}

// packageLayers are the layers of the base and of the packages that the recipe
// names or its artifacts need, and the IDs of all packages in them.
func (b *Builder) packageLayers(ctx context.Context, req libraryRequest) ([]image.Layer, []string, error) {
	p, r := req.p, req.p.req.Recipe
	own, err := p.packages("image/" + r.Name)
	if err != nil {
		return nil, nil, err
	}
	if own, err = p.onTop(own); err != nil {
		return nil, nil, err
	}
	out, err := b.baseLayers(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	spec := rootfs.Spec{Purpose: rootfs.Runtime, Exclude: r.Image.Exclude, Setuid: r.Image.Setuid, Unpacked: r.Image.MaintainerScripts}
	if r.OnScratch() {
		more, err := b.scratchLayers(ctx, own, spec, req)
		return append(out, more...), p.ids(own), err
	}
	needs, err := b.needs(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	b.cfg.Display.Verbose("%s: the artifacts need the libraries of %v", r.Name, needs.Packages)
	if own, err = p.withLibraries(own, needs.Packages); err != nil {
		return nil, nil, err
	}
	specs, err := p.packageSpecs(own, spec)
	if err != nil {
		return nil, nil, err
	}
	for i, s := range specs {
		note := r.Image.Base
		if i > 0 || p.base != nil {
			note = "packages of " + r.Name
		}
		l, err := b.packageLayer(ctx, p, note, s)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, l.Layer)
	}
	if r.Image.MaintainerScripts {
		out, err = b.configured(ctx, p, out)
	}
	return out, p.ids(own), err
}

// packageSpecs are the layers of packages that an image gets on top of its
// base, and that of a base which is packages itself.
func (p *plan) packageSpecs(own []lock.Package, spec rootfs.Spec) ([]rootfs.Spec, error) {
	if p.base != nil {
		return onTopOf(p.base.packages, own, spec), nil
	}
	base, err := p.packages(baseSet(p.req.Recipe))
	return stacked(base, own, spec), err
}

// ids names all packages of an image, those of its base included.
func (p *plan) ids(own []lock.Package) []string {
	ids := []string{}
	if p.base != nil {
		for _, pkg := range p.base.packages {
			ids = append(ids, pkg.ID)
		}
	}
	for _, pkg := range own {
		ids = append(ids, pkg.ID)
	}
	return ids
}

// prepareBase makes the layer of the base while the compiler runs. Its errors
// are those of the same call in assemble, which reports them.
func (b *Builder) prepareBase(ctx context.Context, p *plan) func() {
	if p.base != nil || p.req.Recipe.OnScratch() {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		base, err := p.packages(baseSet(p.req.Recipe))
		if err != nil {
			return
		}
		l, err := b.packageLayer(ctx, p, p.req.Recipe.Image.Base, stacked(base, base, rootfs.Spec{Purpose: rootfs.Runtime})[0])
		if err == nil {
			_, _ = b.compressed(ctx, l.Layer)
		}
	}()
	return func() { <-done }
}

// scratchLayers: named packages without what they depend on, and the libraries
// that the artifacts need as single files.
func (b *Builder) scratchLayers(ctx context.Context, own []lock.Package, spec rootfs.Spec, req libraryRequest) ([]image.Layer, error) {
	var out []image.Layer
	if len(own) > 0 {
		spec.Packages = own
		if req.p.base != nil {
			spec.Below = req.p.base.packages
		}
		l, err := b.packageLayer(ctx, req.p, "packages of "+req.p.req.Recipe.Name, spec)
		if err != nil {
			return nil, err
		}
		out = append(out, l.Layer)
	}
	needs, err := b.needs(ctx, req)
	if err != nil || needs.Files == nil {
		return out, err
	}
	return append(out, *needs.Files), nil
}

// filesLayer holds what the recipe says itself; nil where that is nothing.
func (b *Builder) filesLayer(ctx context.Context, p *plan, below []image.Layer) (*image.Layer, error) {
	t := image.NewTree()
	read := func(name string) ([]byte, error) { return b.readBelow(ctx, below, name) }
	if err := t.AddRecipe(p.req.Recipe, read); err != nil {
		return nil, err
	}
	if len(t.Paths()) == 0 {
		return nil, nil
	}
	if !p.req.Recipe.OnScratch() {
		t.MergeUsr()
	}
	dirs, err := b.directories(ctx, below)
	if err != nil {
		return nil, err
	}
	t.AddParents(func(dir string) bool { return dirs[dir] })
	l, err := image.PutTar(ctx, b.store.Content(), "files of "+p.req.Recipe.Name, func(w io.Writer) error { return t.Write(w, p.date) })
	return &l, err
}

// directories are those that uncompressed layers have, and links to some.
func (b *Builder) directories(ctx context.Context, layers []image.Layer) (map[string]bool, error) {
	dirs := map[string]bool{}
	t := image.NewTree()
	defer t.Close()
	for _, l := range layers {
		err := t.AddLayer(ctx, b.store.Content(), l.Desc, func(h *tar.Header) bool {
			if h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeSymlink {
				dirs[h.Name] = true
			}
			return false
		})
		if err != nil {
			return nil, err
		}
	}
	return dirs, nil
}

// readBelow reads a file out of uncompressed layers, the uppermost that has it.
func (b *Builder) readBelow(ctx context.Context, layers []image.Layer, name string) ([]byte, error) {
	for i := len(layers) - 1; i >= 0; i-- {
		t := image.NewTree()
		err := t.AddLayer(ctx, b.store.Content(), layers[i].Desc, func(h *tar.Header) bool { return h.Name == name })
		if e, ok := t.Lookup(name); err == nil && ok {
			var data []byte
			data, err = e.Read()
			t.Close()
			return data, err
		}
		t.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (b *Builder) squash(ctx context.Context, p *plan, layers []image.Layer) (image.Layer, error) {
	t := image.NewTree()
	defer t.Close()
	for _, l := range layers {
		if err := t.AddLayer(ctx, b.store.Content(), l.Desc, nil); err != nil {
			return image.Layer{}, err
		}
	}
	r := p.req.Recipe
	return image.PutTar(ctx, b.store.Content(), r.Name+" "+r.Version, func(w io.Writer) error { return t.Write(w, p.date) })
}

// compressed gives the compressed form of a layer, made once.
func (b *Builder) compressed(ctx context.Context, l image.Layer) (image.Layer, error) {
	k := key("gzip", compressFormat, l.DiffID.String())
	v, err := b.once(ctx, k, func() (any, error) { return b.compress(ctx, k, l) })
	z, _ := v.(image.Layer)
	z.Note = l.Note
	return z, err
}

func (b *Builder) compress(ctx context.Context, k string, l image.Layer) (image.Layer, error) {
	var have ocispec.Descriptor
	if b.cache.get(k, &have) && b.has(ctx, have.Digest) {
		l.Desc = have
		return l, nil
	}
	z, err := image.Compress(ctx, b.store.Content(), l)
	if err != nil {
		return l, err
	}
	return z, b.cache.put(k, z.Desc)
}

// layerReader reads an uncompressed layer.
func (b *Builder) layerReader(ctx context.Context, l image.Layer) (io.ReadCloser, error) {
	ra, err := b.store.Content().ReaderAt(ctx, l.Desc)
	if err != nil {
		return nil, fmt.Errorf("opening layer %q: %w", l.Note, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{content.NewReader(ra), ra}, nil
}
