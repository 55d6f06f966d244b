package recipes

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Templates are the build templates a recipe may name. They are kept here as
// data because validation must know them and this package imports no other;
// a test of package templates holds the two together.
var Templates = []string{"autotools", "cmake", "go", "make", "meson", "script"}

// DefaultSuites are the suites of a recipe that names none.
var DefaultSuites = []string{"trixie", "trixie-updates", "trixie-security"}

// Load reads, completes and validates the recipe in a file. If the file was
// read but is not a correct recipe, the error is of type Problems and holds
// everything that is wrong with it.
func Load(path string) (*Recipe, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading recipe %q: %w: check the path, or start a recipe with `riscv-build init`", path, err)
	}
	root := filepath.Dir(path)
	return parseAt(place{dir: os.DirFS(root), root: root}, path, data)
}

// Parse does the work of Load on bytes: file is the name for messages, dir
// holds what stands beside the recipe; nil means that nothing does.
func Parse(file string, data []byte, dir fs.FS) (*Recipe, error) {
	if dir == nil {
		dir = embed.FS{}
	}
	return parseAt(place{dir: dir}, file, data)
}

// place is where a recipe stands: what is beside it, and the recipes that are
// built on it, the outermost first.
type place struct {
	dir   fs.FS
	root  string // path of dir; empty where it has none
	above []string
}

func parseAt(at place, file string, data []byte) (*Recipe, error) {
	r := &Recipe{File: file, Dir: at.dir, Root: at.root}
	c := &checker{r: r, above: at.above}
	b, err := decode(file, data, r)
	if err != nil {
		return nil, err
	}
	r.Lines = b.lines
	c.problems, c.broken = b.problems, b.broken
	r.setDefaults()
	c.expandVariables()
	c.checkAll()
	if len(c.problems) > 0 {
		return nil, c.problems.Err()
	}
	return r, nil
}

// given tells whether the recipe file holds the key.
func (r *Recipe) given(key string) bool {
	_, ok := r.Lines[key]
	return ok
}

// setDefaults fills in what the file leaves out.
func (r *Recipe) setDefaults() {
	r.text("debian.suites", &r.Debian.Suites, DefaultSuites...)
	r.text("debian.components", &r.Debian.Components, "main")
	r.text("push.tags", &r.Push.Tags, "{version}")
	set(&r.Push.Repository, "riscv64/"+r.Name)
	set(&r.Build.Mode, "auto")
	set(&r.Build.Dir, ".")
	set(&r.Image.Base, "debian:minimal")
	set(&r.Check.Profile, "rv64gc")
	if r.Build.Strip == nil {
		strip := true
		r.Build.Strip = &strip
	}
	for name, src := range r.Source {
		set(&src.Into, ".")
		r.Source[name] = src
	}
	r.setImageDefaults()
	r.setTestDefaults()
}

// text sets a list that is not in the file; an empty list in the file stays.
func (r *Recipe) text(key string, list *[]string, values ...string) {
	if !r.given(key) {
		*list = slices.Clone(values)
	}
}

func set(text *string, value string) {
	if *text == "" {
		*text = value
	}
}

func (r *Recipe) setImageDefaults() {
	for i := range r.Image.Accounts {
		set(&r.Image.Accounts[i].Home, "/nonexistent")
		set(&r.Image.Accounts[i].Shell, "/usr/sbin/nologin")
	}
	for i := range r.Image.Dirs {
		if !r.given(IndexPath("image.dir", i) + ".mode") {
			r.Image.Dirs[i].Mode = 0o755
		}
	}
	for i := range r.Image.Files {
		if !r.given(IndexPath("image.file", i) + ".mode") {
			r.Image.Files[i].Mode = 0o644
		}
	}
}

func (r *Recipe) setTestDefaults() {
	for i := range r.Tests {
		t := &r.Tests[i]
		if !r.given(IndexPath("test", i) + ".timeout") {
			t.Timeout.Duration = DefaultTimeout
		}
		if t.HTTP == nil {
			continue
		}
		set(&t.HTTP.Path, "/")
		set(&t.HTTP.Method, "GET")
		if !r.given(IndexPath("test", i) + ".http.status") {
			t.HTTP.Status = 200
		}
	}
}

// Line returns the line of a key path ("image.file[1].mode") in the recipe's
// file, or of the nearest key above it.
func (r *Recipe) Line(key string) int { return LineOf(r.Lines, key) }

// Problem makes a problem that points at a key of the recipe, for judgements
// that are made outside this package.
func (r *Recipe) Problem(key, what, do string) Problem {
	return Problem{File: r.File, Line: r.Line(key), What: what, Do: do}
}

// Warning is a judgement about a recipe that does not stop a build. Those that
// need more than the recipe (an archive's index, say) are made elsewhere and
// handed to Warnings.
type Warning func(*Recipe) []Problem

// Warnings returns what is doubtful in the recipe, in the order of the file:
// what this package can see itself and what the other judgements find.
func (r *Recipe) Warnings(others ...Warning) []Problem {
	var found Problems
	for _, judge := range append([]Warning{warnMissing, warnSources}, others...) {
		found = append(found, judge(r)...)
	}
	for i := range found {
		found[i].Warning = true
	}
	return found.sorted()
}

func warnMissing(r *Recipe) []Problem {
	var found []Problem
	if len(r.Tests) == 0 {
		found = append(found, r.Problem("", "the recipe has no test",
			"add a [[test]] that runs the program, so that a broken image is never pushed"))
	}
	if r.License == "" {
		found = append(found, r.Problem("", "the recipe names no license", `add license = "..." with the SPDX expression of the software`))
	}
	return found
}

func warnSources(r *Recipe) []Problem {
	var found []Problem
	for _, name := range r.sourceNames() {
		key, src := JoinPath("source", name), r.Source[name]
		if src.URL != "" && len(src.Mirrors) == 0 {
			found = append(found, r.Problem(key+".url", fmt.Sprintf("the tarball of source %q has no mirror", name),
				`add mirrors = ["..."] with other places of the same bytes; "debian:pool/..." names an .orig tarball of the archive`))
		}
		if src.SHA256 != "" && strings.Trim(src.SHA256, "0") == "" {
			found = append(found, r.Problem(key+".sha256", fmt.Sprintf("the sha256 of source %q is a placeholder", name),
				"replace it by the output of sha256sum for the file"))
		}
	}
	return found
}
