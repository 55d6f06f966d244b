package builder

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/check"
)

// cache remembers by a digest of its inputs what a step gave, one small file
// an entry. Losing it costs time, never correctness: what an entry names lies
// in the content store under its own digest.
type cache struct {
	dir     string
	imports *imports // where entries are taken from that are not here; nil: nowhere
}

// LayerFacts is what checks of images in a state directory found out about
// their layers. It needs no lock to be read.
func LayerFacts(stateDir string) check.Cache {
	return cache{dir: filepath.Join(stateDir, "cache")}
}

// key makes the name of an entry out of everything that decides it.
func key(kind string, parts ...string) string {
	return kind + "-" + digest.FromString(strings.Join(parts, "\x00")).Encoded()[:32]
}

// get reads an entry into v; an unreadable one counts as absent.
func (c cache) get(key string, v any) bool {
	b, ok := c.Get(key)
	return ok && json.Unmarshal(b, v) == nil
}

// put writes an entry aside and renames it into place.
func (c cache) put(key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(c.dir, key+".json"), b); err != nil {
		return fmt.Errorf("writing cache entry %q: %w", key, err)
	}
	return nil
}

// Get reads a raw entry; with Put it makes the cache that the check room works with.
func (c cache) Get(key string) ([]byte, bool) {
	b, err := os.ReadFile(filepath.Join(c.dir, fileName(key)+".json"))
	if err == nil || c.imports == nil {
		return b, err == nil
	}
	b, ok := c.imports.entry(fileName(key))
	if ok {
		c.Put(key, b)
	}
	return b, ok
}

// Put stores a raw entry. What could not be stored is found out again.
func (c cache) Put(key string, b []byte) {
	_ = writeFile(filepath.Join(c.dir, fileName(key)+".json"), b)
}

func fileName(key string) string { return strings.NewReplacer("/", "_", ":", "-").Replace(key) }

// writeFile replaces a file whole: written aside, synced, renamed.
func writeFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
