package pusher

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	names "github.com/distribution/reference"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Named is an image, or the index of several, with the names it is to have in a
// layout or an archive.
type Named struct {
	Image
	Names []string
}

// layoutFiles lists the files of a layout, sorted by name. What images have in
// common is there once.
func layoutFiles(ctx context.Context, all []Named) ([]file, error) {
	l := layoutContent{
		files: map[string]file{ocispec.ImageLayoutFile: {name: ocispec.ImageLayoutFile, text: []byte(layoutText)}},
		index: ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex},
		list:  []dockerImage{},
	}
	for _, img := range all {
		add := l.addImage
		if images.IsIndexType(img.Desc.MediaType) {
			add = l.addIndex
		}
		if err := add(ctx, img); err != nil {
			return nil, err
		}
	}
	for name, v := range map[string]any{ocispec.ImageIndexFile: l.index, dockerManifest: l.list} {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		l.files[name] = file{name: name, text: text}
	}
	sorted := make([]file, 0, len(l.files))
	for _, f := range l.files {
		sorted = append(sorted, f)
	}
	slices.SortFunc(sorted, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return sorted, nil
}

// layoutContent is a layout that is being put together.
type layoutContent struct {
	files map[string]file // by name
	index ocispec.Index   // index.json
	list  []dockerImage   // manifest.json
}

// addImage adds one image.
func (l *layoutContent) addImage(ctx context.Context, img Named) error {
	m, err := l.addManifest(ctx, img.Image)
	if err != nil {
		return err
	}
	desc := bareDescriptor(img.Desc)
	if desc.Platform, err = platformIn(img.Provider, m); err != nil {
		return err
	}
	entries, err := namedEntries(desc, img.Names)
	if err != nil {
		return err
	}
	l.index.Manifests = append(l.index.Manifests, entries...)
	one, err := dockerEntry(m.raw, entries)
	l.list = append(l.list, one)
	return err
}

// addIndex adds the images of an index. Those who read manifest.json know no
// indexes: there each image has the names with its architecture behind them.
func (l *layoutContent) addIndex(ctx context.Context, img Named) error {
	raw, err := readBlob(ctx, img.Provider, img.Desc)
	if err != nil {
		return err
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return fmt.Errorf("reading index %q: %w: build the image again", img.Desc.Digest, err)
	}
	desc := bareDescriptor(img.Desc)
	entries, err := namedEntries(desc, img.Names)
	if err != nil {
		return err
	}
	l.index.Manifests = append(l.index.Manifests, entries...)
	l.files[blobName(desc.Digest)] = file{name: blobName(desc.Digest), blob: desc, from: img.Provider}
	for _, d := range index.Manifests {
		m, err := l.addManifest(ctx, Image{img.Provider, d})
		if err != nil {
			return err
		}
		p, err := platformIn(img.Provider, m)
		if err != nil {
			return err
		}
		if p == nil {
			return fmt.Errorf("reading image %q of index %q: its configuration names no platform: build it again", d.Digest, desc.Digest)
		}
		one, err := dockerEntry(m.raw, entries)
		if err != nil {
			return err
		}
		for i := range one.RepoTags {
			one.RepoTags[i] += "-" + p.Architecture
		}
		l.list = append(l.list, one)
	}
	return nil
}

// addManifest adds the blobs of an image.
func (l *layoutContent) addManifest(ctx context.Context, img Image) (manifest, error) {
	m, err := readManifest(ctx, img)
	if err != nil {
		return m, err
	}
	for _, b := range append(m.blobs, bareDescriptor(img.Desc)) {
		l.files[blobName(b.Digest)] = file{name: blobName(b.Digest), blob: b, from: img.Provider}
	}
	return m, nil
}

func bareDescriptor(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// platformIn is the platform of an image by its own configuration; nil where it
// says none.
func platformIn(from content.Provider, m manifest) (*ocispec.Platform, error) {
	var parsed ocispec.Manifest
	if err := json.Unmarshal(m.raw, &parsed); err != nil {
		return nil, fmt.Errorf("reading manifest %q: %w: build the image again", m.image.Desc.Digest, err)
	}
	return platformOf(from, parsed.Config), nil
}

// namedEntries are the entries of index.json for an image: one for each name,
// or one without a name.
func namedEntries(desc ocispec.Descriptor, list []string) ([]ocispec.Descriptor, error) {
	if len(list) == 0 {
		return []ocispec.Descriptor{desc}, nil
	}
	var entries []ocispec.Descriptor
	for _, ref := range list {
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
