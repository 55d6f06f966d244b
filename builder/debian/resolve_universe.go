package debian

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	deps "pault.ag/go/debian/dependency"
	"pault.ag/go/debian/version"
)

// universe tells which packages satisfy a relation under a request.
type universe struct {
	index  *archIndex
	req    Request
	prefer map[string]bool
}

func newUniverse(a *archIndex, req Request) *universe {
	u := &universe{index: a, req: req, prefer: map[string]bool{}}
	for _, p := range req.Prefer {
		u.prefer[p] = true
	}
	return u
}

// dependency is one relation: any of its alternatives satisfies it.
type dependency struct {
	text         string
	alternatives []alternative
}

// alternative is one package name of a relation with its restrictions.
type alternative struct {
	name  string
	bound *deps.VersionRelation // nil allows every version
	arch  string                // qualifier: "", "any", or an architecture
}

// assumed tells whether a package counts as installed.
func (u *universe) assumed(name string) bool {
	return slices.ContainsFunc(u.req.Assume, func(pattern string) bool {
		ok, _ := path.Match(pattern, name) // patterns were checked by Resolve
		return ok
	})
}

// parseRelations reads a relation field.
func parseRelations(field string) ([]dependency, error) {
	if strings.TrimSpace(field) == "" {
		return nil, nil
	}
	parsed, err := deps.Parse(field)
	if err != nil {
		return nil, err
	}
	var out []dependency
	for _, relation := range parsed.Relations {
		var d dependency
		var texts []string
		for _, p := range relation.Possibilities {
			a := alternative{name: p.Name, bound: p.Version}
			text := p.Name
			if p.Arch != nil {
				a.arch = p.Arch.String()
				text += ":" + a.arch
			}
			if p.Version != nil {
				p.Version.Number = strings.TrimSpace(p.Version.Number)
				if _, err := version.Parse(p.Version.Number); err != nil {
					return nil, err
				}
				text += " (" + p.Version.Operator + " " + p.Version.Number + ")"
			}
			d.alternatives = append(d.alternatives, a)
			texts = append(texts, text)
		}
		d.text = strings.Join(texts, " | ")
		out = append(out, d)
	}
	return out, nil
}

// allows tells whether a version meets the restriction.
func (a alternative) allows(v version.Version) bool {
	return a.bound == nil || a.bound.SatisfiedBy(v)
}

// qualifies tells whether the architecture qualifier lets a package count:
// name:any wants a package that is marked Multi-Arch: allowed.
func (u *universe) qualifies(a alternative, e *entry) bool {
	switch a.arch {
	case "":
		return true
	case "any":
		return e.multiArch
	}
	return a.arch == e.arch || (e.arch == "all" && a.arch == u.index.arch)
}

// satisfiers gives the packages that satisfy one alternative, best first: the
// package of that name, newest first, then those that provide the name.
func (u *universe) satisfiers(a alternative) []*entry {
	var out []*entry
	for _, e := range u.index.named(a.name) {
		if u.qualifies(a, e) && a.allows(e.parsedVersion()) && !u.assumed(e.name) {
			out = append(out, e)
		}
	}
	var providers []*entry
	for _, p := range u.index.providing(a.name) {
		if u.provides(a, p) && !u.assumed(p.entry.name) && !slices.Contains(out, p.entry) {
			providers = append(providers, p.entry)
		}
	}
	slices.SortStableFunc(providers, func(x, y *entry) int {
		return cmp.Or(cmp.Compare(x.priority, y.priority), strings.Compare(x.name, y.name),
			version.Compare(y.parsedVersion(), x.parsedVersion()))
	})
	return append(out, providers...)
}

// provides tells whether a provided name meets an alternative: a versioned
// relation needs a versioned Provides.
func (u *universe) provides(a alternative, p provide) bool {
	if !u.qualifies(a, p.entry) {
		return false
	}
	if a.bound == nil {
		return true
	}
	v, err := version.Parse(p.version)
	return p.version != "" && err == nil && a.allows(v)
}

// candidates gives the packages that satisfy a dependency, best first, and
// whether an assumed package already does.
func (u *universe) candidates(d dependency) (list []*entry, met bool) {
	for _, a := range d.alternatives {
		if u.assumed(a.name) {
			return nil, true
		}
		for _, e := range u.satisfiers(a) {
			if !slices.Contains(list, e) {
				list = append(list, e)
			}
		}
	}
	slices.SortStableFunc(list, func(x, y *entry) int {
		return cmp.Compare(rank(u.prefer[x.name]), rank(u.prefer[y.name]))
	})
	return list, false
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// depends gives what a package needs.
func (u *universe) depends(e *entry) ([]dependency, error) {
	var out []dependency
	for _, field := range []string{e.preDepends, e.depends} {
		list, err := parseRelations(field)
		if err != nil {
			return nil, fmt.Errorf("reading the dependencies of package %q: %w: name another mirror with --mirror", e.id(), err)
		}
		out = append(out, list...)
	}
	return out, nil
}

// clash is a package that may not be installed beside another, and why.
type clash struct {
	entry *entry
	why   string // "conflicts with libfoo (<< 2)"
}

// clashes gives what a package conflicts with or breaks, other versions of
// itself apart. A package never clashes with what it provides itself.
func (u *universe) clashes(e *entry) ([]clash, error) {
	var out []clash
	for _, field := range []struct{ verb, relations string }{{"conflicts with", e.conflicts}, {"breaks", e.breaks}} {
		list, err := parseRelations(field.relations)
		if err != nil {
			return nil, fmt.Errorf("reading the conflicts of package %q: %w: name another mirror with --mirror", e.id(), err)
		}
		for _, d := range list {
			for _, a := range d.alternatives {
				for _, other := range u.satisfiers(a) {
					if other.name != e.name {
						out = append(out, clash{other, field.verb + " " + d.text})
					}
				}
			}
		}
	}
	return out, nil
}
