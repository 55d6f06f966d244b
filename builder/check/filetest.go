package check

import (
	"context"
	"fmt"

	"github.com/riscv-build/riscv-build/recipes"
)

// maxFile bounds the files whose content a test compares.
const maxFile = 64 << 20

// file looks at a file of the image in its layers: nothing is run.
func (r *runner) file(ctx context.Context, t *recipes.FileProbe) (string, error) {
	if r.contents == nil {
		c, err := Load(ctx, r.Store, r.Image, r.Cache)
		if err != nil {
			return "", err
		}
		r.contents = c
	}
	entry, ok := r.contents.Tree.Lstat(t.Path)
	switch {
	case t.Absent && ok:
		return fmt.Sprintf("expected no %q, the image has it as a %s", t.Path, entry.Type), nil
	case t.Absent:
		return "", nil
	case !ok:
		return fmt.Sprintf("expected the file %q, the image has none", t.Path), nil
	case t.Link != nil && entry.Type != TypeSymlink:
		return fmt.Sprintf("expected %q to be a symbolic link to %q, it is a %s", t.Path, *t.Link, entry.Type), nil
	case t.Link != nil && entry.Link != *t.Link:
		return fmt.Sprintf("expected %q to be a symbolic link to %q, it leads to %q", t.Path, *t.Link, entry.Link), nil
	}
	if t.Mode != nil {
		if problem := r.mode(t, entry); problem != "" {
			return problem, nil
		}
	}
	if t.Contains == nil && t.Equals == nil && t.Matches == nil {
		return "", nil
	}
	text, err := r.contents.ReadFile(ctx, t.Path, maxFile)
	if err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		return err.Error(), nil
	}
	return compare(fmt.Sprintf("%q", t.Path), [3]*string{t.Contains, t.Equals, t.Matches}, text), nil
}

// mode compares permission bits; a symbolic link has those of what it leads to.
func (r *runner) mode(t *recipes.FileProbe, entry *File) string {
	if entry.Type == TypeSymlink {
		target, ok := r.contents.Tree.Stat(t.Path)
		if !ok {
			return fmt.Sprintf("expected %q to have mode %04o, it is a symbolic link to nothing (%q)", t.Path, *t.Mode, entry.Link)
		}
		entry = target
	}
	if entry.Mode != *t.Mode {
		return fmt.Sprintf("expected %q to have mode %04o, it has %04o", t.Path, *t.Mode, entry.Mode)
	}
	return ""
}
