package registry

import (
	"bytes"
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

	"github.com/containerd/console"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// machine is what a program takes for a computer of its own: a network, /etc and
// /run that no other has, a home directory. All of it ends with one process.
type machine struct {
	t   *testing.T
	pid int    // of the process that holds the namespaces
	dir string // on a real disk; home and what else is written
	env []string
}

// newMachine makes one.
func newMachine(t *testing.T) *machine {
	t.Helper()
	rig.Need(t, "unshare", "util-linux")
	rig.Need(t, "nsenter", "util-linux")
	rig.Need(t, "ip", "iproute2")
	dir, err := os.MkdirTemp(rig.Work, "machine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"work", "home"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script := `ip link set lo up; mount -t tmpfs tmpfs /run; touch "$1/ready"; exec sleep infinity`
	holder := exec.Command("unshare", "--net", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", dir)
	rig.StartCommand(t, holder)
	rig.WaitFor(t, 20*time.Second, "a machine", func() bool { return exists(filepath.Join(dir, "ready")) })
	return &machine{t: t, pid: holder.Process.Pid, dir: dir, env: []string{
		"HOME=" + filepath.Join(dir, "home"), "XDG_RUNTIME_DIR=", "XDG_CONFIG_HOME=", "DOCKER_CONFIG=", "DOCKER_HOST=", "REGISTRY_AUTH_FILE=",
	}}
}

// adopt lays what root/etc has over the machine's /etc, and has changes of that
// go there. It must be on the file system of the machine's directory.
func (m *machine) adopt(root string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		m.t.Fatal(err)
	}
	m.must(fmt.Sprintf("mount -t overlay overlay -o lowerdir=/etc,upperdir=%s/etc,workdir=%s/work /etc", root, m.dir))
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// connect lays a cable between two machines, and gives them addresses of one
// network (/24).
func connect(t *testing.T, a, b *machine, addresses [2]string) {
	t.Helper()
	a.must("ip link add eth0 type veth peer name eth0 netns " + strconv.Itoa(b.pid))
	for i, m := range []*machine{a, b} {
		m.must("ip address add " + addresses[i] + "/24 dev eth0")
		m.must("ip link set eth0 up")
	}
}

// command is a command on the machine.
func (m *machine) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", m.enter(name, args)...)
	cmd.Env = append(os.Environ(), m.env...)
	return cmd
}

func (m *machine) enter(name string, args []string) []string {
	return append([]string{"--target", strconv.Itoa(m.pid), "--net", "--mount", "--", name}, args...)
}

// run runs a command line without quotes on the machine, a minute at most.
func (m *machine) run(line string) rig.Result {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	words := strings.Fields(line)
	return rig.Command(ctx, m.env, "nsenter", m.enter(words[0], words[1:])...)
}

// must gives the output of a command that has to succeed.
func (m *machine) must(line string) string {
	m.t.Helper()
	r := m.run(line)
	if r.Code != 0 {
		m.t.Fatalf("%s: exit code %d\n%s%s", line, r.Code, rig.Tail(r.Stdout, 10), rig.Tail(r.Stderr, 10))
	}
	return strings.TrimSpace(r.Stdout)
}

// refused holds that a command fails, and says one of some things.
func (m *machine) refused(line string, says ...string) {
	m.t.Helper()
	r := m.run(line)
	text := strings.ToLower(r.Stdout + r.Stderr)
	for _, s := range says {
		if r.Code != 0 && strings.Contains(text, s) {
			return
		}
	}
	m.t.Errorf("%s: exit code %d, want a failure that says one of %q\n%s", line, r.Code, says, rig.Tail(text, 10))
}

// typed runs a command at a terminal, and types an answer when it asks.
func (m *machine) typed(line, prompt, answer string) {
	m.t.Helper()
	terminal, name, err := console.NewPty()
	if err != nil {
		m.t.Fatal(err)
	}
	defer terminal.Close()
	tty, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	words := strings.Fields(line)
	cmd := m.command(words[0], words[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	tty.Close()
	if err != nil {
		m.t.Fatal(err)
	}
	stuck := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	var said bytes.Buffer
	asked := false
	for buf := make([]byte, 4096); ; {
		n, err := terminal.Read(buf)
		said.Write(buf[:n])
		if !asked && bytes.Contains(said.Bytes(), []byte(prompt)) {
			asked = true
			fmt.Fprintf(terminal, "%s\n", answer)
		}
		if err != nil {
			break // the program has closed its side
		}
	}
	if err := cmd.Wait(); err != nil || !asked {
		m.t.Fatalf("%s: %v\n%s", line, err, said.String())
	}
}
