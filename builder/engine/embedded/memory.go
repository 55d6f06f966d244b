//go:build linux

package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

const (
	leastReserve = 256 << 20 // bytes of memory that containers leave to the machine
	leastPids    = 4096      // processes and threads that containers may have together,
	pidsPerCPU   = 512       // and with many processors
	// killedFirst is the oom_score_adj of containers: where the machine's memory
	// ends all the same, they end before anything else. Those of a containerd
	// would have its own otherwise, and end last.
	killedFirst = 1000
)

// ofMachine fills in what suits the machine.
func (b bounds) ofMachine() (bounds, error) {
	if b.pids == 0 {
		b.pids = max(leastPids, pidsPerCPU*int64(runtime.NumCPU()))
	}
	if b.memory > 0 {
		return b, nil
	}
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return b, err
	}
	info, err := proc.Meminfo()
	if err != nil {
		return b, err
	}
	if info.MemTotalBytes == nil || info.MemAvailableBytes == nil {
		return b, errors.New("/proc/meminfo does not say how much memory there is")
	}
	b.memory = memoryBound(int64(*info.MemTotalBytes), int64(*info.MemAvailableBytes))
	return b, nil
}

// memoryBound is what others have left, less a reserve; half of all at least,
// because others may give back what they have.
func memoryBound(total, available int64) int64 {
	return max(total/2, available-max(total/16, leastReserve))
}

// memoryWatch knows how often the kernel has ended a process of the engine's
// containers because memory was used up.
type memoryWatch struct {
	bounds

	events string // a file of cgroup version 2 that counts; empty with version 1,
	notify int    // where a descriptor is told; 0: nothing is watched

	mu    sync.Mutex
	count uint64
}

// boundCgroups makes the cgroup above all containers of a root, with bounds. The
// cgroups of the containers below it have none of their own.
func boundCgroups(root string, b bounds) (*memoryWatch, error) {
	w := &memoryWatch{}
	var err error
	if w.bounds, err = b.ofMachine(); err != nil {
		return w, err
	}
	points, err := cgroupMounts()
	if err != nil {
		return w, err
	}
	for _, point := range points {
		if err := w.bound(point, cgroupName(root)); err != nil {
			return w, err
		}
	}
	if w.events == "" && w.notify == 0 {
		return w, errors.New("the kernel has no memory controller: boot it with cgroup_enable=memory, or one with CONFIG_MEMCG")
	}
	return w, nil
}

// bound makes the cgroup in a hierarchy. It bounds there what the hierarchy controls.
func (w *memoryWatch) bound(point, name string) error {
	// Version 2 has to be told; version 1 has no such file.
	for _, controller := range []string{"+memory", "+pids"} {
		_ = write(filepath.Join(point, "cgroup.subtree_control"), controller) // what is missing is found below
	}
	dir := filepath.Join(point, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for file, value := range map[string]int64{"memory.max": w.memory, "memory.limit_in_bytes": w.memory, "pids.max": w.pids} {
		switch err := write(filepath.Join(dir, file), strconv.FormatInt(value, 10)); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case file == "memory.max":
			w.events = filepath.Join(dir, "memory.events")
		case file == "memory.limit_in_bytes":
			if err := w.listen(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// write writes to a file that is there.
func write(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// listen has the kernel tell when the memory of a cgroup (version 1) is used up.
func (w *memoryWatch) listen(dir string) error {
	oom, err := os.Open(filepath.Join(dir, "memory.oom_control"))
	if err != nil {
		return err
	}
	defer oom.Close()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("making an eventfd: %w", err)
	}
	if err := write(filepath.Join(dir, "cgroup.event_control"), fmt.Sprintf("%d %d", fd, oom.Fd())); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	w.notify = fd
	return nil
}

// kills is how often memory was used up so far.
func (w *memoryWatch) kills() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.events != "" {
		text, _ := os.ReadFile(w.events)
		for line := range strings.Lines(string(text)) {
			if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
				w.count, _ = strconv.ParseUint(strings.TrimSpace(n), 10, 64)
			}
		}
	}
	if w.notify > 0 {
		var more [8]byte
		if n, err := unix.Read(w.notify, more[:]); err == nil && n == len(more) {
			w.count += binary.NativeEndian.Uint64(more[:])
		}
	}
	return w.count
}

// String tells what happened and what can be done.
func (w *memoryWatch) String() string {
	return fmt.Sprintf("riscv-build: a process was ended because memory was used up: what builds and tests run may have %d MB together on this machine; "+
		"run fewer compilers or recipes at a time (--jobs, --make-jobs), end other programs, or have what grew use less", w.memory>>20)
}

func (w *memoryWatch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notify > 0 {
		_ = unix.Close(w.notify) // nothing is written to it
		w.notify = 0
	}
}
