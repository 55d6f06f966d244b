package service

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// catalogue is the lock of the catalogue, from which the locks of the recipes
// here are cut: nothing is resolved, and no index is downloaded.
var catalogue = sync.OnceValues(func() (*lock.File, error) { return lock.Parse(lock.Name, recipes.CatalogLock()) })

// head begins every recipe.
func head(name string) string {
	return fmt.Sprintf("schema = 1\nname = %q\nversion = \"1\"\nlicense = \"MIT\"\n", name)
}

// plain is a recipe of one file: nothing is downloaded and nothing is run for it.
func plain(name, content string) string {
	return head(name) + fmt.Sprintf("[image]\nbase = \"scratch\"\n[[image.file]]\npath = \"/text\"\ncontent = %q\n", content)
}

// tool is an image with a busybox, in which the tests are run as shell scripts.
// Each is (name, script, what it prints).
func tool(name string, tests ...[3]string) string {
	var b strings.Builder
	b.WriteString(head(name))
	b.WriteString("[image]\nbase = \"scratch\"\npackages = [\"busybox-static\"]\nentrypoint = [\"/usr/bin/busybox\"]\n")
	b.WriteString("[[image.dir]]\npath = \"/tmp\"\nmode = 0o1777\n")
	for _, t := range tests {
		fmt.Fprintf(&b, "[[test]]\nname = %q\nrun = [\"sh\", \"-c\", %q]\nstdout = { equals = %q }\ntimeout = \"120s\"\n", t[0], t[1], t[2])
	}
	return b.String()
}

// packaged is a recipe of a package and a file, with a test that runs.
func packaged(name, content string) string {
	return tool(name, [3]string{"has its text", "cat /text", content}) + fmt.Sprintf("[[image.file]]\npath = \"/text\"\ncontent = %q\n", content)
}

// script is a recipe whose build is a shell script that has to leave $DESTDIR/result.
func script(name, text string) string {
	return head(name) + fmt.Sprintf("[build]\ntemplate = \"script\"\nartifacts = [\"/result\"]\n[build.steps]\ninstall = %q\n[image]\nbase = \"scratch\"\n", text)
}

// uploaded makes a submission of recipes, with the lock that they need.
func uploaded(t testing.TB, texts ...string) service.Submission {
	t.Helper()
	u := &service.Upload{}
	var all []*recipes.Recipe
	for _, text := range texts {
		r, err := recipes.Parse("recipe.toml", []byte(text), nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		all = append(all, r)
		file := r.Name + ".toml"
		u.Recipes = append(u.Recipes, file)
		u.Files = append(u.Files, service.File{Path: file, Content: []byte(text)})
	}
	u.Files = append(u.Files, service.File{Path: lock.Name, Content: lockOf(t, all)})
	return service.Submission{Upload: u}
}

// lockOf is the lock of recipes, as `riscv-build lock` would have made it.
func lockOf(t testing.TB, all []*recipes.Recipe) []byte {
	t.Helper()
	whole, err := catalogue()
	if err != nil {
		t.Fatal(err)
	}
	l, keep := whole.Clone(), []string{"probe/amd64", "probe/arm64", "probe/riscv64"}
	probe, _ := whole.Set("probe/riscv64")
	var names []string
	for _, r := range all {
		names = append(names, r.Name)
		rename := func(from, to string) {
			set, ok := whole.Set(from)
			if !ok {
				t.Fatalf("the lock of the catalogue has no set %q", from)
			}
			set.Name = to
			l.PutSet(set, packagesOf(whole, set.Packages))
			keep = append(keep, to)
		}
		if r.Build.Template != "" {
			keep = append(keep, "sysroot", "toolchain/riscv64", "toolchain/cross/amd64", "toolchain/cross/arm64")
			rename("sysroot/pause", "sysroot/"+r.Name)
			rename("native/pause", "native/"+r.Name)
			rename("tools/pause/amd64", path.Join("tools", r.Name, "amd64"))
			rename("tools/pause/arm64", path.Join("tools", r.Name, "arm64"))
		}
		image := lock.Set{Name: "image/" + r.Name, Request: r.Image.Packages, Suites: r.Debian.Suites, Date: probe.Date}
		var packages []lock.Package
		if slices.Contains(r.Image.Packages, "busybox-static") {
			packages = packagesOf(whole, probe.Packages)
		}
		l.PutSet(image, packages)
		keep = append(keep, image.Name)
		l.PutRecipe(lock.Recipe{Name: r.Name, Inputs: r.LockInputs()})
	}
	l.Keep(names, keep)
	return l.Marshal()
}

func packagesOf(l *lock.File, ids []string) []lock.Package {
	var all []lock.Package
	for _, id := range ids {
		if p, ok := l.Package(id); ok {
			all = append(all, p)
		}
	}
	return all
}

// TestRecipesAreGood: what the lines stand on. The locks are good, and small
// enough to be sent five hundred times.
func TestRecipesAreGood(t *testing.T) {
	for name, text := range map[string]string{
		"plain":  plain("plain", "text"),
		"tool":   tool("tool", [3]string{"says hello", "echo hello", "hello\n"}),
		"script": script("script", "echo text >$DESTDIR/result"),
	} {
		s := uploaded(t, text)
		raw := s.Upload.Files[len(s.Upload.Files)-1].Content
		l, err := lock.Parse(lock.Name, raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r, err := recipes.Parse("recipe.toml", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		if why, stale := l.Stale(r); stale {
			t.Errorf("%s: %s", name, why)
		}
		t.Logf("the lock of %s has %d bytes", name, len(raw))
		if name != "script" && len(raw) > 8<<10 {
			t.Errorf("the lock of %s has %d bytes", name, len(raw))
		}
	}
}
