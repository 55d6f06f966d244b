package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/store"
)

// exitCancelled is the exit status of a build that was interrupted.
const exitCancelled = 130

// cancelTime is how long Cancel waits for the end of a build that runs, so that
// its caller sees it ended if that is quick.
const cancelTime = 2 * time.Second

// cancelledError is the cause of a build's end that somebody wanted.
type cancelledError struct{ by string }

func (e *cancelledError) Error() string { return fmt.Sprintf("cancelled by %q", e.by) }

// errRuns says that a build is not to be cancelled in the store.
var errRuns = errors.New("the build runs")

// cancelledLeader says why builds that followed another one are queued again.
func cancelledLeader(id int64) string {
	return fmt.Sprintf("build %d, which was made for both, was cancelled", id)
}

// Cancel implements service.Service.
func (q *Queue) Cancel(ctx context.Context, id int64, client string) (service.Build, error) {
	why := &cancelledError{by: client}
	var b service.Build
	err := q.change(ctx, func(tx *store.Tx) error {
		var err error
		if b, err = tx.Build(id); err != nil {
			return err
		}
		switch {
		case b.Status.Final():
			return &service.ConflictError{Err: fmt.Errorf("cancelling build %d: it has ended, as %s: there is nothing to cancel", id, b.Status)}
		case b.Status == service.Running && b.SameAs == 0:
			return errRuns
		}
		if err := promote(tx, id, cancelledLeader(id)); err != nil {
			return err
		}
		now := store.Now()
		b.Status, b.Ended, b.Error, b.Exit = service.Cancelled, &now, why.Error(), exitCancelled
		return put(tx, b, "")
	})
	if !errors.Is(err, errRuns) {
		return b, err
	}
	q.mu.Lock()
	j := q.job
	q.mu.Unlock()
	if j != nil && j.build.ID == id {
		j.cancel(why)
		timer := time.NewTimer(cancelTime)
		defer timer.Stop()
		select {
		case <-j.ended:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return q.cfg.Store.Build(context.WithoutCancel(ctx), id)
}
