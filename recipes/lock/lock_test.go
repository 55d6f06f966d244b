package lock

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/recipes"
)

var update = flag.Bool("update", false, "write the expected output of golden files")

const separator = "----------\n"

// TestBad parses every lock of testdata/bad and compares the error.
func TestBad(t *testing.T) {
	paths, err := filepath.Glob("testdata/bad/*.txt")
	if err != nil || len(paths) < 15 {
		t.Fatalf("found %d golden files, want at least 15 (%v)", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			// The line end before the separator is not the lock's, so that a lock can end without one.
			input, want, _ := strings.Cut(string(text), "\n"+separator)
			_, err = Parse(Name, []byte(input))
			if err == nil {
				t.Fatal("the lock was accepted")
			}
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(path, []byte(input+"\n"+separator+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			if !strings.HasPrefix(got, Name+":") || strings.Count(got, ": ") < 2 {
				t.Errorf("%q is not \"file:line: what: do\"", got)
			}
		})
	}
}

func pkg(name string, depends ...string) Package {
	for i := range depends {
		depends[i] += "_1:1.0-1_riscv64"
	}
	return Package{ID: name + "_1:1.0-1_riscv64", Name: name, Version: "1:1.0-1", Arch: "riscv64", Archive: "debian",
		Path: "pool/main/x/" + name + ".deb", Size: 7, SHA256: strings.Repeat("ab", 32), Depends: depends}
}

func sample() *File {
	f := New()
	f.PutRelease(Release{Suite: "trixie-security", Path: "dists/stable-security", Archive: "debian-security", Date: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Expired: true})
	f.PutRelease(Release{Suite: "trixie", Path: "dists/trixie", Archive: "debian", Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))})
	f.PutSet(Set{Name: "image/hello", Request: []string{"b", "a"}, Suites: []string{"trixie", "trixie-security"}},
		[]Package{pkg("c"), pkg("a", "c", "b"), pkg("b", "a"), pkg("d")})
	f.PutRecipe(Recipe{Name: "hello", Inputs: "sha256:00", Sources: []Source{{
		Name: "hello", Date: time.Unix(1700000000, 0).UTC(), Files: []Blob{
			{URL: "debian:pool/main/h/hello/hello_1.dsc", Size: 5, SHA256: strings.Repeat("cd", 32)},
			{URL: "https://mirror.example/a \"b\"\\\t.tar.gz", Mirrors: []string{"http://mirror.example/x"}, Size: 0, SHA256: strings.Repeat("ef", 32)},
		}}}})
	return f
}

func TestRoundTrip(t *testing.T) {
	f := sample()
	data := f.Marshal()
	back, err := Parse(Name, data)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if !bytes.Equal(back.Marshal(), data) {
		t.Errorf("a lock changes when it is read and written:\n%s\n%s", data, back.Marshal())
	}
	f.Releases[0].Date, f.Releases[1].Date = f.Releases[0].Date.UTC(), f.Releases[1].Date.Truncate(time.Second)
	for i := range back.Packages {
		if len(back.Packages[i].Depends) == 0 {
			back.Packages[i].Depends = nil
		}
	}
	if !reflect.DeepEqual(back, f) {
		t.Errorf("read back:\n%+v\nwant:\n%+v", back, f)
	}
	if !bytes.HasPrefix(data, []byte(header)) || !bytes.HasSuffix(data, []byte("\n")) {
		t.Errorf("header or line end is missing:\n%s", data)
	}
	if n := bytes.Count(data, []byte("{ id = ")); n != 4 || bytes.Count(data, []byte("\n")) > 40 {
		t.Errorf("the lock is not compact:\n%s", data)
	}
}

func TestSave(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	path := filepath.Join(dir, Name)
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing lock gives %v", err)
	}
	if err := sample().Save(path); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil || before.Mode().Perm() != 0o644 {
		t.Fatalf("the lock has mode %v (%v)", before.Mode(), err)
	}
	f, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Save(path); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("an unchanged lock was written again")
	}
	link := filepath.Join(dir, "link.lock")
	if err := os.Symlink(Name, link); err != nil {
		t.Fatal(err)
	}
	f.PutRecipe(Recipe{Name: "other", Inputs: "sha256:11"})
	if err := f.Save(link); err != nil {
		t.Fatal(err)
	}
	if again, err := Load(path); err != nil || len(again.Recipes) != 2 {
		t.Errorf("writing through a link gave %v, %v", again, err)
	}
	f.Packages[0].SHA256 = "x"
	if err := f.Save(path); err == nil || !strings.Contains(err.Error(), "report this") {
		t.Errorf("a broken lock is saved with %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("something was left behind: %v", entries)
	}
}

