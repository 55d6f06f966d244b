// Package queue runs builds, one after the other, and keeps what becomes of
// them: it is the service's Service. Schedules, checks for newer versions and
// retention are here, too, because they take turns with builds. It does not
// know how an image is made (service.Maker) or where recipes come from
// (service.Sources).
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/store"
)

// Config is what a Queue works with.
type Config struct {
	Store     *store.Store
	Sources   service.Sources
	Maker     service.Maker
	Push      []string // where images go whose submission does not say: HOST[:PORT][/PREFIX]
	Disk      Disk
	Retention store.Retention
	Redact    func(string) string // takes secrets out of what is kept and shown; nil: there are none
	Ended     func(service.Build) // hears once of each build that has ended, by any goroutine; nil: nobody
	Version   string              // of this program; a new one builds anew
	Log       *slog.Logger        // nil: nowhere
	Idle      time.Duration       // without work after which others may use the state directory; 0: 10 s
	MaxQueued int                 // builds that may wait; 0: 10000
}

// Disk is the space in the state directory, in bytes.
type Disk struct {
	Floor int64                 // stays free: a build is ended below it; 0: none
	Free  func() (int64, error) // nil: not known
}

const (
	defaultIdle      = 10 * time.Second
	defaultMaxQueued = 10000
)

// Queue is the queue of a service.
type Queue struct {
	cfg     Config
	started time.Time
	feed    feed
	bench   bench
	wake    chan struct{} // there may be something to do
	poke    chan struct{} // schedules have changed
	kept    time.Time     // when old builds were last forgotten; the worker's
	// submitting is held for reading from when a tree is kept until its builds are.
	submitting sync.RWMutex

	mu       sync.Mutex
	job      *job            // that runs; nil: none
	waiting  string          // what the worker waits for
	engine   string          // that made the last image
	due      map[string]bool // schedules that wait for a check for newer versions
	wanted   bool            // a check for newer versions
	checking bool
}

var _ service.Service = (*Queue)(nil)

