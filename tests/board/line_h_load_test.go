package board

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestLineBoardH: images go into Docker and podman, which run them.
func TestLineBoardH(t *testing.T) {
	for name, start := range map[string]func(*testing.T) client{"docker": startDocker, "podman": startPodman} {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			e := &engine{
				t: t, flags: []string{"--in", name}, load: []string{"--load=" + name},
				command: func(env []string, args ...string) *exec.Cmd {
					cmd := exec.Command(rig.Binary, args...)
					cmd.Env = append(append(os.Environ(), env...), c.env...)
					return cmd
				},
			}
			first := e.loaded("1.0")
			again := e.loaded("1.0")
			second := e.loaded("1.1")
			if first.Loaded.Unchanged || !again.Loaded.Unchanged || second.Loaded.Unchanged || second.Loaded.Engine != name {
				t.Errorf("%+v\n%+v\n%+v", first, again, second)
			}
			if got := c.must("image", "inspect", "-f", "{{.Architecture}} {{.Id}}", "riscv64/app:1"); !strings.HasPrefix(got, "riscv64 ") ||
				!strings.HasSuffix(got, strings.TrimPrefix(second.ConfigDigest, "sha256:")) {
				t.Errorf("it has %q, want %s", got, second.ConfigDigest)
			}
			e.runs("riscv64/app:1")
			before := c.must("images", "-q")
			e.killed(e.layout())
			if after := c.must("images", "-q"); after != before {
				t.Errorf("images before %q, after %q", before, after)
			}
			if left := c.must("ps", "-aq"); left != "" {
				t.Errorf("containers are left: %s", left)
			}
			rig.Figure{Line: "board H, --load into " + name, Got: "loads, replaces, runs, cleans up", Limit: "all", OK: !t.Failed()}.Report(t)
		})
	}
}

// client drives an engine of the test's own by its command.
type client struct {
	t       *testing.T
	program string
	env     []string
}

func (c client) command(args ...string) (string, error) {
	cmd := exec.Command(c.program, args...)
	cmd.Env = append(os.Environ(), c.env...)
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

func (c client) must(args ...string) string {
	c.t.Helper()
	out, err := c.command(args...)
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s", c.program, strings.Join(args, " "), err, out)
	}
	return out
}

func startDocker(t *testing.T) client {
	t.Helper()
	rig.Need(t, "dockerd", "docker.io")
	docker := rig.Need(t, "docker", "docker.io")
	dir := ownDir(t)
	socket := "unix://" + filepath.Join(dir, "docker.sock")
	rig.Start(t, "dockerd", "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "run"), "--pidfile", filepath.Join(dir, "pid"),
		"-H", socket, "--bridge", "none", "--iptables=false", "--ip6tables=false")
	c := client{t, docker, []string{"DOCKER_HOST=" + socket}}
	rig.WaitFor(t, time.Minute, "dockerd", func() bool { _, err := c.command("version"); return err == nil })
	return c
}

// startPodman is podman with a storage of its own. Its limits may be more than a
// machine without CAP_SYS_RESOURCE allows.
func startPodman(t *testing.T) client {
	t.Helper()
	podman := rig.Need(t, "podman", "podman")
	dir := ownDir(t)
	files := map[string]string{
		"storage.conf": fmt.Sprintf("[storage]\ndriver = \"overlay\"\nrunroot = %q\ngraphroot = %q\n", filepath.Join(dir, "run"), filepath.Join(dir, "root")),
		"containers.conf": fmt.Sprintf("[engine]\ncgroup_manager = \"cgroupfs\"\nruntime = %q\n[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n",
			rig.Need(t, "runc", "runc")),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := client{t, podman, []string{"CONTAINERS_STORAGE_CONF=" + filepath.Join(dir, "storage.conf"), "CONTAINERS_CONF=" + filepath.Join(dir, "containers.conf")}}
	t.Cleanup(func() {
		_, _ = rig.Sh("umount", "-l", filepath.Join(dir, "root", "overlay"))
	})
	return c
}

// ownDir is a directory on a real disk.
func ownDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(rig.Work, "engine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
