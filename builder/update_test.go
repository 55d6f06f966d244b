package builder

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/builder/outdated"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

const essential = "\nEssential: yes\n"

// packageRecipe is an image of packages.
func packageRecipe(name string, packages ...string) *recipes.Recipe {
	return &recipes.Recipe{
		Name: name, Version: "1", File: name + ".toml",
		Debian: recipes.Debian{Suites: recipes.DefaultSuites, Components: []string{"main"}},
		Image:  recipes.Image{Base: "debian:minimal", Packages: packages},
	}
}

// three are three recipes with one lock, in an archive of the first day.
func three(t *testing.T) (*testArchive, *Builder, []Request) {
	t.Helper()
	a := newTestArchive(t)
	a.publish("trixie", []string{"busybox-static 1", "libc6 1" + essential, "libbar 1\nDepends: libc6\n", "libfoo 1\nDepends: libc6\n"}, "")
	b := a.builder(t)
	path := filepath.Join(t.TempDir(), lock.Name)
	var requests []Request
	for _, r := range []*recipes.Recipe{packageRecipe("db", "libbar"), packageRecipe("plain"), packageRecipe("web", "libfoo")} {
		req := Request{Recipe: r, LockPath: path}
		if err := b.Lock(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		requests = append(requests, req)
	}
	return a, b, requests
}

// secondDay brings a security update of libc6 and a newer libfoo.
func secondDay(a *testArchive) {
	a.publish("trixie-security", []string{"libc6 1+deb13u1" + essential}, "")
	a.publish("trixie-updates", []string{"libfoo 2\nDepends: libc6\n"}, "")
}

func setOf(t *testing.T, path, name string) string {
	t.Helper()
	l, err := lock.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := l.Set(name)
	return strings.Join(s.Packages, " ")
}

// A shared package that moves takes all recipes with it, but not what else
// there is of theirs.
func TestUpdateMovesWhatIsShared(t *testing.T) {
	a, b, all := three(t)
	path := all[0].LockPath
	secondDay(a)
	a.count("")
	moved, err := b.Update(t.Context(), Update{Requests: all[2:], Beside: []*recipes.Recipe{all[0].Recipe, all[1].Recipe, packageRecipe("new", "libnone")}})
	if err != nil || !slices.Equal(moved, []string{"db", "plain"}) {
		t.Fatalf("moved %v, %v", moved, err)
	}
	for set, want := range map[string]string{
		"base/debian:minimal": "libc6_1+deb13u1_riscv64",
		"image/web":           "libc6_1+deb13u1_riscv64 libfoo_2_riscv64",
		"image/db":            "libbar_1_riscv64 libc6_1+deb13u1_riscv64",
		"image/plain":         "libc6_1+deb13u1_riscv64",
		"probe/riscv64":       "busybox-static_1_riscv64",
	} {
		if got := setOf(t, path, set); got != want {
			t.Errorf("%s holds %q, want %q", set, got, want)
		}
	}
	if n := a.count("/InRelease"); n != 3 {
		t.Errorf("the 3 suites were opened %d times", n)
	}
	// What nobody shares moves nobody else.
	a.publish("trixie-updates", []string{"libfoo 3\nDepends: libc6\n", "libbar 2\nDepends: libc6\n"}, "")
	moved, err = b.Update(t.Context(), Update{Requests: all[:1], Beside: []*recipes.Recipe{all[1].Recipe, all[2].Recipe}})
	if err != nil || moved != nil {
		t.Fatalf("moved %v, %v", moved, err)
	}
	if got := setOf(t, path, "image/web") + " " + setOf(t, path, "image/db"); got != "libc6_1+deb13u1_riscv64 libfoo_2_riscv64 libbar_2_riscv64 libc6_1+deb13u1_riscv64" {
		t.Errorf("web and db hold %q", got)
	}
}

// A recipe that follows moves wholly, and takes those along that share the rest.
func TestUpdateMovesWhole(t *testing.T) {
	a, b, all := three(t)
	u := &updating{
		b: b, lock: lock.New(), archives: archives{b: b},
		done: map[string]bool{"sysroot": true}, moved: map[string]bool{"sysroot": true},
	}
	low := []string{"libc6_1_riscv64"}
	built := packageRecipe("built", "libfoo")
	built.Build = recipes.Build{Template: "script"}
	for _, r := range []*recipes.Recipe{built, all[0].Recipe} {
		for _, w := range wants(r) {
			u.lock.Sets = append(u.lock.Sets, lock.Set{Name: w.set, Packages: low})
		}
		u.lock.PutRecipe(lock.Recipe{Name: r.Name, Inputs: r.LockInputs()})
	}
	var packages []string
	for _, name := range union(hostTools, crossTools, nativeTools, sysrootPackages, templateTools("script"), []string{"busybox-static", "libbar", "libfoo"}) {
		packages = append(packages, name+" 2")
	}
	a.publish("trixie", append(packages, "libc6 2"+essential), "")
	went, err := u.followAll(t.Context(), []Request{{Recipe: all[0].Recipe, LockPath: "x"}, {Recipe: built, LockPath: "x"}})
	if err != nil || len(went) != 2 {
		t.Fatalf("%v, %v", went, err)
	}
	for _, set := range []string{"image/built", "native/built", "image/db"} {
		if s, _ := u.lock.Set(set); !slices.ContainsFunc(s.Packages, func(id string) bool { return strings.HasPrefix(id, "lib") && strings.HasSuffix(id, "_2_riscv64") }) {
			t.Errorf("%s holds %v", set, s.Packages)
		}
	}
}

// A lock is moved wholly or not at all.
func TestUpdateFailsWhole(t *testing.T) {
	a, b, all := three(t)
	before, err := os.ReadFile(all[0].LockPath)
	if err != nil {
		t.Fatal(err)
	}
	secondDay(a)
	wrong := Request{Recipe: packageRecipe("wrong", "libnone"), LockPath: all[0].LockPath}
	if _, err := b.Update(t.Context(), Update{Requests: append(slices.Clone(all), wrong)}); err == nil || !strings.Contains(err.Error(), `"wrong"`) {
		t.Fatalf("an impossible recipe: %v", err)
	}
	after, err := os.ReadFile(all[0].LockPath)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the lock changed: %v", err)
	}
	if got := setOf(t, all[0].LockPath, "image/web"); got != "libc6_1_riscv64 libfoo_1_riscv64" {
		t.Errorf("web holds %q", got)
	}
	if err := b.Lock(t.Context(), all[0]); err != nil {
		t.Error(err)
	}
}

