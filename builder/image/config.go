package image

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// DefaultPath is PATH of an image that sets none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Platform is the only platform that leaves this program.
var Platform = ocispec.Platform{OS: "linux", Architecture: "riscv64"}

// Spec is what an image is made of, beside its blobs.
type Spec struct {
	Platform    ocispec.Platform
	Config      ocispec.ImageConfig
	Layers      []Layer // lowest first
	Annotations map[string]string
	Created     time.Time
}

// Write writes configuration and manifest and returns the manifest's descriptor
// (image-spec, manifest.md and config.md).
func Write(ctx context.Context, store content.Store, s Spec) (ocispec.Descriptor, error) {
	created := s.Created.UTC().Truncate(time.Second)
	cfg := ocispec.Image{
		Created:  &created,
		Platform: s.Platform,
		Config:   s.Config,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}},
	}
	m := ocispec.Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   ocispec.MediaTypeImageManifest,
		Annotations: s.Annotations,
		Layers:      []ocispec.Descriptor{},
	}
	for _, l := range s.Layers {
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, l.DiffID)
		cfg.History = append(cfg.History, ocispec.History{Created: &created, CreatedBy: createdBy + l.Note})
		m.Layers = append(m.Layers, l.Desc)
	}
	var err error
	if m.Config, err = putJSON(ctx, store, ocispec.MediaTypeImageConfig, cfg); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("writing image configuration: %w", err)
	}
	desc, err := putJSON(ctx, store, ocispec.MediaTypeImageManifest, m)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("writing image manifest: %w", err)
	}
	p := s.Platform
	desc.Platform = &p
	return desc, nil
}

// createdBy begins the history entry of a layer; its note follows.
const createdBy = "riscv-build: "

// Note is that of a layer of an image that Write wrote.
func Note(c *ocispec.Image, layer int) string {
	if layer >= len(c.History) {
		return ""
	}
	return strings.TrimPrefix(c.History[layer].CreatedBy, createdBy)
}

// Env turns a map into NAME=value entries, PATH first, the rest sorted.
func Env(m map[string]string) []string {
	p, ok := m["PATH"]
	if !ok {
		p = DefaultPath
	}
	out := []string{"PATH=" + p}
	names := make([]string, 0, len(m))
	for k := range m {
		if k != "PATH" {
			names = append(names, k)
		}
	}
	sort.Strings(names)
	for _, k := range names {
		out = append(out, k+"="+m[k])
	}
	return out
}

// WriteIndex writes the index of images for several platforms and returns its
// descriptor (image-spec, image-index.md).
func WriteIndex(ctx context.Context, store content.Store, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests}
	desc, err := putJSON(ctx, store, index.MediaType, index)
	if err != nil {
		return desc, fmt.Errorf("writing image index: %w", err)
	}
	return desc, nil
}
