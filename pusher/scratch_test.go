package pusher

import (
	"os"
	"path/filepath"
	"testing"
)

// TestScratch: what a killed process left is removed, what is in use stays.
func TestScratch(t *testing.T) {
	below := t.TempDir()
	used, remove, err := Scratch(below)
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(below, scratchPattern+"left")
	made := filepath.Join(below, scratchPattern+"made") // has no lock file yet
	target := filepath.Join(t.TempDir(), "target")
	link := filepath.Join(below, scratchPattern+"link")
	for _, dir := range []string{left, made, link} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(left, scratchLock), "")
	if err := os.Symlink(target, filepath.Join(link, scratchLock)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Scratch(below); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{used: true, left: false, made: true, target: false} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(used); err == nil {
		t.Errorf("%s is still there", used)
	}
	if _, _, err := Scratch(filepath.Join(below, "nowhere")); err == nil {
		t.Error("a directory below nothing")
	}
}
