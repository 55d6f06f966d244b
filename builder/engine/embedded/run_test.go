//go:build linux

package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/engine"
)

func testRun(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	for _, c := range []struct {
		name           string
		args           []string
		user, cwd, in  string
		exit           int
		stdout, stderr string
	}{
		{name: "nothing", args: []string{"true"}},
		{name: "status", args: []string{"exit", "7"}, exit: 7},
		{name: "largest status", args: []string{"exit", "255"}, exit: 255},
		{name: "output", args: []string{"print", "to out", "to err"}, stdout: "to out\n", stderr: "to err\n"},
		{name: "input", args: []string{"cat"}, in: "some input\n", stdout: "some input\n"},
		{name: "input that nobody reads", args: []string{"exit", "4"}, in: strings.Repeat("x", 1<<20), exit: 4},
		{name: "no input", args: []string{"cat"}},
		{name: "user, directory and environment", args: []string{"whoami"}, user: "web", cwd: "/etc", stdout: "101 102 /etc value\n"},
		{name: "log is standard output", args: []string{"append", "/log", "logged"}, stdout: "logged\n"},
		{name: "log is standard output of a user", args: []string{"append", "/log", "logged"}, user: "web", stdout: "logged\n"},
		{name: "loopback only", args: []string{"interfaces"}, stdout: "lo\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, err := e.Run(context.Background(), engine.Run{
				Name: c.name, Image: f.target, Store: f.store, Args: append([]string{"/tool"}, c.args...),
				Env: []string{"TEST_VARIABLE=value"}, User: c.user, Cwd: c.cwd, Stdin: []byte(c.in), Timeout: 20 * time.Second,
			})
			if err != nil {
				t.Fatal(err)
			}
			if res.Exit != c.exit || string(res.Stdout) != c.stdout || string(res.Stderr) != c.stderr || res.TimedOut {
				t.Errorf("got %d, %.200q, %.200q, timed out %v; want %d, %q, %q", res.Exit, res.Stdout, res.Stderr, res.TimedOut, c.exit, c.stdout, c.stderr)
			}
		})
	}
}

func testRunKeepsTheTailOfOutput(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	res, err := e.Run(context.Background(), engine.Run{Name: "flood", Image: f.host, Store: f.store, Args: []string{"/tool", "flood", "200000"}})
	if err != nil {
		t.Fatal(err)
	}
	if res.Exit != 3 || len(res.Stdout) != outputLimit || !strings.HasSuffix(string(res.Stdout), "\nline 199999\n") {
		t.Errorf("exit %d, %d bytes, ending %q", res.Exit, len(res.Stdout), res.Stdout[len(res.Stdout)-20:])
	}
}

func testRunOfWhatIsNotThere(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	res, err := e.Run(context.Background(), engine.Run{Name: "absent", Image: f.target, Store: f.store, Args: []string{"/absent"}})
	if err != nil || res.Exit != 127 || !strings.Contains(string(res.Stderr), "/absent") {
		t.Errorf("got %+v, %v", res, err)
	}
}

func testRunTimesOut(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	for _, mode := range []string{"sleep", "stubborn"} {
		t.Run(mode, func(t *testing.T) {
			start := time.Now()
			res, err := e.Run(context.Background(), engine.Run{
				Name: mode, Image: f.target, Store: f.store, Args: []string{"/tool", mode}, Timeout: 700 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			if !res.TimedOut || res.Exit == 0 {
				t.Errorf("got %+v", res)
			}
			if mode == "stubborn" && (res.Exit != 137 || string(res.Stdout) != "ready\n") {
				t.Errorf("got exit %d, %q", res.Exit, res.Stdout)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func testRunIsCancelled(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	ctx, cancel := context.WithTimeout(context.Background(), 800*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := e.Run(ctx, engine.Run{Name: "sleep", Image: f.target, Store: f.store, Args: []string{"/tool", "sleep"}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
	assertNothingLeft(t, e.opts.Root)
}

// askServer is a probe that says hello and wants the server's answer.
func askServer(_ context.Context, stdin io.WriteCloser, stdout io.Reader) (bool, error) {
	if _, err := fmt.Fprintln(stdin, "hello"); err != nil {
		return false, fmt.Errorf("asking: %w", err)
	}
	answer, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	return answer == "you said hello\n", nil
}

func testProbe(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	for _, c := range []struct {
		name           string
		delay, address string
		ok             bool
		says           string
	}{
		{name: "after refusals", delay: "900ms", address: "127.0.0.1:80", ok: true},
		{name: "never", delay: "0s", address: "127.0.0.1:81", says: "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, err := e.Run(context.Background(), engine.Run{
				Name: c.name, Image: f.target, Store: f.store, Args: []string{"/tool", "serve", ":80", c.delay}, Timeout: 2500 * time.Millisecond,
				Probe: &engine.Probe{Mount: f.host, MountPath: "/.probe", Args: []string{"/.probe/tool", "connect", c.address}, Attempt: askServer},
			})
			if err != nil {
				t.Fatal(err)
			}
			if res.Probed != c.ok || res.TimedOut == c.ok {
				t.Errorf("got %+v", res)
			}
			if c.ok && (res.Exit != 0 || res.ProbeErr != nil) || !c.ok && (res.ProbeErr == nil || !strings.Contains(res.ProbeErr.Error(), c.says)) {
				t.Errorf("got exit %d, probe error %v", res.Exit, res.ProbeErr)
			}
		})
	}
}

func testProbeOfAServerThatEnds(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	res, err := e.Run(context.Background(), engine.Run{
		Name: "ends", Image: f.target, Store: f.store, Args: []string{"/tool", "exit", "4"}, Timeout: 10 * time.Second,
		Probe: &engine.Probe{Mount: f.host, MountPath: "/.probe", Args: []string{"/.probe/tool", "connect", "127.0.0.1:80"}, Attempt: askServer},
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.Probed || res.TimedOut || res.Exit != 4 || res.ProbeErr == nil {
		t.Errorf("got %+v", res)
	}
}

// A probe whose process ends at once must not disturb the main process, whatever is written to it.
func testProbeThatEndsAtOnce(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	attempts := 0
	res, err := e.Run(context.Background(), engine.Run{
		Name: "ends", Image: f.target, Store: f.store, Args: []string{"/tool", "stubborn"}, Timeout: 10 * time.Second,
		Probe: &engine.Probe{
			Mount: f.host, MountPath: "/.probe", Args: []string{"/.probe/tool", "exit", "1"},
			Attempt: func(_ context.Context, stdin io.WriteCloser, stdout io.Reader) (bool, error) {
				attempts++
				_, err := io.Copy(io.Discard, stdout)
				_, _ = stdin.Write(make([]byte, 1<<16)) // too late
				return attempts == 4, err
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !res.Probed || attempts != 4 || string(res.Stdout) != "ready\n" {
		t.Errorf("got %+v after %d attempts", res, attempts)
	}
}

func TestRunIsQuick(t *testing.T) {
	f := need(t)
	e := open(t, Options{})
	run := engine.Run{Name: "true", Image: f.target, Store: f.store, Args: []string{"/tool", "true"}}
	best := time.Hour
	for range 4 {
		start := time.Now()
		if _, err := e.Run(context.Background(), run); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	t.Logf("best run of true: %v", best)
	if best > 700*time.Millisecond {
		t.Errorf("a run of nothing took %v", best)
	}
}
