//go:build linux

package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/riscv-build/riscv-build/builder/engine"
)

const (
	outputLimit = 1 << 20         // bytes kept of stdout and of stderr
	stopWait    = time.Second     // between SIGTERM and SIGKILL
	killedWait  = 5 * time.Second // until a killed process is reported
	signalBase  = 128             // exit status of a process that signal n ended is signalBase+n

	notExecutable = 126 // exit status for a program that cannot be executed, as shells have it
	notFound      = 127 // and for one that is not there
)

// Run starts the image's process and waits for its end, for a satisfied probe,
// or for the time to be up.
func (e *Engine) Run(ctx context.Context, run engine.Run) (*engine.RunResult, error) {
	platform, err := imagePlatform(ctx, run)
	if err != nil {
		return nil, err
	}
	if err := e.canRun(ctx, platform); err != nil {
		return nil, err
	}
	e.used.Store(true)
	var result *engine.RunResult
	opt := client.SolveOpt{
		Internal:  true,
		OCIStores: map[string]content.Store{engine.StoreName: run.Store},
	}
	// BuildKit forgets a cancelled build before its container has ended. So
	// the build is not cancelled; what waits in it sees ctx.
	_, err = e.daemon.client.Build(context.WithoutCancel(ctx), opt, product,
		func(whole context.Context, c gateway.Client) (*gateway.Result, error) {
			result, err = e.runInside(ctx, whole, c, run)
			return gateway.NewResult(), err
		}, nil)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("running %q: %w", run.Name, context.Cause(ctx))
	case err != nil:
		if lost := e.lost(err); lost != nil {
			err = lost
		}
		return nil, fmt.Errorf("running %q: %w", run.Name, asSpaceError(e.opts.Root, err))
	}
	return result, nil
}

// runInside makes a container, runs it and takes it away, also when ctx has ended.
func (e *Engine) runInside(ctx, whole context.Context, c gateway.Client, run engine.Run) (*engine.RunResult, error) {
	box, err := newContainer(ctx, c, run)
	if err != nil {
		return nil, err
	}
	defer func() { _ = box.Release(whole) }() // its error is the exit status of the process, which is known
	box.executor = e.daemon.executor
	return box.run(ctx, whole)
}

// canRun says what is missing when this machine cannot execute the image.
func (e *Engine) canRun(ctx context.Context, p ocispec.Platform) error {
	if p.Architecture != target.Architecture || runtime.GOARCH == target.Architecture {
		return nil
	}
	info, err := e.Info(ctx)
	if err != nil {
		return err
	}
	if info.Emulator == "" {
		return &engine.EnvironmentError{
			What: "riscv64 programs do not run on this machine: no binfmt_misc handler with the flag F takes them",
			Do:   "run `riscv-build doctor --fix`",
		}
	}
	return nil
}

// imagePlatform reads the platform from the image's configuration.
func imagePlatform(ctx context.Context, run engine.Run) (ocispec.Platform, error) {
	var manifest ocispec.Manifest
	if err := readJSON(ctx, run.Store, run.Image, &manifest); err != nil {
		return ocispec.Platform{}, fmt.Errorf("reading the manifest of %q: %w: build it again", run.Name, err)
	}
	var image ocispec.Image
	if err := readJSON(ctx, run.Store, manifest.Config, &image); err != nil {
		return ocispec.Platform{}, fmt.Errorf("reading the configuration of %q: %w: build it again", run.Name, err)
	}
	return image.Platform, nil
}

