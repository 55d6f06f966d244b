// Package board drives the program on simulated riscv64 boards, natively, with
// the containerd that runs there. The acceptance lines are tests of their own
// (line_*_test.go), full or reduced as in package tests.
package board

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/tests/board/boardrig"
	"github.com/riscv-build/riscv-build/tests/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// TestBoard: what the lines stand on. A command's streams and exit code come
// back, files arrive with their modes, and what was synced outlives a power cut.
func TestBoard(t *testing.T) {
	b := boardrig.Start(t, boardrig.Options{Persist: true})
	r := b.Exec("echo out; echo err >&2; exit 7")
	if r.Code != 7 || r.Stdout != "out\n" || r.Stderr != "err\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", r.Code, r.Stdout, r.Stderr)
	}
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"a b'c": 0o644, "sub/program": 0o755} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("text"), mode); err != nil {
			t.Fatal(err)
		}
	}
	b.Copy(dir, "/root/dir")
	b.Copy(filepath.Join(dir, "a b'c"), "/root/new/")
	got := b.Must("stat -c %A /root/dir/sub/program; cat /root/dir/*c /root/new/*").Stdout
	if got != "-rwxr-xr-x\ntexttext" {
		t.Errorf("copied files: %q", got)
	}
	if got := b.Must("uname -m; riscv-build version").Stdout; !strings.HasPrefix(got, "riscv64\n") || !strings.Contains(got, "linux/riscv64") {
		t.Errorf("the board is %q", got)
	}
	b.Must("echo kept >/root/file && sync")
	b.Cut()
	if r := b.Exec("true"); r.Code != 255 {
		t.Errorf("a board without power answers: exit code %d", r.Code)
	}
	b.Boot()
	if got := b.Must("cat /root/file").Stdout; got != "kept\n" {
		t.Errorf("after the cut: %q", got)
	}
	b.Stop()
}
