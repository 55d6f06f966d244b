//go:build linux

package embedded

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client/llb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/engine"
)

const usedUp = "riscv-build: a process was ended because memory was used up: what builds and tests run may have 96 MB together"

// What grows without end is ended, with a word about it, and nothing else is.
func testMemoryIsBounded(t *testing.T, w Options) {
	f := need(t)
	w.memory = 96 << 20
	e := open(t, w)
	run := func(image ocispec.Descriptor, args ...string) *engine.RunResult {
		t.Helper()
		res, err := e.Run(context.Background(), engine.Run{
			Name: args[0], Image: image, Store: f.store, Args: append([]string{"/tool"}, args...), Timeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	for name, image := range map[string]ocispec.Descriptor{"host": f.host, "riscv64": f.target} {
		if res := run(image, "grow"); res.Exit != 137 || !strings.Contains(string(res.Stderr), usedUp) {
			t.Errorf("%s: got exit %d, %q", name, res.Exit, res.Stderr)
		}
		if res := run(image, "child", "grow"); res.Exit != 1 || !strings.Contains(string(res.Stderr), usedUp) {
			t.Errorf("%s in a child: got exit %d, %q", name, res.Exit, res.Stderr)
		}
		if res := run(image, "exit", "3"); res.Exit != 3 || len(res.Stderr) > 0 {
			t.Errorf("%s afterwards: got exit %d, %q", name, res.Exit, res.Stderr)
		}
	}
	var failed *engine.ExecError
	err := e.Solve(context.Background(), job(f, f.artifacts(t, llb.Args([]string{"/tool", "child", "grow"}))))
	if !errors.As(err, &failed) || !strings.Contains(failed.Log, usedUp) {
		t.Errorf("a step that grows: %v", err)
	}
	if err := e.Solve(context.Background(), job(f, f.artifacts(t, llb.Args([]string{"/tool", "write", "/out/file", "small"})))); err != nil {
		t.Errorf("a step afterwards: %v", err)
	}
}

// What starts processes without end gets no more than the bound.
func testProcessesAreBounded(t *testing.T, w Options) {
	f := need(t)
	w.pids = 100
	e := open(t, w)
	res, err := e.Run(context.Background(), engine.Run{Name: "fork", Image: f.host, Store: f.store, Args: []string{"/tool", "fork"}, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if res.Exit == 0 || !strings.Contains(string(res.Stderr), "resource temporarily unavailable") && !strings.Contains(string(res.Stderr), "failed to create new OS thread") {
		t.Errorf("got exit %d, timed out %v, %.300q", res.Exit, res.TimedOut, res.Stderr)
	}
}

func testContainersAreKilledFirst(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	res, err := e.Run(context.Background(), engine.Run{Name: "score", Image: f.host, Store: f.store, Args: []string{"/tool", "copy", "/proc/self/oom_score_adj", "/dev/stdout"}})
	if err != nil {
		t.Fatal(err)
	}
	if string(res.Stdout) != "1000\n" {
		t.Errorf("got %q, %q", res.Stdout, res.Stderr)
	}
}

func TestMemoryBound(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct{ total, available, bound int64 }{
		{24000 * mb, 23000 * mb, 21500 * mb},
		{8000 * mb, 7000 * mb, 6500 * mb},
		{2000 * mb, 1800 * mb, 1544 * mb}, // a board
		{2000 * mb, 1000 * mb, 1000 * mb}, // a board with Kubernetes on it
		{2000 * mb, 100 * mb, 1000 * mb},
	} {
		if got := memoryBound(c.total, c.available); got != c.bound {
			t.Errorf("of %d MB, %d available: %d MB, not %d", c.total/mb, c.available/mb, got/mb, c.bound/mb)
		}
	}
	b, err := bounds{}.ofMachine()
	if err != nil || b.memory < 1<<26 || b.pids < leastPids {
		t.Errorf("this machine's: %+v, %v", b, err)
	}
}

// The files of cgroup version 2 have other names than those of version 1.
func TestBoundsOfCgroupVersion2(t *testing.T) {
	point := t.TempDir()
	dir := filepath.Join(point, "own")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"memory.max", "memory.events", "pids.max", "../cgroup.subtree_control"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := &memoryWatch{bounds: bounds{memory: 1 << 30, pids: 4096}}
	if err := w.bound(point, "own"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"memory.max": "1073741824", "pids.max": "4096"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if n := w.kills(); n != 0 {
		t.Errorf("%d kills before any", n)
	}
	events := "low 0\nhigh 0\nmax 812\noom 3\noom_kill 2\noom_group_kill 0\n"
	if err := os.WriteFile(filepath.Join(dir, "memory.events"), []byte(events), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := w.kills(); n != 2 {
		t.Errorf("%d kills, not 2", n)
	}
}
