package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// loadRecipes reads the recipes that arguments name, and reports what is wrong
// with any of them at once.
func loadRecipes(args, verbs []string) ([]*recipes.Recipe, error) {
	if len(args) == 0 {
		return nil, usagef("naming no recipe: name a recipe file, or one of the catalogue: %s", strings.Join(recipes.Catalog(), ", "))
	}
	var (
		all      []*recipes.Recipe
		problems recipes.Problems
		others   []error
	)
	for _, arg := range args {
		r, err := loadRecipe(arg, verbs)
		var ps recipes.Problems
		switch {
		case errors.As(err, &ps):
			problems = append(problems, ps...)
		case err != nil:
			others = append(others, err)
		default:
			all = append(all, r)
		}
	}
	return all, errors.Join(append(others, problems.Err())...)
}

// loadRecipe reads a file, or a recipe of the catalogue if the argument is a
// bare name that is no file.
func loadRecipe(arg string, verbs []string) (*recipes.Recipe, error) {
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		if slices.Contains(recipes.Catalog(), arg) {
			return recipes.LoadCatalog(arg)
		}
		return nil, usagef("reading recipe %q: it is a directory: name the recipe file in it", arg)
	case err == nil:
		return recipes.Load(arg)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, usagef("reading recipe %q: %w: check the path", arg, err)
	case strings.ContainsRune(arg, filepath.Separator) || filepath.Ext(arg) != "":
		return nil, usagef("reading recipe %q: there is no such file: check the path, or start a recipe with `riscv-build init`", arg)
	case slices.Contains(recipes.Catalog(), arg):
		return recipes.LoadCatalog(arg)
	}
	advice := "see `riscv-build --help`"
	if near := nearest(arg, append(recipes.Catalog(), verbs...)); near != "" {
		advice = "did you mean \"" + near + "\"?"
	}
	return nil, usagef("reading %q: it is no verb, no file and no recipe of the catalogue (%s): %s", arg, strings.Join(recipes.Catalog(), ", "), advice)
}

// lockPath is where the lock of a recipe stands; empty for one of the
// catalogue, whose lock is built in.
func lockPath(r *recipes.Recipe) string {
	if r.Root == "" {
		return ""
	}
	return filepath.Join(r.Root, lock.Name)
}
