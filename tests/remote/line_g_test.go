package remote

import (
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/tests/board/boardrig"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestLineEngineG: from an empty Docker to an image that its container builds,
// where nothing but a mirror of Debian can be reached.
func TestLineEngineG(t *testing.T) {
	c, recipe := newClient(t), "pause"
	if rig.Full {
		recipe = "busybox"
	}
	here := c.build(t, recipe)
	n := newNamespace(t)
	docker := rig.StartPrivilegedDocker(t, n.enter()...)
	alone := c.within(n.enter()...).with(append(docker.Env, n.mirrorOnly()...)...)
	if rig.Full { // with nothing downloaded
		alone.dir = filepath.Join(rig.Work, "alone")
	}
	besides(t)
	if r := alone.run("engine", "up", "--with", "docker", "--name", engineContainer); r.Code != 0 {
		t.Fatalf("engine up: exit %d\n%s", r.Code, rig.Tail(r.Stderr, 30))
	}
	there := alone.build(t, recipe, "--no-cache", "--engine", "docker-container://"+engineContainer)
	rig.Figure{
		Line: "engine G", Got: recipe + " built by " + there.Engine + ", with a mirror and nothing else: " + there.Digest, Limit: here.Digest,
		OK: there.Digest == here.Digest,
	}.Report(t)
}

// mirrorOnly lets those inside reach the mirror of the tests.
func (n namespace) mirrorOnly() (env []string) {
	n.t.Helper()
	l := n.listen()
	var to string
	for _, kv := range boardrig.MirrorEnv(n.t) {
		key, value, _ := strings.Cut(kv, "=")
		if u, err := url.Parse(value); err == nil && u.Host != "" {
			to, u.Host = u.Host, l.Addr().String()
			value = u.String()
		}
		env = append(env, key+"="+value)
	}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			go func() { _, _ = io.Copy(far, near); far.Close() }()
			go func() { _, _ = io.Copy(near, far); near.Close() }()
		}
	}()
	return env
}
