package imagestore

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/containerd/console"
)

// Process is what is run of an image.
type Process struct {
	Args    []string // take the place of the image's command; its entrypoint stays
	Env     []string // KEY=VALUE
	User    string   // "" is the image's
	Volumes []Volume
	Network string // one of Networks
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	// Console is the terminal that the process gets, instead of the three
	// streams; nil: none.
	Console console.Console
	Signals <-chan os.Signal // for the process; see govern
}

// Networks are the networks that a process can have: the machine's, or loopback
// only.
var Networks = []string{"host", "none"}

// Volume is a directory or file of the machine that the process sees.
type Volume struct {
	Host, Container string // absolute paths
	ReadOnly        bool
}

// ParseVolume reads HOST:CONTAINER[:ro]. A relative HOST is below the working
// directory.
func ParseVolume(text string) (Volume, error) {
	parts := strings.Split(text, ":")
	readOnly := len(parts) == 3 && parts[2] == "ro"
	if len(parts) == 3 && (readOnly || parts[2] == "rw") {
		parts = parts[:2]
	}
	if len(parts) != 2 || parts[0] == "" || !filepath.IsAbs(parts[1]) {
		return Volume{}, fmt.Errorf("reading volume %q: write HOST:CONTAINER[:ro], with an absolute path in the container", text)
	}
	host, err := filepath.Abs(parts[0])
	return Volume{Host: host, Container: filepath.Clean(parts[1]), ReadOnly: readOnly}, err
}

func (v Volume) String() string {
	if v.ReadOnly {
		return v.Host + ":" + v.Container + ":ro"
	}
	return v.Host + ":" + v.Container
}

// makeSources makes the directories of the machine that are not there, as
// Docker does.
func makeSources(volumes []Volume) error {
	for _, v := range volumes {
		if _, err := os.Stat(v.Host); os.IsNotExist(err) {
			if err := os.MkdirAll(v.Host, 0o755); err != nil {
				return fmt.Errorf("making the directory of volume %q: %w: name one that is there", v, err)
			}
		}
	}
	return nil
}

// startError is a container whose program cannot be executed.
type startError struct{ error }

func (e *startError) Unwrap() error { return e.error }

// aboutProgram is how OCI runtimes begin to say so; they have no code for it.
var aboutProgram = regexp.MustCompile(`(?i)executable file|\bexec:? ["/]`)

// asStartError marks an error of starting a container that is about its program.
func asStartError(err error) error {
	if err != nil && aboutProgram.MatchString(err.Error()) {
		return &startError{err}
	}
	return err
}

// status is 127 for a program that is not there, else 126, as shells have it.
func (e *startError) status() int {
	text := strings.ToLower(e.Error())
	if strings.Contains(text, "no such file") || strings.Contains(text, "not found") {
		return 127
	}
	return 126
}

// running is a process under way.
type running interface {
	kill(ctx context.Context, s syscall.Signal) error
	// stop sends the image's stop signal, and kills what does not heed it in time.
	stop(ctx context.Context) error
	resize(ctx context.Context, width, height uint16) error
}

// graceSeconds is how long a process may take to stop, as with `docker stop`.
const graceSeconds = 10

// govern hands signals on until done: an interrupt as it is, any other as the
// image's own stop signal; the second one kills.
func govern(ctx context.Context, r running, signals <-chan os.Signal, done <-chan struct{}) {
	act := func(s os.Signal) {
		if s == os.Interrupt {
			_ = r.kill(ctx, syscall.SIGINT) // a process that has ended hears nothing
			return
		}
		_ = r.stop(ctx)
	}
	for {
		select {
		case <-done:
			return
		case s := <-signals:
			go act(s) // stop may wait
			act = func(os.Signal) { _ = r.kill(ctx, syscall.SIGKILL) }
		}
	}
}

// attach gives the process's terminal the size of the console and hands what is
// typed on without reading it. The function ends that.
func attach(ctx context.Context, r running, c console.Console) (func(), error) {
	if c == nil {
		return func() {}, nil
	}
	if err := c.SetRaw(); err != nil {
		return nil, fmt.Errorf("preparing the terminal: %w: run without one, for example with `| cat`", err)
	}
	fit := func() {
		if size, err := c.Size(); err == nil {
			_ = r.resize(ctx, size.Width, size.Height) // a process that has ended has no size
		}
	}
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, syscall.SIGWINCH)
	done := make(chan struct{})
	go func() {
		fit()
		for {
			select {
			case <-done:
				return
			case <-changes:
				fit()
			}
		}
	}()
	return func() {
		signal.Stop(changes)
		close(done)
		_ = c.Reset()
	}, nil
}
