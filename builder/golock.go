package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"

	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/builder/gomod"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// moduleDownloads is how many modules are downloaded at a time.
const moduleDownloads = 6

// moduleLocker names the bytes of modules.
type moduleLocker struct {
	b      *Builder
	client *gomod.Client
	have   map[string]lock.Blob // by location: what the lock has already; a version never changes
}

// moduleClient asks module proxies.
func (b *Builder) moduleClient() *gomod.Client {
	return &gomod.Client{Proxies: b.cfg.Modules, HTTP: b.cfg.Fetch.Client, UserAgent: b.cfg.Fetch.UserAgent, Dir: filepath.Join(b.cfg.StateDir, "sumdb")}
}

func (b *Builder) moduleLocker(req Request) (*moduleLocker, error) {
	l, _, err := b.readLock(req.LockPath)
	if err != nil {
		return nil, err
	}
	m := &moduleLocker{b: b, have: map[string]lock.Blob{}, client: b.moduleClient()}
	for _, r := range l.Recipes {
		for _, s := range r.Sources {
			for _, f := range s.Files {
				m.have[f.URL] = f
			}
		}
	}
	return m, nil
}

// wanted is a file of a module version and what its checksum must be.
type wanted struct {
	module module.Version
	file   string // zip or mod
	sum    string // h1:...; empty: the checksum database is asked
	from   string // who says so
}

// file downloads a file, verifies it and gives its entry of the lock. What the
// lock has was verified when it came there.
func (m *moduleLocker) file(ctx context.Context, w wanted) (lock.Blob, error) {
	location, err := gomod.Location(w.module, w.file)
	if err != nil {
		return lock.Blob{}, err
	}
	if f, ok := m.have[location]; ok {
		return f, nil
	}
	return m.present(ctx, w)
}

// present is file with the bytes in the store, and verified now. An earlier
// run that was interrupted has left what it downloaded.
func (m *moduleLocker) present(ctx context.Context, w wanted) (lock.Blob, error) {
	location, err := gomod.Location(w.module, w.file)
	if err != nil {
		return lock.Blob{}, err
	}
	f, ok := m.have[location]
	if !ok {
		ok = m.b.cache.get(key("module", location), &f)
	}
	if ok && m.b.has(ctx, digest.NewDigestFromEncoded(digest.SHA256, f.SHA256)) {
		return f, m.verify(ctx, w, f)
	}
	if f, err = m.download(ctx, w, location); err != nil {
		return f, err
	}
	return f, m.b.cache.put(key("module", location), f)
}

func (m *moduleLocker) download(ctx context.Context, w wanted, location string) (lock.Blob, error) {
	f := lock.Blob{URL: location}
	err := m.client.Fetch(ctx, location, func(r io.Reader) error {
		dgst, size, err := m.b.store.Put(ctx, r)
		if err == nil {
			f.SHA256, f.Size = dgst.Encoded(), size
		}
		return err
	})
	if err != nil {
		return f, err
	}
	if p := m.b.cfg.Fetch.Progress; p != nil {
		p.Fetching(fetch.Event{Name: location[len(gomod.Scheme):], Digest: digest.NewDigestFromEncoded(digest.SHA256, f.SHA256), Done: f.Size, Total: f.Size, Ended: true})
	}
	return f, m.verify(ctx, w, f)
}

// verify compares the checksum of a file of the store with what it must be.
func (m *moduleLocker) verify(ctx context.Context, w wanted, f lock.Blob) error {
	compute := m.b.zipSum
	if w.file == "mod" {
		compute = m.b.modSum
	}
	got, err := compute(ctx, f)
	if err != nil {
		return err
	}
	if w.sum == "" {
		w.from = "the checksum database"
		if w.sum, err = m.client.Sum(ctx, w.module, w.file == "mod"); err != nil {
			return err
		}
		if w.sum == "" {
			m.b.cfg.Display.Notice("module %q at %q: no checksum database vouches for its %s: it is taken as the proxy gave it", w.module.Path, w.module.Version, w.file)
			return nil
		}
	}
	if got != w.sum {
		return &gomod.SumError{Module: w.module, File: w.file, Want: w.sum, Got: got, From: w.from}
	}
	return nil
}

