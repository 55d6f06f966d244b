// Package enginehost keeps the engine running as a container in docker, nerdctl
// or podman of this machine, through their commands, which know contexts and
// virtual machines of their own. What the engine's image is made of, and
// whether the engine in it answers, is for the caller to say; images of recipes
// are the business of package pusher/imagestore.
package enginehost

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/riscv-build/riscv-build/pusher"
)

// Tools are the commands that containers can be run with, the one that is
// preferred first.
var Tools = []string{"docker", "nerdctl", "podman"}

// platformOf is what a command's info says of the machine that it runs
// containers on, as OS and architecture.
var platformOf = map[string]string{
	"docker":  "{{.OSType}} {{.Architecture}}",
	"nerdctl": "{{.OSType}} {{.Architecture}}",
	"podman":  "{{.Host.OS}} {{.Host.Arch}}",
}

// arches are the names of Go for those of the kernel.
var arches = map[string]string{"x86_64": "amd64", "aarch64": "arm64"}

// Tool is a command that answers.
type Tool struct {
	name    string
	program string
	arch    string
}

// Open finds a command and asks it for its machine. The error says why it
// cannot be used.
func Open(ctx context.Context, name string) (*Tool, error) {
	program, err := exec.LookPath(name)
	if err != nil {
		return nil, &Error{Op: "looking for", Object: name, Err: errors.New("there is no such command"), Advice: "install it, or name another one with --with: " + strings.Join(Tools, ", ")}
	}
	t := &Tool{name: name, program: program}
	out, err := t.run(ctx, nil, "info", "--format", platformOf[name])
	if err != nil {
		return nil, t.fail(ctx, "asking", "info", err)
	}
	system, arch, _ := strings.Cut(out, " ")
	if t.arch = arch; arches[arch] != "" {
		t.arch = arches[arch]
	}
	if system != "linux" || t.arch == "" {
		return nil, t.fail(ctx, "asking", "info", fmt.Errorf("it runs containers of %q, and the engine's are of linux", out))
	}
	return t, nil
}

// Find gives the command that has a container or volume of the engine already,
// else the first one that answers.
func Find(ctx context.Context, e Engine) (*Tool, error) {
	var first *Tool
	var reasons []error
	for _, name := range Tools {
		t, err := Open(ctx, name)
		if err != nil {
			reasons = append(reasons, err)
			continue
		}
		has, err := t.Has(ctx, e)
		if err != nil {
			return nil, err
		}
		if has {
			return t, nil
		}
		if first == nil {
			first = t
		}
	}
	if first == nil {
		return nil, &Error{Op: "looking for", Object: strings.Join(Tools, ", "), Err: fmt.Errorf("none can be used:\n%w", errors.Join(reasons...)),
			Advice: "install or start one of them"}
	}
	return first, nil
}

// Name is that of the command.
func (t *Tool) Name() string { return t.name }

// Arch is the architecture of the machine that containers run on, which on a
// Mac is a virtual one.
func (t *Tool) Arch() string { return t.arch }

// URL is how an engine in a container is named to this program and to buildx.
func (t *Tool) URL(container string) string { return t.name + "-container://" + container }

// run runs the command for its output.
func (t *Tool) run(ctx context.Context, in io.Reader, args ...string) (string, error) {
	out, _, err := t.both(ctx, in, args...)
	return out, err
}

// both runs the command for all that it says.
func (t *Tool) both(ctx context.Context, in io.Reader, args ...string) (out, complaints string, err error) {
	cmd := exec.CommandContext(ctx, t.program, args...)
	cmd.Stdin = in
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	out, complaints = strings.TrimSpace(stdout.String()), strings.TrimSpace(stderr.String())
	if err != nil {
		err = &commandError{line: t.name + " " + args[0], said: inOneLine(cmp.Or(complaints, out)), err: err}
	}
	return out, complaints, err
}

// inOneLine is what a command said, without what it says about its configuration
// and its own help.
func inOneLine(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "WARNING: ") && !strings.HasSuffix(line, "--help' for more information") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, " ")
}

// commandError is a command that failed, with what it said.
type commandError struct {
	line, said string
	err        error
}

func (e *commandError) Error() string { return fmt.Sprintf("`%s`: %v: %s", e.line, e.err, e.said) }
func (e *commandError) Unwrap() error { return e.err }

// said tells whether a command failed and said one of these, in letters of any
// size.
func said(err error, texts ...string) bool {
	var e *commandError
	return errors.As(err, &e) && slices.ContainsFunc(texts, func(s string) bool {
		return strings.Contains(strings.ToLower(e.said), strings.ToLower(s))
	})
}

// inspected is what the three commands agree on about containers, images and
// volumes.
type inspected struct {
	ID     string `json:"Id"`
	Image  string // of a container
	Config struct {
		Image  string // name, of a container
		Labels map[string]string
	}
	Labels map[string]string // of a volume
	State  struct{ Running bool }
}

// inspect asks about an object of a kind; false where there is none.
func (t *Tool) inspect(ctx context.Context, kind, name string) (inspected, bool, error) {
	out, err := t.run(ctx, nil, kind, "inspect", name)
	if said(err, "no such", "not known", "not found") {
		return inspected{}, false, nil
	}
	if err != nil {
		return inspected{}, false, t.fail(ctx, "looking up "+kind, name, err)
	}
	var all []inspected
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return inspected{}, false, t.fail(ctx, "looking up "+kind, name, fmt.Errorf("reading its answer %q: %w", out, err))
	}
	if len(all) == 0 {
		return inspected{}, false, nil
	}
	return all[0], true, nil
}

// load puts an image under a name into the command's store, as a stream.
func (t *Tool) load(ctx context.Context, img pusher.Image, name string) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(pusher.WriteArchive(ctx, img, []string{name}, w)) }()
	defer r.Close()
	_, err := t.run(ctx, r, "load")
	return t.fail(ctx, "loading image", name, err)
}

// discard removes an image, unless others use it.
func (t *Tool) discard(ctx context.Context, image string) bool {
	if image == "" {
		return false
	}
	_, err := t.run(ctx, nil, "rmi", image)
	return err == nil
}

// remove removes an object with a command; one that is gone already is
// no error.
func (t *Tool) remove(ctx context.Context, object string, args ...string) error {
	_, err := t.run(ctx, nil, append(args, object)...)
	if said(err, "no such", "not known", "not found") {
		return nil
	}
	return t.fail(ctx, "removing", object, err)
}
