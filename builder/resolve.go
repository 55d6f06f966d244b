package builder

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// mirrors are those of a recipe, then the discovered ones.
func (b *Builder) mirrors(r *recipes.Recipe) debian.Mirrors {
	m, err := b.cfg.Mirrors.With(r.Debian.Mirrors, "recipe "+r.Name)
	if err != nil {
		// Validation has looked at the recipe's mirrors already.
		return b.cfg.Mirrors
	}
	return m
}

// resolve gives a lock with all sets and sources of a recipe, built on old:
// shared sets that old has stay as they are: Update moves those.
func (b *Builder) resolve(ctx context.Context, req Request, old *lock.File) (*lock.File, error) {
	r := req.Recipe
	if req.Offline {
		return nil, fmt.Errorf("resolving the packages of recipe %q: --offline forbids to ask a mirror: run `riscv-build lock` with a network first", r.Name)
	}
	given, onRecipe, err := b.given(ctx, req)
	if err != nil {
		return nil, err
	}
	if onRecipe {
		old.PutSet(lock.Set{Name: baseSet(r), Suites: r.Debian.Suites}, given)
	}
	todo := slices.DeleteFunc(b.unsolved(req, old), func(w want) bool { return adopt(old, r, w) })
	if len(todo) > 0 {
		if err := b.resolveSets(ctx, req, old, todo); err != nil {
			return nil, err
		}
		b.tellApart(r, old, todo)
	}
	if err := b.lockSources(ctx, req, old); err != nil {
		return nil, err
	}
	old.Prune()
	return old, nil
}

// tellApart says that a recipe's packages are newer than those that it would
// share with the others, and so are in a layer of its own.
func (b *Builder) tellApart(r *recipes.Recipe, l *lock.File, todo []want) {
	for _, w := range todo {
		low, _ := l.Set(w.below)
		own, _ := l.Set(w.set)
		if apart(low.Packages, own.Packages) {
			b.cfg.Display.Notice("%s: the archive has moved since %q was locked: less is shared with other recipes until `riscv-build lock --update` moves all", r.Name, w.below)
			return
		}
	}
}

// apart tells whether a package of one list is in the other in another version.
func apart(low, own []string) bool {
	ids := map[string]string{}
	for _, id := range own {
		name, _, _ := strings.Cut(id, "_")
		ids[name] = id
	}
	return slices.ContainsFunc(low, func(id string) bool {
		name, _, _ := strings.Cut(id, "_")
		return ids[name] != "" && ids[name] != id
	})
}

// lockSources notes a recipe in the lock with its sources.
func (b *Builder) lockSources(ctx context.Context, req Request, l *lock.File) error {
	r := req.Recipe
	rec := lock.Recipe{Name: r.Name, Inputs: r.LockInputs()}
	for _, name := range sourceNames(r) {
		src, err := b.lockSource(ctx, req, name, l)
		if err != nil {
			return fmt.Errorf("locking source %q of recipe %q: %w", name, r.Name, err)
		}
		rec.Sources = append(rec.Sources, src)
	}
	if isGo(r) {
		if err := b.lockGo(ctx, req, &rec); err != nil {
			return fmt.Errorf("locking the Go modules of recipe %q: %w", r.Name, err)
		}
	}
	l.PutRecipe(rec)
	return nil
}

// resolveSets resolves sets in the archive as it is now.
func (b *Builder) resolveSets(ctx context.Context, req Request, l *lock.File, todo []want) error {
	r := req.Recipe
	ix, err := b.openIndex(ctx, req, todo)
	if err != nil {
		return fmt.Errorf("reading the archive for recipe %q: %w", r.Name, err)
	}
	return solver{ix, l}.solve(ctx, r, todo)
}

// solver resolves sets in an archive that is open, into a lock.
type solver struct {
	archive *debian.Index
	lock    *lock.File
}

