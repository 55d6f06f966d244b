package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/pusher"
)

// CacheType is the media type of a build cache: of its manifest's artifact and
// of the document that is the manifest's config.
const CacheType = "application/vnd.riscv-build.cache.v1+json"

// parallelBlobs is how many blobs of a cache are brought at a time.
const parallelBlobs = 4

// CacheStore is where a build cache is kept beyond the state directory, such as
// *pusher.Artifact: one manifest, with blobs that are read one by one.
type CacheStore interface {
	String() string
	// Open brings the manifest and its config into dst. What is not there yet is
	// fs.ErrNotExist, or an error that pusher.IsNotFound knows.
	Open(ctx context.Context, dst content.Store) (ocispec.Descriptor, error)
	// Fetch brings one of its blobs, verified, into dst.
	Fetch(ctx context.Context, blob ocispec.Descriptor, dst content.Store) error
	// Write replaces what is there: blobs first, those that are there are left
	// out, the manifest last.
	Write(ctx context.Context, manifest pusher.Image) error
}

// cacheDocument is what a cache says: the entries of the state directory's cache
// that builds used, and as which blobs the layers are kept that entries name
// uncompressed.
type cacheDocument struct {
	Version int                            `json:"version"`
	Recipes map[string][]string            `json:"recipes"` // keys of the entries that each recipe's build used
	Entries map[string]json.RawMessage     `json:"entries"`
	Layers  map[digest.Digest]compactLayer `json:"layers"`
}

// compactLayer is the compressed form of a layer of Size bytes.
type compactLayer struct {
	Blob ocispec.Descriptor `json:"blob"`
	Size int64              `json:"size"`
}

// cacheVersion is that of the document.
const cacheVersion = 1

// entryName is a name that an entry of a cache may have: it becomes a file's.
var entryName = regexp.MustCompile(`^[a-z][A-Za-z0-9_.-]{0,200}$`)

// imports are the caches that builds take from.
type imports struct {
	caches []*openedCache
}

// openedCache is a cache whose document was read.
type openedCache struct {
	store CacheStore
	doc   cacheDocument
	blobs map[digest.Digest]ocispec.Descriptor // of its manifest

	mu   sync.Mutex
	lost bool // a blob could not be had: said once
}

// ImportCaches makes builds take from caches what the state directory does not
// have: first entries, and blobs when they are used. A cache is a convenience:
// one that cannot be read is told of, and builds go on without.
func (b *Builder) ImportCaches(ctx context.Context, stores []CacheStore) error {
	i := &imports{}
	for _, s := range stores {
		c, err := b.openCache(ctx, s)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist), pusher.IsNotFound(err):
			b.cfg.Display.Notice("cache %s: there is none yet", s)
		case err != nil:
			b.cfg.Display.Notice("cache %s: WARNING: it is not used: %v", s, err)
		default:
			b.cfg.Display.Verbose("cache %s: %d entries, %d blobs", s, len(c.doc.Entries), len(c.blobs))
			i.caches = append(i.caches, c)
		}
	}
	b.cache.imports = i
	return nil
}

func (b *Builder) openCache(ctx context.Context, s CacheStore) (*openedCache, error) {
	desc, err := s.Open(ctx, b.store.Content())
	if err != nil {
		return nil, err
	}
	c := &openedCache{store: s, blobs: map[digest.Digest]ocispec.Descriptor{}}
	var m ocispec.Manifest
	if err := readDocument(ctx, b.store.Content(), desc, &m); err != nil {
		return nil, fmt.Errorf("reading manifest %q: %w", desc.Digest, err)
	}
	if m.Config.MediaType != CacheType {
		return nil, fmt.Errorf("reading manifest %q: media type %q is no build cache: name the place that --cache-to wrote", desc.Digest, m.Config.MediaType)
	}
	if err := readDocument(ctx, b.store.Content(), m.Config, &c.doc); err != nil {
		return nil, fmt.Errorf("reading %q: %w", m.Config.Digest, err)
	}
	if c.doc.Version != cacheVersion {
		return nil, fmt.Errorf("reading %q: version %d is not known: write the cache anew with this riscv-build", m.Config.Digest, c.doc.Version)
	}
	for _, l := range m.Layers {
		c.blobs[l.Digest] = l
	}
	return c, nil
}

func readDocument(ctx context.Context, from content.Provider, desc ocispec.Descriptor, v any) error {
	raw, err := content.ReadBlob(ctx, from, desc)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// entry gives the first cache's entry of that name.
func (i *imports) entry(name string) ([]byte, bool) {
	if i == nil || !entryName.MatchString(name) {
		return nil, false
	}
	for _, c := range i.caches {
		if raw, ok := c.doc.Entries[name]; ok {
			return raw, true
		}
	}
	return nil, false
}

// blob finds the cache that has a blob, or a layer in a compressed form.
func (i *imports) blob(d digest.Digest) (c *openedCache, blob ocispec.Descriptor, compact *compactLayer) {
	if i == nil {
		return nil, blob, nil
	}
	for _, c := range i.caches {
		if have, ok := c.blobs[d]; ok {
			return c, have, nil
		}
		if l, ok := c.doc.Layers[d]; ok {
			if have, ok := c.blobs[l.Blob.Digest]; ok {
				l.Blob = have
				return c, have, &l
			}
		}
	}
	return nil, blob, nil
}

// reachable tells whether blobs are in the store or in a cache, and brings none.
func (b *Builder) reachable(digests ...digest.Digest) bool {
	for _, d := range digests {
		if b.store.Has(context.Background(), d) {
			continue
		}
		if c, _, _ := b.cache.imports.blob(d); c == nil {
			return false
		}
	}
	return true
}

// errAbsent is a blob that no cache has.
var errAbsent = errors.New("no cache has it")

// bring fetches a blob from a cache; a layer that is kept compressed is unpacked.
func (b *Builder) bring(ctx context.Context, d digest.Digest) error {
	c, blob, compact := b.cache.imports.blob(d)
	if c == nil {
		return errAbsent
	}
	_, err, _ := b.layers.Do("bring "+d.String(), func() (any, error) {
		if err := c.store.Fetch(ctx, blob, b.store.Content()); err != nil || compact == nil {
			return nil, err
		}
		return nil, image.Unpack(ctx, b.store.Content(), compact.Blob, ocispec.Descriptor{Digest: d, Size: compact.Size})
	})
	if err == nil || ctx.Err() != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lost {
		c.lost = true
		b.cfg.Display.Notice("cache %s: WARNING: building what it does not give: %v", c.store, err)
	}
	return err
}

// bringManifest makes sure that a manifest and its configuration are in the store.
func (b *Builder) bringManifest(ctx context.Context, desc ocispec.Descriptor) error {
	if b.cache.imports == nil || b.store.Has(ctx, desc.Digest) {
		return nil
	}
	if err := b.bring(ctx, desc.Digest); err != nil {
		return err
	}
	var m ocispec.Manifest
	if err := readDocument(ctx, b.store.Content(), desc, &m); err != nil {
		return err
	}
	if !b.has(ctx, m.Config.Digest) {
		return fmt.Errorf("reading its configuration %q: %w", m.Config.Digest, errAbsent)
	}
	return nil
}
