package imagestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/pusher"
)

// answerTime is how long a daemon may take to answer at all.
const answerTime = 10 * time.Second

// Docker is a Docker daemon, spoken to through its API: that of DOCKER_HOST, or
// of the usual socket.
type Docker struct{ client *client.Client }

// OpenDocker connects to Docker; the error says why none answers.
func OpenDocker(ctx context.Context) (*Docker, error) {
	c, err := client.New(client.FromEnv)
	if err != nil {
		return nil, &Error{Op: "opening", Object: "DOCKER_HOST", Engine: "docker", Err: err, Advice: "write unix:///PATH or tcp://HOST:PORT"}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if _, err := c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		_ = c.Close()
		return nil, &Error{Op: "opening", Object: c.DaemonHost(), Engine: "docker", Err: err, Advice: "is it running, and may you use it? (`systemctl status docker`); DOCKER_HOST names another one"}
	}
	return &Docker{c}, nil
}

// Name is the engine's.
func (d *Docker) Name() string { return "docker" }

// String is where images go, for people.
func (d *Docker) String() string { return "docker at " + d.client.DaemonHost() }

// Close ends the connection.
func (d *Docker) Close() error { return d.client.Close() }

func (d *Docker) fail(ctx context.Context, op, object string, err error) error {
	return fail(ctx, Error{Op: op, Object: object, Engine: d.String(), Err: err, Advice: "see what it says (`journalctl -u docker`)"})
}

// Load puts an image under names into Docker, as a stream.
func (d *Docker) Load(ctx context.Context, img pusher.Image, list []string) (Loaded, error) {
	done := Loaded{Engine: d.Name(), Into: d.String(), Names: list}
	var err error
	if done.Unchanged, err = loadedAll(ctx, img, list, d.Has); err != nil || done.Unchanged {
		return done, err
	}
	r := stream(ctx, img, list)
	defer r.Close()
	res, err := d.client.ImageLoad(ctx, r, client.ImageLoadWithQuiet(true))
	if err == nil {
		err = errors.Join(said(res), res.Close())
	}
	return done, d.fail(ctx, "loading image", list[0], err)
}

// stream is the archive of an image, written as it is read.
func stream(ctx context.Context, img pusher.Image, list []string) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(pusher.WriteArchive(ctx, img, list, w)) }()
	return r
}

// said reads Docker's messages to their end, and gives the one that is an error.
func said(r io.Reader) error {
	for dec := json.NewDecoder(r); ; {
		var m struct {
			Error string `json:"error"`
		}
		switch err := dec.Decode(&m); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.Error != "":
			return errors.New(m.Error)
		}
	}
}

// choosesPlatforms tells whether the daemon can be asked about one platform of
// an image: from API 1.49 on. Older ones rarely hold several.
func (d *Docker) choosesPlatforms() bool {
	minor, err := strconv.Atoi(strings.TrimPrefix(d.client.ClientVersion(), "1."))
	return err == nil && minor >= 49
}

// Has gives the ID of the riscv64 image that a name has here, "" where there is
// none.
func (d *Docker) Has(ctx context.Context, name string) (digest.Digest, error) {
	full, err := Normal(name)
	if err != nil {
		return "", err
	}
	var opts []client.ImageInspectOption
	if d.choosesPlatforms() {
		p := riscv64
		opts = append(opts, client.ImageInspectWithPlatform(&p))
	}
	i, err := d.client.ImageInspect(ctx, full, opts...)
	if errdefs.IsNotFound(err) || err == nil && i.Os+"/"+i.Architecture != platform {
		return "", nil
	}
	return digest.Digest(i.ID), d.fail(ctx, "looking up image", name, err)
}

// Remove removes an image that was loaded for one run.
func (d *Docker) Remove(ctx context.Context, name string) error {
	_, err := d.client.ImageRemove(ctx, name, client.ImageRemoveOptions{PruneChildren: true})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return d.fail(ctx, "removing image", name, err)
}

// Sweep removes what killed runs have left.
func (d *Docker) Sweep(ctx context.Context) error {
	return d.fail(ctx, "clearing", "what killed runs left", errors.Join(d.sweepContainers(ctx), d.sweepImages(ctx)))
}

