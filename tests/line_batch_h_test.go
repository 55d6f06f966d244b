package tests

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// sizeLimits are the compressed sizes, in bytes, that images keep within: what
// was set for K3s's, and 1.15 times the official image on riscv64 (2026-08 and -09).
var sizeLimits = map[string]float64{
	"pause":          400e3,
	"metrics-server": 25e6,
	"coredns":        22e6,
	"busybox":        1.15 * 1_957_557,
	"distribution":   1.15 * 19_141_378,
	"nginx":          1.15 * 61_132_999,
	"redis":          1.15 * 42_354_744,
}

// TestLineBatchH: images are small, and a second build, from downloads alone and
// in another order, gives them byte for byte.
func TestLineBatchH(t *testing.T) {
	s, f := batched(t)
	for _, e := range f.report.Recipes {
		if limit, ok := sizeLimits[e.Name]; ok {
			figure(t, "batch H", fmt.Sprintf("%s: %.2f MB", e.Name, mb(e.Size)), fmt.Sprintf("%.2f MB", limit/1e6), float64(e.Size) <= limit, false)
		}
	}
	if !full {
		return // line E has built some twice
	}
	again := emptyState(t, "again")
	if err := os.MkdirAll(again.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-al", filepath.Join(s.dir, "content"), again.dir).CombinedOutput(); err != nil {
		t.Fatalf("copying the downloads: %v: %s", err, out)
	}
	names := catalogued()
	slices.Reverse(names)
	rep, _ := again.build(names...)
	before, after := digestsOf(f.report), rep.digests()
	figure(t, "batch H", fmt.Sprintf("%d of %d images of a second build are the same", same(before, after), len(before)), "all", maps.Equal(before, after), false)
}

// same counts the names that have the same digest in both.
func same(a, b map[string]string) int {
	n := 0
	for name, digest := range a {
		if b[name] == digest {
			n++
		}
	}
	return n
}
