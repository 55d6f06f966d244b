package image

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Compact stores a layer in a form that is quick to make and to read, for caches:
// the bytes of an image's layers are those of Compress.
func Compact(ctx context.Context, store content.Store, l Layer) (ocispec.Descriptor, error) {
	desc, err := compressed(ctx, store, l, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })
	desc.MediaType = ocispec.MediaTypeImageLayerZstd
	return desc, err
}

// Unpack stores the uncompressed form of a compressed layer, which must be what
// is expected of it.
func Unpack(ctx context.Context, store content.Store, compressed, want ocispec.Descriptor) error {
	src, err := store.ReaderAt(ctx, compressed)
	if err != nil {
		return fmt.Errorf("opening layer %q: %w", compressed.Digest, err)
	}
	defer src.Close()
	r, err := decompressor(compressed.MediaType, content.NewReader(src))
	if err != nil {
		return fmt.Errorf("unpacking layer %q: %w", compressed.Digest, err)
	}
	defer r.Close()
	_, _, err = put(ctx, store, func(w io.Writer) error {
		check := want.Digest.Algorithm().Digester()
		n, err := io.Copy(io.MultiWriter(w, check.Hash()), io.LimitReader(r, want.Size+1))
		if err == nil && (n != want.Size || check.Digest() != want.Digest) {
			err = fmt.Errorf("it holds other bytes than those of %q: write the cache anew", want.Digest)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("unpacking layer %q: %w", compressed.Digest, err)
	}
	return nil
}

func decompressor(mediaType string, r io.Reader) (io.ReadCloser, error) {
	switch mediaType {
	case ocispec.MediaTypeImageLayerGzip:
		return gzip.NewReader(r)
	case ocispec.MediaTypeImageLayerZstd:
		z, err := zstd.NewReader(r)
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("media type %q is not known", mediaType)
}
