package builder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// Update asks for newer packages in one lock.
type Update struct {
	Requests []Request         // of one lock; what they name is resolved anew
	Beside   []*recipes.Recipe // the others of the lock's directory
}

// Update resolves recipes in the archive as it is now: what they share once,
// then the rest of each. Recipes beside them whose packages stand on a shared
// set that moved move with it, and are named: with other versions than the
// shared ones they would share no layer any more. All is written at once, or
// nothing is.
func (b *Builder) Update(ctx context.Context, up Update) (moved []string, err error) {
	if len(up.Requests) == 0 {
		return nil, nil
	}
	first := up.Requests[0]
	b.resolving.Lock()
	defer b.resolving.Unlock()
	shipped, text, err := b.readLock(first.LockPath)
	if err != nil {
		return nil, err
	}
	l := shipped.Clone() // others read the one that was parsed
	u := &updating{b: b, lock: l, archives: archives{b: b}, done: map[string]bool{}, moved: map[string]bool{}}
	requests := withBases(up.Requests)
	for _, req := range requests {
		b.cfg.Display.Notice("%s: resolving packages: %s: an update was asked for", req.Recipe.Name, lockName(req))
		if err := u.sets(ctx, req, wants(req.Recipe)); err != nil {
			return nil, err
		}
		if err := b.lockSources(ctx, req, l); err != nil {
			return nil, err
		}
	}
	var beside []Request
	for _, r := range up.Beside {
		req := first
		req.Recipe = r
		beside = append(beside, req)
	}
	went, err := u.followAll(ctx, withBases(beside))
	if err != nil {
		return nil, err
	}
	for _, req := range went {
		moved, requests = append(moved, req.Recipe.Name), append(requests, req)
	}
	l.Prune()
	for _, path := range b.lockTargets(requests, text) {
		if err := l.Save(path); err != nil {
			return nil, err
		}
	}
	return moved, nil
}

// withBases puts before each request the one for the recipe of the same lock
// that it is based on, and leaves out what comes twice.
func withBases(requests []Request) []Request {
	var out []Request
	seen := map[string]bool{}
	var add func(Request)
	add = func(req Request) {
		if below, ok := baseRequest(req); ok && below.LockPath == req.LockPath {
			add(below)
		}
		if !seen[req.Recipe.Name] {
			seen[req.Recipe.Name] = true
			out = append(out, req)
		}
	}
	for _, req := range requests {
		add(req)
	}
	return out
}

// lockTargets are the files that a lock of several recipes is written to.
func (b *Builder) lockTargets(requests []Request, text []byte) []string {
	var paths []string
	for _, req := range requests {
		if path := b.lockTarget(req, text); !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// updating is a lock that is being moved.
type updating struct {
	b        *Builder
	lock     *lock.File
	archives archives
	done     map[string]bool // sets that are resolved
	moved    map[string]bool // sets that are not what they were
}

// sets resolves those of some sets that are not resolved yet.
func (u *updating) sets(ctx context.Context, req Request, all []want) error {
	if err := u.base(ctx, req); err != nil {
		return err
	}
	ix, err := u.archives.open(ctx, req)
	if err != nil {
		return err
	}
	for _, w := range all {
		if u.done[w.set] {
			continue
		}
		before, _ := u.lock.Set(w.set)
		if err := (solver{ix, u.lock}).solve(ctx, req.Recipe, []want{w}); err != nil {
			return err
		}
		after, _ := u.lock.Set(w.set)
		u.done[w.set], u.moved[w.set] = true, !slices.Equal(before.Packages, after.Packages)
	}
	return nil
}

// base notes what the base of a recipe has now.
func (u *updating) base(ctx context.Context, req Request) error {
	below, ok := baseRequest(req)
	set := baseSet(req.Recipe)
	if !ok || u.done[set] {
		return nil
	}
	l := u.lock
	if below.LockPath != req.LockPath {
		var err error
		var why string
		if l, why, err = u.b.goodLock(below, nil); err == nil && l == nil {
			err = errors.New(why)
		}
		if err != nil {
			return fmt.Errorf("reading what the base of recipe %q is locked with: %w: build %q first", req.Recipe.Name, err, below.Recipe.Name)
		}
	}
	pkgs, err := lockedPackages(below, l)
	if err != nil {
		return err
	}
	before, _ := u.lock.Set(set)
	u.lock.PutSet(lock.Set{Name: set, Suites: req.Recipe.Debian.Suites}, pkgs)
	after, _ := u.lock.Set(set)
	u.done[set], u.moved[set] = true, !slices.Equal(before.Packages, after.Packages)
	return nil
}

// followAll moves the recipes that stand on what moved. That can move more of
// what is shared, so that further ones follow.
func (u *updating) followAll(ctx context.Context, requests []Request) (went []Request, err error) {
	for again := true; again; {
		again = false
		for _, req := range requests {
			ok, err := u.follow(ctx, req)
			if err != nil {
				return nil, fmt.Errorf("moving recipe %q, which shares packages with what is updated: %w", req.Recipe.Name, err)
			}
			if ok {
				went, again = append(went, req), true
			}
		}
	}
	return went, nil
}

// follow resolves a recipe of which a set stands on one that moved: all of it,
// since what it is compiled against is to be of one day with what it runs on. A
// recipe that the lock does not have, or not as it is now, is resolved when it
// is built.
func (u *updating) follow(ctx context.Context, req Request) (bool, error) {
	if _, stale := u.lock.Stale(req.Recipe); stale {
		return false, nil
	}
	if err := u.base(ctx, req); err != nil {
		return false, err
	}
	all := wants(req.Recipe)
	if !slices.ContainsFunc(all, func(w want) bool { return !u.done[w.set] && u.moved[w.below] }) {
		return false, nil
	}
	return true, u.sets(ctx, req, all)
}

// archives opens each archive that recipes name once.
type archives struct {
	b      *Builder
	opened map[string]archiveAnswer
}

type archiveAnswer struct {
	index *debian.Index
	err   error
}

// open gives the archive of a recipe, for every build host.
func (a *archives) open(ctx context.Context, req Request) (*debian.Index, error) {
	d := req.Recipe.Debian
	id := strings.Join([]string{strings.Join(d.Suites, " "), strings.Join(d.Components, " "), strings.Join(d.Mirrors, " "), fmt.Sprint(d.AllowExpired)}, "\n")
	answer, ok := a.opened[id]
	if !ok {
		var todo []want
		for _, h := range hosts {
			todo = append(todo, want{arch: h})
		}
		if answer.index, answer.err = a.b.openIndex(ctx, req, todo); answer.err != nil {
			answer.err = fmt.Errorf("reading the archive for recipe %q: %w", req.Recipe.Name, answer.err)
		}
		if a.opened == nil {
			a.opened = map[string]archiveAnswer{}
		}
		a.opened[id] = answer
	}
	return answer.index, answer.err
}
