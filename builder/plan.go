package builder

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// plan is what the lock stage gives: the request, its lock, and what follows
// from both before anything is downloaded.
type plan struct {
	req   Request
	lock  *lock.File
	base  *baseImage // nil: none but what the archive or nothing gives
	mode  graph.Mode
	where engine.Info      // builds and tests run there
	host  ocispec.Platform // that executes the toolchain
	date  time.Time        // of the image and of all that is made for it
	notes []string         // for the report
	known known            // what caches tell of it
	used  *uses            // what it uses of them
	index *lock.Index      // of lock
}

// host tells where builds run.
func (b *Builder) host(ctx context.Context) (engine.Info, error) {
	if b.cfg.Host != nil {
		return b.cfg.Host(ctx)
	}
	return engine.Info{Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}}, nil
}

// newPlan decides the mode and the date.
func newPlan(req Request, l *lock.File, where engine.Info) (*plan, string, error) {
	arch := where.Platform.Architecture
	flag := req.Mode
	if isGo(req.Recipe) && flag == string(graph.Emulate) {
		flag = "auto" // a Go tool chain gives the same bytes wherever it runs
	}
	mode, why, err := chooseMode(flag, req.Recipe.Build.Mode, arch)
	if err != nil {
		return nil, "", fmt.Errorf("choosing the mode of recipe %q: %w", req.Recipe.Name, err)
	}
	p := &plan{req: req, lock: l, mode: mode, where: where, host: ocispec.Platform{OS: "linux", Architecture: arch}, used: &uses{}, index: l.Index()}
	if mode != graph.Cross {
		p.host.Architecture = "riscv64"
	}
	if isGo(req.Recipe) {
		if _, err := p.goToolchain(); err != nil {
			return nil, "", err
		}
	}
	p.date = imageDate(req.Recipe, l)
	p.notes = lockNotes(l)
	return p, why, nil
}

// lockNotes are what every report says of a lock.
func lockNotes(l *lock.File) []string {
	var notes []string
	for _, r := range l.Releases {
		if r.Expired {
			notes = append(notes, fmt.Sprintf("lock: the archive state of %s (%s, %s) had expired when it was accepted", r.Suite, r.Path, r.Date.Format(time.DateOnly)))
		}
	}
	return notes
}

// chooseMode: flag over recipe over host.
func chooseMode(flag, recipe, arch string) (graph.Mode, string, error) {
	mode, from := flag, "asked for"
	if mode == "" || mode == "auto" {
		mode, from = recipe, "the recipe says so"
	}
	if mode == "" || mode == "auto" {
		mode, from = "cross", "the host is "+arch
		if arch == "riscv64" {
			mode = "native"
		}
	}
	switch {
	case mode == "native" && arch != "riscv64":
		return "", "", fmt.Errorf("mode %q needs a riscv64 host, this is %s: use cross or emulate", mode, arch)
	case mode == "cross" && arch != "amd64" && arch != "arm64":
		return "", "", fmt.Errorf("mode %q needs an amd64 or arm64 host, this is %s: use native", mode, arch)
	case mode != "native" && mode != "cross" && mode != "emulate":
		return "", "", fmt.Errorf("there is no mode %q: use auto, cross, native or emulate", mode)
	}
	return graph.Mode(mode), from, nil
}

// imageDate is the newest date of the recipe's sources; an image of packages
// alone has that of the archive state they were resolved from.
func imageDate(r *recipes.Recipe, l *lock.File) time.Time {
	var date time.Time
	if rec, ok := l.Recipe(r.Name); ok {
		for _, s := range rec.Sources {
			if s.Date.After(date) {
				date = s.Date
			}
		}
	}
	if date.IsZero() {
		set, _ := l.Set("image/" + r.Name)
		date = set.Date
	}
	if date.IsZero() { // an older lock
		date = archiveDate(l.Releases, r.Debian.Suites)
	}
	return date.UTC()
}

// archiveDate is the newest date of some suites.
func archiveDate(releases []lock.Release, suites []string) time.Time {
	var date time.Time
	for _, rel := range releases {
		if slices.Contains(suites, rel.Suite) && rel.Date.After(date) {
			date = rel.Date
		}
	}
	return date
}

// packages gives the packages of a locked set. Of the sets that are used
// without what their packages depend on, just those that were asked for.
func (p *plan) packages(set string) ([]lock.Package, error) {
	if p.index == nil {
		p.index = p.lock.Index()
	}
	s, ok := p.index.Set(set)
	if !ok {
		return nil, fmt.Errorf("looking up set %q: the lock does not have it: run `riscv-build lock --update %s`", set, p.req.Recipe.Name)
	}
	alone := strings.HasPrefix(set, "probe/") || strings.HasPrefix(set, "engine/") || (p.req.Recipe.OnScratch() && set == "image/"+p.req.Recipe.Name)
	var out []lock.Package
	for _, id := range s.Packages {
		pkg, ok := p.index.Package(id)
		if !ok {
			return nil, fmt.Errorf("looking up package %q of set %q: the lock does not have it: run `riscv-build lock --update`", id, set)
		}
		if !alone || slices.Contains(s.Request, pkg.Name) {
			out = append(out, pkg)
		}
	}
	return out, nil
}

// sourceFiles gives the locked files of a source, the .dsc first.
func (p *plan) sourceFiles(name string) []lock.Blob {
	rec, _ := p.lock.Recipe(p.req.Recipe.Name)
	for _, s := range rec.Sources {
		if s.Name == name {
			return s.Files
		}
	}
	return nil
}