func (d *Docker) sweepContainers(ctx context.Context) error {
	all, err := d.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", labelOwner)})
	if err != nil {
		return err
	}
	for _, c := range all.Items {
		if gone(c.Labels[labelOwner]) {
			if err := d.discard(ctx, c.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Docker) sweepImages(ctx context.Context) error {
	all, err := d.client.ImageList(ctx, client.ImageListOptions{Filters: client.Filters{}.Add("reference", runRepository)})
	if err != nil {
		return err
	}
	for _, i := range all.Items {
		for _, tag := range i.RepoTags {
			if abandoned(tag) {
				if err := d.Remove(ctx, tag); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// discard removes a container; Docker may be about to do that itself.
func (d *Docker) discard(ctx context.Context, id string) error {
	_, err := d.client.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return nil
	}
	return err
}

// Run runs the image under a name until its process ends, and gives its exit
// status. Nothing of the container stays.
func (d *Docker) Run(ctx context.Context, name string, p Process) (int, error) {
	if err := makeSources(p.Volumes); err != nil {
		return 0, err
	}
	full, err := Normal(name)
	if err != nil {
		return 0, err
	}
	status, err := d.run(ctx, full, p)
	return status, d.fail(ctx, "running image", name, err)
}

func (d *Docker) run(ctx context.Context, name string, p Process) (int, error) {
	where := riscv64
	made, err := d.client.ContainerCreate(ctx, client.ContainerCreateOptions{Config: containerConfig(name, p), HostConfig: hostConfig(p), Platform: &where})
	if err != nil {
		return 0, err
	}
	defer d.discard(context.WithoutCancel(ctx), made.ID) //nolint:errcheck // it removes itself, unless it was never started
	streams, err := d.client.ContainerAttach(ctx, made.ID, client.ContainerAttachOptions{Stream: true, Stdin: p.Stdin != nil, Stdout: true, Stderr: true})
	if err != nil {
		return 0, err
	}
	defer streams.Close()
	output := make(chan error, 1)
	go func() { output <- copyStreams(streams, p) }()
	ended := d.client.ContainerWait(ctx, made.ID, client.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
	if _, err := d.client.ContainerStart(ctx, made.ID, client.ContainerStartOptions{}); err != nil {
		return 0, asStartError(err)
	}
	under := dockerProcess{d.client, made.ID}
	restore, err := attach(ctx, under, p.Console)
	if err != nil {
		return 0, err
	}
	defer restore()
	done := make(chan struct{})
	defer close(done)
	go govern(ctx, under, p.Signals, done)
	if err := <-output; err != nil {
		return 0, fmt.Errorf("reading the output: %w", err)
	}
	select {
	case end := <-ended.Result:
		if end.Error != nil && end.Error.Message != "" {
			return 0, errors.New(end.Error.Message)
		}
		return int(end.StatusCode), nil
	case err := <-ended.Error:
		return 0, err
	}
}

func containerConfig(name string, p Process) *container.Config {
	return &container.Config{
		Image: name, Cmd: p.Args, Env: p.Env, User: p.User, Labels: map[string]string{labelOwner: owner()}, Tty: p.Console != nil,
		OpenStdin: p.Stdin != nil, StdinOnce: p.Stdin != nil, AttachStdin: p.Stdin != nil, AttachStdout: true, AttachStderr: true,
	}
}

func hostConfig(p Process) *container.HostConfig {
	h := &container.HostConfig{AutoRemove: true, NetworkMode: container.NetworkMode(p.Network)}
	for _, v := range p.Volumes {
		h.Binds = append(h.Binds, v.String())
	}
	return h
}

// copyStreams moves what is typed in and what is said out, until the end of the
// latter.
func copyStreams(streams client.ContainerAttachResult, p Process) error {
	if p.Stdin != nil {
		go func() {
			_, _ = io.Copy(streams.Conn, p.Stdin) // the process may not want it
			_ = streams.CloseWrite()
		}()
	}
	if p.Console != nil {
		_, err := io.Copy(p.Console, streams.Reader)
		return err
	}
	_, err := stdcopy.StdCopy(p.Stdout, p.Stderr, streams.Reader)
	return err
}

// dockerProcess is a process in Docker.
type dockerProcess struct {
	client *client.Client
	id     string
}

func (c dockerProcess) kill(ctx context.Context, s syscall.Signal) error {
	_, err := c.client.ContainerKill(ctx, c.id, client.ContainerKillOptions{Signal: fmt.Sprint(int(s))})
	return err
}

func (c dockerProcess) stop(ctx context.Context) error {
	grace := graceSeconds
	_, err := c.client.ContainerStop(ctx, c.id, client.ContainerStopOptions{Timeout: &grace})
	return err
}

func (c dockerProcess) resize(ctx context.Context, width, height uint16) error {
	_, err := c.client.ContainerResize(ctx, c.id, client.ContainerResizeOptions{Width: uint(width), Height: uint(height)})
	return err
}
