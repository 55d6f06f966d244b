package remote

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

func port(t *testing.T) string { return strconv.Itoa(rig.FreePort(t)) }

// host is a machine that ssh leads to: a real sshd at a port of this one.
type host struct {
	dir  string
	port string
	path string // PATH of the client, where ssh has the test's configuration
}

// newHost starts an sshd that accepts the key that the client has, and where
// this program is installed under the names.
func newHost(t *testing.T, names ...string) *host {
	t.Helper()
	sshd := rig.Need(t, "sshd", "openssh-server")
	rig.Need(t, "ssh", "openssh-client")
	dir, err := os.MkdirTemp(rig.Work, "ssh-")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{dir: dir, port: port(t), path: filepath.Join(dir, "client") + ":" + os.Getenv("PATH")}
	for _, sub := range []string{"client", "bin"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		if err := os.Symlink(rig.Binary, filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"host", "user", "stranger"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)).CombinedOutput(); err != nil {
			t.Fatalf("making a key: %v: %s", err, out)
		}
	}
	h.write(t, "sshd_config", 0o600, fmt.Sprintf("ListenAddress 127.0.0.1\nPort %s\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nSetEnv PATH=%s:/usr/bin:/bin\n",
		h.port, filepath.Join(dir, "host"), filepath.Join(dir, "user.pub"), filepath.Join(dir, "bin")))
	public, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, "known_hosts", 0o600, fmt.Sprintf("[127.0.0.1]:%s %s", h.port, public))
	h.trust(t, "user", "known_hosts")
	// sshd gives up its rights in a directory that the package's service makes.
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	rig.Start(t, sshd, "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	rig.WaitFor(t, 10*time.Second, "sshd", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+h.port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return h
}

func (h *host) write(t *testing.T, name string, mode os.FileMode, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// trust has the client's ssh use a key and a list of known hosts.
func (h *host) trust(t *testing.T, key, known string) {
	t.Helper()
	ssh := rig.Need(t, "ssh", "openssh-client")
	h.write(t, "ssh_config", 0o600, fmt.Sprintf("IdentityFile %s\nIdentitiesOnly yes\nIdentityAgent none\nUserKnownHostsFile %s\nGlobalKnownHostsFile /dev/null\n",
		filepath.Join(h.dir, key), filepath.Join(h.dir, known)))
	h.write(t, "client/ssh", 0o755, fmt.Sprintf("#!/bin/sh\nexec %s -F %s \"$@\"\n", ssh, filepath.Join(h.dir, "ssh_config")))
}

func (h *host) url(socket string) string { return "ssh://root@127.0.0.1:" + h.port + socket }
