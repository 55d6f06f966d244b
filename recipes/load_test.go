package recipes

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

const minimal = "schema = 1\nname = \"hello\"\nversion = \"1.2.3-rc1\"\n"

// full is a recipe that uses most keys.
const full = minimal + `
license = "MIT"
[source.hello]
url = "https://mirror.example/{name}-{version}.tar.gz"
mirrors = ["debian:pool/main/h/hello/hello_{major}.{minor}.orig.tar.gz"]
sha256 = "abababababababababababababababababababababababababababababababab"
[source.more]
dir = "src"
into = "more"
[build]
template = "autotools"
configure = ["--v={major}.{minor}.{patch}", "--keep=${name}/$HOME", "--json={{name}"]
env = { TAG = "{version}" }
patches = ["fix.patch"]
[image]
env = { V = "{version}", JSON = '{"a": 1}' }
cmd = ["{name}"]
[[image.account]]
name = "hello"
uid = 999
gid = 999
[[image.dir]]
path = "/data"
[[image.file]]
path = "/etc/hello"
content = "{name}"
[[image.file]]
path = "/etc/other"
from = "files/hello.conf"
mode = 0o000
[[test]]
name = "page"
http = { port = 80 }
[[test]]
name = "{name}"
run = ["{name}"]
timeout = "5s"
[push]
tags = ["{major}.{minor}", "latest"]
`