// Open makes a queue, and queues again what ran when the service ended. Nothing
// is built before Run.
func Open(ctx context.Context, cfg Config) (*Queue, error) {
	if cfg.Redact == nil {
		cfg.Redact = func(s string) string { return s }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Idle == 0 {
		cfg.Idle = defaultIdle
	}
	if cfg.MaxQueued == 0 {
		cfg.MaxQueued = defaultMaxQueued
	}
	q := &Queue{
		cfg: cfg, started: store.Now(), due: map[string]bool{},
		wake: make(chan struct{}, 1), poke: make(chan struct{}, 1),
	}
	q.bench.maker, q.bench.waiting = cfg.Maker, q.wait
	if err := q.recover(ctx); err != nil {
		return nil, err
	}
	last, err := cfg.Store.List(ctx, service.Filter{Status: []service.Status{service.Succeeded}})
	if err != nil {
		return nil, err
	}
	for _, b := range last {
		if q.engine = engineOf(b.Result); q.engine != "" {
			break
		}
	}
	return q, nil
}

// Run works until ctx ends; the build that runs then is queued again.
func (q *Queue) Run(ctx context.Context) error {
	var scheduler sync.WaitGroup
	scheduler.Go(func() { q.schedule(ctx) })
	defer scheduler.Wait()
	q.keep(ctx)
	for ctx.Err() == nil {
		q.wait("")
		worked, err := q.step(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			q.cfg.Log.Error("working on the queue", "error", err)
			q.wait(q.cfg.Redact(err.Error()))
			q.pause(ctx, retryAfter)
		case !worked:
			q.rest(ctx)
		}
	}
	return q.bench.close()
}

// retryAfter is how long the worker waits where something outside is missing.
const retryAfter = 10 * time.Second

// step does one thing that there is to do; worked is false where there is none.
func (q *Queue) step(ctx context.Context) (worked bool, err error) {
	if q.checkWanted() {
		return true, q.check(ctx)
	}
	counts, err := q.cfg.Store.Counts(ctx)
	if err != nil || counts[service.Queued] == 0 {
		return false, err
	}
	if free, low := q.low(); low {
		q.wait(fmt.Sprintf("%d bytes are free in %q, and builds begin from %d on: free some space or run `riscv-build cache prune`", free, q.dir(), q.cfg.Disk.Floor))
		q.pause(ctx, retryAfter)
		return true, nil
	}
	if err := q.bench.open(ctx); err != nil {
		return false, err
	}
	q.wait("")
	if worked, err = q.next(ctx); worked {
		q.keep(ctx)
	}
	return worked, err
}

// rest waits for work, and lets others into the state directory meanwhile.
func (q *Queue) rest(ctx context.Context) {
	var idle <-chan time.Time
	if q.bench.opened() {
		timer := time.NewTimer(q.cfg.Idle)
		defer timer.Stop()
		idle = timer.C
	}
	select {
	case <-ctx.Done():
	case <-q.wake:
	case <-idle:
		q.feed.follow(0)
		if err := q.bench.close(); err != nil {
			q.cfg.Log.Error("closing the state directory", "error", err)
		}
	}
}

// pause waits for a time.
func (q *Queue) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// wait notes what the worker waits for, for people.
func (q *Queue) wait(what string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = what
}

// signal fills a channel of one place.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// change runs a change of the store, to its end whatever becomes of ctx, and
// tells followers what it appended.
func (q *Queue) change(ctx context.Context, f func(*store.Tx) error) error {
	ctx = context.WithoutCancel(ctx)
	events, err := q.cfg.Store.Update(ctx, f)
	q.feed.publish(events)
	if q.cfg.Ended == nil {
		return err
	}
	for _, e := range events {
		if e.Kind != service.StatusEvent || !statusOf(e).Final() {
			continue
		}
		b, err := q.cfg.Store.Build(ctx, e.Build)
		if err != nil {
			q.cfg.Log.Warn("reading a build that has ended", "build", e.Build, "error", err)
			continue
		}
		q.cfg.Ended(b)
	}
	return err
}

// insist repeats a change until it is done: what a build came to must not be
// lost because the disk was full for a while. It gives up when the service
// ends; the build is then queued again at the next start.
func (q *Queue) insist(ctx context.Context, f func(*store.Tx) error) error {
	for {
		err := q.change(ctx, f)
		if err == nil || errors.Is(err, store.ErrEnded) || ctx.Err() != nil {
			return err
		}
		q.cfg.Log.Error("writing what a build came to", "error", err)
		q.pause(ctx, time.Second)
	}
}

// dir is the directory whose space is watched.
func (q *Queue) dir() string { return filepath.Dir(q.cfg.Store.Path()) }

// low tells whether less space is free than has to be, in bytes.
func (q *Queue) low() (free int64, low bool) {
	if q.cfg.Disk.Free == nil || q.cfg.Disk.Floor == 0 {
		return 0, false
	}
	free, err := q.cfg.Disk.Free()
	return free, err == nil && free < q.cfg.Disk.Floor
}

// State implements service.Service.
func (q *Queue) State(ctx context.Context) (service.State, error) {
	counts, err := q.cfg.Store.Counts(ctx)
	if err != nil {
		return service.State{}, err
	}
	var free int64
	if q.cfg.Disk.Free != nil {
		if free, err = q.cfg.Disk.Free(); err != nil {
			return service.State{}, fmt.Errorf("asking how much space is free in %q: %w", q.dir(), err)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return service.State{
		Version: q.cfg.Version, Started: q.started, Engine: q.engine, Builds: counts,
		FreeBytes: free, FloorBytes: q.cfg.Disk.Floor, Push: append([]string{}, q.cfg.Push...), Waiting: q.waiting,
	}, nil
}
