package outdated

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/recipes"
)

// Pages reads pages that name releases. Example: WebPages.
type Pages interface {
	Page(ctx context.Context, url string) ([]byte, error)
}

// Modules lists the versions of Go modules. Example: *gomod.Client.
type Modules interface {
	Versions(ctx context.Context, modulePath string) ([]string, error)
}

// sources looks for newer releases of the sources of a recipe.
func (f *finding) sources(ctx context.Context, r Recipe) {
	for _, name := range slices.Sorted(maps.Keys(r.Source)) {
		src := r.Source[name]
		about := Subject{Recipe: r.Name, File: r.File, Source: name}
		var newest func() (*Source, error)
		switch {
		case src.DSC != "":
			newest = func() (*Source, error) { return newerDSC(ctx, r, src) }
		case src.Go != "":
			newest = func() (*Source, error) { return newerModule(ctx, f.modules, r.Recipe, src) }
		case src.Latest != nil:
			newest = func() (*Source, error) { return newerURL(ctx, f.pages, r.Recipe, src) }
		case src.Dir != "":
			continue // it is the recipe's own
		default:
			f.report.Unchecked = append(f.report.Unchecked, about)
			continue
		}
		f.ask(Problem{Recipe: r.Name, Source: name}, func() error {
			found, err := newest()
			if found != nil {
				found.Subject = about
				f.report.Sources = append(f.report.Sources, *found)
			}
			return err
		})
	}
}

// newerDSC asks the archive for a newer source package of the same name.
func newerDSC(ctx context.Context, r Recipe, src recipes.Source) (*Source, error) {
	name, have, ok := debian.SplitDSC(src.DSC)
	if !ok {
		return nil, fmt.Errorf("reading dsc %q: it is not named NAME_VERSION.dsc: name it as the archive does", src.DSC)
	}
	ix, err := r.Archive(ctx)
	if err != nil {
		return nil, err
	}
	s, ok, err := ix.Source(ctx, name)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("looking for source package %q: the suites %s do not have it: check [debian] suites and components", name, strings.Join(r.Debian.Suites, ", "))
	}
	newer, security := s.NewerThan(have)
	if !newer {
		return nil, nil
	}
	_, available, _ := debian.SplitDSC(s.DSC)
	change := fmt.Sprintf("dsc    = %q\nsha256 = %q\n", s.DSC, s.SHA256)
	if up := upstream(available); up != upstream(have) {
		change = fmt.Sprintf("version = %q\n", up) + change
	}
	return &Source{Kind: "dsc", Locked: have, Available: available, From: s.Suite, Security: security, Change: change}, nil
}

// upstream is the version without Debian's revision and marks of repacking.
func upstream(version string) string {
	if i := strings.LastIndexByte(version, '-'); i > 0 {
		version = version[:i]
	}
	if i := strings.IndexAny(version, "+~"); i > 0 {
		version = version[:i]
	}
	return version
}

// newerURL searches a page for a newer release of a tarball.
func newerURL(ctx context.Context, pages Pages, r *recipes.Recipe, src recipes.Source) (*Source, error) {
	expr, err := regexp.Compile(src.Latest.Matches)
	if err != nil {
		return nil, err // the recipe was checked
	}
	have := r.Version
	if m := expr.FindStringSubmatch(src.URL); m != nil {
		have = m[1]
	}
	page, err := pages.Page(ctx, src.Latest.URL)
	if err != nil {
		return nil, err
	}
	best := ""
	for _, m := range expr.FindAllSubmatch(page, -1) {
		if v := string(m[1]); !preRelease(v) || preRelease(have) {
			best = higher(best, v)
		}
	}
	if best == "" {
		return nil, fmt.Errorf("searching %q: nothing on the page matches %q and is a version: correct latest of the source", src.Latest.URL, src.Latest.Matches)
	}
	if order, ok := compare(best, have); !ok || order <= 0 {
		return nil, nil
	}
	kind := "url"
	if src.Git != "" {
		kind = "git" // which commit it is, the repository says
	}
	out := &Source{Kind: kind, Locked: have, Available: best, From: src.Latest.URL}
	if have == r.Version && src.Git == "" {
		out.Change = fmt.Sprintf("version = %q\n", best)
	}
	return out, nil
}

// newerModule asks the module proxies for a newer release of the same major version.
func newerModule(ctx context.Context, modules Modules, r *recipes.Recipe, src recipes.Source) (*Source, error) {
	path, have, _ := strings.Cut(src.Go, "@")
	all, err := modules.Versions(ctx, path)
	if err != nil {
		return nil, err
	}
	best := have
	for _, v := range all {
		fits := semver.Major(v) == semver.Major(have) && semver.Build(v) == semver.Build(have) && (semver.Prerelease(v) == "" || semver.Prerelease(have) != "")
		if fits && semver.Compare(v, best) > 0 {
			best = v
		}
	}
	if best == have {
		return nil, nil
	}
	out := &Source{Kind: "go", Locked: have, Available: best, From: path}
	if have == "v"+r.Version {
		out.Change = fmt.Sprintf("version = %q\n", best[1:])
	} else {
		out.Change = fmt.Sprintf("go = %q\n", path+"@"+best)
	}
	return out, nil
}

// higher gives the higher of two versions; what is none loses.
func higher(a, b string) string {
	if _, ok := compare(b, b); !ok {
		return a
	}
	if order, ok := compare(b, a); ok && order <= 0 {
		return a
	}
	return b
}
