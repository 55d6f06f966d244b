package engine

import (
	"errors"
	"fmt"
	"strings"
)

// EnvironmentError says what the machine lacks for an engine to work.
// The command line ends with exit code 3 on it.
type EnvironmentError struct {
	What string // what is missing, a phrase: "the program runc is not installed"
	Do   string // what to do, an imperative: "install the package runc"
	Err  error  // the cause; may be nil
}

// Error joins what, cause and what to do in one line.
func (e *EnvironmentError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s (%v): %s", e.What, e.Err, e.Do)
	}
	return e.What + ": " + e.Do
}

// Unwrap gives the cause.
func (e *EnvironmentError) Unwrap() error { return e.Err }

// OfMachine tells whether an error says something about the machine or the way to it, not about
// what was built or run.
func OfMachine(err error) bool {
	var lacks *EnvironmentError
	var full *SpaceError
	var link *LinkError
	return errors.As(err, &lacks) || errors.As(err, &full) || errors.As(err, &link)
}

// ExecError is a step of a graph whose command ended with another exit status than 0.
type ExecError struct {
	Step string // name of the step as the progress shows it
	Exit int    // exit status; 128+n after signal n
	Log  string // the last lines of its output
}

// Error names step and exit status and quotes the log, indented.
func (e *ExecError) Error() string {
	head := fmt.Sprintf("running step %q: exit status %d", e.Step, e.Exit)
	if e.Exit == 137 {
		head += " (killed: out of memory, perhaps; fewer jobs need less)"
	}
	log := strings.TrimRight(e.Log, "\n")
	if log == "" {
		return head + ", without output: run it again with --progress plain to see the steps before it"
	}
	return head + "; its last lines:\n  | " + strings.ReplaceAll(log, "\n", "\n  | ") +
		"\n  correct the recipe's step or add what it misses"
}

// SpaceError is a build that ended because a file system was full. What was built before it is kept.
type SpaceError struct {
	Path string // of the engine's state
	Free int64  // bytes now free there
	Err  error
}

// Error says where, how much is free, and what to do.
func (e *SpaceError) Error() string {
	return fmt.Sprintf("writing below %q: no space left on device (%d MB free now); free some space or run `riscv-build cache prune`, then start the build again: %v",
		e.Path, e.Free>>20, e.Err)
}

// Unwrap gives the cause.
func (e *SpaceError) Unwrap() error { return e.Err }

// LinkError is a connection to an engine elsewhere that broke while it was in
// use. The command line ends with exit code 4 on it.
type LinkError struct {
	Engine string // as the user named it
	Err    error
}

// Error says what broke and what goes on.
func (e *LinkError) Error() string {
	return fmt.Sprintf("working with the engine at %q: the connection broke, or the engine ended: %v: see that it runs and can be reached, then start the build again: it goes on from the last finished step", e.Engine, e.Err)
}

// Unwrap gives the cause.
func (e *LinkError) Unwrap() error { return e.Err }
