package builder

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/mod/module"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/gomod"
	"github.com/riscv-build/riscv-build/builder/gomod/gomodtest"
	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// notices is a display that keeps what it is told.
type notices struct{ text []string }

func (n *notices) Notice(format string, args ...any) {
	n.text = append(n.text, fmt.Sprintf(format, args...))
}
func (n *notices) Verbose(string, ...any)          {}
func (n *notices) Progress(string) engine.Progress { return nil }
func (n *notices) has(words string) bool           { return strings.Contains(strings.Join(n.text, "\n"), words) }

// goFixture is a builder whose modules come from a proxy of the test.
func goFixture(t *testing.T) (*gomodtest.Proxy, *Builder, *notices) {
	t.Helper()
	p := gomodtest.New(t)
	for _, arch := range []string{"amd64", "arm64"} {
		p.Add(t, gomod.Toolchain("1.26.8", arch), map[string]string{"bin/go": arch, "VERSION": "go1.26.8"})
	}
	dep := p.Add(t, module.Version{Path: "example.org/Dep", Version: "v1.0.0"}, map[string]string{"go.mod": "module example.org/Dep\n", "dep.go": "package dep\n"})
	p.Add(t, module.Version{Path: "example.org/side", Version: "v1.0.0"}, map[string]string{"go.mod": "module example.org/side\n", "side.go": "package side\n"})
	p.Add(t, module.Version{Path: "example.org/main", Version: "v1.0.0"}, map[string]string{
		"go.mod": "module example.org/main\ngo 1.26.0\nrequire example.org/Dep v1.0.0\nrequire example.org/side v1.0.0\nreplace example.org/side => ./side\n",
		"go.sum": dep, "main.go": "package main\n"})
	n := &notices{}
	b, err := New(Config{StateDir: t.TempDir(), Display: n, Modules: gomod.Proxies{URLs: []string{p.URL}, SumKey: p.Key, SumURL: p.URL + "/none"}})
	if err != nil {
		t.Fatal(err)
	}
	return p, b, n
}

