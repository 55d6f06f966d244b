package builder

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// onBase parses a recipe whose base is the recipe "low".
func onBase(t *testing.T, image string) *recipes.Recipe {
	t.Helper()
	head := func(name string) string { return "schema = 1\nname = \"" + name + "\"\nversion = \"1\"\n" }
	dir := fstest.MapFS{"low.toml": {Data: []byte(head("low") + "[image]\nsetuid = [\"/usr/bin/su\"]\n[[check.allow]]\npath = \"/x\"\nisa = \"v\"\nwhy = \"dispatch\"\n")}}
	r, err := recipes.Parse("high.toml", []byte(head("high")+"[image]\nbase = \"recipe:low\"\n"+image), dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestConfigOnBase: what a Dockerfile's instructions do after FROM.
func TestConfigOnBase(t *testing.T) {
	low := ocispec.ImageConfig{
		User: "low", Env: []string{"PATH=/low", "A=1", "B=a=b"}, Entrypoint: []string{"/low"}, Cmd: []string{"serve"}, WorkingDir: "/low",
		Labels: map[string]string{"a": "low", "b": "low"}, StopSignal: "SIGQUIT", ExposedPorts: set([]string{"80/tcp"}), Volumes: set([]string{"/data"}),
	}
	for what, c := range map[string]struct {
		image string
		want  func(*ocispec.ImageConfig)
	}{
		"nothing": {"", func(*ocispec.ImageConfig) {}},
		"environment": {`env = { B = "2", C = "3" }`, func(c *ocispec.ImageConfig) {
			c.Env = []string{"PATH=/low", "A=1", "B=2", "C=3"}
		}},
		"path": {`env = { PATH = "/high" }`, func(c *ocispec.ImageConfig) { c.Env[0] = "PATH=/high" }},
		"entrypoint drops the command": {`entrypoint = ["/high"]`, func(c *ocispec.ImageConfig) {
			c.Entrypoint, c.Cmd = []string{"/high"}, nil
		}},
		"command keeps the entrypoint": {`cmd = ["other"]`, func(c *ocispec.ImageConfig) { c.Cmd = []string{"other"} }},
		"no entrypoint":                {"entrypoint = []\ncmd = [\"/x\"]", func(c *ocispec.ImageConfig) { c.Entrypoint, c.Cmd = []string{}, []string{"/x"} }},
		"single values": {"user = \"high\"\nworkdir = \"/high\"\nstop_signal = \"SIGTERM\"", func(c *ocispec.ImageConfig) {
			c.User, c.WorkingDir, c.StopSignal = "high", "/high", "SIGTERM"
		}},
		"sets": {"expose = [\"53/udp\"]\nvolumes = [\"/data\", \"/more\"]\nlabels = { b = \"high\", c = \"high\" }", func(c *ocispec.ImageConfig) {
			c.ExposedPorts, c.Volumes = set([]string{"80/tcp", "53/udp"}), set([]string{"/data", "/more"})
			c.Labels = map[string]string{"a": "low", "b": "high", "c": "high"}
		}},
	} {
		config := low
		config.Env = append([]string{}, low.Env...)
		want := low
		want.Env = append([]string{}, low.Env...)
		c.want(&want)
		got := imageConfig(onBase(t, c.image), &baseImage{img: &built{config: &ocispec.Image{Config: config}}})
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
		}
	}
	if len(low.Labels) != 2 || len(low.Volumes) != 1 {
		t.Error("the base's own configuration was changed")
	}
}

// TestPackagesOnBase: the base's packages are not repeated, and none is there twice.
func TestPackagesOnBase(t *testing.T) {
	pkg := func(name, version string) lock.Package {
		return lock.Package{ID: name + "_" + version + "_riscv64", Name: name, Version: version}
	}
	r := onBase(t, "")
	p := &plan{req: Request{Recipe: r}, base: &baseImage{recipe: r.Base(), packages: []lock.Package{pkg("libc6", "1"), pkg("zlib1g", "1")}}}
	own, err := p.onTop([]lock.Package{pkg("libc6", "1"), pkg("curl", "1")})
	if err != nil || len(own) != 1 || own[0].Name != "curl" {
		t.Errorf("on top are %v, %v", own, err)
	}
	_, err = p.onTop([]lock.Package{pkg("libc6", "2")})
	if err == nil || !strings.Contains(err.Error(), "run `riscv-build lock --update low high`") {
		t.Errorf("another version gives %v", err)
	}
	l := lock.New()
	if why, stale := staleBase(l, r, nil); !stale || !strings.Contains(why, `"low"`) {
		t.Errorf("a lock without the base is good: %q", why)
	}
	l.PutSet(lock.Set{Name: "below/high"}, p.base.packages)
	if why, stale := staleBase(l, r, p.base.packages); stale {
		t.Errorf("a lock of the same base is stale: %s", why)
	}
	if _, stale := staleBase(l, r, []lock.Package{pkg("libc6", "2"), pkg("zlib1g", "1")}); !stale {
		t.Error("a lock of an older base is good")
	}
	if len(setuid(r)) != 1 || len(allowed(r)) != 1 {
		t.Errorf("the base's exceptions are %v, %v", setuid(r), allowed(r))
	}
}

// TestBaseRequest: where the base is locked, and what is not asked of it.
func TestBaseRequest(t *testing.T) {
	r := onBase(t, "")
	req := Request{Recipe: r, LockPath: "x/riscv-build.lock", Locked: true, Update: true, NoCache: true, Push: []string{"h"}, Tags: []string{"t"}, Output: "o"}
	r.Root, r.Base().Root = "x", "x"
	got, ok := baseRequest(req)
	want := Request{Recipe: r.Base(), LockPath: "x/riscv-build.lock", Locked: true}
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("beside: %+v", got)
	}
	r.Base().Root = "" // of the catalogue
	want.LockPath = ""
	if got, _ = baseRequest(req); !reflect.DeepEqual(got, want) {
		t.Errorf("of the catalogue: %+v", got)
	}
	if _, ok := baseRequest(got); ok {
		t.Error("a recipe without a base has one")
	}
}
