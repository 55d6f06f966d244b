package debian

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/mikelolasagasti/xz"
	"pault.ag/go/debian/version"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// entry is one binary package of an index. The relation fields stay text:
// a request looks at a few hundred of 65,000 packages.
type entry struct {
	name, version, arch  string
	preDepends, depends  string
	conflicts, breaks    string
	provides             string
	path, sha256         string
	size                 int64
	archive              string
	suite                uint8 // place in Index.found of the first suite that has it
	priority             uint8 // place in priorities
	essential, multiArch bool  // multiArch: Multi-Arch: allowed
}

// provide is a name that a package provides; version is empty for none.
type provide struct {
	name, version string
	entry         *entry
}

// priorities of the archive, the most needed first.
var priorities = []string{"required", "important", "standard", "optional", "extra"}

// maxDictionary bounds the memory an xz stream may ask for; xz -9 wants 64 MiB.
const maxDictionary = 64 << 20

// parsedVersion gives the version for a comparison; parsePackage has checked it.
func (e *entry) parsedVersion() version.Version {
	v, _ := version.Parse(e.version)
	return v
}

func (e *entry) locked() lock.Package {
	return lock.Package{
		ID: e.id(), Name: e.name, Version: e.version, Arch: e.arch,
		Archive: e.archive, Path: e.path, Size: e.size, SHA256: e.sha256,
	}
}

func (e *entry) id() string { return e.name + "_" + e.version + "_" + e.arch }

// sharedEntries holds the packages of architecture all once, though every
// architecture's index repeats them: they are half of each.
type sharedEntries struct {
	mu     sync.Mutex
	byHash map[string]*entry
}

func (s *sharedEntries) unify(e *entry) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := e.archive + " " + e.sha256
	if known := s.byHash[key]; known != nil {
		return known
	}
	s.byHash[key] = e
	return e
}

// packagesFile parses one Packages index.
type packagesFile struct {
	archive string
	suite   uint8
	arch    string
	shared  *sharedEntries
	entries []*entry
}

// Fields of an index that are kept, and their places.
const (
	fPackage = iota
	fVersion
	fArchitecture
	fMultiArch
	fEssential
	fPriority
	fPreDepends
	fDepends
	fProvides
	fConflicts
	fBreaks
	fFilename
	fSize
	fSHA256
)

func (p *packagesFile) parse(r io.Reader) error {
	s := newStanzas(r, "package", "version", "architecture", "multi-arch", "essential", "priority",
		"pre-depends", "depends", "provides", "conflicts", "breaks", "filename", "size", "sha256")
	for {
		v, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if arch := v[fArchitecture]; arch != p.arch && arch != "all" {
			continue
		}
		e, err := p.entry(v)
		if err != nil {
			return fmt.Errorf("reading package %q: %w", v[fPackage], err)
		}
		if e.arch == "all" {
			e = p.shared.unify(e)
		}
		p.entries = append(p.entries, e)
	}
}

func (p *packagesFile) entry(v []string) (*entry, error) {
	e := &entry{
		name: v[fPackage], version: v[fVersion], arch: v[fArchitecture],
		preDepends: v[fPreDepends], depends: v[fDepends],
		conflicts: v[fConflicts], breaks: v[fBreaks], provides: v[fProvides],
		path: v[fFilename], sha256: strings.ToLower(v[fSHA256]), archive: p.archive, suite: p.suite,
		essential: v[fEssential] == "yes", multiArch: v[fMultiArch] == "allowed",
		priority: uint8(len(priorities)),
	}
	for i, name := range priorities {
		if v[fPriority] == name {
			e.priority = uint8(i)
		}
	}
	if e.name == "" || strings.ContainsAny(e.name, "/_ \n") {
		return nil, errors.New("it has no proper name")
	}
	if _, err := version.Parse(e.version); err != nil || strings.ContainsAny(e.version, "/_ \n") {
		return nil, fmt.Errorf("%q is no version", e.version)
	}
	var err error
	if e.size, err = strconv.ParseInt(v[fSize], 10, 64); err != nil || e.size < 0 {
		return nil, fmt.Errorf("%q is no size", v[fSize])
	}
	if sum, err := hex.DecodeString(e.sha256); err != nil || len(sum) != 32 {
		return nil, fmt.Errorf("%q is no SHA-256", e.sha256)
	}
	if e.path == "" || path.Clean("/"+e.path) != "/"+e.path {
		return nil, fmt.Errorf("%q is no path in an archive", e.path)
	}
	return e, nil
}

// parseProvides reads a Provides field: names, each with "(= VERSION)" or not.
func parseProvides(e *entry) ([]provide, error) {
	var out []provide
	for part := range strings.SplitSeq(e.provides, ",") {
		name, rest, versioned := strings.Cut(strings.TrimSpace(part), "(")
		name, _, _ = strings.Cut(strings.TrimSpace(name), ":")
		if name == "" {
			continue
		}
		p := provide{name: name, entry: e}
		if versioned {
			rest = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), ")"))
			v, ok := strings.CutPrefix(rest, "=")
			if !ok {
				return nil, fmt.Errorf("reading Provides %q of package %q: only (= VERSION) has a meaning: name another mirror with --mirror", part, e.name)
			}
			p.version = strings.TrimSpace(v)
		}
		out = append(out, p)
	}
	return out, nil
}

// decompress opens an index by the ending of its name. The xz decoder was
// measured: 54 MB in 1.4 s where ulikunitz/xz takes 2.3 s.
func decompress(r io.Reader, name string) (io.Reader, error) {
	switch path.Ext(name) {
	case ".xz":
		return xz.NewReader(r, maxDictionary)
	case ".gz":
		return gzip.NewReader(r)
	}
	return r, nil
}
