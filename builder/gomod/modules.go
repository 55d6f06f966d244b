package gomod

import (
	"fmt"
	"go/version"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// Module is one module that a build needs.
type Module struct {
	module.Version        // it is downloaded as; where it is replaced, its replacement
	Zip            bool   // its files; else its go.mod alone
	ZipSum, ModSum string // h1:...; empty: go.sum does not say
}

// Main is what go.mod and go.sum of a main module say.
type Main struct {
	Path    string
	Go      string   // version of the language, "1.25.0"
	Modules []Module // what a build needs, in the order of go.mod
	Dropped []Module // those of Modules whose local replacement was dropped
	file    *modfile.File
	goSum   []byte
}

// Read finds the modules that building a main module needs. A module that is
// alone, as one from a proxy is, has no siblings beside it: its replacements by
// local directories are dropped, and the versions it requires are taken.
func Read(goMod, goSum []byte, alone bool) (*Main, error) {
	f, err := modfile.Parse("go.mod", goMod, nil)
	if err != nil {
		return nil, fmt.Errorf("reading go.mod: %w: correct it", err)
	}
	if f.Module == nil {
		return nil, fmt.Errorf("reading go.mod: it names no module: add a module line")
	}
	m := &Main{Path: f.Module.Mod.Path, file: f, goSum: goSum}
	if f.Go != nil {
		m.Go = f.Go.Version
	}
	sums, err := readSums(goSum)
	if err != nil {
		return nil, err
	}
	local := m.addRequired(sums, alone)
	// Since Go 1.17 go.mod names every module whose packages are needed, and no
	// other's go.mod is read. Before, that of each in the graph of modules is.
	if m.Go == "" || version.Compare("go"+m.Go, "go1.17") < 0 {
		m.addSummed(sums, local)
	}
	return m, nil
}

// addRequired adds what go.mod requires and returns the modules that are local directories.
func (m *Main) addRequired(sums *sums, alone bool) map[string]bool {
	local := map[string]bool{}
	for _, r := range m.file.Require {
		v, to := r.Mod, m.replacement(r.Mod)
		if to != nil && to.New.Version == "" && !alone {
			local[r.Mod.Path] = true
			continue
		}
		if to != nil && to.New.Version != "" {
			v = to.New
		}
		mod := Module{Version: v, Zip: sums.of[v] != "", ZipSum: sums.of[v], ModSum: sums.of[goModOf(v)]}
		if to != nil && to.New.Version == "" {
			mod.Zip = true
			m.Dropped = append(m.Dropped, mod)
		}
		m.Modules = append(m.Modules, mod)
	}
	return local
}

// addSummed adds all that go.sum knows.
func (m *Main) addSummed(sums *sums, local map[string]bool) {
	have := map[module.Version]bool{}
	for _, mod := range m.Modules {
		have[mod.Version] = true
	}
	for _, v := range sums.order {
		if !have[v] && !local[v.Path] {
			m.Modules = append(m.Modules, Module{Version: v, Zip: sums.of[v] != "", ZipSum: sums.of[v], ModSum: sums.of[goModOf(v)]})
		}
	}
}

// replacement finds what replaces a module version; nil where nothing does.
func (m *Main) replacement(v module.Version) *modfile.Replace {
	var found *modfile.Replace
	for _, r := range m.file.Replace {
		if r.Old == v {
			return r
		}
		if r.Old.Path == v.Path && r.Old.Version == "" {
			found = r
		}
	}
	return found
}

// Newer tells whether the main module wants a newer Go than a tool chain's.
func (m *Main) Newer(toolchain string) bool {
	return m.Go != "" && version.Compare("go"+m.Go, "go"+toolchain) > 0
}

// Alone gives go.mod and go.sum as a build of a module without its siblings
// needs them: without the dropped replacements, and with the checksums of
// what came in their place. Both are nil where nothing was dropped.
func (m *Main) Alone(dropped []Module) (goMod, goSum []byte, err error) {
	if len(m.Dropped) == 0 {
		return nil, nil, nil
	}
	for _, r := range append([]*modfile.Replace(nil), m.file.Replace...) {
		if r.New.Version == "" {
			if err := m.file.DropReplace(r.Old.Path, r.Old.Version); err != nil {
				return nil, nil, fmt.Errorf("dropping the replacement of %q: %w", r.Old.Path, err)
			}
		}
	}
	m.file.Cleanup()
	if goMod, err = m.file.Format(); err != nil {
		return nil, nil, fmt.Errorf("writing go.mod: %w", err)
	}
	goSum = append(goSum, m.goSum...)
	for _, d := range dropped {
		goSum = fmt.Appendf(goSum, "%s %s %s\n%s %s/go.mod %s\n", d.Path, d.Version.Version, d.ZipSum, d.Path, d.Version.Version, d.ModSum)
	}
	return goMod, goSum, nil
}

func goModOf(v module.Version) module.Version {
	return module.Version{Path: v.Path, Version: v.Version + "/go.mod"}
}

// sums are the lines of a go.sum.
type sums struct {
	of    map[module.Version]string // "/go.mod" is part of a version
	order []module.Version          // each once, without "/go.mod"
}

func readSums(data []byte) (*sums, error) {
	s := &sums{of: map[module.Version]string{}}
	seen := map[module.Version]bool{}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 3 {
			return nil, fmt.Errorf("reading go.sum: line %d has not three words: run `go mod tidy` in the source", n)
		}
		if !strings.HasPrefix(f[2], "h1:") {
			continue // a kind of checksum that is not known yet
		}
		s.of[module.Version{Path: f[0], Version: f[1]}] = f[2]
		v := module.Version{Path: f[0], Version: strings.TrimSuffix(f[1], "/go.mod")}
		if !seen[v] {
			seen[v] = true
			s.order = append(s.order, v)
		}
	}
	return s, nil
}
