package remote

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// says fails the test unless a run ended with a status and said all of the words.
func says(t *testing.T, r rig.Result, code int, words ...string) {
	t.Helper()
	last := rig.Tail(r.Stderr, 12)
	if r.Code != code {
		t.Errorf("exit %d, want %d\n%s", r.Code, code, last)
	}
	for _, w := range words {
		if !strings.Contains(r.Stderr, w) {
			t.Errorf("it does not say %q:\n%s", w, last)
		}
	}
}

// TestLineEngineE: the message names the engine, the cause and what
// to do; the exit status is 3, or 2 where it is the command line.
func TestLineEngineE(t *testing.T) {
	c := newClient(t)
	ours, theirs := newAuthority(t), newAuthority(t)
	secured := serveTLS(t, ours.issue(ours))
	h := newHost(t, "buildctl")
	closed := "127.0.0.1:" + port(t)
	for _, x := range []struct {
		name  string
		args  []string
		env   []string
		code  int
		words []string
	}{
		{"no kind", []string{"--engine", "http://127.0.0.1"}, nil, 2, []string{`"http://127.0.0.1"`, "ssh://[USER@]HOST"}},
		{"a password", []string{"--engine", "ssh://me:secret@host"}, nil, 2, []string{"use a key"}},
		{"no socket", []string{"--engine", "unix:///absent.sock"}, nil, 3, []string{`"unix:///absent.sock"`, "engine serve"}},
		{"refused", []string{"--engine", "tcp://" + closed}, nil, 3, []string{closed, "connection refused", "engine serve"}},
		{"TCP without TLS", []string{"--engine", "tcp://192.0.2.1:1234"}, nil, 3, []string{"without TLS", "--engine-tls"}},
		{"no certificates", []string{"--engine", secured, "--engine-tls", "/absent"}, nil, 3, []string{"/absent", "ca.pem"}},
		{"another's engine", []string{"--engine", secured, "--engine-tls", ours.issue(theirs)}, nil, 3, []string{"is not trusted", "ca.pem"}},
		{"another's client", []string{"--engine", secured, "--engine-tls", theirs.issue(ours)}, nil, 3, []string{"does not accept this client's certificate", "cert.pem"}},
		{"another's name", []string{"--engine", strings.Replace(secured, "127.0.0.1", "127.0.0.2", 1), "--engine-tls", ours.issue(ours)}, nil, 3, []string{"127.0.0.2", "engine"}},
		{"not TLS", []string{"--engine", "tcp://127.0.0.1:" + h.port, "--engine-tls", ours.issue(ours)}, nil, 3, []string{"does not speak TLS"}},
		{"no engine behind ssh", []string{"--engine", h.url("/absent.sock")}, []string{"PATH=" + h.path}, 3, []string{"no engine listens", "engine serve"}},
		{"no host behind ssh", []string{"--engine", "ssh://root@" + closed}, []string{"PATH=" + h.path}, 3, []string{"refuses the connection"}},
		{"no docker", []string{"--engine", "docker://"}, []string{"DOCKER_HOST=unix:///absent.sock"}, 3, []string{"/absent.sock", "docker info"}},
		{"no such context", []string{"--engine", "docker://absent"}, []string{"DOCKER_CONFIG=" + rig.Work}, 3, []string{`"absent"`, "docker context ls"}},
		{"no such program", []string{"--engine", "nerdctl-container://absent"}, []string{"PATH=/absent"}, 3, []string{"nerdctl is not installed"}},
		{"no such container of podman", []string{"--engine", "podman-container://absent"}, nil, 3, []string{"absent", "podman ps"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			args := append([]string{"pause", "--no-cache", "--progress", "plain"}, x.args...)
			says(t, c.with(x.env...).run(args...), x.code, x.words...)
		})
	}
	h.trust(t, "stranger", "known_hosts")
	t.Run("key refused", func(t *testing.T) {
		says(t, c.with("PATH="+h.path).run("pause", "--engine", h.url("")), 3, "the key was not accepted", "authorized_keys", "Permission denied")
	})
	h.trust(t, "user", "absent")
	t.Run("host unknown", func(t *testing.T) {
		says(t, c.with("PATH="+h.path).run("pause", "--engine", h.url("")), 3, "does not know the key of the host", "connect once by hand")
	})
}

// TestLineEngineENoEmulation: an engine that does not run riscv64 programs is found out
// before the first test, not by its failure.
func TestLineEngineENoEmulation(t *testing.T) {
	c := newClient(t)
	s := newServer(t)
	// Since Linux 6.7 a user namespace can have handlers of its own: none.
	script := `mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && exec "$0" "$@"`
	s.cmd = exec.Command("sh", append([]string{"-c", script, rig.Binary}, s.args("--addr", s.url())...)...)
	same := []syscall.SysProcIDMap{{Size: 1 << 16}}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: same, GidMappings: same, GidMappingsEnableSetgroups: true}
	s.run(t)
	// It has nothing to compile, only tests.
	says(t, c.run(c.recipe("web"), "--no-cache", "--engine", s.url()), 3, "riscv64 programs do not run on the engine", s.url(), "qemu-user-static")
}

