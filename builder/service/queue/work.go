package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/store"
)

// Bounds of what is done beside a build.
const (
	floorEvery = time.Second
	graphTime  = 30 * time.Second
)

// job is the build that runs.
type job struct {
	build  service.Build
	cancel context.CancelCauseFunc
	record *recorder
	ended  chan struct{} // closed when the store knows of its end
}

// outcome is what a build came to.
type outcome struct {
	result    *builder.Result
	err       error
	artefacts map[string][]byte
}

// maxAttempts is how often a build is started that ends when the service does:
// it may be what ends it.
const maxAttempts = 5

// recover queues again what ran when the service ended.
func (q *Queue) recover(ctx context.Context) error {
	return q.change(ctx, func(tx *store.Tx) error {
		running, err := tx.Running()
		if err != nil {
			return err
		}
		failed := map[int64]bool{}
		for _, b := range running {
			switch {
			case b.SameAs != 0 && failed[b.SameAs]: // a leader has a lower number, and took it along
			case b.SameAs == 0 && b.Attempt >= maxAttempts:
				failed[b.ID] = true
				err = q.giveUp(ctx, tx, b)
			default:
				err = put(tx, again(b), "the service had ended while it ran")
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// giveUp ends a build, and those that follow it, because the service ended each
// time it ran.
func (q *Queue) giveUp(ctx context.Context, tx *store.Tx, b service.Build) error {
	why := &engine.EnvironmentError{
		What: fmt.Sprintf("building recipe %q: the service ended under it %d times", b.Recipe, b.Attempt),
		Do:   fmt.Sprintf("see in its log and in the service's what ended it, such as a lack of memory, then begin again with `riscv-build builds retry %d`", b.ID),
	}
	_, err := putAll(tx, b, "", func(b *service.Build) {
		now := store.Now()
		b.Status, b.Ended, b.Error, b.Exit = service.Failed, &now, why.Error(), q.cfg.Maker.Exit(context.WithoutCancel(ctx), why)
	})
	return err
}

// again makes a build one that is queued. How often it was started is kept.
func again(b service.Build) service.Build {
	b.Status, b.Started, b.Stage = service.Queued, nil, ""
	return b
}

// next runs the build whose turn it is, to its end; found is false where none is
// queued.
func (q *Queue) next(ctx context.Context) (found bool, err error) {
	jobCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	j := &job{cancel: cancel, ended: make(chan struct{})}
	defer close(j.ended)
	err = q.change(ctx, func(tx *store.Tx) error {
		b, ok, err := tx.Next()
		if err != nil || !ok {
			return err
		}
		found = true
		q.feed.follow(b.ID)
		if err := tx.Served(b.Client); err != nil {
			return err
		}
		j.build, err = putAll(tx, b, "", begin)
		// Before the change is done, so that who sees it run can cancel it.
		q.setJob(j)
		return err
	})
	defer q.setJob(nil)
	if err != nil || !found {
		return false, err
	}
	stop := context.AfterFunc(ctx, func() { cancel(service.ErrStopping) })
	defer stop()
	j.record = q.newRecorder(j)
	out := q.run(jobCtx, j)
	if err := j.record.close(); err != nil && out.err == nil {
		out.err = err
	}
	return true, q.end(ctx, context.Cause(jobCtx), j, out)
}

func (q *Queue) setJob(j *job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.job = j
}

// run makes the image of a build.
func (q *Queue) run(ctx context.Context, j *job) (out outcome) {
	opened, err := q.cfg.Sources.Open(ctx, j.build)
	if err != nil {
		return outcome{err: err}
	}
	defer func() {
		if err := opened.Close(out.err == nil); err != nil {
			q.cfg.Log.Warn("putting the recipe of a build away", "build", j.build.ID, "error", err)
		}
	}()
	watched, unwatch := q.watchFloor(ctx, j)
	defer unwatch()
	req := opened.Request
	req.Stage = j.record.stage
	out.result, out.err = q.make(watched, req, j)
	unwatch()
	out.artefacts = map[string][]byte{}
	if lock, err := opened.Lock(); err == nil {
		out.artefacts[service.LockArtefact] = lock
	}
	if graph := q.graph(ctx, req, j); graph != nil {
		out.artefacts[service.GraphArtefact] = graph
	}
	return out
}

// make leaves out what the registries hold, if the build may, and builds else.
func (q *Queue) make(ctx context.Context, req builder.Request, j *job) (*builder.Result, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if j.build.Options.Changed {
		if r, same, err := q.bench.made.Unchanged(ctx, req); err != nil || same {
			return r, err
		}
	}
	return q.bench.made.Build(ctx, req, j.record)
}

// graph is the graph of a build that came as far as having one; nil if it is
// not to be had.
func (q *Queue) graph(ctx context.Context, req builder.Request, j *job) []byte {
	if slices.Index(builder.Stages, j.record.reached()) < slices.Index(builder.Stages, "engine") || ctx.Err() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, graphTime)
	defer cancel()
	req.Stage, req.Update = nil, false // what was resolved is in the lock
	graph, err := q.bench.made.Graph(ctx, req)
	if err != nil {
		q.cfg.Log.Warn("printing the graph of a build", "build", j.build.ID, "error", err)
		return nil
	}
	return graph
}

// watchFloor ends a build that fills the disk. The function it gives ends the
// watch; it may be called twice.
func (q *Queue) watchFloor(ctx context.Context, j *job) (context.Context, func()) {
	ctx, stop := context.WithCancel(ctx)
	if q.cfg.Disk.Free == nil || q.cfg.Disk.Floor == 0 {
		return ctx, stop
	}
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(floorEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if free, low := q.low(); low {
				j.cancel(&engine.EnvironmentError{
					What: fmt.Sprintf("building recipe %q: %d bytes are free in %q, less than the %d that have to stay free", j.build.Recipe, free, q.dir(), q.cfg.Disk.Floor),
					Do:   "free some space or run `riscv-build cache prune`, then retry the build",
				})
				return
			}
		}
	})
	return ctx, func() { stop(); watch.Wait() }
}

// end writes what a build came to, for it and those that follow it, at once.
func (q *Queue) end(ctx context.Context, cause error, j *job, out outcome) error {
	if out.err != nil && cause != nil {
		out.err = cause
	}
	if errors.Is(out.err, service.ErrStopping) {
		return q.change(ctx, func(tx *store.Tx) error {
			_, err := putAll(tx, j.build, out.err.Error(), func(b *service.Build) { *b = again(*b) })
			return err
		})
	}
	final := q.final(ctx, out)
	final.Stage = j.record.reached()
	if final.Status == service.Succeeded {
		final.Stage = ""
		q.madeBy(out.result)
	}
	if final.Result != nil {
		report, err := json.MarshalIndent(final.Result, "", "  ")
		if err != nil {
			return err
		}
		out.artefacts[service.ReportArtefact] = append(report, '\n')
	}
	return q.insist(ctx, func(tx *store.Tx) error {
		for name, data := range out.artefacts {
			if err := tx.PutArtefact(j.build.ID, name, data); err != nil {
				return err
			}
		}
		if final.Status == service.Cancelled { // that is not for those that follow it
			if err := promote(tx, j.build.ID, cancelledLeader(j.build.ID)); err != nil {
				return err
			}
		}
		_, err := putAll(tx, j.build, "", func(b *service.Build) {
			now := store.Now()
			b.Status, b.Ended, b.Stage, b.Error, b.Exit, b.Result = final.Status, &now, final.Stage, final.Error, final.Exit, final.Result
		})
		return err
	})
}

// madeBy notes which engine made the last image.
func (q *Queue) madeBy(r *builder.Result) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if name := engineOf(r); name != "" {
		q.engine = name
	}
}

// engineOf is the engine that made an image or what it stands on, with its
// worker; "" where none was needed.
func engineOf(r *builder.Result) string {
	for ; r != nil; r = r.Base {
		switch {
		case r.Engine == "" || r.Engine == "none":
		case r.Worker != "":
			return r.Engine + " (" + r.Worker + ")"
		default:
			return r.Engine
		}
	}
	return ""
}

// final is how a build has ended: status, error, exit status and result.
func (q *Queue) final(ctx context.Context, out outcome) service.Build {
	b := service.Build{Status: service.Succeeded, Result: out.result}
	redactResult(q.cfg.Redact, b.Result)
	if out.err == nil {
		return b
	}
	b.Status, b.Error, b.Exit = service.Failed, q.cfg.Redact(out.err.Error()), q.cfg.Maker.Exit(context.WithoutCancel(ctx), out.err)
	var by *cancelledError
	if errors.As(out.err, &by) {
		b.Status, b.Exit = service.Cancelled, exitCancelled
	}
	if b.Result != nil {
		b.Result.Error = b.Error
	}
	return b
}

// redactResult takes secrets out of the texts of a result.
func redactResult(redact func(string) string, r *builder.Result) {
	for ; r != nil; r = r.Base {
		r.Error = redact(r.Error)
		for i := range r.Notes {
			r.Notes[i] = redact(r.Notes[i])
		}
		for i := range r.Tests {
			r.Tests[i].Detail = redact(r.Tests[i].Detail)
		}
	}
}
