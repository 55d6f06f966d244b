package source

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// What a tree may hold.
const (
	treeFiles = 1000     // files and directories
	treeBytes = 16 << 20 // of all files

	recipeBytes = 1 << 20 // of one recipe
)

// youth is how long a tree is kept that no build has: it was stored, or found
// to be there already, and the build that wants it comes a moment later.
const youth = time.Hour

// tree is files by their paths, which are clean and have slashes.
type tree map[string]file

type file struct {
	data []byte
	exec bool
	dir  bool // an empty one must be there, too
}

// tar writes the tree so that the same files give the same bytes.
func (t tree) tar() ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		f := t[name]
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(f.data)), Mode: 0o644, Format: tar.FormatPAX}
		switch {
		case f.dir:
			h.Typeflag, h.Name, h.Mode = tar.TypeDir, name+"/", 0o755
		case f.exec:
			h.Mode = 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("packing %q: %w: give it another name", name, err)
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}

// store keeps trees as DIR/trees/SHA256.tar, and lays them out in DIR/work.
type store struct{ trees, work string }

func openStore(dir string) (*store, error) {
	s := &store{filepath.Join(dir, "trees"), filepath.Join(dir, "work")}
	err := os.RemoveAll(s.work) // what a service that was killed had laid out
	for _, d := range []string{s.trees, s.work} {
		if err == nil {
			err = os.MkdirAll(d, 0o700)
		}
	}
	left, globErr := filepath.Glob(filepath.Join(s.trees, ".aside-*"))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	if err = errors.Join(err, globErr); err != nil {
		return nil, fmt.Errorf("opening the service's directory %q: %w: check that it can be written", dir, err)
	}
	return s, nil
}

func (s *store) path(d digest.Digest) string { return filepath.Join(s.trees, d.Encoded()+".tar") }

// put keeps a tree.
func (s *store) put(t tree) (digest.Digest, error) {
	data, err := t.tar()
	if err != nil {
		return "", err
	}
	d := digest.FromBytes(data)
	now := time.Now()
	if info, err := os.Stat(s.path(d)); err == nil && info.Size() == int64(len(data)) && os.Chtimes(s.path(d), now, now) == nil {
		return d, nil
	}
	return d, writeAside(s.path(d), data)
}

// layOut writes the files of a tree into a new directory.
func (s *store) layOut(d digest.Digest) (string, error) {
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("reading tree %q: %w: submit the recipe again", d, err)
	}
	data, err := os.ReadFile(s.path(d))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("reading tree %q: it is not kept any more: submit the recipe again", d)
	case err != nil:
		return "", fmt.Errorf("reading tree %q: %w: check the state directory", d, err)
	case digest.FromBytes(data) != d:
		return "", fmt.Errorf("reading tree %q: its file is damaged: check the disk, then submit the recipe again", d)
	}
	dir, err := s.scratch()
	if err != nil {
		return "", err
	}
	if err := extract(dir, tar.NewReader(bytes.NewReader(data)), limits{treeFiles, treeBytes}); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// scratch makes a directory that whoever asked for it removes.
func (s *store) scratch() (string, error) {
	dir, err := os.MkdirTemp(s.work, "")
	if err != nil {
		return "", fmt.Errorf("making a directory in %q: %w: check that the state directory can be written and has space", s.work, err)
	}
	return dir, nil
}

// sweep removes trees that nobody wants and that are not young.
func (s *store) sweep(ctx context.Context, keep func(digest.Digest) bool) error {
	entries, err := os.ReadDir(s.trees)
	if err != nil {
		return fmt.Errorf("sweeping %q: %w: check the state directory", s.trees, err)
	}
	var errs []error
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		encoded, isTree := strings.CutSuffix(e.Name(), ".tar")
		d := digest.NewDigestFromEncoded(digest.SHA256, encoded)
		info, err := e.Info()
		if !isTree || d.Validate() != nil || err != nil || time.Since(info.ModTime()) < youth || keep(d) {
			continue
		}
		errs = append(errs, os.Remove(filepath.Join(s.trees, e.Name())))
	}
	return errors.Join(errs...)
}

// limits bounds what is extracted.
type limits struct {
	files int
	bytes int64
}

// extract writes a tar below a directory; nothing is written outside of it,
// through whatever links.
func extract(dir string, r *tar.Reader, most limits) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		most.files--
		most.bytes -= h.Size
		if most.files < 0 || most.bytes < 0 {
			return errTooLarge
		}
		if err := write(root, h, r); err != nil {
			return fmt.Errorf("laying out %q: %w: check the space of the state directory", h.Name, err)
		}
	}
}

// errTooLarge says that a tree has too many files or bytes.
var errTooLarge = errors.New("it is too large")

func write(root *os.Root, h *tar.Header, r io.Reader) error {
	name := path.Clean(h.Name)
	if name == "." {
		return nil
	}
	if h.Typeflag == tar.TypeDir {
		return root.MkdirAll(name, 0o755)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeReg:
	default:
		return fmt.Errorf("an entry of type %q", h.Typeflag)
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fs.FileMode(h.Mode)&0o755|0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// writeAside writes a file so that it is there whole or not at all, also after
// a loss of power.
func writeAside(name string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".aside-*")
	if err == nil {
		_, err = f.Write(data)
		if err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err == nil {
			err = os.Rename(f.Name(), name)
		}
		if err == nil {
			err = syncDir(filepath.Dir(name))
		} else {
			_ = os.Remove(f.Name()) // the first error counts
		}
	}
	if err != nil {
		return fmt.Errorf("writing %q: %w: check that the state directory can be written and has space", name, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
