package imagestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/moby/sys/signal"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fifoRoot is where the ends of the streams of containers are; labelFIFO marks
// a container with its own directory there.
const (
	fifoRoot  = "/run/riscv-build"
	labelFIFO = "io.riscv-build.fifo"
)

// Run runs the image under a name until its process ends, and gives its exit
// status. Nothing of the container stays.
func (s *Containerd) Run(ctx context.Context, name string, p Process) (status int, err error) {
	ctx = s.endpoint.Context(ctx)
	if err := makeSources(p.Volumes); err != nil {
		return 0, err
	}
	full, err := Normal(name)
	if err != nil {
		return 0, err
	}
	status, err = s.run(ctx, full, p)
	return status, s.fail(ctx, "running image", name, err)
}

func (s *Containerd) run(ctx context.Context, name string, p Process) (status int, err error) {
	record, err := s.client.ImageService().Get(ctx, name)
	if err != nil {
		return 0, err
	}
	img := s.image(record)
	if ready, err := img.IsUnpacked(ctx, ""); err != nil || !ready {
		if err := img.Unpack(ctx, ""); err != nil {
			return 0, fmt.Errorf("unpacking: %w", err)
		}
	}
	c, err := s.container(ctx, img, p)
	if err != nil {
		return 0, err
	}
	// What was begun is ended whatever happened.
	defer func() { err = errors.Join(err, s.discard(context.WithoutCancel(ctx), c)) }()
	stop, err := client.GetOCIStopSignal(ctx, img, "SIGTERM")
	if err != nil {
		return 0, err
	}
	return s.attend(ctx, c, stop, p)
}

// container makes a container of an image. Its snapshot and its record are held
// by a lease until both are there.
func (s *Containerd) container(ctx context.Context, img client.Image, p Process) (client.Container, error) {
	id := fmt.Sprintf("riscv-build-run-%s-%d", owner(), time.Now().UnixNano())
	ctx, release, err := s.client.WithLease(ctx, leases.WithRandomID(), leases.WithExpiration(leaseTime), leases.WithLabel(labelOwner, owner()))
	if err != nil {
		return nil, err
	}
	defer release(context.WithoutCancel(ctx)) //nolint:errcheck // it expires
	marks := map[string]string{labelOwner: owner(), labelFIFO: filepath.Join(fifoRoot, id)}
	return s.client.NewContainer(ctx, id,
		client.WithImage(img),
		client.WithContainerLabels(marks),
		client.WithNewSnapshot(id, img, snapshots.WithLabels(map[string]string{labelOwner: owner()})),
		client.WithNewSpec(specOf(img, p)...))
}

// specOf is the container of a process, as Docker would make it.
func specOf(img client.Image, p Process) []oci.SpecOpts {
	opts := []oci.SpecOpts{oci.WithDefaultSpecForPlatform(platform), oci.WithDefaultUnixDevices, oci.WithImageConfigArgs(img, p.Args)}
	if p.User != "" {
		opts = append(opts, oci.WithUser(p.User), oci.WithAdditionalGIDs(p.User))
	}
	if p.Console != nil {
		opts = append(opts, oci.WithTTY, oci.WithEnv([]string{"TERM=xterm"}))
	}
	opts = append(opts, oci.WithEnv(p.Env))
	if p.Network == "host" {
		opts = append(opts, oci.WithHostNamespace(specs.NetworkNamespace), oci.WithHostHostsFile, oci.WithHostResolvconf)
	}
	if host, err := os.Hostname(); err == nil {
		opts = append(opts, oci.WithHostname(host))
	}
	var mounts []specs.Mount
	for _, v := range p.Volumes {
		access := "rw"
		if v.ReadOnly {
			access = "ro"
		}
		mounts = append(mounts, specs.Mount{Type: "bind", Source: v.Host, Destination: v.Container, Options: []string{"rbind", access}})
	}
	return append(opts, oci.WithMounts(mounts))
}

