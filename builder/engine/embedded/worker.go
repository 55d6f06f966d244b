//go:build linux

package embedded

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/network"
	"github.com/moby/buildkit/worker/base"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The names of what lies below a root; recovery knows them too.
const (
	workerGlob  = "*-*" // a worker's directory: BACKEND-SNAPSHOTTER
	executorDir = "executor"
	cacheMounts = "cachemounts"
	tempDir     = "tmp" // beside the worker
)

// backend is where containers run, and where content and file trees lie: runc and
// directories of this process, or a containerd.
type backend interface {
	// check says what the machine lacks, as an *engine.EnvironmentError.
	check(ctx context.Context) error
	// foreign tells why what lies in root belongs to another backend than this one; "" if it does not.
	foreign(root string) (why string, err error)
	// open opens what a worker keeps and what it executes with. The directory is the worker's Root.
	open(ctx context.Context, opts Options) (base.WorkerOpt, error)
	// endContainer ends and deletes a container whose starting was cancelled, if it is there.
	endContainer(ctx context.Context, id string)
	// endContainers ends and deletes the containers that a killed engine of root left.
	endContainers(ctx context.Context, root string) (int, error)
	// lost tells that what went wrong is that the backend has gone, and what to do then; nil if it is not.
	lost(err error) error
	// empty deletes what the backend keeps for root outside of it.
	empty(ctx context.Context, root string) error
	// sync has all that was unpacked and built reach the disk: once the mark is
	// gone, a power loss must not take what the databases name.
	sync(root string)
	// info is what the backend adds to what Identify tells.
	info() string
	close() error
}

func newBackend(opts Options) backend {
	if opts.Containerd != "" {
		return newContainerdBackend(opts)
	}
	return runcBackend{}
}

// workerParts stand between BuildKit and a backend.
type workerParts struct {
	executor *localExecutor
	near     *nearStores
}

// newWorker assembles a BuildKit worker. BuildKit's own constructors are not
// used because they also make a certificate authority for its network proxy, an
// RSA key at every start, which a board feels in seconds.
//
// It executes through parts.executor, and sets what is behind it.
func newWorker(ctx context.Context, opts Options, b backend, parts workerParts) (*base.Worker, error) {
	opt, err := b.open(ctx, opts)
	if err != nil {
		return nil, err
	}
	parts.executor.Executor, parts.executor.end = opt.Executor, b.endContainer
	opt.Executor = parts.executor
	opt.ContentStore = takesFrom(parts.near, opt.ContentStore)
	// Layers are unpacked by this process: a containerd does not see what is near.
	opt.Applier = apply.NewFileSystemApplier(opt.ContentStore)
	opt.NetworkProviders = noNetwork()
	opt.MountPoolRoot = filepath.Join(opt.Root, cacheMounts)
	opt.Platforms = []ocispec.Platform{platforms.Normalize(platforms.DefaultSpec())}
	opt.RegistryHosts = noRegistry
	if opts.shared {
		if err := describe(ctx, &opt); err != nil {
			return nil, errors.Join(append(closeStorage(opt), err)...)
		}
	}
	if opts.GCLimit > 0 {
		opt.GCPolicy = []client.PruneInfo{{All: true, MaxUsedSpace: opts.GCLimit}}
	}
	w, err := identifyWorker(ctx, opt)
	if err != nil {
		return nil, errors.Join(append(closeStorage(opt), err)...)
	}
	return w, nil
}

// closeStorage closes what a worker would have closed.
func closeStorage(opt base.WorkerOpt) []error {
	errs := []error{opt.MetadataStore.Close()}
	if opt.ContentMetadata != nil {
		errs = append(errs, opt.ContentMetadata.Close())
	}
	return errs
}

func identifyWorker(ctx context.Context, opt base.WorkerOpt) (*base.Worker, error) {
	var err error
	if opt.ID, err = base.ID(opt.Root); err != nil {
		return nil, fmt.Errorf("naming the worker: %w", err)
	}
	return base.NewWorker(ctx, opt)
}

// noNetwork gives every process a network namespace of its own with loopback
// only, also where a graph forgets to ask: BuildKit's unset mode would be the
// host's network.
func noNetwork() map[pb.NetMode]network.Provider {
	none := network.NewNoneProvider()
	return map[pb.NetMode]network.Provider{pb.NetMode_UNSET: none, pb.NetMode_NONE: none}
}

func noRegistry(host string) ([]docker.RegistryHost, error) {
	return nil, fmt.Errorf("pulling from %q inside a graph: images enter a graph from the content store only", host)
}
