package remote

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// nobody runs a command as a user without rights.
var nobody = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"}

// TestLineEngineB: a user without rights, and with a context of Docker, has
// builds go there without naming anything.
func TestLineEngineB(t *testing.T) {
	c := newClient(t)
	rig.Need(t, "setpriv", "util-linux")
	here := c.build(t, c.recipe("web"))
	docker := rig.StartNewDocker(t, true)
	socket := strings.TrimPrefix(docker.Env[0], "DOCKER_HOST=")
	file := strings.TrimPrefix(socket, "unix://")
	if err := errors.Join(os.Chmod(file, 0o666), os.Chmod(filepath.Dir(file), 0o711)); err != nil {
		t.Fatal(err)
	}
	home := newHome(t, c)
	user := c.within(nobody...).with("HOME="+home, "DOCKER_HOST=", "DOCKER_CONFIG="+filepath.Join(home, ".docker"), "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=")
	user.dir = filepath.Join(home, "state")
	command := docker.With(user.env...)
	command.Must("context", "create", "vm", "--docker", "host="+socket)
	command.Must("context", "use", "vm")
	if _, err := rig.Sh("chown", "-R", "65534:65534", home); err != nil {
		t.Fatal(err)
	}

	var list struct {
		Engines []struct{ Engine, RISCV64 string }
	}
	r := user.run("engine", "ls", "--json")
	if err := json.Unmarshal([]byte(r.Stdout), &list); err != nil || r.Code != 0 {
		t.Fatalf("engine ls: exit %d, %v\n%s", r.Code, err, r.Stderr)
	}
	if last := list.Engines[len(list.Engines)-1]; last.Engine != "docker://" || last.RISCV64 == "" {
		t.Errorf("engine ls found %+v", list.Engines)
	}
	there := user.build(t, c.recipe("web"), "--no-cache")
	rig.Figure{
		Line: "engine B", Got: "with the engine of a context of docker, which was found: " + there.Digest, Limit: here.Digest,
		OK: there.Digest == here.Digest && strings.Contains(there.said, "building with the engine at docker://"),
	}.Report(t)
}

// newHome is a home directory of nobody, with what the client has downloaded.
func newHome(t *testing.T, c *client) string {
	t.Helper()
	if err := os.Chmod(rig.Work, 0o711); err != nil { // to those who know a name
		t.Fatal(err)
	}
	home, err := os.MkdirTemp(rig.Work, "home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	if err := os.MkdirAll(filepath.Join(home, "state"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := rig.Sh("cp", "-r", filepath.Join(c.dir, "content"), filepath.Join(home, "state")); err != nil {
		t.Fatal(err)
	}
	return home
}
