package source

import (
	"context"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// Pushed finds what a push to the repository of --recipes changed. Broken
// recipes are left out: they must not keep the others from being built.
func (s *Sources) Pushed(ctx context.Context, p service.Push) (service.Submission, error) {
	none := service.Submission{Cause: service.ByWebhook, Client: "webhook " + p.Sender}
	c := s.named
	if c == nil || c.repo.url == "" || !slices.ContainsFunc(p.URLs, func(u string) bool { return sameRepository(u) == sameRepository(c.repo.url) }) {
		return none, nil
	}
	if err := c.refresh(ctx, wait{limit: checkoutTime, now: true}); err != nil {
		return none, err
	}
	sub := none
	err := c.read(func(v view) error {
		if !c.follows(p.Ref) {
			return nil
		}
		var err error
		sub.Recipes, err = c.changed(v, p.Paths)
		return err
	})
	return sub, err
}

// follows tells whether a push to a ref moves what --recipes is.
func (c *collection) follows(ref string) bool {
	return ref == "" || ref == c.at.Branch || ref == c.repo.ref
}

// changed lists the recipes that paths belong to. Where the paths are not
// known, or the lock is one of them, it is those that are not what they were
// at the push before.
func (c *collection) changed(v view, paths []string) ([]string, error) {
	seenFile := filepath.Join(c.home, "seen.json")
	seen, now := map[string]digest.Digest{}, map[string]digest.Digest{}
	readJSON(seenFile, &seen)
	var names []string
	for _, e := range v.entries {
		if e.info.Problem != "" {
			continue
		}
		inputs, files, err := c.s.look(v, e.path)
		if err != nil {
			c.s.cfg.Log.Warn("a recipe is left out", "recipe", e.info.Name, "error", err)
			continue
		}
		now[e.info.Name] = inputs
		named := slices.ContainsFunc(paths, func(p string) bool { _, is := files[p]; return is && path.Base(p) != lock.Name })
		if named || (paths == nil || slices.Contains(paths, lockOf(e.path))) && seen[e.info.Name] != inputs {
			names = append(names, e.info.Name)
		}
	}
	text, err := json.Marshal(now)
	if err != nil {
		return nil, err
	}
	return names, writeAside(seenFile, text)
}

// noteFirst remembers what the recipes are before the first push is heard of.
func (c *collection) noteFirst() error {
	if _, err := os.Stat(filepath.Join(c.home, "seen.json")); err == nil {
		return nil
	}
	return c.read(func(v view) error {
		_, err := c.changed(v, []string{})
		return err
	})
}

// look reads a recipe and gives the digest of all that decides it.
func (s *Sources) look(v view, file string) (digest.Digest, tree, error) {
	r, err := parse(v.fsys, file)
	if err != nil {
		return "", nil, err
	}
	t, err := collect(v.fsys, r)
	if err != nil {
		return "", nil, err
	}
	d, err := s.inputs(r, t, t[lockOf(file)].data)
	return d, t, err
}
