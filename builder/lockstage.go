package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// StaleError says that a lock does not fit its recipe and must not be changed.
type StaleError struct {
	Recipe string
	Lock   string
	Why    string
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("locking recipe %q: %s: %s, and --locked forbids to resolve it: run `riscv-build lock --update %s` and commit the lock", e.Recipe, e.Lock, e.Why, e.Recipe)
}

// lock finds the lock of a recipe, or resolves and writes it.
func (b *Builder) lock(ctx context.Context, req Request) (*plan, error) {
	l, err := b.usableLock(ctx, req)
	if err != nil {
		return nil, err
	}
	where, err := b.host(ctx)
	if err != nil {
		return nil, err
	}
	p, why, err := newPlan(req, l, where)
	if err != nil {
		return nil, err
	}
	b.cfg.Display.Verbose("%s: mode %s because %s", req.Recipe.Name, p.mode, why)
	return p, nil
}

// Lock resolves and writes the lock of a recipe where it is missing or stale.
func (b *Builder) Lock(ctx context.Context, req Request) error {
	_, err := b.usableLock(ctx, req)
	return err
}

func (b *Builder) usableLock(ctx context.Context, req Request) (*lock.File, error) {
	given, _, err := b.given(ctx, req) // first: it may write the same lock
	if err != nil {
		return nil, err
	}
	if good, _, err := b.goodLock(req, given); good != nil || err != nil {
		return good, err
	}
	b.resolving.Lock()
	defer b.resolving.Unlock()
	// Another recipe may have written the lock that this one waited for.
	good, why, err := b.goodLock(req, given)
	if good != nil || err != nil {
		return good, err
	}
	shipped, text, err := b.readLock(req.LockPath)
	if err != nil {
		return nil, err
	}
	b.cfg.Display.Notice("%s: resolving packages: %s: %s", req.Recipe.Name, lockName(req), why)
	fresh, err := b.resolve(ctx, req, shipped.Clone()) // others read the one that was parsed
	if err != nil {
		return nil, err
	}
	return fresh, fresh.Save(b.lockTarget(req, text))
}

// goodLock is the lock that fits a recipe, on a base with the given packages if
// that is a recipe's; nil, and why, if it is to be resolved.
func (b *Builder) goodLock(req Request, given []lock.Package) (good *lock.File, why string, err error) {
	shipped, text, err := b.readLock(req.LockPath)
	if err != nil {
		return nil, "", err
	}
	why, stale := shipped.Stale(req.Recipe)
	if !stale && req.Recipe.Base() != nil {
		why, stale = staleBase(shipped, req.Recipe, given)
	}
	if stale && req.Locked {
		return nil, "", &StaleError{Recipe: req.Recipe.Name, Lock: lockName(req), Why: why}
	}
	if !stale || req.LockPath == "" {
		if own, ok := b.replacement(req, text); ok {
			return own, "", nil
		}
	}
	if stale {
		return nil, why, nil
	}
	return shipped, "", nil
}

func lockName(req Request) string {
	if req.LockPath == "" {
		return "the catalogue's lock"
	}
	return req.LockPath
}

// lockTarget is where a resolved lock is written: beside the recipe, or, for
// the catalogue, whose lock is part of the program, into the state directory.
func (b *Builder) lockTarget(req Request, text []byte) string {
	if req.LockPath != "" {
		return req.LockPath
	}
	return b.replacementPath(req, text)
}

// readLock reads a lock and its text; one that is not there is empty. The lock
// is shared and must not be changed.
func (b *Builder) readLock(path string) (*lock.File, []byte, error) {
	if path == "" {
		return b.parsed.get(parsedLock{name: "catalog:" + lock.Name}, func() ([]byte, error) { return recipes.CatalogLock(), nil })
	}
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("reading lock %q: %w", path, err)
	}
	return b.parsed.get(parsedLock{name: path, info: info}, func() ([]byte, error) {
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("reading lock %q: %w", path, err)
		}
		return text, nil
	})
}

// replacement is a lock of the state directory that stands for one whose
// packages have left the servers.
func (b *Builder) replacement(req Request, text []byte) (*lock.File, bool) {
	if req.Locked {
		return nil, false
	}
	f, err := lock.Load(b.replacementPath(req, text))
	if err != nil {
		return nil, false
	}
	if _, stale := f.Stale(req.Recipe); stale {
		return nil, false
	}
	if _, said := b.said.LoadOrStore(req.Recipe.Name+"\n"+req.LockPath, true); !said {
		b.cfg.Display.Notice("%s: using the lock of %s that was resolved again in the state directory: `riscv-build lock --update %s` renews the original",
			req.Recipe.Name, lockName(req), req.Recipe.Name)
	}
	return f, true
}

func (b *Builder) replacementPath(req Request, text []byte) string {
	id := digest.FromString(strings.Join([]string{req.LockPath, b.parsed.sum(text).String(), req.Recipe.Name, req.Recipe.LockInputs()}, "\n"))
	return filepath.Join(b.cfg.StateDir, "locks", req.Recipe.Name+"-"+id.Encoded()[:16]+".lock")
}

// relock resolves a recipe's packages again because some have gone.
func (b *Builder) relock(ctx context.Context, p *plan, gone *fetch.GoneError) (*plan, error) {
	var names []string
	for _, g := range gone.Blobs {
		names = append(names, g.Name)
	}
	b.cfg.Display.Notice("%s: WARNING: %s names %d packages that no mirror has any more (%s): resolving this recipe again, the image will differ from the locked one",
		p.req.Recipe.Name, lockName(p.req), len(names), strings.Join(names[:min(3, len(names))], ", "))
	_, text, err := b.readLock(p.req.LockPath)
	if err != nil {
		return nil, err
	}
	b.resolving.Lock()
	fresh, err := b.resolve(ctx, p.req, lock.New())
	b.resolving.Unlock()
	if err != nil {
		return nil, err
	}
	if err := fresh.Save(b.replacementPath(p.req, text)); err != nil {
		return nil, err
	}
	again, _, err := newPlan(p.req, fresh, p.where)
	if err == nil {
		again.notes = append(again.notes, fmt.Sprintf("lock: %d packages had left the mirrors and were resolved again", len(names)))
	}
	return again, err
}
