package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// images are the catalogue's images that a line works with: all in the full
// run, the quickest to compile in the reduced one.
func images() []string {
	if full {
		return []string{"nginx", "redis", "busybox", "pause"}
	}
	return []string{"nginx", "pause"}
}

// TestLineC: nothing changed; a second run uploads nothing, tests nothing and is quick.
func TestLineC(t *testing.T) {
	reg := registry(t)
	s := warm(t)
	s.build(append(images(), "--push", reg)...)
	rep, r := s.build(append(images(), "--push", reg)...)
	var blobs int
	for _, x := range rep.Results {
		blobs += x.UploadedN
		if !x.Cached || x.Downloaded != 0 {
			t.Errorf("%s: cached %v, %d bytes downloaded", x.Name, x.Cached, x.Downloaded)
		}
		if len(x.Tests) == 0 {
			t.Errorf("%s: no test in the report", x.Name)
		}
		for _, test := range x.Tests {
			if !test.Cached || !test.OK {
				t.Errorf("%s: test %q: ok %v, cached %v", x.Name, test.Name, test.OK, test.Cached)
			}
		}
	}
	figure(t, "C", fmt.Sprintf("%d blobs uploaded by the second run of %d images", blobs, len(rep.Results)), "0", blobs == 0, false)
	figure(t, "C", fmt.Sprintf("%.2f s wall for %d images", r.Took.Seconds(), len(rep.Results)), "1.5 s", r.Took < 1500*time.Millisecond, true)
}

// exportRecipe writes a recipe of the catalogue, its files and the lock into a directory.
func exportRecipe(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root(), "recipes", "catalog"))); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name+".toml")
}

// TestLineD: one line of a configuration file changed. The registry is not our
// own: most people push to another.
func TestLineD(t *testing.T) {
	reg := foreignRegistry(t)
	s := warm(t)
	file := exportRecipe(t, "nginx")
	s.build(file, "--push", reg)
	conf := configurationFile(t, filepath.Dir(file))
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, append([]byte("# one more line\n"), text...), 0o644); err != nil {
		t.Fatal(err)
	}
	rep, r := s.build(file, "--push", reg)
	x := rep.Results[0]
	// The config and one layer.
	figure(t, "D", fmt.Sprintf("%d blobs, %d bytes uploaded", x.UploadedN, x.Uploaded), "one layer of at most 64 kB and the config",
		x.UploadedN == 2 && x.Uploaded <= 64<<10, false)
	figure(t, "D", fmt.Sprintf("%.2f s wall, of it %.2f s check and tests", r.Took.Seconds(), x.Stages["check"]), "5 s plus tests",
		r.Took.Seconds()-x.Stages["check"] <= 5, true)
}

// configurationFile is where the nginx recipe keeps the file that becomes conf.d/default.conf.
func configurationFile(t *testing.T, dir string) string {
	t.Helper()
	var found string
	filepath.Walk(dir, func(p string, info os.FileInfo, err error) error {
		if err == nil && strings.HasSuffix(p, "nginx.conf") {
			found = p
		}
		return err
	})
	if found == "" {
		t.Fatalf("no nginx.conf below %s", dir)
	}
	return found
}
