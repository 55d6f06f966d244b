// Package registry drives the private registry, and the clients of one, against
// real parts: engines, tools, registries of others, a proxy that breaks
// connections. The acceptance lines are tests of their own (line_*_test.go), full
// or reduced as in package tests.
package registry

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// server is a `riscv-build registry serve` of a test's own.
type server struct {
	addr string // HOST:PORT
	root string
	wide bool // on all addresses of 127.0.0.0/8 and others
	cmd  *exec.Cmd
}

// serve starts a registry, plain HTTP on a free port of 127.0.0.1; args are more
// flags. It ends with the test.
func serve(t *testing.T, args ...string) *server {
	t.Helper()
	s := newServer(t)
	s.start(t, args...)
	return s
}

// newServer chooses a port and a directory.
func newServer(t *testing.T) *server {
	t.Helper()
	root, err := os.MkdirTemp(rig.Work, "registry-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	return &server{addr: fmt.Sprintf("127.0.0.1:%d", rig.FreePort(t)), root: root}
}

// start starts it, again too, on the same address and directory.
func (s *server) start(t *testing.T, args ...string) {
	t.Helper()
	listen := s.addr
	if s.wide {
		listen = s.addr[strings.LastIndex(s.addr, ":"):]
	}
	s.cmd = rig.Start(t, rig.Binary, append([]string{"registry", "serve", "--addr", listen, "--root", s.root}, args...)...)
	rig.WaitFor(t, 20*time.Second, "the registry", func() bool {
		resp, err := http.Get("http://" + s.addr + "/v2/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
}

// TestServeComesUp: what the lines stand on.
func TestServeComesUp(t *testing.T) {
	s := serve(t)
	resp, err := http.Get("http://" + s.addr + "/v2/_catalog")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the catalogue of an empty registry: %v, %v", resp, err)
	}
	resp.Body.Close()
}
