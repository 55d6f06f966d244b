package pusher

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	names "github.com/distribution/reference"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Named is an image with the names it is to have in a layout or an archive.
type Named struct {
	Image
	Names []string
}

// layoutFiles lists the files of a layout, sorted by name. What images have in
// common is there once.
func layoutFiles(ctx context.Context, all []Named) ([]file, error) {
	files := map[string]file{
		ocispec.ImageLayoutFile: {name: ocispec.ImageLayoutFile, text: []byte(layoutText)},
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	list := []dockerImage{}
	for _, img := range all {
		m, err := readManifest(ctx, img.Image)
		if err != nil {
			return nil, err
		}
		desc := ocispec.Descriptor{MediaType: img.Desc.MediaType, Digest: img.Desc.Digest, Size: img.Desc.Size}
		for _, b := range append(m.blobs, desc) {
			files[blobName(b.Digest)] = file{name: blobName(b.Digest), blob: b, from: img.Provider}
		}
		entries, err := namedEntries(img, m.raw, desc)
		if err != nil {
			return nil, err
		}
		index.Manifests = append(index.Manifests, entries...)
		one, err := dockerEntry(m.raw, entries)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	for name, v := range map[string]any{ocispec.ImageIndexFile: index, dockerManifest: list} {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		files[name] = file{name: name, text: text}
	}
	sorted := make([]file, 0, len(files))
	for _, f := range files {
		sorted = append(sorted, f)
	}
	slices.SortFunc(sorted, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return sorted, nil
}

// namedEntries are the entries of index.json for an image: one for each name,
// or one without a name.
func namedEntries(img Named, raw []byte, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var parsed ocispec.Manifest
	if err := json.Unmarshal(raw, &parsed); err != nil {
		return nil, fmt.Errorf("reading manifest %q: %w: build the image again", desc.Digest, err)
	}
	desc.Platform = platformOf(img.Provider, parsed.Config)
	if len(img.Names) == 0 {
		return []ocispec.Descriptor{desc}, nil
	}
	var entries []ocispec.Descriptor
	for _, ref := range img.Names {
		_, plain := cutScheme(ref)
		named, err := names.ParseNormalizedNamed(plain)
		if err != nil {
			return nil, fmt.Errorf("reading image name %q: %w: write REPOSITORY:TAG in lower case", ref, err)
		}
		tagged, ok := names.TagNameOnly(named).(names.NamedTagged)
		if !ok {
			return nil, fmt.Errorf("reading image name %q: it has no tag: write REPOSITORY:TAG", ref)
		}
		entry := desc
		entry.Annotations = map[string]string{annotationImage: tagged.String(), ocispec.AnnotationRefName: tagged.Tag()}
		entries = append(entries, entry)
	}
	return entries, nil
}

// dockerEntry is what manifest.json says of an image.
func dockerEntry(raw []byte, entries []ocispec.Descriptor) (dockerImage, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return dockerImage{}, err
	}
	one := dockerImage{Config: blobName(m.Config.Digest), RepoTags: []string{}}
	for _, l := range m.Layers {
		one.Layers = append(one.Layers, blobName(l.Digest))
	}
	for _, e := range entries {
		if n, err := names.ParseDockerRef(e.Annotations[annotationImage]); err == nil {
			one.RepoTags = append(one.RepoTags, names.FamiliarString(n))
		}
	}
	return one, nil
}
