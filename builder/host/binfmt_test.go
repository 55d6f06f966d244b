package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	goodEntry = "enabled\ninterpreter /usr/bin/qemu-riscv64-static\nflags: POCF\noffset 0\n" +
		"magic 7f454c460201010000000000000000000200f300\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
	armEntry = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\n" +
		"magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
	extensionEntry = "enabled\ninterpreter /usr/bin/jar\nflags: \nextension .jar\n"
)

// binfmtDir makes a directory that looks like a mounted binfmt_misc.
func binfmtDir(t *testing.T, entries map[string]string) machine {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{"register": "", "status": "enabled\n"}
	for name, text := range entries {
		all[name] = text
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return machine{goos: "linux", goarch: "amd64", binfmt: dir}
}

func TestRiscvHandler(t *testing.T) {
	without := func(old, now string) string { return strings.Replace(goodEntry, old, now, 1) }
	for _, c := range []struct {
		name    string
		entries map[string]string
		ok      bool
		what    string
	}{
		{"usual", map[string]string{"qemu-riscv64": goodEntry}, true, "qemu-riscv64 runs /usr/bin/qemu-riscv64-static (flags POCF)"},
		{"other name", map[string]string{"riscv": goodEntry, "qemu-aarch64": armEntry}, true, "riscv runs"},
		{"none", map[string]string{"qemu-aarch64": armEntry, "jar": extensionEntry}, false, "no binfmt_misc handler"},
		{"without F", map[string]string{"qemu-riscv64": without("POCF", "OC")}, false, `flags "OC" without F`},
		{"switched off", map[string]string{"qemu-riscv64": without("enabled", "disabled")}, false, "is switched off"},
		{"one of two", map[string]string{"a": without("POCF", ""), "b": goodEntry}, true, "b runs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := binfmtDir(t, c.entries).riscvHandler(context.Background())
			if f.OK != c.ok || !strings.Contains(f.What, c.what) {
				t.Errorf("got %+v, want ok=%v and %q", f, c.ok, c.what)
			}
			if !f.OK && (f.Fix == "" || f.Why == "" || !Failed([]Finding{f})) {
				t.Errorf("a failed finding must say why, how to fix it, and fail a build: %+v", f)
			}
		})
	}
}

func TestBinfmtMounted(t *testing.T) {
	m := binfmtDir(t, nil)
	if f := m.binfmtMounted(); !f.OK {
		t.Errorf("mounted: %+v", f)
	}
	if err := os.WriteFile(filepath.Join(m.binfmt, "status"), []byte("disabled\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := m.binfmtMounted(); f.OK || !strings.Contains(f.What, "switched off") {
		t.Errorf("disabled: %+v", f)
	}
	m.binfmt = filepath.Join(m.binfmt, "absent")
	if f := m.binfmtMounted(); f.OK || !strings.Contains(f.What, "not mounted") {
		t.Errorf("absent: %+v", f)
	}
}

// The rule must be what the kernel reads back as the usual entry.
func TestRule(t *testing.T) {
	fields := strings.Split(rule("/usr/bin/qemu-riscv64-static", "OCF"), ":")
	if len(fields) != 8 {
		t.Fatalf("a rule has 7 fields after the first colon, got %d: %q", len(fields)-1, fields)
	}
	h := parseHandler("x", []byte(goodEntry))
	if fields[1] != handlerName || fields[2] != "M" || fields[3] != "" ||
		fields[4] != escape(h.magic) || fields[5] != escape(h.mask) ||
		fields[6] != "/usr/bin/qemu-riscv64-static" || fields[7] != "OCF" {
		t.Errorf("got %q", fields)
	}
}

func TestFixLeavesAGoodHandlerAlone(t *testing.T) {
	m := binfmtDir(t, map[string]string{"qemu-riscv64": goodEntry})
	if err := m.fix(context.Background(), func(s string) { t.Errorf("did %q", s) }); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(m.binfmt, "register")); len(text) != 0 {
		t.Errorf("registered %q", text)
	}
}

func TestFixRefusals(t *testing.T) {
	bare := binfmtDir(t, nil)
	user := bare
	user.euid = 1000
	for name, c := range map[string]struct {
		m    machine
		want string
	}{
		"no QEMU": {bare, "apt-get install"},
		"user":    {user, "sudo"},
	} {
		err := c.m.fix(context.Background(), func(string) {})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
