//go:build linux

package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
)

// blobStore begins a blob that was written in part from its start. The store
// below it would go on where a killed, cancelled or failed build stopped, and
// BuildKit's reader of OCI layouts cannot seek there. A blob that is whole has
// only to be committed: a containerd says so of what other namespaces have.
type blobStore struct{ content.Store }

// Writer opens the writer of a blob, empty or whole.
func (s blobStore) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := s.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	status, err := w.Status()
	if err == nil && (status.Offset == 0 || status.Offset == status.Total) {
		return w, nil
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("opening a blob that was written in part: %w", err)
	}
	// Truncating is not enough: the writer of a containerd would still tell the old offset.
	if err := s.Abort(ctx, status.Ref); err != nil && !errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("emptying a blob that was written in part: %w", err)
	}
	return s.Store.Writer(ctx, opts...)
}