func goRecipe(t *testing.T, source string, dir fstest.MapFS) *recipes.Recipe {
	t.Helper()
	r, err := recipes.Parse("x.toml", []byte("schema = 1\nname = \"x\"\nversion = \"1.0.0\"\n[source.main]\n"+source+"\n[build]\ntemplate = \"go\"\ngo = \"1.26.8\"\n"), dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lockRecipe locks the sources of a recipe as resolve does.
func lockRecipe(b *Builder, req Request) (lock.Recipe, error) {
	rec := lock.Recipe{Name: req.Recipe.Name, Inputs: req.Recipe.LockInputs()}
	src, err := b.lockSource(context.Background(), req, "main", lock.New())
	if err != nil {
		return rec, err
	}
	rec.Sources = []lock.Source{src}
	return rec, b.lockGo(context.Background(), req, &rec)
}

func goRequest(t *testing.T, r *recipes.Recipe) Request {
	return Request{Recipe: r, LockPath: t.TempDir() + "/riscv-build.lock"}
}

const mainSource = `go = "example.org/main@v{version}"`

func TestLockGo(t *testing.T) {
	p, b, n := goFixture(t)
	req := goRequest(t, goRecipe(t, mainSource, nil))
	rec, err := lockRecipe(b, req)
	if err != nil {
		t.Fatal(err)
	}
	var urls []string
	for _, s := range rec.Sources {
		for _, f := range s.Files {
			urls = append(urls, s.Name+" "+f.URL)
		}
	}
	want := `main go:example.org/main/@v/v1.0.0.zip
go/toolchain go:golang.org/toolchain/@v/v0.0.1-go1.26.8.linux-amd64.zip
go/toolchain go:golang.org/toolchain/@v/v0.0.1-go1.26.8.linux-arm64.zip
go/modules go:example.org/!dep/@v/v1.0.0.mod
go/modules go:example.org/!dep/@v/v1.0.0.zip
go/modules go:example.org/side/@v/v1.0.0.mod
go/modules go:example.org/side/@v/v1.0.0.zip`
	if got := strings.Join(urls, "\n"); got != want {
		t.Errorf("locked:\n%s\nwant:\n%s", got, want)
	}
	if d := rec.Sources[0].Date.Format("2006-01-02"); d != "2026-03-04" {
		t.Errorf("the source is of %s", d)
	}
	if !n.has("for riscv64") {
		t.Errorf("nothing is said of the tool chain that is missing: %v", n.text)
	}
	was := fmt.Sprint(rec)
	l := lock.New()
	l.PutRecipe(rec)
	if err := l.Save(req.LockPath); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(l.Marshal()), p.URL) {
		t.Error("the lock names the proxy")
	}
	before := len(p.Asked())
	if again, err := lockRecipe(b, req); err != nil || fmt.Sprint(again) != was {
		t.Errorf("locked again: %v, %v", again, err)
	}
	if more := p.Asked()[before:]; len(more) > 2 { // the date, and the tool chain that is missing
		t.Errorf("what the lock has was asked for again: %v", more)
	}
	goLayers(t, b, &plan{req: req, lock: l, host: ocispec.Platform{OS: "linux", Architecture: "amd64"}})
}

// goLayers makes the layers of a locked recipe, and twice the same.
func goLayers(t *testing.T, b *Builder, p *plan) {
	ctx := context.Background()
	tool, err := b.goToolchainLayer(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := b.moduleTree(ctx, p, "main")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := b.modulesImage(ctx, p)
	if err != nil || modules == "" {
		t.Fatal(modules, err)
	}
	text, err := b.readBelow(ctx, []image.Layer{tree}, "main/tree/go.mod")
	if err != nil || !strings.Contains(string(text), "example.org/side v1.0.0") || strings.Contains(string(text), "./side") {
		t.Errorf("go.mod of the module alone: %v\n%s", err, text)
	}
	if text, _ = b.readBelow(ctx, []image.Layer{tree}, "main/tree/go.sum"); strings.Count(string(text), "example.org/side") != 2 {
		t.Errorf("go.sum of the module alone:\n%s", text)
	}
	if text, _ = b.readBelow(ctx, []image.Layer{tool}, "usr/lib/go/bin/go"); string(text) != "amd64" {
		t.Errorf("the tool chain is that of %q", text)
	}
	if stand := b.goStands(ctx, p); !stand[goToolchainSource] || !stand[goModulesSource] {
		t.Errorf("the layers that stand are %v", stand)
	}
	if blobs := b.sourceBlobs(p, b.goStands(ctx, p)); len(blobs) != 1 || len(b.sourceBlobs(p, nil)) != 6 {
		t.Errorf("to be fetched: %v", blobs)
	}
	p.host.Architecture = "riscv64"
	if _, err := p.goToolchain(); err == nil || !strings.Contains(err.Error(), "none that runs on riscv64") {
		t.Errorf("a host without a tool chain: %v", err)
	}
}

func TestLockGoErrors(t *testing.T) {
	dep := module.Version{Path: "example.org/Dep", Version: "v1.0.0"}
	main := module.Version{Path: "example.org/main", Version: "v1.0.0"}
	for _, c := range []struct {
		name   string
		source string
		change func(p *gomodtest.Proxy, b *Builder)
		want   []string
	}{
		{"a dependency's zip was tampered with", mainSource, func(p *gomodtest.Proxy, _ *Builder) {
			p.Files[gomodtest.Path(dep, "zip")] = gomodtest.Zip(t, "example.org/Dep@v1.0.0/", map[string]string{"evil.go": "package dep\n"})
		}, []string{`zip of module "example.org/Dep" at "v1.0.0"`, "go.sum of example.org/main says h1:", "GOPROXY"}},
		{"its go.mod was", mainSource, func(p *gomodtest.Proxy, _ *Builder) { p.Files[gomodtest.Path(dep, "mod")] = []byte("module evil\n") },
			[]string{`mod of module "example.org/Dep"`}},
		{"the module itself was", mainSource, func(p *gomodtest.Proxy, _ *Builder) {
			p.Files[gomodtest.Path(main, "zip")] = gomodtest.Zip(t, "example.org/main@v1.0.0/", map[string]string{"go.mod": "module example.org/main\n"})
		}, []string{`module "example.org/main"`, "the checksum database says h1:"}},
		{"it is not what the recipe says", mainSource + "\nsum = \"h1:" + strings.Repeat("A", 43) + "=\"", func(*gomodtest.Proxy, *Builder) {}, []string{"the recipe says h1:AAAA"}},
		{"the proxy lacks a module", mainSource, func(p *gomodtest.Proxy, _ *Builder) { delete(p.Files, gomodtest.Path(dep, "zip")) },
			[]string{"go:example.org/!dep/@v/v1.0.0.zip", "404", "GOPROXY"}},
		{"there is no proxy", mainSource, func(_ *gomodtest.Proxy, b *Builder) { b.cfg.Modules.URLs = nil }, []string{"no module proxy is named"}},
		{"there is no such version", `go = "example.org/main@v1.9.9"`, func(*gomodtest.Proxy, *Builder) {}, []string{"v1.9.9.zip"}},
		{"no proxy has the tool chain", mainSource, func(p *gomodtest.Proxy, _ *Builder) {
			for _, arch := range hosts {
				p.Fails[gomodtest.Path(gomod.Toolchain("1.26.8", arch), "zip")] = http.StatusForbidden
			}
		}, []string{"locking Go 1.26.8", "build.go"}},
	} {
		p, b, _ := goFixture(t)
		c.change(p, b)
		_, err := lockRecipe(b, goRequest(t, goRecipe(t, c.source, nil)))
		for _, words := range c.want {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v lacks %q", c.name, err, words)
			}
		}
		var e *gomod.SumError
		if errors.As(err, &e) && e.ExitCode() != 4 {
			t.Errorf("%s: exit status %d", c.name, e.ExitCode())
		}
	}
}

func TestLockGoOfDirectory(t *testing.T) {
	_, b, n := goFixture(t)
	const requires = "module example.org/own\ngo %s\nrequire example.org/Dep v1.0.0\n"
	files := func(version string) fstest.MapFS {
		return fstest.MapFS{"src/go.mod": {Data: fmt.Appendf(nil, requires, version)}, "src/main.go": {Data: []byte("package main\n")}}
	}
	r := goRecipe(t, `dir = "src"`, files("1.26.0"))
	rec, err := lockRecipe(b, goRequest(t, r))
	if err != nil || len(rec.Sources) != 3 || len(rec.Sources[2].Files) != 1 {
		t.Errorf("%+v, %v, %v", rec, err, n.text)
	}
	other := goRecipe(t, `dir = "src"`, files("1.26.1"))
	if r.LockInputs() == other.LockInputs() {
		t.Error("another go.mod does not make the lock stale")
	}
	if _, err := lockRecipe(b, goRequest(t, goRecipe(t, `dir = "src"`, files("1.30.0")))); err == nil || !strings.Contains(err.Error(), "it wants Go 1.30.0") {
		t.Errorf("a source that wants a newer Go: %v", err)
	}
	vendored := files("1.26.0")
	vendored["src/vendor/modules.txt"] = &fstest.MapFile{}
	if rec, err := lockRecipe(b, goRequest(t, goRecipe(t, `dir = "src"`, vendored))); err != nil || len(rec.Sources[2].Files) != 0 {
		t.Errorf("vendored modules: %+v, %v", rec, err)
	}
	if _, err := lockRecipe(b, goRequest(t, goRecipe(t, `dir = "src"`, fstest.MapFS{"src/x.go": {}}))); err == nil || !strings.Contains(err.Error(), `there is no "go.mod" in it`) {
		t.Errorf("no go.mod: %v", err)
	}
}
