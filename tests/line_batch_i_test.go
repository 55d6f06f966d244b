package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLineBatchI: a run with an empty state directory that takes from the cache
// of another one downloads no package, assembles and compiles nothing, and gives
// the same image; also where something of the image changed, which then is all
// that is made. With the compiler in the cache, a changed compilation downloads
// nothing either.
func TestLineBatchI(t *testing.T) {
	name := "pause"
	if full {
		name = "redis"
	}
	at := registry(t)
	ref := "type=registry,ref=" + at + "/ci/cache"
	timed := func(state string, args ...string) (report, time.Duration) {
		begin := time.Now()
		rep, _ := emptyState(t, state).build(args...)
		return rep, time.Since(begin)
	}
	first, cold := timed("cold", name, "--cache-to", ref+",mode=max")
	second, warm := timed("warm", name, "--cache-from", ref)
	share := 100 * warm.Seconds() / cold.Seconds()
	figure(t, "batch I", fmt.Sprintf("%.1f s of %.1f s, %.0f %%", warm.Seconds(), cold.Seconds(), share), "25 %", share <= 25, true)
	r := second.Results[0]
	if r.Digest != first.Results[0].Digest || !r.Cached || r.Downloaded != 0 {
		t.Errorf("the image is %s, before %s; cached %v, %d bytes downloaded", r.Digest, first.Results[0].Digest, r.Cached, r.Downloaded)
	}
	for _, one := range r.Tests {
		if !one.Cached {
			t.Errorf("test %q was run again", one.Name)
		}
	}

	third, changed := timed("label", changedRecipe(t, name, "[image]\n", "[image]\nlabels = { changed = \"1\" }\n"), "--cache-from", ref, "--locked")
	share = 100 * changed.Seconds() / cold.Seconds()
	figure(t, "batch I, image changed", fmt.Sprintf("%.1f s of %.1f s, %.0f %%", changed.Seconds(), cold.Seconds(), share), "25 %", share <= 25, true)
	r = third.Results[0]
	layers := func(rep report) string { return fmt.Sprint(rep.Results[0].Layers) }
	if r.Digest == first.Results[0].Digest || layers(third) != layers(first) || r.Downloaded != 0 || r.Stages["graph"] > 1 {
		t.Errorf("a label was changed: %+v", r)
	}
	if name != "pause" {
		return
	}
	fourth, _ := timed("compiled", changedRecipe(t, name, "[build]\n", "[build]\nenv = { CHANGED = \"1\" }\n"), "--cache-from", ref, "--locked")
	if r := fourth.Results[0]; r.Downloaded != 0 || r.Cached {
		t.Errorf("a variable of the compilation was changed: %d bytes were downloaded, cached %v", r.Downloaded, r.Cached)
	}
}

// changedRecipe copies the catalogue and changes a recipe of it.
func changedRecipe(t *testing.T, name, old, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root(), "recipes", "catalog"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name+".toml")
	raw, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(raw), old, text, 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}
