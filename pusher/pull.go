package pusher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Fetch pulls the image that ref, [http://|https://]HOST/REPOSITORY[:TAG|@DIGEST],
// names into a content store and gives its manifest. Of an index it takes the
// linux/riscv64 image and refuses one that has none, naming the platforms
// there are. Every blob is verified; those in the store are not pulled again.
func (p *Pusher) Fetch(ctx context.Context, ref string, dst content.Store) (ocispec.Descriptor, error) {
	r, err := parseRef(ref)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	ep, err := p.endpoint(ctx, r)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := &download{p: p, ep: ep, repo: ep.repository(r.repository), ref: r, dst: dst}
	return d.run(auth.AppendRepositoryScope(ctx, d.repo.Reference, auth.ActionPull))
}

// download is the pull of one image.
type download struct {
	p    *Pusher
	ep   *endpoint
	repo *remote.Repository
	ref  reference
	dst  content.Store
}

func (d *download) run(ctx context.Context) (ocispec.Descriptor, error) {
	name := d.ref.object()
	desc, err := d.repo.Manifests().Resolve(ctx, name)
	if err != nil {
		return desc, d.fail(ctx, "looking up", name, err)
	}
	for images.IsIndexType(desc.MediaType) {
		raw, err := d.manifest(ctx, desc)
		if err != nil {
			return desc, err
		}
		if desc, err = choose(raw); err != nil {
			return desc, fmt.Errorf("pulling %q: %w", d.ref, err)
		}
	}
	if !images.IsManifestType(desc.MediaType) {
		return desc, fmt.Errorf("pulling %q: media type %q is no image: name an image", d.ref, desc.MediaType)
	}
	if _, err := d.manifest(ctx, desc); err != nil {
		return desc, err
	}
	m, err := readManifest(ctx, Image{d.dst, desc})
	if err != nil {
		return desc, err
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(d.p.opt.Parallel)
	for _, b := range m.blobs {
		group.Go(func() error { return d.into(gctx, d.repo.Blobs(), b) })
	}
	// The descriptor of an index may carry a platform and annotations; what is
	// returned is the image's own.
	return ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}, group.Wait()
}

// manifest pulls a manifest or index into the store and reads it.
func (d *download) manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if err := d.into(ctx, d.repo.Manifests(), desc); err != nil {
		return nil, err
	}
	return readBlob(ctx, d.dst, desc)
}

// source is where oras-go reads a blob or a manifest from.
type source interface {
	Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error)
}

// into pulls one blob. A broken connection is tried again, from where it broke;
// attempts that brought the download forward do not count.
func (d *download) into(ctx context.Context, from source, desc ocispec.Descriptor) error {
	if _, err := d.dst.Info(ctx, desc.Digest); err == nil {
		return nil
	}
	defer d.dst.Abort(context.WithoutCancel(ctx), ingest(desc)) //nolint:errcheck // gone after a commit
	var best int64
	for attempt := 0; ; attempt++ {
		have, err := d.attempt(ctx, from, desc)
		if err == nil {
			d.tell(desc, desc.Size, Fetched)
			return nil
		}
		if have > best+headway {
			best, attempt = have, 0
		}
		if ctx.Err() != nil || attempt >= d.p.opt.Retries || !passing(err) || d.p.sleep(ctx, attempt, 0) != nil {
			return d.fail(ctx, "pulling", desc.Digest.String(), err)
		}
	}
}

func (d *download) tell(desc ocispec.Descriptor, done int64, state State) {
	d.p.tell(Event{Registry: d.ep.host, Repository: d.ref.repository, Digest: desc.Digest, Done: done, Total: desc.Size, State: state})
}

// ingest names what is there of a blob in the store.
func ingest(desc ocispec.Descriptor) string { return "riscv-build/pull/" + desc.Digest.String() }

// attempt goes on with a blob, and commits it when it is what was asked for.
// have is how many bytes are there otherwise.
func (d *download) attempt(ctx context.Context, from source, desc ocispec.Descriptor) (have int64, err error) {
	w, err := content.OpenWriter(ctx, d.dst, content.WithRef(ingest(desc)), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		return 0, nil
	}
	if err != nil {
		return 0, &localError{err}
	}
	defer w.Close()
	body, err := from.Fetch(ctx, desc)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	begin, err := goOn(w, body)
	if err != nil {
		return 0, err
	}
	reader := &telling{r: body, done: begin, tell: func(done int64) { d.tell(desc, done, Fetching) }}
	n, err := io.Copy(localWriter{w}, io.LimitReader(reader, desc.Size-begin+1))
	if err != nil {
		return begin + n, err
	}
	if got := w.Digest(); begin+n != desc.Size || got != desc.Digest {
		return 0, errors.Join(fmt.Errorf("the registry gave %d bytes of %q, the manifest says %d", begin+n, got, desc.Size), w.Truncate(0))
	}
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return 0, &localError{err}
	}
	return 0, nil
}

// goOn moves a body to what the writer does not have yet. A registry that
// gives no part of a blob gives it from the start.
func goOn(w content.Writer, body io.Reader) (offset int64, err error) {
	st, err := w.Status()
	if err != nil {
		return 0, &localError{err}
	}
	seeker, able := body.(io.Seeker)
	if able && st.Offset > 0 {
		return seeker.Seek(st.Offset, io.SeekStart)
	}
	if err := w.Truncate(0); err != nil {
		return 0, &localError{err}
	}
	return 0, nil
}

func (d *download) fail(ctx context.Context, op, object string, err error) error {
	var here *localError
	if ctx.Err() == nil && errors.As(err, &here) {
		return onDisk(fmt.Errorf("%s %q of %q: storing it: %w", op, object, d.ref, here))
	}
	return d.ep.fail(ctx, subject{op, d.ref.repository, object}, err)
}

// choose takes the linux/riscv64 image out of an index.
func choose(raw []byte) (ocispec.Descriptor, error) {
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("reading the index: %w", err)
	}
	var there []string
	for _, m := range index.Manifests {
		switch {
		case m.Platform == nil:
			there = append(there, "unknown")
		case m.Platform.OS == "linux" && m.Platform.Architecture == "riscv64":
			return m, nil
		case m.Platform.OS != "unknown": // attestations are no platform
			there = append(there, strings.TrimSuffix(m.Platform.OS+"/"+m.Platform.Architecture+"/"+m.Platform.Variant, "/"))
		}
	}
	slices.Sort(there)
	return ocispec.Descriptor{}, fmt.Errorf("there is no linux/riscv64 image, only %s: choose an image for riscv64, or build one",
		strings.Join(slices.Compact(there), ", "))
}

// localWriter marks errors of the store, which are not the registry's.
type localWriter struct{ w io.Writer }

func (l localWriter) Write(p []byte) (int, error) {
	n, err := l.w.Write(p)
	if err != nil {
		return n, &localError{err}
	}
	return n, nil
}
