package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inContainer makes a run of this test the inside of a container.
const inContainer = "RISCV_BUILD_TEST_CONTAINER"

// TestDelegate makes room in the cgroup of something like a container: own
// namespaces of cgroups and mounts, and a cgroup (version 2) with processes.
func TestDelegate(t *testing.T) {
	if os.Getenv(inContainer) != "" {
		delegateInside(t)
		return
	}
	root, controller := delegated(t)
	dir := filepath.Join(root, fmt.Sprintf("riscv-build-test-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("%v: this test needs root and cgroups of version 2", err)
	}
	t.Cleanup(func() {
		for _, d := range []string{filepath.Join(dir, innerCgroup), dir} {
			if err := unix.Rmdir(d); err != nil {
				t.Error(d, err)
			}
		}
	})
	fd, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestDelegate$", "-test.v")
	cmd.Env = append(os.Environ(), inContainer+"="+controller)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		UseCgroupFD: true, CgroupFD: int(fd.Fd()), Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWCGROUP,
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestDelegate") {
		t.Errorf("%v\n%s", err, out)
	}
}

// delegated finds a controller that the root of the hierarchy passes on, or
// has it pass one on for the time of the test.
func delegated(t *testing.T) (root, controller string) {
	t.Helper()
	mounts, err := thisMachine().mounts()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(mounts, func(m mount) bool { return m.fstype == "cgroup2" })
	if i < 0 {
		t.Fatal("cgroups of version 2 are not mounted: mount -t cgroup2 none /sys/fs/cgroup")
	}
	root = mounts[i].dir
	passed := filepath.Join(root, "cgroup.subtree_control")
	if already := strings.Fields(text(passed)); len(already) > 0 {
		return root, already[0]
	}
	for _, c := range strings.Fields(text(root, "cgroup.controllers")) {
		if put(passed, "+"+c) == nil {
			t.Cleanup(func() { _ = put(passed, "-"+c) })
			return root, c
		}
	}
	t.Fatal("the cgroups of version 2 have no controller here: boot with systemd.unified_cgroup_hierarchy=1")
	return "", ""
}

func delegateInside(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("cgroup2", dir, "cgroup2", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH) //nolint:errcheck // the namespace ends with the process
	sleeper := exec.Command("sleep", "60")   // another process of the container
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleeper.Wait() //nolint:errcheck // killed
	defer sleeper.Process.Kill()
	var did []string
	for range 2 {
		if err := thisMachine().delegate(func(s string) { did = append(did, s) }); err != nil {
			t.Fatal(err)
		}
	}
	if len(did) != 1 || !strings.Contains(did[0], os.Getenv(inContainer)) {
		t.Errorf("did %q", did)
	}
	if left := text(dir, "cgroup.procs"); left != "" || !strings.Contains(text(dir, innerCgroup, "cgroup.procs"), fmt.Sprint(os.Getpid())) {
		t.Errorf("processes at the top: %q, below: %q", left, text(dir, innerCgroup, "cgroup.procs"))
	}
	if !listed(text(dir, "cgroup.subtree_control"), os.Getenv(inContainer)) {
		t.Error(text(dir, "cgroup.subtree_control"))
	}
	// runc makes cgroups beside it, with their own limits.
	made := filepath.Join(dir, "made")
	if err := os.Mkdir(made, 0o755); err != nil || !listed(text(made, "cgroup.controllers"), os.Getenv(inContainer)) {
		t.Errorf("%v: %q", err, text(made, "cgroup.controllers"))
	}
	_ = unix.Rmdir(made)
}
