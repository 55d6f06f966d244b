package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/store"
)

// Bounds of what is recorded.
const (
	groupTime    = 100 * time.Millisecond // after which events are written
	groupEvents  = 500                    // that are written without waiting for more
	pendingBytes = 8 << 20                // a build waits for the disk when so much is not yet written
	maxEvents    = 200_000                // of log and notices, of one start of a build
	maxLogBytes  = 64 << 20
)

// recorder is the display of the build that runs: it makes events of what it
// is shown and writes them in groups. Nothing is lost: where the disk is
// slower than the build, the build waits.
type recorder struct {
	q    *Queue
	j    *job
	more chan struct{} // there is something to write
	full chan struct{} // there is enough to write it now
	done chan struct{}

	mu      sync.Mutex
	room    *sync.Cond
	pending []service.Event
	bytes   int // of pending
	events  int // in all, of log and notices
	logged  int // bytes of log in all
	current string
	changed bool // current is not yet written
	closed  bool
	err     error
	lines   lines
	steps   steps
}

var (
	_ builder.Display = (*recorder)(nil)
	_ engine.Progress = (*recorder)(nil)
)

func (q *Queue) newRecorder(j *job) *recorder {
	r := &recorder{
		q: q, j: j, more: make(chan struct{}, 1), full: make(chan struct{}, 1), done: make(chan struct{}),
		lines: lines{}, steps: steps{},
	}
	r.room = sync.NewCond(&r.mu)
	go r.write()
	return r
}

// Notice implements builder.Display.
func (r *recorder) Notice(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count(0) {
		r.add(service.NoticeEvent, service.NoticeData{Text: r.q.cfg.Redact(fmt.Sprintf(format, args...))})
	}
}

// Verbose implements builder.Display: nobody reads it here.
func (r *recorder) Verbose(string, ...any) {}

// Progress implements builder.Display.
func (r *recorder) Progress(string) engine.Progress { return r }

// Status implements engine.Progress.
func (r *recorder) Status(s *client.SolveStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range s.Vertexes {
		if data, ok := r.steps.change(v); ok {
			data.Name, data.Error = r.q.cfg.Redact(data.Name), r.q.cfg.Redact(data.Error)
			r.add(service.VertexEvent, data)
		}
	}
	for _, l := range s.Logs {
		for _, text := range r.lines.add(stream{l.Vertex, l.Stream}, l.Data) {
			r.log(stream{l.Vertex, l.Stream}, text)
		}
	}
}

// stage hears which stage of the build begins.
func (r *recorder) stage(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current, r.changed = name, true
	r.add(service.StageEvent, service.StageData{Stage: name})
}

// reached is the stage that began last.
func (r *recorder) reached() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

// log adds a piece of log. The caller holds the mutex.
func (r *recorder) log(from stream, text string) {
	if r.count(len(text)) {
		r.add(service.LogEvent, service.LogData{Vertex: from.vertex, Stream: from.number, Text: r.q.cfg.Redact(text)})
	}
}

// count tells whether there is room for one more event of log or notices, and
// once, where there is none, says so. The caller holds the mutex.
func (r *recorder) count(size int) bool {
	fits := r.events < maxEvents && r.logged+size <= maxLogBytes
	if fits {
		r.events++
		r.logged += size
	} else if r.logged <= maxLogBytes {
		r.events, r.logged = maxEvents, maxLogBytes+1
		r.add(service.NoticeEvent, service.NoticeData{
			Text: fmt.Sprintf("this build printed more than is kept (%d pieces, %d MiB): what follows is left out", maxEvents, maxLogBytes>>20),
		})
	}
	return fits
}

// add adds an event, as soon as there is room. The caller holds the mutex.
func (r *recorder) add(kind string, data any) {
	for r.bytes > pendingBytes && r.err == nil && !r.closed {
		r.room.Wait()
	}
	if r.closed || r.err != nil {
		return
	}
	e := event(kind, data)
	r.pending = append(r.pending, e)
	r.bytes += len(e.Data)
	signal(r.more)
	if len(r.pending) >= groupEvents || r.bytes > pendingBytes {
		signal(r.full)
	}
}

// write writes groups until the recorder is closed. A group has time to grow
// unless it is large already.
func (r *recorder) write() {
	defer close(r.done)
	for range r.more {
		timer := time.NewTimer(groupTime)
		select {
		case <-r.full:
		case <-timer.C:
		}
		timer.Stop()
		if !r.flush() {
			return
		}
	}
}

// flush writes what is pending; it is false after the last.
func (r *recorder) flush() bool {
	r.mu.Lock()
	group, stage, changed, closed := r.pending, r.current, r.changed, r.closed
	r.pending, r.bytes, r.changed = nil, 0, false
	r.room.Broadcast()
	r.mu.Unlock()
	id := r.j.build.ID
	err := r.q.change(context.Background(), func(tx *store.Tx) error {
		if err := tx.Append(id, group...); err != nil || !changed {
			return err
		}
		return tx.Stage(id, stage)
	})
	if err != nil { // the build could not be followed, and may not even be remembered
		r.mu.Lock()
		r.err = err
		r.room.Broadcast()
		r.mu.Unlock()
		r.j.cancel(err)
	}
	return err == nil && !closed
}

// close writes the rest, and tells whether all could be written.
func (r *recorder) close() error {
	r.mu.Lock()
	for from, text := range r.lines.rest() {
		r.log(from, text)
	}
	r.closed = true
	r.room.Broadcast()
	signal(r.more)
	signal(r.full)
	r.mu.Unlock()
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
