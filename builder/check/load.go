package check

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Contents is an image that has been read: its configuration and its files.
type Contents struct {
	Desc     ocispec.Descriptor // of the manifest
	Manifest ocispec.Manifest
	Config   ocispec.Image
	Layers   []*LayerFacts
	Tree     *Tree

	provider content.Provider
}

// PlatformError says that an index has no image for linux/riscv64.
type PlatformError struct {
	Have []string // os/architecture of the index's images, sorted
}

func (e *PlatformError) Error() string {
	return fmt.Sprintf("looking for linux/riscv64 in the image index: it holds %s only: take another tag, or build the image from a recipe",
		strings.Join(e.Have, ", "))
}

// Load reads an image from a content store. desc is its manifest, or an index
// that has one for linux/riscv64 (else a *PlatformError). Facts of layers are
// taken from the cache and put there; it may be nil.
func Load(ctx context.Context, provider content.Provider, desc ocispec.Descriptor, cache Cache) (*Contents, error) {
	c := &Contents{Desc: desc, provider: provider}
	if images.IsIndexType(desc.MediaType) {
		var index ocispec.Index
		if err := readJSON(ctx, provider, desc, &index); err != nil {
			return nil, fmt.Errorf("reading the image index %q: %w", desc.Digest, err)
		}
		var err error
		if c.Desc, err = choose(index); err != nil {
			return nil, err
		}
	}
	if err := readJSON(ctx, provider, c.Desc, &c.Manifest); err != nil {
		return nil, fmt.Errorf("reading the manifest %q: %w", c.Desc.Digest, err)
	}
	if err := readJSON(ctx, provider, c.Manifest.Config, &c.Config); err != nil {
		return nil, fmt.Errorf("reading the image configuration %q: %w", c.Manifest.Config.Digest, err)
	}
	if err := c.scan(ctx, cache); err != nil {
		return nil, err
	}
	c.Tree = NewTree(c.Layers)
	return c, nil
}

func choose(index ocispec.Index) (ocispec.Descriptor, error) {
	var have []string
	for _, m := range index.Manifests {
		if m.Platform == nil {
			// An index of one image need not say its platform; the image's own configuration does.
			if len(index.Manifests) == 1 {
				return m, nil
			}
			have = append(have, "an unnamed platform")
			continue
		}
		if m.Platform.OS == "linux" && m.Platform.Architecture == "riscv64" {
			return m, nil
		}
		have = append(have, m.Platform.OS+"/"+m.Platform.Architecture)
	}
	if len(have) == 0 {
		have = []string{"nothing"}
	}
	slices.Sort(have)
	return ocispec.Descriptor{}, &PlatformError{Have: slices.Compact(have)}
}

func readJSON(ctx context.Context, provider content.Provider, desc ocispec.Descriptor, into any) error {
	const limit = 16 << 20 // far above any manifest or configuration
	if desc.Size > limit {
		return fmt.Errorf("it has %d bytes, more than %d: build or fetch the image again", desc.Size, limit)
	}
	raw, err := content.ReadBlob(ctx, provider, desc)
	if err != nil {
		return fmt.Errorf("%w: build or fetch the image again", err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%w: build or fetch the image again", err)
	}
	return nil
}

// scan gets the facts of all layers, as many at once as there are processors.
func (c *Contents) scan(ctx context.Context, cache Cache) error {
	c.Layers = make([]*LayerFacts, len(c.Manifest.Layers))
	errs := make([]error, len(c.Layers))
	slots := make(chan struct{}, max(runtime.GOMAXPROCS(0), 1))
	var wg sync.WaitGroup
	for i, layer := range c.Manifest.Layers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			c.Layers[i], errs[i] = c.layer(ctx, layer, cache)
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c *Contents) layer(ctx context.Context, desc ocispec.Descriptor, cache Cache) (*LayerFacts, error) {
	if facts, ok := cachedFacts(cache, desc.Digest.String()); ok {
		return facts, nil
	}
	ra, err := c.provider.ReaderAt(ctx, desc)
	if err != nil {
		return nil, fmt.Errorf("opening the layer %q: %w: build or fetch the image again", desc.Digest, err)
	}
	defer ra.Close()
	facts, err := ScanLayer(ctx, content.NewReader(ra))
	if err != nil {
		return nil, fmt.Errorf("scanning the layer %q: %w", desc.Digest, err)
	}
	keepFacts(cache, desc.Digest.String(), facts)
	return facts, nil
}

// ReadFile returns the content of a regular file of the image, symbolic links
// followed. A file of more than limit bytes is an error.
func (c *Contents) ReadFile(ctx context.Context, p string, limit int64) ([]byte, error) {
	f, ok := c.Tree.Stat(p)
	switch {
	case !ok:
		return nil, fmt.Errorf("reading %q: the image has no such file", p)
	case f.Type != TypeFile:
		return nil, fmt.Errorf("reading %q: it is a %s, not a regular file", p, f.Type)
	case f.Size > limit:
		return nil, fmt.Errorf("reading %q: it has %d bytes, more than %d", p, f.Size, limit)
	}
	if f.Content != nil {
		return f.Content, nil
	}
	desc := c.Manifest.Layers[f.Layer]
	ra, err := c.provider.ReaderAt(ctx, desc)
	if err != nil {
		return nil, fmt.Errorf("opening the layer %q: %w: build or fetch the image again", desc.Digest, err)
	}
	defer ra.Close()
	plain, done, err := decompress(content.NewReader(ra))
	if err != nil {
		return nil, err
	}
	defer done()
	tr := tar.NewReader(&cancelReader{ctx: ctx, r: plain})
	for i := 0; ; i++ {
		if _, err := tr.Next(); err != nil {
			return nil, fmt.Errorf("reading %q from the layer %q: %w", p, desc.Digest, err)
		}
		if i == f.Index {
			return io.ReadAll(tr)
		}
	}
}
