package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/engine/embedded"
	"github.com/riscv-build/riscv-build/builder/engine/statelock"
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
// state directory, opened one after the other. One that is being served is left out.
func (s *session) eachCache(c *cli.Context, f func(engine.Cache) error) error {
	own, err := s.enginesEver(c, "")
	if err != nil {
		return err
	}
	served, err := s.enginesEver(c, servedSuffix)
	if err != nil {
		return err
	}
	for _, options := range append(own, served...) {
		if strings.HasSuffix(options.Root, servedSuffix) && held(c.Context, options.Root) {
			s.display.Notice("the build cache in %s is in use by `engine serve`, which keeps it below its --cache-limit: it is left out", options.Root)
			continue
		}
		if err := withCache(c, options, f); err != nil {
			return err
		}
	}
	return nil
}

// enginesEver are the engines with a directory of that suffix.
func (s *session) enginesEver(c *cli.Context, suffix string) ([]embedded.Options, error) {
	var all []embedded.Options
	if s.has(runcRoot + suffix) {
		all = append(all, s.runcEngine())
	}
	if s.has(containerdRoot + suffix) {
		endpoint, ok, err := s.containerd(c)
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, environmentError{errors.New("opening the build cache in containerd: no containerd answers: start it, or name its socket with --containerd")}
		}
		all = append(all, s.containerdEngine(endpoint))
	}
	for i := range all {
		all[i].Root += suffix
	}
	return all, nil
}

// held tells whether another process has an engine open.
func held(ctx context.Context, root string) bool {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	lock, err := statelock.Acquire(ctx, root+".lock", nil)
	if err != nil {
		return true
	}
	return lock.Release() != nil
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
