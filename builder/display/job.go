package display

import (
	"context"
	"io"
	"sync"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"

	"github.com/riscv-build/riscv-build/builder/engine"
)

// job is the display of one graph. Between the engine and the display lies a
// queue without a bound, because an engine must never wait for a terminal.
type job struct {
	d    *Display
	done chan struct{}

	mu     sync.Mutex
	more   *sync.Cond
	queue  []*client.SolveStatus
	closed bool
}

var (
	_ engine.Progress = (*job)(nil)
	_ io.Closer       = (*job)(nil)
)

func (d *Display) newJob(name string) (*job, error) {
	var out io.Writer = d
	if d.redraws {
		out = d.out // the terminal itself, whose size the display asks for
	}
	ui, err := progressui.NewDisplay(out, d.mode, progressui.WithPhase(name))
	if err != nil {
		return nil, err
	}
	j := &job{d: d, done: make(chan struct{})}
	j.more = sync.NewCond(&j.mu)
	updates := make(chan *client.SolveStatus)
	go j.feed(updates)
	go func() {
		defer close(j.done)
		// Without a context: a cancelled build still shows how far it came.
		if _, err := ui.UpdateFrom(context.Background(), updates); err != nil {
			for range updates { //nolint:revive // the feeder must not wait for a display that broke
			}
		}
	}()
	return j, nil
}

// Status takes what the engine reports.
func (j *job) Status(s *client.SolveStatus) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed {
		j.queue = append(j.queue, s)
		j.more.Signal()
	}
}

// Close ends the display of this graph.
func (j *job) Close() error {
	j.d.mu.Lock()
	current := j.d.job == j
	j.d.mu.Unlock()
	if current {
		j.d.Flush()
	}
	return nil
}

// end waits until everything that was reported is shown.
func (j *job) end() {
	j.mu.Lock()
	j.closed = true
	j.more.Signal()
	j.mu.Unlock()
	<-j.done
}

// feed hands reports on, and closes the channel after the last.
func (j *job) feed(updates chan<- *client.SolveStatus) {
	defer close(updates)
	for {
		j.mu.Lock()
		for len(j.queue) == 0 && !j.closed {
			j.more.Wait()
		}
		batch := j.queue
		j.queue = nil
		last := j.closed
		j.mu.Unlock()
		for _, s := range batch {
			updates <- s
		}
		if last && len(batch) == 0 {
			return
		}
	}
}
