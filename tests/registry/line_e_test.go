package registry

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// group is a control group of a test's own; its directories, of which version 1
// has one for each controller.
type group struct{ dirs []string }

// newGroup makes one of one core and so many bytes of memory (Linux,
// Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst,
// scheduler/sched-bwc.rst).
func newGroup(t *testing.T, memory int) *group {
	t.Helper()
	const root = "/sys/fs/cgroup"
	name := fmt.Sprintf("riscv-build-test-%d", os.Getpid())
	g := &group{}
	files := map[string]string{}
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		_ = os.WriteFile(root+"/cgroup.subtree_control", []byte("+cpu +memory"), 0)
		dir := filepath.Join(root, name)
		g.dirs = []string{dir}
		files[dir+"/memory.max"], files[dir+"/cpu.max"] = strconv.Itoa(memory), "100000 100000"
	} else {
		mem, cpu := filepath.Join(root, "memory", name), filepath.Join(root, "cpu", name)
		g.dirs = []string{mem, cpu}
		files[mem+"/memory.limit_in_bytes"] = strconv.Itoa(memory)
		files[cpu+"/cpu.cfs_period_us"], files[cpu+"/cpu.cfs_quota_us"] = "100000", "100000"
	}
	t.Cleanup(func() {
		for _, dir := range g.dirs {
			rig.WaitFor(t, 10*time.Second, "the end of a control group", func() bool { return os.Remove(dir) == nil })
		}
	})
	for _, dir := range g.dirs {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatalf("making a control group: %v: this test needs cgroups with the cpu and memory controllers", err)
		}
	}
	for file, text := range files {
		if err := os.WriteFile(file, []byte(text), 0); err != nil {
			t.Fatalf("limiting a control group: %v", err)
		}
	}
	return g
}

// command is a command in the group.
func (g *group) command(name string, args ...string) *exec.Cmd {
	enter := ""
	for _, dir := range g.dirs {
		enter += "echo $$ > " + dir + "/cgroup.procs; "
	}
	return exec.Command("sh", append([]string{"-ec", enter + `exec "$@"`, "sh", name}, args...)...)
}

// TestLineRegistryE: many pull at once from a server of one core and 256 MB.
func TestLineRegistryE(t *testing.T) {
	const pullers, size, limit = 8, 80_000_000, 128 << 20
	pulls := 4
	if rig.Full {
		pulls = 50
	}
	dir, want := newImage(t, 7, size-(1<<20), 1<<20)
	s := serve(t, "--quiet") // finds the address and the directory, and takes the image
	if r := rig.Run(t.Context(), settings(t, ""), "push", dir, "http://"+s.addr+"/e:1"); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()

	cmd := newGroup(t, 256<<20).command(rig.Binary, "registry", "serve", "--addr", s.addr, "--root", s.root, "--quiet")
	rig.StartCommand(t, cmd)
	rig.WaitFor(t, 20*time.Second, "the registry", func() bool {
		_, err := complete(http.DefaultClient, s.addr, "nothing", "1")
		return err == errAbsent
	})
	var wg sync.WaitGroup
	var mu sync.Mutex
	failed := 0
	began := time.Now()
	for range pullers {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for range pulls {
				if got, err := complete(client, s.addr, "e", "1"); err != nil || got != want {
					mu.Lock()
					failed++
					mu.Unlock()
					t.Errorf("pulled %s, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	peak := peakMemory(t, cmd.Process.Pid)
	rig.Figure{Line: "RegistryE", OK: failed == 0 && peak <= limit,
		Got: fmt.Sprintf("%d pullers x %d pulls of 80 MB in %.0f s (%.0f MB/s), %d errors, peak memory %.1f MiB",
			pullers, pulls, took.Seconds(), float64(pullers*pulls*size)/1e6/took.Seconds(), failed, float64(peak)/(1<<20)),
		Limit: "no error, 128 MiB"}.Report(t)
}

// peakMemory is the most resident memory that a process had, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("the system does not tell the peak memory of a process")
	return 0
}
