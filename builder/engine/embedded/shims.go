//go:build linux

package embedded

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// shimWait is how long a shim may take to end by itself.
	shimWait = 2 * time.Second
	// runcState is where shims let runc keep what it knows, by namespace.
	runcState = "/run/containerd/runc"
)

// shim is the process that containerd starts for a container, and that goes on
// without containerd.
type shim struct {
	pid    int
	bundle string // directory of the container, which may be gone
}

// endForgottenShims ends the shims of a namespace in which containerd knows no
// container any more. It forgets one when its client is killed while the
// container is being made: the shim stays, with runc waiting in it.
func endForgottenShims(namespace string) error {
	shims, err := shimsOf(namespace)
	if err != nil {
		return err
	}
	for _, s := range shims {
		s.end()
		if _, err := detachMounts(s.bundle); err != nil {
			return err
		}
		if err := os.RemoveAll(s.bundle); err != nil {
			return fmt.Errorf("removing a container that containerd has forgotten: %w", err)
		}
	}
	if err := os.RemoveAll(filepath.Join(runcState, namespace)); err != nil {
		return fmt.Errorf("removing what runc knows of containers that have gone: %w", err)
	}
	return nil
}

// killContainers kills what runs below the shims of a namespace, whether there
// is a containerd or not.
func killContainers(namespace string) {
	shims, err := shimsOf(namespace)
	if err != nil || len(shims) == 0 {
		return // there is no /proc, or nothing runs
	}
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is valid
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		pid, parent := 0, 0
		// proc_pid_stat(5): the name in parentheses may hold anything.
		_, err = fmt.Sscanf(string(text[bytes.LastIndexByte(text, ')')+1:]), " %s %d", new(string), &parent)
		if err == nil {
			_, err = fmt.Sscan(filepath.Base(filepath.Dir(file)), &pid)
		}
		if err == nil && slices.ContainsFunc(shims, func(s shim) bool { return s.pid == parent }) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// shimsOf finds the shims of a namespace among the processes.
func shimsOf(namespace string) ([]shim, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var found []shim
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		args := strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
		if !strings.HasPrefix(filepath.Base(args[0]), "containerd-shim") || flagOf(args, "-namespace") != namespace {
			continue
		}
		dir := filepath.Dir(file)
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		cwd, err := os.Readlink(filepath.Join(dir, "cwd"))
		bundle := strings.TrimSuffix(cwd, " (deleted)")
		// Nothing is removed but the directory of a container of the namespace.
		if err != nil || filepath.Base(filepath.Dir(bundle)) != namespace {
			continue
		}
		found = append(found, shim{pid: pid, bundle: bundle})
	}
	return found, nil
}

// flagOf is the argument behind a flag.
func flagOf(args []string, name string) string {
	if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// end ends a shim, which takes its socket away if it is not killed.
func (s shim) end() {
	_ = unix.Kill(s.pid, unix.SIGTERM)
	for deadline := time.Now().Add(shimWait); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if unix.Kill(s.pid, 0) != nil {
			return
		}
	}
	_ = unix.Kill(s.pid, unix.SIGKILL)
}
