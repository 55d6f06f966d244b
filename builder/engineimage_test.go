package builder

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/builder/engineimage"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// silent is a display that nobody looks at.
type silent struct{ Display }

func (silent) Notice(string, ...any) {}

// TestEngineLock: the built-in lock does, unless the state directory has one
// that stands for it; a lock of another program's image does not.
func TestEngineLock(t *testing.T) {
	dir := t.TempDir()
	b, err := New(Config{StateDir: dir, Display: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	req := Request{Recipe: engineRecipe(), Offline: true}
	l, err := b.engineLock(t.Context(), req)
	if err != nil || lacks(l) != "" {
		t.Fatalf("%v, %q", err, lacks(l))
	}
	l.Releases = l.Releases[:1]
	if err := l.Save(b.replacementPath(req, engineimage.Lock())); err != nil {
		t.Fatal(err)
	}
	if own, err := b.engineLock(t.Context(), req); err != nil || len(own.Releases) != 1 {
		t.Errorf("%v: %+v", err, own.Releases)
	}
	other := lock.New()
	other.PutSet(lock.Set{Name: engineimage.Set("amd64"), Request: []string{"runc"}}, nil)
	req.LockPath = filepath.Join(dir, "other.lock")
	if err := other.Save(req.LockPath); err != nil {
		t.Fatal(err)
	}
	if _, err := b.engineLock(t.Context(), req); err == nil || !strings.Contains(err.Error(), "--offline") {
		t.Errorf("a lock without packages, and no network: %v", err)
	}
	if _, err := b.engineLock(t.Context(), Request{Recipe: engineRecipe(), Update: true}); err == nil || !strings.Contains(err.Error(), "--lock") {
		t.Errorf("an update of what is built in: %v", err)
	}
}
