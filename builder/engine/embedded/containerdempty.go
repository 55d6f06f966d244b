//go:build linux

package embedded

import (
	"context"
	"errors"
	"fmt"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// endContainers ends and deletes all containers of the namespace, which only
// the holder of the root's lock uses.
func (b *containerdBackend) endContainers(ctx context.Context, root string) (int, error) {
	ctx = b.within(ctx)
	all, err := b.client.Containers(ctx)
	if err != nil {
		return 0, fmt.Errorf("listing containerd's containers: %w", err)
	}
	for _, c := range all {
		if err := endContainer(ctx, c); err != nil {
			return 0, fmt.Errorf("deleting container %q of containerd's namespace %q: %w", c.ID(), b.namespace, err)
		}
	}
	if err := endForgottenShims(b.namespace); err != nil {
		return 0, err
	}
	killCgroups(root)
	return len(all), nil
}

// endContainer ends and deletes a container, if it is there. containerd goes on
// starting one whose start was cancelled, and BuildKit cannot delete it then.
func (b *containerdBackend) endContainer(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(b.within(ctx), connectTime)
	defer cancel()
	c, err := b.client.LoadContainer(ctx, id)
	if err == nil {
		_ = endContainer(ctx, c) // if containerd does not, the next start tries again
	}
}

func endContainer(ctx context.Context, c containerd.Container) error {
	task, err := c.Task(ctx, nil)
	if err == nil {
		_, err = task.Delete(ctx, containerd.WithProcessKill)
	}
	if err == nil || errdefs.IsNotFound(err) {
		err = c.Delete(ctx)
	}
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// empty deletes all that the namespace holds, and the namespace.
func (b *containerdBackend) empty(ctx context.Context, root string) error {
	if _, err := b.endContainers(ctx, root); err != nil {
		return err
	}
	ctx = b.within(ctx)
	for _, step := range []func(context.Context) error{b.deleteLeases, b.abortIngests, b.collectAll, b.deleteSnapshots, b.deleteContent} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("emptying containerd's namespace %q: %w", b.namespace, err)
		}
	}
	if err := b.client.NamespaceService().Delete(ctx, b.namespace); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("deleting containerd's namespace %q: %w", b.namespace, err)
	}
	return nil
}

func (b *containerdBackend) deleteLeases(ctx context.Context) error {
	manager := b.client.LeasesService()
	all, err := manager.List(ctx)
	if err != nil {
		return err
	}
	for _, l := range all {
		if err := manager.Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func (b *containerdBackend) abortIngests(ctx context.Context) error {
	all, err := b.client.ContentStore().ListStatuses(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if err := b.client.ContentStore().Abort(ctx, s.Ref); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func (b *containerdBackend) collectAll(ctx context.Context) error {
	_, err := b.collect(ctx)
	return err
}

// deleteSnapshots deletes what a collection leaves, such as what was made before
// a crash and is in no lease. A snapshot goes when those made upon it have gone.
func (b *containerdBackend) deleteSnapshots(ctx context.Context) error {
	service := b.client.SnapshotService(b.snapshotter)
	for {
		var names []string
		err := service.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
			names = append(names, info.Name)
			return nil
		})
		if err != nil || len(names) == 0 {
			return err
		}
		removed := 0
		var refused error
		for _, name := range names {
			if err := service.Remove(ctx, name); err == nil || errdefs.IsNotFound(err) {
				removed++
			} else {
				refused = err
			}
		}
		if removed == 0 {
			return refused
		}
	}
}

func (b *containerdBackend) deleteContent(ctx context.Context) error {
	var all []digest.Digest
	store := b.client.ContentStore()
	err := store.Walk(ctx, func(info content.Info) error {
		all = append(all, info.Digest)
		return nil
	})
	for _, d := range all {
		if e := store.Delete(ctx, d); e != nil && !errdefs.IsNotFound(e) {
			err = errors.Join(err, e)
		}
	}
	return err
}
