package registry

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/gofrs/flock"
)

// staleUpload is how long an upload is kept that nobody continues.
const staleUpload = 24 * time.Hour

// Store is a registry's content in a directory. Several processes may open one
// directory, to collect garbage while another serves. All methods may be called
// from several goroutines.
type Store struct {
	*ociregistry.Funcs // what is not here is not supported

	root     string
	slack    time.Duration
	sessions sessions
	seed     maphash.Seed
	repos    [64]sync.Mutex // a repository's changes of manifests and tags come one after another
}

var _ ociregistry.Interface = (*Store)(nil)

// AccessError is a directory that cannot be used, or is in use. Exit code 3.
type AccessError struct{ Err error }

func (e *AccessError) Error() string { return e.Err.Error() }
func (e *AccessError) Unwrap() error { return e.Err }

// ExitCode is that of an environment that lacks something.
func (e *AccessError) ExitCode() int { return 3 }

// Open opens the directory of a registry, making it if it is not there.
func Open(root string) (*Store, error) {
	s := &Store{root: root, seed: maphash.MakeSeed()}
	err := s.prepare()
	if err != nil {
		return nil, &AccessError{fmt.Errorf("opening registry directory %q: %w: make it writable for this account, or name another with --root", root, err)}
	}
	return s, nil
}

// OpenExisting opens the directory of a registry that has been served.
func OpenExisting(root string) (*Store, error) {
	if _, err := os.Stat(filepath.Join(root, "repositories")); err != nil {
		return nil, &AccessError{fmt.Errorf("opening registry directory %q: %w: name the one that is served with --root", root, err)}
	}
	return Open(root)
}