// TestLineEngineEDocker: Dockers whose BuildKit is too old, or exports nothing,
// are real ones.
func TestLineEngineEDocker(t *testing.T) {
	c := newClient(t)
	t.Run("classic store", func(t *testing.T) {
		classic := c.with(rig.StartNewDocker(t, false).Env...)
		says(t, classic.run("pause", "--engine", "docker://"), 3, "classic store", "containerd-snapshotter", "engine up")
		says(t, classic.run("pause", "--engine", "docker-container://absent"), 3, "there is no container", "docker ps")
	})
	docker := rig.StartDocker(t)
	if version := docker.Must("version", "-f", "{{.Server.Version}}"); strings.HasPrefix(version, "20.") { // that of Debian 12
		t.Run("docker "+version, func(t *testing.T) {
			says(t, c.with(docker.Env...).run("pause", "--engine", "docker://"), 3, "the graphs need v0.12", "docker 24")
		})
	}
}

// link is a connection to a server that can be cut, or freeze.
type link struct {
	relay
	frozen sync.RWMutex // while it is locked, nothing goes through
}

func newLink(t *testing.T, socket string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{relay: relay{listener: l, network: "unix", to: socket}}
	k.pipe = k.copy
	t.Cleanup(k.cut)
	go k.serve()
	return k
}

func (k *link) url() string { return "tcp://" + k.listener.Addr().String() }

func (k *link) copy(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 1<<15)
	for {
		n, err := from.Read(buf)
		k.frozen.RLock()
		_, failed := to.Write(buf[:n])
		k.frozen.RUnlock()
		if err != nil || failed != nil {
			return
		}
	}
}

// during runs a build and calls f when its slow step runs.
func during(t *testing.T, c *client, url string, f func(build *os.Process)) rig.Result {
	t.Helper()
	log, err := os.CreateTemp(rig.Work, "build-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(rig.Binary, "build", c.recipe("slow"), "--no-cache", "--progress", "plain", "--engine", url, "--state-dir", c.dir)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text := func() string {
		b, _ := os.ReadFile(log.Name())
		return string(b)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	for end := time.After(4 * time.Minute); !strings.Contains(text(), "the step runs\n"); {
		select {
		case <-time.After(50 * time.Millisecond):
			continue
		case <-end:
			_ = cmd.Process.Kill()
			<-ended
		case <-ended:
		}
		t.Fatalf("the slow step did not begin:\n%s", rig.Tail(text(), 30))
	}
	f(cmd.Process)
	start := time.Now()
	<-ended
	return rig.Result{Stderr: text(), Code: cmd.ProcessState.ExitCode(), Took: time.Since(start)}
}

// TestLineEngineEMiddle: what ends a build from outside says so, with status 4, and
// the next build goes on.
func TestLineEngineEMiddle(t *testing.T) {
	c := newClient(t)
	s := serve(t)
	t.Run("link cut", func(t *testing.T) {
		k := newLink(t, s.socket)
		r := during(t, c, k.url(), func(*os.Process) { k.cut() })
		says(t, r, 4, k.url(), "the connection broke, or the engine ended", "start the build again")
		if r.Took > 10*time.Second {
			t.Errorf("it took %v to notice", r.Took)
		}
	})
	if rig.Full {
		t.Run("link dead without a word", func(t *testing.T) {
			k := newLink(t, s.socket)
			defer k.frozen.Unlock()
			r := during(t, c, k.url(), func(*os.Process) { k.frozen.Lock() })
			says(t, r, 4, k.url(), "start the build again")
			rig.Figure{Line: "engine E", Got: fmt.Sprintf("a dead link noticed after %v", r.Took), Limit: "2m", OK: r.Took < 2*time.Minute}.Report(t)
		})
	}
	t.Run("engine killed", func(t *testing.T) {
		r := during(t, c, s.url(), func(*os.Process) { _ = s.cmd.Process.Kill() })
		says(t, r, 4, s.url(), "the connection broke, or the engine ended", "start the build again")
	})
	s.start(t, "--addr", s.url())
	t.Run("engine started again", func(t *testing.T) {
		b := c.build(t, c.recipe("slow"), "--engine", s.url())
		if b.sent > 100_000 {
			t.Errorf("%d bytes sent: what the engine had was lost", b.sent)
		}
	})
	t.Run("client interrupted", func(t *testing.T) {
		var pid int
		r := during(t, c, s.url(), func(build *os.Process) {
			pid = sleeping()
			_ = build.Signal(syscall.SIGINT)
		})
		says(t, r, 130)
		rig.WaitFor(t, 10*time.Second, "the end of the step", func() bool { return sleeping() != pid })
	})
	t.Run("engine told to end", func(t *testing.T) {
		r := during(t, c, s.url(), func(*os.Process) { _ = s.cmd.Process.Signal(syscall.SIGTERM) })
		says(t, r, 4, "the connection broke, or the engine ended")
		rig.WaitFor(t, 15*time.Second, "the end of the engine", func() bool { return sleeping() == 0 })
	})
}

// sleeping is the id of the process that the slow step waits with, 0 if there is none.
func sleeping() int {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		if text, err := os.ReadFile(file); err == nil && string(text) == "sleep\x0016.5\x00" {
			var pid int
			_, _ = fmt.Sscanf(file, "/proc/%d/", &pid)
			return pid
		}
	}
	return 0
}
