package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/engine/embedded"
	"github.com/riscv-build/riscv-build/pusher/containerd"
)

// The directories of the state directory that engines keep their caches in.
const (
	runcRoot       = "buildkit"
	containerdRoot = "buildkit-containerd"
)

// chooseEngine is an engine on the containerd of this machine, or on runc where there is none.
func (s *session) chooseEngine(c *cli.Context) (embedded.Options, error) {
	endpoint, ok, err := s.containerd(c)
	if err != nil {
		return embedded.Options{}, err
	}
	if ok {
		return s.containerdEngine(endpoint), nil
	}
	say := s.display.Verbose
	if runtime.GOARCH == "riscv64" {
		say = s.display.Notice // a board has one as a rule
	}
	say("no containerd is used: containers run with runc, and images are not in containerd's store")
	return s.runcEngine(), nil
}

func (s *session) runcEngine() embedded.Options {
	return embedded.Options{Root: filepath.Join(s.stateDir, runcRoot), GCLimit: s.limit / 2, Notice: s.display.Notice}
}

func (s *session) containerdEngine(e containerd.Endpoint) embedded.Options {
	return embedded.Options{
		Root: filepath.Join(s.stateDir, containerdRoot), Containerd: e.Address, GCLimit: s.limit / 2, Notice: s.display.Notice,
	}
}

// eachCache calls f with the build cache of every engine that ever built in the
// state directory, opened one after the other.
func (s *session) eachCache(c *cli.Context, f func(engine.Cache) error) error {
	var all []embedded.Options
	if s.has(runcRoot) {
		all = append(all, s.runcEngine())
	}
	if s.has(containerdRoot) {
		endpoint, ok, err := s.containerd(c)
		switch {
		case err != nil:
			return err
		case !ok:
			return environmentError{errors.New("opening the build cache in containerd: no containerd answers: start it, or name its socket with --containerd")}
		}
		all = append(all, s.containerdEngine(endpoint))
	}
	for _, options := range all {
		if err := withCache(c, options, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) has(root string) bool {
	_, err := os.Stat(filepath.Join(s.stateDir, root))
	return !errors.Is(err, fs.ErrNotExist)
}

func withCache(c *cli.Context, options embedded.Options, f func(engine.Cache) error) error {
	e, err := embedded.Open(c.Context, options)
	if err != nil {
		return err
	}
	if cache, ok := e.(engine.Cache); ok {
		err = f(cache)
	}
	return errors.Join(err, e.Close())
}
