package builder

import (
	"slices"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// catalogue gives the recipes of the catalogue and their lock.
func catalogue(t *testing.T) ([]*recipes.Recipe, *lock.File) {
	t.Helper()
	var all []*recipes.Recipe
	for _, name := range recipes.Catalog() {
		r, err := recipes.LoadCatalog(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	l, err := lock.Parse(lock.Name, recipes.CatalogLock())
	if err != nil {
		t.Fatal(err)
	}
	return all, l
}

// clone copies a lock as far as the tests change it.
func clone(l *lock.File) *lock.File {
	c := *l
	c.Releases, c.Packages, c.Sets, c.Recipes = slices.Clone(l.Releases), slices.Clone(l.Packages), slices.Clone(l.Sets), slices.Clone(l.Recipes)
	for i := range c.Packages {
		c.Packages[i].Depends = slices.Clone(c.Packages[i].Depends)
	}
	for i := range c.Sets {
		c.Sets[i].Packages = slices.Clone(c.Sets[i].Packages)
	}
	for i := range c.Recipes {
		c.Recipes[i].Sources = slices.Clone(c.Recipes[i].Sources)
		for j := range c.Recipes[i].Sources {
			c.Recipes[i].Sources[j].Files = slices.Clone(c.Recipes[i].Sources[j].Files)
		}
	}
	return &c
}

// renew gives a package of a lock a new version, as a security update does.
func renew(l *lock.File, id string) {
	fresh := strings.Replace(id, "_", "_99:", 1)
	swap := func(ids []string) {
		if i := slices.Index(ids, id); i >= 0 {
			ids[i] = fresh
			slices.Sort(ids)
		}
	}
	for i := range l.Packages {
		p := &l.Packages[i]
		swap(p.Depends)
		if p.ID == id {
			p.ID, p.Version, p.SHA256 = fresh, "99:"+p.Version, strings.Repeat("0", 64)
		}
	}
	for i := range l.Sets {
		swap(l.Sets[i].Packages)
	}
}

// TestUpdateChangesWhatHasThePackage: a new version of one package changes the
// input digests of exactly the recipes whose sets hold it.
func TestUpdateChangesWhatHasThePackage(t *testing.T) {
	all, before := catalogue(t)
	index := before.Index()
	partly := 0
	for i := range before.Packages {
		if i%5 != 0 {
			continue // some of the packages will do
		}
		after := clone(before)
		id := before.Packages[i].ID
		renew(after, id)
		fresh := after.Index()
		changed := 0
		for _, r := range all {
			holds := slices.ContainsFunc(decisiveSets(r), func(set string) bool {
				s, ok := before.Set(set)
				if !ok {
					t.Fatalf("recipe %s: the lock has no set %q", r.Name, set)
				}
				return slices.Contains(s.Packages, id)
			})
			if differs := inputDigest(r, index, "", "v") != inputDigest(r, fresh, "", "v"); differs != holds {
				t.Errorf("recipe %s has %s: %v, its digest changed: %v", r.Name, id, holds, differs)
			} else if differs {
				changed++
			}
		}
		if changed > 0 && changed < len(all) {
			partly++
		}
	}
	if partly == 0 {
		t.Error("no package is used by some recipes and not by others")
	}
}

// TestInputDigest: what the image depends on changes the digest, what is of no
// account does not.
func TestInputDigest(t *testing.T) {
	nginx := func() *recipes.Recipe {
		r, err := recipes.LoadCatalog("nginx")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	_, l := catalogue(t)
	first := inputDigest(nginx(), l.Index(), "", "v")
	for _, c := range []struct {
		name   string
		change func(r *recipes.Recipe, l *lock.File)
		same   bool
	}{
		{"nothing", func(*recipes.Recipe, *lock.File) {}, true},
		{"tags", func(r *recipes.Recipe, _ *lock.File) { r.Push.Tags = []string{"x"} }, true},
		{"another recipe's sources", func(_ *recipes.Recipe, l *lock.File) { l.Recipes[0].Sources = nil }, l.Recipes[0].Name != "nginx"},
		{"a shared tool chain alone", func(_ *recipes.Recipe, l *lock.File) {
			l.PutSet(lock.Set{Name: "toolchain/cross/amd64"}, nil)
		}, true},
		{"the archive's date", func(_ *recipes.Recipe, l *lock.File) { l.Releases = nil }, true},
		{"a source", func(_ *recipes.Recipe, l *lock.File) {
			for i := range l.Recipes {
				if l.Recipes[i].Name == "nginx" {
					l.Recipes[i].Sources[0].Files[0].SHA256 = strings.Repeat("0", 64)
				}
			}
		}, false},
		{"the board's tool chain", func(_ *recipes.Recipe, l *lock.File) {
			l.PutSet(lock.Set{Name: "native/nginx"}, nil)
		}, false},
		{"a step", func(r *recipes.Recipe, _ *lock.File) { r.Build.Steps.Compile = "make" }, false},
		{"a test", func(r *recipes.Recipe, _ *lock.File) { r.Tests = r.Tests[1:] }, false},
	} {
		r, l := nginx(), clone(l)
		c.change(r, l)
		if got := inputDigest(r, l.Index(), "", "v"); (got == first) != c.same {
			t.Errorf("%s: %s, before %s", c.name, got, first)
		}
	}
	if inputDigest(nginx(), l.Index(), "", "w") == first {
		t.Error("another program has the same digest")
	}
}