func TestClosure(t *testing.T) {
	f := sample()
	// In another set the dependency of "a" is "e"; the first set must not get it.
	f.PutSet(Set{Name: "other"}, []Package{pkg("a", "e"), pkg("e")})
	for _, c := range []struct {
		set   string
		roots []string
		want  string
	}{
		{"image/hello", []string{"a"}, "a b c"},
		{"image/hello", []string{"d", "c"}, "c d"},
		{"image/hello", nil, ""},
		{"other", []string{"a"}, "a e"},
		{"image/hello", []string{"e"}, `looking up package "e" in set "image/hello": `},
		{"none", []string{"a"}, `looking up package set "none": `},
	} {
		got := ""
		closure, err := f.Closure(c.set, c.roots)
		if err != nil {
			got = err.Error()
		}
		for _, p := range closure {
			got = strings.TrimSpace(got + " " + p.Name)
		}
		if err == nil && got != c.want || err != nil && !strings.HasPrefix(got, c.want) {
			t.Errorf("closure of %v in %q is %q, want %q", c.roots, c.set, got, c.want)
		}
	}
}

func TestPutAndPrune(t *testing.T) {
	f := sample()
	f.PutSet(Set{Name: "image/hello", Request: []string{"a"}}, []Package{pkg("a")})
	if s, ok := f.Set("image/hello"); !ok || len(s.Packages) != 1 {
		t.Errorf("the set is %v", s)
	}
	if len(f.Packages) != 4 {
		t.Errorf("there are %d packages before pruning", len(f.Packages))
	}
	f.Prune()
	if p, ok := f.Package("a_1:1.0-1_riscv64"); !ok || len(f.Packages) != 1 || len(p.Depends) != 0 {
		t.Errorf("the packages are %v", f.Packages)
	}
	if _, err := Parse(Name, f.Marshal()); err != nil {
		t.Error(err)
	}
	f.PutRelease(Release{Suite: "trixie", Archive: "debian", Path: "dists/stable"})
	if len(f.Releases) != 2 || f.Releases[0].Path != "dists/stable" {
		t.Errorf("the releases are %v", f.Releases)
	}
}

func TestStale(t *testing.T) {
	parse := func(text string) *recipes.Recipe {
		r, err := recipes.Parse("hello.toml", []byte("schema = 1\nname = \"hello\"\nversion = \"1\"\n"+text), nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r, f := parse(""), New()
	if why, stale := f.Stale(r); !stale || !strings.Contains(why, `no recipe "hello"`) {
		t.Errorf("an empty lock is stale: %v (%s)", stale, why)
	}
	f.PutRecipe(Recipe{Name: "hello", Inputs: r.LockInputs()})
	if why, stale := f.Stale(r); stale || why != "" {
		t.Errorf("a fresh lock is stale: %s", why)
	}
	if why, stale := f.Stale(parse("image.packages = [\"tzdata\"]\n")); !stale || !strings.Contains(why, "changed") {
		t.Errorf("a lock without a package is stale: %v (%s)", stale, why)
	}
}

// large makes a lock as big as that of a catalogue.
func large() []byte {
	f := New()
	for s := range 12 {
		var packages []Package
		for i := range 300 {
			packages = append(packages, pkg(fmt.Sprintf("package-%d", (i+s*60)%900), "package-1", "package-2"))
		}
		f.PutSet(Set{Name: fmt.Sprintf("set/%d", s)}, append(packages, pkg("package-1"), pkg("package-2")))
	}
	return f.Marshal()
}

func BenchmarkParse(b *testing.B) {
	data := large()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Parse(Name, data); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample().Marshal())
	paths, _ := filepath.Glob("testdata/bad/*.txt")
	for _, path := range paths {
		if data, err := os.ReadFile(path); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lock, err := Parse(Name, data)
		if err != nil {
			var problems recipes.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Errorf("the error is %v", err)
			}
			return
		}
		text := lock.Marshal()
		again, err := Parse(Name, text)
		if err != nil {
			t.Fatalf("a lock that was read is not written correctly: %v\n%s", err, text)
		}
		if !bytes.Equal(again.Marshal(), text) {
			t.Errorf("a lock changes when it is read and written:\n%s", text)
		}
		for _, s := range lock.Sets {
			if _, err := lock.Closure(s.Name, nil); err != nil {
				t.Error(err)
			}
		}
	})
}
