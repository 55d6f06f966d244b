package builder

import (
	"strings"
	"testing"
	"testing/fstest"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// TestBuildKey: the key of a compilation changes with what is compiled and with
// what compiles, and with nothing of the image around it.
func TestBuildKey(t *testing.T) {
	b, err := New(Config{StateDir: t.TempDir(), Display: silent{}, Version: "v"})
	if err != nil {
		t.Fatal(err)
	}
	where := engine.Info{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	_, whole := catalogue(t)
	key := func(mode string, change func(r *recipes.Recipe, l *lock.File)) string {
		t.Helper()
		r, err := recipes.LoadCatalog("nginx")
		if err != nil {
			t.Fatal(err)
		}
		l := clone(whole)
		if change != nil {
			change(r, l)
		}
		p, _, err := newPlan(Request{Recipe: r, Mode: mode}, l, where)
		if err != nil {
			t.Fatal(err)
		}
		k, err := b.buildKey(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	renewIn := func(set string) func(*recipes.Recipe, *lock.File) {
		return func(_ *recipes.Recipe, l *lock.File) {
			s, _ := l.Set(set)
			renew(l, s.Packages[0])
		}
	}
	first := key("cross", nil)
	for _, c := range []struct {
		name   string
		change func(r *recipes.Recipe, l *lock.File)
		same   bool
	}{
		{"nothing", nil, true},
		{"the entrypoint", func(r *recipes.Recipe, _ *lock.File) { r.Image.Entrypoint = nil }, true},
		{"a file of the image", func(r *recipes.Recipe, _ *lock.File) { r.Image.Files = nil }, true},
		{"a test", func(r *recipes.Recipe, _ *lock.File) { r.Tests = nil }, true},
		{"a package of the image", func(_ *recipes.Recipe, l *lock.File) { l.PutSet(lock.Set{Name: "image/nginx"}, nil) }, true},
		{"the shared tool chain alone", func(_ *recipes.Recipe, l *lock.File) {
			l.PutSet(lock.Set{Name: "toolchain/cross/amd64"}, nil)
		}, true},
		{"a tool", renewIn("tools/nginx/amd64"), false},
		{"a library", renewIn("sysroot/nginx"), false},
		{"a source", func(_ *recipes.Recipe, l *lock.File) {
			for i := range l.Recipes {
				if l.Recipes[i].Name == "nginx" {
					l.Recipes[i].Sources[0].Files[0].SHA256 = strings.Repeat("0", 64)
				}
			}
		}, false},
		{"a patch", func(r *recipes.Recipe, _ *lock.File) {
			r.Dir, r.Build.Patches = fstest.MapFS{"x.patch": {Data: []byte("x")}}, []string{"x.patch"}
		}, false},
		{"a step", func(r *recipes.Recipe, _ *lock.File) { r.Build.Steps.Compile = "make" }, false},
		{"a variable", func(r *recipes.Recipe, _ *lock.File) { r.Build.Env = map[string]string{"A": "b"} }, false},
		{"the artifacts", func(r *recipes.Recipe, _ *lock.File) { r.Build.Artifacts = []string{"/usr"} }, false},
	} {
		if got := key("cross", c.change); (got == first) != c.same {
			t.Errorf("%s: %s, before %s", c.name, got, first)
		}
	}
	if key("emulate", nil) == first {
		t.Error("another mode has the same key")
	}
}
