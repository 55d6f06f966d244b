package debian

import (
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// given is the index with some packages as they are, whatever versions the
// archive has by now: each is the only one of its name and needs what it was
// locked with. What it provides and clashes with is what the archive's newest
// version of it says, as the lock does not know.
func (a *archIndex) given(packages []lock.Package) *archIndex {
	if len(packages) == 0 {
		return a
	}
	out := &archIndex{arch: a.arch}
	names := map[string]*entry{}
	was := map[string]string{}
	for _, p := range packages {
		e := &entry{name: p.Name}
		if all := a.named(p.Name); len(all) > 0 {
			*e = *all[0]
			was[p.Name] = e.version
		}
		e.version, e.arch, e.archive, e.path, e.sha256, e.size = p.Version, p.Arch, p.Archive, p.Path, p.SHA256, p.Size
		e.preDepends, e.depends = "", ""
		names[p.Name] = e
		out.entries = append(out.entries, e)
	}
	for _, e := range a.entries {
		if names[e.name] == nil {
			out.entries = append(out.entries, e)
		}
	}
	slices.SortStableFunc(out.entries, func(x, y *entry) int { return strings.Compare(x.name, y.name) })
	for _, p := range a.provides {
		e := names[p.entry.name]
		switch {
		case e == nil:
		case p.entry.version != was[e.name]:
			continue
		default:
			if p.version == was[e.name] {
				p.version = e.version
			}
			p.entry = e
		}
		out.provides = append(out.provides, p)
	}
	return out
}

// withDepends gives the given packages what they were locked with.
func withDepends(out, given []lock.Package) []lock.Package {
	byID := map[string]lock.Package{}
	for _, p := range given {
		byID[p.ID] = p
	}
	for i := range out {
		if p, ok := byID[out[i].ID]; ok {
			out[i].Depends = slices.Clone(p.Depends)
		}
	}
	return out
}
