//go:build linux

package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
)

// blobStore begins a blob that was written in part from its start. The store
// below it would go on where a killed, cancelled or failed build stopped, and
// BuildKit's reader of OCI layouts cannot seek there.
type blobStore struct{ content.Store }

// Writer opens the writer of a blob, empty.
func (s blobStore) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := s.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	status, err := w.Status()
	if err == nil && status.Offset > 0 {
		err = w.Truncate(0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("emptying a blob that was written in part: %w", err), w.Close())
	}
	return w, nil
}
