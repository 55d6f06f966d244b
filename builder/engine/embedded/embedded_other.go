//go:build !linux

package embedded

import (
	"context"
	"runtime"

	"github.com/riscv-build/riscv-build/builder/engine"
)

// Open says that this engine needs Linux.
func Open(context.Context, Options) (engine.Engine, error) { return nil, needsLinux() }

// Identify says that this engine needs Linux.
func Identify(context.Context) (engine.Info, error) { return engine.Info{}, needsLinux() }

func needsLinux() error {
	return &engine.EnvironmentError{
		What: "the embedded engine needs Linux, and this is " + runtime.GOOS,
		Do:   "build on a Linux machine or on the board; everything but building works here",
	}
}
