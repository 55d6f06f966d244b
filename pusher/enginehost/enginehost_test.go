package enginehost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAdvice: what the commands say in trouble leads to what helps.
func TestAdvice(t *testing.T) {
	for _, c := range []struct{ tool, said, want string }{
		{"docker", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", "systemctl start docker"},
		{"docker", "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock", "usermod -aG docker"},
		{"nerdctl", "time=\"...\" level=fatal msg=\"rootless containerd not running? (hint: use `containerd-rootless-setuptool.sh install` to start rootless containerd)", "sudo"},
		{"nerdctl", "level=fatal msg=\"cannot access containerd socket \\\"/run/containerd/containerd.sock\\\": no such file or directory\"", "start containerd"},
		{"podman", "Cannot connect to Podman. Please verify your connection to the Linux system using `podman system connection list`", "podman machine start"},
		{"docker", "docker: Error response from daemon: authorization denied by plugin opa: privileged containers are not allowed.", "no privileged containers"},
		{"docker", "OCI runtime create failed: runc create failed: unable to start container process: unable to apply caps: operation not permitted: unknown", "no privileged containers"},
		{"docker", "write /usr/bin/qemu-riscv64: no space left on device", "free space"},
		{"podman", "Error: creating container storage: the container name \"riscv-build-engine\" is already in use by 1234", "--name"},
		{"docker", "something else", "docker info"},
	} {
		err := (&Tool{name: c.tool}).fail(t.Context(), "starting container", "e", &commandError{line: c.tool + " run", said: c.said, err: errors.New("exit status 1")})
		var e *Error
		if !errors.As(err, &e) || e.ExitCode() != 3 || !strings.Contains(e.Advice, c.want) || !strings.Contains(err.Error(), c.said) {
			t.Errorf("%s: got %v, want %q", c.said, err, c.want)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&Tool{name: "docker"}).fail(gone, "starting container", "e", errors.New("killed")); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestInOneLine(t *testing.T) {
	const said = "WARNING: Error loading config file: open /home/anna/.docker/config.json: permission denied\n" +
		"docker: Error response from daemon: refused.\n\nRun 'docker run --help' for more information"
	if got := inOneLine(said); got != "docker: Error response from daemon: refused." {
		t.Errorf("got %q", got)
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{"riscv-build-engine": true, "e2": true, "a.b_c": true, "": false, "x": false, "-x": false, "a/b": false, "a b": false} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNoCommand(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var e *Error
	if _, err := Open(t.Context(), "nerdctl"); !errors.As(err, &e) || !strings.Contains(err.Error(), "no such command") {
		t.Errorf("got %v", err)
	}
	if _, err := Find(t.Context(), Engine{Name: "e"}); !errors.As(err, &e) || !strings.Contains(err.Error(), "podman") || !strings.Contains(e.Advice, "install") {
		t.Errorf("got %v", err)
	}
	// Docker Desktop can run containers of Windows.
	script := "#!/bin/sh\necho 'windows x86_64'\n"
	if err := os.WriteFile(filepath.Join(os.Getenv("PATH"), "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), "docker"); err == nil || !strings.Contains(err.Error(), "windows") {
		t.Errorf("got %v", err)
	}
}
