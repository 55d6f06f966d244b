package main

import (
	"errors"
	"os"
	"runtime"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/engine/remote"
)

// embeddedRuns tells whether the embedded engine can run here at all.
func embeddedRuns() bool { return runtime.GOOS == "linux" && os.Geteuid() == 0 }

// autoEngine is the first of the engines of this machine's user that can be
// used, where the embedded one cannot; false if there is none. It looks once.
func (p *place) autoEngine(c *cli.Context) (remote.Options, bool, error) {
	if embeddedRuns() {
		return remote.Options{}, false, nil
	}
	if p.auto == nil {
		p.auto = &foundAuto{}
		p.auto.opts, p.auto.ok = p.firstUsable(c, remote.Discover(c.Context, os.Getenv))
		if !p.auto.ok && runtime.GOOS != "linux" {
			p.auto.err = errNoEngine
		}
	}
	return p.auto.opts, p.auto.ok, p.auto.err
}

// foundAuto is what a search for an engine came to.
type foundAuto struct {
	opts remote.Options
	ok   bool
	err  error
}

// firstUsable is the first engine that answers and runs riscv64 programs.
func (p *place) firstUsable(c *cli.Context, all []remote.Address) (remote.Options, bool) {
	for _, a := range all {
		opts, err := p.remoteOptions(c, a.String())
		if err != nil {
			continue // what was found is written well
		}
		found := p.look(c, opts)
		if found.OK && found.RISCV64 == "" {
			found.missing(errors.New("it runs no riscv64 programs"))
		}
		if !found.OK {
			p.display.Verbose("engine %s cannot be used: %s", a, found.Problems[0])
			continue
		}
		p.display.Notice("building with the engine at %s; --engine names another", a)
		return opts, true
	}
	return remote.Options{}, false
}

// errNoEngine explains the choices.
var errNoEngine = &engine.EnvironmentError{
	What: "no engine was found: the embedded one needs Linux, and neither Docker nor a builder of buildx, Colima or Lima can be used (`riscv-build engine ls` says why)",
	Do:   "start Docker Desktop or Colima; where its own builder cannot be used, `riscv-build engine up` runs one in it; or run `riscv-build engine serve` on a Linux machine or the board and name it: --engine ssh://USER@HOST",
}
