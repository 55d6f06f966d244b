package builder

import (
	"maps"
	"slices"
	"sync"

	"github.com/riscv-build/riscv-build/builder/check"
	"github.com/riscv-build/riscv-build/builder/debian/rootfs"
)

// uses are the keys of the cache entries that a build stood on.
type uses struct {
	mu    sync.Mutex
	keys  map[string]bool
	heavy []string // of root filesystems that compile
}

func (u *uses) add(keys ...string) {
	if u == nil {
		return // of a layer that is made for no recipe
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.keys == nil {
		u.keys = map[string]bool{}
	}
	for _, k := range keys {
		u.keys[k] = true
	}
}

// list gives the keys, sorted.
func (u *uses) list() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(maps.Keys(u.keys))
}

// compilerKeys are the entries of the root filesystems that compile, whether
// they were needed or not.
func (p *plan) compilerKeys() []string {
	var keys []string
	for _, st := range p.stacks() {
		if st.spec.Purpose == rootfs.Runtime || st.probe() {
			continue
		}
		layers, err := p.layers(st)
		if err != nil {
			continue // the stage that uses the set says what is wrong with it
		}
		for _, s := range layers {
			keys = append(keys, layerKey(s.Spec))
		}
	}
	return keys
}

// noted is a cache of checks and tests that notes what a build used of it.
type noted struct {
	cache
	used *uses
}

var _ check.Cache = noted{}

// Get reads an entry.
func (n noted) Get(key string) ([]byte, bool) {
	b, ok := n.cache.Get(key)
	if ok {
		n.used.add(fileName(key))
	}
	return b, ok
}

// Put stores an entry.
func (n noted) Put(key string, b []byte) {
	n.cache.Put(key, b)
	n.used.add(fileName(key))
}

// keptUses are the uses of the recipes that were built.
type keptUses struct {
	mu      sync.Mutex
	recipes map[string]*uses
}

// put notes what a recipe's build used; a build that has no plan used nothing.
func (k *keptUses) put(recipe string, p *plan) {
	if p == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.recipes == nil {
		k.recipes = map[string]*uses{}
	}
	k.recipes[recipe] = p.used
}

// of gives what a recipe's build used.
func (k *keptUses) of(recipe string) (*uses, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	u, ok := k.recipes[recipe]
	return u, ok
}
