package source

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/riscv-build/riscv-build/builder/fetch/git"
	"github.com/riscv-build/riscv-build/builder/service"
)

// What a repository of recipes may have at one commit.
const (
	checkoutFiles = 20_000
	checkoutBytes = 128 << 20
	checkoutTime  = 2 * time.Minute
)

// repository is one of git, and what is wanted of it.
type repository struct{ url, ref string }

// resolve asks for the commit of the branch or tag.
func (s *Sources) resolve(ctx context.Context, r repository) (git.Ref, error) {
	ref, err := git.Resolve(ctx, r.url, r.ref, s.gitOptions(r, ""))
	return ref, gitError(err)
}

func (s *Sources) gitOptions(r repository, dir string) git.Options {
	return git.Options{Name: fmt.Sprintf("repository %q", r.url), Dir: dir, Client: s.cfg.Client, Netrc: s.cfg.Netrc, Stall: 20 * time.Second, Rounds: 2}
}

// checkOut writes the files of a commit into a new directory below the work directory.
func (s *Sources) checkOut(ctx context.Context, r repository, commit string) (dir string, err error) {
	if dir, err = s.trees.scratch(); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	objects, err := s.trees.scratch()
	if err != nil {
		return dir, err
	}
	defer os.RemoveAll(objects) //nolint:errcheck // removed at the next start if not now
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opt := s.gitOptions(r, objects)
	opt.Progress = func(e git.Event) {
		if e.Bytes > checkoutBytes {
			cancel(errTooLarge)
		}
	}
	pr, pw := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		_, err := git.Write(ctx, pw, git.Commit{URLs: []string{r.url}, Hash: commit}, opt)
		pw.CloseWithError(err)
		wrote <- err
	}()
	err = extract(dir, tar.NewReader(pr), limits{checkoutFiles, checkoutBytes})
	pr.CloseWithError(io.ErrClosedPipe)
	written := <-wrote
	switch {
	case errors.Is(err, errTooLarge) || errors.Is(context.Cause(ctx), errTooLarge):
		return dir, &service.InvalidError{Field: "git.url", Err: fmt.Errorf(
			"fetching repository %q: it has more than %d files or %d MiB: put the recipes into one of their own", r.url, checkoutFiles, checkoutBytes>>20)}
	case written != nil && !errors.Is(written, io.ErrClosedPipe):
		return dir, gitError(written)
	}
	return dir, err
}

// filesOf is where checkOut has put the files: git.Write has them in one directory.
func filesOf(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		return "", errors.Join(err, errors.New("reading a checkout: it has not one directory: report this as a bug"))
	}
	return filepath.Join(dir, entries[0].Name()), nil
}

// gitError sorts the errors of package git for clients: a repository that does
// not answer is one that they have named.
func gitError(err error) error {
	var e *git.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &service.InvalidError{Field: "git.url", Err: fmt.Errorf("fetching a git repository: it took longer than %s: try again, or use a smaller one", checkoutTime)}
	case !errors.As(err, &e):
		return err
	case e.Kind() == git.NoCommit || e.Kind() == git.NotCommit:
		return &service.InvalidError{Field: "git.ref", Err: err}
	}
	return &service.InvalidError{Field: "git.url", Err: err}
}

// fromGit finds recipes in a repository.
func (s *Sources) fromGit(ctx context.Context, g service.Git) ([]service.Candidate, error) {
	address, err := gitAddress(g.URL, s.cfg.AllowLocalGit)
	if err != nil {
		return nil, &service.InvalidError{Field: "git.url", Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, checkoutTime)
	defer cancel()
	repo := repository{address, g.Ref}
	ref, err := s.resolve(ctx, repo)
	if err != nil {
		return nil, err
	}
	dir, err := s.checkOut(ctx, repo, ref.Hash)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // removed at the next start if not now
	files, err := filesOf(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(files)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return s.chosen(root.FS(), g.Recipes, service.Origin{Kind: service.FromGit, URL: address, Ref: g.Ref, Commit: ref.Hash})
}

// chosen makes candidates of recipe files, or of all at the top.
func (s *Sources) chosen(fsys fs.FS, names []string, origin service.Origin) ([]service.Candidate, error) {
	field := func(i int) string { return fmt.Sprintf("%s.recipes[%d]", origin.Kind, i) }
	if len(names) == 0 {
		var err error
		if names, err = topRecipes(fsys); err != nil {
			return nil, err
		}
		if len(names) == 0 {
			return nil, &service.InvalidError{Field: origin.Kind + ".recipes", Err: fmt.Errorf("looking for recipes in %q: it has no .toml file at the top: name the recipe files", origin.URL)}
		}
		field = func(int) string { return origin.Kind + ".recipes" }
	}
	var found []service.Candidate
	for i, name := range names {
		origin.Path = name
		c, err := s.candidate(fsys, origin, field(i))
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	return found, nil
}
