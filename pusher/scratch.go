package pusher

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gofrs/flock"
)

const (
	scratchPattern = "riscv-build-scratch-"
	scratchLock    = ".lock"
)

// Scratch makes a directory for content that is needed for a while, below the
// given one or, with "", that of the system, and gives the function that
// removes it. It removes those that killed processes left there.
func Scratch(below string) (dir string, remove func() error, err error) {
	if below == "" {
		below = os.TempDir()
	}
	sweep(below)
	for err == nil {
		if dir, err = os.MkdirTemp(below, scratchPattern+"*"); err != nil {
			break
		}
		lock := flock.New(filepath.Join(dir, scratchLock))
		var held bool
		if held, err = lock.TryLock(); held {
			return dir, func() error { return errors.Join(os.RemoveAll(dir), lock.Close()) }, nil
		}
		err = errors.Join(err, lock.Close()) // none: another process swept it away just now
	}
	return "", nil, onDisk(fmt.Errorf("making a directory for images in %q: %w", below, err))
}

// sweep removes what nobody holds. A directory without its lock file is being
// made by another process.
func sweep(below string) {
	left, err := filepath.Glob(filepath.Join(below, scratchPattern+"*", scratchLock))
	if err != nil {
		return
	}
	for _, path := range left {
		// What others made here must neither lead elsewhere nor hold this up.
		lock := flock.New(path, flock.SetFlag(os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK))
		if held, err := lock.TryLock(); err == nil && held {
			_ = os.RemoveAll(filepath.Dir(path)) // another user's stays
		}
		_ = lock.Close()
	}
}
