package builder

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/riscv-build/riscv-build/builder/engine"
)

// jobMemory is what one compiler process of a C++ source may take: 1 GiB.
const jobMemory = 1 << 30

// defaultJobs is the number of processors, less where memory is short: a board
// with four cores and 2 GB would swap to its SD card with four C++ compilers.
// Builds that go on at the same time share the memory. The processors they may
// all want: what one leaves idle the others use, and the kernel shares them.
func defaultJobs(sharing int) int {
	n := runtime.NumCPU()
	if m := MemoryTotal(); m > 0 {
		n = min(n, int((m+jobMemory/2)/jobMemory)/max(sharing, 1))
	}
	return max(n, 1)
}

// jobs is the number of make jobs for an engine; "" where a step has to look
// for itself, because only it is there.
func (b *Builder) jobs(where engine.Info) string {
	switch {
	case b.cfg.Jobs > 0:
		return strconv.Itoa(b.cfg.Jobs)
	case where.Elsewhere:
		return ""
	}
	sharing := 1
	if b.cfg.Sharing != nil {
		sharing = b.cfg.Sharing()
	}
	return strconv.Itoa(defaultJobs(sharing))
}

// MemoryTotal is the memory of this machine in bytes; 0 where it is not known.
// It reads MemTotal of proc(5) meminfo.
func MemoryTotal() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) > 1 && f[0] == "MemTotal:" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}
