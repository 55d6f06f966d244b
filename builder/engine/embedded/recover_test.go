//go:build linux

package embedded

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/sys/mountinfo"
	"github.com/riscv-build/riscv-build/builder/engine"
)

const (
	childRoot   = "ENGINE_TEST_ROOT"       // makes the test binary a process that builds and is killed
	childGraph  = "ENGINE_TEST_GRAPH"      // file with the graph it solves
	childStore  = "ENGINE_TEST_STORE"      // directory of the content store
	childSocket = "ENGINE_TEST_CONTAINERD" // the containerd that it uses, or empty
)

func TestMain(m *testing.M) {
	if root := os.Getenv(childRoot); root != "" {
		fmt.Println("error:", child(root))
		os.Exit(1)
	}
	code := m.Run()
	shared().remove()
	ownServer().remove()
	os.Exit(code)
}

// child opens an engine, says so, and solves a graph.
func child(root string) error {
	e, err := Open(context.Background(), Options{Root: root, Containerd: os.Getenv(childSocket)})
	if err != nil {
		return err
	}
	fmt.Println("open")
	graph, err := os.ReadFile(os.Getenv(childGraph))
	if err != nil {
		return err
	}
	store, err := local.NewStore(os.Getenv(childStore))
	if err != nil {
		return err
	}
	return e.Solve(context.Background(), engine.Job{Name: "child", Definition: graph, Store: store, Secrets: map[string][]byte{"jobs": []byte("2")}})
}

