package tests

import (
	"path/filepath"
	"testing"

	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestGoTemplate: the recipe that `init` writes for Go is locked, built and
// tested as it is. In the full run a second build, without a network and without
// what the first has kept, gives the same image.
func TestGoTemplate(t *testing.T) {
	s := warm(t)
	dir := t.TempDir()
	r := command(t.Context(), nil, "sh", "-c", `cd "$1" && exec "$0" init --template go greeter`, rig.Binary, dir)
	if r.Code != 0 {
		t.Fatalf("init: exit %d\n%s", r.Code, r.Stderr)
	}
	file := filepath.Join(dir, "greeter.toml")
	write(t, filepath.Join(dir, lock.Name), string(recipes.CatalogLock())) // its tool chain, and what it runs in
	s.ok("lock", file, "--allow-expired")
	first, _ := s.build(file, "--locked")
	if len(first.Results[0].Tests) == 0 {
		t.Error("it was not tested")
	}
	if !full {
		return
	}
	second, said := s.build(file, "--locked", "--offline", "--no-cache")
	if a, b := first.Results[0], second.Results[0]; a.Digest != b.Digest || b.Cached || len(b.Tests) == 0 {
		t.Errorf("built first: %+v\nthen: %+v\n%s", a, b, tail(said.Stderr, 20))
	}
}
