//go:build linux

package embedded

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killWait is how long killed processes may take to leave their cgroup.
const killWait = 3 * time.Second

// cgroupName names the cgroup above all containers of one root, so that what
// remains of a killed engine is known without asking runc.
func cgroupName(root string) string {
	sum := sha256.Sum256([]byte(root))
	return "riscv-build-" + hex.EncodeToString(sum[:6])
}

// ownCgroups lists the root's cgroup in every hierarchy that has it.
func ownCgroups(root string) []string {
	points, err := cgroupMounts()
	if err != nil {
		return nil // without /proc nothing starts; checkEnvironment has said so
	}
	var dirs []string
	for _, point := range points {
		dir := filepath.Join(point, cgroupName(root))
		if _, err := os.Stat(dir); err == nil {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// killCgroups kills every process in the root's cgroups and waits until they are gone.
func killCgroups(root string) {
	deadline := time.Now().Add(killWait)
	for {
		left := 0
		for _, dir := range ownCgroups(root) {
			left += killTree(dir)
		}
		if left == 0 || time.Now().After(deadline) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// killTree kills the processes in a cgroup and the ones below it, and tells how many there were.
func killTree(dir string) int {
	n := 0
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // a cgroup that vanishes meanwhile is what is wanted
		}
		// A frozen process (version 1) dies only when it is thawed.
		_ = os.WriteFile(filepath.Join(path, "freezer.state"), []byte("THAWED"), 0)
		text, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return nil
		}
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL)
				n++
			}
		}
		return nil
	})
	return n
}

// removeCgroups removes the root's cgroups, empty ones only, the innermost
// first. One that stays because a process in it is still dying is removed at
// the next start.
func removeCgroups(root string) {
	for _, dir := range ownCgroups(root) {
		var dirs []string
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			removeCgroup(dirs[i])
		}
	}
}

func removeCgroup(dir string) {
	// The kernel says busy for a moment after the last process has ended.
	for range 50 {
		if err := unix.Rmdir(dir); !errors.Is(err, unix.EBUSY) {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}
