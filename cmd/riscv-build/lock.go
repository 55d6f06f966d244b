package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/recipes"
)

func lockCommand() *cli.Command {
	return &cli.Command{
		Name: "lock", Usage: "resolve packages and write the lock", ArgsUsage: "RECIPE.toml|NAME...",
		Description: "Without an argument, every recipe of the current directory is locked. With --update, the recipes beside\n" +
			"those that are named move too where what they share with them moved, so that they share layers as before.",
		Flags: flags(stateFlags(), archiveFlags(), progressFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "update", Usage: "take the newest packages although the lock is good"},
			&cli.BoolFlag{Name: "allow-expired", Usage: "accept an archive past its Valid-Until; the lock and every report say so"},
		}),
		Action: lockRecipes,
	}
}

func lockRecipes(c *cli.Context) error {
	args, err := namedOrHere(c)
	if err != nil {
		return err
	}
	return withRecipes(c, args, func(s *session, requests []builder.Request) error {
		for i := range requests {
			requests[i].AllowExpired = c.Bool("allow-expired")
		}
		lock := lockMissing
		if c.Bool("update") {
			lock = updateLocks
		}
		return lock(c, s, requests)
	})
}

// lockMissing writes the locks that are missing or stale.
func lockMissing(c *cli.Context, s *session, requests []builder.Request) error {
	var failures []error
	for _, req := range requests {
		if err := s.builder.Lock(c.Context, req); err != nil {
			failures = append(failures, err)
			continue
		}
		fmt.Fprintf(c.App.Writer, "%s locked\n", req.Recipe.Name)
	}
	return errors.Join(failures...)
}

// updateLocks moves locks one after another, each wholly or not at all.
func updateLocks(c *cli.Context, s *session, requests []builder.Request) error {
	var failures []error
	for _, of := range byLock(requests) {
		up := builder.Update{Requests: of, Beside: recipesBeside(s, of)}
		moved, err := s.builder.Update(c.Context, up)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		for _, req := range of {
			fmt.Fprintf(c.App.Writer, "%s locked\n", req.Recipe.Name)
		}
		for _, name := range moved {
			fmt.Fprintf(c.App.Writer, "%s locked, for what it shares with these\n", name)
		}
	}
	return errors.Join(failures...)
}

// byLock groups requests by their locks, in the order of the requests.
func byLock(requests []builder.Request) [][]builder.Request {
	var groups [][]builder.Request
	for _, req := range requests {
		i := slices.IndexFunc(groups, func(g []builder.Request) bool { return g[0].LockPath == req.LockPath })
		if i < 0 {
			i, groups = len(groups), append(groups, nil)
		}
		groups[i] = append(groups[i], req)
	}
	return groups
}

// recipesBeside are the other recipes of the directory of a lock. One that is
// wrong stays as it is locked, and is told of.
func recipesBeside(s *session, of []builder.Request) []*recipes.Recipe {
	named := map[string]bool{}
	for _, req := range of {
		named[req.Recipe.Name] = true
	}
	var beside []*recipes.Recipe
	add := func(file string, r *recipes.Recipe, err error) {
		switch {
		case err != nil:
			s.display.Notice("%s stays as it is locked, because it cannot be read: %v", file, err)
		case !named[r.Name]:
			beside = append(beside, r)
		}
	}
	if of[0].LockPath == "" {
		for _, name := range recipes.Catalog() {
			r, err := recipes.LoadCatalog(name)
			add(name, r, err)
		}
		return beside
	}
	paths, err := recipesIn(filepath.Dir(of[0].LockPath))
	if err != nil {
		s.display.Notice("the other recipes of the lock stay as they are: %v", err)
	}
	for _, path := range paths {
		r, err := recipes.Load(path)
		add(path, r, err)
	}
	return beside
}
