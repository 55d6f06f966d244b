package host

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// What a build of one image from source takes, tool chain and sysroot
// unpacked, and what is comfortable for several.
const (
	needDisk      = 2 << 30
	wantDisk      = 4 << 30
	needInodes    = 100_000
	wantInodes    = 200_000
	needMemory    = 256 << 20
	wantMemory    = 1 << 30
	whyDisk       = "tool chain, sysroot and compiled sources are unpacked there"
	fixDisk       = "free some space, run `riscv-build cache prune`, or choose another place with --state-dir"
	bytesPerKiB   = 1024
	dirPermission = 0o700
)

// space checks the file system of the state directory, and memory.
func (m machine) space(stateDir string) []Finding {
	dir := existing(stateDir)
	findings := append(disk(dir), writable(stateDir, dir))
	if m.goos != "linux" {
		return findings
	}
	return append(findings, m.memory(), m.overlay(dir))
}

// existing returns the nearest directory at or above dir that exists.
func existing(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "/"
	}
	for {
		if info, err := os.Stat(abs); err == nil && info.IsDir() {
			return abs
		}
		parent := filepath.Dir(abs)
		if parent == abs {
			return abs
		}
		abs = parent
	}
}

func disk(dir string) []Finding {
	free, inodes, hasInodes, err := freeSpace(dir)
	if err != nil {
		return []Finding{{Name: "disk space", Severity: Error, What: err.Error(), Why: whyDisk, Fix: "choose another place with --state-dir"}}
	}
	findings := []Finding{amount{free, needDisk, wantDisk}.finding("disk space", fmt.Sprintf("%s free at %q", size(free), dir))}
	if hasInodes {
		findings = append(findings, amount{inodes, needInodes, wantInodes}.finding("inodes",
			fmt.Sprintf("%d files can be made at %q", inodes, dir)))
	}
	for i := range findings {
		if !findings[i].OK {
			findings[i].Why, findings[i].Fix = whyDisk, fixDisk
		}
	}
	return findings
}

// writable makes a file where the state directory is, or is to be. That the
// disk is full is told elsewhere.
func writable(stateDir, dir string) Finding {
	const name = "state directory"
	file, err := os.CreateTemp(dir, ".doctor-*")
	if err == nil {
		err = errors.Join(file.Close(), os.Remove(file.Name()))
	}
	if err == nil || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return good(name, Error, fmt.Sprintf("%q can be written", stateDir))
	}
	f := Finding{Name: name, Severity: Error, What: fmt.Sprintf("nothing can be written at %q: %v", dir, err),
		Why: "downloads, caches and build roots are kept there", Fix: "choose another place with --state-dir, or run riscv-build as root"}
	if errors.Is(err, syscall.EROFS) {
		f.Fix = "mount -o remount,rw the file system (dmesg says whether its disk is broken), or choose another place with --state-dir"
	}
	return f
}

// amount is how much there is of something, how much a build cannot do
// without, and how much is comfortable.
type amount struct{ have, need, want uint64 }

func (a amount) finding(name, what string) Finding {
	switch {
	case a.have < a.need:
		return Finding{Name: name, Severity: Error, What: what}
	case a.have < a.want:
		return Finding{Name: name, Severity: Warning, What: what}
	}
	return good(name, Error, what)
}

func size(n uint64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

func (m machine) memory() Finding {
	free, err := m.availableMemory()
	if err != nil {
		return Finding{Name: "memory", Severity: Warning, What: err.Error(),
			Why: "compilers need memory", Fix: "mount -t proc proc /proc"}
	}
	f := amount{free, needMemory, wantMemory}.finding("memory", size(free)+" available, swap included")
	if !f.OK {
		f.Why = "a C++ compiler takes up to 1 GiB for each job"
		f.Fix = "stop other programs, add swap, or build with --jobs 1"
	}
	return f
}

// availableMemory is in bytes, free swap included.
func (m machine) availableMemory() (uint64, error) {
	name := filepath.Join(m.proc, "meminfo")
	file, err := os.Open(name)
	if err != nil {
		return 0, fmt.Errorf("reading available memory: %w", err)
	}
	defer file.Close()
	var total uint64
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		key, rest, _ := strings.Cut(lines.Text(), ":")
		if key != "MemAvailable" && key != "SwapFree" {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s of %q: %w", key, name, err)
		}
		total += n * bytesPerKiB
	}
	if total == 0 {
		return 0, fmt.Errorf("reading available memory: %q does not say", name)
	}
	return total, lines.Err()
}

var overlayFS = feature{"overlay", "CONFIG_OVERLAY_FS"}

// overlay mounts an overlay file system where builds will.
func (m machine) overlay(dir string) Finding {
	const name = "overlayfs"
	if m.euid != 0 {
		return Finding{Name: name, Severity: Warning, What: "not tried: only root can mount",
			Why: "build roots are put together by overlayfs", Fix: "run `riscv-build doctor` as root"}
	}
	err := tryOverlay(dir)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return good(name, Error, "not tried: the disk is full")
	}
	if err != nil {
		f := Finding{Name: name, Severity: Error, What: fmt.Sprintf("mounting an overlay below %q: %v", dir, err),
			Why: "build roots are put together by overlayfs",
			Fix: "modprobe overlay, and put the state directory on ext4, xfs or btrfs with --state-dir"}
		if errors.Is(err, os.ErrPermission) {
			f.Fix = "give this container the right to mount (docker run --privileged), or run on the machine itself"
		} else if m.has(overlayFS) == loadable {
			f.mend = m.load(overlayFS.module)
		}
		return f
	}
	return good(name, Error, fmt.Sprintf("works below %q", dir))
}
