package recipes

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed all:catalog
var embedded embed.FS

// catalogLock is the name of the lock in the catalogue's directory. It is the
// one name that package lock also knows; lock imports this package.
const catalogLock = "riscv-build.lock"

// catalogPrefix begins Recipe.File of a recipe of the catalogue.
const catalogPrefix = "catalog:"

// catalogFS is the catalogue's directory.
func catalogFS() fs.FS {
	sub, err := fs.Sub(embedded, "catalog")
	if err != nil {
		return embedded // cannot happen: "catalog" is a valid path
	}
	return sub
}

// Catalog returns the names of the recipes that are built into the program,
// sorted.
func Catalog() []string {
	paths, err := fs.Glob(catalogFS(), "*.toml")
	if err != nil {
		return nil
	}
	for i, p := range paths {
		paths[i] = strings.TrimSuffix(p, ".toml")
	}
	slices.Sort(paths)
	return paths
}

// LoadCatalog reads, completes and validates a recipe of the catalogue. A name
// that is not in it gives an error that wraps fs.ErrNotExist.
func LoadCatalog(name string) (*Recipe, error) {
	return loadCatalog(name, nil)
}

func loadCatalog(name string, above []string) (*Recipe, error) {
	data, err := fs.ReadFile(catalogFS(), name+".toml")
	if strings.Contains(name, "/") {
		err = fs.ErrNotExist
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return nil, fmt.Errorf("reading recipe %q of the catalogue: %w: %s", name, fs.ErrNotExist, catalogHint(name))
	}
	if err != nil {
		return nil, fmt.Errorf("reading recipe %q of the catalogue: %w: reinstall riscv-build", name, err)
	}
	return parseAt(place{dir: catalogFS(), above: above}, catalogPrefix+name+".toml", data)
}

func catalogHint(name string) string {
	names := Catalog()
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "use one of " + strings.Join(names, ", ")
}

// CatalogLock returns the lock of the catalogue, nil if the catalogue has none.
func CatalogLock() []byte {
	data, err := fs.ReadFile(catalogFS(), catalogLock)
	if err != nil {
		return nil
	}
	return data
}
