package pusher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ArtifactDir is an OCI layout directory that holds one artifact, and adds and
// removes single blobs when that is replaced.
type ArtifactDir string

// String is the directory.
func (a ArtifactDir) String() string { return string(a) }

// Open copies the manifest and its config into a store. An error wraps
// fs.ErrNotExist where there is no layout.
func (a ArtifactDir) Open(ctx context.Context, dst content.Store) (ocispec.Descriptor, error) {
	raw, err := os.ReadFile(filepath.Join(string(a), ocispec.ImageIndexFile))
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("opening directory %q: %w: name one with an OCI layout", a, err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil || len(index.Manifests) != 1 {
		return ocispec.Descriptor{}, fmt.Errorf("opening directory %q: its index.json does not name one artifact: remove the directory", a)
	}
	desc := index.Manifests[0]
	if err := a.Fetch(ctx, desc, dst); err != nil {
		return desc, err
	}
	m, err := readManifest(ctx, Image{dst, desc})
	if err != nil {
		return desc, err
	}
	return desc, a.Fetch(ctx, m.blobs[len(m.blobs)-1], dst)
}

// Fetch copies a blob into a store, which verifies it.
func (a ArtifactDir) Fetch(ctx context.Context, blob ocispec.Descriptor, dst content.Store) error {
	return copyBlob(ctx, dirProvider(a), dst, blob)
}

// Write copies a manifest and its blobs into the directory, names it in
// index.json, and removes what nothing names any more.
func (a ArtifactDir) Write(ctx context.Context, manifest Image) error {
	err := a.write(ctx, manifest)
	if err != nil {
		return onDisk(fmt.Errorf("writing directory %q: %w", a, err))
	}
	return nil
}

func (a ArtifactDir) write(ctx context.Context, manifest Image) error {
	m, err := readManifest(ctx, manifest)
	if err != nil {
		return err
	}
	store, err := local.NewStore(string(a))
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, b := range append(m.blobs, manifest.Desc) {
		keep[blobName(b.Digest)] = true
		if err := copyBlob(ctx, manifest.Provider, store, b); err != nil {
			return err
		}
	}
	index, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{bareDescriptor(manifest.Desc)},
	})
	if err != nil {
		return err
	}
	for _, f := range []file{{name: ocispec.ImageLayoutFile, text: []byte(layoutText)}, {name: ocispec.ImageIndexFile, text: index}} {
		err := aside(filepath.Join(string(a), f.name), func(w io.Writer) error { return f.writeTo(ctx, w) })
		if err != nil {
			return err
		}
	}
	return store.Walk(ctx, func(info content.Info) error {
		if keep[blobName(info.Digest)] {
			return nil
		}
		return os.Remove(filepath.Join(string(a), blobName(info.Digest)))
	})
}

// copyBlob copies a blob into a store that does not have it, and verifies it.
func copyBlob(ctx context.Context, from content.Provider, to content.Store, blob ocispec.Descriptor) error {
	if _, err := to.Info(ctx, blob.Digest); err == nil {
		return nil
	}
	ra, err := from.ReaderAt(ctx, blob)
	if errdefs.IsNotFound(err) {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if err != nil {
		return fmt.Errorf("reading blob %q: %w", blob.Digest, err)
	}
	defer ra.Close()
	bare := ocispec.Descriptor{Digest: blob.Digest, Size: blob.Size}
	err = content.WriteBlob(ctx, to, "riscv-build/copy/"+blob.Digest.String(), content.NewReader(ra), bare)
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return errors.Join(fmt.Errorf("copying blob %q: %w", blob.Digest, err), to.Abort(ctx, "riscv-build/copy/"+blob.Digest.String()))
	}
	return nil
}
