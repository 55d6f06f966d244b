package imagestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	names "github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/pusher/containerd"
)

// labelManaged is how containerd's CRI plugin marks the images that are its own.
const labelManaged, valueManaged = "io.cri-containerd.image", "managed"

// leaseTime is how long an interrupted load may take up space where nobody
// sweeps.
const leaseTime = time.Hour

// Containerd is the containerd of this machine, in one of its namespaces.
type Containerd struct {
	endpoint containerd.Endpoint
	client   *client.Client
}

// OpenContainerd connects to a containerd.
func OpenContainerd(e containerd.Endpoint) (*Containerd, error) {
	c, err := e.Dial()
	if err != nil {
		return nil, &Error{Op: "opening", Object: e.Address, Engine: "containerd", Err: err}
	}
	return &Containerd{endpoint: e, client: c}, nil
}

// Name is the engine's.
func (s *Containerd) Name() string { return "containerd" }

// String is where images go, for people.
func (s *Containerd) String() string {
	return fmt.Sprintf("containerd %s, namespace %s", s.endpoint.Address, s.endpoint.Namespace)
}

// Close ends the connection.
func (s *Containerd) Close() error { return s.client.Close() }

// kubernetes tells whether the images are those of Kubernetes' CRI.
func (s *Containerd) kubernetes() bool {
	return s.endpoint.Namespace == containerd.KubernetesNamespace
}

func (s *Containerd) fail(ctx context.Context, op, object string, err error) error {
	e := Error{Op: op, Object: object, Engine: s.String(), Err: err, Advice: "see what containerd says (`journalctl -u containerd`, or -u k3s)"}
	if errdefs.IsUnavailable(err) {
		e.Advice = "is it running? (`systemctl status containerd`, or k3s)"
	}
	return fail(ctx, e)
}

// Load puts an image under names into containerd, unpacked, and marked as
// Kubernetes' CRI wants it where the namespace is the CRI's. An image that
// a name had before keeps its other names.
func (s *Containerd) Load(ctx context.Context, img pusher.Image, list []string) (Loaded, error) {
	done := Loaded{Engine: s.Name(), Into: s.String(), Names: list}
	ctx = s.endpoint.Context(ctx)
	records, err := s.records(ctx, img, list)
	if err != nil {
		return done, err
	}
	done.Unchanged = s.ready(ctx, records)
	if done.Unchanged {
		return done, nil
	}
	return done, s.fail(ctx, "loading image", list[0], s.load(ctx, img, records))
}

// records are the names that containerd is to have: as after a pull, of the
// CRI by name, by digest and by ID too, and the names last.
func (s *Containerd) records(ctx context.Context, img pusher.Image, list []string) ([]images.Image, error) {
	target := ocispec.Descriptor{MediaType: img.Desc.MediaType, Digest: img.Desc.Digest, Size: img.Desc.Size}
	labels := map[string]string{}
	if s.kubernetes() {
		labels[labelManaged] = valueManaged
	}
	if isForARun(list[0]) {
		labels[labelOwner] = owner()
	}
	record := func(name string) images.Image { return images.Image{Name: name, Target: target, Labels: labels} }
	var by, also []images.Image
	if s.kubernetes() {
		m, err := manifest(ctx, img)
		if err != nil {
			return nil, err
		}
		also = append(also, record(m.Config.Digest.String()))
	}
	for _, name := range list {
		n, err := tagged(name)
		if err != nil {
			return nil, err
		}
		by = append(by, record(n.String()))
		if s.kubernetes() && !isForARun(name) {
			d, err := names.WithDigest(names.TrimNamed(n), target.Digest)
			if err != nil {
				return nil, fmt.Errorf("naming image %q by its digest: %w", name, err)
			}
			also = append(also, record(d.String()))
		}
	}
	return append(also, by...), nil
}

// image is an image record with the platform that all here have.
func (s *Containerd) image(record images.Image) client.Image {
	return client.NewImageWithPlatform(s.client, record, platforms.OnlyStrict(riscv64))
}

// ready tells whether all is there that a load would make.
func (s *Containerd) ready(ctx context.Context, records []images.Image) bool {
	for _, want := range records {
		have, err := s.client.ImageService().Get(ctx, want.Name)
		if err != nil || have.Target.Digest != want.Target.Digest || have.Labels[labelManaged] != want.Labels[labelManaged] {
			return false
		}
	}
	unpacked, err := s.image(records[0]).IsUnpacked(ctx, "")
	return err == nil && unpacked
}

