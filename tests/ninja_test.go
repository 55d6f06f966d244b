package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// recipeCopy copies a recipe with what lies beside it, for a lock of its own.
func recipeCopy(t *testing.T, from, file string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", from))); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, file)
}

// TestNinjaTemplates builds one program by cmake and by meson, whose probes look
// for libraries and run riscv64 code, with the cross compiler and with
// riscv64's: the images are the same.
func TestNinjaTemplates(t *testing.T) {
	s := emptyState(t, "state")
	for _, template := range []string{"cmake", "meson"} {
		file := recipeCopy(t, template, "gauge.toml")
		s.ok("lock", file, "--allow-expired")
		cross, _ := s.build(file, "--mode", "cross", "--locked")
		emulate, _ := s.build(file, "--mode", "emulate", "--locked")
		same := cross.Results[0].Digest == emulate.Results[0].Digest
		figure(t, "templates", fmt.Sprintf("%s: cross and riscv64 compiler make the same image: %v", template, same), "equal", same, false)
	}
}

// TestNinjaTemplatesOnDebianSources builds what others wrote.
func TestNinjaTemplatesOnDebianSources(t *testing.T) {
	s := emptyState(t, "state")
	for _, name := range []string{"cmark.toml", "lz4.toml"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name)
		write(t, file, string(text))
		s.ok("lock", file, "--allow-expired")
		s.build(file, "--mode", "cross", "--locked")
	}
}
