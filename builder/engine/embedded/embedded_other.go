//go:build !linux

package embedded

import (
	"context"
	"net"
	"runtime"

	"github.com/riscv-build/riscv-build/builder/engine"
)

// Open says that this engine needs Linux.
func Open(context.Context, Options) (engine.Engine, error) { return nil, needsLinux() }

// Identify says that this engine needs Linux.
func Identify(context.Context) (engine.Info, error) { return engine.Info{}, needsLinux() }

// Serve says that this engine needs Linux.
func Serve(context.Context, Options, net.Listener, func()) error { return needsLinux() }

func needsLinux() error {
	return &engine.EnvironmentError{
		What: "the embedded engine needs Linux, and this is " + runtime.GOOS,
		Do:   "name an engine with --engine: docker:// for this machine's Docker, ssh://USER@HOST for a Linux machine or the board with riscv-build on it, or another",
	}
}
