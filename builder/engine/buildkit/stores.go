package buildkit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// readOnly is a job's content as BuildKit sees it, which has no business to change it.
type readOnly struct{ content.Store }

var errReadOnly = fmt.Errorf("the content of a job is for reading: %w", errdefs.ErrPermissionDenied)

// Update refuses.
func (readOnly) Update(context.Context, content.Info, ...string) (content.Info, error) {
	return content.Info{}, errReadOnly
}

// Delete refuses.
func (readOnly) Delete(context.Context, digest.Digest) error { return errReadOnly }

// Abort refuses.
func (readOnly) Abort(context.Context, string) error { return errReadOnly }

// Writer refuses.
func (readOnly) Writer(context.Context, ...content.WriterOpt) (content.Writer, error) {
	return nil, errReadOnly
}

// output is the directory that a result is exported into. What the job's own
// content has is taken from there, and not sent by BuildKit.
type output struct {
	content.Store
	dir string
	has content.Store // nil: nothing
}

func openOutput(dir string, has content.Store) (*output, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making output directory %q: %w", dir, err)
	}
	store, err := local.NewStore(dir)
	if err != nil {
		return nil, fmt.Errorf("opening output directory %q: %w", dir, err)
	}
	return &output{Store: store, dir: dir, has: has}, nil
}

// Writer opens the writer of a blob that is not there yet.
func (o *output) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var w content.WriterOpts
	for _, opt := range opts {
		if err := opt(&w); err != nil {
			return nil, err
		}
	}
	if o.has != nil && w.Desc.Digest != "" {
		if taken, err := o.take(ctx, w.Desc.Digest); err != nil {
			return nil, err
		} else if taken {
			return nil, fmt.Errorf("blob %q: %w", w.Desc.Digest, errdefs.ErrAlreadyExists)
		}
	}
	return o.Store.Writer(ctx, opts...)
}

// take copies a blob of the job's content, if it is there.
func (o *output) take(ctx context.Context, dgst digest.Digest) (bool, error) {
	info, err := o.has.Info(ctx, dgst)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	desc := ocispec.Descriptor{Digest: dgst, Size: info.Size}
	r, err := o.has.ReaderAt(ctx, desc)
	if err != nil {
		return false, err
	}
	err = content.WriteBlob(ctx, o.Store, "take-"+dgst.String(), content.NewReader(r), desc)
	return err == nil, errors.Join(err, r.Close())
}

// finish makes the directory an OCI layout of what was exported.
func (o *output) finish(res *client.SolveResponse) error {
	text, err := base64.StdEncoding.DecodeString(res.ExporterResponse[exptypes.ExporterImageDescriptorKey])
	var desc ocispec.Descriptor
	if err == nil {
		err = json.Unmarshal(text, &desc)
	}
	if err == nil {
		err = ociindex.NewStoreIndex(o.dir).Put(desc, ociindex.Tag("latest"))
	}
	if err != nil {
		return fmt.Errorf("writing the index of %q: %w", o.dir, err)
	}
	return nil
}
