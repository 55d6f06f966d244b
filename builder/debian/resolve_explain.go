package debian

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// maxProblems bounds the chains that an error shows.
const maxProblems = 8

// explain turns the relations that rule out every solution into chains that
// each lead from a requested package to something that cannot be had.
func explain(u *universe, core []*clause) error {
	x := &explanation{universe: u, via: map[*entry]*clause{}, parent: map[*entry]*entry{}}
	x.walk(core)
	var problems []string
	told := map[string]bool{} // the same between older versions is no news
	for _, c := range core {
		text, key := "", ""
		switch {
		case c.dep != nil && len(c.candidates()) == 0:
			text, key = x.chain(c)+": "+u.absent(*c.dep), x.name(c.from)+c.why
		case c.dep == nil:
			text, key = x.clash(c), x.name(c.from)+c.why+x.name(c.literals[1].index())
		}
		if text != "" && !told[key] && len(problems) < maxProblems {
			told[key] = true
			problems = append(problems, text)
		}
	}
	packages := slices.Clone(u.req.Packages)
	slices.Sort(packages)
	return &ResolveError{Arch: u.req.Arch, Packages: slices.Compact(packages), Problems: problems}
}

// explanation knows the shortest way from the request to each package of a core.
type explanation struct {
	universe *universe
	via      map[*entry]*clause // requirement that brings the package
	parent   map[*entry]*entry  // package that has it; nil for the request
	entries  map[int32]*entry
}

// walk finds the ways, breadth first.
func (x *explanation) walk(core []*clause) {
	x.entries = map[int32]*entry{}
	work := []*entry{nil}
	seen := map[*entry]bool{nil: true}
	for len(work) > 0 {
		from := work[0]
		work = work[1:]
		for _, c := range core {
			if c.dep == nil || !x.belongs(c, from) {
				continue
			}
			list, _ := x.universe.candidates(*c.dep)
			for i, l := range c.candidates() {
				e := list[i]
				x.entries[l.index()] = e
				if !seen[e] {
					seen[e] = true
					x.via[e], x.parent[e] = c, from
					work = append(work, e)
				}
			}
		}
	}
}

// belongs tells whether a clause is a relation of the package (nil: the request).
func (x *explanation) belongs(c *clause, e *entry) bool {
	if c.from == root {
		return e == nil
	}
	return e != nil && x.entries[c.from] == e
}

// name gives the package name of a variable; "" for the request.
func (x *explanation) name(v int32) string {
	if e := x.entries[v]; e != nil {
		return e.name + " "
	}
	return ""
}

// chain tells how a requirement comes up: "nginx (requested) -> libfoo 1.2
// depends on bar (>= 2)".
func (x *explanation) chain(c *clause) string {
	if c.from == root {
		return fmt.Sprintf("%s (%s)", c.dep.text, c.why)
	}
	return x.path(x.entries[c.from]) + " " + c.why
}

// path tells how a package comes in.
func (x *explanation) path(e *entry) string {
	if e == nil {
		return "a package"
	}
	var steps []string
	for at := e; at != nil; at = x.parent[at] {
		step := at.name + " " + at.version
		if c := x.via[at]; c != nil && c.from == root {
			step += " (" + c.why + ")"
		}
		steps = append(steps, step)
	}
	slices.Reverse(steps)
	return strings.Join(steps, " -> ")
}

// clash tells both ways to a pair that cannot be installed together.
func (x *explanation) clash(c *clause) string {
	a, b := x.entries[c.literals[0].index()], x.entries[c.literals[1].index()]
	if a == nil || b == nil {
		return ""
	}
	return x.path(a) + " " + c.why + ", but " + x.path(b) + " is needed"
}

// absent says what the archive has instead of what a dependency wants.
func (u *universe) absent(d dependency) string {
	var parts []string
	for _, a := range d.alternatives {
		var versions []string
		for _, e := range u.index.named(a.name) {
			versions = append(versions, e.version)
		}
		for _, p := range u.index.providing(a.name) {
			text := "provided by " + p.entry.name
			if p.version != "" {
				text += " as " + p.version
			}
			versions = append(versions, text)
		}
		if len(versions) > 0 {
			parts = append(parts, fmt.Sprintf("of %s there is only %s", a.name, strings.Join(versions, ", ")))
			continue
		}
		text := fmt.Sprintf("the suites have no %s for %s", a.name, u.index.arch)
		if near := u.nearest(a.name); near != "" {
			text += fmt.Sprintf(" (did you mean %q?)", near)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// nearest gives the package name that is most like a mistyped one.
func (u *universe) nearest(name string) string {
	best, distance := "", 1+len(name)/4
	params := levenshtein.NewParams()
	for _, e := range u.index.entries {
		if abs(len(e.name)-len(name)) > distance {
			continue
		}
		if d := levenshtein.Distance(name, e.name, params); d <= distance && (best == "" || d < distance) {
			best, distance = e.name, d
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }
