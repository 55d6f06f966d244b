//go:build linux

package embedded

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/riscv-build/riscv-build/builder/engine"
)

// collectTime bounds the collection when the engine closes: who waits for a
// prompt waits no longer, and the next close goes on.
const collectTime = 20 * time.Second

// DiskUsage lists what the cache holds.
func (e *Engine) DiskUsage(ctx context.Context) (engine.Usage, error) {
	var usage engine.Usage
	infos, err := e.daemon.client.DiskUsage(ctx)
	if err != nil {
		return usage, fmt.Errorf("measuring the build cache in %q: %w", e.opts.Root, err)
	}
	for _, info := range infos {
		usage.Total += info.Size
		record := engine.UsageRecord{Description: info.Description, Size: info.Size, LastUsed: info.CreatedAt, InUse: info.InUse}
		if info.LastUsedAt != nil {
			record.LastUsed = *info.LastUsedAt
		}
		usage.Records = append(usage.Records, record)
	}
	return usage, nil
}

// Prune deletes what was longest unused until at most keep bytes are left, 0
// deleting everything: what is then left of the engine goes when it closes.
func (e *Engine) Prune(ctx context.Context, keep int64) (int64, error) {
	e.settle(ctx)
	if keep == 0 {
		e.emptied.Store(true)
	}
	opts := []client.PruneOption{client.PruneAll}
	if keep > 0 {
		opts = append(opts, client.WithKeepOpt(0, 0, keep, 0))
	}
	freed := make(chan client.UsageInfo)
	var sum int64
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		for info := range freed {
			sum += info.Size
		}
	}()
	err := e.daemon.client.Prune(ctx, freed, opts...)
	close(freed)
	<-counted
	if err != nil {
		return sum, fmt.Errorf("pruning the build cache in %q: %w", e.opts.Root, err)
	}
	return sum, nil
}

// Times to wait for the solver to let go of what a solve used, which it does a
// moment after it has answered.
const (
	settleTries = 20
	settlePause = 25 * time.Millisecond
)

// settle waits a moment until no cache record is in use.
func (e *Engine) settle(ctx context.Context) {
	for range settleTries {
		infos, err := e.daemon.client.DiskUsage(ctx)
		if err != nil || !slices.ContainsFunc(infos, func(i *client.UsageInfo) bool { return i.InUse }) {
			return // an error comes again, and to somebody who reports it
		}
		time.Sleep(settlePause)
	}
}

// collect keeps the cache under its limit. BuildKit collects on a timer of
// minutes, which a process that ends after a build never reaches.
func (e *Engine) collect() {
	ctx, cancel := context.WithTimeout(context.Background(), collectTime)
	defer cancel()
	usage, err := e.DiskUsage(ctx)
	if limit := e.opts.GCLimit; err == nil && limit > 0 && usage.Total > limit {
		_, err = e.Prune(ctx, limit)
	} else if err == nil {
		err = e.daemon.worker.GarbageCollect(ctx) // the files of containers and failed steps
	}
	if err != nil {
		e.opts.notice("%v", err)
	}
}
