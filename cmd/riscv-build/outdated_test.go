package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/outdated"
	"github.com/riscv-build/riscv-build/recipes"
)

func TestOutdatedStatus(t *testing.T) {
	some := outdated.Report{Packages: []outdated.Package{{}}, Asked: 2}
	unsure := outdated.Report{Asked: 2, Errors: []outdated.Problem{{Err: errors.New("no answer")}}}
	both := outdated.Report{Packages: some.Packages, Asked: 2, Errors: unsure.Errors}
	blind := outdated.Report{Asked: 1, Errors: unsure.Errors}
	for _, c := range []struct {
		report outdated.Report
		check  bool
		want   int
	}{
		{outdated.Report{Asked: 2}, true, exitOK},
		{some, false, exitOK},
		{some, true, exitFailed},
		{unsure, false, exitOK},
		{unsure, true, exitNetwork},
		{both, true, exitFailed},
		{blind, false, exitNetwork},
		{blind, true, exitNetwork},
		{outdated.Report{}, true, exitOK},
	} {
		if got := exitCode(t.Context(), outdatedStatus(&c.report, c.check)); got != c.want {
			t.Errorf("%+v, --exit-code %v: exit %d, want %d", c.report, c.check, got, c.want)
		}
	}
}

func TestPrintOutdated(t *testing.T) {
	requests := []builder.Request{
		{Recipe: &recipes.Recipe{Name: "web", File: "my recipes/web.toml", Root: "my recipes"}},
		{Recipe: &recipes.Recipe{Name: "db", File: "catalog:db.toml"}},
		{Recipe: &recipes.Recipe{Name: "idle", File: "idle.toml", Root: "."}},
	}
	r := &outdated.Report{
		Recipes:  []string{"web", "db", "idle"},
		Packages: []outdated.Package{{Name: "libc6", Locked: "1", Available: "2", Suite: "trixie-security", Security: true, Uses: []string{"image", "sysroot"}, Recipes: []string{"db", "web"}}},
		Sources:  []outdated.Source{{Subject: outdated.Subject{Recipe: "db", File: "catalog:db.toml", Source: "db"}, Kind: "dsc", Locked: "1-1", Available: "1-2", From: "trixie", Change: "dsc    = \"x\"\nsha256 = \"y\"\n"}},
	}
	var out bytes.Buffer
	if err := printOutdated(&out, r, requests); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"libc6    1       2          trixie-security  yes       image,sysroot  db, web\n",
		"db      1-1     1-2        trixie  -         db\n",
		"write into db.toml of `riscv-build catalog export DIR`, for source \"db\":\n    dsc    = \"x\"\n    sha256 = \"y\"\n",
		"    riscv-build lock --update 'my recipes/web.toml' db\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, out.String())
		}
	}
}

func TestOutdatedArguments(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.toml", "a.toml", "c.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if files, err := recipesIn(dir); err != nil || !slices.Equal(files, []string{filepath.Join(dir, "a.toml"), filepath.Join(dir, "b.toml")}) {
		t.Errorf("%v, %v", files, err)
	}
	if code, _, errs := do(t, "outdated", t.TempDir()); code != exitUsage || !strings.Contains(errs, "no .toml file") {
		t.Errorf("an empty directory: exit %d\n%s", code, errs)
	}
	if code, _, errs := do(t, "outdated", "nosuch"); code != exitUsage {
		t.Errorf("no recipe: exit %d\n%s", code, errs)
	}
}
