package lock

import "testing"

// TestSetDigest: a set's digest changes with what the set decides, and with
// nothing else of the lock.
func TestSetDigest(t *testing.T) {
	digest := func(f *File, set string) string {
		t.Helper()
		d, ok := f.Index().SetDigest(set)
		if !ok {
			t.Fatalf("there is no set %q", set)
		}
		return d
	}
	first := digest(sample(), "image/hello")
	newer := pkg("d")
	newer.SHA256 = newer.SHA256[:63] + "0"
	for _, c := range []struct {
		name   string
		change func(f *File)
		same   bool
	}{
		{"nothing", func(*File) {}, true},
		{"another set", func(f *File) { f.PutSet(Set{Name: "other"}, []Package{pkg("a", "e"), pkg("e")}) }, true},
		{"another recipe", func(f *File) { f.PutRecipe(Recipe{Name: "other"}) }, true},
		{"a package less", func(f *File) {
			f.PutSet(Set{Name: "image/hello", Request: []string{"b", "a"}}, []Package{pkg("c"), pkg("a", "c", "b"), pkg("b", "a")})
		}, false},
		{"other bytes", func(f *File) {
			f.PutSet(Set{Name: "image/hello", Request: []string{"b", "a"}}, []Package{pkg("c"), pkg("a"), pkg("b"), newer})
		}, false},
		{"a dependency within", func(f *File) { f.PutSet(Set{Name: "other"}, []Package{pkg("a", "d"), pkg("d")}) }, false},
		{"another request", func(f *File) { f.Sets[0].Request = []string{"a"} }, false},
	} {
		f := sample()
		c.change(f)
		if got := digest(f, "image/hello"); (got == first) != c.same {
			t.Errorf("%s: the digest is %s, that of the lock before %s", c.name, got, first)
		}
	}
	x := sample().Index()
	if _, ok := x.SetDigest("none"); ok {
		t.Error("a set that is not there has a digest")
	}
	if r, ok := x.Recipe("hello"); !ok || len(r.Sources) != 1 {
		t.Errorf("the recipe is %+v", r)
	}
	if _, ok := x.Recipe("none"); ok {
		t.Error("a recipe that is not there is found")
	}
}