func TestOutdated(t *testing.T) {
	a, b, all := three(t)
	report, err := b.Outdated(t.Context(), all)
	if err != nil || report.Any() || len(report.Errors) > 0 || report.Asked != 3 {
		t.Fatalf("on the first day: %+v, %v", report, err)
	}
	secondDay(a)
	a.publish("trixie-security", []string{"libc6 1+deb13u1" + essential}, sourceStanza("hello", "1:1.0-1+deb13u1"))
	releases := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/list" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `x-1.9.tar.gz x-1.10.tar.gz x-2.0-rc1.tar.gz x-1.2.tar.gz`)
	}))
	defer releases.Close()
	src := packageRecipe("src")
	latest := func(path string) recipes.Source {
		return recipes.Source{URL: "https://x.example/x-1.9.tar.gz", Latest: &recipes.Latest{URL: releases.URL + path, Matches: `x-([0-9][^ ]*)\.tar\.gz`}}
	}
	src.Source = map[string]recipes.Source{
		"hello": {DSC: "debian:pool/main/h/hello/hello_1.0-1.dsc"}, "list": latest("/list"), "none": latest("/none"),
		"bare": {URL: "https://x.example/y.tar.gz"}, "own": {Dir: "src"},
	}
	a.count("")
	report, err = b.Outdated(t.Context(), append(all, Request{Recipe: src, LockPath: all[0].LockPath}))
	if err != nil {
		t.Fatal(err)
	}
	checkReport(t, report)
	if n := a.count("/InRelease"); n != 3 {
		t.Errorf("the 3 suites were opened %d times", n)
	}
	a.server.Close()
	if report, err = b.Outdated(t.Context(), all); err != nil || !report.Blind() || len(report.Errors) != 3 {
		t.Errorf("without an archive: %+v, %v", report, err)
	}
}

func checkReport(t *testing.T, r *outdated.Report) {
	t.Helper()
	if len(r.Packages) != 2 || len(r.Sources) != 2 || len(r.Errors) != 1 || len(r.Unchecked) != 1 || r.Blind() {
		t.Fatalf("%+v", r)
	}
	libc, foo := r.Packages[0], r.Packages[1]
	if libc.Name != "libc6" || !libc.Security || libc.Suite != "trixie-security" || libc.Available != "1+deb13u1" ||
		!slices.Equal(libc.Recipes, []string{"db", "plain", "web"}) || !slices.Equal(libc.Uses, []string{"image"}) || !slices.Equal(libc.Arches, []string{"riscv64"}) {
		t.Errorf("libc6: %+v", libc)
	}
	if foo.Name != "libfoo" || foo.Security || foo.Suite != "trixie-updates" || foo.Locked != "1" || foo.Available != "2" || !slices.Equal(foo.Recipes, []string{"web"}) {
		t.Errorf("libfoo: %+v", foo)
	}
	hello, list := r.Sources[0], r.Sources[1]
	if hello.Subject.Source != "hello" || !hello.Security || hello.Locked != "1.0-1" || hello.Available != "1.0-1+deb13u1" ||
		hello.Change != "dsc    = \"debian:pool/main/h/hello/hello_1.0-1+deb13u1.dsc\"\nsha256 = \""+strings.Repeat("ab", 32)+"\"\n" {
		t.Errorf("hello: %+v", hello)
	}
	if list.Locked != "1.9" || list.Available != "1.10" || list.Security {
		t.Errorf("list: %+v", list)
	}
	if e := r.Errors[0]; e.Source != "none" || !strings.Contains(e.Error, "404") {
		t.Errorf("the page that is not there: %+v", e)
	}
	if r.Unchecked[0].Source != "bare" || !slices.Equal(r.Unlocked, []string{"src"}) {
		t.Errorf("unchecked %v, unlocked %v", r.Unchecked, r.Unlocked)
	}
}

func sourceStanza(name, version string) string {
	_, file, _ := strings.Cut(version, ":")
	return fmt.Sprintf("Package: %s\nVersion: %s\nDirectory: pool/main/h/%s\nChecksums-Sha256:\n %s 100 %s_%s.dsc\n", name, version, name, strings.Repeat("ab", 32), name, file)
}

// A recipe that is interrupted is no recipe that is current.
func TestOutdatedInterrupted(t *testing.T) {
	_, b, all := three(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if report, err := b.Outdated(ctx, all); err == nil && len(report.Errors) == 0 {
		t.Error("an interrupted question has an answer")
	}
}
