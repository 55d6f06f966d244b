//go:build linux

package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// recoverRoot clears what an engine that was killed left behind: containers,
// their cgroups, mounts and half-made directories. The caller holds the root's
// lock, so nothing that is found can be in use. The databases mend themselves.
func (e *Engine) recoverRoot(ctx context.Context) error {
	root := e.opts.Root
	containers, err := e.backend.endContainers(ctx, root)
	if err != nil {
		return err
	}
	// Containers that died before runc had written their state are known by their cgroup only.
	killCgroups(root)
	removeCgroups(root)
	mounts, err := detachMounts(root)
	if err != nil {
		return err
	}
	for _, pattern := range []string{filepath.Join(workerGlob, executorDir), filepath.Join(workerGlob, cacheMounts), tempDir} {
		dirs, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("removing %q: %w", dir, err)
			}
		}
	}
	if containers+mounts > 0 {
		e.opts.notice("cleared what a killed build left behind: %d containers, %d mounts", containers, mounts)
	}
	return nil
}

// below tells whether path lies in the directory root.
func below(root, path string) bool {
	return strings.HasPrefix(path, root+string(filepath.Separator))
}

// detachMounts unmounts everything below root, deepest first.
func detachMounts(root string) (int, error) {
	infos, err := mountinfo.GetMounts(func(info *mountinfo.Info) (skip, stop bool) {
		return !below(root, info.Mountpoint), false
	})
	if err != nil {
		return 0, fmt.Errorf("listing mounts below %q: %w", root, err)
	}
	slices.SortFunc(infos, func(a, b *mountinfo.Info) int {
		return cmp.Or(cmp.Compare(len(b.Mountpoint), len(a.Mountpoint)), cmp.Compare(b.ID, a.ID))
	})
	for _, info := range infos {
		err := unix.Unmount(info.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		// Detaching a mount takes along what is mounted on it.
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return 0, fmt.Errorf("unmounting %q: %w", info.Mountpoint, err)
		}
	}
	return len(infos), nil
}
