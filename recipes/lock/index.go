package lock

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
)

// Index answers questions about a lock without searching it: several hundred
// recipes that share one ask it for each of their sets. It stands for the lock
// as it was when the index was made. All methods may be called from several
// goroutines.
type Index struct {
	packages map[string]*Package
	sets     map[string]*Set
	recipes  map[string]*Recipe

	mu      sync.Mutex
	digests map[string]string // by set
}

// Index makes the index of a lock.
func (f *File) Index() *Index {
	x := &Index{
		packages: make(map[string]*Package, len(f.Packages)), sets: make(map[string]*Set, len(f.Sets)),
		recipes: make(map[string]*Recipe, len(f.Recipes)), digests: map[string]string{},
	}
	for i := range f.Packages {
		x.packages[f.Packages[i].ID] = &f.Packages[i]
	}
	for i := range f.Sets {
		x.sets[f.Sets[i].Name] = &f.Sets[i]
	}
	for i := range f.Recipes {
		x.recipes[f.Recipes[i].Name] = &f.Recipes[i]
	}
	return x
}

// Package finds a package by its ID.
func (x *Index) Package(id string) (Package, bool) {
	p, ok := x.packages[id]
	if !ok {
		return Package{}, false
	}
	return *p, true
}

// Set finds a set by its name.
func (x *Index) Set(name string) (Set, bool) {
	s, ok := x.sets[name]
	if !ok {
		return Set{}, false
	}
	return *s, true
}

// Recipe finds what a recipe uses.
func (x *Index) Recipe(name string) (Recipe, bool) {
	r, ok := x.recipes[name]
	if !ok {
		return Recipe{}, false
	}
	return *r, true
}

// SetDigest returns a digest of all that a set decides: what was asked for, its
// packages by their bytes, and which of them satisfy whose dependencies. What
// other sets of the lock hold does not enter.
func (x *Index) SetDigest(name string) (string, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if d, ok := x.digests[name]; ok {
		return d, true
	}
	s, ok := x.sets[name]
	if !ok {
		return "", false
	}
	members := make(map[string]bool, len(s.Packages))
	for _, id := range s.Packages {
		members[id] = true
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%q\n", s.Request)
	for _, id := range s.Packages {
		p := x.packages[id]
		if p == nil {
			fmt.Fprintf(sum, "%s missing\n", id)
			continue
		}
		fmt.Fprintf(sum, "%s %s\n", id, p.SHA256)
		for _, on := range p.Depends {
			if members[on] {
				fmt.Fprintf(sum, "  %s\n", on)
			}
		}
	}
	d := "sha256:" + hex.EncodeToString(sum.Sum(nil))
	x.digests[name] = d
	return d, true
}
