package recipes

import (
	"strings"
	"testing"
	"testing/fstest"
)

func chainFS(files map[string]string) fstest.MapFS {
	dir := fstest.MapFS{}
	for name, base := range files {
		own, base, _ := strings.Cut(base, "=")
		if base == "" {
			own, base = name, own
		}
		text := "schema = 1\nname = \"" + own + "\"\nversion = \"1\"\n[image]\nbase = \"" + base + "\"\npackages = [\"tzdata\"]\n"
		dir[name+".toml"] = &fstest.MapFile{Data: []byte(text)}
	}
	return dir
}

// TestBase: which recipe a base names, and what is wrong with a chain.
func TestBase(t *testing.T) {
	for _, c := range []struct {
		what  string
		files map[string]string // name -> base, or own name=base
		want  string            // files of the chain, or the error
		empty bool
	}{
		{"none", map[string]string{"a": "scratch"}, "", true},
		{"beside", map[string]string{"a": "recipe:b", "b": "scratch"}, "b.toml", true},
		{"two", map[string]string{"a": "recipe:b", "b": "recipe:c", "c": "debian:minimal"}, "b.toml c.toml", false},
		{"of the catalogue", map[string]string{"a": "recipe:pause"}, "catalog:pause.toml", true},
		{"beside before the catalogue", map[string]string{"a": "recipe:pause", "pause": "debian:minimal"}, "pause.toml", false},
		{"nowhere", map[string]string{"a": "recipe:paus"}, `a.toml:5: there is no recipe "paus", neither beside this one nor in the catalogue: write paus.toml, or did you mean "pause"?`, false},
		{"itself", map[string]string{"a": "recipe:a"}, "a.toml:5: the recipe has the name of its base: give it another", false},
		{"cycle", map[string]string{"a": "recipe:b", "b": "recipe:c", "c": "recipe:a"}, "built on itself: a.toml -> b.toml -> c.toml -> a.toml", false},
		{"cycle below", map[string]string{"a": "recipe:b", "b": "recipe:c", "c": "recipe:b"}, "built on itself: b.toml -> c.toml -> b.toml", false},
		{"other name", map[string]string{"a": "recipe:b", "b": "x=scratch"}, `a.toml:5: b.toml holds the recipe "x": call it x.toml, or its name "b"`, false},
		{"no recipe name", map[string]string{"a": "recipe:../b"}, `a.toml:5: base "recipe:../b" names no recipe`, false},
		{"wrong base", map[string]string{"a": "recipe:b", "b": "oci:x"}, `a.toml:5: the base is no correct recipe: b.toml:5: base "oci:x"`, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := chainFS(c.files)
			r, err := Parse("a.toml", dir["a.toml"].Data, dir)
			if err != nil {
				if c.want == "" || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v\nwant %s", err, c.want)
				}
				return
			}
			var files []string
			for b := r.Base(); b != nil; b = b.Base() {
				files = append(files, b.File)
			}
			if got := strings.Join(files, " "); got != c.want || r.OnScratch() != c.empty {
				t.Errorf("got %q, on scratch %v; want %q, %v", got, r.OnScratch(), c.want, c.empty)
			}
		})
	}
}

// TestInputDigestOfBase: what changes the base changes what is built on it.
func TestInputDigestOfBase(t *testing.T) {
	files := map[string]string{"a": "recipe:b", "b": "scratch"}
	digest := func() string {
		dir := chainFS(files)
		r, err := Parse("a.toml", dir["a.toml"].Data, dir)
		if err != nil {
			t.Fatal(err)
		}
		if name, ok := r.BaseRecipe(); !ok || name != "b" {
			t.Fatalf("the base is %q, %v", name, ok)
		}
		return r.InputDigest("v1")
	}
	before := digest()
	files["b"] = "debian:minimal"
	if digest() == before {
		t.Error("another base gives the same digest")
	}
}
