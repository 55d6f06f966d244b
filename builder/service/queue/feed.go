package queue

import (
	"context"
	"sync"

	"github.com/riscv-build/riscv-build/builder/service"
)

// Bounds of what followers read at once, and of what is kept for them in memory.
const (
	pageEvents   = 1000
	windowEvents = 2000
	windowBytes  = 2 << 20
)

// feed tells followers of builds when there is something new. It keeps the
// newest events of one build, the one that ran last, so that many followers do
// not read the same from the store. A follower that stalls costs nothing:
// nothing is sent, each asks.
type feed struct {
	mu     sync.Mutex
	build  int64
	window []service.Event // the newest of that build, without a gap
	bytes  int             // of their data
	waits  map[int64]chan struct{}
}

// closed is a channel that need not be waited for.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// follow makes a build the one whose events are kept.
func (f *feed) follow(build int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.build, f.window, f.bytes = build, nil, 0
}

// publish takes events that have reached the disk.
func (f *feed) publish(events []service.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range events {
		if e.Build == f.build {
			f.append(e)
		}
		if wait, ok := f.waits[e.Build]; ok {
			close(wait)
			delete(f.waits, e.Build)
		}
	}
}

// append adds to the window. The arrays that followers read are never written
// below the end they know.
func (f *feed) append(e service.Event) {
	n := len(f.window)
	if n > 0 && f.window[n-1].Seq+1 != e.Seq {
		f.window, f.bytes = nil, 0
	}
	if n >= 2*windowEvents || f.bytes >= 2*windowBytes {
		f.trim()
	}
	f.window = append(f.window, e)
	f.bytes += len(e.Data)
}

// trim forgets the older half of the window.
func (f *feed) trim() {
	first := len(f.window)
	for f.bytes = 0; first > 0 && len(f.window)-first < windowEvents && f.bytes < windowBytes; {
		first--
		f.bytes += len(f.window[first].Data)
	}
	f.window = append(make([]service.Event, 0, 2*windowEvents), f.window[first:]...)
}

// recent gives events after one, and what to wait for if there are none; ok is
// false where not all of them are in memory.
func (f *feed) recent(build, after int64, limit int) (events []service.Event, wait <-chan struct{}, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if build != f.build || len(f.window) == 0 || after+1 < f.window[0].Seq {
		return nil, nil, false
	}
	from := int(min(after+1-f.window[0].Seq, int64(len(f.window))))
	to := min(from+limit, len(f.window))
	if from < to {
		events = f.window[from:to:to]
		return events, more(events), true
	}
	if more(f.window) == nil {
		return nil, nil, true
	}
	return nil, f.waitFor(build), true
}

// wait gives the channel that is closed at the next event of a build.
func (f *feed) wait(build int64) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waitFor(build)
}

// waitFor is wait for one who holds the mutex.
func (f *feed) waitFor(build int64) <-chan struct{} {
	wait, ok := f.waits[build]
	if !ok {
		if f.waits == nil {
			f.waits = map[int64]chan struct{}{}
		}
		wait = make(chan struct{})
		f.waits[build] = wait
	}
	return wait
}

// over ends all waiting for a build that has ended.
func (f *feed) over(build int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if wait, ok := f.waits[build]; ok {
		close(wait)
		delete(f.waits, build)
	}
}

// Events implements service.Service. With events, wait is closed already,
// because there may be more, or nil after the last.
func (q *Queue) Events(ctx context.Context, build, after int64, limit int) ([]service.Event, <-chan struct{}, error) {
	if limit <= 0 || limit > pageEvents {
		limit = pageEvents
	}
	after = max(after, 0)
	if events, wait, ok := q.feed.recent(build, after, limit); ok {
		return events, wait, nil
	}
	events, err := q.cfg.Store.Events(ctx, build, after, limit)
	if err != nil {
		return nil, nil, err
	}
	if len(events) > 0 {
		return events, more(events), nil
	}
	wait := q.feed.wait(build)
	b, err := q.cfg.Store.Build(ctx, build)
	if err != nil || b.Status.Final() {
		q.feed.over(build)
	}
	if err != nil {
		return nil, nil, err
	}
	// Again, now that nothing is missed: it may have gone on since.
	if events, err = q.cfg.Store.Events(ctx, build, after, limit); err != nil {
		return nil, nil, err
	}
	switch {
	case len(events) > 0:
		return events, more(events), nil
	case b.Status.Final():
		return nil, nil, nil
	}
	return nil, wait, nil
}

// more tells whether there may be events after these.
func more(events []service.Event) <-chan struct{} {
	if last := events[len(events)-1]; last.Kind == service.StatusEvent && statusOf(last).Final() {
		return nil
	}
	return closed
}
