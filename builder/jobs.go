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
func defaultJobs() int {
	n := runtime.NumCPU()
	if m := memoryTotal(); m > 0 {
		n = min(n, int((m+jobMemory/2)/jobMemory))
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
	return strconv.Itoa(defaultJobs())
}

// memoryTotal reads MemTotal of proc(5) meminfo, in bytes; 0 where there is none.
func memoryTotal() int64 {
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
