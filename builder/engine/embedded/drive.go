//go:build linux

package embedded

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"syscall"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/engine/buildkit"
	"golang.org/x/sys/unix"
)

var _ buildkit.Place = (*Engine)(nil)

// Solve solves the job's graph. A command of the graph that fails is an
// *engine.ExecError, a full file system an *engine.SpaceError.
func (e *Engine) Solve(ctx context.Context, job engine.Job) error {
	e.used.Store(true)
	defer e.daemon.near.add(job.Store)()
	started := time.Now()
	err := e.driver.Solve(ctx, job)
	if errors.As(err, new(*engine.ExecError)) {
		e.discard(job.Definition, started)
	}
	return err
}

// Run starts the image's process and waits for its end, for a satisfied probe,
// or for the time to be up.
func (e *Engine) Run(ctx context.Context, run engine.Run) (*engine.RunResult, error) {
	platform, err := buildkit.Platform(ctx, run)
	if err != nil {
		return nil, err
	}
	if err := e.canRun(ctx, platform); err != nil {
		return nil, err
	}
	e.used.Store(true)
	defer e.daemon.near.add(run.Store)()
	return e.driver.Run(ctx, run)
}

// canRun says what is missing when this machine cannot execute the image.
func (e *Engine) canRun(ctx context.Context, p ocispec.Platform) error {
	if p.Architecture != buildkit.Target.Architecture || runtime.GOARCH == buildkit.Target.Architecture {
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

// Far is false: BuildKit is in this process.
func (e *Engine) Far() bool { return false }

// Direct leads the streams of a process to the executor, which is in this process.
func (e *Engine) Direct(env []string, s *buildkit.Streams) ([]string, func()) {
	return e.daemon.executor.expect(env, s)
}

// Explain tells whether the backend has gone, which it remembers, or a file
// system is full.
func (e *Engine) Explain(err error, step *engine.ExecError) error {
	if lost := e.backend.lost(err); lost != nil {
		e.broken.Store(true)
		return lost
	}
	if step != nil {
		err = step
	}
	if space := asSpaceError(e.opts.Root, err); errors.As(space, new(*engine.SpaceError)) {
		return space
	}
	return nil
}

// asSpaceError makes err an *engine.SpaceError when a full file system is its
// cause. Errors of BuildKit arrive as text.
func asSpaceError(root string, err error) error {
	text := err.Error()
	var failed *engine.ExecError
	if errors.As(err, &failed) {
		text = failed.Log
	}
	full := errors.Is(err, syscall.ENOSPC) || strings.Contains(strings.ToLower(text), "no space left on device")
	if !full {
		return err
	}
	space := &engine.SpaceError{Path: root, Err: err}
	var fs unix.Statfs_t
	if unix.Statfs(root, &fs) == nil {
		space.Free = int64(fs.Bavail) * fs.Bsize
	}
	return space
}
