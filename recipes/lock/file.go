package lock

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/riscv-build/riscv-build/recipes"
)

// Clone returns a lock that can be changed without changing this one.
func (f *File) Clone() *File {
	c := *f
	c.Releases, c.Packages, c.Sets = slices.Clone(f.Releases), slices.Clone(f.Packages), slices.Clone(f.Sets)
	c.Recipes = slices.Clone(f.Recipes)
	for i := range c.Recipes {
		c.Recipes[i].Sources = slices.Clone(c.Recipes[i].Sources)
	}
	return &c
}

// Package finds a package by its ID. Packages are sorted by it.
func (f *File) Package(id string) (Package, bool) {
	i, ok := slices.BinarySearchFunc(f.Packages, id, func(p Package, id string) int { return cmp.Compare(p.ID, id) })
	if !ok {
		return Package{}, false
	}
	return f.Packages[i], true
}

// Set finds a set by its name.
func (f *File) Set(name string) (Set, bool) {
	i := slices.IndexFunc(f.Sets, func(s Set) bool { return s.Name == name })
	if i < 0 {
		return Set{}, false
	}
	return f.Sets[i], true
}

// Recipe finds what a recipe uses.
func (f *File) Recipe(name string) (Recipe, bool) {
	i := slices.IndexFunc(f.Recipes, func(r Recipe) bool { return r.Name == name })
	if i < 0 {
		return Recipe{}, false
	}
	return f.Recipes[i], true
}

// Stale tells whether the lock does not fit the recipe, and why.
func (f *File) Stale(r *recipes.Recipe) (why string, stale bool) {
	locked, ok := f.Recipe(r.Name)
	switch {
	case !ok:
		return fmt.Sprintf("the lock has no recipe %q", r.Name), true
	case locked.Inputs != r.LockInputs():
		return fmt.Sprintf("the packages or sources of recipe %q have changed since it was locked", r.Name), true
	}
	return "", false
}

// PutRelease adds an archive state, or replaces that of the same suite and archive.
func (f *File) PutRelease(r Release) {
	f.Releases = put(f.Releases, r, func(other Release) bool { return other.Suite == r.Suite && other.Archive == r.Archive })
	f.sort()
}

// PutRecipe adds what a recipe uses, or replaces it.
func (f *File) PutRecipe(r Recipe) {
	f.Recipes = put(f.Recipes, r, func(other Recipe) bool { return other.Name == r.Name })
	f.sort()
}

// PutSet adds a set, or replaces it. packages are the packages of the set;
// s.Packages is made of them. One package can satisfy its dependencies by
// others in another set (alternatives), so that Depends holds those of all sets;
// what a set holds decides which of them count in it.
func (f *File) PutSet(s Set, packages []Package) {
	s.Packages = nil
	index := make(map[string]int, len(f.Packages))
	for i, p := range f.Packages {
		index[p.ID] = i
	}
	for _, p := range packages {
		s.Packages = append(s.Packages, p.ID)
		i, ok := index[p.ID]
		if !ok {
			index[p.ID] = len(f.Packages)
			f.Packages = append(f.Packages, p)
			continue
		}
		p.Depends = append(slices.Clone(p.Depends), f.Packages[i].Depends...)
		f.Packages[i] = p
	}
	if old, ok := f.Set(s.Name); ok && !old.Date.IsZero() && slices.Equal(old.Packages, slices.Sorted(slices.Values(s.Packages))) {
		s.Date = old.Date // the same packages are not newer for being resolved again
	}
	f.Sets = put(f.Sets, s, func(other Set) bool { return other.Name == s.Name })
	f.sort()
}

func put[T any](list []T, item T, same func(T) bool) []T {
	if i := slices.IndexFunc(list, same); i >= 0 {
		list[i] = item
		return list
	}
	return append(list, item)
}

// Prune drops the packages that no set names, also from what others depend on.
func (f *File) Prune() {
	named := map[string]bool{}
	for _, s := range f.Sets {
		for _, id := range s.Packages {
			named[id] = true
		}
	}
	dropped := func(id string) bool { return !named[id] }
	f.Packages = slices.DeleteFunc(f.Packages, func(p Package) bool { return dropped(p.ID) })
	for i := range f.Packages {
		f.Packages[i].Depends = slices.DeleteFunc(slices.Clone(f.Packages[i].Depends), dropped)
	}
}

// Closure returns the packages of a set that the named ones need, with
// themselves, sorted by ID.
func (f *File) Closure(set string, roots []string) ([]Package, error) {
	s, ok := f.Set(set)
	if !ok {
		return nil, fmt.Errorf("looking up package set %q: the lock has no such set: run `riscv-build lock`", set)
	}
	byID := make(map[string]Package, len(f.Packages))
	for _, p := range f.Packages {
		byID[p.ID] = p
	}
	byName, members := map[string][]string{}, map[string]bool{}
	for _, id := range s.Packages {
		byName[byID[id].Name] = append(byName[byID[id].Name], id)
		members[id] = true
	}
	var queue []string
	for _, root := range roots {
		ids := byName[root]
		if len(ids) == 0 {
			return nil, fmt.Errorf("looking up package %q in set %q: the lock does not have it there: run `riscv-build lock --update`", root, set)
		}
		queue = append(queue, ids...)
	}
	var closure []Package
	for ; len(queue) > 0; queue = queue[1:] {
		id := queue[0]
		if !members[id] {
			continue // taken already, or the choice of another set
		}
		delete(members, id)
		closure = append(closure, byID[id])
		queue = append(queue, byID[id].Depends...)
	}
	slices.SortFunc(closure, func(a, b Package) int { return cmp.Compare(a.ID, b.ID) })
	return closure, nil
}

// sort brings the lock into the order in which it is written. The order of a
// source's files, the .dsc first, has a meaning and stays.
func (f *File) sort() {
	slices.SortFunc(f.Releases, func(a, b Release) int {
		return cmp.Or(cmp.Compare(a.Archive, b.Archive), cmp.Compare(a.Suite, b.Suite))
	})
	slices.SortFunc(f.Packages, func(a, b Package) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(f.Sets, func(a, b Set) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(f.Recipes, func(a, b Recipe) int { return cmp.Compare(a.Name, b.Name) })
	for i := range f.Packages {
		f.Packages[i].Depends = sorted(f.Packages[i].Depends)
	}
	for i := range f.Sets {
		s := &f.Sets[i]
		// Suites stay: their order is the recipe's.
		s.Request, s.Packages = sorted(s.Request), sorted(s.Packages)
	}
	for i := range f.Recipes {
		slices.SortFunc(f.Recipes[i].Sources, func(a, b Source) int { return cmp.Compare(a.Name, b.Name) })
	}
}

// sorted returns the words in order, each once, in a list of its own.
func sorted(words []string) []string {
	if len(words) == 0 {
		return nil
	}
	out := slices.Clone(words)
	slices.Sort(out)
	return slices.Compact(out)
}
