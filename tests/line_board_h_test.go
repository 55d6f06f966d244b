package tests

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestLineBoardHBundle: what `k3s bundle` writes, out of the state directory and
// of a registry, is imported by containerd under exactly the names that K3s
// lists, all of them for riscv64; and pause is what K3s needs of it.
func TestLineBoardHBundle(t *testing.T) {
	reg := registry(t)
	s := warm(t)
	s.build("pause", "--push", reg) // in the state directory, and where copies come from
	s.ok("copy", reg+"/riscv64/pause:3.6", reg+"/rancher/klipper-lb:v0.4.13")
	s.ok("build", "pause", "--push", reg+"/rancher", "--index", "--tag", "v0.0.32", "--progress", "plain")
	s.ok("copy", "--all", reg+"/rancher/riscv64/pause:v0.0.32", reg+"/rancher/local-path-provisioner:v0.0.32")
	list := filepath.Join(t.TempDir(), "k3s-images.txt")
	write(t, list, "# K3s\nrancher/klipper-helm:v0.9.12\nrancher/klipper-lb:v0.4.13\nrancher/local-path-provisioner:v0.0.32\ndocker.io/rancher/mirrored-pause:3.6\n")
	want := []string{"docker.io/rancher/klipper-lb:v0.4.13", "docker.io/rancher/local-path-provisioner:v0.0.32", "docker.io/rancher/mirrored-pause:3.6"}

	dir := t.TempDir()
	for _, c := range []struct{ suite, file string }{
		{rig.Bookworm, "k3s-airgap-images-riscv64.tar"},
		{rig.Trixie, "k3s-airgap-images-riscv64.tar.zst"},
		{rig.Forky, "k3s-airgap-images-riscv64.tar.gz"},
	} {
		file := filepath.Join(dir, c.file)
		r := s.ok("k3s", "bundle", "--list", list, "--registry", reg, "-o", file)
		if !strings.Contains(r.Stdout, "3 of 4 images") || !strings.Contains(r.Stderr, "klipper-helm:v0.9.12 is missing") {
			t.Errorf("it said %s%s", r.Stdout, r.Stderr)
		}
		ctd := rig.StartContainerd(t, rig.ContainerdOptions{Suite: c.suite})
		ctd.MustCtr("-n", "k8s.io", "images", "import", "--platform", "linux/riscv64", unpacked(t, file))
		got, foreign := kubernetesImages(ctd)
		figure(t, "board H", fmt.Sprintf("containerd %s imports %s: %s; %d not for riscv64", ctd.Version, c.file, strings.Join(got, " "), foreign),
			"the names of K3s for what is in it", slices.Equal(got, want) && foreign == 0, false)
		holds(t, ctd, want[2])
	}
}

// kubernetesImages are the names of the images that containerd has for
// Kubernetes, sorted, and how many of them are not for riscv64.
func kubernetesImages(c *rig.Containerd) (all []string, foreign int) {
	all = strings.Fields(c.MustCtr("-n", "k8s.io", "images", "ls", "-q"))
	slices.Sort(all)
	for _, line := range strings.Split(c.MustCtr("-n", "k8s.io", "images", "ls"), "\n")[1:] {
		if !strings.Contains(line, " linux/riscv64 ") {
			foreign++
		}
	}
	return all, foreign
}

// unpacked is an archive without its compression, which K3s takes away itself
// and ctr does not.
func unpacked(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader
	switch filepath.Ext(file) {
	case ".zst":
		r, err = zstd.NewReader(f)
	case ".gz":
		r, err = gzip.NewReader(f)
	default:
		return file
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(file + ".tar")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, r); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

// holds has containerd run pause: it stays, collects what has lost its parent,
// and ends when it is asked to.
func holds(t *testing.T, c *rig.Containerd, ref string) {
	t.Helper()
	name := fmt.Sprintf("pause-%d-%s", os.Getpid(), c.Version[:3])
	task := func(args ...string) string {
		return c.MustCtr(append([]string{"-n", "k8s.io", "tasks"}, args...)...)
	}
	c.MustCtr("-n", "k8s.io", "run", "--detach", "--platform", "linux/riscv64", ref, name)
	var pid int
	for _, line := range strings.Split(task("ls"), "\n") {
		_, _ = fmt.Sscanf(line, name+" %d RUNNING", &pid)
	}
	if pid == 0 {
		t.Fatalf("it does not run: %s", task("ls"))
	}
	r := rig.Command(context.Background(), nil, need(t, "nsenter", "util-linux"), "-t", fmt.Sprint(pid), "-p", "sh", "-c", "sleep 600 >&- 2>&- & sleep 600 >&- 2>&- &")
	if r.Code != 0 {
		t.Fatalf("entering its processes: %s", r.Stderr)
	}
	adopted := func() []string {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(children))
	}
	waitFor(t, 10*time.Second, "pause with two children", func() bool { return len(adopted()) == 2 })
	must(t, "kill", adopted()...)
	waitFor(t, 10*time.Second, "pause without children", func() bool { return len(adopted()) == 0 })
	task("kill", "--signal", "SIGTERM", name)
	waitFor(t, 10*time.Second, "the end of pause", func() bool { return strings.Contains(task("ls"), "STOPPED") })
	task("rm", name)
	c.MustCtr("-n", "k8s.io", "containers", "rm", name)
}
