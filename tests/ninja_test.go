package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// recipeCopy copies a recipe with what lies beside it. Its lock is begun with the
// catalogue's, so that it shares the tool chains that other tests have assembled.
func recipeCopy(t *testing.T, from, file string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", from))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, lock.Name), string(recipes.CatalogLock()))
	return filepath.Join(dir, file)
}

// TestNinjaTemplates builds one program by cmake and by meson, whose probes look
// for libraries and run riscv64 code. In the full run riscv64's compiler makes
// the same images, and what others wrote is built, too.
func TestNinjaTemplates(t *testing.T) {
	s := warm(t)
	for _, template := range []string{"cmake", "meson"} {
		file := recipeCopy(t, template, "gauge.toml")
		s.ok("lock", file, "--allow-expired")
		cross, _ := s.build(file, "--mode", "cross", "--locked")
		if !full {
			continue
		}
		emulate, _ := s.build(file, "--mode", "emulate", "--locked")
		same := cross.Results[0].Digest == emulate.Results[0].Digest
		figure(t, "templates", fmt.Sprintf("%s: cross and riscv64 compiler make the same image: %v", template, same), "equal", same, false)
	}
	if !full {
		return
	}
	for _, name := range []string{"cmark.toml", "lz4.toml"} {
		file := recipeCopy(t, "ninja", name)
		s.ok("lock", file, "--allow-expired")
		s.build(file, "--mode", "cross", "--locked")
	}
}
