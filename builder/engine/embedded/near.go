//go:build linux

package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	snapshot "github.com/moby/buildkit/snapshot/containerd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// nearStores are the content stores of the jobs that are under way. They are in
// this process; BuildKit would read them through its session, a stream of calls
// within a stream of calls, which takes a board ten times as long as the copying.
type nearStores struct {
	mu  sync.Mutex
	all []content.Store
}

// add has blobs taken from a store, until remove.
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

// open opens a blob; nil if no store has it.
func (n *nearStores) open(ctx context.Context, desc ocispec.Descriptor) content.ReaderAt {
	n.mu.Lock()
	all := slices.Clone(n.all)
	n.mu.Unlock()
	for _, store := range all {
		if r, err := store.ReaderAt(ctx, desc); err == nil {
			return r
		}
	}
	return nil
}

// nearContent is a worker's content that takes the blobs of jobs where they lie,
// at the moment that BuildKit begins to write one.
type nearContent struct {
	content.Store
	near *nearStores
}

// takesFrom is a worker's content with stores beside it.
func takesFrom(near *nearStores, worker *snapshot.Store) *snapshot.Store {
	return snapshot.NewContentStore(nearContent{worker.Store, near}, worker.Namespace())
}

// Writer opens the writer of a blob. One that was near is there now, which is
// what the caller is told.
func (c nearContent) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := c.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	if o.Desc.Digest == "" {
		return w, nil
	}
	r := c.near.open(ctx, o.Desc)
	if r == nil {
		return w, nil
	}
	err = content.Copy(ctx, w, content.NewReader(r), r.Size(), o.Desc.Digest)
	if err := errors.Join(err, w.Close(), r.Close()); err != nil {
		return nil, fmt.Errorf("copying blob %q: %w", o.Desc.Digest, err)
	}
	return nil, fmt.Errorf("blob %q: %w", o.Desc.Digest, errdefs.ErrAlreadyExists)
}
