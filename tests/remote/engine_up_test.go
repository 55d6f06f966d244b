package remote

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/tests/rig"
)

const engineContainer = "tests-engine"

// engineRun is an engine in a container, in a container engine of the test's own.
type engineRun struct {
	t    *testing.T
	with string
	c    rig.Containers
}

// run runs the program on the shared state directory, at the end of the test too.
func (e engineRun) run(args ...string) rig.Result {
	return rig.Run(context.WithoutCancel(e.t.Context()), e.c.Env, append(args, "--state-dir", engineState())...)
}

// up starts the engine and wants to be told what was done.
func (e engineRun) up(did string, args ...string) {
	e.t.Helper()
	r := e.run(append([]string{"engine", "up", "--with", e.with, "--name", engineContainer}, args...)...)
	if r.Code != 0 || r.Stdout != e.url()+"\n" || !strings.Contains(r.Stderr, "the engine is "+did) {
		e.t.Fatalf("engine up: exit %d, want %q\n%s\n%s", r.Code, did, r.Stdout, r.Stderr)
	}
}

func (e engineRun) url() string { return e.with + "-container://" + engineContainer }

// build builds pause, and gives its digest and the worker.
func (e engineRun) build(args ...string) (digest, worker string) {
	e.t.Helper()
	r := e.run(append([]string{"build", "pause", "--no-cache", "--json", "--progress", "plain"}, args...)...)
	var report struct {
		Results []struct{ Digest, Engine, Error string }
	}
	if err := json.Unmarshal([]byte(r.Stdout), &report); r.Code != 0 || err != nil || len(report.Results) != 1 {
		e.t.Fatalf("build %v: exit %d, %v\n%s\n%s", args, r.Code, err, r.Stdout, rig.Tail(r.Stderr, 30))
	}
	return report.Results[0].Digest, report.Results[0].Engine
}

// starts start the container engines that are there.
var starts = map[string]func(*testing.T) rig.Containers{
	"docker": func(t *testing.T) rig.Containers { return rig.StartPrivilegedDocker(t) },
	"podman": rig.StartPodman,
}

// startUp starts a container engine and the engine in it, which end with the test.
func startUp(t *testing.T, with string) engineRun {
	t.Helper()
	e := engineRun{t, with, starts[with](t)}
	e.up("created")
	t.Cleanup(func() { e.run("engine", "down", "--with", with, "--name", engineContainer, "--volumes") })
	return e
}

// containerKinds reach the engines that `engine up` starts.
func containerKinds() []kind {
	var all []kind
	for _, with := range []string{"docker", "podman"} {
		all = append(all, kind{with + "-container", func(t *testing.T) (string, []string, []string) {
			e := startUp(t, with)
			return e.url(), e.c.Env, nil
		}})
	}
	return all
}

// TestEngineUp: from an empty container engine to a built image, and back.
func TestEngineUp(t *testing.T) {
	besides(t)
	embedded, _ := engineRun{t: t}.build("--containerd", "none")
	for with := range starts {
		t.Run(with, func(t *testing.T) {
			e := startUp(t, with)
			e.up("running already")
			if digest, worker := e.build("--engine", e.url()); digest != embedded || worker != with+"-container" {
				t.Errorf("built by %s: %s, want %s", worker, digest, embedded)
			}
			e.c.Must("kill", engineContainer) // as if the machine had lost its power
			e.up("started")
			if digest, _ := e.build("--engine", e.url()); digest != embedded {
				t.Errorf("after it was killed: %s, want %s", digest, embedded)
			}
			e.replaced(embedded)
			e.taken()
			e.down()
		})
	}
}

