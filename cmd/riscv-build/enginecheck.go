package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/containerd/platforms"
	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/engine/embedded"
	"github.com/riscv-build/riscv-build/builder/engine/remote"
	"github.com/riscv-build/riscv-build/builder/engine/trial"
	"github.com/riscv-build/riscv-build/cmd/riscv-build/config"
)

func engineCheckCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "try an engine: what it is, and whether it can export and run riscv64 programs", ArgsUsage: "[URL]",
		Description: "Without URL it is the engine that builds would use. The exit status is 3 if something is missing.",
		Flags:       flags(stateFlags(), engineFlags(), containerdFlags(), []cli.Flag{jsonFlag()}),
		Action:      engineCheck,
	}
}

func engineListCommand() *cli.Command {
	return &cli.Command{
		Name: "ls", Usage: "list the engines of this machine's user",
		Description: "The one that is configured, the embedded one, and those of Docker, buildx, BuildKit, Colima and Lima.",
		Flags:       flags(stateFlags(), engineFlags(), []cli.Flag{jsonFlag()}),
		Action:      engineList,
	}
}

// foundEngine is what is known of an engine.
type foundEngine struct {
	Engine    string   `json:"engine"` // embedded, or its URL
	BuildKit  string   `json:"buildkit"`
	Worker    string   `json:"worker"`
	Platforms []string `json:"platforms"`
	RISCV64   string   `json:"riscv64"` // what runs riscv64 programs; "" if nothing does
	OK        bool     `json:"ok"`
	Problems  []string `json:"problems"` // what is missing, and what to do
}

func (f *foundEngine) know(info engine.Info) {
	f.BuildKit, f.Worker, f.RISCV64 = info.Version, info.Worker, info.Emulator
	for _, p := range info.Platforms {
		f.Platforms = append(f.Platforms, platforms.Format(p))
	}
}

func (f *foundEngine) missing(err error) {
	f.OK = false
	f.Problems = append(f.Problems, err.Error())
}

func engineCheck(c *cli.Context) error {
	if c.NArg() > 1 {
		return usagef("checking %d engines: name one, or none for the one that builds would use", c.NArg())
	}
	p, err := findPlace(c)
	if err != nil {
		return err
	}
	s := &session{place: p}
	l := s.lazy(c)
	if c.NArg() == 1 && c.Args().First() != config.EngineAuto && c.Args().First() != config.EngineEmbedded {
		opts, err := p.remoteOptions(c, c.Args().First())
		if err != nil {
			return err
		}
		l.remote = func() (remote.Options, bool, error) { return opts, true, nil }
	}
	found, err := tryEngine(c, l)
	if c.Bool("json") {
		writeJSON(c.App.Writer, found)
	} else if err == nil {
		describeEngine(c.App.Writer, found)
	}
	if err == nil && !found.OK {
		return environmentError{fmt.Errorf("checking the engine %q: builds would fail: %s", found.Engine, strings.Join(found.Problems, "; "))}
	}
	return err
}

// tryEngine opens an engine and has it do a bit of everything. The error is
// that it cannot be opened.
func tryEngine(c *cli.Context, l *lazyEngine) (found foundEngine, err error) {
	found = foundEngine{Engine: config.EngineEmbedded, OK: true, Platforms: []string{}, Problems: []string{}}
	opts, elsewhere, err := l.remote()
	if elsewhere {
		found.Engine = opts.Address.String()
	}
	var e engine.Engine
	if err == nil {
		e, err = l.open(c.Context)
	}
	if err != nil {
		found.missing(err)
		return found, err
	}
	defer func() {
		_, closed := l.close()
		err = errors.Join(err, closed)
	}()
	info, err := e.Info(c.Context)
	if err != nil {
		return found, err
	}
	found.know(info)
	dir, err := os.MkdirTemp("", "engine-check-")
	if err != nil {
		return found, environmentError{err}
	}
	defer os.RemoveAll(dir)
	if err := trial.Export(c.Context, e, dir); err != nil {
		found.missing(err)
	}
	if err := trial.Run(c.Context, e, dir); err != nil {
		found.missing(err)
	}
	return found, c.Context.Err()
}

func describeEngine(w io.Writer, f foundEngine) {
	or := func(text, other string) string {
		if text == "" {
			return other
		}
		return text
	}
	for _, line := range [][2]string{
		{"engine", f.Engine},
		{"BuildKit", or(f.BuildKit, "of a version that it does not say")},
		{"worker", f.Worker},
		{"platforms", strings.Join(f.Platforms, ", ")},
		{"riscv64", or(f.RISCV64, "nothing runs its programs")},
	} {
		fmt.Fprintf(w, "%-10s %s\n", line[0], line[1])
	}
	if f.OK {
		fmt.Fprintf(w, "%-10s a layout was exported and a riscv64 program ran\n", "ok")
	}
}

func engineList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	p, err := findPlace(c)
	if err != nil {
		return err
	}
	var opts remote.Options
	named := p.wantedEngine(c) != config.EngineAuto && p.wantedEngine(c) != config.EngineEmbedded
	if named {
		if opts, err = p.remoteOptions(c, p.wantedEngine(c)); err != nil {
			return err
		}
	}
	var all []foundEngine
	if named {
		all = append(all, p.look(c, opts))
	}
	if runtime.GOOS == "linux" {
		all = append(all, lookHere(c))
	}
	for _, a := range remote.Discover(c.Context, os.Getenv) {
		if named && a.String() == opts.Address.String() {
			continue
		}
		o, err := p.remoteOptions(c, a.String())
		if err != nil {
			return err
		}
		all = append(all, p.look(c, o))
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, struct {
			Engines []foundEngine `json:"engines"`
		}{append([]foundEngine{}, all...)})
		return c.Context.Err()
	}
	if len(all) == 0 {
		return environmentError{errors.New("looking for engines: there is none: start Docker, or `riscv-build engine serve` on a Linux machine or board, and name it with --engine ssh://USER@HOST")}
	}
	for _, f := range all {
		listEngine(c.App.Writer, f)
	}
	return c.Context.Err()
}

// look asks an engine elsewhere what it is.
func (p *place) look(c *cli.Context, opts remote.Options) foundEngine {
	found := foundEngine{Engine: opts.Address.String(), OK: true, Platforms: []string{}, Problems: []string{}}
	e, err := remote.Open(c.Context, opts)
	if err != nil {
		found.missing(err)
		return found
	}
	defer e.Close() //nolint:errcheck // a connection
	info, err := e.Info(c.Context)
	if err != nil {
		found.missing(err)
		return found
	}
	found.know(info)
	return found
}

// lookHere tells what the embedded engine is, without starting it.
func lookHere(c *cli.Context) foundEngine {
	found := foundEngine{Engine: config.EngineEmbedded, OK: true, Platforms: []string{}, Problems: []string{}}
	info, err := embedded.Identify(c.Context)
	if err != nil {
		found.missing(err)
		return found
	}
	found.know(info)
	if os.Geteuid() != 0 {
		found.missing(errors.New("it needs root: run this with sudo"))
	}
	return found
}

func listEngine(w io.Writer, f foundEngine) {
	if !f.OK {
		fmt.Fprintf(w, "%-32s not usable: %s\n", f.Engine, strings.Join(f.Problems, "; "))
		return
	}
	runs := f.RISCV64
	if runs == "" {
		runs = "no riscv64 programs"
	}
	fmt.Fprintf(w, "%-32s %s; %s; %s\n", f.Engine, strings.TrimSpace("BuildKit "+f.BuildKit+" "+f.Worker), strings.Join(f.Platforms, ", "), runs)
}
