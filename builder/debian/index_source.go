package debian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"pault.ag/go/debian/version"
)

// SourcePackage is a source package of the archive.
type SourcePackage struct {
	Name    string
	Version string
	Archive string // ArchiveDebian or ArchiveSecurity
	Suite   string // the first that has this version
	DSC     string // "debian:pool/.../nginx_1.26.3-3.dsc"
	SHA256  string // of the .dsc, hex
	Secured string // newest version in a security suite; empty: none
}

// sourceIndexes are read when they are first asked for: only validate and
// lock --update look at them, and they are as large as a package index.
type sourceIndexes struct {
	mu     sync.Mutex
	loaded bool
	byName map[string]SourcePackage // the newest of each name
}

// Source gives the newest version of a source package in the suites.
func (ix *Index) Source(ctx context.Context, name string) (SourcePackage, bool, error) {
	ix.sources.mu.Lock()
	defer ix.sources.mu.Unlock()
	if !ix.sources.loaded {
		byName, err := ix.loadSources(ctx)
		if err != nil {
			return SourcePackage{}, false, err
		}
		ix.sources.byName, ix.sources.loaded = byName, true
	}
	s, ok := ix.sources.byName[name]
	return s, ok, nil
}

// NewerSource tells whether the archive has the source of an upstream version
// with Debian's patches, and where its .dsc is ("debian:pool/...").
func (ix *Index) NewerSource(ctx context.Context, name, upstreamVersion string) (dscPath string, ok bool, err error) {
	s, ok, err := ix.Source(ctx, name)
	if err != nil || !ok {
		return "", false, err
	}
	v, err := version.Parse(s.Version)
	if err != nil {
		return "", false, fmt.Errorf("reading version %q of source package %q: %w: name another mirror with --mirror", s.Version, name, err)
	}
	if v.Revision == "" || upstream(v.Version) != upstream(upstreamVersion) {
		return "", false, nil
	}
	return s.DSC, true, nil
}

// upstream removes the marks of a repacked tarball: 8.0.2+dfsg1 is 8.0.2.
func upstream(v string) string {
	for _, mark := range []string{"+dfsg", "~dfsg", ".dfsg", "+ds", "~ds", "+really", "+repack"} {
		v, _, _ = strings.Cut(v, mark)
	}
	return v
}

func (ix *Index) loadSources(ctx context.Context) (map[string]SourcePackage, error) {
	byName := map[string]SourcePackage{}
	for _, f := range ix.found {
		for _, component := range ix.finder.opt.Components {
			file, ok := f.release.find(component + "/source/Sources")
			if !ok {
				continue
			}
			if bad := ix.finder.index(ctx, f, file); bad != nil {
				return nil, bad
			}
			p := sourcesFile{suite: f.suite, byName: byName}
			if err := ix.finder.parse(f, file, p.parse); err != nil {
				return nil, err
			}
		}
	}
	ix.finder.cache.forget()
	return byName, nil
}

// sourcesFile parses one Sources index.
type sourcesFile struct {
	suite  suite
	byName map[string]SourcePackage
}

func (p *sourcesFile) parse(r io.Reader) error {
	s := newStanzas(r, "package", "version", "directory", "checksums-sha256")
	for {
		v, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.add(v); err != nil {
			return fmt.Errorf("reading source package %q: %w", v[0], err)
		}
	}
}

func (p *sourcesFile) add(v []string) error {
	newer, err := version.Parse(v[1])
	if err != nil {
		return err
	}
	known, ok := p.byName[v[0]]
	if ok && !newerThan(newer, known.Version) {
		if p.secures(newer, known) {
			known.Secured = strings.Clone(v[1])
			p.byName[known.Name] = known
		}
		return nil
	}
	files, err := parseChecksums(v[3])
	if err != nil {
		return err
	}
	i := slices.IndexFunc(files, func(f SourceFile) bool { return strings.HasSuffix(f.Name, ".dsc") })
	if i < 0 {
		return errors.New("it has no .dsc")
	}
	s := SourcePackage{
		Name: strings.Clone(v[0]), Version: strings.Clone(v[1]), Archive: p.suite.archive, Suite: p.suite.name,
		DSC: Scheme + path.Join(v[2], files[i].Name), SHA256: strings.Clone(files[i].SHA256), Secured: known.Secured,
	}
	if p.secures(newer, known) {
		s.Secured = s.Version
	}
	p.byName[s.Name] = s
	return nil
}

// secures tells whether a version of this index is a later security update
// than those that are known.
func (p *sourcesFile) secures(v version.Version, known SourcePackage) bool {
	return p.suite.archive == ArchiveSecurity && (known.Secured == "" || newerThan(v, known.Secured))
}

// newerThan compares with a version that may be none.
func newerThan(v version.Version, than string) bool {
	old, err := version.Parse(than)
	return err != nil || version.Compare(v, old) > 0
}
