package builder

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"path"
	"sort"

	"github.com/riscv-build/riscv-build/builder/check"
	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// libraryRequest is what runtime libraries are looked for with: the artifacts,
// and the graph's packages that may have them.
type libraryRequest struct {
	p   *plan
	g   *graphs
	art *image.Layer
	m   *made // once it is needed
	// below are the paths of the base, whose programs have what they need.
	below map[string]bool
}

// library is a shared library in a layer of development or library packages.
type library struct {
	path  string // of the file itself, symbolic links followed
	pkg   string // package ID
	layer int
}

// needs finds out which libraries the artifacts need; for an empty base as
// single files. What was found out is kept: the tool chain, which has the
// libraries, need not be there the next time.
func (b *Builder) needs(ctx context.Context, req libraryRequest) (needsEntry, error) {
	var e needsEntry
	if req.art == nil {
		return e, nil
	}
	k, err := b.needsKey(req.p, *req.art)
	if err != nil {
		return e, err
	}
	req.p.used.add(k)
	if !req.p.req.NoCache && b.cache.get(k, &e) && (e.Files == nil || b.has(ctx, e.Files.Desc.Digest)) {
		return e, nil
	}
	if req.m, err = req.g.make(); err != nil {
		return e, err
	}
	e = needsEntry{}
	if req.p.req.Recipe.Image.Base == "scratch" {
		e.Files, err = b.libraryFiles(ctx, req)
	} else {
		e.Packages, err = b.neededPackages(ctx, req)
	}
	if err != nil {
		return e, err
	}
	return e, b.cache.put(k, e)
}

// withLibraries adds to an image's packages those that the artifacts' NEEDED
// entries ask for, with all that they depend on.
func (p *plan) withLibraries(own []lock.Package, names []string) ([]lock.Package, error) {
	if len(names) == 0 {
		return own, nil
	}
	closure, err := p.lock.Closure(p.librarySet(), names)
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for _, p := range own {
		have[p.Name] = true
	}
	if p.base != nil {
		for _, below := range p.base.packages {
			have[below.Name] = true
		}
	}
	for _, p := range closure {
		if !have[p.Name] {
			own = append(own, p)
		}
	}
	sort.Slice(own, func(i, j int) bool { return own[i].ID < own[j].ID })
	return own, nil
}

// neededPackages names the packages that ship what the artifacts need.
func (b *Builder) neededPackages(ctx context.Context, req libraryRequest) ([]string, error) {
	index, err := b.libraryIndex(ctx, req.m.libraries)
	if err != nil {
		return nil, err
	}
	r, err := b.layerReader(ctx, *req.art)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	needs, err := check.Needed(ctx, r)
	if err != nil {
		return nil, err
	}
	below, err := b.baseLibraries(ctx, req.p)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, n := range needs {
		for _, soname := range wantedNames(n) {
			if below[path.Base(soname)] {
				continue
			}
			l, ok := index[path.Base(soname)]
			if !ok {
				return nil, missingLibrary(n.Path, soname)
			}
			p, ok := req.p.lock.Package(l.pkg)
			if !ok {
				return nil, fmt.Errorf("looking up package %q: the lock does not have it: run `riscv-build lock --update`", l.pkg)
			}
			found[p.Name] = true
		}
	}
	var names []string
	for n := range found {
		names = append(names, n)
	}
	sort.Strings(names)
	return names, nil
}

func missingLibrary(file, soname string) error {
	return fmt.Errorf("%q needs %q, which no package of build.packages has: add the package that ships it", file, soname)
}

