package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestChanged: what a registry holds of the same inputs is not built, by a run
// that knows nothing but recipe and lock; anything else is.
func TestChanged(t *testing.T) {
	at := registry(t)
	built := emptyState(t, "built")
	first, _ := built.build("pause", "--push", at, "--changed")
	fresh := emptyState(t, "fresh")
	r := fresh.ok("build", "--json", "--changed", "pause", "--push", at)
	var doc struct {
		Results []struct {
			Digest, Outcome string
			Tags            []string
		}
	}
	if err := json.Unmarshal([]byte(r.Stdout), &doc); err != nil || len(doc.Results) != 1 {
		t.Fatalf("%v: %s", err, r.Stdout)
	}
	if got := doc.Results[0]; got.Outcome != "unchanged" || got.Digest != first.digests()["pause"] || len(got.Tags) == 0 {
		t.Errorf("the result is %+v", got)
	}
	for _, dir := range []string{"buildkit", "buildkit-containerd", "cache", "indexes"} {
		if _, err := os.Stat(filepath.Join(fresh.dir, dir)); err == nil {
			t.Errorf("there is a directory %s: something was built", dir)
		}
	}
	if text := fresh.ok("build", "--changed", "pause", "--push", at).Stdout; !strings.Contains(text, "unchanged") {
		t.Errorf("the output is %s", text)
	}
	for name, args := range map[string][]string{
		"another tag": {"--push", at, "--tag", "new"},
		"an index":    {"--push", at, "--tag", "index", "--index"},
	} {
		if rep, _ := built.build(append([]string{"--changed", "pause"}, args...)...); rep.Results[0].Engine == "" {
			t.Errorf("%s: nothing was done", name)
		}
	}
	if r := fresh.run("build", "--changed", "pause"); r.Code != 2 || !strings.Contains(r.Stderr, "--push") {
		t.Errorf("without a registry: exit %d, %s", r.Code, r.Stderr)
	}
	if r := fresh.run("build", "--changed", "pause", "--push", "http://127.0.0.1:1"); r.Code != 4 {
		t.Errorf("with a registry that is not there: exit %d, %s", r.Code, r.Stderr)
	}
}
