package host

import (
	"bytes"
	"context"
	"debug/elf"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTinyProgramIsRiscv64(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(tinyProgram()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != elf.EM_RISCV || f.Class != elf.ELFCLASS64 || f.Type != elf.ET_EXEC || len(f.Progs) != 1 {
		t.Errorf("got %+v", f.FileHeader)
	}
	if p := f.Progs[0]; f.Entry < p.Vaddr || f.Entry+16 != p.Vaddr+p.Filesz {
		t.Errorf("entry %#x is not the last 16 bytes of %+v", f.Entry, p.ProgHeader)
	}
	if (handler{magic: elfMagic, mask: elfMask}).matches(tinyProgram()) == false {
		t.Error("the registered magic does not match a riscv64 program")
	}
}

// program writes an executable shell script.
func program(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestRunc(t *testing.T) {
	for name, c := range map[string]struct {
		script   string
		ok       bool
		severity Severity
		what     string
	}{
		"good":   {"echo runc version 1.1.5+ds1", true, Error, "version 1.1.5"},
		"newer":  {"echo runc version 1.10.0", true, Error, "version 1.10.0"},
		"old":    {"echo runc version 1.0.2", false, Warning, "older than"},
		"broken": {"exit 1", false, Error, "does not tell"},
		"absent": {"", false, Error, "not installed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.script != "" {
				program(t, dir, "runc", c.script)
			}
			f := machine{path: []string{dir}}.runc(context.Background())
			if f.OK != c.ok || f.Severity != c.severity || !strings.Contains(f.What, c.what) {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestStaticInterpreterIsPreferred(t *testing.T) {
	dir := t.TempDir()
	m := machine{path: []string{dir}}
	program(t, dir, "qemu-riscv64-static", "") // not even ELF
	if got := m.interpreter(); got != "" {
		t.Errorf("a script was taken for QEMU: %q", got)
	}
	want := filepath.Join(dir, "qemu-riscv64")
	if err := os.WriteFile(want, tinyProgram(), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := m.interpreter(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCgroupsAndMemory(t *testing.T) {
	proc := t.TempDir()
	m := machine{goos: "linux", proc: proc}
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(proc, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if m.cgroups().OK || m.memory().OK {
		t.Error("nothing to read, but found OK")
	}
	put("mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
	put("meminfo", "MemTotal: 4000000 kB\nMemAvailable:    3000000 kB\nSwapFree: 0 kB\n")
	if f := m.cgroups(); !f.OK || f.What != "version 2" {
		t.Errorf("got %+v", f)
	}
	if f := m.memory(); !f.OK || !strings.HasPrefix(f.What, "2.9 GiB") {
		t.Errorf("got %+v", f)
	}
	put("mounts", "tmpfs / tmpfs rw 0 0\n")
	put("meminfo", "MemAvailable: 512000 kB\nSwapFree: 12000 kB\n")
	if f := m.cgroups(); f.OK || f.Severity != Error {
		t.Errorf("got %+v", f)
	}
	if f := m.memory(); f.OK || f.Severity != Warning {
		t.Errorf("got %+v", f)
	}
	put("meminfo", "MemAvailable: lots\n")
	if f := m.memory(); f.OK || !strings.Contains(f.What, "MemAvailable") {
		t.Errorf("got %+v", f)
	}
}

func TestClock(t *testing.T) {
	built := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	if f := (machine{}).clock(built, built.Add(time.Hour)); !f.OK {
		t.Errorf("got %+v", f)
	}
	f := machine{}.clock(built, time.Unix(60, 0))
	if f.OK || f.Severity != Error || !strings.Contains(f.What, "1970-01-01 00:01 UTC") {
		t.Errorf("got %+v", f)
	}
}

func TestMirrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead || r.URL.Path != "/debian/dists/stable/InRelease" {
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	ask := func(urls ...string) []Finding {
		return mirrors(context.Background(), Options{Mirrors: urls})
	}
	if f := ask(); len(f) != 0 {
		t.Errorf("without mirrors: %+v", f)
	}
	if f := ask(server.URL+"/debian/", "http://127.0.0.1:1"); !f[0].OK {
		t.Errorf("got %+v", f)
	}
	f := ask(server.URL + "/elsewhere")
	if f[0].OK || f[0].Severity != Warning || !strings.Contains(f[0].What, "404") {
		t.Errorf("got %+v", f)
	}
}

func TestSpaceIsMeasuredAtTheNearestParent(t *testing.T) {
	dir := t.TempDir()
	if got := existing(filepath.Join(dir, "not", "yet")); got != dir {
		t.Errorf("got %q, want %q", got, dir)
	}
	f := machine{goos: "darwin"}.space(filepath.Join(dir, "not", "yet"))
	if len(f) == 0 || f[0].Name != "disk space" || !strings.Contains(f[0].What, dir) {
		t.Errorf("got %+v", f)
	}
}

// Whatever this machine is, every finding is complete.
func TestCheckThisMachine(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Check(context.Background(), Options{StateDir: t.TempDir()}) {
		if seen[f.Name] {
			t.Errorf("%q is reported twice", f.Name)
		}
		seen[f.Name] = true
		if f.What == "" || f.Severity == "" || (!f.OK && (f.Why == "" || f.Fix == "")) {
			t.Errorf("incomplete: %+v", f)
		}
		t.Logf("%+v", f)
	}
	if !seen["disk space"] || !seen["clock"] || !seen["operating system"] {
		t.Errorf("checks are missing: %v", seen)
	}
}