// prepare makes the directories. Those of the blobs are made at once: one by
// one, each would have to be flushed to the disk for itself.
func (s *Store) prepare() error {
	for _, dir := range []string{"uploads", "repositories", "blobs/sha256"} {
		if err := makeDir(filepath.Join(s.root, filepath.FromSlash(dir))); err != nil {
			return err
		}
	}
	blobs := filepath.Join(s.root, "blobs", "sha256")
	names, err := readDir(blobs)
	if err != nil {
		return err
	}
	for i := 0; i < 256 && len(names) < 256; i++ {
		if err := os.Mkdir(filepath.Join(blobs, fmt.Sprintf("%02x", i)), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return errors.Join(syncDir(blobs), s.prepareLocks(), s.measure())
}

// prepareLocks makes the locks as the account that serves: a collector that is
// run as another would make them for itself alone.
func (s *Store) prepareLocks() error {
	var errs []error
	for _, name := range []string{"serve.lock", "gc.lock", "gc.turn", "gc.run"} {
		f, err := os.OpenFile(filepath.Join(s.root, name), os.O_CREATE|os.O_RDONLY, 0o644)
		if err == nil {
			err = f.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Writable says whether files can be written; the error names why not.
func (s *Store) Writable() error {
	f, err := os.CreateTemp(filepath.Join(s.root, "uploads"), "probe-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Serving takes the directory for a server at an address, until release, and
// removes uploads that nobody continues. A directory that is served is refused,
// and one that is of another kind: what a cache holds is not the whole.
func (s *Store) Serving(address, kind string) (release func(), err error) {
	release, err = s.claim("serve.lock", address)
	if err != nil {
		return nil, err
	}
	if err := s.checkKind(kind); err != nil {
		release()
		return nil, err
	}
	err = s.dropStaleUploads()
	if err != nil {
		release()
		return nil, &AccessError{fmt.Errorf("removing old uploads of %q: %w: check the disk and who owns the files", s.root, err)}
	}
	return release, nil
}

// checkKind notes what the directory is, or holds that it is what it was.
func (s *Store) checkKind(kind string) error {
	path := filepath.Join(s.root, "kind")
	raw, err := os.ReadFile(path)
	if was := strings.TrimSpace(string(raw)); err == nil && was != kind {
		return &AccessError{fmt.Errorf("opening registry directory %q: it is a %s, not a %s: name another with --root", s.root, was, kind)}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = s.writeFile(path, []byte(kind+"\n"))
	}
	if err != nil {
		return &AccessError{fmt.Errorf("opening registry directory %q: %w: check the disk and who owns the files", s.root, err)}
	}
	return nil
}

// claim takes a lock that one process may have, and notes in it who has it.
func (s *Store) claim(name, what string) (release func(), err error) {
	path := filepath.Join(s.root, name)
	lock := flock.New(path)
	ok, err := lock.TryLock()
	if err != nil {
		return nil, &AccessError{fmt.Errorf("locking %q: %w: make the directory writable for this account", path, err)}
	}
	if !ok {
		holder, err := os.ReadFile(path)
		if err != nil || len(holder) == 0 {
			holder = []byte("another process")
		}
		return nil, &AccessError{fmt.Errorf("locking %q: %s has it: wait for its end, stop it, or name another directory with --root", path, strings.TrimSpace(string(holder)))}
	}
	note := fmt.Sprintf("process %d (%s)\n", os.Getpid(), what)
	if err := os.WriteFile(path, []byte(note), 0o644); err != nil {
		return nil, errors.Join(&AccessError{fmt.Errorf("writing %q: %w: free some space", path, err)}, lock.Unlock())
	}
	return func() { _ = lock.Unlock() }, nil
}

// shared holds the collector off while something is linked: what was found to
// be there stays until release. Whoever comes while the collector waits for its
// turn stands behind it, or many pushes would keep it waiting for ever.
func (s *Store) shared() (release func(), err error) {
	return s.lock((*flock.Flock).RLock)
}

// alone holds off all who link something.
func (s *Store) alone() (release func(), err error) {
	return s.lock((*flock.Flock).Lock)
}

func (s *Store) lock(how func(*flock.Flock) error) (release func(), err error) {
	turn, lock := flock.New(filepath.Join(s.root, "gc.turn")), flock.New(filepath.Join(s.root, "gc.lock"))
	if err := how(turn); err != nil {
		return nil, fmt.Errorf("locking %q: %w", turn.Path(), err)
	}
	defer turn.Unlock() //nolint:errcheck // closes a file
	if err := how(lock); err != nil {
		return nil, fmt.Errorf("locking %q: %w", lock.Path(), err)
	}
	return func() { _ = lock.Unlock() }, nil
}

// changing is held while a repository's manifests and tags change.
func (s *Store) changing(repo string) *sync.Mutex {
	return &s.repos[maphash.String(s.seed, repo)%uint64(len(s.repos))]
}

// dropStaleUploads removes the uploads that nobody continues any more.
func (s *Store) dropStaleUploads() error {
	return s.staleUploads(staleUpload, func(path string, _ int64) error { return os.Remove(path) })
}

// staleUploads calls do for the uploads that nobody continued for age.
func (s *Store) staleUploads(age time.Duration, do func(path string, size int64) error) error {
	dir := filepath.Join(s.root, "uploads")
	names, err := readDir(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < age {
			continue // it may have been finished meanwhile
		}
		if err := do(path, info.Size()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// writeFile writes a file so that it is there whole or not at all, and stays
// after a power cut.
func (s *Store) writeFile(path string, raw []byte) error {
	return writeMode(filepath.Join(s.root, "uploads"), path, raw, 0o644)
}

// writeMode writes a file whole or not at all, by way of one in another
// directory of the same file system.
func writeMode(by, path string, raw []byte, mode fs.FileMode) error {
	tmp := filepath.Join(by, "file-"+rand.Text())
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		if err = makeDir(filepath.Dir(path)); err == nil {
			err = os.Rename(tmp, path)
		}
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return syncDir(filepath.Dir(path))
}

// makeDir makes a directory and those above it, each to stay after a power cut.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	above := filepath.Dir(dir)
	if err := makeDir(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
				return nil
			}
		}
		return err
	}
	return syncDir(above)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// touch makes a file young, so that the collector leaves it alone.
func (s *Store) touch(path string) error {
	return os.Chtimes(path, time.Time{}, time.Now().Add(s.slack))
}

// coarse is how far apart the times of files may be on a file system that does
// not keep parts of a second: FAT, of memory cards, has even seconds.
const coarse = 2 * time.Second

// measure finds out whether the times of files are exact. Where they are not, a
// file is made younger than it is, or it would be older than a collection that
// began before it was touched.
func (s *Store) measure() error {
	f, err := os.CreateTemp(filepath.Join(s.root, "uploads"), "probe-*")
	if err != nil {
		return err
	}
	at := time.Now().Truncate(time.Second).Add(123_456_789)
	err = errors.Join(f.Close(), os.Chtimes(f.Name(), at, at))
	if info, statErr := os.Stat(f.Name()); statErr != nil || !info.ModTime().Equal(at) {
		s.slack = coarse
	}
	return errors.Join(err, os.Remove(f.Name()))
}
