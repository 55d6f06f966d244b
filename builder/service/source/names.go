package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/recipes"
)

// catalogPrefix begins a name that means the catalogue even where --recipes
// has a recipe of that name.
const catalogPrefix = "catalog/"

// byName finds recipes of --recipes and of the catalogue.
func (s *Sources) byName(ctx context.Context, names []string) ([]service.Candidate, error) {
	if s.named == nil {
		return s.resolveNames(names, nil, nil)
	}
	var found []service.Candidate
	unreachable := s.named.refresh(ctx, wait{limit: resolveWait})
	err := s.named.read(func(v view) (err error) {
		found, err = s.resolveNames(names, &v, unreachable)
		return err
	})
	return found, err
}

// resolveNames looks each name up; v is what --recipes holds, if anything.
func (s *Sources) resolveNames(names []string, v *view, unreachable error) ([]service.Candidate, error) {
	var found []service.Candidate
	for i, name := range names {
		field := fmt.Sprintf("recipes[%d]", i)
		inCatalog, forced := strings.CutPrefix(name, catalogPrefix)
		var c service.Candidate
		var err error
		switch e, own := v.entry(name); {
		case own && !forced:
			origin := v.origin
			origin.Path = e.path
			c, err = s.candidate(v.fsys, origin, field)
		case slices.Contains(recipes.Catalog(), inCatalog):
			c, err = s.fromCatalog(inCatalog)
		case unreachable != nil:
			err = unreachable
		default:
			err = &service.InvalidError{Field: field, Err: unknown(name, v)}
		}
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	return found, nil
}

// unknown says that nothing has a name, and what is most like it.
func unknown(name string, v *view) error {
	known := recipes.Catalog()
	if v != nil {
		for _, e := range v.entries {
			known = append(known, e.info.Name)
		}
	}
	best, score := "", 0.6
	for _, k := range known {
		if m := levenshtein.Match(strings.ToLower(short(name)), k, nil); m > score {
			best, score = k, m
		}
	}
	if best != "" {
		return fmt.Errorf("looking for recipe %q: there is none: did you mean %q?", short(name), best)
	}
	return fmt.Errorf("looking for recipe %q: there is none: GET /api/v1/recipes lists those that there are", short(name))
}

// Recipes lists those of --recipes, then those of the catalogue.
func (s *Sources) Recipes(ctx context.Context) ([]service.RecipeInfo, error) {
	var all []service.RecipeInfo
	own := map[string]bool{}
	if s.named != nil {
		problem := s.named.refresh(ctx, wait{limit: listWait})
		err := s.named.read(func(v view) error {
			for _, e := range v.entries {
				own[e.info.Name] = true
				all = append(all, e.info)
			}
			if v.fsys == nil && problem != nil {
				// Without this line nobody would see that recipes are missing.
				all = append(all, service.RecipeInfo{Name: "--recipes", From: service.FromRecipes, Problem: problem.Error()})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, info := range s.catalogInfo() {
		if !own[info.Name] {
			all = append(all, info)
		}
	}
	return all, ctx.Err()
}

// catalogInfo reads the catalogue once: it is built in.
func catalogInfo() []service.RecipeInfo {
	var all []service.RecipeInfo
	for _, name := range recipes.Catalog() {
		r, err := recipes.LoadCatalog(name)
		all = append(all, infoOf(name, r, err, service.FromCatalog))
	}
	return all
}

func infoOf(name string, r *recipes.Recipe, err error, from string) service.RecipeInfo {
	if err != nil {
		return service.RecipeInfo{Name: name, From: from, Problem: err.Error()}
	}
	return service.RecipeInfo{Name: r.Name, Version: r.Version, Summary: r.Summary, License: r.License, Home: r.Home, From: from}
}

// All lays out every correct recipe of --recipes, with the locks that stand
// for theirs, and gives requests for these and those of the catalogue.
func (s *Sources) All(ctx context.Context) ([]builder.Request, func() error, error) {
	dir, err := s.trees.scratch()
	if err != nil {
		return nil, nil, err
	}
	done := func() error { return os.RemoveAll(dir) }
	requests, err := s.layOutAll(ctx, dir)
	if err != nil {
		return nil, nil, errors.Join(err, done())
	}
	own := map[string]bool{}
	for _, req := range requests {
		own[req.Recipe.Name] = true
	}
	for _, name := range recipes.Catalog() {
		if own[name] {
			continue
		}
		r, err := recipes.LoadCatalog(name)
		if err != nil {
			return nil, nil, errors.Join(err, done())
		}
		requests = append(requests, builder.Request{Recipe: r})
	}
	return requests, done, nil
}

func (s *Sources) layOutAll(ctx context.Context, dir string) (requests []builder.Request, err error) {
	if s.named == nil {
		return nil, nil
	}
	if err := s.named.refresh(ctx, wait{limit: resolveWait}); err != nil {
		s.cfg.Log.Warn("recipes are not refreshed", "error", err)
	}
	err = s.named.read(func(v view) error {
		for _, e := range v.entries {
			if e.info.Problem != "" {
				continue
			}
			req, err := s.layOutOne(v, e, dir)
			if err != nil {
				s.cfg.Log.Warn("a recipe is left out", "recipe", e.info.Name, "error", err)
				continue
			}
			requests = append(requests, req)
		}
		return ctx.Err()
	})
	return requests, err
}

func (s *Sources) layOutOne(v view, e entry, dir string) (builder.Request, error) {
	r, err := parse(v.fsys, e.path)
	if err != nil {
		return builder.Request{}, err
	}
	t, err := collect(v.fsys, r)
	if err != nil {
		return builder.Request{}, err
	}
	origin := v.origin
	origin.Path = e.path
	lockFile := lockOf(e.path)
	text, err := s.locks.find(keyOf(s.place(origin)), t[lockFile].data)
	if err != nil {
		return builder.Request{}, err
	}
	if text != nil {
		t[lockFile] = file{data: text}
	}
	for name, f := range t {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if f.dir {
			err = errors.Join(err, os.MkdirAll(path, 0o755))
			continue
		}
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, f.data, f.mode()))
	}
	if err != nil {
		return builder.Request{}, err
	}
	if r, err = parse(os.DirFS(dir), e.path); err != nil {
		return builder.Request{}, err
	}
	standOn(r, filepath.Dir(filepath.Join(dir, filepath.FromSlash(e.path))))
	return builder.Request{Recipe: r, LockPath: filepath.Join(dir, filepath.FromSlash(lockFile))}, nil
}

func (f file) mode() fs.FileMode {
	if f.exec {
		return 0o755
	}
	return 0o644
}
