package main

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/engine/embedded"
	"github.com/riscv-build/riscv-build/builder/engine/remote"
	"github.com/riscv-build/riscv-build/builder/engine/statelock"
	"github.com/riscv-build/riscv-build/builder/fetch"
)

// session is a run that uses the state directory, alone.
type session struct {
	*place
	builder *builder.Builder
	engine  *lazyEngine
	lock    *statelock.Lock
	limit   int64 // bytes, of the build cache and of the rest together
}

// openSession locks the state directory and makes a builder in it. Nothing is
// started: an engine comes when a stage asks for one. change, if there is one,
// has the last word on what the builder works with.
func openSession(c *cli.Context, change func(*session, *builder.Config) error) (*session, error) {
	p, err := findPlace(c)
	if err != nil {
		return nil, err
	}
	s := &session{place: p}
	cfg, err := s.configure(c)
	if err == nil && change != nil {
		err = change(s, &cfg)
	}
	if err != nil {
		return nil, err
	}
	return s, s.enter(c.Context, cfg, func(h statelock.Holder) {
		p.display.Notice("waiting: state directory %s is in use by %s", p.stateDir, h)
	})
}

// enter waits for the lock of the state directory and opens it; waiting hears
// who holds it.
func (s *session) enter(ctx context.Context, cfg builder.Config, waiting func(statelock.Holder)) error {
	var err error
	if s.lock, err = statelock.Acquire(ctx, filepath.Join(s.stateDir, "lock"), waiting); err != nil {
		return environmentError{err}
	}
	if s.builder, err = builder.New(cfg); err != nil {
		return errors.Join(environmentError{err}, s.lock.Release())
	}
	return nil
}

// configure gathers what a builder works with.
func (s *session) configure(c *cli.Context) (builder.Config, error) {
	if c.Int("jobs") < 0 {
		return builder.Config{}, usagef("reading --jobs %d: give a number of at least 1, or 0 to choose by processors and memory", c.Int("jobs"))
	}
	var err error
	if s.limit, err = cacheLimit(c.String("cache-limit"), s.place); err != nil {
		return builder.Config{}, err
	}
	mirrors, err := s.mirrors(c, s.display.Verbose)
	if err != nil {
		return builder.Config{}, err
	}
	modules, err := s.modules(s.display.Verbose)
	if err != nil {
		return builder.Config{}, err
	}
	s.engine = s.lazy(c)
	return builder.Config{
		StateDir: s.stateDir,
		Mirrors:  mirrors,
		Modules:  modules,
		Keyring:  cmp.Or(c.String("keyring"), s.config.Keyring),
		Fetch:    fetch.Options{Progress: s.display, UserAgent: "riscv-build/" + programVersion()},
		Pusher:   newPusher(s.place),
		Display:  s.display,
		Jobs:     c.Int("jobs"),
		Version:  programVersion(),
		Engine:   s.engine.open,
		Host:     s.engine.host,
	}, nil
}

// lazy is the engine that flags, environment and configuration choose.
func (s *session) lazy(c *cli.Context) *lazyEngine {
	return &lazyEngine{
		remote: func() (remote.Options, bool, error) { return s.remoteEngine(c) },
		local:  func() (embedded.Options, error) { return s.chooseEngine(c) },
		say:    s.display.Verbose,
		memory: s.knownEngineOf,
	}
}

// close ends what the session started and lets the next run in.
func (s *session) close() error {
	s.display.Flush()
	used, err := s.engine.close()
	if used {
		err = errors.Join(err, s.shrink())
	}
	return errors.Join(err, s.lock.Release())
}

// with runs f in a session.
func with(c *cli.Context, f func(*session) error) error { return withChanged(c, nil, f) }

// withChanged is with, on a builder that works with something else.
func withChanged(c *cli.Context, change func(*session, *builder.Config) error, f func(*session) error) (err error) {
	s, err := openSession(c, change)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return f(s)
}
