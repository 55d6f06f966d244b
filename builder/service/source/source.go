// Package source turns what is submitted to the service, names of recipes,
// uploads and git repositories, into trees of recipe files that it keeps by
// their digest, and a tree into the request for a build.
//
// A tree holds what one recipe is made of and nothing else: the recipe, those
// it is built on, the files that they name, the lock. It is not for building,
// nor for deciding when.
package source

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/recipes"
)

// Config says where recipes come from.
type Config struct {
	Dir     string // of the service in the state directory; made if it is not there
	Recipes string // directory or git repository that names stand for recipes of; empty: the catalogue only
	Ref     string // branch or tag of that repository; empty: its default branch
	Version string // of this program

	AllowLocalGit bool         // submissions may name file:// repositories, as tests do
	Client        *http.Client // for git over http; nil: one that honours the proxy environment
	Netrc         string       // accounts for git over https; empty: $NETRC, then ~/.netrc
	Log           *slog.Logger // nil: nothing is logged
}

// Sources keeps the trees of builds. Its methods may be called concurrently.
type Sources struct {
	cfg   Config
	trees *store
	locks *kept
	named *collection // nil: only the catalogue has names

	catalogInfo func() []service.RecipeInfo
	locked      lockCache
}

var _ service.Sources = (*Sources)(nil)

// New opens the trees in a directory, and removes what a service that was
// killed had laid out there. One process at a time has the directory.
func New(cfg Config) (*Sources, error) {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the service's directory %q: %w: name an absolute path", cfg.Dir, err)
	}
	cfg.Dir = dir
	s := &Sources{cfg: cfg, catalogInfo: sync.OnceValue(catalogInfo)}
	if s.trees, err = openStore(dir); err != nil {
		return nil, err
	}
	if s.locks, err = openKept(filepath.Join(dir, "locks")); err != nil {
		return nil, err
	}
	if cfg.Recipes != "" {
		if s.named, err = s.openCollection(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Close ends what goes on in the background.
func (s *Sources) Close() error {
	if s.named != nil {
		s.named.close()
	}
	return nil
}

// Sweep forgets trees that keep does not want. Young ones stay: their builds
// may not be known yet.
func (s *Sources) Sweep(ctx context.Context, keep func(tree digest.Digest) bool) error {
	return s.trees.sweep(ctx, keep)
}

// candidate reads the recipe at a path of a submission's files and keeps its tree.
func (s *Sources) candidate(fsys fs.FS, origin service.Origin, field string) (service.Candidate, error) {
	r, err := parse(fsys, origin.Path)
	if err != nil {
		return service.Candidate{}, &service.InvalidError{Field: field, Err: err}
	}
	t, err := collect(fsys, r)
	if err == nil && (origin.Kind != service.FromRecipes || origin.URL != "") {
		err = checkLocal(r)
	}
	if err != nil {
		return service.Candidate{}, &service.InvalidError{Field: field, Err: err}
	}
	lockText, err := s.locks.settle(keyOf(s.place(origin)), t[lockOf(origin.Path)].data)
	if err != nil {
		return service.Candidate{}, err
	}
	inputs, err := s.inputs(r, t, lockText)
	if err != nil {
		return service.Candidate{}, &service.InvalidError{Field: field, Err: err}
	}
	c := service.Candidate{Recipe: r.Name, Version: r.Version, Origin: origin, Inputs: inputs}
	c.Tree, err = s.trees.put(t)
	return c, err
}

// fromCatalog is the candidate for a recipe of the catalogue.
func (s *Sources) fromCatalog(name string) (service.Candidate, error) {
	r, err := recipes.LoadCatalog(name)
	if err != nil {
		return service.Candidate{}, err
	}
	return service.Candidate{
		Recipe: r.Name, Version: r.Version, Origin: service.Origin{Kind: service.FromCatalog, Path: name},
		Inputs: s.catalogInputs(r),
	}, nil
}

// Open lays out the tree of a build.
func (s *Sources) Open(ctx context.Context, b service.Build) (*service.Opened, error) {
	if b.Tree == "" {
		return s.openCatalog(b)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, err := s.trees.layOut(b.Tree)
	if err != nil {
		return nil, err
	}
	o, err := s.opened(b, dir)
	if err != nil {
		_ = os.RemoveAll(dir) // removed at the next start if not now
	}
	return o, err
}

func (s *Sources) openCatalog(b service.Build) (*service.Opened, error) {
	r, err := recipes.LoadCatalog(b.Origin.Path)
	if err != nil {
		return nil, err
	}
	return &service.Opened{
		Request: request(r, "", b.Options),
		Lock:    func() ([]byte, error) { return catalogLock(r) },
		Close:   func(bool) error { return nil },
	}, nil
}

func (s *Sources) opened(b service.Build, dir string) (*service.Opened, error) {
	file := filepath.FromSlash(b.Origin.Path)
	if !filepath.IsLocal(file) {
		return nil, fmt.Errorf("opening recipe %q: it is not in its tree: submit it again", b.Origin.Path)
	}
	lockPath := filepath.Join(dir, lockOf(file))
	own, err := readLock(lockPath)
	if err != nil {
		return nil, err
	}
	key := keyOf(s.place(b.Origin))
	given, err := s.locks.find(key, own)
	if err != nil {
		return nil, err
	}
	if given != nil && string(given) != string(own) {
		if err := os.WriteFile(lockPath, given, 0o644); err != nil {
			return nil, fmt.Errorf("laying out %q: %w: check the space of the state directory", lockPath, err)
		}
	}
	r, err := parse(os.DirFS(dir), b.Origin.Path)
	if err != nil {
		return nil, err
	}
	standOn(r, filepath.Dir(filepath.Join(dir, file)))
	o := &service.Opened{Request: request(r, lockPath, b.Options), Lock: func() ([]byte, error) { return os.ReadFile(lockPath) }}
	o.Close = func(succeeded bool) error {
		defer os.RemoveAll(dir)
		if !succeeded || key == "" {
			return nil
		}
		now, err := readLock(lockPath)
		if err != nil || now == nil || string(now) == string(given) {
			return err
		}
		return s.locks.put(key, own, now)
	}
	return o, nil
}
