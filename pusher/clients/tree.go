package clients

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 8 << 20

// tree is the file system of the machine that is configured, below a root
// directory. Paths in it are absolute, as that machine has them. Symbolic
// links are followed as that machine would follow them: none leads out.
type tree struct{ root string }

// resolve gives the path below the root with all links followed.
func (t tree) resolve(name string) (string, error) {
	full, err := securejoin.SecureJoin(t.root, name)
	if err != nil {
		return "", &AccessError{Op: "finding", Path: name, Err: err}
	}
	rel, err := filepath.Rel(t.root, full)
	if err != nil {
		return "", &AccessError{Op: "finding", Path: name, Err: err}
	}
	return rel, nil
}

// onRoot runs do with the opened root directory, out of which no path leads
// even if a link is put in its way meanwhile.
func (t tree) onRoot(name string, do func(root *os.Root, rel string) error) error {
	rel, err := t.resolve(name)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(t.root)
	if err != nil {
		return err
	}
	defer root.Close()
	return do(root, rel)
}

// read gives a file's content and mode; nothing if it does not exist.
func (t tree) read(name string) (text []byte, info fs.FileInfo, err error) {
	err = t.onRoot(name, func(root *os.Root, rel string) error {
		if info, err = root.Stat(rel); err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("it is no regular file")
		}
		f, err := root.Open(rel)
		if err != nil {
			return err
		}
		defer f.Close()
		text, err = io.ReadAll(io.LimitReader(f, maxFile+1))
		if err == nil && len(text) > maxFile {
			err = fmt.Errorf("it has more than %d MB", maxFile>>20)
		}
		return err
	})
	var access *AccessError
	switch {
	case missing(err):
		return nil, nil, nil
	case errors.As(err, &access):
		return nil, nil, err
	case err != nil:
		return nil, nil, &AccessError{Op: "reading", Path: name, Err: err}
	}
	return text, info, nil
}

// exists says whether there is a file or directory; what cannot be seen is not there.
func (t tree) exists(name string) bool {
	err := t.onRoot(name, func(root *os.Root, rel string) error {
		_, err := root.Stat(rel)
		return err
	})
	return err == nil
}

// list gives the paths of the files of a directory that match a pattern of
// path.Match, sorted. A directory that cannot be read has none.
func (t tree) list(dir, pattern string) []string {
	var found []string
	_ = t.onRoot(dir, func(root *os.Root, rel string) error {
		entries, err := fs.ReadDir(root.FS(), filepath.ToSlash(rel))
		for _, e := range entries {
			if ok, _ := path.Match(pattern, e.Name()); ok && !e.IsDir() {
				found = append(found, path.Join(dir, e.Name()))
			}
		}
		return err
	})
	slices.Sort(found)
	return found
}

// inside gives the path that a file of this machine has in the tree; "" if it
// is not below the root.
func (t tree) inside(file string) string {
	full, err := filepath.Abs(file)
	if err != nil {
		return ""
	}
	if full, err = filepath.EvalSymlinks(full); err != nil {
		return ""
	}
	rel, err := filepath.Rel(t.root, full)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return ""
	}
	return "/" + rel
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
