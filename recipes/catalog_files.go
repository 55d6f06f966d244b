package recipes

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// CatalogFiles returns the files of recipes of the catalogue by their paths
// below its directory: the recipes, their documentation, what they name beside
// them, and all that of the recipes they are built on. Without names it is the
// whole catalogue, with README.md. The lock is not among them.
func CatalogFiles(names ...string) (map[string][]byte, []*Recipe, error) {
	files := catalogFiles{}
	if len(names) == 0 {
		names = Catalog()
		if err := files.add("README.md"); err != nil {
			return nil, nil, err
		}
	}
	var all []*Recipe
	taken := map[string]bool{}
	for _, name := range names {
		r, err := LoadCatalog(name)
		for ; r != nil && err == nil && !taken[r.Name]; r = r.Base() {
			taken[r.Name] = true
			all = append(all, r)
			err = files.addRecipe(r)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return files, all, nil
}

type catalogFiles map[string][]byte

func (f catalogFiles) addRecipe(r *Recipe) error {
	for _, p := range append([]string{r.Name + ".toml", r.Name + ".md"}, r.Beside()...) {
		if err := f.add(p); err != nil {
			return err
		}
	}
	return nil
}

// Beside lists the files and directories that the recipe names, by their clean
// paths below its directory: patches, files of the image, source directories.
// The recipe it is built on is not among them.
func (r *Recipe) Beside() []string {
	var paths []string
	for _, p := range r.Build.Patches {
		paths = append(paths, path.Clean(p))
	}
	for _, file := range r.Image.Files {
		if file.From != "" {
			paths = append(paths, path.Clean(file.From))
		}
	}
	for _, name := range r.sourceNames() {
		if dir := r.Source[name].Dir; dir != "" {
			paths = append(paths, path.Clean(dir))
		}
	}
	return paths
}

// OfCatalog tells whether the recipe is one of the catalogue.
func (r *Recipe) OfCatalog() bool { return strings.HasPrefix(r.File, catalogPrefix) }

// add reads a file, or all files of a directory.
func (f catalogFiles) add(p string) error {
	err := fs.WalkDir(catalogFS(), p, func(p string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		f[p], err = fs.ReadFile(catalogFS(), p)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading %q of the catalogue: %w: reinstall riscv-build", p, err)
	}
	return nil
}
