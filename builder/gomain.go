package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/builder/fetch/git"
	"github.com/riscv-build/riscv-build/builder/gomod"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// mainModule reads the module to build out of the source that holds it. One
// that brings its modules along in vendor needs none.
func (b *Builder) mainModule(ctx context.Context, r *recipes.Recipe, rec *lock.Recipe) (*gomod.Main, error) {
	name, dir, ok := r.ModuleSource()
	if !ok {
		return nil, fmt.Errorf("looking for the module to build: no source is unpacked to build.dir %q: correct it", r.Build.Dir)
	}
	names := []string{path.Join(dir, "go.mod"), path.Join(dir, "go.sum"), path.Join(dir, "vendor/modules.txt")}
	var files map[string][]byte
	var err error
	if beside := r.Source[name].Dir; beside != "" {
		files, err = filesBeside(r, beside, names)
	} else {
		var f lock.Blob
		if f, err = treeFile(rec, name); err == nil {
			files, err = b.filesInArchive(ctx, f, names)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading source %q: %w", name, err)
	}
	goMod, ok := files[names[0]]
	if !ok {
		return nil, fmt.Errorf("reading source %q: there is no %q in it: point build.dir to the directory that has the go.mod to build", name, names[0])
	}
	m, err := gomod.Read(goMod, files[names[1]], r.Source[name].Go != "")
	if err != nil {
		return nil, fmt.Errorf("reading source %q: %w", name, err)
	}
	if _, vendored := files[names[2]]; vendored {
		m.Modules = nil
	}
	return m, nil
}

// filesBeside reads files of a directory beside the recipe; those that it lacks are left out.
func filesBeside(r *recipes.Recipe, dir string, names []string) (map[string][]byte, error) {
	found := map[string][]byte{}
	for _, n := range names {
		data, err := fs.ReadFile(r.Dir, path.Join(dir, n))
		if err == nil {
			found[n] = data
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return found, nil
}

// filesInArchive reads files out of a module's zip or a tarball, likewise.
func (b *Builder) filesInArchive(ctx context.Context, f lock.Blob, names []string) (map[string][]byte, error) {
	if !strings.HasPrefix(f.URL, gomod.Scheme) {
		r, err := b.store.Open(ctx, digest.NewDigestFromEncoded(digest.SHA256, f.SHA256))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		tarball := f.URL
		if strings.HasPrefix(f.URL, git.Scheme) {
			tarball = gitName(f.URL) + ".tar"
		}
		return debian.SourceFiles(tarball, r, names)
	}
	a, done, err := b.openModule(ctx, f)
	if err != nil {
		return nil, err
	}
	defer done()
	found := map[string][]byte{}
	for _, n := range names {
		data, err := a.Read(n)
		if err != nil {
			return nil, err
		}
		if data != nil {
			found[n] = data
		}
	}
	return found, nil
}

// treeFile is the file of a locked source that holds its tree: of a source
// package the upstream tarball.
func treeFile(rec *lock.Recipe, name string) (lock.Blob, error) {
	for _, s := range rec.Sources {
		if s.Name != name {
			continue
		}
		for _, f := range s.Files {
			base := path.Base(f.URL)
			if strings.HasSuffix(base, ".dsc") || strings.HasSuffix(base, ".asc") || strings.Contains(base, ".debian.tar.") ||
				strings.Contains(base, ".orig-") || strings.HasSuffix(base, ".diff.gz") {
				continue
			}
			return f, nil
		}
	}
	return lock.Blob{}, fmt.Errorf("looking for the tree of source %q: it has no tarball: use another kind of source", name)
}
