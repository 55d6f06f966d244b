package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/pusher/clients"
	"github.com/riscv-build/riscv-build/recipes"
)

// The exit statuses. They are part of the interface: scripts branch on them.
const (
	exitOK          = 0
	exitFailed      = 1   // a build, a check or a test failed
	exitUsage       = 2   // wrong arguments, or a wrong recipe, lock or configuration
	exitEnvironment = 3   // the machine lacks something: `riscv-build doctor` says what
	exitNetwork     = 4   // a registry or a mirror
	exitInterrupted = 130 // a signal
)

// usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// environmentError is a machine that cannot build.
type environmentError struct{ error }

// coded is an error of a package below that knows its exit status.
type coded interface{ ExitCode() int }

// containerExit is the status of a container that was run; there is nothing to
// say about it.
type containerExit int

func (e containerExit) Error() string {
	return fmt.Sprintf("running a container: exit status %d", int(e))
}

// exitCode is the one place where errors become exit statuses.
func exitCode(ctx context.Context, err error) int {
	switch {
	case err == nil:
		return exitOK
	case is[containerExit](err):
		var status containerExit
		errors.As(err, &status)
		return int(status)
	case ctx.Err() != nil:
		return exitInterrupted
	case is[usageError](err), is[recipes.Problems](err), is[recipes.Problem](err), is[*builder.StaleError](err),
		is[*clients.RequestError](err), is[*clients.FileError](err):
		return exitUsage
	case is[environmentError](err), is[*engine.EnvironmentError](err), is[*engine.SpaceError](err), is[*fetch.SpaceError](err),
		is[*clients.AccessError](err):
		return exitEnvironment
	case is[*engine.LinkError](err), is[*fetch.NetworkError](err), is[*fetch.GoneError](err), is[*fetch.OfflineError](err), is[*pusher.Error](err):
		return exitNetwork
	}
	var c coded
	if errors.As(err, &c) {
		return c.ExitCode()
	}
	return exitFailed
}

// is tells whether an error of type T is among the causes.
func is[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}
