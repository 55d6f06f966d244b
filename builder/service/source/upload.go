package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/riscv-build/riscv-build/builder/service"
)

// fromUpload finds recipes in files that were sent along.
func (s *Sources) fromUpload(u service.Upload) ([]service.Candidate, error) {
	if err := checkUpload(u); err != nil {
		return nil, err
	}
	dir, err := s.trees.scratch()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // removed at the next start if not now
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for i, f := range u.Files {
		err := root.MkdirAll(path.Dir(f.Path), 0o755)
		if err == nil {
			err = root.WriteFile(f.Path, f.Content, fs.FileMode(f.Mode)&0o111|0o644)
		}
		if err != nil {
			return nil, invalid(fmt.Sprintf("upload.files[%d].path", i), "laying out %q: %w: check that no other file is its directory", f.Path, reason(err))
		}
	}
	return s.chosen(root.FS(), u.Recipes, service.Origin{Kind: service.FromUpload})
}

// checkUpload applies the limits, before anything is written.
func checkUpload(u service.Upload) error {
	if len(u.Recipes) == 0 {
		return invalid("upload.recipes", "reading an upload: it names no recipe: give the paths of recipe files")
	}
	if len(u.Files) > treeFiles {
		return invalid("upload.files", "reading an upload: it has %d files, and %d are the limit: make what is large a source with url and sha256", len(u.Files), treeFiles)
	}
	size, seen := 0, map[string]int{}
	for i, f := range u.Files {
		field := fmt.Sprintf("upload.files[%d]", i)
		if !fs.ValidPath(f.Path) || f.Path == "." || strings.ContainsAny(f.Path, "\x00\\") || len(f.Path) > 1024 {
			return invalid(field+".path", "reading path %q: it is no clean path below the root: write it like \"files/x.conf\", without \"..\"", short(f.Path))
		}
		if j, ok := seen[f.Path]; ok {
			return invalid(field+".path", "reading path %q: files[%d] has it, too: leave one out", f.Path, j)
		}
		if f.Mode&^0o7777 != 0 && f.Mode&0o170000 != 0o100000 {
			return invalid(field+".mode", "reading mode %#o of %q: only regular files can be sent: replace links by files", f.Mode, f.Path)
		}
		if path.Ext(f.Path) == ".toml" && len(f.Content) > recipeBytes {
			return invalid(field+".content", "reading recipe %q: it has more than %d MiB: put large files beside it", f.Path, recipeBytes>>20)
		}
		seen[f.Path] = i
		if size += len(f.Content); size > treeBytes {
			return invalid(field+".content", "reading an upload: its files have more than %d MiB: make what is large a source with url and sha256", treeBytes>>20)
		}
	}
	return nil
}

func short(text string) string { return text[:min(len(text), 200)] }

func invalid(field, format string, args ...any) error {
	return &service.InvalidError{Field: field, Err: fmt.Errorf(format, args...)}
}

// Resolve finds the recipes of a submission and keeps their trees.
func (s *Sources) Resolve(ctx context.Context, sub service.Submission) ([]service.Candidate, error) {
	given := 0
	for _, is := range []bool{len(sub.Recipes) > 0, sub.Upload != nil, sub.Git != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, &service.InvalidError{Err: errors.New("reading a submission: exactly one of recipes, upload and git can be given: leave the others out")}
	case sub.Upload != nil:
		return s.fromUpload(*sub.Upload)
	case sub.Git != nil:
		return s.fromGit(ctx, *sub.Git)
	}
	return s.byName(ctx, sub.Recipes)
}