// libraryIndex maps the names of shared libraries to where they are.
func (b *Builder) libraryIndex(ctx context.Context, layers []rootLayer) (map[string]library, error) {
	index := map[string]library{}
	links := map[string]string{}
	files := map[string]library{}
	for i, l := range layers {
		contents, err := b.contents(ctx, []rootLayer{l})
		if err != nil {
			return nil, err
		}
		for _, c := range contents {
			if !libraryDir(c.Path) {
				continue
			}
			if c.Link != "" {
				links[c.Path] = resolve(c.Path, c.Link)
			}
			files[c.Path] = library{path: c.Path, pkg: c.Package, layer: i}
		}
	}
	for p, l := range files {
		_, base, _ := cutLast(p)
		for n := 0; n < 8 && links[l.path] != ""; n++ {
			l.path = links[l.path]
		}
		if target, ok := files[l.path]; ok {
			l.layer = target.layer
		}
		index[base] = l
	}
	return index, nil
}

func resolve(from, link string) string {
	if path.IsAbs(link) {
		return path.Clean(link)
	}
	return path.Join(path.Dir(from), link)
}

// libraryFiles makes a layer of the single files that artifacts on an empty
// base need: the loader where they name it, libraries in /lib, and what these
// need in turn.
func (b *Builder) libraryFiles(ctx context.Context, req libraryRequest) (*image.Layer, error) {
	index, err := b.libraryIndex(ctx, req.m.libraries)
	if err != nil {
		return nil, err
	}
	below, err := b.baseLayers(ctx, req.p)
	if err != nil {
		return nil, err
	}
	all, err := b.tree(ctx, below)
	libs := image.NewTree()
	defer all.Close()
	defer libs.Close()
	if err != nil {
		return nil, err
	}
	req.below = map[string]bool{}
	for _, name := range all.Paths() {
		req.below["/"+name] = true
	}
	if err := all.AddLayer(ctx, b.store.Content(), req.art.Desc, nil); err != nil {
		return nil, err
	}
	for {
		added, err := b.addLibraries(ctx, req, index, []*image.Tree{all, libs})
		if err != nil {
			return nil, err
		}
		if added == 0 {
			break
		}
	}
	if len(libs.Paths()) == 0 {
		return nil, nil
	}
	libs.AddParents(func(string) bool { return false })
	l, err := image.PutTar(ctx, b.store.Content(), "libraries of "+req.p.req.Recipe.Name, func(w io.Writer) error { return libs.Write(w, req.p.date) })
	return &l, err
}

// addLibraries adds what the first tree's programs need to both trees and says how many files that was.
func (b *Builder) addLibraries(ctx context.Context, req libraryRequest, index map[string]library, trees []*image.Tree) (int, error) {
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(trees[0].Write(pw, req.p.date)) }()
	needs, err := check.Needed(ctx, pr)
	pr.CloseWithError(err)
	if err != nil {
		return 0, err
	}
	added := 0
	for _, n := range needs {
		if req.below[n.Path] {
			continue
		}
		for _, name := range wantedNames(n) {
			l, ok := index[path.Base(name)]
			if !ok {
				return 0, missingLibrary(n.Path, name)
			}
			to := name
			if !path.IsAbs(name) {
				to = "/lib/" + name
			}
			if _, there := trees[0].Lookup(to); there {
				continue
			}
			added++
			for _, t := range trees {
				if err := b.copyFile(ctx, t, req.m.libraries[l.layer], [2]string{l.path, to}); err != nil {
					return 0, err
				}
			}
		}
	}
	return added, nil
}

// copyFile adds a file of a layer to a tree under another name.
func (b *Builder) copyFile(ctx context.Context, t *image.Tree, from rootLayer, names [2]string) error {
	src, dst := names[0], names[1]
	n := len(t.Paths())
	err := t.AddLayer(ctx, b.store.Content(), from.Layer.Desc, func(h *tar.Header) bool {
		if "/"+h.Name != src || h.Typeflag != tar.TypeReg {
			return false
		}
		h.Name = path.Clean(dst)[1:]
		return true
	})
	if err == nil && len(t.Paths()) == n {
		err = fmt.Errorf("copying library %q: layer %q does not have it", src, from.Layer.Note)
	}
	return err
}

// wantedNames are a file's missing libraries and, where it is missing too, its loader.
func wantedNames(n check.Need) []string {
	if n.Interp == "" {
		return n.Sonames
	}
	return append([]string{n.Interp}, n.Sonames...)
}
