package builder

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/mod/module"

	"github.com/riscv-build/riscv-build/builder/debian/rootfs"
	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/builder/gomod"
	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// Sources that the lock of a Go recipe has besides those of the recipe, which
// cannot have such names.
const (
	goToolchainSource = "go/toolchain"
	goModulesSource   = "go/modules"
)

// goFormat changes when the same zips give other layers.
const goFormat = "1"

// goTools are what steps of a Go recipe use besides the Go tool chain. There
// is no C compiler and no sysroot: cgo is off.
var goTools = []string{"base-files", "bash", "bzip2", "coreutils", "dash", "diffutils", "findutils", "gawk", "grep", "gzip", "patch", "sed", "tar", "xz-utils"}

// isGo tells whether a recipe is compiled by a Go tool chain.
func isGo(r *recipes.Recipe) bool { return r.Build.Template == "go" }

func goWants(r *recipes.Recipe) []want {
	var out []want
	for _, h := range hosts {
		shared, own := goSets(r, h)
		out = append(out,
			want{set: shared, arch: h, packages: goTools},
			want{set: own, below: shared, arch: h, packages: union(goTools, r.Build.Tools)})
	}
	return out
}

// goSets names the shared set and the recipe's own of what a Go build's steps use.
func goSets(r *recipes.Recipe, host string) (shared, own string) {
	return "toolchain/golang/" + host + suffix(r), "tools/" + r.Name + "/" + host
}

// runs tells whether a tool chain is the build host's.
func (p *plan) runs(f lock.Blob) bool {
	return strings.HasSuffix(f.URL, ".linux-"+p.host.Architecture+".zip")
}

// goToolchain finds the Go tool chain of the build host in the lock.
func (p *plan) goToolchain() (lock.Blob, error) {
	for _, f := range p.sourceFiles(goToolchainSource) {
		if p.runs(f) {
			return f, nil
		}
	}
	return lock.Blob{}, fmt.Errorf("looking up the Go tool chain of recipe %q: the lock has none that runs on %s: run `riscv-build lock --update %s` where a module proxy has it, or build on another machine",
		p.req.Recipe.Name, p.host.Architecture, p.req.Recipe.Name)
}

// goGraph assembles what compiles a Go recipe, and makes its graph.
func (b *Builder) goGraph(ctx context.Context, p *plan) (*made, error) {
	in, err := graphInput(p)
	if err != nil {
		return nil, err
	}
	in.Go = &graph.Go{}
	shared, own := goSets(p.req.Recipe, p.host.Architecture)
	if in.Go.Toolchain, err = b.goRoot(ctx, p, stackPlan{shared: shared, own: shared, spec: rootfs.Spec{Purpose: rootfs.Toolchain}}); err != nil {
		return nil, err
	}
	if in.Toolchain, err = b.goRoot(ctx, p, stackPlan{shared: shared, own: own, spec: rootfs.Spec{Purpose: rootfs.Toolchain}}); err != nil {
		return nil, err
	}
	if in.Go.Modules, err = b.modulesImage(ctx, p); err != nil {
		return nil, err
	}
	if in.Sources, in.Unpack, err = b.sourceImage(ctx, p); err != nil {
		return nil, err
	}
	g := &made{}
	g.definition, err = graph.Marshal(ctx, in)
	return g, err
}

// goRootKeys name what the root filesystems of a Go build are made of.
func (p *plan) goRootKeys() (*graph.Go, digest.Digest, error) {
	shared, own := goSets(p.req.Recipe, p.host.Architecture)
	keys := p.goLayerKeys()
	var roots [2]digest.Digest
	for i, set := range []string{shared, own} {
		k, err := rootKey(p, set, rootfs.Toolchain)
		if err != nil {
			return nil, "", err
		}
		roots[i] = digest.FromString(k + keys[goToolchainSource])
	}
	return &graph.Go{Toolchain: roots[0], Modules: digest.FromString(keys[goModulesSource])}, roots[1], nil
}

// goRoot makes the root filesystem of packages and the Go tool chain.
func (b *Builder) goRoot(ctx context.Context, p *plan, st stackPlan) (digest.Digest, error) {
	packages, err := b.stack(ctx, p, st)
	if err != nil {
		return "", err
	}
	goLayer, err := b.goToolchainLayer(ctx, p)
	if err != nil {
		return "", err
	}
	return b.rootImage(ctx, p.host.Architecture, append(images(packages), goLayer))
}

// goLayerKeys are the cache entries of the layers that are made of what the
// lock's Go sources hold.
func (p *plan) goLayerKeys() map[string]string {
	keys := map[string]string{}
	if f, err := p.goToolchain(); err == nil {
		keys[goToolchainSource] = key("gotoolchain", goFormat, f.SHA256)
	}
	var parts []string
	for _, f := range p.sourceFiles(goModulesSource) {
		parts = append(parts, f.URL, f.SHA256)
	}
	keys[goModulesSource] = key("gomodules", append(parts, goFormat)...)
	return keys
}

