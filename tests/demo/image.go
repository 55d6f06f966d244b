//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/containerd/v2/plugins/content/local"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/pusher"
)

// unpacked is an image as a directory.
type unpacked struct {
	root   string
	config ocispec.Image
}

// pull fetches an image from a registry, as any client does, and unpacks it.
func pull(ctx context.Context, ref, work string) (*unpacked, error) {
	store, err := local.NewStore(filepath.Join(work, "pulled"))
	if err != nil {
		return nil, err
	}
	desc, err := pusher.New(pusher.Options{}).Fetch(ctx, "http://"+ref, store)
	if err != nil {
		return nil, fmt.Errorf("pulling %q: %w", ref, err)
	}
	var manifest ocispec.Manifest
	if err := readJSON(ctx, store, desc, &manifest); err != nil {
		return nil, err
	}
	img := &unpacked{root: filepath.Join(work, "bundle", "rootfs")}
	if err := readJSON(ctx, store, manifest.Config, &img.config); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(img.root, 0o755); err != nil {
		return nil, err
	}
	for _, layer := range manifest.Layers {
		if err := unpack(ctx, store, layer, img.root); err != nil {
			return nil, fmt.Errorf("unpacking layer %q: %w", layer.Digest, err)
		}
	}
	return img, nil
}

func readJSON(ctx context.Context, from content.Provider, desc ocispec.Descriptor, v any) error {
	raw, err := content.ReadBlob(ctx, from, desc)
	if err != nil {
		return fmt.Errorf("reading %q: %w", desc.Digest, err)
	}
	return json.Unmarshal(raw, v)
}

func unpack(ctx context.Context, from content.Provider, layer ocispec.Descriptor, root string) error {
	blob, err := from.ReaderAt(ctx, layer)
	if err != nil {
		return err
	}
	defer blob.Close()
	r, err := compression.DecompressStream(content.NewReader(blob))
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = archive.Apply(ctx, root, r)
	return err
}
