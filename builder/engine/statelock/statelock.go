// Package statelock lets one process at a time change a state directory: an
// advisory lock on a file that also says who holds it. The kernel releases the
// lock when its holder dies, however it dies, so a lock is never stale. It is
// not a lock between goroutines of one process: hold one Lock there and share it.
package statelock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// poll is the time between two attempts to get a lock that somebody holds.
// flock has no wait that a context could end.
const poll = 100 * time.Millisecond

// Holder is the process that holds a lock, as it described itself.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Started time.Time `json:"started"` // when it got the lock
}

// String describes the holder in the words of a message.
func (h Holder) String() string {
	if h.PID == 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d (%s), since %s", h.PID, h.Command, h.Started.Local().Format("15:04:05"))
}

// Lock is a lock that is held.
type Lock struct {
	file *flock.Flock
}

// Acquire locks the file at path, which is made when it is missing. While
// another process holds the lock, Acquire calls waiting once for every holder
// it sees and waits until the lock is free or ctx ends. A nil waiting is allowed.
func Acquire(ctx context.Context, path string, waiting func(Holder)) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of lock %q: %w: choose a writable one with --state-dir", path, err)
	}
	file := flock.New(path, flock.SetPermissions(0o644))
	var seen Holder
	told := false
	for {
		ok, err := file.TryLock()
		if err != nil {
			return nil, fmt.Errorf("locking %q: %w: choose a state directory on a file system with locks, with --state-dir", path, err)
		}
		if ok {
			break
		}
		// A holder that got the lock an instant ago may not have signed yet.
		if h, err := ReadHolder(path); waiting != nil && (!told || err == nil && h.PID != seen.PID) {
			told, seen = true, h
			waiting(h)
		}
		if err := pause(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("waiting for lock %q, held by %s: %w", path, seen, err), file.Close())
		}
	}
	if err := sign(path); err != nil {
		return nil, errors.Join(fmt.Errorf("signing lock %q: %w", path, err), file.Close())
	}
	return &Lock{file: file}, nil
}

func pause(ctx context.Context) error {
	t := time.NewTimer(poll)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// sign writes into the locked file itself: a rename would give the next
// process another file to lock.
func sign(path string) error {
	text, err := json.Marshal(Holder{PID: os.Getpid(), Command: strings.Join(os.Args, " "), Started: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// ReadHolder tells who signed the lock file last. Whether that process still holds it, only Acquire finds out.
func ReadHolder(path string) (Holder, error) {
	var h Holder
	text, err := os.ReadFile(path)
	if err != nil {
		return h, fmt.Errorf("reading the holder of lock %q: %w", path, err)
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return Holder{}, fmt.Errorf("reading the holder of lock %q: %w", path, err)
	}
	return h, nil
}

// Release gives the lock back. The file stays: removing it would let two processes lock two different files.
func (l *Lock) Release() error {
	if err := os.Truncate(l.file.Path(), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("clearing lock %q: %w", l.file.Path(), err), l.file.Close())
	}
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("releasing lock %q: %w", l.file.Path(), err)
	}
	return nil
}
