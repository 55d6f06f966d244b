package tests

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/check"
	"github.com/riscv-build/riscv-build/pusher"
)

// contract is what an official image promises, as far as ours holds it; what
// it does not is in recipes/catalog/NAME.md. Behaviour is in the [[test]]s of
// the recipes, which the build has run. It stands in testdata/contracts/NAME.toml.
type contract struct {
	Entrypoint []string          `toml:"entrypoint"`
	Cmd        []string          `toml:"cmd"`
	Env        []string          `toml:"env"` // names only, PATH included
	Expose     []string          `toml:"expose"`
	Volumes    []string          `toml:"volumes"`
	StopSignal string            `toml:"stop_signal"`
	User       string            `toml:"user"`
	Workdir    string            `toml:"workdir"`
	Labels     map[string]string `toml:"labels"`
	Layers     int               `toml:"layers"` // 0: any number
	// Files are "MODE UID:GID PATH", a link "PATH -> TARGET", "PATH = PATH" the
	// same file under two names, "!PATH" nothing there.
	Files []string          `toml:"files"`
	Text  map[string]string `toml:"text"` // a file and what it has
	Run   service           `toml:"run"`
}

// readContract reads the contract of an image of the catalogue, which has one.
func readContract(t *testing.T, name string) contract {
	t.Helper()
	var c contract
	meta, err := toml.DecodeFile(filepath.Join("testdata/contracts", name+".toml"), &c)
	if err != nil {
		t.Fatal(err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		t.Fatalf("the contract of %s has unknown keys: %v", name, unknown)
	}
	return c
}

// TestContracts holds the images against what the official ones promise.
func TestContracts(t *testing.T) {
	s := warm(t)
	for _, name := range catalogued() {
		t.Run(name, func(t *testing.T) {
			want := readContract(t, name)
			dir := filepath.Join(t.TempDir(), "layout")
			s.ok("build", name, "--output", dir, "--progress", "plain")
			layout, err := pusher.OpenLayout(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer layout.Close()
			img, err := check.Load(context.Background(), layout.Provider, layout.Desc, nil)
			if err != nil {
				t.Fatal(err)
			}
			if p := img.Config.Platform; p.OS != "linux" || p.Architecture != "riscv64" {
				t.Errorf("platform %s/%s", p.OS, p.Architecture)
			}
			compareConfig(t, img.Config.Config, want)
			if n := len(img.Manifest.Layers); want.Layers > 0 && n != want.Layers {
				t.Errorf("%d layers, want %d", n, want.Layers)
			}
			for _, f := range want.Files {
				if got := lookup(img.Tree, f); got != f {
					t.Errorf("wanted %q, got %q", f, got)
				}
			}
			for path, text := range want.Text {
				data, err := img.ReadFile(context.Background(), path, 1<<20)
				if err != nil || !strings.Contains(string(data), text) {
					t.Errorf("%s has no %q (%v)", path, text, err)
				}
			}
			figure(t, "contract", fmt.Sprintf("%s: %d files, %d texts and the configuration", name, len(want.Files), len(want.Text)), "line by line", !t.Failed(), false)
		})
	}
}

func compareConfig(t *testing.T, got ocispec.ImageConfig, want contract) {
	t.Helper()
	var env []string
	for _, e := range got.Env {
		name, _, _ := strings.Cut(e, "=")
		env = append(env, name)
	}
	for _, x := range []struct {
		what      string
		got, want []string
	}{
		{"environment", slices.Sorted(slices.Values(env)), slices.Sorted(slices.Values(want.Env))},
		{"entrypoint", got.Entrypoint, want.Entrypoint},
		{"command", got.Cmd, want.Cmd},
		{"ports", slices.Sorted(maps.Keys(got.ExposedPorts)), slices.Sorted(slices.Values(want.Expose))},
		{"volumes", slices.Sorted(maps.Keys(got.Volumes)), slices.Sorted(slices.Values(want.Volumes))},
		{"stop signal, user and working directory", []string{got.StopSignal, got.User, got.WorkingDir}, []string{want.StopSignal, want.User, want.Workdir}},
	} {
		if !slices.Equal(x.got, x.want) {
			t.Errorf("%s: %q, want %q", x.what, x.got, x.want)
		}
	}
	if !maps.Equal(got.Labels, want.Labels) {
		t.Errorf("labels: %v, want %v", got.Labels, want.Labels)
	}
}

// lookup says what the image has at the path of a contract's line, in the line's form.
func lookup(tree *check.Tree, line string) string {
	f := strings.Fields(line)
	path := f[len(f)-1]
	switch {
	case strings.HasPrefix(line, "!"):
		if _, ok := tree.Lstat(line[1:]); !ok {
			return line
		}
		return line[1:] + " is there"
	case len(f) == 3 && f[1] == "->":
		file, ok := tree.Lstat(f[0])
		if !ok {
			return "nothing"
		}
		return f[0] + " -> " + file.Link
	case len(f) == 3 && f[1] == "=":
		a, ok1 := tree.Stat(f[0])
		b, ok2 := tree.Stat(path)
		if ok1 && ok2 && a == b {
			return line
		}
		return "two files"
	}
	file, ok := tree.Stat(path)
	if !ok {
		return "nothing"
	}
	return fmt.Sprintf("%o %d:%d %s", file.Mode, file.UID, file.GID, path)
}
