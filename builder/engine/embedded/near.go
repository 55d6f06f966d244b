//go:build linux

package embedded

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	snapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// nearStores are the content stores of the jobs that are under way. They are in
// this process. BuildKit would copy what a graph names, tool chains of hundreds
// of megabytes, through its session into the worker's store, to unpack it there
// and never read it again: ten minutes of a board, and a third of what a build
// writes to its card.
type nearStores struct {
	mu  sync.Mutex
	all []content.Store
}

// add has blobs of a store read where they lie, until remove.
func (n *nearStores) add(store content.Store) (remove func()) {
	if store == nil {
		return func() {}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, store)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if i := slices.Index(n.all, store); i >= 0 {
			n.all = slices.Delete(n.all, i, i+1)
		}
	}
}

// find finds a store that has a blob; nil if none has.
func (n *nearStores) find(ctx context.Context, dgst digest.Digest) (content.Store, content.Info) {
	n.mu.Lock()
	all := slices.Clone(n.all)
	n.mu.Unlock()
	for _, store := range all {
		if info, err := store.Info(ctx, dgst); err == nil {
			return store, info
		}
	}
	return nil, content.Info{}
}

// nearContent is a worker's content and that of the jobs that are under way: one
// store to read from. What a job has is never written to the worker's.
type nearContent struct {
	content.Store
	near *nearStores
}

// takesFrom is a worker's content with stores beside it.
func takesFrom(near *nearStores, worker *snapshot.Store) *snapshot.Store {
	return snapshot.NewContentStore(nearContent{worker.Store, near}, worker.Namespace())
}

// Info describes a blob.
func (c nearContent) Info(ctx context.Context, dgst digest.Digest) (content.Info, error) {
	info, err := c.Store.Info(ctx, dgst)
	if errdefs.IsNotFound(err) {
		if store, near := c.near.find(ctx, dgst); store != nil {
			near.Labels = nil // the job's own affairs
			return near, nil
		}
	}
	return info, err
}

// Update changes the labels of a blob. Those of a job's are left as they are.
func (c nearContent) Update(ctx context.Context, info content.Info, fields ...string) (content.Info, error) {
	updated, err := c.Store.Update(ctx, info, fields...)
	if errdefs.IsNotFound(err) {
		if store, _ := c.near.find(ctx, info.Digest); store != nil {
			return info, nil
		}
	}
	return updated, err
}

// ReaderAt opens a blob.
func (c nearContent) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	r, err := c.Store.ReaderAt(ctx, desc)
	if errdefs.IsNotFound(err) {
		if store, _ := c.near.find(ctx, desc.Digest); store != nil {
			return store.ReaderAt(ctx, desc)
		}
	}
	return r, err
}

// Writer opens the writer of a blob that no job has.
func (c nearContent) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	if o.Desc.Digest != "" {
		if store, _ := c.near.find(ctx, o.Desc.Digest); store != nil {
			return nil, fmt.Errorf("blob %q: %w", o.Desc.Digest, errdefs.ErrAlreadyExists)
		}
	}
	return c.Store.Writer(ctx, opts...)
}
