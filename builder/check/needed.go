package check

import (
	"context"
	"io"
	"slices"
)

// Need is what one ELF file of a layer wants and the layer does not have.
type Need struct {
	Path    string   // of the file
	Sonames []string // libraries, sorted
	Interp  string   // its loader (PT_INTERP); empty if it has none or the layer has it
}

// Needed reads a layer and returns what its programs and libraries want of
// other layers, by path. A library that the layer has where its programs look
// for it (DT_RUNPATH, DT_RPATH, the loader's directories) is not wanted; of a
// plugin, one that the layer has anywhere.
func Needed(ctx context.Context, r io.Reader) ([]Need, error) {
	facts, err := ScanLayer(ctx, r)
	if err != nil {
		return nil, err
	}
	return facts.Needed(), nil
}

// Needed is the function Needed for facts that are there already.
func (f *LayerFacts) Needed() []Need {
	tree := NewTree([]*LayerFacts{f})
	l := newLoader(tree)
	wants := map[string]*Need{}
	var order []string
	want := func(p string) *Need {
		if wants[p] == nil {
			wants[p] = &Need{Path: p}
			order = append(order, p)
		}
		return wants[p]
	}
	run := func(p string, file *File, loaded map[*File]bool) {
		for _, obj := range l.load(p, file) {
			loaded[obj.file] = true
			at, ok := tree.Resolve(obj.path)
			if !ok {
				at = obj.path
			}
			for _, n := range obj.needs {
				if file.ELF.Interp == "" && l.elsewhere(n.soname) != "" {
					continue // a plugin: its program brings it
				}
				if n.by == nil && !n.own && !slices.Contains(want(at).Sonames, n.soname) {
					wants[at].Sonames = append(wants[at].Sonames, n.soname)
				}
			}
		}
	}
	loaded := map[*File]bool{}
	for _, programs := range []bool{true, false} { // a library's own view counts only if no program loads it
		tree.Walk(func(p string, file *File) {
			if file.ELF == nil || !file.ELF.loadable() || (file.ELF.Interp != "") != programs || !programs && loaded[file] {
				return
			}
			run(p, file, loaded)
			if _, ok := tree.Stat(file.ELF.Interp); file.ELF.Interp != "" && !ok {
				want(p).Interp = file.ELF.Interp
			}
		})
	}
	slices.Sort(order)
	var needs []Need
	for _, p := range order {
		n := *wants[p]
		slices.Sort(n.Sonames)
		if len(n.Sonames) > 0 || n.Interp != "" {
			needs = append(needs, n)
		}
	}
	return needs
}

// Names returns everything that is wanted: the libraries, then the loader.
func (n Need) Names() []string {
	if n.Interp == "" {
		return n.Sonames
	}
	return append(slices.Clone(n.Sonames), n.Interp)
}
