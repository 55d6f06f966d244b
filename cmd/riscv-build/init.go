package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/templates"
)

func initCommand() *cli.Command {
	return &cli.Command{
		Name: "init", Usage: "write a new recipe to start from", ArgsUsage: "[DIRECTORY/]NAME",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "template", Value: "autotools", Usage: "how the source is built: " + strings.Join(templates.Names(), ", ")},
		},
		Action: initRecipe,
	}
}

var recipeName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

func initRecipe(c *cli.Context) error {
	if err := checkChoice("template", c.String("template"), templates.Names()); err != nil {
		return err
	}
	if c.NArg() != 1 {
		return usagef("starting %d recipes: write `riscv-build init NAME`", c.NArg())
	}
	dir, name := filepath.Split(strings.TrimSuffix(c.Args().First(), ".toml"))
	if !recipeName.MatchString(name) {
		return usagef("starting recipe %q: a name has small letters, digits and . _ - only, and begins with a letter or a digit", name)
	}
	files, err := templates.Scaffold(c.String("template"), name)
	if err != nil {
		return err
	}
	return writeNew(c, dir, files)
}

// writeNew writes files that must not exist yet: all of them, or none.
func writeNew(c *cli.Context, dir string, files map[string][]byte) error {
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return usagef("writing %q: it exists: choose another name or directory", path)
		}
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, files[name], 0o644)
		}
		if err != nil {
			return usagef("writing %q: %w: choose a writable directory", path, err)
		}
		fmt.Fprintln(c.App.Writer, path)
	}
	return nil
}
