//go:build unix

package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeSpace returns what an unprivileged process may still use: bytes and,
// where the file system counts them, inodes.
func freeSpace(dir string) (free, inodes uint64, hasInodes bool, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, false, fmt.Errorf("asking for free space at %q: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), st.Ffree, st.Files > 0, nil //nolint:unconvert // Bsize differs between systems
}
