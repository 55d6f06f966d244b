package client

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// maxPacked is the most that files of an upload hold, in bytes: as base64, and
// with their names, they must stay below what the API takes.
const maxPacked = 17 << 20

// Pack gathers a recipe of recipes.Load with the files it names, those of the
// recipes beside it that it is built on, and riscv-build.lock where there is
// one. Paths are relative to the recipe's directory.
func Pack(r *recipes.Recipe) (*service.Upload, error) {
	p := &packing{recipe: r, taken: map[string]bool{}}
	for ; r != nil && !r.OfCatalog(); r = r.Base() {
		for _, path := range append([]string{filepath.Base(r.File)}, r.Beside()...) {
			if err := p.add(path); err != nil {
				return nil, err
			}
		}
	}
	if err := p.add(lock.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	p.upload.Recipes = []string{filepath.Base(p.recipe.File)}
	return &p.upload, nil
}

type packing struct {
	recipe *recipes.Recipe
	upload service.Upload
	taken  map[string]bool
	size   int64
}

// add takes a file, or all files of a directory.
func (p *packing) add(path string) error {
	err := fs.WalkDir(p.recipe.Dir, path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || p.taken[path] {
			return err
		}
		p.taken[path] = true
		return p.file(path)
	})
	if err != nil {
		return fmt.Errorf("packing %q for recipe %q: %w", path, p.recipe.File, err)
	}
	return nil
}

func (p *packing) file(path string) error {
	info, err := fs.Stat(p.recipe.Dir, path)
	switch {
	case err != nil:
		return fmt.Errorf("%w: check that it is there", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%q is no regular file: replace it by one", path)
	}
	if p.size += info.Size(); p.size > maxPacked {
		return fmt.Errorf("the files have more than %d MiB: make what is large a source with url and sha256, or give the service a git repository", maxPacked>>20)
	}
	data, err := fs.ReadFile(p.recipe.Dir, path)
	if err != nil {
		return fmt.Errorf("%w: make it readable", err)
	}
	p.upload.Files = append(p.upload.Files, service.File{Path: path, Mode: uint32(info.Mode().Perm()), Content: data})
	return nil
}
