package enginehost

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/pusher"
)

// Image is the engine's image, which need not be there before it is used.
type Image interface {
	Identity() digest.Digest // what the label of the image says
	Make(ctx context.Context) (pusher.Image, error)
}

// Engine is an engine in a container.
type Engine struct {
	Name  string // of the container and of the volume with its state
	Label string // key of the label that image, container and volume carry
	Image string // name that the image has in the store
	State string // path in the container where the volume is
	// Prepare is the command in the container that makes it ready and says so.
	Prepare []string
	// Answers is asked again until the engine answers.
	Answers func(ctx context.Context) error
	Report  func(format string, args ...any)
}

// stateLabel is the value of the label that a volume carries.
const stateLabel = "state"

// What Up found and did.
const (
	Running  = "running already"
	Started  = "started"
	Created  = "created"
	Replaced = "replaced"
)

// answerTime is how long an engine may take to answer after its start: on a
// board it clears what a loss of power has left.
const answerTime = 2 * time.Minute

// prepareWait is between two tries to prepare it.
const prepareWait = 2 * time.Second

// Up makes the engine run: a container that runs stays, one that was stopped is
// started, one of another image is replaced; the volume stays. It returns when
// the engine answers, and tells what it did.
func (t *Tool) Up(ctx context.Context, e Engine, image Image) (did string, err error) {
	old, found, err := t.inspect(ctx, "container", e.Name)
	if err != nil {
		return "", err
	}
	if found {
		if err := e.owns(t, "container", old.Config.Labels); err != nil {
			return "", err
		}
	}
	switch {
	case found && old.Config.Labels[e.Label] != image.Identity().String():
		did, err = Replaced, t.create(ctx, e, image)
		if err == nil {
			t.discard(ctx, old.Image)
		}
	case found && old.State.Running:
		did = Running
	case found:
		did = Started
		if _, err = t.run(ctx, nil, "start", e.Name); err != nil {
			err = t.fail(ctx, "starting container", e.Name, err)
		}
	default:
		did, err = Created, t.create(ctx, e, image)
	}
	if err != nil {
		return did, err
	}
	return did, t.ready(ctx, e)
}

// owns refuses what somebody else has made under the engine's name.
func (e Engine) owns(t *Tool, kind string, labels map[string]string) error {
	if labels[e.Label] != "" {
		return nil
	}
	return &Error{Op: "using " + kind, Object: e.Name, Tool: t.name, Err: errors.New("it is there already and not of riscv-build"),
		Advice: "choose another name with --name"}
}

// create loads the image, if it is not there, and makes the container, in place
// of one that is there.
func (t *Tool) create(ctx context.Context, e Engine, image Image) error {
	if err := t.volume(ctx, e); err != nil {
		return err
	}
	have, found, err := t.inspect(ctx, "image", e.Image)
	if err != nil {
		return err
	}
	if !found || have.Config.Labels[e.Label] != image.Identity().String() {
		img, err := image.Make(ctx)
		if err != nil {
			return err
		}
		e.Report("loading the engine's image %s into %s", e.Image, t.name)
		if err := t.load(ctx, img, e.Image); err != nil {
			return err
		}
		t.discard(ctx, have.ID) // which has lost its name
	}
	if err := t.remove(ctx, e.Name, "rm", "--force"); err != nil {
		return err
	}
	// What is built there has no network, and what it is built from comes with it.
	// Containers of nerdctl do not take over the labels of their image.
	_, err = t.run(ctx, nil, "run", "--detach", "--privileged", "--pull", "never", "--restart", "unless-stopped", "--network", "none",
		"--name", e.Name, "--label", e.Label+"="+image.Identity().String(), "--volume", e.Name+":"+e.State, e.Image)
	if err != nil {
		err = t.fail(ctx, "starting container", e.Name, err)
		return errors.Join(err, t.remove(context.WithoutCancel(ctx), e.Name, "rm", "--force")) // it may be half there
	}
	return nil
}

// volume makes the volume with the engine's state, unless it is there.
func (t *Tool) volume(ctx context.Context, e Engine) error {
	v, found, err := t.inspect(ctx, "volume", e.Name)
	if err != nil {
		return err
	}
	if found {
		return e.owns(t, "volume", v.Labels)
	}
	_, err = t.run(ctx, nil, "volume", "create", "--label", e.Label+"="+stateLabel, e.Name)
	return t.fail(ctx, "making volume", e.Name, err)
}

// ready has the container prepared and waits until the engine answers.
func (t *Tool) ready(ctx context.Context, e Engine) error {
	out, err := t.prepare(ctx, e)
	if err != nil {
		return &Error{Op: "preparing container", Object: e.Name, Tool: t.name, Err: errors.New(t.why(ctx, e, err)), Advice: "then run `riscv-build engine up` again"}
	}
	for line := range strings.Lines(out) {
		e.Report("%s", strings.TrimSpace(line))
	}
	waiting, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for {
		if err = e.Answers(waiting); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the engine in container %q: %w", e.Name, ctx.Err())
		case <-waiting.Done():
			return &Error{Op: "waiting for the engine in container", Object: e.Name, Tool: t.name, Err: errors.New(t.why(ctx, e, err)),
				Advice: fmt.Sprintf("see `%s logs %s`", t.name, e.Name)}
		case <-time.After(300 * time.Millisecond):
		}
		if c, found, err := t.inspect(ctx, "container", e.Name); err == nil && !(found && c.State.Running) {
			cancel() // nobody will answer
		}
	}
}

// prepare runs the command that prepares the container. containerd's monitor may
// start a container of nerdctl once more when it has just begun.
func (t *Tool) prepare(ctx context.Context, e Engine) (out string, err error) {
	for tries := 3; ; tries-- {
		out, err = t.run(ctx, nil, append([]string{"exec", e.Name}, e.Prepare...)...)
		if err == nil || tries == 1 {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, err
		case <-time.After(prepareWait):
		}
	}
}

// why is an error with the last that the container said.
func (t *Tool) why(ctx context.Context, e Engine, err error) string {
	out, complaints, logsErr := t.both(ctx, nil, "logs", "--tail", "5", e.Name)
	if logs := strings.TrimSpace(out + "\n" + complaints); logsErr == nil && logs != "" {
		return fmt.Sprintf("%v: it said: %s", err, logs)
	}
	return err.Error()
}

// containerName is what the three commands take for the name of a container.
var containerName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// CheckName says what is wrong with a name for a container and its volume.
func CheckName(name string) error {
	if !containerName.MatchString(name) {
		return fmt.Errorf("reading the name %q of a container: write at least two letters, digits or _.-, the first a letter or digit", name)
	}
	return nil
}
