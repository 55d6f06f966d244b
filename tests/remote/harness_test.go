// Package remote drives the built program against engines elsewhere: each kind
// of connection is a real one, to the engine that another run of the program
// serves. What a test needs and does not find fails it, with the name of the
// package.
package remote

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// client is a machine that builds elsewhere: its state directory and environment.
type client struct {
	dir     string
	recipes string // directory of the recipes of testdata
	env     []string
	prefix  []string // a command that runs the program somewhere
}

var (
	clientOnce sync.Once
	theClient  *client
)

// newClient is what all tests share: their recipes are built one way or the
// other all the time, and root filesystems are assembled once.
func newClient(t *testing.T) *client {
	t.Helper()
	clientOnce.Do(func() {
		c := &client{dir: engineState(), recipes: filepath.Join(rig.Work, "recipes")}
		if err := os.CopyFS(c.recipes, os.DirFS("testdata")); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"one", "other"} {
			if err := c.quick(name); err != nil {
				t.Fatal(err)
			}
		}
		// The mirror of a test machine may be in the middle of a synchronisation.
		if r := c.run("lock", "--allow-expired", c.recipe("web"), c.recipe("slow"), c.recipe("one"), c.recipe("other")); r.Code != 0 {
			t.Fatalf("locking the recipes: exit %d\n%s", r.Code, r.Stderr)
		}
		theClient = c
	})
	return theClient
}

// quick makes a recipe of the slow one that does not wait.
func (c *client) quick(name string) error {
	text, err := os.ReadFile(c.recipe("slow"))
	if err != nil {
		return err
	}
	changed := strings.NewReplacer("slow", name, "sleep 16.5\n", "").Replace(string(text))
	return os.WriteFile(c.recipe(name), []byte(changed), 0o644)
}

// with is the client with more in its environment.
func (c *client) with(env ...string) *client {
	other := *c
	other.env = append(append([]string(nil), c.env...), env...)
	return &other
}

func (c *client) recipe(name string) string { return filepath.Join(c.recipes, name+".toml") }

func (c *client) run(args ...string) rig.Result {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	line := append(append(append([]string(nil), c.prefix...), rig.Binary), args...)
	return rig.Command(ctx, c.env, line[0], append(line[1:], "--state-dir", c.dir)...)
}

// within is the client as a command runs it.
func (c *client) within(command ...string) *client {
	other := *c
	other.prefix = command
	return &other
}

// built is what the report of a build says.
type built struct {
	Digest, Engine, Mode string
	Cached               bool
	Tests                []struct {
		Name       string
		OK, Cached bool
	}
	sent, received int64
	took           time.Duration
	said           string // on standard error
}

var traffic = regexp.MustCompile(`(?m)^engine: (\d+) bytes sent, (\d+) bytes received$`)

// build builds one recipe and fails the test if that fails.
func (c *client) build(t *testing.T, args ...string) built {
	t.Helper()
	r := c.run(append([]string{"build", "--json", "-v", "--progress", "plain"}, args...)...)
	if r.Code != 0 {
		t.Fatalf("riscv-build %s: exit %d\n%s\n%s", strings.Join(args, " "), r.Code, r.Stdout, rig.Tail(r.Stderr, 60))
	}
	var report struct{ Results []built }
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil || len(report.Results) != 1 {
		t.Fatalf("reading the report: %v\n%s", err, r.Stdout)
	}
	b := report.Results[0]
	b.took, b.said = r.Took, r.Stderr
	if m := traffic.FindStringSubmatch(r.Stderr); m != nil {
		b.sent, _ = strconv.ParseInt(m[1], 10, 64)
		b.received, _ = strconv.ParseInt(m[2], 10, 64)
	}
	return b
}

// server is an engine that another run of the program serves.
type server struct {
	cmd    *exec.Cmd
	dir    string
	socket string // of one that listens at one
}

func newServer(t *testing.T) *server {
	t.Helper()
	rig.Need(t, "runc", "runc")
	dir, err := os.MkdirTemp(rig.Work, "server-")
	if err != nil {
		t.Fatal(err)
	}
	return &server{dir: dir, socket: filepath.Join(dir, "engine.sock")}
}

// serve starts an engine at its socket.
func serve(t *testing.T) *server {
	t.Helper()
	s := newServer(t)
	s.start(t, "--addr", s.url())
	return s
}

func (s *server) url() string { return "unix://" + s.socket }

// start serves until the test ends, or the process is killed.
func (s *server) start(t *testing.T, args ...string) {
	t.Helper()
	s.cmd = exec.Command(rig.Binary, s.args(args...)...)
	s.run(t)
}

func (s *server) args(more ...string) []string {
	return append([]string{"engine", "serve", "--containerd", "none", "--state-dir", filepath.Join(s.dir, "state")}, more...)
}

// run runs the command that serves.
func (s *server) run(t *testing.T) {
	t.Helper()
	log := rig.StartCommand(t, s.cmd)
	rig.WaitFor(t, 20*time.Second, "the engine", func() bool {
		text, _ := os.ReadFile(log)
		return strings.Contains(string(text), "serving the engine")
	})
}
