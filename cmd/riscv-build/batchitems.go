package main

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/batch"
	"github.com/riscv-build/riscv-build/recipes"
)

// wholeCatalog is the argument that stands for every recipe of the catalogue.
const wholeCatalog = "catalog"

// batchItems loads the recipes of a batch. A file that is no correct recipe is
// an item that fails; an argument that names nothing is an error.
func batchItems(c *cli.Context) ([]batch.Item, error) {
	args, err := batchArgs(c)
	if err != nil {
		return nil, err
	}
	if args, err = matching(args, c.StringSlice("only")); err != nil {
		return nil, err
	}
	var (
		items []batch.Item
		good  []*recipes.Recipe
	)
	for _, arg := range args {
		r, err := loadRecipe(arg, verbNames(c.App))
		var problems recipes.Problems
		switch {
		case errors.As(err, &problems):
			items = append(items, batch.Item{Name: fileName(arg), File: arg, Err: err})
		case err != nil:
			return nil, err
		default:
			items = append(items, batch.Item{Name: r.Name, File: r.File})
			good = append(good, r)
		}
	}
	requests, err := requestsFor(c, good)
	if err != nil {
		return nil, err
	}
	for i := range items {
		if items[i].Err == nil {
			items[i].Request, requests = requests[0], requests[1:]
		}
	}
	return items, nil
}

// batchArgs are the recipe files and names that the arguments stand for, each once.
func batchArgs(c *cli.Context) ([]string, error) {
	args := c.Args().Slice()
	if len(args) == 0 {
		args = []string{"."}
	}
	var all []string
	add := func(names ...string) {
		for _, name := range names {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	for _, arg := range args {
		fi, err := os.Stat(arg)
		switch {
		case arg == wholeCatalog:
			add(recipes.Catalog()...)
		case slices.Contains(recipes.Catalog(), arg), err != nil, !fi.IsDir():
			add(strings.TrimPrefix(arg, "./"))
		default:
			found, err := recipesOf(arg, c.NArg() == 0)
			if err != nil {
				return nil, err
			}
			add(found...)
		}
	}
	return all, nil
}

// recipesOf are the recipe files of a directory. unnamed: nobody named it.
func recipesOf(dir string, unnamed bool) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, usagef("reading recipes of %q: %w: check the path", dir, err)
	}
	var found []string
	for _, e := range entries {
		if name := e.Name(); filepath.Ext(name) == ".toml" && !strings.HasPrefix(name, ".") && !e.IsDir() {
			found = append(found, filepath.Join(dir, name))
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case unnamed:
		return nil, usagef("looking for recipes: this directory has no .toml file: name a directory or recipes, or build the whole catalogue with `riscv-build batch %s`", wholeCatalog)
	}
	return nil, usagef("looking for recipes in %q: it has no .toml file: name the directory that holds them, or recipes", dir)
}

// matching keeps what --only is for. A recipe has the name of its file, as a rule;
// where it has not, its name counts.
func matching(args, patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		return args, nil
	}
	var kept []string
	for _, arg := range args {
		name := fileName(arg)
		if r, err := loadRecipe(arg, nil); err == nil {
			name = r.Name
		}
		for _, p := range patterns {
			ok, err := path.Match(p, name)
			if err != nil {
				return nil, usagef("reading --only %q: %w: write * for any text and ? for any letter", p, err)
			}
			if ok {
				kept = append(kept, arg)
				break
			}
		}
	}
	if len(kept) == 0 {
		return nil, usagef("reading --only %q: none of the %d recipes has such a name: check the pattern", strings.Join(patterns, ", "), len(args))
	}
	return kept, nil
}

// fileName is the name that a recipe file would have.
func fileName(arg string) string { return strings.TrimSuffix(filepath.Base(arg), ".toml") }
