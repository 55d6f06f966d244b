package debian

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// Request asks for a set of packages that can be installed together.
type Request struct {
	Arch     string   // all packages are of this architecture or of "all"
	Packages []string // names, real or virtual
	// Assume names packages that count as installed and are left out; a name
	// may be a pattern of path.Match ("*-riscv64-cross").
	Assume []string
	// Essential adds every package marked Essential: yes.
	Essential bool
	// Prefer names packages to take wherever a dependency leaves a choice:
	// among alternatives and among the providers of a virtual package.
	Prefer []string
	// Given are packages that are installed already, as they are, each with all
	// that it depends on: they are in the set in these versions.
	Given []lock.Package
}

// Resolve finds a set of packages that holds what was asked for and all it
// depends on (Depends and Pre-Depends, never Recommends), in which nothing
// conflicts with or breaks another, sorted by ID. Where there is a choice it
// takes the newest version, the first alternative, and of several providers
// the one with the most needed Priority, then the first by name. The same
// index and request give the same set. Of each dependency the package that
// satisfies it first in that order is in lock.Package.Depends.
// The error is a *ResolveError if there is no such set.
func Resolve(ctx context.Context, ix *Index, req Request) ([]lock.Package, error) {
	a := ix.arches[req.Arch]
	if a == nil {
		return nil, fmt.Errorf("resolving packages for architecture %q: its index was not opened: add it to the architectures", req.Arch)
	}
	for _, pattern := range req.Assume {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("resolving packages: reading assumed package %q: %w: write a name or a pattern such as *-cross", pattern, err)
		}
	}
	u := newUniverse(a.given(req.Given), req)
	s := newSolver(u)
	if err := u.request(s); err != nil {
		return nil, err
	}
	core, err := s.solve(ctx)
	if err != nil {
		return nil, fmt.Errorf("resolving packages for %s: %w", req.Arch, err)
	}
	if core != nil {
		return nil, explain(u, core)
	}
	return withDepends(collect(s), req.Given), nil
}

// ResolveError says why a request has no solution.
type ResolveError struct {
	Arch     string
	Packages []string // as requested
	Problems []string // each a chain from a requested package to what is wrong
}

// Error gives every chain, one a line.
func (e *ResolveError) Error() string {
	what := strings.Join(e.Packages, " ")
	if what == "" {
		what = "the essential packages"
	}
	return fmt.Sprintf("resolving packages %q for %s: there is no solution:\n  %s\n  change the packages of the recipe, or its [debian] suites",
		what, e.Arch, strings.Join(e.Problems, "\n  "))
}

// ExitCode is the exit status of the program: the recipe is wrong.
func (e *ResolveError) ExitCode() int { return 2 }

// request adds the clauses for what was asked for.
func (u *universe) request(s *solver) error {
	names := slices.Clone(u.req.Packages)
	for _, p := range u.req.Given {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if u.assumed(name) {
			continue
		}
		d := dependency{text: name, alternatives: []alternative{{name: name}}}
		s.require(root, d, "requested")
	}
	if u.req.Essential {
		last := ""
		for _, e := range u.index.entries {
			if !e.essential || e.name == last || u.assumed(e.name) {
				continue
			}
			last = e.name
			s.require(root, dependency{text: e.name, alternatives: []alternative{{name: e.name}}}, "essential")
		}
		if last == "" {
			return fmt.Errorf("resolving packages for %s: no package is marked essential: %w", u.index.arch, errors.New("the suites are no whole distribution: check the [debian] suites"))
		}
	}
	return nil
}

// collect walks from the requests over what satisfies each dependency: what
// the solver tried and no longer needs stays out.
func collect(s *solver) []lock.Package {
	depends := map[*entry][]*entry{}
	var walk func(e *entry)
	satisfier := func(c *clause) *entry {
		for _, l := range c.candidates() {
			if s.value(l) == isTrue {
				return s.vars[l.index()].entry
			}
		}
		return nil // unreachable: solve ends when every requirement is met
	}
	walk = func(e *entry) {
		if _, done := depends[e]; done {
			return
		}
		depends[e] = []*entry{}
		for _, c := range s.vars[s.byEntry[e]].requires {
			if d := satisfier(c); d != nil {
				depends[e] = append(depends[e], d)
				walk(d)
			}
		}
	}
	for _, c := range s.roots {
		if e := satisfier(c); e != nil {
			walk(e)
		}
	}
	out := make([]lock.Package, 0, len(depends))
	for e, deps := range depends {
		p := e.locked()
		p.Depends = make([]string, 0, len(deps))
		for _, d := range deps {
			p.Depends = append(p.Depends, d.id())
		}
		slices.Sort(p.Depends)
		p.Depends = slices.Compact(p.Depends)
		out = append(out, p)
	}
	slices.SortFunc(out, func(x, y lock.Package) int { return strings.Compare(x.ID, y.ID) })
	return out
}
