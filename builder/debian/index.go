package debian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"pault.ag/go/debian/version"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// OpenOptions say what Open reads.
type OpenOptions struct {
	Suites       []string // trixie, trixie-updates, trixie-security; -security suites come from the security archive
	Components   []string // default main
	Arches       []string // Debian names: riscv64, amd64, arm64
	Mirrors      Mirrors
	Keyring      string // file of OpenPGP public keys; empty: the embedded Debian archive keys
	AllowExpired bool   // accept a Release whose Valid-Until has passed
	CacheDir     string // keeps indexes by hash; empty: nothing is kept
	Downloader   Downloader
	Now          func() time.Time
	Note         func(format string, args ...any) // told what was chosen and why; nil: nobody
}

// Index holds the packages of some suites for some architectures. It is safe
// for use by several goroutines.
type Index struct {
	finder  *finder
	found   []*found
	arches  map[string]*archIndex
	sources sourceIndexes
}

// archIndex holds what can be installed on one architecture.
type archIndex struct {
	arch     string
	entries  []*entry  // by name, then newest version first
	provides []provide // by name
	// secured are the packages ("name version") of security suites, whatever
	// other suite has them too.
	secured map[string]bool
}

// Open reads and verifies the indexes of every suite for every architecture
// (design section 5). For each suite it uses one release directory that is
// consistent for all of them. Errors are SuiteError and ArchiveError.
func Open(ctx context.Context, opt OpenOptions) (*Index, error) {
	opt.defaults()
	if len(opt.Suites) == 0 || len(opt.Arches) == 0 {
		return nil, errors.New("opening the archive: no suite or no architecture is named: set suites in [debian]")
	}
	suites, err := newSuites(opt.Suites)
	if err != nil {
		return nil, err
	}
	keys, err := loadKeyring(opt.Keyring)
	if err != nil {
		return nil, err
	}
	cache, err := newIndexCache(opt.CacheDir)
	if err != nil {
		return nil, err
	}
	ix := &Index{finder: &finder{opt: opt, keys: keys, cache: cache}, arches: map[string]*archIndex{}}
	for _, s := range suites {
		f, err := ix.finder.find(ctx, s)
		if err != nil {
			return nil, err
		}
		ix.found = append(ix.found, f)
	}
	if err := ix.load(ctx); err != nil {
		return nil, err
	}
	cache.forget()
	cache.prune()
	return ix, nil
}

func newSuites(names []string) ([]suite, error) {
	var out []suite
	for _, n := range names {
		s, err := newSuite(n)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (o *OpenOptions) defaults() {
	if len(o.Components) == 0 {
		o.Components = []string{"main"}
	}
	if o.Downloader == nil {
		o.Downloader = NewHTTPDownloader()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	arches := slices.Clone(o.Arches)
	slices.Sort(arches)
	o.Arches = slices.Compact(arches)
}

// Releases gives the archive states that were read, in the order of the suites.
func (ix *Index) Releases() []lock.Release {
	var out []lock.Release
	for _, f := range ix.found {
		out = append(out, f.locked())
	}
	return out
}

// Package gives the newest version of a package for an architecture.
// Its Depends is empty: only Resolve knows what satisfies a dependency.
func (ix *Index) Package(arch, name string) (lock.Package, bool) {
	if a := ix.arches[arch]; a != nil {
		if c := a.named(name); len(c) > 0 {
			return c[0].locked(), true
		}
	}
	return lock.Package{}, false
}

// load parses the indexes, two architectures at a time: that bounds memory
// on a board, and decoding is most of the work.
func (ix *Index) load(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	shared := &sharedEntries{byHash: map[string]*entry{}}
	var mu sync.Mutex
	for _, arch := range ix.finder.opt.Arches {
		group.Go(func() error {
			a, err := ix.loadArch(ctx, arch, shared)
			mu.Lock()
			defer mu.Unlock()
			ix.arches[arch] = a
			return err
		})
	}
	return group.Wait()
}

func (ix *Index) loadArch(ctx context.Context, arch string, shared *sharedEntries) (*archIndex, error) {
	a := &archIndex{arch: arch, secured: map[string]bool{}}
	for i, f := range ix.found {
		for _, component := range ix.finder.opt.Components {
			files, err := f.release.packagesFor(component, arch)
			if err != nil {
				return nil, err
			}
			for _, file := range files {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				p := packagesFile{archive: f.suite.archive, suite: uint8(i), arch: arch, shared: shared}
				if err := ix.finder.parse(f, file, p.parse); err != nil {
					return nil, err
				}
				a.entries = append(a.entries, p.entries...)
				if f.suite.archive == ArchiveSecurity {
					a.secure(p.entries)
				}
			}
		}
	}
	return a, a.order()
}

// order sorts the entries, newest version first, and drops what stands in
// several suites: the first suite that was named has the say.
func (a *archIndex) order() error {
	slices.SortStableFunc(a.entries, func(x, y *entry) int { return strings.Compare(x.name, y.name) })
	for start := 0; start < len(a.entries); {
		end := start + 1
		for end < len(a.entries) && a.entries[end].name == a.entries[start].name {
			end++
		}
		if end-start > 1 {
			sortVersions(a.entries[start:end])
		}
		start = end
	}
	a.entries = slices.CompactFunc(a.entries, func(x, y *entry) bool { return x.name == y.name && x.version == y.version })
	count := 0
	for _, e := range a.entries {
		if e.provides != "" {
			count += 1 + strings.Count(e.provides, ",")
		}
	}
	a.provides = make([]provide, 0, count)
	for _, e := range a.entries {
		if e.provides == "" {
			continue
		}
		list, err := parseProvides(e)
		if err != nil {
			return err
		}
		a.provides = append(a.provides, list...)
	}
	slices.SortStableFunc(a.provides, func(x, y provide) int { return strings.Compare(x.name, y.name) })
	return nil
}

func sortVersions(same []*entry) {
	slices.SortStableFunc(same, func(x, y *entry) int {
		return version.Compare(y.parsedVersion(), x.parsedVersion())
	})
}

// named gives the packages of a name, newest first.
func (a *archIndex) named(name string) []*entry {
	from, _ := slices.BinarySearchFunc(a.entries, name, func(e *entry, n string) int { return strings.Compare(e.name, n) })
	to := from
	for to < len(a.entries) && a.entries[to].name == name {
		to++
	}
	return a.entries[from:to:to]
}

// providing gives the packages that provide a name.
func (a *archIndex) providing(name string) []provide {
	from, _ := slices.BinarySearchFunc(a.provides, name, func(p provide, n string) int { return strings.Compare(p.name, n) })
	to := from
	for to < len(a.provides) && a.provides[to].name == name {
		to++
	}
	return a.provides[from:to:to]
}

// parse hands an index that is in the cache, decompressed, to a parser.
func (f *finder) parse(r *found, file indexFile, parse func(io.Reader) error) error {
	packed, err := f.cache.open(file.sha256)
	if err != nil {
		return fmt.Errorf("reading index %q from the cache: %w: try again", r.dir+"/"+file.path, err)
	}
	defer packed.Close()
	plain, err := decompress(packed, file.path)
	if err == nil {
		err = parse(plain)
	}
	if err != nil {
		return &ArchiveError{Kind: Malformed, URL: joinURL(r.mirror.URL, r.dir), File: r.dir + "/" + file.path, Err: err}
	}
	return nil
}
