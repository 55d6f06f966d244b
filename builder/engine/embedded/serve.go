//go:build linux

package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"

	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/riscv-build/riscv-build/builder/engine/buildkit"
)

// Serve opens an engine and lets whoever connects to the listener use it as a
// BuildKit, until ctx ends: then what is being built ends, too. Who may connect
// may do on this machine what root may. ready is called when they are answered.
func Serve(ctx context.Context, opts Options, l net.Listener, ready func()) error {
	version.Version = ownVersion()
	opts.shared = true
	opened, err := Open(ctx, opts)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	e := opened.(*Engine) //nolint:forcetypeassert // Open makes no other
	e.used.Store(true)
	server := newServer(e.daemon.controller)
	ready()
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case <-ctx.Done():
	case err = <-served:
		err = fmt.Errorf("serving the engine at %s: %w: start it again", l.Addr(), err)
	}
	server.Stop()
	return errors.Join(err, e.Close())
}

// frontends read what others than this program send: a Dockerfile. Graphs need none.
func frontends(opts Options, workers *worker.Controller) map[string]frontend.Frontend {
	if !opts.shared {
		return nil
	}
	return map[string]frontend.Frontend{"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build)}
}

// ownVersion is the version of the BuildKit in this program. It says it by
// itself in a build of its own only.
func ownVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version.Version
	}
	for _, module := range info.Deps {
		if module.Path == version.Package {
			return module.Version
		}
	}
	return version.Version
}

// describe has a worker say which programs run here, and what runs the foreign ones.
func describe(ctx context.Context, opt *base.WorkerOpt) error {
	info, err := Identify(ctx)
	if err != nil || info.Emulator == "" {
		return err
	}
	opt.Labels[buildkit.EmulatorLabel] = info.Emulator
	opt.Platforms = info.Platforms
	return nil
}