// lockModule names the zip of a Go source and its date, that of the version's commit.
func (b *Builder) lockModule(ctx context.Context, req Request, name string) (lock.Source, error) {
	src := req.Recipe.Source[name]
	out := lock.Source{Name: name}
	m, err := b.moduleLocker(req)
	if err != nil {
		return out, err
	}
	zip, err := m.present(ctx, wanted{src.Module(), "zip", src.Sum, "the recipe"})
	if err != nil {
		return out, err
	}
	out.Files = []lock.Blob{zip}
	location, err := gomod.Location(src.Module(), "info")
	if err != nil {
		return out, err
	}
	text, err := m.client.Read(ctx, location)
	if err != nil {
		return out, err
	}
	var info struct{ Time time.Time }
	if err := json.Unmarshal(text, &info); err != nil || info.Time.IsZero() {
		return out, fmt.Errorf("reading the date of module %q: %q tells none (%v): name another proxy in GOPROXY", src.Go, location, err)
	}
	out.Date = info.Time.UTC().Truncate(time.Second)
	return out, nil
}

// lockGo adds the tool chain and the modules of a Go recipe, whose sources are locked.
func (b *Builder) lockGo(ctx context.Context, req Request, rec *lock.Recipe) error {
	m, err := b.moduleLocker(req)
	if err != nil {
		return err
	}
	main, err := b.mainModule(ctx, req.Recipe, rec)
	if err != nil {
		return err
	}
	version := req.Recipe.Build.Go
	if version == "" {
		version = gomod.DefaultGo
	}
	if main.Newer(version) {
		return fmt.Errorf("reading go.mod of module %q: it wants Go %s, and the tool chain is %s: set build.go to a newer one", main.Path, main.Go, version)
	}
	tools, err := m.toolchains(ctx, req.Recipe.Name, version)
	if err != nil {
		return err
	}
	modules, err := m.modules(ctx, main)
	if err != nil {
		return err
	}
	rec.Sources = append(rec.Sources, lock.Source{Name: goToolchainSource, Files: tools}, lock.Source{Name: goModulesSource, Files: modules})
	return nil
}

// toolchains locks the tool chain for every build host. One that no proxy has
// or gives is left out: the lock still serves the other hosts.
func (m *moduleLocker) toolchains(ctx context.Context, recipe, version string) ([]lock.Blob, error) {
	var out []lock.Blob
	for _, arch := range hosts {
		f, err := m.file(ctx, wanted{module: gomod.Toolchain(version, arch), file: "zip"})
		var none *gomod.Error
		if errors.As(err, &none) && none.Gone && len(none.Tried) > 0 {
			m.b.cfg.Display.Notice("%s: no module proxy gives the Go tool chain %s for %s (%s): the recipe will not build on such a host", recipe, version, arch, none.Tried[0])
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("locking Go %s: no module proxy has it for any of %v: set build.go to a version that exists, or name a proxy in GOPROXY", version, hosts)
	}
	return out, nil
}

// modules locks what the build of a main module needs.
func (m *moduleLocker) modules(ctx context.Context, main *gomod.Main) ([]lock.Blob, error) {
	var all []wanted
	for _, mod := range main.Modules {
		all = append(all, wanted{mod.Version, "mod", mod.ModSum, "go.sum of " + main.Path})
		if mod.Zip {
			all = append(all, wanted{mod.Version, "zip", mod.ZipSum, "go.sum of " + main.Path})
		}
	}
	out := make([]lock.Blob, len(all))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(moduleDownloads)
	for i, w := range all {
		group.Go(func() (err error) {
			out[i], err = m.file(gctx, w)
			return err
		})
	}
	return out, group.Wait()
}
