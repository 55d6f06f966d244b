package builder

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/riscv-build/riscv-build/builder/debian/rootfs"
	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// rootLayer is a layer of packages, with the index of what it holds.
type rootLayer struct {
	Layer    image.Layer   `json:"layer"`
	Contents digest.Digest `json:"contents"` // blob: []rootfs.Content as JSON
}

// layerKey is the cache entry of a layer of packages.
func layerKey(s rootfs.Spec) string { return key("rootfs", s.Key()) }

// packageLayer makes the layer of a spec, once per state directory. Callers
// that want the same one at the same time share the work.
func (b *Builder) packageLayer(ctx context.Context, p *plan, note string, s rootfs.Spec) (rootLayer, error) {
	v, err := b.once(ctx, layerKey(s), func() (any, error) { return b.makeLayer(ctx, p, note, s) })
	l, _ := v.(rootLayer)
	l.Layer.Note = note
	if s.Purpose == rootfs.Runtime || note == "probe" {
		p.used.add(layerKey(s))
	}
	return l, err
}

func (b *Builder) makeLayer(ctx context.Context, p *plan, note string, s rootfs.Spec) (rootLayer, error) {
	var l rootLayer
	if b.cache.get(layerKey(s), &l) && b.has(ctx, l.Layer.Desc.Digest, l.Contents) {
		return l, nil
	}
	if err := b.ensure(ctx, p, slices.Concat(s.Packages, s.Below)); err != nil {
		return l, err
	}
	b.cfg.Display.Verbose("assembling %s: %d packages", note, len(s.Packages))
	var contents []rootfs.Content
	layer, err := image.PutTar(ctx, b.store.Content(), note, func(w io.Writer) error {
		var err error
		contents, err = rootfs.Write(ctx, w, s, blobs{ctx, b})
		return err
	})
	if err != nil {
		return l, err
	}
	index, err := json.Marshal(contents)
	if err != nil {
		return l, err
	}
	b.made.note(layerKey(s))
	l.Layer = layer
	if l.Contents, _, err = image.Put(ctx, b.store.Content(), bytes.NewReader(index)); err != nil {
		return l, fmt.Errorf("storing the index of %s: %w", note, err)
	}
	return l, b.cache.put(layerKey(s), l)
}

// contents reads the indexes of layers.
func (b *Builder) contents(ctx context.Context, layers []rootLayer) ([]rootfs.Content, error) {
	var all []rootfs.Content
	for _, l := range layers {
		raw, err := content.ReadBlob(ctx, b.store.Content(), ocispec.Descriptor{Digest: l.Contents})
		if err != nil {
			return nil, fmt.Errorf("reading the index of layer %q: %w", l.Layer.Note, err)
		}
		var c []rootfs.Content
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fmt.Errorf("parsing the index of layer %q: %w", l.Layer.Note, err)
		}
		all = append(all, c...)
	}
	return all, nil
}

// has tells whether all blobs are in the store, and brings those that a cache has.
func (b *Builder) has(ctx context.Context, digests ...digest.Digest) bool {
	var group errgroup.Group
	group.SetLimit(parallelBlobs)
	for _, d := range digests {
		if !b.store.Has(ctx, d) {
			group.Go(func() error { return b.bring(ctx, d) })
		}
	}
	return group.Wait() == nil
}

// blobs opens the .deb files of the store for rootfs.
type blobs struct {
	ctx context.Context
	b   *Builder
}

func (s blobs) Open(p lock.Package) (io.ReadSeekCloser, error) {
	ra, err := s.b.store.Content().ReaderAt(s.ctx, ocispec.Descriptor{Digest: digest.NewDigestFromEncoded(digest.SHA256, p.SHA256)})
	if err != nil {
		return nil, fmt.Errorf("opening package %q: %w", p.ID, err)
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{io.NewSectionReader(ra, 0, ra.Size()), ra}, nil
}

// stacked splits a recipe's set into the layer that all recipes share and the
// rest. Where the shared set is not wholly part of the recipe's (they were
// locked on different days), the recipe gets one layer of its own.
// Keeping setuid bits changes the base too, so such a recipe gets one layer.
func stacked(shared, own []lock.Package, s rootfs.Spec) []rootfs.Spec {
	in := map[string]bool{}
	for _, p := range own {
		in[p.ID] = true
	}
	below := map[string]bool{}
	for _, p := range shared {
		if !in[p.ID] || len(s.Setuid) > 0 {
			s.Packages = own
			return []rootfs.Spec{s}
		}
		below[p.ID] = true
	}
	first, second := s, s
	first.Packages = shared
	// What a recipe leaves out or keeps special must not change the shared layer.
	first.Exclude, first.Setuid, first.Unpacked = nil, nil, false
	second.Below = shared
	for _, p := range own {
		if !below[p.ID] {
			second.Packages = append(second.Packages, p)
		}
	}
	if len(second.Packages) == 0 {
		return []rootfs.Spec{first}
	}
	return []rootfs.Spec{first, second}
}

// onTopOf is the layer of what a recipe adds to the packages of its base; none
// where that is nothing.
func onTopOf(base, own []lock.Package, s rootfs.Spec) []rootfs.Spec {
	have := map[string]bool{}
	for _, p := range base {
		have[p.Name] = true
	}
	s.Below = base
	for _, p := range own {
		if !have[p.Name] {
			s.Packages = append(s.Packages, p)
		}
	}
	if len(s.Packages) == 0 {
		return nil
	}
	return []rootfs.Spec{s}
}

// rootImage makes an image for a graph out of layers and returns its manifest.
func (b *Builder) rootImage(ctx context.Context, arch string, layers []image.Layer) (digest.Digest, error) {
	var parts []string
	for _, l := range layers {
		parts = append(parts, l.DiffID.String(), l.Note)
	}
	k := key("root", append(parts, arch)...)
	var have ocispec.Descriptor
	if b.cache.get(k, &have) && b.has(ctx, have.Digest) {
		return have.Digest, nil
	}
	desc, err := image.Write(ctx, b.store.Content(), image.Spec{
		Platform: ocispec.Platform{OS: "linux", Architecture: arch}, Layers: layers, Created: time.Unix(0, 0),
	})
	if err != nil {
		return "", err
	}
	return desc.Digest, b.cache.put(k, desc)
}

// soname finds which package ships a shared library. Debian keeps what the
// loader finds by itself in these directories.
func libraryDir(path string) bool {
	dir, _, _ := cutLast(strings.TrimPrefix(path, "/"))
	switch dir {
	case "lib", "usr/lib", "lib/riscv64-linux-gnu", "usr/lib/riscv64-linux-gnu":
		return true
	}
	return false
}

func cutLast(p string) (dir, base string, ok bool) {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return "", p, false
	}
	return p[:i], p[i+1:], true
}
