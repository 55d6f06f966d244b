package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// client is a container engine as its user drives it.
type client interface {
	name() string
	pull(ref string) error
	// once runs a command in a new container and gives its output.
	once(ref string, args ...string) (string, error)
	// up starts a container in the background with a network of its own
	// (loopback only) and gives the id of its first process.
	up(c container) (pid int, err error)
	down(name string) error
	architecture(ref string) (string, error)
}

// container is a container to start.
type container struct {
	name, ref string
	env       []string
	mounts    [][2]string // host path, path inside
	args      []string
}

// dockerLike drives docker and podman, whose command lines agree.
type dockerLike struct {
	program string
	global  []string // before the verb
	pullOpt []string
	runOpt  []string
}

func (d dockerLike) name() string { return d.program }

func (d dockerLike) cmd(args ...string) (string, error) {
	return sh(d.program, append(append([]string(nil), d.global...), args...)...)
}

func (d dockerLike) pull(ref string) error {
	_, err := d.cmd(append(append([]string{"pull", "--platform", "linux/riscv64"}, d.pullOpt...), ref)...)
	return err
}

func (d dockerLike) once(ref string, args ...string) (string, error) {
	all := append([]string{"run", "--rm", "--network", "none", "--platform", "linux/riscv64"}, d.runOpt...)
	return d.cmd(append(append(all, ref), args...)...)
}

func (d dockerLike) up(c container) (int, error) {
	args := append([]string{"run", "-d", "--network", "none", "--platform", "linux/riscv64", "--name", c.name}, d.runOpt...)
	for _, e := range c.env {
		args = append(args, "-e", e)
	}
	for _, m := range c.mounts {
		args = append(args, "-v", m[0]+":"+m[1])
	}
	if _, err := d.cmd(append(append(args, c.ref), c.args...)...); err != nil {
		return 0, err
	}
	out, err := d.cmd("inspect", "-f", "{{.State.Pid}}", c.name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out)
}

func (d dockerLike) down(name string) error {
	if _, err := d.cmd("stop", "-t", "20", name); err != nil {
		return err
	}
	_, err := d.cmd("rm", "-f", name)
	return err
}

func (d dockerLike) architecture(ref string) (string, error) {
	return d.cmd("image", "inspect", "-f", "{{.Architecture}}", ref)
}

// ctr drives containerd through its own client.
type ctr struct{ socket string }

func (c ctr) name() string { return "containerd" }

func (c ctr) cmd(args ...string) (string, error) {
	return sh("ctr", append([]string{"-a", c.socket}, args...)...)
}

func (c ctr) pull(ref string) error {
	_, err := c.cmd("images", "pull", "--plain-http", "--platform", "linux/riscv64", ref)
	return err
}

func (c ctr) once(ref string, args ...string) (string, error) {
	return c.cmd(append([]string{"run", "--rm", "--platform", "linux/riscv64", ref, "once"}, args...)...)
}

func (c ctr) up(k container) (int, error) {
	args := []string{"run", "-d", "--platform", "linux/riscv64"}
	for _, e := range k.env {
		args = append(args, "--env", e)
	}
	for _, m := range k.mounts {
		args = append(args, "--mount", "type=bind,src="+m[0]+",dst="+m[1]+",options=rbind:rw")
	}
	// ctr replaces the whole command line, entrypoint included.
	command := k.args
	if len(command) > 0 {
		entry, err := c.entrypoint(k.ref)
		if err != nil {
			return 0, err
		}
		command = append(entry, command...)
	}
	if _, err := c.cmd(append(append(args, k.ref, k.name), command...)...); err != nil {
		return 0, err
	}
	out, err := c.cmd("tasks", "ls")
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(out, "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == k.name {
			// Its network namespace has a loopback that nobody has switched on.
			if _, err := sh("nsenter", "-t", f[1], "-n", "ip", "link", "set", "lo", "up"); err != nil {
				return 0, err
			}
			return strconv.Atoi(f[1])
		}
	}
	return 0, fmt.Errorf("container %s has no task:\n%s", k.name, out)
}

