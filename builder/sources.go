package builder

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes"
)

// sourceImage puts the source files and patches of a recipe, as they are, into
// one image; unpacking and patching are steps of the graph.
func (b *Builder) sourceImage(ctx context.Context, p *plan) (manifest digest.Digest, script string, err error) {
	r := p.req.Recipe
	if len(r.Source) == 0 && len(r.Build.Patches) == 0 {
		return "", "", nil
	}
	t := image.NewTree()
	defer t.Close()
	var files []graph.SourceFiles
	var trees []image.Layer
	for _, name := range sourceNames(r) {
		sf, err := b.addSource(ctx, t, p, name)
		if err != nil {
			return "", "", fmt.Errorf("adding source %q of recipe %q: %w", name, r.Name, err)
		}
		files = append(files, sf)
		if r.Source[name].Go != "" {
			tree, err := b.moduleTree(ctx, p, name)
			if err != nil {
				return "", "", fmt.Errorf("adding source %q of recipe %q: %w", name, r.Name, err)
			}
			trees = append(trees, tree)
		}
	}
	var patches []string
	for i, from := range r.Build.Patches {
		data, err := fs.ReadFile(r.Dir, path.Clean(from))
		if err != nil {
			return "", "", fmt.Errorf("reading patch %q of recipe %q: %w", from, r.Name, err)
		}
		name := fmt.Sprintf("%04d-%s", i+1, path.Base(from))
		t.Add(tar.Header{Typeflag: tar.TypeReg, Name: "patches/" + name, Mode: 0o644}, data)
		patches = append(patches, name)
	}
	layer, err := image.PutTar(ctx, b.store.Content(), "sources of "+r.Name, func(w io.Writer) error { return t.Write(w, p.date) })
	if err != nil {
		return "", "", err
	}
	manifest, err = b.rootImage(ctx, p.host.Architecture, append([]image.Layer{layer}, trees...))
	return manifest, graph.UnpackScript(files, patches), err
}

func (b *Builder) addSource(ctx context.Context, t *image.Tree, p *plan, name string) (graph.SourceFiles, error) {
	src := p.req.Recipe.Source[name]
	sf := graph.SourceFiles{Name: name, Into: src.Into}
	if src.Dir != "" {
		return sf, addDir(t, p.req.Recipe.Dir, src.Dir, name+"/tree")
	}
	if src.Go != "" {
		return sf, nil // its tree is a layer of its own
	}
	for _, f := range p.sourceFiles(name) {
		base := sourceFileName(f)
		d := digest.NewDigestFromEncoded(digest.SHA256, f.SHA256)
		err := t.AddBlob(ctx, b.store.Content(), ocispec.Descriptor{Digest: d},
			tar.Header{Typeflag: tar.TypeReg, Name: name + "/" + base, Mode: 0o644})
		if err != nil {
			return sf, err
		}
		sf.Files = append(sf.Files, base)
	}
	return sf, nil
}

// addDir adds a local directory; of the modes only the executable bit counts.
func addDir(t *image.Tree, dir fs.FS, from, to string) error {
	return fs.WalkDir(dir, path.Clean(from), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := to + strings.TrimPrefix(p, path.Clean(from))
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			t.Add(tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, nil)
		case d.Type().IsRegular():
			data, err := fs.ReadFile(dir, p)
			if err != nil {
				return err
			}
			t.Add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644 | int64(info.Mode().Perm()&0o111)}, data)
		default:
			return fmt.Errorf("reading %q: a source directory may hold files and directories only", p)
		}
		return nil
	})
}

func sourceNames(r *recipes.Recipe) []string {
	var names []string
	for n := range r.Source {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
