package builder

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/debian/rootfs"
	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

func TestChooseMode(t *testing.T) {
	cases := []struct {
		flag, recipe, arch string
		want               graph.Mode
		err                string
	}{
		{"auto", "auto", "amd64", graph.Cross, ""},
		{"", "", "arm64", graph.Cross, ""},
		{"auto", "auto", "riscv64", graph.Native, ""},
		{"auto", "emulate", "amd64", graph.Emulate, ""},
		{"cross", "emulate", "amd64", graph.Cross, ""},
		{"native", "", "amd64", "", "needs a riscv64 host"},
		{"cross", "", "riscv64", "", "needs an amd64 or arm64 host"},
		{"fast", "", "amd64", "", `no mode "fast"`},
	}
	for _, c := range cases {
		got, _, err := chooseMode(c.flag, c.recipe, c.arch)
		if got != c.want || (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
	}
}

func packages(ids ...string) []lock.Package {
	var out []lock.Package
	for _, id := range ids {
		out = append(out, lock.Package{ID: id, Name: id, SHA256: id})
	}
	return out
}

func TestStackedSharesTheBase(t *testing.T) {
	spec := rootfs.Spec{Exclude: []string{"/x"}, Unpacked: true}
	cases := []struct {
		name        string
		shared, own []lock.Package
		spec        rootfs.Spec
		want        []int // packages of each layer
	}{
		{"base and the rest", packages("a", "b"), packages("a", "b", "c"), spec, []int{2, 1}},
		{"nothing but the base", packages("a"), packages("a"), spec, []int{1}},
		{"locked on different days", packages("a", "old"), packages("a", "new"), spec, []int{2}},
		{"setuid changes the base", packages("a"), packages("a", "b"), rootfs.Spec{Setuid: []string{"/usr/bin/su"}}, []int{2}},
	}
	for _, c := range cases {
		got := stacked(c.shared, c.own, c.spec)
		if len(got) != len(c.want) {
			t.Errorf("%s: %d layers, want %d", c.name, len(got), len(c.want))
			continue
		}
		for i, n := range c.want {
			if len(got[i].Packages) != n {
				t.Errorf("%s: layer %d has %d packages, want %d", c.name, i, len(got[i].Packages), n)
			}
		}
		if len(got) == 2 && (got[0].Exclude != nil || got[0].Unpacked || got[1].Exclude == nil || len(got[1].Below) != len(c.shared)) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestImageDateIsTheNewestSources(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	r := &recipes.Recipe{Name: "x", Debian: recipes.Debian{Suites: []string{"trixie"}}}
	l := &lock.File{Releases: []lock.Release{{Suite: "trixie", Date: day(9)}, {Suite: "sid", Date: day(20)}}}
	if got := imageDate(r, l); !got.Equal(day(9)) {
		t.Errorf("packages alone: %s", got)
	}
	l.Recipes = []lock.Recipe{{Name: "x", Sources: []lock.Source{{Date: day(2)}, {Date: day(3)}}}}
	if got := imageDate(r, l); !got.Equal(day(3)) {
		t.Errorf("sources: %s", got)
	}
}

func TestWantsServeEveryHost(t *testing.T) {
	r := &recipes.Recipe{Name: "x", Debian: recipes.Debian{Suites: recipes.DefaultSuites}}
	r.Build.Template = "make"
	r.Image.Base = "debian:minimal"
	names := map[string]bool{}
	for _, w := range wants(r) {
		if names[w.set] {
			t.Errorf("set %q is wanted twice", w.set)
		}
		names[w.set] = true
	}
	for _, host := range []string{"amd64", "arm64", "riscv64"} {
		m := graph.Cross
		if host == "riscv64" {
			m = graph.Native
		}
		shared, own := toolchainSets(r, m, host)
		for _, set := range []string{shared, own, "probe/" + host} {
			if !names[set] {
				t.Errorf("%s needs set %q, which is not wanted", host, set)
			}
		}
	}
	r.Debian.Suites = []string{"forky"}
	if got := suffix(r); got != "@forky" {
		t.Errorf("suffix %q", got)
	}
}

func TestSourceVersion(t *testing.T) {
	for url, want := range map[string]string{
		"https://x.example/nginx-1.26.3.tar.gz": "1.26.3", "debian:pool/n/nginx_1.26.3.orig.tar.gz": "1.26.3",
		"https://x.example/archive/main.tar.gz": "9", "https://x.example/v1.zip": "9",
	} {
		r := &recipes.Recipe{Version: "9", Source: map[string]recipes.Source{"s": {URL: url}}}
		if got := sourceVersion(r, "s"); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

func TestCacheSurvivesRubbish(t *testing.T) {
	c := cache{dir: filepath.Join(t.TempDir(), "cache")}
	var v []string
	if c.get("none", &v) {
		t.Error("an entry that is not there was read")
	}
	if err := c.put("k", []string{"a"}); err != nil || !c.get("k", &v) || v[0] != "a" {
		t.Errorf("%v %v", v, err)
	}
	c.Put("k", []byte("{half"))
	if c.get("k", &v) {
		t.Error("a damaged entry was read")
	}
	if key("a", "b", "c") == key("a", "bc") {
		t.Error("keys of different parts are equal")
	}
}

func TestLibraryDirectories(t *testing.T) {
	for p, want := range map[string]bool{"/usr/lib/riscv64-linux-gnu/libz.so.1": true, "/lib/ld.so": true, "/usr/lib/riscv64-linux-gnu/engines/x.so": false, "/usr/share/x": false} {
		if libraryDir(p) != want {
			t.Errorf("%s: %v", p, !want)
		}
	}
	if defaultJobs(1) < 1 || defaultJobs(1000) != 1 {
		t.Error("no jobs")
	}
}

// A recipe that joins a lock stands on the versions that are in it.
func TestAdopt(t *testing.T) {
	l := lock.New()
	l.PutSet(lock.Set{Name: "sysroot", Request: []string{"b", "a"}}, packages("a_1", "b_1", "c_1"))
	r := &recipes.Recipe{Name: "x"}
	for _, c := range []struct {
		want    want
		adopted bool
		n       int
	}{
		{want{set: "image/x"}, true, 0},
		{want{set: "base/x", essential: true}, false, 0},
		{want{set: "sysroot/x", below: "sysroot", packages: []string{"a", "b"}}, true, 3},
		{want{set: "sysroot/y", below: "sysroot", packages: []string{"a", "b", "d"}}, false, 0},
		{want{set: "native/x", below: "toolchain", packages: []string{"a", "b"}}, false, 0},
	} {
		got := adopt(l, r, c.want)
		s, ok := l.Set(c.want.set)
		if got != c.adopted || ok != c.adopted || len(s.Packages) != c.n {
			t.Errorf("%+v: adopted %v, set %+v", c.want, got, s)
		}
	}
}
