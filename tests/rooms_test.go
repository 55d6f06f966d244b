package tests

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const (
	module   = "github.com/riscv-build/riscv-build"
	buildkit = "github.com/moby/buildkit"
)

// room is a row of the table of rooms: what the packages at or below a path
// must never import. Paths of this module are written without its name.
type room struct {
	path      string
	exactly   bool     // the package at path only, not those below
	never     []string // not even through others
	notItself []string // not by an import of its own
	except    []string // may be imported although below one of the others
}

var rooms = []room{
	{path: "cmd/riscv-build", notItself: []string{buildkit}},
	{path: "recipes", exactly: true, never: []string{"recipes/", "cmd", "builder", "pusher", "templates", "tests", "net", "net/http"}},
	{path: "recipes/lock", never: []string{"cmd", "builder", "pusher", "templates", "tests", "net", "net/http"}},
	{path: "templates", never: []string{"cmd", "builder", "pusher"}},
	{path: "builder", exactly: true, never: []string{"cmd", "builder/engine/embedded", "github.com/urfave/cli/v2"}},
	{path: "builder/debian", never: []string{"cmd", "pusher", buildkit}},
	{path: "builder/gomod", never: []string{"cmd", "recipes", "pusher", "builder/graph", "builder/engine", buildkit}},
	{path: "builder/fetch", never: []string{"cmd", "builder/graph", "builder/engine"}},
	{
		path: "builder/graph", never: []string{"cmd", "builder/engine", "builder/fetch", "pusher"},
		notItself: []string{buildkit, "os", "os/exec", "net", "net/http"},
		except:    []string{buildkit + "/client/llb", buildkit + "/solver/pb"},
	},
	{path: "builder/engine", never: []string{"cmd", "recipes", "builder/graph"}},
	{path: "builder/engine/buildkit", never: []string{"builder/engine/embedded", "builder/engine/remote", "pusher"}},
	{path: "builder/engine/remote", never: []string{"builder/engine/embedded", "pusher"}},
	{path: "builder/engine/trial", never: []string{"builder/engine/embedded", "builder/engine/remote", "pusher"}},
	{path: "builder/check", never: []string{"cmd", "pusher"}},
	{path: "builder/host", never: []string{"cmd", "recipes", "pusher", "builder/engine", "builder/graph", buildkit}},
	{path: "builder/engineimage", never: []string{"cmd", "pusher", "builder/engine", "builder/debian", "builder/graph", buildkit}},
	{path: "builder/batch", never: []string{"cmd", "builder/engine/embedded", "github.com/urfave/cli/v2"}},
	{path: "builder/service", never: []string{"cmd", "builder/engine/embedded", "github.com/urfave/cli/v2"}},
	{path: "builder/display", never: []string{"cmd", "recipes", "pusher", "builder/graph"}},
	{path: "pusher", never: []string{"cmd", "builder", "recipes"}},
	{path: "pusher/registry", never: []string{"github.com/urfave/cli/v2"}},
	{path: "pusher/clients", never: []string{"net/http"}},
}

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath string
	Dir        string
	Name       string
	Imports    []string
	Deps       []string
	GoFiles    []string
}

// listPackages lists the packages of the module, for Linux, where all are built.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Imports,Deps,GoFiles", "./...")
	cmd.Dir = root()
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []goPackage
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// short is an import path without the module's name.
func short(importPath string) string { return strings.TrimPrefix(importPath, module+"/") }

// below says whether an import path is at or below another; "recipes/" means
// below only.
func below(importPath, tree string) bool {
	if strings.HasSuffix(tree, "/") {
		return strings.HasPrefix(importPath, tree)
	}
	return importPath == tree || !standard(tree) && strings.HasPrefix(importPath, tree+"/")
}

// standard says whether a rule names a package of the standard library, where
// net/url below net is another matter.
func standard(tree string) bool { return slices.Contains([]string{"net", "net/http", "os"}, tree) }

func (r room) holds(p goPackage) bool {
	name := short(p.ImportPath)
	return name == r.path || !r.exactly && strings.HasPrefix(name, r.path+"/")
}

// offends gives the first of the rules that an import breaks.
func (r room) offends(importPath string, rules []string) (string, bool) {
	name := short(importPath)
	for _, allowed := range r.except {
		if below(name, allowed) {
			return "", false
		}
	}
	for _, tree := range rules {
		if below(name, tree) {
			return tree, true
		}
	}
	return "", false
}

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	packages := listPackages(t)
	for _, r := range rooms {
		seen := false
		for _, p := range packages {
			if !r.holds(p) {
				continue
			}
			seen = true
			for _, i := range p.Imports {
				if tree, bad := r.offends(i, r.notItself); bad {
					t.Errorf("%s imports %s: %s is not for this room", short(p.ImportPath), i, tree)
				}
			}
			r.except = nil // indirectly, the libraries' own business
			for _, i := range p.Deps {
				if tree, bad := r.offends(i, r.never); bad {
					t.Errorf("%s comes to import %s: %s is not for this room (see `go list -deps`)", short(p.ImportPath), i, tree)
				}
			}
		}
		if !seen {
			t.Errorf("the table names %q, and there is no such package", r.path)
		}
	}
}

func TestPackageNames(t *testing.T) {
	vague := []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "base", "lib", "shared"}
	for _, p := range listPackages(t) {
		if slices.Contains(vague, p.Name) || slices.Contains(vague, path.Base(p.ImportPath)) {
			t.Errorf("package %s: name it after what it is for", p.ImportPath)
		}
	}
}
