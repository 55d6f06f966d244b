package rig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// end stops containerd with its containers, and shows what it said if the test
// failed.
func (c *Containerd) end() {
	if c.server != nil {
		c.removeTasks()
	}
	c.Stop()
	// A second time for a shim that was starting a container.
	for range 20 {
		shims := c.shims()
		if len(shims) == 0 {
			break
		}
		for _, shim := range shims {
			for _, pid := range append(children(shim), shim) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, at := range mountsBelow(c.dir) {
		if _, err := Sh("umount", "--lazy", at); err != nil {
			c.t.Error(err)
		}
	}
	if c.t.Failed() {
		text, _ := os.ReadFile(c.log.Name())
		c.t.Logf("containerd %s said:\n%s", c.Version, Tail(string(text), 30))
	}
	_ = c.log.Close()
}

// removeTasks ends the containers in order, which takes their cgroups away.
func (c *Containerd) removeTasks() {
	for _, ns := range strings.Fields(c.Ctr("namespaces", "ls", "-q").Stdout) {
		for _, id := range strings.Fields(c.Ctr("-n", ns, "tasks", "ls", "-q").Stdout) {
			c.Ctr("-n", ns, "tasks", "rm", "--force", id)
		}
	}
}

// shims are the processes that containerd leaves behind when it ends: those
// that were told its address, and see it where it is.
func (c *Containerd) shims() []int {
	at := "self"
	if c.holder != 0 {
		at = strconv.Itoa(c.holder)
	}
	home, err := os.Readlink(filepath.Join("/proc", at, "ns/mnt"))
	if err != nil {
		return nil
	}
	return processes(func(dir string) bool {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		args := bytes.Split(line, []byte{0})
		told := slices.ContainsFunc(args, func(a []byte) bool { return string(a) == c.Socket })
		if !told || !strings.HasPrefix(filepath.Base(string(args[0])), "containerd-shim") {
			return false
		}
		ns, err := os.Readlink(filepath.Join(dir, "ns/mnt"))
		return err == nil && ns == home
	})
}

// children are the processes that a process has started.
func children(of int) []int {
	return processes(func(dir string) bool {
		status, _ := os.ReadFile(filepath.Join(dir, "status"))
		return bytes.Contains(status, fmt.Appendf(nil, "\nPPid:\t%d\n", of))
	})
}

// processes are those whose directory in /proc passes a test.
func processes(is func(dir string) bool) []int {
	var pids []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && is(dir) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// mountsBelow are the places in a directory where something is mounted, the
// last one first.
func mountsBelow(dir string) []string {
	table, _ := os.ReadFile("/proc/self/mountinfo")
	var at []string
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			at = append(at, f[4])
		}
	}
	slices.Reverse(at)
	return at
}