func parse(t *testing.T, text string) *Recipe {
	t.Helper()
	r, err := Parse("recipe.toml", []byte(text), beside)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDefaults(t *testing.T) {
	r := parse(t, minimal)
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"suites", r.Debian.Suites, DefaultSuites},
		{"components", r.Debian.Components, []string{"main"}},
		{"mode", r.Build.Mode, "auto"},
		{"dir", r.Build.Dir, "."},
		{"strip", *r.Build.Strip, true},
		{"base", r.Image.Base, "debian:minimal"},
		{"profile", r.Check.Profile, "rv64gc"},
		{"repository", r.Push.Repository, "riscv64/hello"},
		{"tags", r.Push.Tags, []string{"1.2.3-rc1"}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
}

func TestFull(t *testing.T) {
	r := parse(t, full)
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"url", r.Source["hello"].URL, "https://mirror.example/hello-1.2.3-rc1.tar.gz"},
		{"mirror", r.Source["hello"].Mirrors[0], "debian:pool/main/h/hello/hello_1.2.orig.tar.gz"},
		{"into", r.Source["hello"].Into, "."},
		{"configure", r.Build.Configure, []string{"--v=1.2.3", "--keep=${name}/$HOME", "--json={name}"}},
		{"build.env", r.Build.Env["TAG"], "1.2.3-rc1"},
		{"image.env", r.Image.Env["JSON"], `{"a": 1}`},
		{"cmd", r.Image.Cmd[0], "{name}"},
		{"content", *r.Image.Files[0].Content, "{name}"},
		{"file mode", r.Image.Files[0].Mode, int64(0o644)},
		{"explicit file mode", r.Image.Files[1].Mode, int64(0)},
		{"dir mode", r.Image.Dirs[0].Mode, int64(0o755)},
		{"home", r.Image.Accounts[0].Home, "/nonexistent"},
		{"shell", r.Image.Accounts[0].Shell, "/usr/sbin/nologin"},
		{"http", *r.Tests[0].HTTP, HTTPProbe{Port: 80, Path: "/", Method: "GET", Status: 200}},
		{"timeout", r.Tests[0].Timeout.Duration, time.Minute},
		{"explicit timeout", r.Tests[1].Timeout.Duration, 5 * time.Second},
		{"run", r.Tests[1].Run[0], "{name}"},
		{"tags", r.Push.Tags, []string{"1.2", "latest"}},
		{"line", r.Line("image.file[1].mode"), 33},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	if w := r.Warnings(); len(w) != 0 {
		t.Errorf("warnings: %v", w)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hello.toml")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "riscv-build init") {
		t.Errorf("a missing file gives %v", err)
	}
	if err := os.WriteFile(path, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if r.File != path || r.Root != filepath.Dir(path) {
		t.Errorf("file %q, root %q", r.File, r.Root)
	}
	if err := os.WriteFile(path, []byte("schema = 2"), 0o600); err != nil {
		t.Fatal(err)
	}
	var problems Problems
	if _, err := Load(path); !errors.As(err, &problems) || len(problems) != 3 || problems[0].File != path {
		t.Errorf("a bad recipe gives %v", err)
	}
}

func TestWarnings(t *testing.T) {
	r := parse(t, minimal+`
[source.hello]
url = "https://mirror.example/x"
sha256 = "`+strings.Repeat("0", 64)+`"
[build]
template = "make"
`)
	other := func(r *Recipe) []Problem { return []Problem{r.Problem("source.hello", "elsewhere", "do that")} }
	var got []string
	for _, w := range r.Warnings(other) {
		if !w.Warning {
			t.Errorf("%v is not marked as a warning", w)
		}
		got = append(got, w.Error())
	}
	for i, want := range []string{":1: warning: the recipe has no test: ", ":1: warning: the recipe names no license: ",
		":5: warning: elsewhere: do that", ":6: warning: the tarball of source \"hello\" has no mirror: ", ":7: warning: the sha256 of source \"hello\" is a placeholder: "} {
		if i >= len(got) || !strings.HasPrefix(got[i], "recipe.toml"+want) {
			t.Fatalf("warnings are\n%s\nwant %d to start with %q", strings.Join(got, "\n"), i, want)
		}
	}
}

func TestExpand(t *testing.T) {
	values := map[string]string{"name": "n"}
	for in, want := range map[string]string{
		"{name}": "n", "{{name}": "{name}", "{{name}}": "{name}}", "${name}": "${name}", "$${name}": "$${name}",
		"$n{name}": "$nn", "{": "{", "{}": "{}", "{ name }": "{ name }", "${{name}": "${{name}", "a{name}b{name}": "anbn", "{x}": "{x}",
	} {
		if got, _ := expand(in, values); got != want {
			t.Errorf("expand(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestInputDigest(t *testing.T) {
	base := parse(t, full)
	first := base.InputDigest("v1")
	if again := parse(t, full).InputDigest("v1"); again != first || len(first) != 71 {
		t.Errorf("the same recipe has the digests %s and %s", first, again)
	}
	same := parse(t, "# a comment\n"+strings.Replace(full, `tags = ["{major}.{minor}", "latest"]`, `tags = ["x"]`, 1))
	if same.InputDigest("v1") != first {
		t.Error("a comment or a tag changes the digest")
	}
	changes := map[string]func() string{
		"version": func() string { return base.InputDigest("v2") },
		"key": func() string {
			return parse(t, strings.Replace(full, `cmd = ["{name}"]`, `cmd = ["x"]`, 1)).InputDigest("v1")
		},
	}
	for _, name := range []string{"files/hello.conf", "fix.patch", "src/hello.c", "src/new.c"} {
		changes[name] = func() string {
			dir := fstest.MapFS{}
			for n, f := range beside {
				dir[n] = f
			}
			dir[name] = &fstest.MapFile{Data: []byte("changed")}
			r := parse(t, full)
			r.Dir = dir
			return r.InputDigest("v1")
		}
	}
	for name, digest := range changes {
		if digest() == first {
			t.Errorf("a change of %s does not change the digest", name)
		}
	}
}

func TestLockInputs(t *testing.T) {
	first := parse(t, full).LockInputs()
	same := []string{
		strings.Replace(full, `cmd = ["{name}"]`, `cmd = ["x"]`, 1),
		full + "repository = \"x/y\"\n",
		strings.Replace(full, "[build]", "[debian]\nmirrors = [\"https://mirror.example/debian\"]\n[build]", 1),
		strings.Replace(full, `into = "more"`, `into = "less"`, 1),
	}
	for i, text := range same {
		if parse(t, text).LockInputs() != first {
			t.Errorf("change %d makes the lock stale", i)
		}
	}
	other := []string{
		strings.Replace(full, "abab", "cdcd", 1),
		strings.Replace(full, "[image]", "[image]\npackages = [\"tzdata\"]", 1),
		strings.Replace(full, "[image]", "[image]\nbase = \"scratch\"", 1),
		strings.Replace(full, "[build]", "[build]\npackages = [\"tzdata\"]", 1),
		strings.Replace(full, "[build]", "[build]\ntools = [\"tzdata\"]", 1),
		strings.Replace(full, `template = "autotools"`, `template = "make"`+"\nsteps.configure = \"x\"", 1),
		strings.Replace(full, "[build]", "[debian]\nsuites = [\"sid\"]\n[build]", 1),
	}
	seen := []string{first}
	for i, text := range other {
		digest := parse(t, text).LockInputs()
		if slices.Contains(seen, digest) {
			t.Errorf("change %d does not make the lock stale", i)
		}
		seen = append(seen, digest)
	}
	a := parse(t, minimal+"[image]\npackages = [\"aa\", \"bb\"]\n").LockInputs()
	if b := parse(t, minimal+"[image]\npackages = [\"bb\", \"aa\"]\n").LockInputs(); a != b {
		t.Error("the order of packages makes the lock stale")
	}
}

func TestCatalog(t *testing.T) {
	names := Catalog()
	if !slices.IsSorted(names) {
		t.Errorf("the catalogue is not sorted: %v", names)
	}
	for _, name := range names {
		r, err := LoadCatalog(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if r.Name != name || r.File != "catalog:"+name+".toml" || r.Root != "" {
			t.Errorf("recipe %q has name %q, file %q, root %q", name, r.Name, r.File, r.Root)
		}
		if w := r.Warnings(); len(w) > 0 {
			t.Error(Problems(w))
		}
	}
	for _, name := range []string{"no-such-recipe", "../recipe", "files/x", ""} {
		if _, err := LoadCatalog(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("LoadCatalog(%q) gives %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(linesDoc))
	paths, _ := filepath.Glob("testdata/bad/*.txt")
	for _, path := range paths {
		if data, err := os.ReadFile(path); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		keyLines(string(data))
		r, err := Parse("recipe.toml", data, beside)
		if err == nil {
			r.Warnings()
			r.LockInputs()
			if first := r.InputDigest("v"); first != r.InputDigest("v") {
				t.Error("the digest is not stable")
			}
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 || problems[0].Line < 1 {
			t.Errorf("the error is %v", err)
		}
	})
}