// solve resolves sets, each on the packages of the set below it as they are
// locked: what is shared stays so although the archive has moved. Where that has
// no solution, a set below that is not another recipe's gives way.
func (s solver) solve(ctx context.Context, r *recipes.Recipe, todo []want) error {
	date := archiveDate(s.archive.Releases(), r.Debian.Suites)
	for _, w := range todo {
		ask := debian.Request{Arch: w.arch, Packages: w.packages, Assume: w.assume, Essential: w.essential}
		onRecipe := w.below != "" && w.below == baseSet(r) && r.Base() != nil
		if _, ok := s.lock.Set(w.below); ok && !w.alone {
			var err error
			ask.Given, err = (&plan{req: Request{Recipe: r}, lock: s.lock}).packages(w.below)
			if err != nil && onRecipe {
				return fmt.Errorf("resolving %q on %q: %w", w.set, w.below, err)
			}
		}
		pkgs, err := debian.Resolve(ctx, s.archive, ask)
		switch {
		case err != nil && onRecipe:
			err = fmt.Errorf("%w (the packages of the base are taken as they are locked: `riscv-build lock --update %s` renews them)", err, r.Base().Name)
		case err != nil && len(ask.Given) > 0:
			ask.Given = nil
			pkgs, err = debian.Resolve(ctx, s.archive, ask)
		}
		if err != nil {
			return fmt.Errorf("resolving %q for recipe %q: %w", w.set, r.Name, err)
		}
		s.lock.PutSet(lock.Set{Name: w.set, Request: slices.Clone(w.packages), Suites: r.Debian.Suites, Date: date}, pkgs)
	}
	for _, rel := range s.archive.Releases() {
		s.lock.PutRelease(rel)
	}
	return nil
}

// adopt fills a set without the archive: one that is empty, or one of a recipe
// that wants no more than the shared set below it, whose packages it then has.
// A recipe that joins a directory so stands on the versions of the others.
func adopt(l *lock.File, r *recipes.Recipe, w want) bool {
	set := lock.Set{Name: w.set, Request: slices.Clone(w.packages), Suites: r.Debian.Suites}
	if len(w.packages) == 0 && !w.essential {
		set.Date = archiveDate(l.Releases, r.Debian.Suites)
		l.PutSet(set, nil)
		return true
	}
	below, ok := l.Set(w.below)
	if !ok || !slices.Equal(below.Request, sorted(w.packages)) {
		return false
	}
	var pkgs []lock.Package
	for _, id := range below.Packages {
		if p, ok := l.Package(id); ok {
			pkgs = append(pkgs, p)
		}
	}
	set.Date = below.Date
	l.PutSet(set, pkgs)
	return true
}

// unsolved are the sets to resolve: the recipe's own, and shared ones that the
// lock does not have as wanted.
func (b *Builder) unsolved(req Request, old *lock.File) []want {
	var todo []want
	for _, w := range wants(req.Recipe) {
		have, ok := old.Set(w.set)
		shared := path.Base(w.set) != req.Recipe.Name && path.Base(path.Dir(w.set)) != req.Recipe.Name
		if shared && ok && slices.Equal(have.Request, sorted(w.packages)) {
			continue
		}
		todo = append(todo, w)
	}
	return todo
}

func sorted(list []string) []string { return union(list) }

func (b *Builder) openIndex(ctx context.Context, req Request, todo []want) (*debian.Index, error) {
	var arches []string
	for _, w := range todo {
		if !slices.Contains(arches, w.arch) {
			arches = append(arches, w.arch)
		}
	}
	slices.Sort(arches)
	return debian.Open(ctx, debian.OpenOptions{
		Suites: req.Recipe.Debian.Suites, Components: req.Recipe.Debian.Components, Arches: arches,
		Mirrors: b.mirrors(req.Recipe), Keyring: b.cfg.Keyring, AllowExpired: req.AllowExpired || req.Recipe.Debian.AllowExpired,
		CacheDir: filepath.Join(b.cfg.StateDir, "indexes"), Note: b.cfg.Display.Notice,
	})
}