// goStands names the sources of the lock whose layers are in the store.
func (b *Builder) goStands(ctx context.Context, p *plan) map[string]bool {
	stand := map[string]bool{}
	if isGo(p.req.Recipe) {
		for name, k := range p.goLayerKeys() {
			var l image.Layer
			stand[name] = b.cache.get(k, &l) && b.has(ctx, l.Desc.Digest)
		}
	}
	return stand
}

// goLayer is a layer that is made once, of files of the lock.
type goLayer struct {
	key, note string
	files     []lock.Blob
	write     func(w io.Writer) error
}

// keptLayer makes a layer where the store does not have it.
func (b *Builder) keptLayer(ctx context.Context, p *plan, g goLayer) (image.Layer, error) {
	v, err, _ := b.layers.Do(g.key, func() (any, error) {
		var l image.Layer
		if b.cache.get(g.key, &l) && b.has(ctx, l.Desc.Digest) {
			return l, nil
		}
		if err := b.ensureFiles(ctx, p, g.files); err != nil {
			return l, err
		}
		b.cfg.Display.Verbose("assembling %s: %d files", g.note, len(g.files))
		l, err := image.PutTar(ctx, b.store.Content(), g.note, g.write)
		if err != nil {
			return l, err
		}
		return l, b.cache.put(g.key, l)
	})
	l, _ := v.(image.Layer)
	l.Note = g.note
	return l, err
}

// goToolchainLayer is the Go tool chain of the build host, without what no build needs.
func (b *Builder) goToolchainLayer(ctx context.Context, p *plan) (image.Layer, error) {
	f, err := p.goToolchain()
	if err != nil {
		return image.Layer{}, err
	}
	write := func(w io.Writer) error {
		a, done, err := b.openModule(ctx, f)
		if err != nil {
			return err
		}
		defer done()
		var files []image.Stream
		for _, name := range a.Names() {
			to, executable := gomod.ToolchainFile(name)
			if to == "" {
				continue
			}
			s := stream(a, name, graph.GoRoot[1:]+"/"+to)
			if executable {
				s.Mode = 0o755
			}
			files = append(files, s)
		}
		return image.WriteStreams(w, files, glueDate)
	}
	return b.keptLayer(ctx, p, goLayer{p.goLayerKeys()[goToolchainSource], path.Base(f.URL), []lock.Blob{f}, write})
}

func stream(a *gomod.Archive, name, to string) image.Stream {
	return image.Stream{Name: to, Mode: 0o644, Size: a.Size(name), Open: func() (io.ReadCloser, error) { return a.OpenFile(name) }}
}

// openModule opens a module's zip of the store.
func (b *Builder) openModule(ctx context.Context, f lock.Blob) (*gomod.Archive, func(), error) {
	v, err := moduleOf(f)
	if err != nil {
		return nil, nil, err
	}
	r, err := b.store.Open(ctx, digest.NewDigestFromEncoded(digest.SHA256, f.SHA256))
	if err != nil {
		return nil, nil, err
	}
	a, err := gomod.Open(v, r, r.Size())
	if err != nil {
		r.Close()
		return nil, nil, err
	}
	return a, func() { r.Close() }, nil
}

// moduleOf reads the module out of the location of its zip or go.mod.
func moduleOf(f lock.Blob) (module.Version, error) {
	escaped, file, _ := strings.Cut(strings.TrimPrefix(f.URL, gomod.Scheme), "/@v/")
	p, err := module.UnescapePath(escaped)
	if err != nil {
		return module.Version{}, fmt.Errorf("reading location %q: %w: run `riscv-build lock --update`", f.URL, err)
	}
	v, err := module.UnescapeVersion(strings.TrimSuffix(file, path.Ext(file)))
	if err != nil {
		return module.Version{}, fmt.Errorf("reading location %q: %w: run `riscv-build lock --update`", f.URL, err)
	}
	return module.Version{Path: p, Version: v}, nil
}

// ensureFiles makes sure that files are in the store although their layer was
// thought to stand, for instance after a prune.
func (b *Builder) ensureFiles(ctx context.Context, p *plan, files []lock.Blob) error {
	var blobs []fetch.Blob
	for _, f := range files {
		blobs = append(blobs, b.sourceBlob(p.req.Recipe, f))
	}
	_, err := b.download(ctx, p, blobs)
	return err
}

// blobName names a file of a source for people: a module's is nothing without its path.
func blobName(location string) string {
	if name, ok := strings.CutPrefix(location, gomod.Scheme); ok {
		return name
	}
	return path.Base(location)
}