// load writes the image, unpacks it and names it last. Until then a lease holds
// what is there; its end removes what nothing else needs.
func (s *Containerd) load(ctx context.Context, img pusher.Image, records []images.Image) (err error) {
	if err := s.sweepLeases(ctx); err != nil {
		return err // of loads that were killed
	}
	leaseCtx, release, err := s.client.WithLease(ctx, leases.WithRandomID(), leases.WithExpiration(leaseTime), leases.WithLabel(labelOwner, owner()))
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			err = release(ctx)
			return
		}
		l, _ := leases.FromContext(leaseCtx)
		err = errors.Join(err, s.client.LeasesService().Delete(context.WithoutCancel(ctx), leases.Lease{ID: l}, leases.SynchronousDelete))
	}()
	if err := s.write(leaseCtx, img); err != nil {
		return err
	}
	if err := s.image(records[0]).Unpack(leaseCtx, ""); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	for _, r := range records {
		if err := s.record(leaseCtx, r); err != nil {
			return fmt.Errorf("naming it %q: %w", r.Name, err)
		}
	}
	return nil
}

// write copies the blobs, the manifest last, and ties them to it, so that they
// live as long as it does.
func (s *Containerd) write(ctx context.Context, img pusher.Image) error {
	m, err := manifest(ctx, img)
	if err != nil {
		return err
	}
	store := s.client.ContentStore()
	for _, d := range append(append(m.Layers, m.Config), img.Desc) {
		if err := writeBlob(ctx, store, img.Provider, d); err != nil {
			return err
		}
	}
	children := images.SetChildrenMappedLabels(store, images.ChildrenHandler(store), images.ChildGCLabels)
	_, err = children(ctx, img.Desc)
	return err
}

func writeBlob(ctx context.Context, to content.Ingester, from content.Provider, d ocispec.Descriptor) error {
	ra, err := from.ReaderAt(ctx, d)
	if err != nil {
		return fmt.Errorf("reading blob %q: %w: build the image again", d.Digest, err)
	}
	defer ra.Close()
	ref := "riscv-build-" + owner() + "-" + d.Digest.Encoded()
	if err := content.WriteBlob(ctx, to, ref, io.NewSectionReader(ra, 0, ra.Size()), d); err != nil {
		return fmt.Errorf("writing blob %q: %w", d.Digest, err)
	}
	return nil
}

// record gives an image a name, or a name another image.
func (s *Containerd) record(ctx context.Context, r images.Image) error {
	_, err := s.client.ImageService().Create(ctx, r)
	if !errdefs.IsAlreadyExists(err) {
		return err
	}
	fields := []string{"target"}
	if r.Labels[labelManaged] != "" {
		fields = append(fields, "labels."+labelManaged)
	}
	_, err = s.client.ImageService().Update(ctx, r, fields...)
	return err
}

// Has gives the ID of the riscv64 image that a name has here, "" where there is
// none.
func (s *Containerd) Has(ctx context.Context, name string) (digest.Digest, error) {
	ctx = s.endpoint.Context(ctx)
	full, err := Normal(name)
	if err != nil {
		return "", err
	}
	record, err := s.client.ImageService().Get(ctx, full)
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", s.fail(ctx, "looking up image", name, err)
	}
	spec, err := s.image(record).Spec(ctx)
	if err != nil || spec.OS+"/"+spec.Architecture != platform {
		return "", nil //nolint:nilerr // of an index, what was pulled may be another platform's
	}
	config, err := s.image(record).Config(ctx)
	return config.Digest, s.fail(ctx, "looking up image", name, err)
}

// Remove takes back what Load did for one run: the image under the name, and
// its other names if they were made for it.
func (s *Containerd) Remove(ctx context.Context, name string) error {
	ctx = s.endpoint.Context(ctx)
	record, err := s.client.ImageService().Get(ctx, name)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return s.fail(ctx, "removing image", name, err)
	}
	return s.fail(ctx, "removing image", name, s.removeRun(ctx, record))
}

// removeRun removes a record made for a run and what was made with it. The ID
// stays where another name needs it.
func (s *Containerd) removeRun(ctx context.Context, record images.Image) error {
	if err := s.forget(ctx, record.Name); err != nil {
		return err
	}
	same, err := s.client.ImageService().List(ctx, "target.digest=="+record.Target.Digest.String())
	if err != nil {
		return err
	}
	var left []images.Image
	for _, i := range same {
		if i.Labels[labelOwner] != record.Labels[labelOwner] {
			return nil // another name; the ID is its too
		}
		left = append(left, i)
	}
	for _, i := range left {
		if err := s.forget(ctx, i.Name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Containerd) forget(ctx context.Context, name string) error {
	err := s.client.ImageService().Delete(ctx, name, images.SynchronousDelete())
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
