//go:build linux

package embedded

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/sys/mountinfo"
	"github.com/riscv-build/riscv-build/builder/engine"
)

// checkEnvironment says what the machine lacks, before BuildKit fails in words for its own operators.
func checkEnvironment(ctx context.Context, b backend) error {
	if uid := os.Geteuid(); uid != 0 {
		return &engine.EnvironmentError{
			What: fmt.Sprintf("the embedded engine mounts and starts containers, which user %d may not", uid),
			Do:   "run it as root (sudo)",
		}
	}
	if err := b.check(ctx); err != nil {
		return err
	}
	groups, err := cgroupMounts()
	if err != nil {
		return err
	}
	if len(groups) == 0 {
		return &engine.EnvironmentError{
			What: "no cgroup hierarchy is mounted, and runc needs one",
			Do:   "mount one with `mount -t cgroup2 cgroup2 /sys/fs/cgroup`",
		}
	}
	return nil
}

// cgroupMounts lists where cgroup hierarchies are mounted: one place with
// version 2, one per controller with version 1, both on hybrid systems.
func cgroupMounts() ([]string, error) {
	infos, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, fmt.Errorf("listing cgroup mounts: %w: mount /proc", err)
	}
	points := make([]string, 0, len(infos))
	for _, info := range infos {
		points = append(points, info.Mountpoint)
	}
	return points, nil
}

// overlayWorks tries an overlay mount below dir: some file systems carry
// none, for example an overlay itself.
func overlayWorks(dir string) error {
	tmp, err := os.MkdirTemp(dir, "overlay-try-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(tmp+"/"+name, 0o755); err != nil {
			return err
		}
	}
	m := mount.Mount{Type: "overlay", Source: "overlay", Options: []string{
		"lowerdir=" + tmp + "/lower", "upperdir=" + tmp + "/upper", "workdir=" + tmp + "/work",
	}}
	if err := m.Mount(tmp + "/merged"); err != nil {
		return err
	}
	return mount.UnmountAll(tmp+"/merged", 0)
}
