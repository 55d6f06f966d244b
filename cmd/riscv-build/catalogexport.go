package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

func exportCatalog(c *cli.Context) error {
	if !c.Args().Present() {
		return usagef("exporting the catalogue: name the directory to write it into")
	}
	dir := c.Args().First()
	files, all, err := recipes.CatalogFiles(c.Args().Tail()...)
	if err != nil {
		return usageError{err}
	}
	if text, err := exportedLock(all, c.NArg() == 1); err != nil {
		return err
	} else if text != nil {
		files[lock.Name] = text
	}
	written, err := exportFiles(dir, files, c.Bool("force"))
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: %s, %s written; build them with `riscv-build batch %s`\n", dir, count(len(all), "recipe"), count(written, "file"), dir)
	return nil
}

// exportedLock is the catalogue's lock, or what some of its recipes need of it.
func exportedLock(all []*recipes.Recipe, whole bool) ([]byte, error) {
	text := recipes.CatalogLock()
	if whole || text == nil {
		return text, nil
	}
	l, err := lock.Parse("catalog:"+lock.Name, text)
	if err != nil {
		return nil, err
	}
	var names, sets []string
	for _, r := range all {
		names, sets = append(names, r.Name), append(sets, builder.LockedSets(r)...)
	}
	l.Keep(names, sets)
	return l.Marshal(), nil
}

// exportFiles writes files below a directory. Each is written whole or not at
// all, the lock last, and one that is there as it should be is left alone: an
// export that was cut off is ended by another.
func exportFiles(dir string, files map[string][]byte, force bool) (written int, err error) {
	var todo, differ []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		have, err := os.ReadFile(filepath.Join(dir, name))
		switch {
		case err == nil && bytes.Equal(have, files[name]):
			continue
		case !errors.Is(err, fs.ErrNotExist):
			differ = append(differ, name)
		}
		todo = append(todo, name)
	}
	if len(differ) > 0 && !force {
		return 0, usagef("exporting into %q: %s there with another content: %s: name another directory, or overwrite them with --force",
			dir, isOrAre(len(differ)), strings.Join(differ[:min(5, len(differ))], ", "))
	}
	if i := slices.Index(todo, lock.Name); i >= 0 {
		todo = append(slices.Delete(todo, i, i+1), lock.Name)
	}
	for _, name := range todo {
		if err := writeWhole(filepath.Join(dir, name), files[name]); err != nil {
			return written, usagef("exporting into %q: writing %q: %w: choose a directory that can be written", dir, name, err)
		}
		written++
	}
	return written, nil
}

func isOrAre(n int) string {
	if n == 1 {
		return "1 file is"
	}
	return fmt.Sprintf("%d files are", n)
}

// writeWhole writes a file aside and renames it, with its directory.
func writeWhole(path string, data []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
