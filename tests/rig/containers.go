package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Containers drives a container engine of the test's own by its command.
type Containers struct {
	Program string   // path
	Env     []string // for the command, and for programs that run it
	t       *testing.T
}

// Command runs the command for its output.
func (c Containers) Command(args ...string) (string, error) {
	cmd := exec.Command(c.Program, args...)
	cmd.Env = append(os.Environ(), c.Env...)
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// With is the same with more in its environment.
func (c Containers) With(env ...string) Containers {
	c.Env = append(append([]string(nil), c.Env...), env...)
	return c
}

// Must is Command where an error ends the test.
func (c Containers) Must(args ...string) string {
	c.t.Helper()
	out, err := c.Command(args...)
	if err != nil {
		var said string
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as Command gives it
			said = string(exit.Stderr)
		}
		c.t.Fatalf("%s %s: %v\n%s\n%s", c.Program, strings.Join(args, " "), err, out, said)
	}
	return out
}

// StartDocker starts a Docker without a network, with an empty store.
func StartDocker(t *testing.T) Containers {
	t.Helper()
	return serveDocker(t, exec.Command(Need(t, "dockerd", "docker.io")), Need(t, "runc", "runc"))
}

// StartPrivilegedDocker starts a Docker that makes privileged containers even
// where this machine withholds capabilities. enter is a command that runs it
// somewhere.
func StartPrivilegedDocker(t *testing.T, enter ...string) Containers {
	t.Helper()
	line := append(enter, Need(t, "dockerd", "docker.io"))
	return serveDocker(t, exec.Command(line[0], line[1:]...), PrivilegedRuntime(t))
}

// StartNewDocker starts a Docker of our time, whatever the machine itself has,
// with containerd's image store or with the classic one.
func StartNewDocker(t *testing.T, containerdStore bool) Containers {
	t.Helper()
	bin, _ := dockerRelease.install(t)
	config := filepath.Join(ownDir(t), "daemon.json")
	features := fmt.Sprintf(`{"features": {"containerd-snapshotter": %v}}`, containerdStore)
	if err := os.WriteFile(config, []byte(features), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, "dockerd"), "--config-file", config)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	return serveDocker(t, cmd, filepath.Join(bin, "runc"))
}

// serveDocker starts a dockerd with directories of its own, and no network.
func serveDocker(t *testing.T, cmd *exec.Cmd, runtime string) Containers {
	t.Helper()
	docker := Need(t, "docker", "docker.io")
	dir := ownDir(t)
	socket := "unix://" + filepath.Join(dir, "docker.sock")
	cmd.Args = append(cmd.Args, "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "run"), "--pidfile", filepath.Join(dir, "pid"),
		"-H", socket, "--bridge", "none", "--iptables=false", "--ip6tables=false", "--add-runtime", "tests="+runtime, "--default-runtime", "tests")
	StartCommand(t, cmd)
	c := Containers{docker, []string{"DOCKER_HOST=" + socket}, t}
	WaitFor(t, time.Minute, "dockerd", func() bool { _, err := c.Command("version"); return err == nil })
	return c
}

// StartPodman is podman with a storage of its own. Its limits may be more than a
// machine without CAP_SYS_RESOURCE allows.
func StartPodman(t *testing.T) Containers {
	t.Helper()
	podman := Need(t, "podman", "podman")
	dir := ownDir(t)
	// Sockets of containers are below it, and a path that is too long for one
	// (unix(7): 108 bytes) makes podman wait 20 seconds for every container.
	short, err := os.MkdirTemp("/run", "rb-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	files := map[string]string{
		"storage.conf": fmt.Sprintf("[storage]\ndriver = \"overlay\"\nrunroot = %q\ngraphroot = %q\n", short, filepath.Join(dir, "root")),
		"containers.conf": fmt.Sprintf("[engine]\ncgroup_manager = \"cgroupfs\"\nruntime = %q\nvolume_path = %q\n[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n",
			Need(t, "runc", "runc"), filepath.Join(dir, "volumes")),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := Containers{podman, []string{"CONTAINERS_STORAGE_CONF=" + filepath.Join(dir, "storage.conf"), "CONTAINERS_CONF=" + filepath.Join(dir, "containers.conf")}, t}
	t.Cleanup(func() {
		_, _ = Sh("umount", "-l", filepath.Join(dir, "root", "overlay"))
	})
	return c
}

// ownDir is a directory on a real disk.
func ownDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(Work, "engine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// withheld are capabilities that sandboxes of tests do not have, although root
// is at work: the runtime of privileged containers wants all of them.
var withheld = map[string]int{"CAP_SYS_RESOURCE": 24}

// runtimeScript takes what this machine does not have out of what a container,
// or a process for one, is to get.
const runtimeScript = `#!/bin/sh
before=
for word; do
	case $before in
	--bundle | -b) sed -i %[1]s "$word/config.json" ;;
	--process | -p) sed -i %[1]s "$word" ;;
	esac
	before=$word
done
exec %[2]s "$@"
`

// PrivilegedRuntime is an OCI runtime for privileged containers: runc, or a
// program around it where this machine withholds capabilities from root.
func PrivilegedRuntime(t *testing.T) string {
	t.Helper()
	runc := Need(t, "runc", "runc")
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(status), "CapBnd:")
	line, _, _ = strings.Cut(line, "\n")
	has, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		t.Fatalf("reading the capabilities of this process: %v", err)
	}
	var edits string
	for name, bit := range withheld {
		if has&(1<<bit) == 0 {
			edits += fmt.Sprintf(` -e 's/"%[1]s",//g' -e 's/,"%[1]s"//g'`, name)
		}
	}
	if edits == "" {
		return runc
	}
	script := filepath.Join(ownDir(t), "runc")
	if err := os.WriteFile(script, []byte(fmt.Sprintf(runtimeScript, edits, runc)), 0o755); err != nil {
		t.Fatal(err)
	}
	return script
}
