package pusher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// annotationImage is where containerd and docker look for the full name of an
// image in an index.
const annotationImage = "io.containerd.image.name"

// Layout is an image in an OCI layout or an archive. Close it after use.
type Layout struct {
	Image
	Refs  []string // names it carries there, as written
	close func() error
}

// Close releases the archive's file.
func (l *Layout) Close() error { return l.close() }

// OpenLayout opens an image that lies on disk: an OCI layout directory, an OCI
// archive, or what `docker save` writes, uncompressed. Of several images it
// takes the one for linux/riscv64; a single image is taken whatever its
// platform, so that it can be checked. Errors name the file.
func OpenLayout(path string) (*Layout, error) {
	d, err := openDisk(path)
	if err != nil {
		return nil, err
	}
	l, err := pick(d.Provider, d.index)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening image %q: %w", path, err), d.close())
	}
	l.close = d.close
	return l, nil
}

// disk is what lies on disk: blobs and the index that names them.
type disk struct {
	content.Provider
	index []byte
	close func() error
}

// openDisk opens a layout directory or an archive. Errors name the file.
func openDisk(path string) (*disk, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("opening image %q: %w: name an OCI layout directory or a .tar file", path, err)
	}
	var d *disk
	if fi.IsDir() {
		d, err = openDir(path)
	} else {
		d, err = openArchive(path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening image %q: %w", path, err)
	}
	return d, nil
}

// dirProvider reads the blobs of a layout directory without writing there.
type dirProvider string

// ReaderAt opens a blob.
func (d dirProvider) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", desc.Digest, err)
	}
	return local.OpenReader(filepath.Join(string(d), "blobs", desc.Digest.Algorithm().String(), desc.Digest.Encoded()))
}

func openDir(dir string) (*disk, error) {
	raw, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	if err != nil {
		return nil, fmt.Errorf("%w: name a directory with an OCI layout", err)
	}
	return &disk{Provider: dirProvider(dir), index: raw, close: func() error { return nil }}, nil
}

// candidate is one image of a layout.
type candidate struct {
	desc     ocispec.Descriptor
	refs     []string
	platform string
}

// pick chooses the image of a layout's index.
func pick(from content.Provider, rawIndex []byte) (*Layout, error) {
	var index ocispec.Index
	if err := json.Unmarshal(rawIndex, &index); err != nil {
		return nil, fmt.Errorf("reading index.json: %w: write the layout again", err)
	}
	all, err := candidates(from, index, nil)
	if err != nil {
		return nil, err
	}
	fit := all
	if len(all) > 1 {
		fit = slices.DeleteFunc(slices.Clone(all), func(c *candidate) bool { return c.platform != "linux/riscv64" })
	}
	if len(fit) != 1 {
		return nil, refuse(all, fit)
	}
	desc := ocispec.Descriptor{MediaType: fit[0].desc.MediaType, Digest: fit[0].desc.Digest, Size: fit[0].desc.Size}
	return &Layout{Image: Image{Provider: from, Desc: desc}, Refs: fit[0].refs}, nil
}

// refuse says why no single image could be chosen.
func refuse(all, fit []*candidate) error {
	if len(all) == 0 {
		return errors.New("there is no image in it: build one")
	}
	var names []string
	for _, c := range all {
		names = append(names, fmt.Sprintf("%s (%s)", strings.Join(append(c.refs, c.desc.Digest.String()), " "), c.platform))
	}
	if len(fit) == 0 {
		return fmt.Errorf("there is no linux/riscv64 image, only %s: choose an image for riscv64", strings.Join(names, ", "))
	}
	return fmt.Errorf("it holds %d linux/riscv64 images, %s: write each to a layout of its own", len(fit), strings.Join(names, ", "))
}

// candidates lists the images of an index and those it nests, each once, with
// the names that outer entries give them.
func candidates(from content.Provider, index ocispec.Index, outer []string) ([]*candidate, error) {
	var out []*candidate
	byDigest := map[digest.Digest]*candidate{}
	for _, desc := range index.Manifests {
		if desc.Platform != nil && desc.Platform.OS == "unknown" {
			continue // an attestation
		}
		refs := outer
		if name := nameOf(desc); name != "" {
			refs = append(slices.Clone(outer), name)
		}
		found, err := imagesOf(from, desc, refs)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			if old := byDigest[c.desc.Digest]; old != nil {
				old.refs = append(old.refs, c.refs...)
				continue
			}
			byDigest[c.desc.Digest] = c
			out = append(out, c)
		}
	}
	return out, nil
}

// imagesOf gives the image a descriptor names, or those of a nested index.
func imagesOf(from content.Provider, desc ocispec.Descriptor, refs []string) ([]*candidate, error) {
	raw, err := readBlob(context.Background(), from, desc)
	if err != nil {
		return nil, err
	}
	if images.IsIndexType(desc.MediaType) {
		var nested ocispec.Index
		if err := json.Unmarshal(raw, &nested); err != nil {
			return nil, fmt.Errorf("reading index %q: %w: write the layout again", desc.Digest, err)
		}
		return candidates(from, nested, refs)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("reading manifest %q: %w: write the layout again", desc.Digest, err)
	}
	c := &candidate{desc: desc, refs: refs, platform: "no platform"}
	if p := platformOf(from, m.Config); p != nil {
		c.platform = p.OS + "/" + p.Architecture
	}
	return []*candidate{c}, nil
}

// platformOf reads the platform out of an image config; nil if there is none.
func platformOf(from content.Provider, config ocispec.Descriptor) *ocispec.Platform {
	raw, err := readBlob(context.Background(), from, config)
	if err != nil {
		return nil
	}
	return parsePlatform(raw)
}

// parsePlatform reads the platform of a config's text.
func parsePlatform(raw []byte) *ocispec.Platform {
	var p ocispec.Platform
	if json.Unmarshal(raw, &p) != nil || p.OS == "" || p.Architecture == "" {
		return nil
	}
	return &p
}

// nameOf is the name an index entry gives its image.
func nameOf(desc ocispec.Descriptor) string {
	if name := desc.Annotations[annotationImage]; name != "" {
		return name
	}
	return desc.Annotations[ocispec.AnnotationRefName]
}
