package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gofrs/flock"
)

// innerCgroup is where a container's own processes go, below the cgroup that it
// began in.
const innerCgroup = "engine"

const prepareLock = "/run/riscv-build-prepare.lock"

// PrepareContainer makes a container ready that the engine runs in: its own
// processes make room for cgroups of others, and QEMU runs riscv64 programs.
// What is so already is left alone; each thing that it does is reported. Errors
// do not keep the other thing from being done.
func PrepareContainer(ctx context.Context, report func(string)) error {
	// Two at a time would both register QEMU.
	one := flock.New(prepareLock)
	if err := one.Lock(); err != nil {
		return fmt.Errorf("preparing the container: %w: run this as root, where %q can be made", err, prepareLock)
	}
	defer one.Unlock() //nolint:errcheck // the end of the process unlocks it too
	return thisMachine().prepare(ctx, report)
}

func (m machine) prepare(ctx context.Context, report func(string)) error {
	return errors.Join(m.delegate(report), m.emulate(ctx, report))
}

// emulate registers QEMU where no handler runs riscv64 programs.
func (m machine) emulate(ctx context.Context, report func(string)) error {
	if m.goos != "linux" || m.goarch == "riscv64" {
		return nil
	}
	if err := m.fix(ctx, report); err != nil {
		return fmt.Errorf("making riscv64 programs run in this container, which must be privileged (docker run --privileged) and not of a rootless engine: %w", err)
	}
	if f := m.runs(ctx); !f.OK {
		return fmt.Errorf("making riscv64 programs run in this container: %s: %s", f.What, f.Fix)
	}
	return nil
}

// delegate frees the container's cgroup of processes, because a cgroup (version
// 2) has either processes or controllers for those below it, and passes its
// controllers on. The root of the hierarchy knows no such rule, and version 1
// neither.
func (m machine) delegate(report func(string)) error {
	dir, err := m.ownCgroup()
	if err != nil || dir == "" {
		return err
	}
	missing := missingControllers(dir)
	if len(missing) == 0 {
		return nil
	}
	const help = "run the container with --privileged, and not with --cgroupns=host"
	inner := filepath.Join(dir, innerCgroup)
	if err := os.Mkdir(inner, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("making cgroup %q: %w: %s", inner, err, help)
	}
	if err := moveProcesses(dir, inner); err != nil {
		return fmt.Errorf("moving processes into cgroup %q: %w: %s", inner, err, help)
	}
	var passed, refused []string
	for _, name := range missing {
		if err := put(filepath.Join(dir, "cgroup.subtree_control"), "+"+name); err != nil {
			refused = append(refused, name) // some kernels refuse single ones, such as cpu beside real-time processes
			continue
		}
		passed = append(passed, name)
	}
	if len(passed) == 0 {
		return fmt.Errorf("passing the cgroup controllers %s on to containers: the kernel refuses each: %s", strings.Join(refused, ", "), help)
	}
	report("passed the cgroup controllers " + strings.Join(passed, ", ") + " on to containers")
	return nil
}

// ownCgroup is where the cgroup of this container (version 2) is mounted; ""
// where this is no container, or one with version 1.
func (m machine) ownCgroup() (string, error) {
	mounts, err := m.mounts()
	if err != nil {
		return "", err
	}
	for _, mt := range mounts {
		// What the root of the hierarchy does not have.
		if mt.fstype == "cgroup2" && exists(mt.dir, "cgroup.events") {
			return mt.dir, nil
		}
	}
	return "", nil
}

func missingControllers(dir string) []string {
	var missing []string
	passed := text(dir, "cgroup.subtree_control")
	for _, name := range strings.Fields(text(dir, "cgroup.controllers")) {
		if !listed(passed, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// moveProcesses moves all processes of a cgroup, again while new ones appear.
func moveProcesses(from, to string) error {
	for range 10 {
		pids := strings.Fields(text(from, "cgroup.procs"))
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := put(filepath.Join(to, "cgroup.procs"), pid); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
	return errors.New("new ones keep appearing")
}
