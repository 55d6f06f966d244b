package buildkit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/pb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/riscv-build/riscv-build/builder/engine"
)

const (
	outputLimit = 1 << 20         // bytes kept of stdout and of stderr
	stopWait    = time.Second     // between SIGTERM and SIGKILL
	killedWait  = 5 * time.Second // until a killed process is reported
	killed      = 128 + 9         // exit status of a process that SIGKILL ended

	notExecutable = 126 // exit status for a program that cannot be executed, as shells have it
	notFound      = 127 // and for one that is not there
)

// Run starts the image's process and waits for its end, for a satisfied probe,
// or for the time to be up.
func (d *Driver) Run(ctx context.Context, run engine.Run) (*engine.RunResult, error) {
	var result *engine.RunResult
	opt := client.SolveOpt{
		Internal:  true,
		Ref:       identity.NewID(),
		OCIStores: d.stores(run.Store),
	}
	bridge := d.client.GatewayClientForBuild(opt.Ref)
	// BuildKit forgets a cancelled build before its container has ended. So
	// the build is not cancelled; what waits in it sees ctx.
	_, err := d.client.Build(context.WithoutCancel(ctx), opt, product,
		func(whole context.Context, _ gateway.Client) (*gateway.Result, error) {
			box := &container{gateway: bridge, id: identity.NewID(), place: d.place, job: run}
			var err error
			result, err = box.live(ctx, whole)
			return gateway.NewResult(), err
		}, nil)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("running %q: %w", run.Name, context.Cause(ctx))
	case err != nil:
		if known := d.place.Explain(err, nil); known != nil {
			err = known
		}
		return nil, fmt.Errorf("running %q: %w", run.Name, err)
	}
	return result, nil
}

// container is a container of an image, driven by BuildKit's protocol: the
// gateway's client has one stream for all processes, see process.
type container struct {
	gateway gatewaypb.LLBBridgeClient
	id      string
	place   Place
	job     engine.Run
}

// live makes the container, runs it and takes it away, also when ctx has ended.
func (b *container) live(ctx, whole context.Context) (*engine.RunResult, error) {
	if err := b.make(ctx); err != nil {
		return nil, err
	}
	defer func() {
		// Its error is the exit status of the process, which is known.
		_, _ = b.gateway.ReleaseContainer(whole, &gatewaypb.ReleaseContainerRequest{ContainerID: b.id})
	}()
	return b.run(ctx, whole)
}

// Platform reads the platform of a run's image from its configuration.
func Platform(ctx context.Context, run engine.Run) (ocispec.Platform, error) {
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

// make unpacks the images of a run, which ctx may end, and puts the container together.
func (b *container) make(ctx context.Context) error {
	platform, err := Platform(ctx, b.job)
	if err != nil {
		return err
	}
	root, err := b.unpack(ctx, "image@"+b.job.Image.Digest.String(), platform)
	if err != nil {
		return err
	}
	mounts := []*pb.Mount{{Dest: "/", MountType: pb.MountType_BIND, ResultID: root}}
	if b.job.Probe != nil {
		id, err := b.unpack(ctx, "probe@"+b.job.Probe.Mount.Digest.String(), platform)
		if err != nil {
			return err
		}
		// Not read-only: the BuildKit of Docker 26 does not unpack such a mount.
		mounts = append(mounts, &pb.Mount{Dest: b.job.Probe.MountPath, MountType: pb.MountType_BIND, ResultID: id})
	}
	_, err = b.gateway.NewContainer(ctx, &gatewaypb.NewContainerRequest{
		ContainerID: b.id,
		Network:     pb.NetMode_NONE,
		Platform:    &pb.Platform{OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant},
		Mounts:      mounts,
	})
	if err != nil {
		return fmt.Errorf("making the container: %w", err)
	}
	return nil
}

// unpack makes an image of the job's store, NAME@DIGEST, a file tree, and gives
// BuildKit's name for it.
func (b *container) unpack(ctx context.Context, name string, p ocispec.Platform) (string, error) {
	ref := engine.StoreName + "/" + name
	def, err := llb.OCILayout(ref, llb.OCIStore("", engine.StoreName), llb.Platform(p)).Marshal(ctx, llb.Platform(p))
	if err != nil {
		return "", fmt.Errorf("naming image %q: %w", ref, err)
	}
	res, err := b.gateway.Solve(ctx, &gatewaypb.SolveRequest{
		Definition: def.ToPB(), Evaluate: true, AllowResultReturn: true, AllowResultArrayRef: true,
	})
	if err != nil {
		return "", fmt.Errorf("unpacking image %q: %w", ref, err)
	}
	id := res.GetResult().GetRef().GetId()
	if id == "" {
		return "", fmt.Errorf("unpacking image %q: it is empty: build it again", ref)
	}
	return id, nil
}

// run starts the main process and sees to its end, which comes early when ctx
// ends. The processes themselves live in whole.
func (b *container) run(ctx, whole context.Context) (*engine.RunResult, error) {
	stdout, stderr := newTail(outputLimit), newTail(outputLimit)
	s := &Streams{Stdout: stdout, Stderr: stderr}
	if len(b.job.Stdin) > 0 {
		s.Stdin = io.NopCloser(bytes.NewReader(b.job.Stdin))
	}
	main, err := b.start(whole, &pb.Meta{Args: b.job.Args, Env: b.job.Env, User: b.job.User, Cwd: b.job.Cwd}, s)
	if err != nil {
		return nil, fmt.Errorf("starting %q: %w", b.job.Args, err)
	}

	probeCtx, stopProbing := context.WithCancel(ctx)
	probing := b.startProbing(probeCtx, whole)
	result := &engine.RunResult{}
	running := b.await(ctx, main, probing.satisfied, result)
	stopProbing()
	if running {
		stop(ctx, main)
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
	result.Exit, err = exitStatus(main.outcome(), result.Stderr)
	return result, err
}

// await returns when the main process ends, or should: then it is still running.
func (b *container) await(ctx context.Context, main *process, satisfied <-chan struct{}, result *engine.RunResult) (running bool) {
	var timeout <-chan time.Time
	if b.job.Timeout > 0 {
		t := time.NewTimer(b.job.Timeout)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-main.ended:
		return false
	case <-satisfied:
		result.Probed = true
	case <-timeout:
		result.TimedOut = true
	case <-ctx.Done():
	}
	return true
}

// stop ends a process: politely, then not. When ctx has ended nobody waits for politeness.
func stop(ctx context.Context, p *process) {
	for _, step := range []struct {
		signal string
		wait   time.Duration
		hurry  <-chan struct{}
	}{{sigTerm, stopWait, ctx.Done()}, {sigKill, killedWait, nil}} {
		p.signal(step.signal)
		select {
		case <-p.ended:
			return
		case <-step.hurry:
		case <-time.After(step.wait):
		}
	}
}

// StartFailure is what runc says of a program that it cannot start.
const StartFailure = "unable to start container process: "

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
	if code == 1 && bytes.Contains(stderr, []byte(StartFailure)) {
		if bytes.Contains(stderr, []byte("permission denied")) || bytes.Contains(stderr, []byte("exec format error")) {
			return notExecutable, nil
		}
		return notFound, nil
	}
	return code, nil
}
