package git

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

const (
	// top is the directory that the tar has everything in, as other tarballs
	// of sources do.
	top = "source"
	// pathLimit is what Linux takes for a path, in bytes.
	pathLimit = 4096
	// nestingLimit bounds submodules of submodules.
	nestingLimit = 16
)

// writer writes the tree of one commit, and those of its submodules into it.
type writer struct {
	f    *fetcher
	tar  *tar.Writer
	date time.Time
}

func (f *fetcher) writeTar(ctx context.Context, w io.Writer, r *repository, c Commit) (time.Time, error) {
	date := r.commit.Committer.When.UTC().Truncate(time.Second)
	t := &writer{f: f, tar: tar.NewWriter(w), date: date}
	err := t.module(ctx, r, top, submodules(c.Submodules))
	if err == nil {
		err = t.tar.Close()
	}
	var c1 *cause
	if errors.As(err, &c1) && ctx.Err() == nil {
		err = f.gaveUp(c.Hash, Attempt{r.url, c1.kind, c1})
	}
	return date, err
}

// submodules says how deep submodules are taken along.
func submodules(wanted bool) int {
	if wanted {
		return nestingLimit
	}
	return -1
}

// module writes the files of a repository's commit below dir; nesting is how
// many levels of submodules may follow, -1 for none and without complaint.
func (t *writer) module(ctx context.Context, r *repository, dir string, nesting int) error {
	if err := t.entry(tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}); err != nil {
		return err
	}
	m := &module{repository: r, dir: dir, nesting: nesting}
	return t.directory(ctx, m, r.commit.TreeHash, dir)
}

// module is a repository as it lies in the tar.
type module struct {
	*repository
	dir     string
	nesting int
	urls    map[string]string // of submodules, by path in the repository; nil: not read
}

func (t *writer) directory(ctx context.Context, m *module, h plumbing.Hash, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := m.readTree(h)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name)
		if len(name) > pathLimit {
			return causef(Broken, "path %q... is longer than %d bytes", name[:64], pathLimit)
		}
		if err := t.one(ctx, m, e, name); err != nil {
			return err
		}
	}
	return nil
}

// one writes one entry of a tree.
func (t *writer) one(ctx context.Context, m *module, e object.TreeEntry, name string) error {
	switch e.Mode {
	case filemode.Dir:
		if err := t.entry(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}); err != nil {
			return err
		}
		return t.directory(ctx, m, e.Hash, name)
	case filemode.Submodule:
		return t.submodule(ctx, m, e.Hash, name)
	case filemode.Symlink:
		target, err := m.read(plumbing.BlobObject, e.Hash)
		if err != nil {
			return err
		}
		return t.entry(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: string(target), Mode: 0o777})
	case filemode.Regular, filemode.Deprecated:
		return t.file(m, e.Hash, tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644})
	case filemode.Executable:
		return t.file(m, e.Hash, tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755})
	}
	return causef(Broken, "%q has the mode %s, which git does not know", name, e.Mode)
}

func (t *writer) entry(h tar.Header) error {
	h.ModTime = t.date
	return t.tar.WriteHeader(&h)
}

func (t *writer) file(m *module, hash plumbing.Hash, h tar.Header) error {
	o, err := m.EncodedObject(plumbing.BlobObject, hash)
	if err != nil {
		return causef(Broken, "file %q: %w", h.Name, err)
	}
	h.Size = o.Size()
	if err := t.entry(h); err != nil {
		return err
	}
	return copyObject(t.tar, o, hash)
}

// submodule writes the tree of another repository's commit, or, as git does,
// an empty directory where none is wanted.
func (t *writer) submodule(ctx context.Context, m *module, commit plumbing.Hash, name string) error {
	if m.nesting < 0 {
		return t.entry(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755})
	}
	if m.nesting == 0 {
		return causef(Broken, "submodules lie in one another more than %d deep, to %q", nestingLimit, name)
	}
	address, err := m.submoduleURL(strings.TrimPrefix(name, m.dir+"/"))
	if err != nil {
		return err
	}
	r, err := t.f.obtain(ctx, []string{address}, commit.String())
	if err != nil {
		return fmt.Errorf("fetching submodule %q: %w", strings.TrimPrefix(name, top+"/"), err)
	}
	defer r.close()
	return t.module(ctx, r, name, m.nesting-1)
}

// submoduleURL looks a submodule up in .gitmodules.
func (m *module) submoduleURL(dir string) (string, error) {
	if m.urls == nil {
		if err := m.readModules(); err != nil {
			return "", err
		}
	}
	named, ok := m.urls[dir]
	if !ok {
		return "", causef(Broken, "submodule %q has no address in .gitmodules: leave submodules out of the recipe if it is not needed", dir)
	}
	address, err := resolve(m.url, named)
	if err != nil {
		return "", causef(Broken, "submodule %q: %w", dir, err)
	}
	return address, nil
}

func (m *module) readModules() error {
	m.urls = map[string]string{}
	entries, err := m.readTree(m.commit.TreeHash)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name != ".gitmodules" || !e.Mode.IsFile() {
			continue
		}
		data, err := m.read(plumbing.BlobObject, e.Hash)
		if err != nil {
			return err
		}
		parsed := config.NewModules()
		if err := parsed.Unmarshal(data); err != nil {
			return causef(Broken, "reading .gitmodules: %w", err)
		}
		for _, s := range parsed.Submodules {
			m.urls[path.Clean(s.Path)] = s.URL
		}
	}
	return nil
}

// unsafeName says whether git refuses a name in a tree.
func unsafeName(name string) bool {
	return name == "" || name == "." || name == ".." || strings.EqualFold(name, ".git") || strings.ContainsAny(name, "/\x00")
}
