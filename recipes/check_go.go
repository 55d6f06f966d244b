package recipes

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// goTemplate is the template that compiles Go.
const goTemplate = "go"

var (
	goSumGrammar     = regexp.MustCompile(`^h1:[A-Za-z0-9+/]{43}=$`)
	goVersionGrammar = regexp.MustCompile(`^1\.[0-9]+(\.[0-9]+|rc[0-9]+)$`)
)

// goEnv are the variables that decide what is compiled and from what, and that
// build.env must not change.
var goEnv = []string{"CGO_ENABLED", "GOARCH", "GOBIN", "GOCACHE", "GOENV", "GOFLAGS", "GOMODCACHE", "GONOSUMDB", "GOOS", "GOPATH", "GOPROXY", "GOROOT", "GOSUMDB", "GOTOOLCHAIN", "GOWORK"}

// Module splits "MODULE@VERSION" of a Go source.
func (s Source) Module() module.Version {
	p, v, _ := strings.Cut(s.Go, "@")
	return module.Version{Path: p, Version: v}
}

// ModuleSource names the source that holds the Go module to build, which lies
// in build.dir, and the module's directory in it.
func (r *Recipe) ModuleSource() (name, dir string, ok bool) {
	best := -1
	for _, n := range r.sourceNames() {
		into := path.Clean(r.Source[n].Into)
		rest, below := path.Clean(r.Build.Dir), true
		if into != "." {
			rest, below = strings.CutPrefix(rest+"/", into+"/")
		}
		if below && len(into) > best {
			best, name, dir, ok = len(into), n, path.Clean(rest), true
		}
	}
	return name, dir, ok
}

// goFiles are the files beside the recipe that say which Go modules it needs.
func (r *Recipe) goFiles() []string {
	name, dir, ok := r.ModuleSource()
	if !ok || r.Build.Template != goTemplate || r.Source[name].Dir == "" {
		return nil
	}
	at := path.Join(r.Source[name].Dir, dir)
	return []string{path.Join(at, "go.mod"), path.Join(at, "go.sum")}
}

// checkModule applies the rules of a Go source.
func (c *checker) checkModule(key, name string, src Source) {
	const do = `write "MODULE@VERSION" with the full version, such as "github.com/coredns/coredns@v1.15.0"`
	m := src.Module()
	err := module.Check(m.Path, m.Version)
	if err == nil && module.CanonicalVersion(m.Version) != m.Version {
		err = fmt.Errorf("version %q is not a full one", m.Version)
	}
	if err != nil {
		what := fmt.Sprintf("go %q names no version of a module", src.Go)
		if m.Path != "" && m.Version != "" {
			what += ": " + strings.TrimPrefix(err.Error(), m.Path+"@"+m.Version+": ")
		}
		c.bad(key+".go", what, do)
	}
	if src.SHA256 != "" {
		c.bad(key+".sha256", fmt.Sprintf("source %q is a Go module and has a sha256", name), "remove sha256, or give the checksum of go.sum as sum")
	}
	if src.Sum != "" && !goSumGrammar.MatchString(src.Sum) {
		c.bad(key+".sum", fmt.Sprintf("%q is no checksum of a module", src.Sum), `give "h1:" and the 44 characters after it, as in go.sum`)
	}
}

// checkGo reports what template go cannot do, and its keys where another is used.
func (c *checker) checkGo() {
	b := c.r.Build
	if b.Template != goTemplate {
		if b.Go != "" && b.Template != "" {
			c.bad("build.go", fmt.Sprintf("template %q has no Go tool chain", b.Template), `use template = "go", or remove build.go`)
		}
		return
	}
	if b.Go != "" && !goVersionGrammar.MatchString(b.Go) {
		c.bad("build.go", fmt.Sprintf("%q is no version of Go", b.Go), `write a full one, such as "1.26.8"`)
	}
	if len(b.Packages) > 0 {
		c.bad("build.packages", `template "go" has no C compiler (cgo is off), and nothing that build.packages could go to`, `remove build.packages; programs of build.tools can be called by steps`)
	}
	if b.Mode == "emulate" {
		c.bad("build.mode", `template "go" compiles for riscv64 on any host, never under emulation`, `remove build.mode`)
	}
	if len(b.Install) > 1 && b.Steps.Install == "" || len(b.Install) == 1 && !path.IsAbs(b.Install[0]) && b.Steps.Install == "" {
		c.bad("build.install", `template "go" installs into one absolute directory`, `write install = ["/usr/bin"], or add build.steps.install, which finds the arguments in "$@"`)
	}
	if _, _, ok := c.r.ModuleSource(); !ok && len(c.r.Source) > 0 {
		c.bad("build.dir", fmt.Sprintf("no source is unpacked to build.dir %q", b.Dir), "point build.dir into the source that has the go.mod to build")
	}
	for name := range b.Env {
		if slices.Contains(goEnv, name) {
			c.bad(JoinPath("build.env", name), fmt.Sprintf("build.env sets %q, which template \"go\" sets itself", name), "remove it; arguments of go build belong into build.make")
		}
	}
}
