package debian

import (
	"strings"

	"pault.ag/go/debian/version"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// Newer is a package that is newer than another version of it.
type Newer struct {
	Package  lock.Package
	Suite    string // the first that has it
	Security bool   // it is, or is newer than, an update of a security suite that the other version lacks
}

// Newer gives the newest version of a package for an architecture if it is
// newer than the one that is known.
func (ix *Index) Newer(arch, name, known string) (Newer, bool) {
	a := ix.arches[arch]
	if a == nil {
		return Newer{}, false
	}
	same := a.named(name)
	if len(same) == 0 || !newerThan(same[0].parsedVersion(), known) {
		return Newer{}, false
	}
	n := Newer{Package: same[0].locked(), Suite: ix.found[same[0].suite].suite.name}
	for _, e := range same {
		if a.secured[e.named()] && newerThan(e.parsedVersion(), known) {
			n.Security = true
		}
	}
	return n, true
}

func (a *archIndex) secure(entries []*entry) {
	for _, e := range entries {
		a.secured[e.named()] = true
	}
}

func (e *entry) named() string { return e.name + " " + e.version }

// SplitDSC reads name and version, without epoch, out of the address of a .dsc.
func SplitDSC(dsc string) (name, version string, ok bool) {
	base := dsc[strings.LastIndex(dsc, "/")+1:]
	base, isDSC := strings.CutSuffix(base, ".dsc")
	name, version, ok = strings.Cut(base, "_")
	return name, version, ok && isDSC && name != "" && version != ""
}

// NewerThan tells whether the source package is newer than a version without
// epoch, as the name of a .dsc has it, and whether a security update is in that.
func (s SourcePackage) NewerThan(known string) (newer, security bool) {
	return newerThan(withoutEpoch(s.Version), known), s.Secured != "" && newerThan(withoutEpoch(s.Secured), known)
}

func withoutEpoch(text string) version.Version {
	v, _ := version.Parse(text) // the index has parsed it already
	v.Epoch = 0
	return v
}
