package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestRelease: two clones give the same bytes, with checksums of them, whatever
// the environment says.
func TestRelease(t *testing.T) {
	t.Parallel()
	args := []string{"PLATFORMS=darwin/arm64"}
	if rig.Full {
		args = nil
	}
	var sums []string
	for _, clone := range []string{"one", "another/place"} {
		dir := filepath.Join(rig.Work, "release", clone)
		if _, err := rig.Sh("git", "clone", "--quiet", rig.Root(), dir); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("make", append([]string{"-C", dir, "release"}, args...)...)
		cmd.Env = append(os.Environ(), "GOFLAGS=-ldflags=-X=main.version=other", "GOAMD64=v3", "GOARM64=v9.0", "GORISCV64=rva22u64")
		if rig.Full { // what one of them compiled is not for the other
			cmd.Env = append(cmd.Env, "GOCACHE="+filepath.Join(dir, ".cache", "go-build"))
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make release: %v\n%s", err, rig.Tail(string(out), 20))
		}
		text, err := os.ReadFile(filepath.Join(dir, "bin/release/SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		check := exec.Command("sha256sum", "--check", "SHA256SUMS")
		check.Dir = filepath.Join(dir, "bin/release")
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("the checksums: %v\n%s", err, out)
		}
		sums = append(sums, string(text))
	}
	if sums[0] != sums[1] || !strings.Contains(sums[0], "riscv-build-darwin-arm64") {
		t.Errorf("one clone gave\n%sanother\n%s", sums[0], sums[1])
	}
	if n := strings.Count(sums[0], "\n"); rig.Full && n != 5 {
		t.Errorf("%d programs, want 5:\n%s", n, sums[0])
	}
}
