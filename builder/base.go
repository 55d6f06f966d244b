package builder

import (
	"context"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// baseImage is the image that another is built on (`base = "recipe:NAME"`).
type baseImage struct {
	recipe   *recipes.Recipe
	img      *built
	packages []lock.Package // all that are in it
}

// baseRequest is what the base of a recipe is built by: not pushed anywhere,
// and not built anew only because what is on top of it is.
func baseRequest(req Request) (Request, bool) {
	base := req.Recipe.Base()
	if base == nil {
		return Request{}, false
	}
	out := Request{
		Recipe: base, LockPath: req.LockPath, Locked: req.Locked, AllowExpired: req.AllowExpired,
		Mode: req.Mode, Offline: req.Offline,
	}
	if base.Root == "" && req.Recipe.Root != "" {
		// One of the catalogue is what the catalogue's lock makes it, wherever it is used.
		out.LockPath = ""
	}
	return out, true
}

// base builds, checks and tests the image that a recipe is built on; nil where
// that is no recipe's. Those who want the same one at the same time share it.
func (b *Builder) base(ctx context.Context, req Request, r *Result) (*baseImage, error) {
	below, ok := baseRequest(req)
	if !ok {
		return nil, nil
	}
	from := b.cfg.Display.Verbose
	if below.LockPath != req.LockPath {
		from = b.cfg.Display.Notice
	}
	from("%s: is built on recipe %q of %s", req.Recipe.Name, below.Recipe.Name, below.Recipe.File)
	k := key("base", below.Recipe.File, below.LockPath, below.Recipe.InputDigest(b.cfg.Version))
	type outcome struct {
		base   *baseImage
		result *Result
	}
	v, err := b.once(ctx, k, func() (any, error) {
		res := newResult(below.Recipe)
		p, img, err := b.make(ctx, below, res)
		if err != nil {
			res.Error = err.Error()
			return outcome{nil, res}, err
		}
		pkgs, err := p.named(img.packages)
		return outcome{&baseImage{below.Recipe, img, pkgs}, res}, err
	})
	out, _ := v.(outcome)
	r.Base = out.result
	if err != nil {
		return nil, fmt.Errorf("building the base of recipe %q: %w", req.Recipe.Name, err)
	}
	return out.base, nil
}

// named finds the packages of an image in the lock it was made by.
func (p *plan) named(ids []string) ([]lock.Package, error) {
	var out []lock.Package
	for _, id := range ids {
		pkg, ok := p.find(id)
		if !ok {
			return nil, fmt.Errorf("looking up package %q of recipe %q: the lock does not have it: run `riscv-build lock --update %s`", id, p.req.Recipe.Name, p.req.Recipe.Name)
		}
		out = append(out, pkg)
	}
	return out, nil
}

// find looks a package up in the lock, and in what the base has.
func (p *plan) find(id string) (lock.Package, bool) {
	if p.base != nil {
		if i := slices.IndexFunc(p.base.packages, func(pkg lock.Package) bool { return pkg.ID == id }); i >= 0 {
			return p.base.packages[i], true
		}
	}
	return p.lock.Package(id)
}

// baseSet is the name of the locked set that an image starts from. On another
// recipe's it is the recipe's own copy: it says what the rest was resolved on.
func baseSet(r *recipes.Recipe) string {
	if r.Base() != nil {
		return "below/" + r.Name
	}
	return "base/" + r.Image.Base + suffix(r)
}

// given are the packages that the base of a recipe is locked with, which it
// has before the recipe's own are resolved; ok where the base is a recipe.
func (b *Builder) given(ctx context.Context, req Request) (pkgs []lock.Package, ok bool, err error) {
	below, ok := baseRequest(req)
	if !ok {
		return nil, false, nil
	}
	l, err := b.usableLock(ctx, below)
	if err != nil {
		return nil, true, fmt.Errorf("locking the base of recipe %q: %w", req.Recipe.Name, err)
	}
	pkgs, err = lockedPackages(below, l)
	return pkgs, true, err
}

// lockedPackages are all packages that a lock has for the image of a request.
func lockedPackages(below Request, l *lock.File) ([]lock.Package, error) {
	var pkgs []lock.Package
	p := &plan{req: below, lock: l}
	sets := []string{"image/" + below.Recipe.Name}
	if below.Recipe.Base() != nil {
		sets = append(sets, baseSet(below.Recipe))
	}
	have := map[string]bool{}
	for _, set := range sets {
		more, err := p.packages(set)
		if err != nil {
			return nil, err
		}
		for _, pkg := range more {
			if !have[pkg.Name] {
				have[pkg.Name] = true
				pkgs = append(pkgs, pkg)
			}
		}
	}
	return pkgs, nil
}

// staleBase tells whether a lock was made for other packages of the base.
func staleBase(l *lock.File, r *recipes.Recipe, given []lock.Package) (why string, stale bool) {
	var ids []string
	for _, pkg := range given {
		ids = append(ids, pkg.ID)
	}
	if set, ok := l.Set(baseSet(r)); ok && slices.Equal(set.Packages, sorted(ids)) {
		return "", false
	}
	name, _ := r.BaseRecipe()
	return fmt.Sprintf("the packages of the base %q of recipe %q have changed since it was locked", name, r.Name), true
}

// onTop leaves out what the base has. That one of the packages is there in
// another version is an error: the recipe was resolved with its own.
func (p *plan) onTop(pkgs []lock.Package) ([]lock.Package, error) {
	if p.base == nil {
		return pkgs, nil
	}
	have := map[string]lock.Package{}
	for _, pkg := range p.base.packages {
		have[pkg.Name] = pkg
	}
	var out []lock.Package
	for _, pkg := range pkgs {
		there, ok := have[pkg.Name]
		switch {
		case !ok:
			out = append(out, pkg)
		case there.ID != pkg.ID:
			base, child := p.base.recipe.Name, p.req.Recipe.Name
			return nil, fmt.Errorf("adding package %q to the base %q: the base has it as %q: run `riscv-build lock --update %s %s`, or name %q in image.packages of both", pkg.ID, base, there.ID, base, child, pkg.Name)
		}
	}
	return out, nil
}

// baseLayers are the uncompressed layers of the image below.
func (b *Builder) baseLayers(ctx context.Context, p *plan) ([]image.Layer, error) {
	if p.base == nil {
		return nil, nil
	}
	img := p.base.img
	var out []image.Layer
	for i, desc := range img.manifest.Layers {
		l := image.Layer{Desc: desc, DiffID: img.config.RootFS.DiffIDs[i], Note: image.Note(img.config, i)}
		raw := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: l.DiffID}
		if info, err := b.store.Content().Info(ctx, l.DiffID); err == nil {
			raw.Size, l.Desc = info.Size, raw
		} else if l, err = image.Decompress(ctx, b.store.Content(), l); err != nil {
			return nil, fmt.Errorf("reading the base %q of recipe %q: %w", p.base.recipe.Name, p.req.Recipe.Name, err)
		}
		out = append(out, l)
	}
	return out, nil
}

