package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// sizes are the compressed sizes of the official riscv64 images, in bytes;
// where there is none, what ours may have.
var sizes = map[string]int64{"nginx": 61_100_000, "redis": 42_400_000, "busybox": 1_960_000, "pause": 400_000}

// targets are what the images are meant to reach.
var targets = map[string]int64{"nginx": 30_000_000, "redis": 30_000_000, "busybox": 1_960_000, "pause": 300_000}

// TestLineJ: compressed sizes.
func TestLineJ(t *testing.T) {
	rep, _ := warm(t).build(images()...)
	for _, x := range rep.Results {
		var sum int64
		for _, l := range x.Layers {
			sum += l.Size
		}
		figure(t, "J", fmt.Sprintf("%s %.2f MB in %d layers", x.Name, float64(sum)/1e6, len(x.Layers)),
			fmt.Sprintf("%.2f MB, target %.2f MB", float64(sizes[x.Name])/1e6, float64(targets[x.Name])/1e6), sum < sizes[x.Name], false)
		if sum > targets[x.Name] {
			t.Logf("%s misses its target", x.Name)
		}
	}
}

// TestLineK: peak resident memory of the program itself during the redis build.
func TestLineK(t *testing.T) {
	name := "nginx"
	if full {
		name = "redis"
	}
	s := downloaded(t, "memory")
	cmd := exec.Command(rig.Binary, "build", name, "--progress", "quiet", "--state-dir", s.dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var peak int64
	for {
		peak = max(peak, highWater(cmd.Process.Pid))
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			figure(t, "K", fmt.Sprintf("%.0f MB peak resident memory in a %s build from an empty state directory", float64(peak)/1e6, name), "250 MB for redis", peak <= 250e6, false)
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// highWater reads VmHWM of proc(5) status, in bytes. What wait4 reports would
// be the largest of the compilers too.
func highWater(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range strings.Split(string(text), "\n") {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}
