package imagestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"riscv64/nginx:1.26":                 "docker.io/riscv64/nginx:1.26",
		"nginx":                              "docker.io/library/nginx:latest",
		"http://192.168.1.5:6000/team/app:1": "192.168.1.5:6000/team/app:1",
		"localhost:5000/app":                 "localhost:5000/app:latest",
	} {
		if got, err := Normal(name); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]string{
		"riscv64/Nginx":                         "lower case",
		"a b":                                   "lower case",
		"app@sha256:" + strings.Repeat("0", 64): "write a tag",
	} {
		if err := CheckName(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	if err := CheckName(ForThisRun()); err != nil || !isForARun(ForThisRun()) {
		t.Errorf("%s: %v", ForThisRun(), err)
	}
}

func TestVolumes(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"/a:/b":     "/a:/b",
		"/a:/b:ro":  "/a:/b:ro",
		"/a:/b/:rw": "/a:/b",
		"a:/b":      filepath.Join(here, "a") + ":/b",
		"/a":        "",
		"/a:b":      "",
		":/b":       "",
		"/a:/b:z":   "",
		"":          "",
	} {
		v, err := ParseVolume(text)
		switch {
		case want == "" && (err == nil || !strings.Contains(err.Error(), "HOST:CONTAINER")):
			t.Errorf("%q: got %v, %v", text, v, err)
		case want != "" && (err != nil || v.String() != want):
			t.Errorf("%q: got %v, %v, want %s", text, v, err, want)
		}
	}
}

// A process is gone when it has ended, when another has its number, and when
// its machine was started anew; of other machines nobody knows.
func TestOwners(t *testing.T) {
	if gone(owner()) || abandoned(ForThisRun()) {
		t.Errorf("%s is this process", owner())
	}
	w := world()
	child := exec.Command("true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	name := func(machine, boot, space string, pid int, start string) string {
		return fmt.Sprintf("%s-%s-%s-%d-%s", machine, boot, space, pid, start)
	}
	for owner, want := range map[string]bool{
		name(w[0], w[1], w[2], child.Process.Pid, "1"): true,
		name(w[0], w[1], w[2], os.Getpid(), "1"):       true,
		name(w[0], "00000000", w[2], 1, "1"):           true,
		name("00000000", w[1], w[2], 1, "1"):           false,
		name("00000000", "00000000", w[2], 1, "1"):     false,
		name(w[0], w[1], "00000000", 1, "1"):           false,
		name(w[0], "x", w[2], 1, "1"):                  false,
		"":                                             false,
		"latest":                                       false,
		"a-b-c-d-e":                                    false,
	} {
		if got := gone(owner); got != want {
			t.Errorf("%s: got %v", owner, got)
		}
		if got := abandoned(runRepository + ":" + owner); got != want {
			t.Errorf("the image of %s: got %v", owner, got)
		}
	}
	if abandoned("docker.io/library/app:" + name(w[0], "00000000", w[2], 1, "1")) {
		t.Error("an image of somebody else is taken for one of a run")
	}
}

func TestDockerSaysErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{"stream":"Loaded image: app:1\n"}` + "\n": "",
		"": "",
		`{"stream":"x"}{"errorDetail":{"message":"no space"},"error":"no space"}`: "no space",
		`{"stream":`: "unexpected EOF",
	} {
		err := said(strings.NewReader(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestStatusOfWhatDoesNotStart(t *testing.T) {
	for text, want := range map[string]int{
		`runc create failed: unable to start container process: error during container init: exec: "/pause": stat /pause: no such file or directory: unknown`: 127,
		`runc create failed: unable to start container process: exec: "pause": executable file not found in $PATH: unknown`:                                   127,
		"crun: executable file `pause` not found in $PATH: No such file or directory":                                                                         127,
		`runc create failed: unable to start container process: error during container init: exec: "/pause": permission denied: unknown`:                      126,
		`exec /pause: exec format error`: 126,
		`runc create failed: unable to start container process: error during container init: error mounting "/x" to rootfs: no such file or directory`: 3,
		`no runtime for "io.containerd.runc.v2" is configured`: 3,
	} {
		err := fail(t.Context(), Error{Op: "running image", Err: asStartError(errors.New(text))})
		var e *Error
		if !errors.As(err, &e) || e.ExitCode() != want {
			t.Errorf("%q: got %v, want %d", text, e.ExitCode(), want)
		}
	}
}

// patient is a process that notes what it is told.
type patient struct {
	heard chan string
	stops atomic.Int32
}

func (p *patient) kill(_ context.Context, s syscall.Signal) error {
	p.heard <- s.String()
	return nil
}

func (p *patient) stop(ctx context.Context) error {
	p.stops.Add(1)
	p.heard <- "stop"
	<-ctx.Done() // as one that does not heed it
	return errors.New("it goes on")
}

func (p *patient) resize(context.Context, uint16, uint16) error { return nil }

func TestSignals(t *testing.T) {
	for first, want := range map[os.Signal]string{os.Interrupt: "interrupt", syscall.SIGTERM: "stop", syscall.SIGHUP: "stop"} {
		p := &patient{heard: make(chan string)}
		signals, done := make(chan os.Signal), make(chan struct{})
		ended := make(chan struct{})
		go func() { govern(t.Context(), p, signals, done); close(ended) }()
		for _, step := range []struct {
			signal os.Signal
			want   string
		}{{first, want}, {first, "killed"}, {os.Interrupt, "killed"}} {
			signals <- step.signal
			select {
			case got := <-p.heard:
				if got != step.want {
					t.Errorf("%s: the process hears %q, want %q", step.signal, got, step.want)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: the process hears nothing", step.signal)
			}
		}
		close(done)
		<-ended
	}
}
