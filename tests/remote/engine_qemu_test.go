package remote

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// prepared has a container prepared twice, in a user namespace, which has a
// binfmt_misc of its own in which nothing is registered.
const prepared = `mount --rbind /dev "$0/dev"
chroot "$0" /usr/bin/riscv-build engine prepare
chroot "$0" /usr/bin/riscv-build engine prepare
cat "$0/proc/sys/fs/binfmt_misc/qemu-riscv64"`

// TestEngineBringsQEMU: where the kernel has no handler, the engine's container
// registers its own QEMU, once, so that it reaches into other containers.
func TestEngineBringsQEMU(t *testing.T) {
	rig.Need(t, "unshare", "util-linux")
	root := unpacked(t)
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc="+filepath.Join(root, "proc"), "sh", "-e", "-c", prepared, root)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const registered = "registered /usr/bin/qemu-riscv64 for riscv64 programs (flags POCF)"
	if got := string(out); strings.Count(got, registered) != 1 || !strings.Contains(got, "interpreter /usr/bin/qemu-riscv64\nflags: POCF") {
		t.Errorf("it said:\n%s", got)
	}
}

// mended has the doctor mend such a machine, on which no QEMU is installed.
const mended = `rm "$0/usr/bin/qemu-riscv64"
mount --rbind /dev "$0/dev"
chroot "$0" /usr/bin/riscv-build doctor --fix || test $? = 3
cat "$0/proc/sys/fs/binfmt_misc/qemu-riscv64"`

// TestDoctorBringsQEMU: with what the archive has, and once.
func TestDoctorBringsQEMU(t *testing.T) {
	rig.Need(t, "unshare", "util-linux")
	root := unpacked(t)
	state := filepath.Join(root, "var/lib/riscv-build")
	if _, err := rig.Sh("cp", "-r", filepath.Join(engineState(), "content"), state); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc="+filepath.Join(root, "proc"), "sh", "-e", "-c", mended, root).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	brought, err := filepath.Glob(filepath.Join(state, "qemu", "qemu-riscv64-*"))
	if err != nil || len(brought) != 1 {
		t.Fatalf("brought %v (%v)\n%s", brought, err, out)
	}
	at := strings.TrimPrefix(brought[0], root)
	for _, want := range []string{"brought " + at + " from the Debian archive", "registered " + at + " for riscv64 programs", "interpreter " + at + "\nflags: POCF"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}

// unpacked is the root of a container of the engine's image.
func unpacked(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "engine.tar")
	engineImage(t, engineState(), file)
	root, err := os.MkdirTemp(rig.Work, "root-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	blobs := members(t, file)
	var index ocispec.Index
	var m ocispec.Manifest
	decode(t, blobs["index.json"], &index)
	decode(t, blob(blobs, index.Manifests[0]), &m)
	for _, l := range m.Layers {
		cmd := exec.Command("tar", "--extract", "--gzip", "--directory", root)
		cmd.Stdin = bytes.NewReader(blob(blobs, l))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return root
}
