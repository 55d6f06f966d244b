// Command riscv-build turns a recipe into a tested riscv64 container image and
// pushes it to a registry. One file per verb: flags, then one call; what they
// call is in the packages of this module.
package main

import (
	"context"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/containerd/log"
)

// memoryLimit is where the collector begins to work harder, in bytes: a board
// has 4 GB, most of which compilers need. GOMEMLIMIT replaces it.
const memoryLimit = 140 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	// What the libraries of containerd and HTTP/2 warn of is for operators of
	// daemons; this program's own messages do not go through these loggers.
	_ = log.SetLevel("error")
	stdlog.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	args := os.Args
	if filepath.Base(args[0]) == "buildctl" {
		args = buildctlArgs(args)
	}
	os.Exit(run(ctx, args, os.Stdout, os.Stderr))
}

// run is the program: results go to stdout, all else to stderr; the value is
// the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := &counter{w: stdout}
	app := newApp(out, stderr)
	args, err := arrange(app, args)
	if err == nil {
		err = app.RunContext(ctx, args)
	}
	if err == nil {
		return exitOK
	}
	code := exitCode(ctx, err)
	if status, ok := err.(containerExit); ok { //nolint:errorlint // wrapped, it comes with something to say
		return int(status)
	}
	if out.n == 0 && wantsJSON(args) {
		writeJSON(out, document{Results: []any{}, Error: err.Error()})
	}
	fmt.Fprintf(stderr, "riscv-build: %v\n", err)
	return code
}

// counter knows whether anything was written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