// startChild starts a process that solves graph in root, and returns when its engine is open.
func startChild(t *testing.T, w Options, graph []byte) *exec.Cmd {
	t.Helper()
	f := need(t)
	file := filepath.Join(t.TempDir(), "graph")
	if err := os.WriteFile(file, graph, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childRoot+"="+w.Root, childSocket+"="+w.Containerd, childGraph+"="+file, childStore+"="+filepath.Join(f.dir, "content"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "open\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}
	return cmd
}

// containersBelow lists runc's containers with their bundle below root, and
// those of the tests' containerd in root's namespace.
func containersBelow(t *testing.T, root string) (ids []string) {
	t.Helper()
	all, err := listContainers(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if below(root, c.Bundle) {
			ids = append(ids, c.ID)
		}
	}
	return append(ids, ownServer().tasks(t, containerdNamespace(root))...)
}

// assertNothingLeft looks for containers, mounts and running processes of an engine's root.
func assertNothingLeft(t *testing.T, root string) {
	t.Helper()
	if ids := containersBelow(t, root); len(ids) > 0 {
		t.Errorf("containers left: %v", ids)
	}
	mounts, err := mountinfo.GetMounts(func(info *mountinfo.Info) (skip, stop bool) { return !below(root, info.Mountpoint), false })
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		t.Errorf("mount left: %s", m.Mountpoint)
	}
	for _, dir := range ownCgroups(root) {
		if n := killTree(dir); n > 0 {
			t.Errorf("%d processes left in cgroup %s", n, dir)
		}
	}
	left, err := filepath.Glob(filepath.Join(root, workerGlob, executorDir, "*", "config.json"))
	if err != nil || len(left) > 0 {
		t.Errorf("bundles left: %v, %v", left, err)
	}
}

func testRecoveryAfterKill(t *testing.T, w Options) {
	f := need(t)
	root := filepath.Join(t.TempDir(), "state", "buildkit")
	slow := f.artifacts(t, llb.Args([]string{"/tool", "sleep"}),
		llb.AddSecret("/run/jobs", llb.SecretID("jobs")),
		llb.AddMount("/cache", llb.Scratch(), llb.AsPersistentCacheDir("cache", llb.CacheMountShared)))
	for _, after := range []time.Duration{0, 150 * time.Millisecond, 0} {
		cmd := startChild(t, Options{Root: root, Containerd: w.Containerd}, slow)
		if after == 0 {
			waitFor(t, func() bool { return len(containersBelow(t, root)) > 0 })
		}
		time.Sleep(after)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		var said []string
		start := time.Now()
		e, err := Open(context.Background(), Options{Containerd: w.Containerd, Root: root, Notice: func(format string, args ...any) {
			said = append(said, fmt.Sprintf(format, args...))
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("opened after a kill in %v: %q", time.Since(start), said)
		if after == 0 && !strings.Contains(strings.Join(said, "\n"), "1 containers") {
			t.Errorf("said %q", said)
		}
		assertNothingLeft(t, root)
		if err := e.Solve(context.Background(), job(f, f.artifacts(t, llb.Args([]string{"/tool", "write", "/out/file", "x"})))); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if left := ownCgroups(root); len(left) > 0 {
			t.Errorf("cgroups left: %v", left)
		}
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for range 200 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("waited ten seconds in vain")
}

func TestSecondEngineWaits(t *testing.T) {
	f := need(t)
	root := filepath.Join(t.TempDir(), "buildkit")
	cmd := startChild(t, Options{Root: root}, f.artifacts(t, llb.Args([]string{"/tool", "sleep"})))
	var said []string
	notice := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Options{Root: root, Notice: notice}); err == nil || !strings.Contains(err.Error(), "context deadline exceeded") {
		t.Fatalf("got %v", err)
	}
	if len(said) != 1 || !strings.Contains(said[0], fmt.Sprintf("process %d", cmd.Process.Pid)) {
		t.Errorf("said %q, want once process %d", said, cmd.Process.Pid)
	}
	_ = cmd.Process.Kill()
	open(t, Options{Root: root})
}

func TestDamagedDatabases(t *testing.T) {
	f := need(t)
	write := f.artifacts(t, llb.Args([]string{"/tool", "write", "/out/file", "x"}))
	for _, c := range []struct {
		name   string
		file   string
		damage func(t *testing.T, path string)
	}{
		{"truncated", "runc-overlayfs/containerdmeta.db", func(t *testing.T, path string) { truncate(t, path, 2) }},
		{"half", "cache.db", func(t *testing.T, path string) { truncate(t, path, 3) }},
		{"empty", "runc-overlayfs/metadata_v2.db", func(t *testing.T, path string) { truncate(t, path, 0) }},
		{"overwritten", "runc-overlayfs/metadata_v2.db", overwrite},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "buildkit")
			e, err := Open(context.Background(), Options{Root: root})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Solve(context.Background(), job(f, write)); err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if err := writeMark(root); err != nil { // as after a kill
				t.Fatal(err)
			}
			c.damage(t, filepath.Join(root, c.file))
			var said []string
			e = open(t, Options{Root: root, Notice: func(format string, args ...any) {
				said = append(said, fmt.Sprintf(format, args...))
			}})
			if len(said) != 1 || !strings.Contains(said[0], filepath.Base(c.file)) {
				t.Errorf("said %q", said)
			}
			if err := e.Solve(context.Background(), job(f, write)); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(root+brokenSuffix, c.file)); err != nil {
				t.Errorf("the damaged database was not kept: %v", err)
			}
		})
	}
}

func truncate(t *testing.T, path string, pages int64) {
	t.Helper()
	if err := os.Truncate(path, pages*int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
}

// overwrite makes every page but the two first garbage, as a disk may.
func overwrite(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 2 * os.Getpagesize(); i < len(data); i++ {
		data[i] = 0xa5
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func testPowerLossStartsEmpty(t *testing.T, w Options) {
	need(t)
	root := filepath.Join(t.TempDir(), "buildkit")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, markName), []byte("another-boot\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var said []string
	open(t, Options{Containerd: w.Containerd, Root: root, Notice: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }})
	if len(said) != 1 || !strings.Contains(said[0], "went down") {
		t.Errorf("said %q", said)
	}
}