// attend starts the container's process and waits for its end.
func (s *Containerd) attend(ctx context.Context, c client.Container, stop string, p Process) (int, error) {
	in := &input{from: p.Stdin, begun: make(chan struct{}), finish: func() {}}
	marks, err := c.Labels(ctx)
	if err != nil {
		return 0, err
	}
	streams := []cio.Opt{cio.WithFIFODir(marks[labelFIFO]), cio.WithStreams(in.orNil(), p.Stdout, p.Stderr)}
	if p.Console != nil {
		streams = []cio.Opt{cio.WithFIFODir(marks[labelFIFO]), cio.WithStreams(p.Console, p.Console, nil), cio.WithTerminal}
	}
	t, err := c.NewTask(ctx, cio.NewCreator(streams...))
	if err == nil {
		in.finish = func() { _ = t.CloseIO(ctx, client.WithStdinCloser) } // one that has ended needs none
	}
	close(in.begun)
	if err != nil {
		return 0, asStartError(err)
	}
	ended, err := t.Wait(ctx)
	if err != nil {
		return 0, err
	}
	under := task{t, stop}
	restore, err := attach(ctx, under, p.Console)
	if err != nil {
		return 0, err
	}
	defer restore()
	if err := t.Start(ctx); err != nil {
		return 0, asStartError(err)
	}
	done := make(chan struct{})
	defer close(done)
	go govern(ctx, under, p.Signals, done)
	end := <-ended
	t.IO().Wait() // for the last of the output
	return int(end.ExitCode()), end.Error()
}

// discard removes a container with its process, snapshot and streams.
func (s *Containerd) discard(ctx context.Context, c client.Container) error {
	marks, err := c.Labels(ctx)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	t, err := c.Task(ctx, nil)
	if err == nil {
		_, err = t.Delete(ctx, client.WithProcessKill)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("removing container %q: %w", c.ID(), err)
	}
	if dir := marks[labelFIFO]; filepath.Dir(dir) == fifoRoot {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		_ = os.Remove(fifoRoot) // the last one does
	}
	if err := c.Delete(ctx, client.WithSnapshotCleanup); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("removing container %q: %w", c.ID(), err)
	}
	return nil
}

// Sweep removes what killed runs and loads have left.
func (s *Containerd) Sweep(ctx context.Context) error {
	ctx = s.endpoint.Context(ctx)
	return s.fail(ctx, "clearing", "what killed runs left", errors.Join(s.sweepContainers(ctx), s.sweepImages(ctx), s.sweepLeases(ctx)))
}

const owned = `labels."` + labelOwner + `"`

func (s *Containerd) sweepContainers(ctx context.Context) error {
	all, err := s.client.Containers(ctx, owned)
	if err != nil {
		return err
	}
	for _, c := range all {
		marks, err := c.Labels(ctx)
		if err == nil && gone(marks[labelOwner]) {
			err = s.discard(ctx, c)
		}
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func (s *Containerd) sweepImages(ctx context.Context) error {
	all, err := s.client.ImageService().List(ctx, owned)
	if err != nil {
		return err
	}
	for _, i := range all {
		if !gone(i.Labels[labelOwner]) {
			continue
		}
		if !isForARun(i.Name) {
			continue // goes with a name, or is an ID that others have come to need
		}
		if err := s.removeRun(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (s *Containerd) sweepLeases(ctx context.Context) error {
	all, err := s.client.LeasesService().List(ctx, owned)
	if err != nil {
		return err
	}
	for _, l := range all {
		if !gone(l.Labels[labelOwner]) {
			continue
		}
		if err := s.client.LeasesService().Delete(ctx, l, leases.SynchronousDelete); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// task is a process in containerd.
type task struct {
	client.Task
	stopSignal string
}

func (t task) kill(ctx context.Context, s syscall.Signal) error { return t.Kill(ctx, s) }

func (t task) stop(ctx context.Context) error {
	s, err := signal.ParseSignal(t.stopSignal)
	if err != nil {
		s = syscall.SIGTERM
	}
	if err := t.Kill(ctx, s); err != nil {
		return err
	}
	time.Sleep(graceSeconds * time.Second)
	return t.Kill(ctx, syscall.SIGKILL)
}

func (t task) resize(ctx context.Context, width, height uint16) error {
	return t.Resize(ctx, uint32(width), uint32(height))
}

// input is what a process reads. containerd keeps the process's end open until
// it is told that there is no more, which can be known before the process is there.
type input struct {
	from   io.Reader
	begun  chan struct{}
	finish func() // set before begun is closed
}

func (i *input) Read(p []byte) (int, error) {
	n, err := i.from.Read(p)
	if err != nil {
		<-i.begun
		i.finish()
	}
	return n, err
}

// orNil is nil where there is nothing to read.
func (i *input) orNil() io.Reader {
	if i.from == nil {
		return nil
	}
	return i
}
