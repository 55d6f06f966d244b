package gomod

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"github.com/riscv-build/riscv-build/builder/gomod/gomodtest"
)

func client(t *testing.T, p *gomodtest.Proxy) *Client {
	return &Client{Proxies: Proxies{URLs: []string{p.URL}, SumKey: p.Key, SumURL: "http://127.0.0.1:1"}, Dir: t.TempDir()}
}

// installedGo is a Go as far as settings go, and a directory with a link to it.
func installedGo(t *testing.T) (root, bin string) {
	t.Helper()
	root, bin = t.TempDir(), t.TempDir()
	program := filepath.Join(root, "bin", "go")
	err := errors.Join(os.Mkdir(filepath.Dir(program), 0o755), os.WriteFile(program, nil, 0o755), os.Symlink(program, filepath.Join(bin, "go")),
		os.WriteFile(filepath.Join(root, "go.env"), []byte("# defaults\nGOPROXY=https://installed.example,direct\n"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	return root, bin
}

func TestDiscover(t *testing.T) {
	saved := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(saved, []byte("GOFLAGS=-x\nGOPROXY=https://saved.example\nGOPRIVATE=corp.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, bin := installedGo(t)
	for _, c := range []struct {
		name   string
		env    map[string]string
		config []string
		urls   []string
		from   string
		err    string
	}{
		{"nobody", nil, nil, nil, "", ""},
		{"the root of a Go", map[string]string{"GOROOT": root}, nil, []string{"https://installed.example"}, "the installed Go", ""},
		{"a Go on the path", map[string]string{"PATH": "/nonexistent:" + bin}, nil, []string{"https://installed.example"}, "the installed Go", ""},
		{"go env before it", map[string]string{"GOROOT": root, "GOENV": saved}, nil, []string{"https://saved.example"}, "go env", ""},
		{"environment", map[string]string{"GOPROXY": "https://a.example/,direct|http://b.example,off,https://c.example", "GOENV": saved}, []string{"https://d.example"},
			[]string{"https://a.example", "http://b.example"}, "GOPROXY", ""},
		{"configuration", map[string]string{"GOENV": saved}, []string{"https://d.example"}, []string{"https://d.example"}, "configuration", ""},
		{"go env", map[string]string{"GOENV": saved}, nil, []string{"https://saved.example"}, "go env", ""},
		{"none", map[string]string{"GOPROXY": "off"}, nil, nil, "GOPROXY", ""},
		{"rubbish", map[string]string{"GOPROXY": "nowhere"}, nil, nil, "", `module proxy "nowhere" of GOPROXY`},
		{"checksum database", map[string]string{"GOSUMDB": "mine"}, nil, nil, "", `GOSUMDB "mine"`},
	} {
		get := func(key string) string {
			if key == "GOENV" && c.env[key] == "" {
				return "/nonexistent"
			}
			return c.env[key]
		}
		p, err := Discover(DiscoverOptions{Config: c.config, Getenv: get})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil || !slices.Equal(p.URLs, c.urls) || p.From != c.from || p.SumKey != defaultSumKey {
			t.Errorf("%s: %+v, %v", c.name, p, err)
		}
		if c.env["GOENV"] == saved && !p.exempt("corp.example/x") {
			t.Errorf("%s: GOPRIVATE is not heeded", c.name)
		}
	}
	for setting, want := range map[string]Proxies{"off": {}, "x+1+abc": {SumKey: "x+1+abc", SumURL: "https://x"}, "x+1+abc http://y/": {SumKey: "x+1+abc", SumURL: "http://y"}} {
		var p Proxies
		if err := p.setSumDB(setting); err != nil || !reflect.DeepEqual(p, want) {
			t.Errorf("%s: %+v, %v", setting, p, err)
		}
	}
}

const goSum = `example.org/a v1.0.0 h1:a
example.org/a v1.0.0/go.mod h1:am
example.org/B v1.2.0 h1:b
example.org/B v1.2.0/go.mod h1:bm
example.org/fork v1.1.0 h1:f
example.org/fork v1.1.0/go.mod h1:fm
example.org/old v0.9.0/go.mod h1:om
example.org/tests v1.0.0/go.mod h1:tm
`

func TestRead(t *testing.T) {
	const required = "require (\n\texample.org/a v1.0.0\n\texample.org/B v1.2.0 // indirect\n\texample.org/c v1.0.0\n\texample.org/side v1.3.0\n\texample.org/tests v1.0.0\n)\n" +
		"replace example.org/c => example.org/fork v1.1.0\nreplace example.org/side => ../side\n"
	show := func(m *Main) string {
		var out []string
		for _, mod := range m.Modules {
			s := mod.String()
			if mod.Zip {
				s += " zip=" + mod.ZipSum
			}
			out = append(out, s+" mod="+mod.ModSum)
		}
		return strings.Join(out, "\n")
	}
	const common = "example.org/a@v1.0.0 zip=h1:a mod=h1:am\nexample.org/B@v1.2.0 zip=h1:b mod=h1:bm\nexample.org/fork@v1.1.0 zip=h1:f mod=h1:fm\n"
	for _, c := range []struct {
		name, goMod string
		alone       bool
		want        string
	}{
		{"beside its siblings", "module example.org/m\ngo 1.24.0\n" + required, false, common + "example.org/tests@v1.0.0 mod=h1:tm"},
		{"alone", "module example.org/m\ngo 1.24.0\n" + required, true, common + "example.org/side@v1.3.0 zip= mod=\nexample.org/tests@v1.0.0 mod=h1:tm"},
		{"before Go 1.17", "module example.org/m\ngo 1.16\n" + required, false, common + "example.org/tests@v1.0.0 mod=h1:tm\nexample.org/old@v0.9.0 mod=h1:om"},
	} {
		m, err := Read([]byte(c.goMod), []byte(goSum), c.alone)
		if err != nil || show(m) != c.want {
			t.Errorf("%s: %v\n%s\nwant:\n%s", c.name, err, show(m), c.want)
		}
	}
	m, _ := Read([]byte("module example.org/m\ngo 1.27.1\n"+required), []byte(goSum), true)
	if !m.Newer("1.27.0") || m.Newer("1.27.1") {
		t.Error("the version of the language is not compared")
	}
	mod, sum, err := m.Alone([]Module{{Version: module.Version{Path: "example.org/side", Version: "v1.3.0"}, ZipSum: "h1:s", ModSum: "h1:sm"}})
	if err != nil || strings.Contains(string(mod), "../side") || !strings.Contains(string(mod), "=> example.org/fork") ||
		string(sum) != goSum+"example.org/side v1.3.0 h1:s\nexample.org/side v1.3.0/go.mod h1:sm\n" {
		t.Errorf("%v\n%s\n%s", err, mod, sum)
	}
	for text, want := range map[string]string{"rubbish": "reading go.mod", "go 1.24": "names no module"} {
		if _, err := Read([]byte(text), nil, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Read([]byte("module m\n"), []byte("a b\n"), false); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a broken go.sum: %v", err)
	}
}

func TestFetch(t *testing.T) {
	p := gomodtest.New(t)
	v := module.Version{Path: "example.org/Big", Version: "v1.0.0"}
	p.Add(t, v, map[string]string{"go.mod": "module example.org/Big\n", "big.go": "package big\n"})
	c := client(t, p)
	where, err := Location(v, "zip")
	if err != nil || where != "go:example.org/!big/@v/v1.0.0.zip" {
		t.Fatalf("%s, %v", where, err)
	}
	data, err := c.Read(context.Background(), where)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(v, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Sum()
	want, err2 := c.Sum(context.Background(), v, false)
	if err != nil || err2 != nil || got != want || !strings.HasPrefix(got, "h1:") {
		t.Errorf("checksums %q and %q, %v, %v", got, want, err, err2)
	}
	if _, err := c.Sum(context.Background(), module.Version{Path: "example.org/none", Version: "v1.0.0"}, false); err == nil || !strings.Contains(err.Error(), `"example.org/none"`) {
		t.Errorf("an unknown module: %v", err)
	}
	c.Exempt = "example.org"
	if sum, err := c.Sum(context.Background(), v, true); sum != "" || err != nil {
		t.Errorf("an exempt module: %q, %v", sum, err)
	}
	// The first proxy lacks it, the second has it.
	empty := gomodtest.New(t)
	c.URLs = []string{empty.URL, p.URL}
	if _, err := c.Read(context.Background(), where); err != nil || len(empty.Asked()) != 1 {
		t.Errorf("second proxy: %v, the first was asked %v", err, empty.Asked())
	}
	if _, err := Open(v, bytes.NewReader(gomodtest.Zip(t, "other@v1/", map[string]string{"x": ""})), int64(len(gomodtest.Zip(t, "other@v1/", map[string]string{"x": ""})))); err == nil {
		t.Error("a zip of another module was opened")
	}
}

// A list of packages that are not there would have the go command look for them.
func TestOpenVendored(t *testing.T) {
	v := module.Version{Path: "example.org/x", Version: "v1.0.0"}
	data := gomodtest.Zip(t, "example.org/x@v1.0.0/", map[string]string{"go.mod": "module example.org/x\n", "vendor/modules.txt": "# a\n", "src/vendor/modules.txt": "# b\n"})
	a, err := Open(v, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	names := a.Names()
	slices.Sort(names)
	if !slices.Equal(names, []string{"go.mod", "src/vendor/modules.txt"}) {
		t.Errorf("files %q", names)
	}
}

func TestFetchErrors(t *testing.T) {
	p := gomodtest.New(t)
	c := client(t, p)
	const where = "go:example.org/x/@v/v1.0.0.zip"
	var e *Error
	_, err := c.Read(context.Background(), where)
	if !errors.As(err, &e) || !e.Gone || len(p.Asked()) != 1 || e.ExitCode() != 4 || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v, asked %v", err, p.Asked())
	}
	p.Fails["example.org/x/@v/v1.0.0.zip"] = http.StatusForbidden
	if _, err = c.Read(context.Background(), where); !errors.As(err, &e) || !e.Gone {
		t.Errorf("forbidden: %v", err)
	}
	p.Fails["example.org/x/@v/v1.0.0.zip"] = http.StatusBadGateway
	if _, err = c.Read(context.Background(), where); !errors.As(err, &e) || e.Gone || len(p.Asked()) != 2+rounds {
		t.Errorf("broken: %v, asked %v", err, p.Asked())
	}
	c.URLs = nil
	if _, err = c.Read(context.Background(), where); err == nil || !strings.Contains(err.Error(), "no module proxy is named") {
		t.Errorf("no proxy: %v", err)
	}
	c.URLs = []string{p.URL}
	p.Files["y"] = []byte("y")
	own := errors.New("disk full")
	if err := c.Fetch(context.Background(), "go:y", func(io.Reader) error { return own }); !errors.Is(err, own) {
		t.Errorf("the user's own error: %v", err)
	}
}

func TestToolchainFile(t *testing.T) {
	for name, want := range map[string]string{
		"bin/go": "bin/go x", "pkg/tool/linux_amd64/compile": "pkg/tool/linux_amd64/compile x", "src/fmt/print.go": "src/fmt/print.go",
		"src/_go.mod": "src/go.mod", "src/fmt/fmt_test.go": "", "src/fmt/testdata/x": "", "src/cmd/go/main.go": "", "doc/x": "", "VERSION": "VERSION",
	} {
		to, executable := ToolchainFile(name)
		if executable {
			to += " x"
		}
		if to != want {
			t.Errorf("%s: %q, want %q", name, to, want)
		}
	}
}
