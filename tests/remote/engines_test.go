package remote

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// kind is a way to reach an engine.
type kind struct {
	name string
	open func(t *testing.T) (url string, env, flags []string)
}

func kinds() []kind {
	all := append(containerKinds(), []kind{
		{"docker", func(t *testing.T) (string, []string, []string) {
			docker := rig.StartNewDocker(t, true)
			return "docker://", docker.Env, nil
		}},
		{"unix", func(t *testing.T) (string, []string, []string) { return serve(t).url(), nil, nil }},
		{"tcp with TLS of both sides", func(t *testing.T) (string, []string, []string) {
			a := newAuthority(t)
			return serveTLS(t, a.issue(a)), nil, []string{"--engine-tls", a.issue(a)}
		}},
		{"ssh to a buildctl", func(t *testing.T) (string, []string, []string) {
			h := newHost(t, "buildctl")
			return h.url(serve(t).socket), []string{"PATH=" + h.path}, nil
		}},
		{"ssh to this program", func(t *testing.T) (string, []string, []string) {
			h := newHost(t, "riscv-build")
			return h.url(serve(t).socket), []string{"PATH=" + h.path}, nil
		}},
	}...)
	if rig.Full {
		all = append(all, kind{"unix, by another Go release", otherGo})
	}
	return all
}

// anotherGo is a release of Go that the program is not built with.
const anotherGo = "go1.27.0"

// otherGo serves an engine that another Go release has built: it may compress
// and sort as it likes.
func otherGo(t *testing.T) (url string, env, flags []string) {
	s := newServer(t)
	program := filepath.Join(s.dir, "riscv-build")
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, "./cmd/riscv-build")
	cmd.Dir = rig.Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN="+anotherGo)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building with %s: %v\n%s", anotherGo, err, rig.Tail(string(out), 10))
	}
	if info, err := buildinfo.ReadFile(program); err != nil || info.GoVersion != anotherGo {
		t.Fatalf("built with %v, want %s: %v", info, anotherGo, err)
	}
	s.cmd = exec.Command(program, s.args("--addr", s.url())...)
	s.run(t)
	return s.url(), nil, nil
}

// TestLineEngineA builds with every kind of engine what the embedded one built.
// Line C is in it: what does not change is not sent.
func TestLineEngineA(t *testing.T) {
	c := newClient(t)
	recipe := "pause"
	if rig.Full {
		recipe = "nginx"
	}
	here := c.build(t, recipe, "--no-cache")
	c.build(t, c.recipe("web"))
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			url, env, flags := k.open(t)
			there := c.with(append(env, "RISCV_BUILD_ENGINE="+url)...)
			build := func(args ...string) built { return there.build(t, append(args, flags...)...) }

			first := build(recipe, "--no-cache")
			rig.Figure{Line: "engine A", Got: recipe + " by " + k.name + " is " + first.Digest, Limit: here.Digest, OK: first.Digest == here.Digest}.Report(t)
			if first.Digest != here.Digest || first.Mode != here.Mode || first.Engine == here.Engine {
				t.Errorf("built %+v there, %+v here", first, here)
			}
			again := build(recipe, "--no-cache")
			sent := int64(100_000)
			if rig.Full {
				sent *= 2 // nginx has three times the tests of pause, which are driven from here
			}
			if again.Digest != here.Digest || again.sent > sent || again.received > 2_000_000 {
				t.Errorf("once more: %s, %d bytes sent, %d received, the first time %d: layers that are there were sent again", again.Digest, again.sent, again.received, first.received)
			}
			web := build(c.recipe("web"), "--no-cache")
			for _, test := range web.Tests {
				if !test.OK || test.Cached {
					t.Errorf("test %+v", test)
				}
			}
			unchanged(t, c, recipe, build)
			if forget(t, c) {
				if b := build(recipe, "--no-cache"); b.Digest != here.Digest {
					t.Errorf("with another engine than the last time: %+v", b)
				}
			}
		})
	}
}

// forget has the client take its engines for others than they are, as after the
// QEMU of one was replaced; false if it remembers none.
func forget(t *testing.T, c *client) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.dir, "cache", "engine-*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, bytes.Replace(text, []byte("qemu-riscv64"), []byte("another"), 1), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return len(files) > 0
}

// unchanged compares the second build of what did not change with the embedded
// engine's.
func unchanged(t *testing.T, c *client, recipe string, build func(...string) built) {
	t.Helper()
	here, there := time.Hour, time.Hour
	var sent, received int64
	for range 3 {
		here = min(here, c.build(t, recipe).took)
		b := build(recipe)
		there = min(there, b.took)
		sent, received = b.sent, b.received
		if !b.Cached {
			t.Errorf("nothing changed, and it is %+v", b)
		}
	}
	const limitBytes, limitTime = 100_000, 300 * time.Millisecond
	rig.Figure{Line: "engine C", Got: fmt.Sprintf("%s: %d bytes sent, %d received", t.Name(), sent, received), Limit: fmt.Sprint(limitBytes), OK: sent <= limitBytes && received <= limitBytes}.Report(t)
	rig.Figure{Line: "engine C", Got: fmt.Sprintf("%s: %v more than embedded", t.Name(), there-here), Limit: limitTime.String(), OK: there-here <= limitTime, Timing: true}.Report(t)
}

// TestCheckAndList: an engine that works says what it is; one that does not is
// in the list with the reason.
func TestCheckAndList(t *testing.T) {
	c := newClient(t)
	s := serve(t)
	r := c.run("engine", "check", s.url())
	says(t, r, 0)
	for _, words := range []string{s.url(), "BuildKit   v0.", "worker     runc", "linux/riscv64", "qemu-riscv64", "a riscv64 program ran"} {
		if !strings.Contains(r.Stdout, words) {
			t.Errorf("it does not say %q:\n%s", words, r.Stdout)
		}
	}
	says(t, c.run("engine", "check", "unix:///absent.sock"), 3, "unix:///absent.sock", "engine serve")
	says(t, c.run("engine", "check", "--containerd", "none"), 0)

	var list struct {
		Engines []struct {
			Engine, RISCV64 string
			OK              bool
			Problems        []string
		}
	}
	r = c.with("RISCV_BUILD_ENGINE="+s.url(), "DOCKER_HOST=unix:///absent.sock").run("engine", "ls", "--json")
	says(t, r, 0)
	if err := json.Unmarshal([]byte(r.Stdout), &list); err != nil || len(list.Engines) < 2 {
		t.Fatalf("%v: %s", err, r.Stdout)
	}
	for i, want := range []string{s.url(), "embedded"} {
		if e := list.Engines[i]; e.Engine != want || !e.OK || e.RISCV64 == "" {
			t.Errorf("got %+v, want %s", e, want)
		}
	}
	r = c.with("DOCKER_HOST=tcp://127.0.0.1:"+port(t)).run("engine", "ls")
	says(t, r, 0)
	if !strings.Contains(r.Stdout, "docker://") || !strings.Contains(r.Stdout, "not usable: docker at") {
		t.Errorf("the docker that does not answer:\n%s", r.Stdout)
	}
}
