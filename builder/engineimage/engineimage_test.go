package engineimage

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// TestLock: the lock that is built in has what the image is made of.
func TestLock(t *testing.T) {
	l, err := lock.Parse(LockName, Lock())
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range Arches {
		s, ok := l.Set(Set(arch))
		if !ok || !slices.Equal(s.Request, Packages(arch)) {
			t.Fatalf("%s: the lock has %v, want %v: renew it with `riscv-build engine image -o FILE.tar --lock builder/engineimage/riscv-build.lock --update`", arch, s.Request, Packages(arch))
		}
		var found []string
		for _, id := range s.Packages {
			p, ok := l.Package(id)
			if !ok || p.Arch != arch && p.Arch != "all" {
				t.Errorf("%s: package %q: %+v", arch, id, p)
			}
			if slices.Contains(Packages(arch), p.Name) {
				found = append(found, p.Name)
			}
		}
		slices.Sort(found)
		if !slices.Equal(found, Packages(arch)) {
			t.Errorf("%s: found %v, want %v", arch, found, Packages(arch))
		}
	}
	if slices.Contains(Packages("riscv64"), EmulatorPackage) || !slices.Contains(Packages("arm64"), EmulatorPackage) {
		t.Error("QEMU is for machines that need it")
	}
}

// TestIdentity: it changes with everything that decides the image, and with
// nothing else.
func TestIdentity(t *testing.T) {
	base := func() Content {
		return Content{
			Packages: []lock.Package{{ID: "a", SHA256: "1"}, {ID: "b", SHA256: "2"}}, Version: "1",
			Program: Program{Arch: "amd64", Path: "/somewhere", Digest: digest.FromString("x")},
		}
	}
	same := base()
	same.Program.Path = "/elsewhere"
	if same.Identity() != base().Identity() {
		t.Error("the place of the program counts")
	}
	for name, change := range map[string]func(*Content){
		"version": func(c *Content) { c.Version = "2" },
		"program": func(c *Content) { c.Program.Digest = digest.FromString("y") },
		"arch":    func(c *Content) { c.Program.Arch = "arm64" },
		"package": func(c *Content) { c.Packages[1].SHA256 = "3" },
		"fewer":   func(c *Content) { c.Packages = c.Packages[:1] },
	} {
		other := base()
		change(&other)
		if other.Identity() == base().Identity() {
			t.Errorf("%s does not count", name)
		}
	}
	if got := Config(base().Identity(), "1").Labels[Label]; got != base().Identity().String() {
		t.Errorf("label %q", got)
	}
}

func TestName(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3":                   ":v1.2.3",
		"v1.2-3-gabc1234-dirty":    ":v1.2-3-gabc1234-dirty",
		"v0.0.0-2026+dirty":        ":v0.0.0-2026-dirty",
		"":                         ":latest",
		"..":                       ":latest",
		strings.Repeat("long", 50): ":" + strings.Repeat("long", 32),
	} {
		if got := Name(version); got != Repository+want {
			t.Errorf("%q: got %q, want %q", version, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	self := filepath.Join(dir, "riscv-build")
	test, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	other := map[string]string{"amd64": "arm64", "arm64": "riscv64", "riscv64": "amd64"}[runtime.GOARCH]
	for name, text := range map[string][]byte{"script": []byte("#!/bin/sh\n"), ReleaseName(other): test, "empty": nil, "test": test} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, err = find("riscv64", filepath.Join(t.TempDir(), "riscv-build"), "darwin/arm64")
	var missing *ProgramError
	if !errors.As(err, &missing) || missing.ExitCode() != 3 || !strings.Contains(err.Error(), "make release") || !strings.Contains(err.Error(), "--binary riscv64=FILE") {
		t.Errorf("got %v", err)
	}
	for name, c := range map[string]struct {
		find func() (Program, error)
		want string
	}{
		"the running one is not there": {func() (Program, error) { return find("amd64", self, "linux/amd64") }, "no such file"},
		"of another machine":           {func() (Program, error) { return find(other, self, "linux/"+runtime.GOARCH) }, "it is for "},
		"a script":                     {func() (Program, error) { return Open("amd64", filepath.Join(dir, "script")) }, "no program for Linux"},
		"empty":                        {func() (Program, error) { return Open("amd64", filepath.Join(dir, "empty")) }, "no program for Linux"},
		"another program":              {func() (Program, error) { return Open(runtime.GOARCH, filepath.Join(dir, "test")) }, "which is to be riscv-build for linux"},
		"a directory":                  {func() (Program, error) { return Open("amd64", dir) }, "directory"},
	} {
		if _, err := c.find(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
