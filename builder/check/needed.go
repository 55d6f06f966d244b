package check

import (
	"context"
	"io"
	"maps"
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
	w := &wants{tree: tree, loader: newLoader(tree), byPath: map[string]*Need{}, loaded: map[*File]bool{}}
	tree.Walk(func(p string, file *File) {
		if file.ELF == nil || !file.ELF.loadable() || file.ELF.Interp == "" {
			return
		}
		w.load(p, file)
		if _, ok := tree.Stat(file.ELF.Interp); !ok {
			w.of(p).Interp = file.ELF.Interp
		}
	})
	tree.Walk(func(p string, file *File) {
		// What a library finds by itself counts only if no program loads it.
		if file.ELF != nil && file.ELF.loadable() && file.ELF.Interp == "" && !w.loaded[file] {
			w.load(p, file)
		}
	})
	return w.sorted()
}

// wants collects what the files of one layer do not find in it.
type wants struct {
	tree   *Tree
	loader *loader
	byPath map[string]*Need
	loaded map[*File]bool
}

func (w *wants) of(p string) *Need {
	if real, ok := w.tree.Resolve(p); ok {
		p = real
	}
	if w.byPath[p] == nil {
		w.byPath[p] = &Need{Path: p}
	}
	return w.byPath[p]
}

func (w *wants) load(p string, file *File) {
	for _, obj := range w.loader.load(p, file) {
		w.loaded[obj.file] = true
		for _, n := range obj.needs {
			if n.by != nil || n.own {
				continue
			}
			if file.ELF.Interp == "" && w.loader.elsewhere(n.soname) != "" {
				continue // a plugin: its program has loaded it before
			}
			if need := w.of(obj.path); !slices.Contains(need.Sonames, n.soname) {
				need.Sonames = append(need.Sonames, n.soname)
			}
		}
	}
}

func (w *wants) sorted() []Need {
	var needs []Need
	for _, p := range slices.Sorted(maps.Keys(w.byPath)) {
		need := *w.byPath[p]
		slices.Sort(need.Sonames)
		needs = append(needs, need)
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
