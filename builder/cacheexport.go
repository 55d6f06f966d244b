package builder

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/pusher"
)

// ExportCache writes what the builds of these recipes used of the cache, so that
// a run with an empty state directory begins where this one ended. With all,
// also the root filesystems that compile. Of a recipe that was not built,
// because it had not changed, it keeps what the imported caches have.
func (b *Builder) ExportCache(ctx context.Context, to CacheStore, recipes []string, all bool) error {
	x := &export{b: b, doc: cacheDocument{
		Version: cacheVersion, Recipes: map[string][]string{}, Entries: map[string]json.RawMessage{}, Layers: map[digest.Digest]compactLayer{},
	}, blobs: map[digest.Digest]ocispec.Descriptor{}}
	for _, name := range recipes {
		for _, k := range b.keysOf(name, all) {
			if err := x.add(ctx, k); err != nil {
				return fmt.Errorf("writing cache %s: %w", to, err)
			}
			if _, ok := x.doc.Entries[k]; ok {
				x.doc.Recipes[name] = append(x.doc.Recipes[name], k)
			}
		}
	}
	desc, err := x.write(ctx)
	if err == nil {
		err = to.Write(ctx, pusher.Image{Provider: bringing{b}, Desc: desc})
	}
	if err != nil {
		return fmt.Errorf("writing cache %s: %w", to, err)
	}
	b.cfg.Display.Verbose("cache %s: wrote %d entries, %d blobs", to, len(x.doc.Entries), len(x.blobs))
	return nil
}

// keysOf are the entries that belong to a recipe, sorted.
func (b *Builder) keysOf(recipe string, all bool) []string {
	u, built := b.kept.of(recipe)
	if built {
		keys := u.list()
		if all {
			keys = append(keys, u.heavy...)
		}
		slices.Sort(keys)
		return slices.Compact(keys)
	}
	if b.cache.imports != nil {
		for _, c := range b.cache.imports.caches {
			if keys := c.doc.Recipes[recipe]; len(keys) > 0 {
				return keys
			}
		}
	}
	return nil
}

// export is a cache that is being put together.
type export struct {
	b     *Builder
	doc   cacheDocument
	blobs map[digest.Digest]ocispec.Descriptor
}

// add takes up an entry with all that it names; one that is not there, or not
// whole, is left out.
func (x *export) add(ctx context.Context, name string) error {
	if _, ok := x.doc.Entries[name]; ok {
		return nil
	}
	raw, ok := x.b.cache.Get(name)
	if !ok || !json.Valid(raw) || !entryName.MatchString(name) {
		return nil
	}
	whole, err := x.content(ctx, name, raw)
	if err == nil && whole {
		x.doc.Entries[name] = raw
	}
	return err
}

// content takes up the blobs that an entry names, by its kind.
func (x *export) content(ctx context.Context, name string, raw []byte) (whole bool, err error) {
	kind, _, _ := strings.Cut(name, "-")
	switch kind {
	case "image":
		var e imageEntry
		return json.Unmarshal(raw, &e) == nil && x.image(ctx, e.Desc), nil
	case "build":
		var e artifactEntry
		if json.Unmarshal(raw, &e) != nil {
			return false, nil
		}
		return x.layer(ctx, e.Layer)
	case "configured":
		var l image.Layer
		if json.Unmarshal(raw, &l) != nil {
			return false, nil
		}
		return x.layer(ctx, l)
	case "needs":
		var e needsEntry
		if json.Unmarshal(raw, &e) != nil || e.Files == nil {
			return true, nil
		}
		return x.layer(ctx, *e.Files)
	case "rootfs":
		var l rootLayer
		if json.Unmarshal(raw, &l) != nil || !x.blob(ctx, ocispec.Descriptor{MediaType: "application/json", Digest: l.Contents}) {
			return false, nil
		}
		return x.layer(ctx, l.Layer)
	}
	return true, nil // a fact or a test's result
}

