package queue

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/service/store"
)

// keepEvery is how often old builds are forgotten, at most.
const keepEvery = time.Hour

// keep forgets old builds, and trees that no build has any more.
func (q *Queue) keep(ctx context.Context) {
	if time.Since(q.kept) < keepEvery {
		return
	}
	q.kept = time.Now()
	if err := q.cfg.Store.Retain(ctx, q.cfg.Retention, store.Now()); err != nil {
		q.cfg.Log.Error("forgetting old builds", "error", err)
		return
	}
	// A tree that was kept for a build which is not in the store yet would be
	// taken for one without builds. There is another time.
	if !q.submitting.TryLock() {
		return
	}
	defer q.submitting.Unlock()
	err := q.cfg.Sources.Sweep(ctx, func(tree digest.Digest) bool {
		has, err := q.cfg.Store.HasTree(ctx, tree)
		return has || err != nil
	})
	if err != nil {
		q.cfg.Log.Error("forgetting trees of recipes", "error", err)
	}
}