// replaced gives it another version: the program of a release, without symbols.
func (e engineRun) replaced(embedded string) {
	e.t.Helper()
	made := e.c.Must("volume", "inspect", "--format", "{{.CreatedAt}}", engineContainer)
	e.up("replaced", "--binary", runtime.GOARCH+"="+released(runtime.GOARCH))
	if now := e.c.Must("volume", "inspect", "--format", "{{.CreatedAt}}", engineContainer); now != made {
		e.t.Errorf("the volume is of %s, not %s", now, made)
	}
	if images := e.c.Must("images", "-q"); strings.Contains(images, "\n") {
		e.t.Errorf("the old image is left: %s", images)
	}
	// The container has gone, its image is there, and it is of another version.
	e.c.Must("rm", "--force", engineContainer)
	e.up("created")
	if images := e.c.Must("images", "-q"); strings.Contains(images, "\n") {
		e.t.Errorf("the old image is left: %s", images)
	}
	if digest, _ := e.build("--engine", e.url()); digest != embedded {
		e.t.Errorf("built by another version: %s, want %s", digest, embedded)
	}
}

// taken has others use the names.
func (e engineRun) taken() {
	e.t.Helper()
	image := e.c.Must("container", "inspect", "--format", "{{.Config.Image}}", engineContainer)
	running := e.c.Must("container", "inspect", "--format", "{{.Id}}", engineContainer)
	e.c.Must("volume", "create", "a-volume")
	e.c.Must("run", "--detach", "--label", "io.riscv-build.engine=", "--network", "none", "--name", "a-container", "--entrypoint", "riscv-build", image, "version")
	for _, name := range []string{"a-volume", "a-container"} {
		for _, verb := range []string{"up", "down"} {
			if name == "a-volume" && verb == "down" {
				continue
			}
			r := e.run("engine", verb, "--with", e.with, "--name", name)
			if r.Code != 3 || !strings.Contains(r.Stderr, "not of riscv-build") || !strings.Contains(r.Stderr, "--name") {
				e.t.Errorf("engine %s --name %s: exit %d\n%s", verb, name, r.Code, r.Stderr)
			}
		}
	}
	if now := e.c.Must("container", "inspect", "--format", "{{.Id}}", engineContainer); now != running {
		e.t.Errorf("the engine is in another container: %s, it was in %s", now, running)
	}
	e.c.Must("rm", "--force", "a-container")
	e.c.Must("volume", "rm", "a-volume")
}

// down takes all away, the volume only when that is asked for.
func (e engineRun) down() {
	e.t.Helper()
	for _, step := range []struct {
		args    []string
		says    string
		volumes string
	}{
		{nil, "removed container", engineContainer},
		{nil, "has no engine", engineContainer},
		{[]string{"--volumes"}, "removed volume", ""},
		{[]string{"--volumes"}, "has no engine", ""},
	} {
		r := e.run(append([]string{"engine", "down", "--with", e.with, "--name", engineContainer}, step.args...)...)
		if r.Code != 0 || !strings.Contains(r.Stdout, step.says) {
			e.t.Errorf("engine down: exit %d, %q, want %q\n%s", r.Code, r.Stdout, step.says, r.Stderr)
		}
		if left := e.c.Must("volume", "ls", "--quiet", "--filter", "name="+engineContainer); left != step.volumes {
			e.t.Errorf("volumes %q, want %q", left, step.volumes)
		}
	}
	if left := e.c.Must("ps", "-aq") + e.c.Must("images", "-q"); left != "" {
		e.t.Errorf("containers or images are left: %s", left)
	}
}

// TestEngineUpRefused: what stands in the way is named, with what helps.
func TestEngineUpRefused(t *testing.T) {
	nobody := []string{"DOCKER_HOST=unix://" + filepath.Join(t.TempDir(), "docker.sock")}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--with", "docker"}, 3, "systemctl start docker"},
		{[]string{"--with", "lxc"}, 2, "docker, nerdctl, podman"},
		{[]string{"--name", "a/b"}, 2, "letters, digits"},
	} {
		env := append(nobody, "PATH="+onlyDocker(t))
		r := rig.Run(t.Context(), env, append([]string{"engine", "up", "--state-dir", engineState()}, c.args...)...)
		if r.Code != c.code || !strings.Contains(r.Stderr, c.want) {
			t.Errorf("engine up %v: exit %d, want %d and %q\n%s", c.args, r.Code, c.code, c.want, r.Stderr)
		}
	}
}

// onlyDocker is a directory of programs with docker alone.
func onlyDocker(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(rig.Need(t, "docker", "docker.io"), filepath.Join(dir, "docker")); err != nil {
		t.Fatal(err)
	}
	return dir
}
