package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestLineE: the same lock in state directories and environments that differ
// in all that must not matter gives the same digests.
func TestLineE(t *testing.T) {
	first, _ := warm(t).build(images()...)
	s := downloaded(t, "elsewhere/with a space")
	s.env = []string{"TZ=Pacific/Kiritimati", "LC_ALL=tr_TR.UTF-8", "LANG=tr_TR.UTF-8", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", rand.Int31()), "HOME=/nonexistent"}
	// A hostname and a umask of its own.
	script := `hostname elsewhere && umask 077 && exec "$@"`
	args := append([]string{"--uts", "--", "sh", "-c", script, "sh", rig.Binary, "build", "--json", "--progress", "plain", "--jobs", "3", "--state-dir", s.dir}, images()...)
	r := command(context.Background(), s.env, need(t, "unshare", "util-linux"), args...)
	if r.Code != 0 {
		t.Fatalf("exit %d\n%s", r.Code, tail(r.Stderr, 40))
	}
	second := s.report(r)
	same := maps.Equal(first.digests(), second.digests())
	figure(t, "E", fmt.Sprintf("%v and %v", first.digests(), second.digests()), "equal digests", same, false)
}

// TestLineF: after fetch, a network namespace without interfaces gives the same digests.
func TestLineF(t *testing.T) {
	names := images()
	if !full {
		names = []string{"pause"} // line E has compiled nginx twice
	}
	first, _ := warm(t).build(names...)
	s := downloaded(t, "offline")
	args := append([]string{"--net", "--", rig.Binary, "build", "--json", "--progress", "plain", "--offline", "--state-dir", s.dir}, names...)
	r := command(context.Background(), nil, need(t, "unshare", "util-linux"), args...)
	if r.Code != 0 {
		t.Fatalf("exit %d\n%s", r.Code, tail(r.Stderr, 40))
	}
	same := maps.Equal(first.digests(), s.report(r).digests())
	figure(t, "F", fmt.Sprintf("digests without a network equal: %v", same), "equal digests", same, false)
}

// TestLineG: killed at random moments, the next build is clean.
func TestLineG(t *testing.T) {
	want, _ := warm(t).build("nginx")
	kills, longest := 3, 30*time.Second
	if full {
		kills, longest = 20, 60*time.Second
	}
	s := downloaded(t, "killed")
	for i := range kills {
		cmd := exec.Command(rig.Binary, "build", "nginx", "--progress", "quiet", "--state-dir", s.dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		after := time.Duration(rand.Int63n(int64(longest)))
		select {
		case <-done: // finished first: throw the result away so that there is something to kill
			os.RemoveAll(filepath.Join(s.dir, "cache"))
			os.RemoveAll(filepath.Join(s.dir, "buildkit"))
		case <-time.After(after):
			cmd.Process.Signal(syscall.SIGKILL)
			<-done
		}
		t.Logf("kill %d after %s", i+1, after.Round(time.Millisecond))
	}
	got, r := s.build("nginx")
	same := maps.Equal(want.digests(), got.digests())
	figure(t, "G", fmt.Sprintf("after %d kill -9 the digest is the clean one: %v", kills, same), "equal digests", same, false)
	stray := strays(t, s.dir)
	figure(t, "G", fmt.Sprintf("stray containers, mounts, cgroups: %d%s", len(stray), strings.Join(stray, "\n")), "0", len(stray) == 0, false)
	if strings.Contains(r.Stderr, "corrupt") {
		t.Errorf("corrupt state was reported:\n%s", tail(r.Stderr, 40))
	}
}

// TestLineGTwoAtOnce: two builds at once on one state directory both end well.
func TestLineGTwoAtOnce(t *testing.T) {
	name := "pause"
	if full {
		name = "nginx"
	}
	s := warm(t)
	var out [2]bytes.Buffer
	var cmds [2]*exec.Cmd
	for i := range cmds {
		cmds[i] = exec.Command(rig.Binary, "build", name, "--no-cache", "--progress", "plain", "--state-dir", s.dir)
		cmds[i].Stderr = &out[i]
		if err := cmds[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	ok := true
	for i := range cmds {
		if err := cmds[i].Wait(); err != nil {
			ok = false
			t.Errorf("build %d: %v\n%s", i, err, tail(out[i].String(), 40))
		}
	}
	said := strings.Contains(out[0].String()+out[1].String(), fmt.Sprint(cmds[0].Process.Pid)) || strings.Contains(out[0].String()+out[1].String(), fmt.Sprint(cmds[1].Process.Pid))
	figure(t, "G", fmt.Sprintf("two at once end well: %v, the waiting one names the other: %v", ok, said), "both", ok && said, false)
}

// containers lists those of runc's containers that belong to a state directory.
// Others, of Docker or of another build on this machine, are not its.
func containers(t *testing.T, dir string) []string {
	t.Helper()
	out, err := exec.Command(need(t, "runc", "runc"), "list", "--format", "json").Output()
	if err != nil {
		t.Fatalf("runc list: %v", err)
	}
	var all []struct{ ID, Bundle string }
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatalf("runc list: %v\n%s", err, out)
	}
	var ids []string
	for _, c := range all {
		if strings.HasPrefix(c.Bundle, dir) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// strays finds what a killed build of a state directory left on the machine.
func strays(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	for _, id := range containers(t, dir) {
		out = append(out, "container "+id)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if strings.Contains(line, dir) {
			out = append(out, "mount "+line)
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, p := range procs {
		if to, err := os.Readlink(p); err == nil && strings.HasPrefix(to, dir) {
			out = append(out, "process "+p+" in "+to)
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/buildkit/*", "/sys/fs/cgroup/*/buildkit/*", "/sys/fs/cgroup/riscv-build/*", "/sys/fs/cgroup/*/riscv-build/*"} {
		found, _ := filepath.Glob(pattern)
		for _, f := range found {
			if info, err := os.Stat(f); err == nil && info.IsDir() {
				out = append(out, "cgroup "+f)
			}
		}
	}
	return out
}