func readJSON(ctx context.Context, store content.Store, desc ocispec.Descriptor, into any) error {
	text, err := content.ReadBlob(ctx, store, desc)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// container is a container of an image.
type container struct {
	gateway.Container
	job      engine.Run
	executor *localExecutor
}

// newContainer unpacks the images of a run, which ctx may end, and puts a container together.
func newContainer(ctx context.Context, c gateway.Client, job engine.Run) (*container, error) {
	platform, err := imagePlatform(ctx, job)
	if err != nil {
		return nil, err
	}
	root, err := unpack(ctx, c, "image@"+job.Image.Digest.String(), platform)
	if err != nil {
		return nil, err
	}
	req := gateway.NewContainerRequest{
		NetMode:  pb.NetMode_NONE,
		Platform: &pb.Platform{OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant},
		Mounts:   []gateway.Mount{{Dest: "/", MountType: pb.MountType_BIND, Ref: root}},
	}
	if job.Probe != nil {
		ref, err := unpack(ctx, c, "probe@"+job.Probe.Mount.Digest.String(), platform)
		if err != nil {
			return nil, err
		}
		req.Mounts = append(req.Mounts, gateway.Mount{Dest: job.Probe.MountPath, MountType: pb.MountType_BIND, Ref: ref, Readonly: true})
	}
	box, err := c.NewContainer(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("making the container: %w", err)
	}
	return &container{Container: box, job: job}, nil
}

// unpack makes an image of the job's store, NAME@DIGEST, a file tree.
func unpack(ctx context.Context, c gateway.Client, name string, p ocispec.Platform) (gateway.Reference, error) {
	ref := engine.StoreName + "/" + name
	def, err := llb.OCILayout(ref, llb.OCIStore("", engine.StoreName), llb.Platform(p)).Marshal(ctx, llb.Platform(p))
	if err != nil {
		return nil, fmt.Errorf("naming image %q: %w", ref, err)
	}
	res, err := c.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	if err != nil {
		return nil, fmt.Errorf("unpacking image %q: %w", ref, err)
	}
	return res.SingleRef()
}

// run starts the main process and sees to its end, which comes early when ctx
// ends. The processes themselves live in whole.
func (b *container) run(ctx, whole context.Context) (*engine.RunResult, error) {
	stdout, stderr := newTail(outputLimit), newTail(outputLimit)
	io := &streams{stdout: stdout, stderr: stderr}
	if len(b.job.Stdin) > 0 {
		io.stdin = newInput(b.job.Stdin)
	}
	main, err := b.start(whole, gateway.StartRequest{Args: b.job.Args, Env: b.job.Env, User: b.job.User, Cwd: b.job.Cwd}, io)
	if err != nil {
		return nil, fmt.Errorf("starting %q: %w", b.job.Args, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- main.Wait() }()

	probeCtx, stopProbing := context.WithCancel(ctx)
	probing := b.startProbing(probeCtx, whole)
	result := &engine.RunResult{}
	mainErr, running := b.await(ctx, ended, probing.satisfied, result)
	stopProbing()
	if running {
		mainErr = stop(ctx, whole, main, ended)
	}
	result.ProbeErr = probing.wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	result.Stdout, result.Stderr = stdout.Bytes(), stderr.Bytes()
	if result.Probed {
		result.ProbeErr = nil
		return result, nil
	}
	result.Exit, err = exitStatus(mainErr, result.Stderr)
	return result, err
}

// await returns when the main process ends, or should.
func (b *container) await(ctx context.Context, ended <-chan error, satisfied <-chan struct{}, result *engine.RunResult) (err error, running bool) {
	var timeout <-chan time.Time
	if b.job.Timeout > 0 {
		t := time.NewTimer(b.job.Timeout)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case err := <-ended:
		return err, false
	case <-satisfied:
		result.Probed = true
	case <-timeout:
		result.TimedOut = true
	case <-ctx.Done():
	}
	return nil, true
}

// stop ends a process: politely, then not. When ctx has ended nobody waits for politeness.
func stop(ctx, whole context.Context, p gateway.ContainerProcess, ended <-chan error) error {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
		hurry  <-chan struct{}
	}{{syscall.SIGTERM, stopWait, ctx.Done()}, {syscall.SIGKILL, killedWait, nil}} {
		_ = p.Signal(whole, step.signal) // one that has just ended cannot be signalled
		select {
		case err := <-ended:
			return err
		case <-step.hurry:
		case <-time.After(step.wait):
		}
	}
	return &gatewaypb.ExitError{ExitCode: signalBase + uint32(syscall.SIGKILL)}
}

// exitStatus takes the exit status out of what waiting for a process returned.
func exitStatus(err error, stderr []byte) (int, error) {
	if err == nil {
		return 0, nil
	}
	var exit *gatewaypb.ExitError
	if !errors.As(err, &exit) {
		return 0, fmt.Errorf("waiting for the process: %w", err)
	}
	code := int(exit.ExitCode)
	// BuildKit says 255 also when it does not know; its words tell the two apart.
	if code == gatewaypb.UnknownExitStatus && exit.Err != nil && !strings.HasSuffix(exit.Err.Error(), "exit code: 255") {
		return 0, fmt.Errorf("waiting for the process: %w", exit.Err)
	}
	// When runc cannot start the program, it ends with 1 and says why; shells have numbers for that.
	if code == 1 && bytes.Contains(stderr, []byte(startFailure)) {
		if bytes.Contains(stderr, []byte("permission denied")) || bytes.Contains(stderr, []byte("exec format error")) {
			return notExecutable, nil
		}
		return notFound, nil
	}
	return code, nil
}