func (c ctr) down(name string) error {
	if _, err := c.cmd("tasks", "kill", "-s", "SIGTERM", name); err != nil {
		return err
	}
	for range 200 {
		if out, err := c.cmd("tasks", "ls"); err == nil && !strings.Contains(out, name+" ") || strings.Contains(out, "STOPPED") {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.cmd("tasks", "delete", "-f", name)
	_, err := c.cmd("containers", "delete", name)
	return err
}

// config reads the image configuration through containerd's content store.
func (c ctr) config(ref string) (cfg imageConfig, err error) {
	out, err := c.cmd("images", "ls", "name=="+ref)
	if err != nil {
		return cfg, err
	}
	var m struct {
		Config struct{ Digest string }
	}
	f := strings.Fields(strings.Split(out, "\n")[1])
	if out, err = c.cmd("content", "get", f[2]); err == nil {
		err = json.Unmarshal([]byte(out), &m)
	}
	if err != nil {
		return cfg, err
	}
	if out, err = c.cmd("content", "get", m.Config.Digest); err == nil {
		err = json.Unmarshal([]byte(out), &cfg)
	}
	return cfg, err
}

// imageConfig is what the tests read of an image configuration.
type imageConfig struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       struct {
		Entrypoint, Cmd, Env []string
		WorkingDir, User     string
		StopSignal           string
		ExposedPorts         map[string]struct{}
		Volumes              map[string]struct{}
		Labels               map[string]string
	} `json:"config"`
	RootFS struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

func (c ctr) entrypoint(ref string) ([]string, error) {
	cfg, err := c.config(ref)
	return cfg.Config.Entrypoint, err
}

func (c ctr) architecture(ref string) (string, error) {
	cfg, err := c.config(ref)
	return cfg.Architecture, err
}

// startDocker starts an engine of the tests' own, by hand, without touching
// the machine's network configuration.
func startDocker(t *testing.T) client {
	t.Helper()
	need(t, "dockerd", "docker.io")
	docker := need(t, "docker", "docker.io")
	dir := filepath.Join(rig.Work, "docker")
	sock := "unix://" + filepath.Join(dir, "docker.sock")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	start(t, "dockerd", "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "run"), "--pidfile", filepath.Join(dir, "pid"),
		"-H", sock, "--bridge", "none", "--iptables=false", "--ip6tables=false")
	d := dockerLike{program: docker, global: []string{"-H", sock}}
	waitFor(t, time.Minute, "dockerd", func() bool { _, err := d.cmd("version"); return err == nil })
	return d
}

func startPodman(t *testing.T) client {
	t.Helper()
	podman := need(t, "podman", "podman")
	dir := filepath.Join(rig.Work, "podman")
	d := dockerLike{program: podman, pullOpt: []string{"--tls-verify=false"},
		// Its defaults may be more than a machine without CAP_SYS_RESOURCE allows.
		runOpt: []string{"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"},
		global: []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--cgroup-manager", "cgroupfs", "--runtime", need(t, "runc", "runc")}}
	t.Cleanup(func() { d.cmd("unshare", "true"); sh("umount", "-l", filepath.Join(dir, "root", "overlay")) })
	return d
}

func startContainerd(t *testing.T) client {
	t.Helper()
	bin := need(t, "containerd", "containerd")
	need(t, "ctr", "containerd")
	need(t, "ip", "iproute2")
	dir := filepath.Join(rig.Work, "containerd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "config.toml")
	text := "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c := ctr{socket: filepath.Join(dir, "containerd.sock")}
	start(t, bin, "-c", config, "--root", filepath.Join(dir, "root"), "--state", filepath.Join(dir, "state"), "--address", c.socket)
	waitFor(t, time.Minute, "containerd", func() bool { _, err := c.cmd("version"); return err == nil })
	return c
}
