package pusher

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	names "github.com/distribution/reference"
	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	layoutText = `{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`
	emptyIndex = `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`
)

// files are the blobs and manifests, each once, sorted by name.
func (g *graph) files() []file {
	var all []file
	seen := map[digest.Digest]bool{}
	for _, p := range g.parts {
		for _, d := range append(slices.Clone(p.blobs), p.desc) {
			if !seen[d.Digest] {
				seen[d.Digest] = true
				all = append(all, file{name: blobName(d.Digest), blob: d, from: g.from})
			}
		}
	}
	slices.SortFunc(all, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return all
}

// entries are what index.json gets: the root under its names, and what refers
// to a manifest, which nothing else leads to.
func (g *graph) entries(name string) ([]ocispec.Descriptor, error) {
	list := g.root.names
	if name != "" {
		list = []string{name}
	}
	var all []ocispec.Descriptor
	for _, p := range g.parts {
		d := p.desc
		if p.platform.OS != "" {
			d.Platform = &p.platform
		}
		switch {
		case d.Digest == g.root.desc.Digest && len(list) > 0:
			for _, n := range list {
				a, err := nameAnnotations(n)
				if err != nil {
					return nil, err
				}
				d.Annotations = a
				all = append(all, d)
			}
		case d.Digest == g.root.desc.Digest, refers(p):
			all = append(all, d)
		}
	}
	return all, nil
}

func refers(p part) bool {
	var m ocispec.Manifest
	return json.Unmarshal(p.raw, &m) == nil && m.Subject != nil
}

// nameAnnotations are how an entry of index.json is named: by its tag, and in
// full where the name is more than a tag.
func nameAnnotations(name string) (map[string]string, error) {
	if !strings.ContainsAny(name, "/:") {
		return map[string]string{ocispec.AnnotationRefName: name}, nil
	}
	n, err := names.ParseDockerRef(name)
	if err != nil {
		return nil, fmt.Errorf("reading image name %q: %w: write a tag, or REPOSITORY:TAG in lower case", name, err)
	}
	a := map[string]string{annotationImage: n.String()}
	if tagged, ok := n.(names.NamedTagged); ok {
		a[ocispec.AnnotationRefName] = tagged.Tag()
	}
	return a, nil
}

// intoLayout adds what is copied to a layout directory. The index is written
// last, so it never names what is not there; a name moves to the new image.
func (g *graph) intoLayout(ctx context.Context, to location) error {
	entries, err := g.entries(to.name)
	if err == nil {
		err = writeInto(ctx, to.path, g.files(), entries)
	}
	if err != nil {
		return onDisk(fmt.Errorf("writing image to %q: %w", to, err))
	}
	return nil
}

func writeInto(ctx context.Context, dir string, files []file, entries []ocispec.Descriptor) error {
	marker := filepath.Join(dir, ocispec.ImageLayoutFile)
	if _, err := os.Stat(filepath.Join(dir, ocispec.ImageIndexFile)); err != nil {
		if err := layoutOrEmpty(dir); err != nil {
			return err
		}
	}
	if _, err := os.Stat(marker); err != nil {
		if err := writeFile(ctx, dir, file{name: ocispec.ImageLayoutFile, text: []byte(layoutText)}); err != nil {
			return err
		}
	}
	// Two copies into one layout would each write an index without the other's image.
	lock := flock.New(marker, flock.SetFlag(os.O_RDONLY))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("locking %q: %w: check the permissions of the directory", marker, err)
	}
	defer lock.Unlock() //nolint:errcheck // closing the file unlocks it too
	for _, f := range files {
		if err := writeFile(ctx, dir, f); err != nil {
			return err
		}
	}
	for _, made := range []string{filepath.Dir(filepath.Clean(dir)), dir, filepath.Join(dir, "blobs")} {
		if err := syncDir(made); err != nil {
			return err
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	if os.IsNotExist(err) {
		raw, err = []byte(emptyIndex), nil
	}
	if err != nil {
		return err
	}
	if raw, err = mergeEntries(raw, entries); err != nil {
		return fmt.Errorf("reading index.json: %w: write the layout again", err)
	}
	return writeFile(ctx, dir, file{name: ocispec.ImageIndexFile, text: raw})
}

// mergeEntries adds entries to an index. An old entry of the same name, and one
// of the same image without a name, make way; all others keep their bytes.
func mergeEntries(raw []byte, entries []ocispec.Descriptor) ([]byte, error) {
	return editManifests(raw, func(old []json.RawMessage) ([]json.RawMessage, error) {
		kept := slices.DeleteFunc(old, func(text json.RawMessage) bool {
			var o ocispec.Descriptor
			if json.Unmarshal(text, &o) != nil {
				return false
			}
			return slices.ContainsFunc(entries, func(n ocispec.Descriptor) bool { return makesWay(o, n) })
		})
		for _, e := range entries {
			text, err := json.Marshal(e)
			if err != nil {
				return nil, err
			}
			kept = append(kept, text)
		}
		return kept, nil
	})
}

func makesWay(before, now ocispec.Descriptor) bool {
	if before.Digest == now.Digest && nameOf(before) == "" {
		return true
	}
	full, tag := now.Annotations[annotationImage], now.Annotations[ocispec.AnnotationRefName]
	if before.Annotations[annotationImage] != full {
		return false
	}
	return full != "" || tag != "" && before.Annotations[ocispec.AnnotationRefName] == tag
}

// intoArchive writes a tar file in one step. A single image is readable for
// `docker load` of every version too.
func (g *graph) intoArchive(ctx context.Context, to location) error {
	files, err := g.archiveFiles(to.name)
	if err == nil {
		err = writeArchive(ctx, files, to.path)
	}
	if err != nil {
		return onDisk(fmt.Errorf("writing image to %q: %w", to, err))
	}
	return nil
}

func (g *graph) archiveFiles(name string) ([]file, error) {
	entries, err := g.entries(name)
	if err != nil {
		return nil, err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: entries}
	text, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	files := append(g.files(), file{name: ocispec.ImageLayoutFile, text: []byte(layoutText)}, file{name: ocispec.ImageIndexFile, text: text})
	if len(g.parts) == 1 && images.IsManifestType(g.parts[0].desc.MediaType) {
		one, err := dockerEntry(g.parts[0].raw, entries)
		if err != nil {
			return nil, err
		}
		list, err := json.Marshal([]dockerImage{one})
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: dockerManifest, text: list})
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, nil
}
