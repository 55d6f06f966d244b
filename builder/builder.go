// Package builder is the pipeline: recipe -> lock -> fetch -> graph -> engine
// -> check -> push -> report. Build reads as these steps, top to bottom; every
// stage takes values and returns values. What a stage is made of lives in the
// packages below; which engine runs a graph is the caller's choice.
package builder

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/builder/gomod"
	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/pusher/imagestore"
	"github.com/riscv-build/riscv-build/recipes"
)

// Config is what a Builder works with.
type Config struct {
	StateDir string         // the caller holds its lock
	Mirrors  debian.Mirrors // of the archive and the security archive
	Modules  gomod.Proxies  // of Go modules
	Keyring  string         // path of an archive keyring that replaces the built-in one; empty: built-in
	Fetch    fetch.Options  // parallel downloads, progress, HTTP client
	Pusher   *pusher.Pusher // how to reach registries
	Display  Display        // where progress and notices go
	Jobs     int            // make jobs; 0: by processors and memory of where the build runs
	Sharing  func() int     // how many builds have these to themselves now; nil: one
	Version  string         // of this program; a new one builds anew
	Engine   EngineProvider // opened when a stage needs it, not before
	Host     HostIdentifier // nil: this machine
}

// EngineProvider opens the engine once and returns the same one after that.
type EngineProvider func(ctx context.Context) (engine.Engine, error)

// HostIdentifier tells where builds run and what runs riscv64 code there,
// without starting an engine where that can be known without.
type HostIdentifier func(ctx context.Context) (engine.Info, error)

// Display shows what the pipeline does.
type Display interface {
	Notice(format string, args ...any)    // what a user should see
	Verbose(format string, args ...any)   // what was decided and why (-v)
	Progress(name string) engine.Progress // for the engine's part of one recipe
}

// Request is one image to build.
type Request struct {
	Recipe       *recipes.Recipe
	LockPath     string // riscv-build.lock beside the recipe; empty: the catalogue's own
	Locked       bool   // a missing or stale lock is an error, nothing is resolved
	Update       bool   // resolve again although the lock is good
	AllowExpired bool   // accept archive states past their Valid-Until
	Mode         string // auto | cross | native | emulate
	Offline      bool
	NoCache      bool
	Push         []string // HOST[:PORT][/PREFIX]
	Index        bool     // put the image into the index at its tags instead of replacing what is there
	Tags         []string // replace the recipe's
	Output       string   // OCI layout directory or .tar file
	Load         Loader   // where the image is put on this machine; nil: nowhere

	Stage func(name string) // hears which of Stages begins; nil: nobody
}

// Loader puts an image under names into a container engine of this machine,
// such as *imagestore.Docker.
type Loader interface {
	Load(ctx context.Context, img pusher.Image, names []string) (imagestore.Loaded, error)
}

// Builder builds images in one state directory. Its methods may be called
// concurrently.
type Builder struct {
	cfg   Config
	store *fetch.Store
	cache cache
	// parsed spares recipes of one directory the reading of their lock.
	parsed parsedLocks
	// kept is what recipes used of the cache, for ExportCache.
	kept keptUses
	// resolving is held while packages are resolved and a lock is written: a
	// recipe resolves on top of what the one before it wrote, and an archive's
	// index takes much memory.
	resolving sync.Mutex
	said      sync.Map // notices that are given once
	// layers and blobs being made right now, by key.
	layers singleflight.Group
	made   tally
	// snapshots remembers hosts that do not answer, so that many packages do
	// not wait for one dead service in turn.
	snapshots debian.Downloader
}

// New opens the content store of a state directory.
func New(cfg Config) (*Builder, error) {
	// What a killed run left half-done; the caller holds the lock.
	if err := os.RemoveAll(filepath.Join(cfg.StateDir, "tmp")); err != nil {
		return nil, fmt.Errorf("clearing the state directory %q: %w", cfg.StateDir, err)
	}
	store, err := fetch.Open(filepath.Join(cfg.StateDir, "content"))
	if err != nil {
		return nil, err
	}
	return &Builder{cfg: cfg, store: store, cache: cache{dir: filepath.Join(cfg.StateDir, "cache")}, snapshots: debian.NewHTTPDownloader()}, nil
}

// Store is the content store of the state directory.
func (b *Builder) Store() *fetch.Store { return b.store }

// Build makes one image of a recipe, checks it and pushes it. The result is
// never nil; its Error repeats the error.
func (b *Builder) Build(ctx context.Context, req Request) (*Result, error) {
	r := newResult(req.Recipe)
	r.begin = req.Stage
	err := b.build(ctx, req, r)
	if err != nil {
		r.Error, r.Stage = err.Error(), r.current
	}
	return r, err
}

func (b *Builder) build(ctx context.Context, req Request, r *Result) error {
	p, img, err := b.make(ctx, req, r)
	if err != nil {
		return err
	}
	return do(r, "push", func() error { return b.push(ctx, p, img, r) })
}

// make gives the image as it may leave: checked and tested.
func (b *Builder) make(ctx context.Context, req Request, r *Result) (*plan, *built, error) {
	base, err := b.base(ctx, req, r)
	if err != nil {
		return nil, nil, err
	}
	p, err := stage(r, "lock", func() (*plan, error) { return b.lock(ctx, req) })
	if err != nil {
		return nil, nil, err
	}
	p.base = base
	defer func() { b.kept.put(req.Recipe.Name, p) }()
	p, err = stage(r, "fetch", func() (*plan, error) { return b.fetch(ctx, p, r) })
	if err != nil {
		return nil, nil, err
	}
	g, err := stage(r, "graph", func() (*graphs, error) { return b.graph(ctx, p) })
	if err != nil {
		return nil, nil, err
	}
	img, err := stage(r, "engine", func() (*built, error) { return b.engine(ctx, p, g) })
	if err != nil {
		return nil, nil, err
	}
	r.built(p, img)
	if err := do(r, "check", func() error { return b.check(ctx, p, img, r) }); err != nil {
		return nil, nil, err
	}
	if err := b.remember(req.Recipe, img); err != nil {
		return nil, nil, err
	}
	return p, img, nil
}

// stage runs one step and notes how long it took, in seconds.
func stage[T any](r *Result, name string, f func() (T, error)) (T, error) {
	start := time.Now()
	r.current = name
	if r.begin != nil {
		r.begin(name)
	}
	v, err := f()
	r.Stages[name] = round(time.Since(start))
	return v, err
}

func do(r *Result, name string, f func() error) error {
	_, err := stage(r, name, func() (struct{}, error) { return struct{}{}, f() })
	return err
}
