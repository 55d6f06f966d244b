//go:build unix

package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// DiskSize is the size in bytes of the file system that dir lies on, or will lie
// on when it is made.
func DiskSize(dir string) (int64, error) {
	at := existing(dir)
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return 0, fmt.Errorf("asking for the size of the disk at %q: %w: choose another place with --state-dir", at, err)
	}
	return int64(st.Blocks * uint64(st.Bsize)), nil //nolint:unconvert // Bsize differs between systems
}

// DiskFree is how many bytes an unprivileged process may still use of the file
// system that dir lies on, or will lie on when it is made.
func DiskFree(dir string) (int64, error) {
	free, _, _, err := freeSpace(existing(dir))
	return int64(free), err
}
