// Package rig is what the acceptance tests share: the built program, a
// directory of their own, programs that run beside a test and end with it, and
// the lines that are printed of an acceptance run.
package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	// Full says that the acceptance lines run with the full counts.
	Full = os.Getenv("RISCV_BUILD_ACCEPT") == "full"
	// Binary is the program under test, after Main has begun.
	Binary string
	// Work is a directory that is removed at the end, after Main has begun. It
	// is on a real disk: overlayfs needs one.
	Work string
)

// Main is the TestMain of a package: it builds the program, runs the tests and
// ends the process.
func Main(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests:", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (int, error) {
	var err error
	// Not os.TempDir(): that may be a tmpfs, on which overlayfs and the sizes
	// of a build are another matter.
	if Work, err = os.MkdirTemp("/var/tmp", "riscv-build-tests-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(Work)
	defer runFinally()
	Binary = filepath.Join(Work, "bin", "riscv-build")
	cmd := exec.Command("go", "build", "-trimpath", "-o", Binary, "./cmd/riscv-build")
	cmd.Dir = Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return m.Run(), nil
}

var finally []func()

// Finally has a function called when all tests of the package have ended, for
// what they share. The last one is called first.
func Finally(f func()) { finally = append(finally, f) }

func runFinally() {
	for len(finally) > 0 {
		last := len(finally) - 1
		f := finally[last]
		finally = finally[:last]
		f()
	}
}

// Root is the top of the checkout.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Figure is a line of the acceptance list with what was measured for it.
type Figure struct {
	Line       string // its name: `make accept LINE=...`
	Got, Limit string
	OK         bool
	Timing     bool // printed and not judged in the reduced run: a loaded machine must not turn a test red
}

// Report prints the figure, and fails the test if it exceeds the limit.
func (f Figure) Report(t *testing.T) {
	t.Helper()
	mark := "ok"
	switch {
	case !f.OK && f.Timing && !Full:
		mark = "not judged in the reduced run"
	case !f.OK:
		mark = "EXCEEDED"
	}
	fmt.Printf("accept %s | %s | limit %s | %s\n", f.Line, f.Got, f.Limit, mark)
	if !f.OK && (Full || !f.Timing) {
		t.Errorf("line %s: %s, the limit is %s", f.Line, f.Got, f.Limit)
	}
}

// Need fails the test when a program is missing.
func Need(t *testing.T, program, pkg string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s (tests/provision.sh test does it)", program, pkg)
	}
	return p
}

// Result is what a run of a program gave.
type Result struct {
	Stdout, Stderr string
	Code           int
	Took           time.Duration
}

// Run runs the program under test; env is added to the environment.
func Run(ctx context.Context, env []string, args ...string) Result {
	return Command(ctx, env, Binary, args...)
}

// Command runs any program; env is added to the environment. One that cannot be
// started has code 127.
func Command(ctx context.Context, env []string, name string, args ...string) Result {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	r := Result{Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(start)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.Code = exit.ExitCode()
	case err != nil:
		r.Code, r.Stderr = 127, err.Error()
	}
	return r
}

// Sh runs a program for its output, both streams of it, three minutes at most.
func Sh(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, Tail(string(out), 20))
	}
	return strings.TrimSpace(string(out)), nil
}

// Tail gives the last lines of a text.
func Tail(s string, lines int) string {
	l := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(l[max(0, len(l)-lines):], "\n")
}

// FreePort finds a free port of 127.0.0.1.
func FreePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Start runs a program beside the test and ends it, by its id, with the test.
// What it said is shown if the test failed.
func Start(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	StartCommand(t, cmd)
	return cmd
}

// StartCommand is Start for a command with settings of its own; its output goes
// to a file, whose name is given.
func StartCommand(t *testing.T, cmd *exec.Cmd) (log string) {
	t.Helper()
	file, err := os.CreateTemp(Work, "log-")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(15 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		if t.Failed() {
			text, _ := os.ReadFile(file.Name())
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), Tail(string(text), 30))
		}
		_ = file.Close()
	})
	return file.Name()
}

// WaitFor asks until it is ok, and fails the test after the limit.
func WaitFor(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s did not come up within %s", what, limit)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
