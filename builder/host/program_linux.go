package host

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ReleaseProgram gives back the memory that pages of this program's own file
// take in the process. They stay in the system's cache and come back when they
// are used: it is for a program that will do little for long. Pages that were
// written to are left alone.
func ReleaseProgram() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("finding the program's file: %w", err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("reading the process's memory map: %w", err)
	}
	defer f.Close()
	var start, end uint64
	ours := false // start to end is read-only, of the program's file
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 6 && strings.Contains(fields[0], "-"):
			ours = fields[5] == program && fields[1][1] == '-'
			from, to, _ := strings.Cut(fields[0], "-")
			start, _ = strconv.ParseUint(from, 16, 64) // the kernel writes it
			end, _ = strconv.ParseUint(to, 16, 64)
		case ours && len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0":
			if _, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED); errno != 0 {
				return fmt.Errorf("giving back the program's pages: %w", errno)
			}
		}
	}
	return lines.Err()
}