// baseLibraries are the names of the shared libraries, the loader among them,
// that programs find in the layers of the base.
func (b *Builder) baseLibraries(ctx context.Context, p *plan) (map[string]bool, error) {
	layers, err := b.baseLayers(ctx, p)
	if err != nil {
		return nil, err
	}
	t, err := b.tree(ctx, layers)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	names := map[string]bool{}
	for _, name := range t.Paths() {
		if dir, base, _ := cutLast(name); libraryDir("/"+name) || dir == "usr/local/lib" {
			names[base] = true
		}
	}
	return names, nil
}

// tree reads layers, lowest first, into one tree.
func (b *Builder) tree(ctx context.Context, layers []image.Layer) (*image.Tree, error) {
	t := image.NewTree()
	for _, l := range layers {
		if err := t.AddLayer(ctx, b.store.Content(), l.Desc, nil); err != nil {
			return t, err
		}
	}
	return t, nil
}

// setuid are the paths that may be setuid in a recipe's image: its own and those of what it is built on.
func setuid(r *recipes.Recipe) []string {
	var out []string
	for ; r != nil; r = r.Base() {
		out = append(out, r.Image.Setuid...)
	}
	return out
}

// allowed are the exceptions from the checks, likewise.
func allowed(r *recipes.Recipe) []recipes.Allow {
	var out []recipes.Allow
	for ; r != nil; r = r.Base() {
		out = append(out, r.Check.Allow...)
	}
	return out
}

// environment reads the NAME=value entries of an image.
func environment(entries []string) map[string]string {
	m := map[string]string{}
	for _, e := range entries {
		name, value, _ := strings.Cut(e, "=")
		m[name] = value
	}
	return m
}
