package main

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/recipes"
)

func validateCommand() *cli.Command {
	return &cli.Command{
		Name: "validate", Usage: "check recipes and report every problem at once", ArgsUsage: "[RECIPE.toml|NAME...]",
		Description: "Without an argument, every recipe of the current directory is checked. For a bare tarball the\n" +
			"archive is asked whether it has the same version with its security patches.",
		Flags: flags(stateFlags(), archiveFlags(), progressFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "offline", Usage: "do not ask the archive"},
		}),
		Action: validate,
	}
}

func validate(c *cli.Context) error {
	args, err := namedOrHere(c)
	if err != nil {
		return err
	}
	rs, err := loadRecipes(args, verbNames(c.App))
	patched := patchedSources(c, rs)
	for _, r := range rs {
		for _, w := range r.Warnings(patched) {
			fmt.Fprintln(c.App.ErrWriter, w.Error())
		}
		fmt.Fprintf(c.App.Writer, "%s: ok\n", r.File)
	}
	return err
}

// patchedSources asks the archive about recipes with bare tarballs. That it
// cannot be asked is told, and makes no recipe wrong.
func patchedSources(c *cli.Context, rs []*recipes.Recipe) recipes.Warning {
	found := map[*recipes.Recipe][]recipes.Problem{}
	judge := func(r *recipes.Recipe) []recipes.Problem { return found[r] }
	bare := slices.DeleteFunc(slices.Clone(rs), func(r *recipes.Recipe) bool { return !hasTarball(r) })
	if len(bare) == 0 || c.Bool("offline") {
		return judge
	}
	err := with(c, func(s *session) error {
		requests, err := requestsFor(c, bare)
		for _, req := range requests {
			var problems []recipes.Problem
			if problems, err = s.builder.PatchedSources(c.Context, req); err != nil {
				return err
			}
			found[req.Recipe] = problems
		}
		return err
	})
	if err != nil {
		fmt.Fprintf(c.App.ErrWriter, "whether the archive has patched sources is unknown: %v\n", err)
	}
	return judge
}

func hasTarball(r *recipes.Recipe) bool {
	for _, src := range r.Source {
		if src.URL != "" {
			return true
		}
	}
	return false
}

// recipesHere are the TOML files of the current directory, sorted.
func recipesHere() ([]string, error) {
	all, err := filepath.Glob("*.toml")
	if err != nil {
		return nil, fmt.Errorf("listing recipes: %w", err)
	}
	slices.Sort(all)
	if len(all) == 0 {
		return nil, usagef("looking for recipes: this directory has no .toml file: name a recipe, or one of the catalogue: %v", recipes.Catalog())
	}
	return all, nil
}
