// Package templates holds the build templates that a recipe can name: which
// shell steps turn a source tree into files below DESTDIR, and what a first
// recipe for each looks like.
//
// It renders text only. What a step runs in (the tool chain, its environment,
// its directory) is made elsewhere; Environment says what steps count on.
package templates

import (
	"fmt"
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/recipes"
)

// Environment are the variables that steps find set, apart from those of the
// recipe. Steps run in build.dir of the source tree, by /bin/sh -e.
var Environment = []string{
	"AR", "BUILD_TRIPLET", "CC", "CPP", "CXX", "DESTDIR", "HOME", "HOSTCC", "JOBS", "LD", "NM", "OBJCOPY", "PATH",
	"PKG_CONFIG", "RANLIB", "SOURCE_DATE_EPOCH", "STRIP", "SYSROOT", "TRIPLET",
}

// Target says for what machine a build compiles, and on which.
type Target struct {
	Cross   bool   // the compiler runs on another architecture than the target's
	Host    string // GNU triplet of the build host, x86_64-linux-gnu
	Triplet string // GNU triplet of the target, riscv64-linux-gnu
}

// Step is one shell script of a build.
type Step struct {
	Name   string // prepare, configure, compile, install
	Script string // for /bin/sh -e; ends with a line end
}

// Template supplies the steps of a build.
type Template struct {
	name  string
	about string   // one line for `riscv-build init --help`
	tools []string // packages of the build host
	// steps are the scripts of the steps that the recipe does not replace; ""
	// leaves a step out. Their arguments stand in "$@"; @MACHINES@ stands for
	// the options that tell GNU configure where it is and what it compiles for.
	steps recipes.Steps
	// arguments gives those of the compile and the install step; nil: those of make.
	arguments func(recipes.Build) (compile, install []string)
	// install are the arguments of the install step where the recipe gives
	// none; nil: those of make.
	install []string
	// files are those of a first recipe: the path below starter, and the path
	// beside the recipe, in which @NAME@ is the recipe's name.
	files map[string]string
}

// Name is what a recipe calls the template.
func (t Template) Name() string { return t.name }

// About says in one line what the template is for.
func (t Template) About() string { return t.about }

// Tools returns the packages that the build host needs for the template's
// steps, besides the compiler.
func (t Template) Tools() []string { return slices.Clone(t.tools) }

// Names returns the names of all templates, sorted.
func Names() []string {
	names := make([]string, len(all))
	for i, t := range all {
		names[i] = t.name
	}
	slices.Sort(names)
	return names
}

// Lookup finds a template by its name.
func Lookup(name string) (Template, bool) {
	i := slices.IndexFunc(all, func(t Template) bool { return t.name == name })
	if i < 0 {
		return Template{}, false
	}
	return all[i], true
}

// Steps renders the steps of a build in the order in which they run. A step
// that the recipe replaces gets the same arguments in "$@" that the template's
// own would: build.configure; build.make and build.targets; build.make and
// build.install (template go: build.install alone).
func (t Template) Steps(b recipes.Build, target Target) ([]Step, error) {
	if target.Triplet == "" || target.Host == "" {
		return nil, fmt.Errorf("rendering template %q: the triplets of target %q and build host %q must be known: report this as a bug", t.name, target.Triplet, target.Host)
	}
	compile, install := t.makeArguments(b)
	if t.arguments != nil {
		compile, install = t.arguments(b)
	}
	var steps []Step
	for _, s := range []struct {
		name, own, template string
		args                []string
	}{
		{"prepare", b.Steps.Prepare, t.steps.Prepare, nil},
		{"configure", b.Steps.Configure, t.steps.Configure, b.Configure},
		{"compile", b.Steps.Compile, t.steps.Compile, compile},
		{"install", b.Steps.Install, t.steps.Install, install},
	} {
		script := s.own
		if strings.TrimSpace(script) == "" {
			script = machines(s.template, target)
		}
		if script == "" {
			continue
		}
		steps = append(steps, Step{Name: s.name, Script: arguments(s.args) + strings.TrimRight(script, "\n") + "\n"})
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("rendering template %q: it has no step of its own and the recipe gives none: add build.steps.compile or build.steps.install", t.name)
	}
	return steps, nil
}

// makeArguments are those of the calls of make that compile and install.
func (t Template) makeArguments(b recipes.Build) (compile, install []string) {
	install = b.Install
	if len(install) == 0 {
		install = t.install
	}
	if len(install) == 0 && t.steps.Install != "" {
		install = []string{"DESTDIR=$DESTDIR", "install"}
	}
	return slices.Concat(b.Make, b.Targets), slices.Concat(b.Make, install)
}

// machines fills a target into a script. Compiling for the machine it runs on,
// GNU configure gets no --host, which would make it look for tools with a prefix.
func machines(script string, target Target) string {
	options := "--build=" + target.Triplet
	if target.Cross {
		options = "--build=" + target.Host + " --host=" + target.Triplet
	}
	return strings.ReplaceAll(script, "@MACHINES@", options)
}

// arguments sets "$@". A variable that is not set ends the step with its name
// instead of becoming an empty argument.
func arguments(args []string) string {
	line := "set -e\n"
	if len(args) == 0 {
		return line
	}
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = Quote(arg)
	}
	return line + "set -u\nset -- " + strings.Join(quoted, " ") + "\nset +u\n"
}

// Quote writes an argument as one word of a shell. In it $NAME and ${NAME}
// stand for a variable and $$ for a dollar sign; everything else is literal.
func Quote(arg string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(arg); i++ {
		switch c := arg[i]; c {
		case '"', '\\', '`':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '$':
			name := variable(arg[i:])
			switch {
			case name != "":
				b.WriteString(name)
				i += len(name) - 1
			case strings.HasPrefix(arg[i:], "$$"):
				b.WriteString(`\$`)
				i++
			default:
				b.WriteString(`\$`)
			}
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// variable returns the reference to a variable that a text starting with "$"
// starts with, "" if it is none.
func variable(text string) string {
	open, rest := "$", text[1:]
	if strings.HasPrefix(rest, "{") {
		open, rest = "${", rest[1:]
	}
	n := 0
	for n < len(rest) && isNameByte(rest[n], n == 0) {
		n++
	}
	switch {
	case n == 0:
		return ""
	case open == "$":
		return open + rest[:n]
	case strings.HasPrefix(rest[n:], "}"):
		return open + rest[:n+1]
	}
	return ""
}

// isNameByte tells whether a byte can be part of a variable's name.
func isNameByte(c byte, first bool) bool {
	return c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || !first && c >= '0' && c <= '9'
}
