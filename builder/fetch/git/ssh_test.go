package git

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// newKey makes a key and gives it with its line for authorized_keys.
func newKey(t *testing.T) (ed25519.PrivateKey, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return private, string(ssh.MarshalAuthorizedKey(line))
}

// sshServer starts an sshd that takes the key and gives its address and its
// line for known_hosts.
func sshServer(t *testing.T, dir, authorized string) (address, known string) {
	t.Helper()
	host, public := newKey(t)
	block, err := ssh.MarshalPrivateKey(host, "")
	if err != nil {
		t.Fatal(err)
	}
	port := rig.FreePort(t)
	for name, text := range map[string]string{
		"host": string(pem.EncodeToMemory(block)), "authorized": authorized,
		"config": fmt.Sprintf("ListenAddress 127.0.0.1\nPort %d\nHostKey %s/host\nAuthorizedKeysFile %s/authorized\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n", port, dir, dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// sshd gives up its rights in a directory that the package's service makes.
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	rig.Start(t, rig.Need(t, "sshd", "openssh-server"), "-D", "-e", "-f", filepath.Join(dir, "config"))
	address = fmt.Sprintf("127.0.0.1:%d", port)
	rig.WaitFor(t, 20*time.Second, "sshd", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return address, fmt.Sprintf("[127.0.0.1]:%d %s", port, public)
}

// TestSSH fetches with a key of the ssh agent, from a host that is known.
func TestSSH(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	hash, _ := sample(t, filepath.Join(root, "x"))
	key, authorized := newKey(t)
	address, known := sshServer(t, dir, authorized)
	keys := agent.NewKeyring()
	socket := filepath.Join(dir, "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(keys, c) //nolint:errcheck // ends with the connection
		}
	}()
	t.Setenv("SSH_AUTH_SOCK", socket)
	t.Setenv("SSH_KNOWN_HOSTS", filepath.Join(dir, "known"))
	c := Commit{URLs: []string{"ssh://root@" + address + root + "/x"}, Hash: hash}
	refused := func(what string) {
		t.Helper()
		_, _, err := fetched(t, c, quick(t))
		var e *Error
		if !errors.As(err, &e) || e.Tried[0].Kind != Refused {
			t.Errorf("%s gives %v", what, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "known"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("a host that is not known")
	if err := os.WriteFile(filepath.Join(dir, "known"), []byte(known), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("an agent without keys")
	if err := keys.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	if got, _, err := fetched(t, c, quick(t)); err != nil || got != sampleListing() {
		t.Errorf("%v\n%s", err, got)
	}
	c.URLs[0] += "-none"
	if _, _, err := fetched(t, c, quick(t)); err == nil || !strings.Contains(err.Error(), "no git repository") {
		t.Errorf("a directory that is not there gives %v", err)
	}
}
