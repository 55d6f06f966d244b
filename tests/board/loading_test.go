package board

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// appRecipe is an image with a shell, of packages only.
const appRecipe = `schema  = 1
name    = "app"
version = "VERSION"
license = "GPL-2.0"
[debian]
suites = ["trixie"]
[image]
base        = "scratch"
packages    = ["busybox-static"]
entrypoint  = ["/usr/bin/busybox"]
cmd         = ["echo", "says VERSION"]
stop_signal = "SIGQUIT"
[push]
tags = ["1"]
`

// apps are recipes of one image name, in one directory with one lock and state.
var apps = sync.OnceValues(func() (dir string, err error) {
	dir = filepath.Join(rig.Work, "apps")
	for _, version := range []string{"1.0", "1.1"} {
		if err := os.MkdirAll(filepath.Join(dir, version), 0o755); err != nil {
			return "", err
		}
		text := strings.ReplaceAll(appRecipe, "VERSION", version)
		if err := os.WriteFile(filepath.Join(dir, version, "app.toml"), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
})

// app is the recipe of one version, and the environment that builds of it share.
func app(t *testing.T, version string) (recipe string, env []string) {
	t.Helper()
	dir, err := apps()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, version, "app.toml"), []string{"RISCV_BUILD_STATE_DIR=" + filepath.Join(dir, "state")}
}

// built is what --json says of one image.
type built struct {
	Digest       string `json:"digest"`
	ConfigDigest string `json:"config_digest"`
	Loaded       struct {
		Engine, Into string
		Names        []string
		Unchanged    bool
	}
}

// engine is where images are loaded and run, with the flags that choose it.
type engine struct {
	t     *testing.T
	flags []string // of run and load
	load  []string // of build
	// command is the program beside the engine; env is its environment.
	command func(env []string, args ...string) *exec.Cmd
}

// ran is what a run gave.
type ran struct {
	code        int
	out, errors string
	took        time.Duration
}

// run runs the program, with something on its standard input, two minutes at most.
func (e *engine) run(env []string, in string, args ...string) ran {
	e.t.Helper()
	cmd := e.command(env, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &errs
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	stuck := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stuck.Stop()
	_ = cmd.Wait() // the status says it
	return ran{cmd.ProcessState.ExitCode(), out.String(), errs.String(), time.Since(begin)}
}

func (e *engine) ok(env []string, args ...string) string {
	e.t.Helper()
	r := e.run(env, "", args...)
	if r.code != 0 {
		e.t.Fatalf("riscv-build %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, rig.Tail(r.out, 10), rig.Tail(r.errors, 10))
	}
	return r.out
}

// loaded builds a version of the image and loads it.
func (e *engine) loaded(version string) built {
	e.t.Helper()
	recipe, env := app(e.t, version)
	out := e.ok(env, append([]string{"build", recipe, "--json"}, e.load...)...)
	var doc struct{ Results []built }
	if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc.Results) != 1 {
		e.t.Fatalf("%v\n%s", err, out)
	}
	return doc.Results[0]
}

// says runs an image and gives what it says and its status.
func (e *engine) says(image string, args ...string) (string, int) {
	e.t.Helper()
	r := e.once(image, "", args...)
	return strings.TrimSpace(r.out), r.code
}

func (e *engine) once(image, in string, args ...string) ran {
	e.t.Helper()
	_, env := app(e.t, "1.0")
	all := append([]string{"run", image}, e.flags...)
	return e.run(env, in, append(append(all, "--"), args...)...)
}

// runs is what `run` must do in every engine, with an image that is there under
// a name, and with recipe, layout and registry.
func (e *engine) runs(name string) {
	t := e.t
	t.Helper()
	if out, code := e.says(name); out != "says 1.1" || code != 0 {
		t.Errorf("%s says %q, status %d", name, out, code)
	}
	if out, code := e.says(name, "sh", "-c", "uname -m; exit 7"); out != "riscv64" || code != 7 {
		t.Errorf("it says %q, status %d", out, code)
	}
	if r := e.once(name, "what is typed", "cat"); r.out != "what is typed" || r.code != 0 {
		t.Errorf("cat says %q, status %d\n%s", r.out, r.code, r.errors)
	}
	older, env := app(t, "1.0")
	if out, code := e.says(older); out != "says 1.0" || code != 0 {
		t.Errorf("the recipe says %q, status %d", out, code)
	}
	if out, code := e.says(name); out != "says 1.1" || code != 0 {
		t.Errorf("after another of the same name ran, %s says %q, status %d", name, out, code)
	}
	layout := filepath.Join(t.TempDir(), "layout")
	e.ok(env, "build", older, "--output", layout)
	if out, code := e.says(layout); out != "says 1.0" || code != 0 {
		t.Errorf("the layout says %q, status %d", out, code)
	}
	e.pulls(layout)
	e.flagged(name)
	e.unstartable(name)
	e.stops(name)
}

// unstartable runs an image whose program is hidden: the statuses are those of
// shells.
func (e *engine) unstartable(name string) {
	t := e.t
	t.Helper()
	_, env := app(t, "1.0")
	for hidden, want := range map[string]int{"/usr/bin": 127, "/usr/bin/busybox": 126} {
		cover := t.TempDir()
		if want == 126 { // a file that cannot be executed
			cover = filepath.Join(cover, "file")
			if err := os.WriteFile(cover, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		r := e.run(env, "", append([]string{"run", name, "--volume", cover + ":" + hidden}, e.flags...)...)
		if r.code != want || !strings.Contains(r.errors, "busybox") {
			t.Errorf("with %s hidden: status %d, want %d\n%s", hidden, r.code, want, r.errors)
		}
	}
}

// pulls runs an image that only a registry has, over plain HTTP.
func (e *engine) pulls(layout string) {
	t := e.t
	t.Helper()
	addr := serve(t)
	_, env := app(t, "1.0")
	e.ok(env, "push", layout, addr+"/riscv64/app:only-there")
	if out, code := e.says(addr + "/riscv64/app:only-there"); out != "says 1.0" || code != 0 {
		t.Errorf("the image of the registry says %q, status %d", out, code)
	}
}

func (e *engine) flagged(name string) {
	t := e.t
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	_, env := app(t, "1.0")
	args := append([]string{"run", name, "-e", "KEY=value", "--user", "5:6", "--net", "none", "--volume", dir + ":/mine"}, e.flags...)
	script := `echo $KEY; id -u; id -g; touch /mine/written; ls /sys/class/net`
	r := e.run(env, "", append(args, "--", "sh", "-c", script)...)
	if _, err := os.Stat(filepath.Join(dir, "written")); err != nil || r.code != 0 || strings.Join(strings.Fields(r.out), " ") != "value 5 6 lo" {
		t.Errorf("it says %q, status %d, %v\n%s", r.out, r.code, err, r.errors)
	}
}

// stops ends a run by a signal: the container gets the image's own.
func (e *engine) stops(name string) {
	t := e.t
	t.Helper()
	script := `trap 'echo asked to stop; exit 3' QUIT; echo ready; while :; do sleep 0.1; done`
	cmd, out := e.begin(name, script)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the status says it
	if text, code := out(), cmd.ProcessState.ExitCode(); !strings.Contains(text, "asked to stop") || code != 3 {
		t.Errorf("after SIGTERM it said %q, status %d", text, code)
	}
	deaf, _ := e.begin(name, `trap '' QUIT INT TERM; echo ready; while :; do sleep 0.1; done`)
	for range 2 {
		if err := deaf.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	_ = deaf.Wait() // the status says it
	if code := deaf.ProcessState.ExitCode(); code != 137 {
		t.Errorf("after two SIGINT: status %d", code)
	}
}

// begin starts a script in an image and returns when it says that it is ready.
func (e *engine) begin(image, script string) (*exec.Cmd, func() string) {
	t := e.t
	t.Helper()
	_, env := app(t, "1.0")
	cmd := e.command(env, append(append([]string{"run", image}, e.flags...), "--", "sh", "-c", script)...)
	file, err := os.CreateTemp(rig.Work, "said-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := func() string {
		text, _ := os.ReadFile(file.Name())
		return string(text)
	}
	rig.WaitFor(t, time.Minute, "a container", func() bool { return strings.Contains(said(), "ready") })
	return cmd, said
}

// killed kills a run by SIGKILL; what it leaves, the next one removes.
func (e *engine) killed(layout string) {
	e.t.Helper()
	cmd, _ := e.begin(layout, `echo ready; sleep 600`)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if out, code := e.says(layout); out != "says 1.0" || code != 0 {
		e.t.Errorf("after a killed run the layout says %q, status %d", out, code)
	}
}

// layout is version 1.0 on disk.
func (e *engine) layout() string {
	e.t.Helper()
	recipe, env := app(e.t, "1.0")
	dir := filepath.Join(e.t.TempDir(), "app")
	e.ok(env, "build", recipe, "--output", dir)
	return dir
}

// serve starts a registry of this program.
func serve(t *testing.T) (addr string) {
	t.Helper()
	addr = fmt.Sprintf("127.0.0.1:%d", rig.FreePort(t))
	rig.Start(t, rig.Binary, "registry", "serve", "--addr", addr, "--root", t.TempDir())
	rig.WaitFor(t, 20*time.Second, "the registry", func() bool {
		return rig.Run(context.Background(), nil, "registry", "ls", "http://"+addr).Code == 0
	})
	return addr
}