// image takes up an image with its layers.
func (x *export) image(ctx context.Context, desc ocispec.Descriptor) bool {
	if x.b.bringManifest(ctx, desc) != nil {
		return false
	}
	var m ocispec.Manifest
	if readDocument(ctx, x.b.store.Content(), desc, &m) != nil {
		return false
	}
	for _, d := range append([]ocispec.Descriptor{desc, m.Config}, m.Layers...) {
		if !x.blob(ctx, d) {
			return false
		}
	}
	return true
}

// blob takes up a blob, completing its size; false where it is gone.
func (x *export) blob(ctx context.Context, desc ocispec.Descriptor) bool {
	if _, ok := x.blobs[desc.Digest]; ok {
		return true
	}
	if info, err := x.b.store.Content().Info(ctx, desc.Digest); err == nil {
		desc.Size = info.Size
	} else if c, have, compact := x.b.cache.imports.blob(desc.Digest); c != nil && compact == nil {
		desc.Size = have.Size
	} else {
		return false
	}
	x.blobs[desc.Digest] = ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	return true
}

// layer takes up an uncompressed layer in the compressed form that an image has
// of it, that a cache has, or that is made now.
func (x *export) layer(ctx context.Context, l image.Layer) (bool, error) {
	d := l.Desc.Digest
	if _, ok := x.doc.Layers[d]; ok {
		return true, nil
	}
	var blob ocispec.Descriptor
	k := key("gzip", compressFormat, l.DiffID.String())
	raw, gzipped := x.b.cache.Get(k)
	if gzipped = gzipped && json.Unmarshal(raw, &blob) == nil && x.blob(ctx, blob); gzipped {
		x.doc.Entries[k] = raw
	} else if _, _, compact := x.b.cache.imports.blob(d); compact != nil && x.blob(ctx, compact.Blob) {
		blob = compact.Blob
	} else {
		if !x.b.store.Has(ctx, d) {
			return false, nil
		}
		var err error
		if blob, err = x.b.compact(ctx, l); err != nil {
			return false, err
		}
		x.blob(ctx, blob)
	}
	x.doc.Layers[d] = compactLayer{Blob: x.blobs[blob.Digest], Size: l.Desc.Size}
	return true, nil
}

// compact makes the quick compressed form of a layer that is in no image.
func (b *Builder) compact(ctx context.Context, l image.Layer) (ocispec.Descriptor, error) {
	k := key("zstd", l.DiffID.String())
	var have ocispec.Descriptor
	if b.cache.get(k, &have) && b.store.Has(ctx, have.Digest) {
		return have, nil
	}
	desc, err := image.Compact(ctx, b.store.Content(), l)
	if err != nil {
		return desc, err
	}
	return desc, b.cache.put(k, desc)
}

// write puts document and manifest into the store.
func (x *export) write(ctx context.Context) (ocispec.Descriptor, error) {
	doc, err := json.Marshal(x.doc)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: CacheType,
		Config: ocispec.Descriptor{MediaType: CacheType}, Layers: []ocispec.Descriptor{},
	}
	if m.Config.Digest, m.Config.Size, err = image.Put(ctx, x.b.store.Content(), bytes.NewReader(doc)); err != nil {
		return ocispec.Descriptor{}, err
	}
	for _, d := range slices.Sorted(maps.Keys(x.blobs)) {
		m.Layers = append(m.Layers, x.blobs[d])
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: m.MediaType}
	desc.Digest, desc.Size, err = image.Put(ctx, x.b.store.Content(), bytes.NewReader(raw))
	return desc, err
}

// bringing reads blobs of the store, and brings them from a cache first.
type bringing struct{ b *Builder }

// ReaderAt opens a blob.
func (p bringing) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if !p.b.store.Has(ctx, desc.Digest) {
		if err := p.b.bring(ctx, desc.Digest); err != nil {
			return nil, err
		}
	}
	return p.b.store.Content().ReaderAt(ctx, desc)
}
