// Package outdated finds out what is newer than the locked packages and the
// sources of recipes: in the archive, and where a recipe says how its releases
// are found. It asks and compares; it changes no lock and builds nothing.
package outdated

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// Report is what was found out. Its JSON is part of the interface.
type Report struct {
	Packages  []Package `json:"packages"`  // security updates first, then by name
	Sources   []Source  `json:"sources"`   // security updates first, then by recipe
	Recipes   []string  `json:"recipes"`   // that were looked at
	Unlocked  []string  `json:"unlocked"`  // those of them that have no lock
	Unchecked []Subject `json:"unchecked"` // sources of which nobody says where newer releases are
	Errors    []Problem `json:"errors"`    // questions without an answer
	Asked     int       `json:"asked"`     // questions in all
}

// Package is a locked package of which the archive has a newer version.
type Package struct {
	Name      string   `json:"name"`
	Arches    []string `json:"arches"` // as Debian names them, and "all"
	Locked    string   `json:"locked"`
	Available string   `json:"available"`
	Suite     string   `json:"suite"`
	Security  bool     `json:"security"`
	Uses      []string `json:"uses"` // image, sysroot, test, toolchain
	Recipes   []string `json:"recipes"`
}

// Source is a source of which there is a newer release.
type Source struct {
	Subject
	Kind      string `json:"kind"` // dsc, url, git, go
	Locked    string `json:"locked"`
	Available string `json:"available"`
	From      string `json:"from"` // suite or address that has it
	Security  bool   `json:"security"`
	Change    string `json:"change"` // lines for the recipe; empty: to be found out by hand
}

// Subject is a source of a recipe.
type Subject struct {
	Recipe string `json:"recipe"`
	File   string `json:"file"`
	Source string `json:"source"`
}

// Problem is a question that nobody answered.
type Problem struct {
	Recipe string `json:"recipe"`
	Source string `json:"source,omitempty"` // empty: the archive
	Error  string `json:"error"`
	Err    error  `json:"-"`
}

// Recipe is a recipe with what it is locked to.
type Recipe struct {
	*recipes.Recipe
	Lock *lock.File // nil: it has none
	Sets []Set
	// Archive opens the archive of the recipe.
	Archive func(context.Context) (*debian.Index, error)
}

// Set is a set of the lock that a recipe uses.
type Set struct {
	Name  string
	Arch  string
	Alone bool // only what was asked for is used, not what that depends on
}

// Find looks at recipes. What cannot be found out is in the report, it ends nothing.
func Find(ctx context.Context, all []Recipe, pages Pages, modules Modules) *Report {
	f := &finding{
		report: &Report{Packages: []Package{}, Sources: []Source{}, Recipes: []string{}, Unlocked: []string{}, Unchecked: []Subject{}, Errors: []Problem{}},
		pages:  pages, modules: modules,
		byKey: map[string]*Package{},
	}
	for _, r := range all {
		f.report.Recipes = append(f.report.Recipes, r.Name)
		f.packages(ctx, r)
		f.sources(ctx, r)
	}
	for _, p := range f.byKey {
		f.report.Packages = append(f.report.Packages, *p)
	}
	f.report.sort()
	return f.report
}

// Any tells whether anything is outdated.
func (r *Report) Any() bool { return len(r.Packages)+len(r.Sources) > 0 }

// Blind tells whether not one question was answered.
func (r *Report) Blind() bool { return r.Asked > 0 && len(r.Errors) == r.Asked }

// finding is a report in the making.
type finding struct {
	report  *Report
	pages   Pages
	modules Modules
	byKey   map[string]*Package
}

// ask counts a question and notes what became of it.
func (f *finding) ask(p Problem, question func() error) {
	f.report.Asked++
	if err := question(); err != nil {
		p.Err, p.Error = err, err.Error()
		f.report.Errors = append(f.report.Errors, p)
	}
}

// packages compares the sets of a recipe with the archive.
func (f *finding) packages(ctx context.Context, r Recipe) {
	if r.Lock == nil {
		f.report.Unlocked = append(f.report.Unlocked, r.Name)
		return
	}
	f.ask(Problem{Recipe: r.Name}, func() error {
		ix, err := r.Archive(ctx)
		if err != nil {
			return err
		}
		byID := map[string]lock.Package{}
		for _, p := range r.Lock.Packages {
			byID[p.ID] = p
		}
		for _, s := range r.Sets {
			set, _ := r.Lock.Set(s.Name)
			for _, id := range set.Packages {
				if p := byID[id]; !s.Alone || slices.Contains(set.Request, p.Name) {
					f.compare(ix, r, s, p)
				}
			}
		}
		return nil
	})
}

func (f *finding) compare(ix *debian.Index, r Recipe, s Set, p lock.Package) {
	newer, ok := ix.Newer(s.Arch, p.Name, p.Version)
	if !ok {
		return
	}
	key := strings.Join([]string{p.Name, p.Version, newer.Package.Version, newer.Suite}, " ")
	out := f.byKey[key]
	if out == nil {
		out = &Package{Name: p.Name, Locked: p.Version, Available: newer.Package.Version, Suite: newer.Suite}
		f.byKey[key] = out
	}
	out.Security = out.Security || newer.Security
	out.Arches = with(out.Arches, p.Arch)
	out.Uses = with(out.Uses, use(s.Name))
	out.Recipes = with(out.Recipes, r.Name)
}

// use says what a set is for.
func use(set string) string {
	switch kind, _, _ := strings.Cut(set, "/"); kind {
	case "base", "below", "image":
		return "image"
	case "probe":
		return "test"
	case "tools", "native", "toolchain":
		return "toolchain"
	default:
		kind, _, _ = strings.Cut(kind, "@")
		return kind
	}
}

// with adds a word to a sorted list.
func with(list []string, word string) []string {
	if i, ok := slices.BinarySearch(list, word); !ok {
		return slices.Insert(list, i, word)
	}
	return list
}

func (r *Report) sort() {
	slices.SortFunc(r.Packages, func(a, b Package) int {
		return cmp.Or(first(a.Security, b.Security), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Locked, b.Locked), cmp.Compare(a.Available, b.Available), cmp.Compare(a.Suite, b.Suite))
	})
	slices.SortStableFunc(r.Sources, func(a, b Source) int {
		return cmp.Or(first(a.Security, b.Security), cmp.Compare(a.Recipe, b.Recipe), cmp.Compare(a.Subject.Source, b.Subject.Source))
	})
}

// first puts what is marked before what is not.
func first(a, b bool) int {
	switch {
	case a && !b:
		return -1
	case b && !a:
		return 1
	}
	return 0
}
