package debian

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// indexCache keeps compressed indexes by their SHA-256, in a directory or,
// without one, in memory until they are parsed.
type indexCache struct {
	dir string

	mu       sync.Mutex
	mem      map[string][]byte
	verified map[string]bool // files of dir whose content was hashed by this process
}

const (
	cacheSuffix = ".index"
	cacheAge    = 30 * 24 * time.Hour // unused for so long, an index is removed
)

// newIndexCache makes the directory; an empty name keeps everything in memory.
func newIndexCache(dir string) (*indexCache, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making the index cache: %w: choose another --state-dir", err)
		}
	}
	return &indexCache{dir: dir, mem: map[string][]byte{}, verified: map[string]bool{}}, nil
}

func (c *indexCache) file(sum string) string { return filepath.Join(c.dir, sum+cacheSuffix) }

// has tells whether an index is there, unaltered.
func (c *indexCache) has(sum string) bool {
	r, err := c.open(sum)
	if err != nil {
		return false
	}
	defer r.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, inMemory := c.mem[sum]; inMemory || c.verified[sum] {
		return true
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, r); err != nil || hex.EncodeToString(hash.Sum(nil)) != sum {
		os.Remove(c.file(sum)) // best effort: a good copy replaces it anyway
		return false
	}
	c.verified[sum] = true
	now := time.Now()
	_ = os.Chtimes(c.file(sum), now, now) // only ages the file for prune
	return true
}

// open reads an index; has must have said that it is there.
func (c *indexCache) open(sum string) (io.ReadCloser, error) {
	c.mu.Lock()
	data, ok := c.mem[sum]
	c.mu.Unlock()
	if ok {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	if c.dir == "" {
		return nil, fs.ErrNotExist
	}
	return os.Open(c.file(sum))
}

// forget drops what is in memory. Before that an index may be wanted more
// than once: those of several architectures or suites can be equal.
func (c *indexCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.mem)
}

// put keeps an index whose hash was checked: in memory until forget,
// and in the directory. An error says that the latter was not possible.
func (c *indexCache) put(sum string, data []byte) error {
	if c.dir == "" {
		c.hold(sum, data)
		return nil
	}
	if err := writeAside(c.file(sum), data); err != nil {
		c.hold(sum, data)
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verified[sum] = true
	return nil
}

func (c *indexCache) hold(sum string, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mem[sum] = data
}

// writeAside writes a file so that it is there whole or not at all.
func writeAside(name string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// prune removes what was not used for a month, and what a killed process left.
func (c *indexCache) prune() {
	if c.dir == "" {
		return
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		ours := strings.HasSuffix(e.Name(), cacheSuffix) || strings.HasPrefix(e.Name(), ".new-")
		info, err := e.Info()
		if ours && err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > cacheAge {
			os.Remove(filepath.Join(c.dir, e.Name()))
		}
	}
}
