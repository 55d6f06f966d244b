package batch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/display"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// manyRecipes writes n recipes that are the catalogue's nginx by other names,
// with a lock that has all of them.
func manyRecipes(t testing.TB, dir string, n int) []Item {
	t.Helper()
	shipped, err := lock.Parse("catalog", recipes.CatalogLock())
	if err != nil {
		t.Fatal(err)
	}
	all := shipped.Clone()
	like, _ := all.Recipe("nginx")
	for i := range n {
		name := fmt.Sprintf("generated%03d", i)
		rec := like
		rec.Name = name
		all.Recipes = append(all.Recipes, rec)
		for _, s := range shipped.Sets {
			if strings.Contains(s.Name+"/", "/nginx/") {
				s.Name = strings.TrimSuffix(strings.Replace(s.Name+"/", "/nginx/", "/"+name+"/", 1), "/")
				all.Sets = append(all.Sets, s)
			}
		}
	}
	if err := os.CopyFS(dir, os.DirFS("../../recipes/catalog")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, lock.Name), all.Marshal(), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "nginx.toml"))
	if err != nil {
		t.Fatal(err)
	}
	var items []Item
	for i := range n {
		name := fmt.Sprintf("generated%03d", i)
		path := filepath.Join(dir, name+".toml")
		mine := strings.ReplaceAll(string(text), `"nginx"`, `"`+name+`"`)
		mine = strings.ReplaceAll(mine, "riscv64/nginx", "riscv64/"+name)
		mine = strings.ReplaceAll(mine, "[source."+name+"]", "[source.nginx]")
		if err := os.WriteFile(path, []byte(mine), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := recipes.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, Item{Name: r.Name, File: path, Request: builder.Request{Recipe: r, LockPath: filepath.Join(dir, lock.Name), Push: []string{"registry.example"}}})
	}
	return items
}

// TestManyRecipes: looking at 200 recipes that share a lock takes seconds, and
// a modest amount of memory.
func TestManyRecipes(t *testing.T) {
	items := manyRecipes(t, t.TempDir(), 200)
	state := t.TempDir()
	d, err := display.New(os.Stderr, "quiet", false)
	if err != nil {
		t.Fatal(err)
	}
	work, err := builder.New(builder.Config{StateDir: state, Display: d})
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	start := time.Now()
	b, err := New(items, 2, state)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := b.Plan(t.Context(), Options{
		StateDir: state, Work: work, ExitCode: func(context.Context, error) int { return 1 },
		Meter: &Meter{}, EngineStarts: func() int { return 0 }, Resume: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	t.Logf("200 recipes planned in %.2f s, %d MB of heap at most", took.Seconds(), mem.HeapSys>>20)
	for _, r := range plan.Recipes {
		if r.Action != WouldBuild || r.Inputs == "" || r.Why != "it was asked for" {
			t.Fatalf("%+v", r)
		}
	}
	if len(plan.Shared) == 0 || len(plan.Shared[0].Recipes) != 200 {
		t.Errorf("shared: %+v", plan.Shared)
	}
	if fi, err := os.Stat(filepath.Join(filepath.Dir(items[0].File), lock.Name)); err == nil {
		t.Logf("the lock has %.1f MB", float64(fi.Size())/1e6)
	}
}
