package imagestore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/pusher"
)

// Podman is the podman of this machine, whose command is used: it has no daemon.
type Podman struct{ program string }

// OpenPodman looks for the command.
func OpenPodman() (*Podman, error) {
	program, err := exec.LookPath("podman")
	if err != nil {
		return nil, &Error{Op: "opening", Object: "podman", Engine: "this machine", Err: errors.New("there is no such command"), Advice: "install podman"}
	}
	return &Podman{program}, nil
}

// Name is the engine's.
func (p *Podman) Name() string { return "podman" }

// String is where images go, for people.
func (p *Podman) String() string { return "podman" }

// Close does nothing: there is no connection.
func (p *Podman) Close() error { return nil }

func (p *Podman) fail(ctx context.Context, op, object string, err error) error {
	return fail(ctx, Error{Op: op, Object: object, Engine: p.String(), Err: err, Advice: "see `podman info`"})
}

// refusal is the status of podman's own errors.
const refusal = 125

// podman runs a command of podman for its output.
func (p *Podman) podman(ctx context.Context, in io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, p.program, args...)
	cmd.Stdin = in
	cmd.WaitDelay = time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("`podman %s`: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// Load puts an image under names into podman. It is loaded under the first one
// and tagged with the others: an archive with several names podman takes for a
// docker archive, which does not keep the digest.
func (p *Podman) Load(ctx context.Context, img pusher.Image, list []string) (Loaded, error) {
	done := Loaded{Engine: p.Name(), Into: p.String(), Names: list}
	var err error
	if done.Unchanged, err = loadedAll(ctx, img, list, p.Has); err != nil || done.Unchanged {
		return done, err
	}
	return done, p.fail(ctx, "loading image", list[0], p.load(ctx, img, list))
}

func (p *Podman) load(ctx context.Context, img pusher.Image, list []string) error {
	r := stream(ctx, img, list[:1])
	defer r.Close()
	if _, err := p.podman(ctx, r, "load", "--quiet"); err != nil || len(list) == 1 {
		return err
	}
	all := make([]string, len(list))
	for i, name := range list {
		full, err := Normal(name)
		if err != nil {
			return err
		}
		all[i] = full
	}
	_, err := p.podman(ctx, nil, append([]string{"tag"}, all...)...)
	return err
}

// Has gives the ID of the riscv64 image that a name has here, "" where there is
// none.
func (p *Podman) Has(ctx context.Context, name string) (digest.Digest, error) {
	full, err := Normal(name)
	if err != nil {
		return "", err
	}
	out, err := p.podman(ctx, nil, "image", "inspect", "--format", "{{.Os}}/{{.Architecture}} {{.Id}}", full)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == refusal && strings.Contains(err.Error(), "image not known") {
		return "", nil
	}
	if err != nil {
		return "", p.fail(ctx, "looking up image", name, err)
	}
	id, ok := strings.CutPrefix(out, platform+" ")
	if !ok {
		return "", nil
	}
	return digest.NewDigestFromEncoded(digest.SHA256, strings.TrimPrefix(id, "sha256:")), nil
}

// Remove removes an image that was loaded for one run.
func (p *Podman) Remove(ctx context.Context, name string) error {
	_, err := p.podman(ctx, nil, "rmi", name)
	if err != nil && strings.Contains(err.Error(), "image not known") {
		return nil
	}
	return p.fail(ctx, "removing image", name, err)
}

// Sweep removes what killed runs have left.
func (p *Podman) Sweep(ctx context.Context) error {
	return p.fail(ctx, "clearing", "what killed runs left", errors.Join(p.sweepContainers(ctx), p.sweepImages(ctx)))
}

func (p *Podman) sweepContainers(ctx context.Context) error {
	var all []struct {
		ID     string `json:"Id"`
		Labels map[string]string
	}
	if err := p.list(ctx, &all, "ps", "--all", "--filter", "label="+labelOwner); err != nil {
		return err
	}
	for _, c := range all {
		if gone(c.Labels[labelOwner]) {
			if _, err := p.podman(ctx, nil, "rm", "--force", "--volumes", c.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Podman) sweepImages(ctx context.Context) error {
	var all []struct{ Names []string }
	if err := p.list(ctx, &all, "images", "--filter", "reference="+runRepository); err != nil {
		return err
	}
	for _, i := range all {
		for _, name := range i.Names {
			if abandoned(name) {
				if err := p.Remove(ctx, name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (p *Podman) list(ctx context.Context, into any, args ...string) error {
	out, err := p.podman(ctx, nil, append(args, "--format", "json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// Run runs the image under a name until its process ends, and gives its exit
// status. Nothing of the container stays.
func (p *Podman) Run(ctx context.Context, name string, proc Process) (int, error) {
	if err := makeSources(proc.Volumes); err != nil {
		return 0, err
	}
	full, err := Normal(name)
	if err != nil {
		return 0, err
	}
	status, err := p.run(ctx, full, proc)
	return status, p.fail(ctx, "running image", name, err)
}

func (p *Podman) run(ctx context.Context, name string, proc Process) (int, error) {
	under := podmanProcess{p, fmt.Sprintf("riscv-build-run-%s-%d", owner(), time.Now().UnixNano())}
	cmd := exec.Command(p.program, append(append(under.args(proc), name), proc.Args...)...)
	cmd.Stdout, cmd.Stderr = proc.Stdout, proc.Stderr
	switch {
	case proc.Console != nil: // podman handles the terminal itself
		cmd.Stdin = proc.Stdin
	case proc.Stdin != nil:
		// Signals of the terminal come by way of govern, once.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		in, err := cmd.StdinPipe()
		if err != nil {
			return 0, err
		}
		go func() {
			_, _ = io.Copy(in, proc.Stdin) // the process may not want it
			_ = in.Close()
		}()
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan struct{})
	go govern(ctx, under, proc.Signals, done)
	err := cmd.Wait()
	close(done)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// podmanProcess is a process in podman, in a container of that name.
type podmanProcess struct {
	podman *Podman
	name   string
}

func (c podmanProcess) args(p Process) []string {
	args := []string{
		"run", "--rm", "--pull", "never", "--platform", platform, "--name", c.name, "--label", labelOwner + "=" + owner(),
		"--network", p.Network, "--sig-proxy=false",
	}
	if p.Stdin != nil {
		args = append(args, "--interactive")
	}
	if p.Console != nil {
		args = append(args, "--tty")
	}
	if p.User != "" {
		args = append(args, "--user", p.User)
	}
	for _, e := range p.Env {
		args = append(args, "--env", e)
	}
	for _, v := range p.Volumes {
		args = append(args, "--volume", v.String())
	}
	return args
}

func (c podmanProcess) kill(ctx context.Context, s syscall.Signal) error {
	_, err := c.podman.podman(ctx, nil, "kill", "--signal", fmt.Sprint(int(s)), c.name)
	return err
}

func (c podmanProcess) stop(ctx context.Context) error {
	_, err := c.podman.podman(ctx, nil, "stop", "--time", fmt.Sprint(graceSeconds), c.name)
	return err
}

func (c podmanProcess) resize(context.Context, uint16, uint16) error { return nil } // it does so itself
