package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/moby/buildkit/solver/pb"
)

// Pauses between two attempts of a probe: short at first, because most servers
// are up at once, then longer, because starting a process costs a board more.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// probing is a probe that is tried again and again.
type probing struct {
	satisfied chan struct{} // closed when the probe was
	done      chan struct{} // closed when no further attempt will come
	lastErr   error         // why the last attempt failed; valid when done is closed
}

// wait returns the last attempt's failure, after the end of that attempt.
func (p *probing) wait() error {
	<-p.done
	return p.lastErr
}

// startProbing tries the job's probe until it is satisfied or ctx ends.
// Without a probe it is never satisfied.
func (b *container) startProbing(ctx, whole context.Context) *probing {
	p := &probing{satisfied: make(chan struct{}), done: make(chan struct{})}
	if b.job.Probe == nil {
		close(p.done)
		return p
	}
	go func() {
		defer close(p.done)
		for pause := firstPause; ; pause = min(pause*5/4, lastPause) {
			ok, err := b.attempt(ctx, whole)
			if ok {
				p.lastErr = nil
				close(p.satisfied)
				return
			}
			// What an attempt says that was broken off says nothing about the server, unless it is all there is.
			if ctx.Err() == nil || p.lastErr == nil {
				p.lastErr = err
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
	}()
	return p
}

// attempt runs one process of the probe to its end.
func (b *container) attempt(ctx, whole context.Context) (bool, error) {
	stdinReader, stdin := io.Pipe()
	stdout, stdoutWriter := io.Pipe()
	complaint := newTail(4 << 10)
	proc, err := b.start(whole, &pb.Meta{Args: b.job.Probe.Args, Env: b.job.Env, Cwd: "/", User: "0:0"},
		&Streams{Stdin: stdinReader, Stdout: stdoutWriter, Stderr: complaint})
	if err != nil {
		return false, fmt.Errorf("starting the probe: %w", err)
	}
	go func() {
		_ = proc.wait() // whether it served its purpose is Attempt's to say
		_ = stdoutWriter.Close()
		_ = stdinReader.Close()
	}()
	// A reader or writer inside Attempt returns when the run is over.
	release := context.AfterFunc(ctx, func() {
		_ = stdout.CloseWithError(context.Cause(ctx))
		_ = stdin.CloseWithError(context.Cause(ctx))
	})
	done, err := b.job.Probe.Attempt(ctx, stdin, stdout)
	release()
	_ = stdin.Close()
	_ = stdout.Close()
	endProbe(ctx, proc)
	if done {
		return true, nil
	}
	return false, probeError(err, string(complaint.Bytes()))
}

// endProbe lets a probe's process end by itself, then asks it to, then kills it.
func endProbe(ctx context.Context, p *process) {
	select {
	case <-p.ended:
		return
	case <-ctx.Done():
	case <-time.After(stopWait):
	}
	stop(ctx, p)
}

func probeError(err error, complaint string) error {
	if err == nil {
		err = errors.New("the answer was not the expected one")
	}
	if complaint = strings.TrimSpace(complaint); complaint != "" {
		return fmt.Errorf("%w (the probe said: %s)", err, complaint)
	}
	return err
}
