package host

import (
	"bytes"
	"context"
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTinyProgramIsRiscv64(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(TinyProgram()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != elf.EM_RISCV || f.Class != elf.ELFCLASS64 || f.Type != elf.ET_EXEC || len(f.Progs) != 1 {
		t.Errorf("got %+v", f.FileHeader)
	}
	if p := f.Progs[0]; f.Entry < p.Vaddr || f.Entry+16 != p.Vaddr+p.Filesz {
		t.Errorf("entry %#x is not the last 16 bytes of %+v", f.Entry, p.ProgHeader)
	}
	if (handler{magic: elfMagic, mask: elfMask}).matches(TinyProgram()) == false {
		t.Error("the registered magic does not match a riscv64 program")
	}
}

// tree makes a machine whose files are those given: /proc/..., /sys/..., and
// others below its root.
func tree(t *testing.T, files map[string]string) machine {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return machine{
		goos: "linux", goarch: "riscv64", release: "6.12", root: dir,
		proc: filepath.Join(dir, "proc"), sys: filepath.Join(dir, "sys"), binfmt: filepath.Join(dir, "binfmt"),
		path: []string{filepath.Join(dir, "bin")}, getenv: func(string) string { return "" },
	}
}

// complete fails for a finding that does not say what the house wants of one.
func complete(t *testing.T, f Finding) {
	t.Helper()
	if f.What == "" || f.Severity == "" || (!f.OK && (f.Why == "" || f.Fix == "")) {
		t.Errorf("incomplete: %+v", f)
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
	if err := os.WriteFile(want, TinyProgram(), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := m.interpreter(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMemory(t *testing.T) {
	m := tree(t, nil)
	if m.memory().OK {
		t.Error("nothing to read, but found OK")
	}
	for _, c := range []struct {
		meminfo string
		ok      bool
		what    string
	}{
		{"MemTotal: 4000000 kB\nMemAvailable:    3000000 kB\nSwapFree: 0 kB\n", true, "2.9 GiB"},
		{"MemAvailable: 512000 kB\nSwapFree: 12000 kB\n", false, "511 MiB"},
		{"MemAvailable: lots\n", false, "MemAvailable"},
	} {
		f := tree(t, map[string]string{"/proc/meminfo": c.meminfo}).memory()
		if f.OK != c.ok || f.Severity == Info || !strings.Contains(f.What, c.what) {
			t.Errorf("%q: got %+v", c.meminfo, f)
		}
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
		if len(f.Name) > 18 {
			t.Errorf("%q is wider than its column", f.Name)
		}
		complete(t, f)
		t.Logf("%+v", f)
	}
	if !seen["disk space"] || !seen["clock"] || !seen["operating system"] {
		t.Errorf("checks are missing: %v", seen)
	}
}