// lockSource names the bytes of a source. They are downloaded for it: a source
// package's files stand in its .dsc, and the date of the source inside them.
func (b *Builder) lockSource(ctx context.Context, req Request, name string, old *lock.File) (lock.Source, error) {
	src := req.Recipe.Source[name]
	if src.Git != "" {
		return b.lockGit(ctx, req, name, old)
	}
	out := lock.Source{Name: name}
	if src.Dir != "" {
		return out, nil
	}
	if src.Go != "" {
		return b.lockModule(ctx, req, name)
	}
	first := lock.Blob{URL: src.DSC, SHA256: src.SHA256}
	if src.URL != "" {
		first.URL, first.Mirrors = src.URL, src.Mirrors
	}
	data, err := b.lockBlob(ctx, req, &first)
	if err != nil {
		return out, err
	}
	out.Files = append(out.Files, first)
	if src.DSC == "" {
		out.Date, err = b.sourceDate(ctx, first)
		return out, err
	}
	dsc, err := debian.ParseDSC(data)
	if err != nil {
		return out, fmt.Errorf("reading %q: %w", src.DSC, err)
	}
	for _, f := range dsc.Files {
		blob := lock.Blob{URL: path.Dir(src.DSC) + "/" + f.Name, Size: f.Size, SHA256: f.SHA256}
		if _, err := b.lockBlob(ctx, req, &blob); err != nil {
			return out, err
		}
		out.Files = append(out.Files, blob)
		if date, err := b.sourceDate(ctx, blob); err == nil && isDebianPart(f.Name, len(dsc.Files)) {
			out.Date = date
		}
	}
	if out.Date.IsZero() {
		return out, fmt.Errorf("reading the date of %q: no changelog in it: is the source package complete?", src.DSC)
	}
	return out, nil
}

// isDebianPart tells which file of a source package has debian/changelog.
func isDebianPart(name string, files int) bool {
	for _, pattern := range []string{"*.debian.tar.*", "*.diff.gz"} {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return files == 1
}

// lockBlob downloads a file of a source, completes its size, and gives the
// bytes of a small one.
func (b *Builder) lockBlob(ctx context.Context, req Request, f *lock.Blob) ([]byte, error) {
	opt := b.cfg.Fetch
	opt.Offline = req.Offline
	if _, err := b.store.Fetch(ctx, []fetch.Blob{b.sourceBlob(req.Recipe, *f)}, opt); err != nil {
		return nil, err
	}
	r, err := b.store.Open(ctx, digest.NewDigestFromEncoded(digest.SHA256, f.SHA256))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f.Size = r.Size()
	if f.Size > 1<<20 {
		return nil, nil
	}
	data := make([]byte, f.Size)
	_, err = r.ReadAt(data, 0)
	return data, err
}

// sourceBlob gives a source file with all addresses it may be had from.
func (b *Builder) sourceBlob(r *recipes.Recipe, f lock.Blob) fetch.Blob {
	m := b.mirrors(r)
	blob := fetch.Blob{Name: blobName(f.URL), Digest: digest.NewDigestFromEncoded(digest.SHA256, f.SHA256), Size: f.Size}
	for _, u := range append([]string{f.URL}, f.Mirrors...) {
		pool, ok := cutScheme(u)
		if !ok {
			blob.URLs = append(blob.URLs, b.cfg.Modules.Resolve(u)...)
			continue
		}
		blob.URLs = append(blob.URLs, m.Resolve(u)...)
		if blob.More == nil && f.Size > 0 {
			blob.More = b.lastResort(m, func(ctx context.Context, s debian.Snapshot) ([]string, error) {
				return s.SourceURLs(ctx, pool, f.Size)
			})
		}
	}
	return blob
}

// lastResort asks the snapshot service. That it is switched off or cannot be
// reached is no reason to stop: the caller resolves again instead.
func (b *Builder) lastResort(m debian.Mirrors, ask func(context.Context, debian.Snapshot) ([]string, error)) func(context.Context) ([]string, error) {
	if m.Snapshot.URL == "" {
		return nil
	}
	return func(ctx context.Context) ([]string, error) {
		urls, err := ask(ctx, debian.Snapshot{Root: m.Snapshot.URL, Downloader: b.snapshots})
		if err != nil {
			b.cfg.Display.Verbose("asking the snapshot service: %v", err)
		}
		return urls, ctx.Err()
	}
}

func cutScheme(u string) (string, bool) {
	if len(u) > len(debian.Scheme) && u[:len(debian.Scheme)] == debian.Scheme {
		return u[len(debian.Scheme):], true
	}
	return "", false
}

func (b *Builder) sourceDate(ctx context.Context, f lock.Blob) (time.Time, error) {
	r, err := b.store.Open(ctx, digest.NewDigestFromEncoded(digest.SHA256, f.SHA256))
	if err != nil {
		return time.Time{}, err
	}
	defer r.Close()
	return debian.SourceDate(path.Base(f.URL), r)
}
