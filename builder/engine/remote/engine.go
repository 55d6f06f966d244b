package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/engine/buildkit"
)

// While something is solved or run, the engine is asked now and then whether it
// is there: a link that is cut without a word would be waited for without end.
const (
	askPause = 15 * time.Second
	askLimit = time.Minute // a slow link that is busy delays the answer
)

// Solve solves the job's graph. A command of the graph that fails is an
// *engine.ExecError, a connection that breaks an *engine.LinkError.
func (e *Engine) Solve(ctx context.Context, job engine.Job) error {
	defer e.watch(ctx)()
	return e.driver.Solve(ctx, job)
}

// Run starts the image's process and waits for its end, for a satisfied probe,
// or for the time to be up.
func (e *Engine) Run(ctx context.Context, run engine.Run) (*engine.RunResult, error) {
	platform, err := buildkit.Platform(ctx, run)
	if err != nil {
		return nil, err
	}
	if platform.Architecture == buildkit.Target.Architecture && e.worker.emulator == "" {
		return nil, &engine.EnvironmentError{
			What: fmt.Sprintf("riscv64 programs do not run on the engine at %q: its platforms do not have linux/riscv64", e.opts.Address),
			Do:   "install QEMU user mode on that machine (`riscv-build doctor --fix`, or the package qemu-user-static) and start the engine again",
		}
	}
	defer e.watch(ctx)()
	return e.driver.Run(ctx, run)
}

// Info tells what the engine is.
func (e *Engine) Info(context.Context) (engine.Info, error) {
	return engine.Info{
		Name: e.opts.Address.kind, Worker: e.worker.name, Version: e.worker.version, Elsewhere: true,
		Platform: e.worker.platforms[0], Platforms: e.worker.platforms, Emulator: e.worker.emulator,
	}, nil
}

// watch cuts the connections when the engine does not answer any more. stop ends it.
func (e *Engine) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(askPause):
			}
			asking, done := context.WithTimeout(ctx, askLimit)
			_, err := e.client.Info(asking)
			done()
			if err != nil && ctx.Err() == nil && errors.Is(asking.Err(), context.DeadlineExceeded) {
				e.broken.Store(true)
				e.cut()
				return
			}
		}
	}()
	return cancel
}

// Far tells that the engine is behind a network, as far as that can be seen.
func (e *Engine) Far() bool {
	kind := e.opts.Address.kind
	return kind == "tcp" || kind == "ssh" || e.docker != nil && !strings.HasPrefix(e.docker.client.DaemonHost(), "unix://")
}

// Direct leaves streams to the connection.
func (e *Engine) Direct(env []string, _ *buildkit.Streams) ([]string, func()) { return env, nil }
