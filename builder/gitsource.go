package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/builder/fetch/git"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// lockGit names the bytes that a commit's tree has as a tar. It is fetched for
// that, unless the old lock knows it: a commit does not change.
func (b *Builder) lockGit(ctx context.Context, req Request, name string, old *lock.File) (lock.Source, error) {
	src := req.Recipe.Source[name]
	commit := git.Commit{URLs: append([]string{src.Git}, src.Mirrors...), Hash: src.Commit, Submodules: src.Submodules}
	addresses := commit.Addresses()
	if was, ok := lockedSource(old, req.Recipe.Name, name); ok && !req.Update && len(was.Files) == 1 && was.Files[0].URL == addresses[0] {
		was.Files = []lock.Blob{was.Files[0]}
		was.Files[0].Mirrors = addresses[1:]
		return was, nil
	}
	out := lock.Source{Name: name}
	maker := b.gitMaker(req.Recipe, name, commit)
	made, err := b.store.Make(ctx, gitName(addresses[0]), func(ctx context.Context, w io.Writer, tell func(fetch.Event)) (err error) {
		out.Date, err = maker(ctx, w, tell)
		return err
	}, b.cfg.Fetch.Progress)
	if err != nil {
		return out, err
	}
	out.Files = []lock.Blob{{URL: addresses[0], Mirrors: addresses[1:], Size: made.Size, SHA256: made.Digest.Encoded()}}
	return out, nil
}

func lockedSource(l *lock.File, recipe, name string) (lock.Source, bool) {
	r, _ := l.Recipe(recipe)
	for _, s := range r.Sources {
		if s.Name == name {
			return s, true
		}
	}
	return lock.Source{}, false
}

// gitBlob gives the tree of a locked commit with the places to make it from.
func (b *Builder) gitBlob(r *recipes.Recipe, name string, f lock.Blob) fetch.Blob {
	blob := fetch.Blob{Name: gitName(f.URL), Digest: digest.NewDigestFromEncoded(digest.SHA256, f.SHA256), Size: f.Size}
	commit, err := git.Parse(append([]string{f.URL}, f.Mirrors...))
	maker := b.gitMaker(r, name, commit)
	blob.Make = func(ctx context.Context, w io.Writer, tell func(fetch.Event)) error {
		if err != nil {
			return fmt.Errorf("reading the lock of recipe %q: %w", r.Name, err)
		}
		_, err := maker(ctx, w, tell)
		return err
	}
	return blob
}

// gitMaker writes the tree of a commit as a tar and gives the commit's date.
func (b *Builder) gitMaker(r *recipes.Recipe, name string, commit git.Commit) func(context.Context, io.Writer, func(fetch.Event)) (time.Time, error) {
	return func(ctx context.Context, w io.Writer, tell func(fetch.Event)) (time.Time, error) {
		dir, err := b.tempDir("git")
		if err != nil {
			return time.Time{}, err
		}
		defer os.RemoveAll(dir)
		opt := b.cfg.Fetch
		line := r.Line(recipes.JoinPath("source", name) + ".commit")
		date, err := git.Write(ctx, w, commit, git.Options{
			Name: fmt.Sprintf("source %q (%s:%d)", name, r.File, line), Dir: dir,
			Client: opt.Client, Stall: opt.Stall, Rounds: opt.Rounds, Backoff: opt.Backoff,
			Progress: func(e git.Event) {
				notice := e.Notice
				if notice != "" {
					notice = e.URL + ": " + notice
				}
				tell(fetch.Event{URL: e.URL, Done: e.Bytes, Notice: notice})
			},
		})
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = &fetch.SpaceError{Dir: dir, Name: gitName(commit.Addresses()[0]), Free: -1, Err: err}
		}
		return date, err
	}
}

// gitName is what people read of a commit's tree: repo.git@0123456789ab.
func gitName(address string) string {
	base, _, _ := strings.Cut(path.Base(address), "#")
	if at := strings.LastIndex(base, "@"); at >= 0 {
		base = base[:min(len(base), at+13)]
	}
	return base
}

// sourceFileName is the name of a source's file inside a build.
func sourceFileName(f lock.Blob) string {
	if strings.HasPrefix(f.URL, git.Scheme) {
		return "source.tar"
	}
	return path.Base(f.URL)
}
