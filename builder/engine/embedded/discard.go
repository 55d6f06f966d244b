//go:build linux

package embedded

import (
	"context"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
)

// discard deletes the file trees that failing commands of a graph left since a
// time. BuildKit commits them although nothing can use them again, and its
// collection, which takes the longest unused first, would delete tool chains
// before them.
func (e *Engine) discard(definition []byte, since time.Time) {
	var def pb.Definition
	if err := def.UnmarshalVT(definition); err != nil {
		return // the solver has read it; there is nothing to discard
	}
	commands := map[string]bool{}
	for _, bytes := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(bytes); err != nil {
			return // the solver has read it; there is nothing to discard
		}
		if exec := op.GetExec(); exec != nil {
			for _, m := range exec.Mounts {
				commands["mount "+m.Dest+" from exec "+strings.Join(exec.Meta.Args, " ")] = true
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTime)
	defer cancel()
	var err error
	for range settleTries {
		var left bool
		if left, err = e.discardOnce(ctx, commands, since); err != nil || !left {
			break
		}
		time.Sleep(settlePause)
	}
	// A tree that could not even be committed has no record, only files.
	if err == nil {
		err = e.daemon.worker.GarbageCollect(ctx)
	}
	if err != nil {
		e.opts.notice("discarding what the failed step made: %v", err)
	}
}

// discardOnce deletes the trees that are not in use and tells whether others are.
func (e *Engine) discardOnce(ctx context.Context, commands map[string]bool, since time.Time) (left bool, err error) {
	infos, err := e.daemon.client.DiskUsage(ctx)
	if err != nil {
		return false, err
	}
	parents := map[string]bool{}
	for _, info := range infos {
		for _, p := range info.Parents {
			parents[p] = true
		}
	}
	var filter []string
	for _, info := range infos {
		// A tree that another is built on belongs to a step that succeeded.
		if !commands[info.Description] || info.CreatedAt.Before(since) || parents[info.ID] {
			continue
		}
		if info.InUse {
			left = true
			continue
		}
		filter = append(filter, "id=="+info.ID)
	}
	if len(filter) == 0 {
		return left, nil
	}
	return left, e.daemon.client.Prune(ctx, nil, client.PruneAll, client.WithFilter(filter))
}
