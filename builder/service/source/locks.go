package source

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/service"
)

// kept are the locks that builds wrote for directories that the service does
// not write into: DIR/KEY.lock, whose first line says which lock it stands for.
type kept struct {
	dir string
	mu  sync.Mutex
}

const replaces = "# replaces "

func openKept(dir string) (*kept, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening %q: %w: check that the state directory can be written", dir, err)
	}
	return &kept{dir: dir}, nil
}

// place names the directory that a recipe lies in, wherever that is; empty for
// one whose lock nobody keeps.
func (s *Sources) place(o service.Origin) string {
	at := o.URL
	switch {
	case o.Kind == service.FromRecipes && at == "":
		at = s.cfg.Recipes
	case o.Kind != service.FromGit && o.Kind != service.FromRecipes:
		return ""
	}
	return strings.Join([]string{at, o.Ref, path.Dir(o.Path)}, "\x00")
}

// keyOf is the name of a place's lock.
func keyOf(place string) string {
	if place == "" {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(place)))
}

func sumOf(own []byte) string {
	if own == nil {
		return "none"
	}
	return digest.FromBytes(own).String()
}

// find gives the lock that is kept for the place of one, or that itself.
func (k *kept) find(key string, own []byte) ([]byte, error) {
	text, _, err := k.lookUp(key, own)
	return text, err
}

// settle does the work of find where own is the newest there is: a kept lock
// that does not stand for it is dropped.
func (k *kept) settle(key string, own []byte) ([]byte, error) {
	text, stale, err := k.lookUp(key, own)
	if stale {
		err = os.Remove(filepath.Join(k.dir, key+".lock"))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return text, err
}

func (k *kept) lookUp(key string, own []byte) (text []byte, stale bool, err error) {
	if key == "" {
		return own, false, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	text, err = readLock(filepath.Join(k.dir, key+".lock"))
	if text == nil || err != nil {
		return own, false, err
	}
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	if string(first) != replaces+sumOf(own) {
		return own, true, nil
	}
	return rest, false, nil
}

// put keeps what a build made of the lock of a place.
func (k *kept) put(key string, own, now []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return writeAside(filepath.Join(k.dir, key+".lock"), append([]byte(replaces+sumOf(own)+"\n"), now...))
}
