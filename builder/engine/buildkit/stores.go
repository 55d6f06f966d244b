package buildkit

import (
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/riscv-build/riscv-build/builder/engine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
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

// packed is content that is compressed on its way, where it is not compressed
// already: root filesystems are not, for an engine beside it would only have to
// unpack them.
type packed struct{ readOnly }

var gzipMagic = []byte{0x1f, 0x8b}

// ReaderAt opens a blob. The context is that of the request: BuildKit reads the
// content of a session by remote procedure calls.
func (s packed) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	r, err := s.readOnly.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	begin := make([]byte, len(gzipMagic))
	if _, err := r.ReadAt(begin, 0); err == nil && r.Size() > packedFrom && !bytes.Equal(begin, gzipMagic) {
		packAnswer(ctx)
	}
	return r, nil
}

// packAnswer has what answers a request be compressed, if the other side says
// that it reads that. grpc.SetSendCompressor does not see that it does: BuildKit
// serves sessions by net/http. An answer that cannot be compressed goes as it is.
func packAnswer(ctx context.Context) {
	asked, _ := metadata.FromIncomingContext(ctx)
	for _, accepted := range asked.Get("grpc-accept-encoding") {
		for name := range strings.SplitSeq(accepted, ",") {
			stream, ok := grpc.ServerTransportStreamFromContext(ctx).(interface{ SetSendCompress(string) error })
			if ok && strings.TrimSpace(name) == gzip.Name {
				_ = stream.SetSendCompress(gzip.Name)
			}
		}
	}
}

// packedFrom is the size from which on compression is worth it, in bytes.
const packedFrom = 64 << 10

// pack has the compressor be fast rather than thorough.
var pack = sync.OnceFunc(func() { _ = gzip.SetLevel(stdgzip.BestSpeed) }) // the level is a valid one

// stores gives a job's content to BuildKit.
func (d *Driver) stores(s content.Store) map[string]content.Store {
	var given content.Store = readOnly{s}
	if d.place.Far() {
		pack()
		given = packed{readOnly{s}}
	}
	return map[string]content.Store{engine.StoreName: given}
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
