package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ContainerdOptions say which containerd a test wants.
type ContainerdOptions struct {
	Suite string // Bookworm, Trixie or Forky
	CRI   bool   // with the services of Kubernetes
	// At is the address of the socket below /run, such as K3s's
	// /run/k3s/containerd/containerd.sock. Only the programs that Command and Run
	// start see it: containerd and they have a /run of their own. Empty: a
	// socket in the directory of the test, which every program sees.
	At string
}

// Containerd runs beside a test, with directories of its own, and ends with it.
// What its runc keeps and cgroups are the machine's: let containers have names
// that no other test uses at the same time.
type Containerd struct {
	Version string // 1.7.24~ds1
	Socket  string // as the programs of Command and Run see it
	Root    string // where it keeps its content and snapshots

	t       *testing.T
	opt     ContainerdOptions
	bin     string // its programs
	dir     string
	holder  int // the process that holds the mount namespace; 0: there is none of its own
	log     *os.File
	server  *exec.Cmd // nil: not running
	stopped chan struct{}
}

// StartContainerd starts the containerd of a release of Debian, whatever the
// machine itself has.
func StartContainerd(t *testing.T, opt ContainerdOptions) *Containerd {
	t.Helper()
	if _, known := containerdReleases[opt.Suite]; !known {
		t.Fatalf("there is no containerd of %q: use rig.Bookworm, rig.Trixie or rig.Forky", opt.Suite)
	}
	dir, err := os.MkdirTemp(Work, "containerd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &Containerd{t: t, opt: opt, dir: dir, Root: filepath.Join(dir, "root"), Socket: filepath.Join(dir, "containerd.sock")}
	c.bin, c.Version = containerdReleases[opt.Suite].install(t)
	if opt.At != "" {
		c.Socket = opt.At
		c.ownRun()
	}
	if err := os.WriteFile(c.configFile(), []byte(c.config()), 0o644); err != nil {
		t.Fatal(err)
	}
	if c.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	c.Start()
	return c
}

// ownRun makes a mount namespace in which /run is the machine's, and what is
// written to it stays apart.
func (c *Containerd) ownRun() {
	t := c.t
	t.Helper()
	Need(t, "unshare", "util-linux")
	Need(t, "nsenter", "util-linux")
	script := `mkdir "$1/run" "$1/work"
mount -t overlay overlay -o lowerdir=/run,upperdir="$1/run",workdir="$1/work" /run
touch "$1/ready"
exec sleep infinity`
	c.holder = Start(t, "unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", c.dir).Process.Pid
	WaitFor(t, 20*time.Second, "a /run of its own", func() bool {
		_, err := os.Stat(filepath.Join(c.dir, "ready"))
		return err == nil
	})
}

func (c *Containerd) configFile() string { return filepath.Join(c.dir, "config.toml") }

// config is the configuration, in the format of the version: nothing is shared
// with another containerd of the machine.
func (c *Containerd) config() string {
	format := containerdReleases[c.opt.Suite].format
	var disabled string
	switch {
	case c.opt.CRI:
	case format == 2:
		disabled = `"io.containerd.grpc.v1.cri"`
	default:
		disabled = `"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"`
	}
	text := fmt.Sprintf(`version = %d
root = %q
state = %q
disabled_plugins = [%s]
[grpc]
address = %q
[plugins."io.containerd.internal.v1.opt"]
path = %q
`, format, c.Root, filepath.Join(c.dir, "state"), disabled, c.Socket, filepath.Join(c.dir, "opt"))
	if c.opt.Suite != Bookworm {
		// It would have a socket at one place of the machine.
		text += "[plugins.\"io.containerd.nri.v1.nri\"]\ndisable = true\n"
	}
	return text
}

// Start starts it again after Stop or Kill, and waits until it answers.
func (c *Containerd) Start() {
	c.t.Helper()
	c.server = c.Command([]string{"PATH=" + c.bin + ":" + os.Getenv("PATH")}, filepath.Join(c.bin, "containerd"), "--config", c.configFile())
	c.server.Stdout, c.server.Stderr = c.log, c.log
	if err := c.server.Start(); err != nil {
		c.server = nil
		c.t.Fatalf("starting containerd %s: %v", c.Version, err)
	}
	server, stopped := c.server, make(chan struct{})
	c.stopped = stopped
	go func() { _ = server.Wait(); close(stopped) }()
	WaitFor(c.t, 30*time.Second, "containerd "+c.Version, func() bool {
		select {
		case <-stopped:
			c.t.Fatalf("containerd %s has ended: %s", c.Version, server.ProcessState)
		default:
		}
		return c.Ctr("version").Code == 0
	})
}

// Stop stops it as a service manager does: containers go on running.
func (c *Containerd) Stop() { c.signal(syscall.SIGTERM) }

// Kill stops it by SIGKILL: containers go on running.
func (c *Containerd) Kill() { c.signal(syscall.SIGKILL) }

// Restart is Stop and Start.
func (c *Containerd) Restart() {
	c.t.Helper()
	c.Stop()
	c.Start()
}

func (c *Containerd) signal(s syscall.Signal) {
	if c.server == nil {
		return
	}
	_ = c.server.Process.Signal(s)
	select {
	case <-c.stopped:
	case <-time.After(15 * time.Second):
		_ = c.server.Process.Kill()
		<-c.stopped
	}
	c.server = nil
}

// Command is a command that finds containerd at its Socket; env is added to the
// environment. With a /run of its own it begins in /: let names be absolute.
func (c *Containerd) Command(env []string, name string, args ...string) *exec.Cmd {
	name, args = c.enter(name, args)
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

// Run is the function Command of this package for a program that finds
// containerd at its Socket.
func (c *Containerd) Run(ctx context.Context, env []string, name string, args ...string) Result {
	name, args = c.enter(name, args)
	return Command(ctx, env, name, args...)
}

func (c *Containerd) enter(name string, args []string) (string, []string) {
	if c.holder == 0 {
		return name, args
	}
	return "nsenter", append([]string{"--target", strconv.Itoa(c.holder), "--mount", "--", name}, args...)
}

// Ctr runs its ctr, a minute at most.
func (c *Containerd) Ctr(args ...string) Result {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return c.Run(ctx, nil, filepath.Join(c.bin, "ctr"), append([]string{"--address", c.Socket}, args...)...)
}

// MustCtr gives the output of a ctr that has to succeed.
func (c *Containerd) MustCtr(args ...string) string {
	c.t.Helper()
	r := c.Ctr(args...)
	if r.Code != 0 {
		c.t.Fatalf("ctr %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, Tail(r.Stdout, 10), Tail(r.Stderr, 10))
	}
	return strings.TrimSpace(r.Stdout)
}

// Reach is the address of the socket for the test itself, which sees the
// machine's /run.
func (c *Containerd) Reach() string {
	if c.holder == 0 {
		return c.Socket
	}
	return fmt.Sprintf("/proc/%d/root%s", c.holder, c.Socket)
}

// Pid is the process of containerd.
func (c *Containerd) Pid() int { return c.server.Process.Pid }
