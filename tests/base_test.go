package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestRecipesOnRecipes: images built on images of other recipes share their
// layers, take over their configuration, accounts and packages, and run.
func TestRecipesOnRecipes(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/bases")); err != nil {
		t.Fatal(err)
	}
	recipe := func(name string) string { return filepath.Join(dir, name+".toml") }
	s := emptyState(t, "state")
	names := []string{"top", "plain", "middle", "bottom", "tools"}
	if full {
		names = append(names, "child") // compiles
	}
	var files []string
	for _, n := range names {
		files = append(files, recipe(n))
	}
	reg := registry(t)
	rep, _ := s.build(append(files, "--push", reg)...)
	layers := map[string][]string{}
	for _, x := range rep.Results {
		for _, l := range x.Layers {
			layers[x.Name] = append(layers[x.Name], l.Digest)
		}
		if x.Name == "tools" && !x.Cached {
			t.Error("the base was built twice")
		}
	}
	for _, on := range [][2]string{{"top", "middle"}, {"middle", "bottom"}, {"plain", "tools"}, {"child", "tools"}} {
		above, below := layers[on[0]], layers[on[1]]
		if on[0] == "child" && !full {
			continue
		}
		if len(below) == 0 || len(above) < len(below) || !slices.Equal(above[:len(below)], below) {
			t.Errorf("layers of %s: %v\nof its base %s: %v", on[0], above, on[1], below)
		}
	}
	if len(layers["top"]) != len(layers["middle"]) || len(layers["plain"]) != len(layers["tools"])+1 {
		t.Errorf("layers are %v", layers)
	}
	checkTop(t, s, recipe("top"))

	// The lock, the images and the results of tests stand.
	again, _ := s.build(append(files, "--locked", "--offline")...)
	for _, x := range again.Results {
		if !x.Cached || slices.ContainsFunc(x.Tests, func(c struct {
			Name   string `json:"name"`
			OK     bool   `json:"ok"`
			Cached bool   `json:"cached"`
		}) bool {
			return !c.Cached
		}) {
			t.Errorf("%s was built or tested again", x.Name)
		}
	}
	if !reflect.DeepEqual(rep.digests(), again.digests()) {
		t.Errorf("digests were %v, are %v", rep.digests(), again.digests())
	}

	// What changes the base changes what is on top of it.
	text, err := os.ReadFile(recipe("bottom"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recipe("bottom"), []byte(strings.Replace(string(text), `LEVEL = "one"`, `LEVEL = "two"`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := s.run("build", recipe("top"), "--locked"); r.Code != 1 || !strings.Contains(r.Stderr, `building the base of recipe "top"`) || !strings.Contains(r.Stderr, "has the accounts of both") {
		t.Errorf("exit %d\n%s", r.Code, r.Stderr)
	}
}

// checkTop reads the configuration of the image that is three recipes high.
func checkTop(t *testing.T, s *state, file string) {
	t.Helper()
	lay := filepath.Join(t.TempDir(), "layout")
	s.ok("build", file, "--output", lay)
	var index ocispec.Index
	var m ocispec.Manifest
	var c ocispec.Image
	read := func(name string, v any) {
		text, err := os.ReadFile(filepath.Join(lay, name))
		if err == nil {
			err = json.Unmarshal(text, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	read("index.json", &index)
	read("blobs/sha256/"+index.Manifests[0].Digest.Encoded(), &m)
	read("blobs/sha256/"+m.Config.Digest.Encoded(), &c)
	want := ocispec.ImageConfig{
		User: "above", WorkingDir: "/srv", StopSignal: "SIGQUIT", Entrypoint: []string{"/bin/busybox", "echo"},
		Env:          []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LEVEL=one", "WHO=middle"},
		ExposedPorts: map[string]struct{}{"80/tcp": {}, "53/udp": {}}, Labels: map[string]string{"layer": "middle", "kept": "yes"},
	}
	if !reflect.DeepEqual(c.Config, want) {
		t.Errorf("the configuration is\n%+v, want\n%+v", c.Config, want)
	}
	if m.Annotations["org.opencontainers.image.base.digest"] == "" {
		t.Errorf("annotations are %v", m.Annotations)
	}
}
