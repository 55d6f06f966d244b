package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

func TestCatalogLsAndShow(t *testing.T) {
	code, out, _ := do(t, "catalog", "ls")
	if code != exitOK || strings.Count(out, "\n") != 1+len(recipes.Catalog()) || !strings.Contains(out, "nginx:1.26") {
		t.Errorf("catalog ls: exit %d\n%s", code, out)
	}
	code, out, _ = do(t, "catalog", "ls", "--json")
	var list []catalogEntry
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK || len(list) != len(recipes.Catalog()) {
		t.Errorf("catalog ls --json: exit %d, %v\n%s", code, err, out)
	}
	code, out, _ = do(t, "catalog", "show", "nginx")
	for _, want := range []string{"nginx 1.26.3", "BSD-2-Clause", "Stands in for", "Differences:", "riscv64/nginx"} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("catalog show: exit %d, no %q\n%s", code, want, out)
		}
	}
	if code, out, _ = do(t, "catalog", "show", "pause", "--toml"); code != exitOK || !strings.Contains(out, `name    = "pause"`) {
		t.Errorf("catalog show --toml: exit %d\n%s", code, out)
	}
	if code, _, errs := do(t, "catalog", "show", "nginxx"); code != exitUsage || !strings.Contains(errs, `did you mean "nginx"?`) {
		t.Errorf("catalog show of a name with a slip: exit %d\n%s", code, errs)
	}
}

// export runs `catalog export` and loads what it wrote.
func export(t *testing.T, dir string, args ...string) []*recipes.Recipe {
	t.Helper()
	if code, _, errs := do(t, append([]string{"catalog", "export", dir}, args...)...); code != exitOK {
		t.Fatalf("catalog export %v: exit %d\n%s", args, code, errs)
	}
	files, err := recipesIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []*recipes.Recipe
	for _, file := range files {
		r, err := recipes.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// What is exported is what is built in: the lock fits, and so do the digests.
func TestCatalogExport(t *testing.T) {
	for _, names := range [][]string{nil, {"pause", "redis"}} {
		dir := filepath.Join(t.TempDir(), "out")
		all := export(t, dir, names...)
		if want := len(names); want > 0 && len(all) != want || want == 0 && len(all) != len(recipes.Catalog()) {
			t.Errorf("%v: %d recipes", names, len(all))
		}
		l, err := lock.Load(filepath.Join(dir, lock.Name))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			in, err := recipes.LoadCatalog(r.Name)
			if err != nil {
				t.Fatal(err)
			}
			if why, stale := l.Stale(r); stale {
				t.Errorf("%s: %s", r.Name, why)
			}
			if r.InputDigest("1") != in.InputDigest("1") {
				t.Errorf("%s is another recipe than the one that is built in", r.Name)
			}
			if _, err := os.Stat(filepath.Join(dir, r.Name+".md")); err != nil {
				t.Error(err)
			}
		}
		if len(names) > 0 {
			if _, ok := l.Recipe("nginx"); ok || len(l.Recipes) != len(names) {
				t.Errorf("the lock holds other recipes: %v", l.Recipes)
			}
			if _, ok := l.Set("image/nginx"); ok {
				t.Error("the lock holds a set that nobody uses")
			}
			if _, ok := l.Set("sysroot/redis"); !ok {
				t.Error("the lock lacks a set of redis")
			}
		}
	}
}

func TestCatalogExportKeepsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	export(t, dir, "pause")
	mine, other := filepath.Join(dir, "pause.toml"), filepath.Join(dir, "mine.txt")
	if err := os.Remove(filepath.Join(dir, lock.Name)); err != nil { // as an export that was cut off
		t.Fatal(err)
	}
	if code, out, errs := do(t, "catalog", "export", dir, "pause"); code != exitOK || !strings.Contains(out, "1 file written") {
		t.Errorf("ending an export: exit %d\n%s%s", code, out, errs)
	}
	for _, path := range []string{mine, other} {
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, _, errs := do(t, "catalog", "export", dir, "pause")
	if text, _ := os.ReadFile(mine); code != exitUsage || string(text) != "mine" || !strings.Contains(errs, "pause.toml") || !strings.Contains(errs, "--force") {
		t.Errorf("over a file that differs: exit %d, %q\n%s", code, text, errs)
	}
	if code, _, errs := do(t, "catalog", "export", dir, "pause", "--force"); code != exitOK {
		t.Errorf("--force: exit %d\n%s", code, errs)
	}
	if text, _ := os.ReadFile(mine); !strings.Contains(string(text), "pause") {
		t.Error("--force has not overwritten")
	}
	if text, _ := os.ReadFile(other); string(text) != "mine" {
		t.Error("a file of somebody else was changed")
	}
	for args, want := range map[string]string{"catalog export": "name the directory", "catalog": "catalog ls", "catalog export x nosuch": "nosuch"} {
		if code, _, errs := do(t, strings.Fields(args)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d\n%s", args, code, errs)
		}
	}
}
