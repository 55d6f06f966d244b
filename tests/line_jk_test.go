package tests

import (
	"fmt"
	"testing"
)

// sizes are the compressed sizes of the official riscv64 images, in bytes.
var sizes = map[string]int64{"nginx": 61_100_000, "redis": 42_400_000, "busybox": 1_960_000}

// targets are what the images are meant to reach.
var targets = map[string]int64{"nginx": 30_000_000, "redis": 30_000_000, "busybox": 1_960_000}

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
	r := downloaded(t, "memory").ok("build", name, "--progress", "plain")
	figure(t, "K", fmt.Sprintf("%.0f MB peak resident memory in a %s build from an empty state directory", float64(r.maxRSS)/1e6, name), "250 MB for redis", r.maxRSS <= 250e6, false)
}
