//go:build linux

package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// While an engine runs, a file in its root holds the boot id of the kernel
// that it runs on. Found at a start, it tells how the engine before ended.
const markName = "running"

// crashKind is how the engine before ended.
type crashKind int

const (
	notCrashed    crashKind = iota
	killed                  // the process died, the kernel went on: files are whole, containers and mounts may remain
	machineFailed           // power loss or reset: files may lack what was never written to the disk
)

func readMark(root string) (crashKind, error) {
	text, err := os.ReadFile(filepath.Join(root, markName))
	if errors.Is(err, os.ErrNotExist) {
		return notCrashed, nil
	}
	if err != nil {
		return notCrashed, fmt.Errorf("reading how the last engine in %q ended: %w: choose a readable directory with --state-dir", root, err)
	}
	boot, err := bootID()
	if err != nil {
		return notCrashed, err
	}
	if strings.TrimSpace(string(text)) == boot {
		return killed, nil
	}
	return machineFailed, nil
}

// writeMark lets the mark reach the disk, so that it is there after a power loss.
func writeMark(root string) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(root, markName))
	if err != nil {
		return fmt.Errorf("marking engine directory %q: %w", root, err)
	}
	_, err = f.WriteString(boot + "\n")
	if err := errors.Join(err, f.Sync(), f.Close(), syncDir(root)); err != nil {
		return asSpaceError(root, fmt.Errorf("marking engine directory %q: %w", root, err))
	}
	return nil
}

func removeMark(root string) error {
	if err := os.Remove(filepath.Join(root, markName)); err != nil {
		return fmt.Errorf("unmarking engine directory %q: %w", root, err)
	}
	return nil
}

func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the kernel's boot id: %w: mount /proc", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// syncFileSystem writes the file system that a directory is on. There is nothing
// to be done about one that does not.
func syncFileSystem(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	_ = unix.Syncfs(int(d.Fd()))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
