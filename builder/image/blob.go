// Package image writes OCI images: it turns the tree a build left behind and
// the files of a recipe into layers, compresses every layer once, and writes
// configuration and manifest. An image is a content store and the descriptor
// of its manifest; nothing here runs, downloads or uploads anything.
//
// Layer bytes depend on the content alone: entries are sorted, times come from
// the caller, owners are numbers.
package image

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Layer is a layer in a content store. Desc is the blob, DiffID the digest of
// its uncompressed tar (image-spec, config.md, "Layer DiffID").
type Layer struct {
	Desc   ocispec.Descriptor `json:"desc"`
	DiffID digest.Digest      `json:"diff_id"`
	// Note says what the layer holds; it becomes the history entry.
	Note string `json:"note"`
}

// Put writes what r gives into the store and returns its digest and size in bytes.
func Put(ctx context.Context, store content.Store, r io.Reader) (digest.Digest, int64, error) {
	return put(ctx, store, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
}

// PutTar writes an uncompressed layer, produced by write, into the store.
func PutTar(ctx context.Context, store content.Store, note string, write func(io.Writer) error) (Layer, error) {
	dgst, size, err := put(ctx, store, write)
	if err != nil {
		return Layer{}, fmt.Errorf("writing layer %q: %w", note, err)
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: dgst, Size: size}
	return Layer{Desc: desc, DiffID: dgst, Note: note}, nil
}

// puts tells simultaneous writes of this process apart; the state lock keeps
// other processes out, and Truncate below drops what a killed one left.
var puts atomic.Int64

// putBuffer is how much is written to the store at once.
const putBuffer = 256 << 10

// put is the one way into the store: the digest is computed on the way and the
// blob appears under it whole or not at all.
func put(ctx context.Context, store content.Store, write func(io.Writer) error) (digest.Digest, int64, error) {
	ref := fmt.Sprintf("riscv-build-put-%d", puts.Add(1))
	w, err := content.OpenWriter(ctx, store, content.WithRef(ref))
	if err != nil {
		return "", 0, err
	}
	defer w.Close()
	if err := w.Truncate(0); err != nil {
		return "", 0, err
	}
	n := &counter{}
	// Archives are written in pieces of a header's size, and each that comes
	// through is a call of the kernel.
	buffer := bufio.NewWriterSize(io.MultiWriter(w, n), putBuffer)
	if err := errors.Join(write(buffer), buffer.Flush()); err != nil {
		return "", 0, err
	}
	// The writer computes the digest, of bytes that it writes in any case.
	dgst := w.Digest()
	if err := w.Commit(ctx, n.n, dgst); err != nil && !errdefs.IsAlreadyExists(err) {
		return "", 0, err
	}
	return dgst, n.n, nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// Compress returns the layer with its blob compressed by gzip. The compressor
// is pinned in go.mod, and not the standard library's, so that the bytes do not
// change with the Go release that built this program.
func Compress(ctx context.Context, store content.Store, l Layer) (Layer, error) {
	if l.Desc.MediaType != ocispec.MediaTypeImageLayer {
		return l, nil
	}
	desc, err := compressed(ctx, store, l, func(w io.Writer) (io.WriteCloser, error) {
		return gzip.NewWriterLevel(w, gzip.BestCompression)
	})
	if err != nil {
		return Layer{}, err
	}
	desc.MediaType = ocispec.MediaTypeImageLayerGzip
	l.Desc = desc
	return l, nil
}

// compressed stores what a compressor makes of a layer.
func compressed(ctx context.Context, store content.Store, l Layer, compressor func(io.Writer) (io.WriteCloser, error)) (ocispec.Descriptor, error) {
	src, err := store.ReaderAt(ctx, l.Desc)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("opening layer %q: %w", l.Note, err)
	}
	defer src.Close()
	dgst, size, err := put(ctx, store, func(w io.Writer) error {
		z, err := compressor(w)
		if err != nil {
			return err
		}
		if _, err := io.Copy(z, content.NewReader(src)); err != nil {
			return err
		}
		return z.Close()
	})
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("compressing layer %q: %w", l.Note, err)
	}
	return ocispec.Descriptor{Digest: dgst, Size: size}, nil
}

// Decompress returns the layer with its blob as the plain tar that DiffID names.
func Decompress(ctx context.Context, store content.Store, l Layer) (Layer, error) {
	src, err := store.ReaderAt(ctx, l.Desc)
	if err != nil {
		return Layer{}, fmt.Errorf("opening layer %q: %w", l.Note, err)
	}
	defer src.Close()
	z, err := gzip.NewReader(content.NewReader(src))
	if err != nil {
		return Layer{}, fmt.Errorf("decompressing layer %q: %w", l.Note, err)
	}
	dgst, size, err := Put(ctx, store, z)
	if err == nil && dgst != l.DiffID {
		err = fmt.Errorf("it holds %s, not %s: remove it with `riscv-build cache prune`", dgst, l.DiffID)
	}
	if err != nil {
		return Layer{}, fmt.Errorf("decompressing layer %q: %w", l.Note, err)
	}
	l.Desc = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: dgst, Size: size}
	return l, nil
}

// putJSON writes v as JSON and returns its descriptor.
func putJSON(ctx context.Context, store content.Store, mediaType string, v any) (ocispec.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	dgst, size, err := Put(ctx, store, bytes.NewReader(b))
	return ocispec.Descriptor{MediaType: mediaType, Digest: dgst, Size: size}, err
}

// ReadManifest reads the manifest and the configuration of an image.
func ReadManifest(ctx context.Context, p content.Provider, desc ocispec.Descriptor) (*ocispec.Manifest, *ocispec.Image, error) {
	var m ocispec.Manifest
	if err := readJSON(ctx, p, desc, &m); err != nil {
		return nil, nil, fmt.Errorf("reading manifest %q: %w", desc.Digest, err)
	}
	var c ocispec.Image
	if err := readJSON(ctx, p, m.Config, &c); err != nil {
		return nil, nil, fmt.Errorf("reading configuration %q: %w", m.Config.Digest, err)
	}
	return &m, &c, nil
}

func readJSON(ctx context.Context, p content.Provider, desc ocispec.Descriptor, v any) error {
	b, err := content.ReadBlob(ctx, p, desc)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
