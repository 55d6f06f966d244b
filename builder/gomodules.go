package builder

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/gomod"
	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// modulesImage holds the modules of a recipe as a module proxy would serve
// them, "" where it needs none.
func (b *Builder) modulesImage(ctx context.Context, p *plan) (digest.Digest, error) {
	locked := p.sourceFiles(goModulesSource)
	if len(locked) == 0 {
		return "", nil
	}
	write := func(w io.Writer) error {
		var files []image.Stream
		for _, f := range locked {
			name := strings.TrimPrefix(f.URL, gomod.Scheme)
			files = append(files, image.Stream{Name: name, Mode: 0o644, Size: f.Size, Open: func() (io.ReadCloser, error) {
				return b.store.Open(ctx, digest.NewDigestFromEncoded(digest.SHA256, f.SHA256))
			}})
			info, err := moduleInfo(f)
			if err != nil {
				return err
			}
			if path.Ext(name) == ".mod" {
				files = append(files, bytesStream(strings.TrimSuffix(name, ".mod")+".info", info))
			}
		}
		return image.WriteStreams(w, files, glueDate)
	}
	l, err := b.keptLayer(ctx, p, goLayer{p.goLayerKeys()[goModulesSource], "modules of " + p.req.Recipe.Name, locked, write})
	if err != nil {
		return "", err
	}
	return b.rootImage(ctx, p.host.Architecture, []image.Layer{l})
}

// moduleInfo is what a proxy says of a version. Its time is not told: proxies
// may tell others, and a build does not ask.
func moduleInfo(f lock.Blob) ([]byte, error) {
	v, err := moduleOf(f)
	return fmt.Appendf(nil, "{\"Version\":%q}\n", v.Version), err
}

func bytesStream(name string, data []byte) image.Stream {
	return image.Stream{Name: name, Mode: 0o644, Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// moduleTree is the layer of the sources image that holds a Go source, unpacked.
func (b *Builder) moduleTree(ctx context.Context, p *plan, name string) (image.Layer, error) {
	files := p.sourceFiles(name)
	if len(files) != 1 {
		return image.Layer{}, fmt.Errorf("looking up module %q: the lock does not have it: run `riscv-build lock --update %s`", p.req.Recipe.Source[name].Go, p.req.Recipe.Name)
	}
	if err := b.ensureFiles(ctx, p, files); err != nil {
		return image.Layer{}, err
	}
	a, done, err := b.openModule(ctx, files[0])
	if err != nil {
		return image.Layer{}, err
	}
	defer done()
	own, err := b.ownFiles(ctx, p, name, a)
	if err != nil {
		return image.Layer{}, err
	}
	parts := []string{goFormat, name, files[0].SHA256}
	for _, n := range []string{"go.mod", "go.sum"} {
		parts = append(parts, string(own[n]))
	}
	write := func(w io.Writer) error {
		var tree []image.Stream
		for _, n := range a.Names() {
			to := path.Join(name, "tree", n)
			if text, ok := own[n]; ok {
				tree = append(tree, bytesStream(to, text))
				continue
			}
			tree = append(tree, stream(a, n, to))
		}
		return image.WriteStreams(w, tree, glueDate)
	}
	return b.keptLayer(ctx, p, goLayer{key("gomodule", parts...), p.req.Recipe.Source[name].Go, files, write})
}

// ownFiles are the go.mod and go.sum of the module to build where they are
// others than in its zip, because siblings that it names are not beside it.
func (b *Builder) ownFiles(ctx context.Context, p *plan, name string, a *gomod.Archive) (map[string][]byte, error) {
	r := p.req.Recipe
	if built, dir, ok := r.ModuleSource(); !isGo(r) || !ok || built != name || dir != "." {
		return nil, nil
	}
	goMod, err1 := a.Read("go.mod")
	goSum, err2 := a.Read("go.sum")
	if err := cmp.Or(err1, err2); err != nil {
		return nil, err
	}
	m, err := gomod.Read(goMod, goSum, true)
	if err != nil || len(m.Dropped) == 0 {
		return nil, err
	}
	var dropped []gomod.Module
	for _, d := range m.Dropped {
		if d.ZipSum, d.ModSum, err = b.lockedSums(ctx, p, d); err != nil {
			return nil, err
		}
		dropped = append(dropped, d)
	}
	own := map[string][]byte{}
	own["go.mod"], own["go.sum"], err = m.Alone(dropped)
	return own, err
}

// lockedSums computes the checksums of a module that the lock has.
func (b *Builder) lockedSums(ctx context.Context, p *plan, m gomod.Module) (zip, mod string, err error) {
	found := map[string]lock.Blob{}
	for _, ext := range []string{"zip", "mod"} {
		location, err := gomod.Location(m.Version, ext)
		if err != nil {
			return "", "", err
		}
		for _, f := range p.sourceFiles(goModulesSource) {
			if f.URL == location {
				found[ext] = f
			}
		}
		if found[ext].URL == "" {
			return "", "", fmt.Errorf("looking up %q: the lock does not have it: run `riscv-build lock --update %s`", location, p.req.Recipe.Name)
		}
	}
	if err := b.ensureFiles(ctx, p, []lock.Blob{found["zip"], found["mod"]}); err != nil {
		return "", "", err
	}
	if zip, err = b.zipSum(ctx, found["zip"]); err != nil {
		return "", "", err
	}
	mod, err = b.modSum(ctx, found["mod"])
	return zip, mod, err
}

// zipSum computes the checksum of a zip of the store.
func (b *Builder) zipSum(ctx context.Context, f lock.Blob) (string, error) {
	a, done, err := b.openModule(ctx, f)
	if err != nil {
		return "", err
	}
	defer done()
	return a.Sum()
}

// modSum computes the checksum of a go.mod of the store.
func (b *Builder) modSum(ctx context.Context, f lock.Blob) (string, error) {
	r, err := b.store.Open(ctx, digest.NewDigestFromEncoded(digest.SHA256, f.SHA256))
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("reading %q: %w", f.URL, err)
	}
	return gomod.ModSum(data)
}
