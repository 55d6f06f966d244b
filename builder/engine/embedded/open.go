//go:build linux

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/log"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/engine/buildkit"
	"github.com/riscv-build/riscv-build/builder/engine/statelock"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// Engine is BuildKit in this process. Its methods may be called concurrently.
type Engine struct {
	opts    Options
	backend backend
	lock    *statelock.Lock
	daemon  *daemon
	driver  *buildkit.Driver
	used    atomic.Bool // something was solved or run: the cache may have grown
	emptied atomic.Bool // nothing of the cache is to stay
	broken  atomic.Bool // containers may be left, as when their containerd went away

	restoreTemp func()

	closing  sync.Once
	closeErr error
}

var (
	_ engine.Engine = (*Engine)(nil)
	_ engine.Cache  = (*Engine)(nil)
)

// Open starts the engine on opts.Root, after clearing what a killed one left
// there. One process at a time uses a root: a second one waits. What the
// machine lacks is an *engine.EnvironmentError. Until it is closed, the
// process's temporary directory (TMPDIR) lies in the root; so open one engine
// in a process at a time.
func Open(ctx context.Context, opts Options) (engine.Engine, error) {
	root, err := prepareRoot(opts.Root)
	if err != nil {
		return nil, err
	}
	opts.Root = root
	b := newBackend(opts)
	if err := checkEnvironment(ctx, b); err != nil {
		return nil, errors.Join(err, b.close())
	}
	quietLogs(opts.Debug)
	// Containers inherit it, and so do directories that unpacking makes: what a
	// build gives must not depend on the caller's.
	unix.Umask(0o022)

	// The lock lies beside the root, because a damaged root is moved away whole.
	lock, err := statelock.Acquire(ctx, root+".lock", func(h statelock.Holder) {
		opts.notice("waiting for the engine in %s, which %s uses", root, h)
	})
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	e := &Engine{opts: opts, backend: b, lock: lock}
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(err, b.close(), lock.Release())
	}
	return e, nil
}

// prepareRoot makes the root's path absolute and free of symbolic links,
// because the kernel reports mounts so.
func prepareRoot(root string) (string, error) {
	if root == "" {
		return "", errors.New("opening the embedded engine without a directory: name one with --state-dir")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("resolving engine directory %q: %w", root, err)
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return "", fmt.Errorf("making the directory of %q: %w: choose a writable one with --state-dir", root, err)
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(root))
	if err != nil {
		return "", fmt.Errorf("resolving engine directory %q: %w", root, err)
	}
	return filepath.Join(parent, filepath.Base(root)), nil
}

func (e *Engine) start(ctx context.Context) error {
	root := e.opts.Root
	if err := e.clear(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, tempDir), 0o711); err != nil {
		return fmt.Errorf("making engine directory %q: %w: choose a writable one with --state-dir", root, err)
	}
	if err := writeMark(root); err != nil {
		return err
	}
	// BuildKit mounts in the temporary directory and offers no other place.
	// Below the root, recovery finds those mounts.
	e.restoreTemp = setTemp(filepath.Join(root, tempDir))
	d, err := startDaemon(ctx, e.opts, e.backend)
	if err != nil {
		e.restoreTemp()
		return asSpaceError(root, fmt.Errorf("starting the embedded engine in %q: %w", root, err))
	}
	e.daemon, e.driver = d, buildkit.New(d.client, e)
	return nil
}

// clear takes away what an engine before left that ended otherwise than by Close.
func (e *Engine) clear(ctx context.Context) error {
	root := e.opts.Root
	trimBroken(root)
	crash, err := readMark(root)
	if err != nil {
		return err
	}
	if crash != notCrashed {
		if err := e.recoverRoot(ctx); err != nil {
			return fmt.Errorf("clearing what a killed build left in %q: %w: reboot, or remove the directory by hand when nothing is mounted below it", root, err)
		}
	}
	why, err := e.unusable(crash)
	if err != nil || why == nil {
		return err
	}
	e.opts.notice("the build cache in %s is of no use (%v): starting with an empty one; its databases are kept in %s", root, why, root+brokenSuffix)
	if err := setAside(root); err != nil {
		return err
	}
	return e.backend.empty(ctx, root)
}

// setTemp sets the process's temporary directory and gives back how to undo it.
// containerd chose the place of its temporary mounts before this program began,
// so it is told; there is nothing to undo, as only an engine mounts.
func setTemp(dir string) (undo func()) {
	_ = mount.SetTempMountLocation(dir) // where it cannot be made, the engine fails on it next
	const name = "TMPDIR"
	before, had := os.LookupEnv(name)
	_ = os.Setenv(name, dir) // cannot fail: the name is valid
	return func() {
		if had {
			_ = os.Setenv(name, before)
		} else {
			_ = os.Unsetenv(name)
		}
	}
}

// Close collects garbage down to the limit, stops the engine and gives the lock back.
func (e *Engine) Close() error {
	e.closing.Do(func() {
		if e.used.Load() && !e.broken.Load() {
			e.collect()
		}
		// BuildKit answers for a cancelled build before its containers have ended.
		ended := e.daemon.executor.settle(stopGrace)
		err := e.daemon.stop()
		e.restoreTemp()
		if !ended {
			e.broken.Store(true)
		}
		if err == nil {
			e.daemon.executor.memory.close()
			removeCgroups(e.opts.Root)
			err = e.finish()
		}
		e.closeErr = errors.Join(err, e.backend.close(), e.lock.Release())
	})
	return e.closeErr
}

// finish says in the root that the engine has ended as it should, or removes
// the root when nothing of it is to stay.
func (e *Engine) finish() error {
	switch {
	case e.broken.Load():
		return nil // with the mark still there, the next start clears the rest
	case !e.emptied.Load():
		if e.used.Load() {
			e.backend.sync(e.opts.Root)
		}
		return removeMark(e.opts.Root)
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTime)
	defer cancel()
	if err := e.backend.empty(ctx, e.opts.Root); err != nil {
		return err
	}
	if err := os.RemoveAll(e.opts.Root); err != nil {
		return fmt.Errorf("removing the build cache %q: %w: remove it by hand", e.opts.Root, err)
	}
	return nil
}

// quietLogs sends what BuildKit and containerd log, which is meant for the
// operator of a daemon, to debug only. Both log through one logrus logger.
func quietLogs(debug io.Writer) {
	level := logrus.DebugLevel
	if debug == nil {
		debug, level = io.Discard, logrus.PanicLevel
	}
	logrus.SetOutput(debug)
	logrus.SetLevel(level)
	log.L.Logger.SetOutput(debug)
	log.L.Logger.SetLevel(level)
}
