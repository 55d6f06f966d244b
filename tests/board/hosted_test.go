package board

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/board/boardrig"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// imageNamespace is where the tests of this machine have images loaded.
const imageNamespace = "for-the-tests"

// suites are the releases of Debian whose containerd has to work.
var suites = []string{rig.Bookworm, rig.Trixie, rig.Forky}

// hosted is a state directory of this machine, in which all is done that an
// engine has no part in, and nothing else is, with the containerd that builds in it.
type hosted struct {
	t   *testing.T
	dir string
	c   *rig.Containerd // nil: runc
}

// newHosted is a new state directory for a containerd.
func newHosted(t *testing.T, c *rig.Containerd) *hosted {
	t.Helper()
	dir, err := os.MkdirTemp(rig.Work, "state-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, part := range []string{"content", "cache"} {
		if out, err := exec.Command("cp", "-al", filepath.Join(byRunc(t).dir, part), dir).CombinedOutput(); err != nil {
			t.Fatalf("copying what is prepared: %v: %s", err, out)
		}
	}
	return &hosted{t: t, dir: dir, c: c}
}

// packagesOnly is the recipe of an image without sources.
func packagesOnly() string {
	return filepath.Join(rig.Root(), "tests", "board", "testdata", "mosquitto.toml")
}

// prepared is a state directory in which runc has built, and what came of it.
type prepared struct {
	dir              string
	source, packages hostedImage
}

var (
	runcOnce sync.Once
	runcDid  *prepared
)

// byRunc builds with runc what the tests of this machine build, once a run.
func byRunc(t *testing.T) *prepared {
	t.Helper()
	runcOnce.Do(func() {
		h := &hosted{t: t, dir: filepath.Join(rig.Work, "by-runc")}
		if r := rig.Run(t.Context(), boardrig.MirrorEnv(t), "fetch", "pause", packagesOnly(), "--locked", "--state-dir", h.dir); r.Code != 0 {
			t.Fatalf("fetching: exit code %d\n%s", r.Code, r.Stderr)
		}
		p := &prepared{dir: h.dir, source: h.build("pause"), packages: h.build(packagesOnly())}
		h.forget()
		runcDid = p
	})
	if runcDid == nil {
		t.Fatal("building with runc failed, see above")
	}
	return runcDid
}

// forget takes from the state directory what graphs, images and tests gave.
func (h *hosted) forget() {
	h.t.Helper()
	for _, kind := range []string{"build-*", "artifacts-*", "image-*", "check-test-*"} {
		files, err := filepath.Glob(filepath.Join(h.dir, "cache", kind))
		if err != nil {
			h.t.Fatal(err)
		}
		for _, file := range files {
			if err := os.Remove(file); err != nil {
				h.t.Fatal(err)
			}
		}
	}
}

// args completes a command line with the state directory and the containerd.
func (h *hosted) args(args ...string) []string {
	at := "none"
	if h.c != nil {
		at = h.c.Socket + ",namespace=" + imageNamespace
	}
	own := []string{"--state-dir", h.dir, "--containerd", at}
	if end := slices.Index(args, "--"); end >= 0 {
		return slices.Concat(args[:end], own, args[end:])
	}
	return append(args, own...)
}

func (h *hosted) run(args ...string) rig.Result {
	return rig.Run(h.t.Context(), nil, h.args(args...)...)
}

// ok gives the result of a run that has to end with a status.
func (h *hosted) ok(code int, args ...string) rig.Result {
	h.t.Helper()
	r := h.run(args...)
	if r.Code != code {
		h.t.Fatalf("riscv-build %s: exit code %d, want %d\n%s\n%s", strings.Join(args, " "), r.Code, code, r.Stdout, rig.Tail(r.Stderr, 60))
	}
	return r
}

// hostedImage is what `build --json` says of an image.
type hostedImage struct {
	Engine, Worker, Digest string
	Cached                 bool
	Loaded                 struct{ Names []string }
	Tests                  []struct{ OK, Cached bool }
}

// build builds one recipe, and loads the image where there is a containerd.
func (h *hosted) build(recipe string, more ...string) hostedImage {
	h.t.Helper()
	args := append([]string{"build", recipe, "--locked", "--offline", "--json", "--progress", "plain"}, more...)
	if h.c != nil {
		args = append(args, "--load=containerd")
	}
	r := h.ok(0, args...)
	var report struct{ Results []hostedImage }
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil || len(report.Results) != 1 {
		h.t.Fatalf("reading the report: %v\n%s", err, r.Stdout)
	}
	m := report.Results[0]
	if len(m.Tests) == 0 || slices.ContainsFunc(m.Tests, func(x struct{ OK, Cached bool }) bool { return !x.OK || x.Cached }) {
		h.t.Errorf("%s: tests that did not run and pass: %+v", recipe, m.Tests)
	}
	h.t.Logf("%s by %s, worker %q, after %s", recipe, m.Engine, m.Worker, r.Took.Round(time.Second))
	return m
}

// left is what all is kept of after the user's images have gone: nothing, if
// the cache was pruned.
func (h *hosted) left() []string {
	h.t.Helper()
	for _, name := range strings.Fields(h.c.MustCtr("-n", imageNamespace, "images", "ls", "-q")) {
		h.c.MustCtr("-n", imageNamespace, "images", "rm", "--sync", name)
	}
	return h.kept()
}

// kept lists what the state directory has of the engine, and what containerd has.
func (h *hosted) kept() []string {
	h.t.Helper()
	var found []string
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		h.t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if at := strings.Fields(line)[4]; strings.HasPrefix(at, h.dir+"/") {
			found = append(found, "mount "+at)
		}
	}
	// Those that containerd has forgotten, too.
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, file := range commands {
		if text, err := os.ReadFile(file); err == nil && strings.HasPrefix(filepath.Base(string(text)), "containerd-shim") && strings.Contains(string(text), h.c.Socket) {
			found = append(found, "process "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	for _, ns := range strings.Fields(h.c.MustCtr("namespaces", "ls", "-q")) {
		if strings.HasPrefix(ns, "riscv-build-") {
			found = append(found, "namespace "+ns)
		}
		for _, kind := range []string{"leases", "containers", "tasks"} {
			for _, id := range strings.Fields(h.c.MustCtr("-n", ns, kind, "ls", "-q")) {
				found = append(found, fmt.Sprintf("%s %s of namespace %s", kind, id, ns))
			}
		}
	}
	for _, pattern := range []string{
		filepath.Join(h.dir, "buildkit-containerd"),
		filepath.Join(h.c.Root, "io.containerd.snapshotter.v1.*", "snapshots", "*"),
		filepath.Join(h.c.Root, "io.containerd.content.v1.content", "blobs", "sha256", "*"),
		filepath.Join(h.c.Root, "io.containerd.content.v1.content", "ingest", "*"),
	} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			h.t.Fatal(err)
		}
		found = append(found, files...)
	}
	return found
}
