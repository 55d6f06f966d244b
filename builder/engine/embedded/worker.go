//go:build linux

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/diff/apply"
	ctdmetadata "github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/executor/resources"
	"github.com/moby/buildkit/executor/runcexecutor"
	snapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/util/network"
	"github.com/moby/buildkit/worker/base"
	wlabel "github.com/moby/buildkit/worker/label"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

// The names of what lies below a root; recovery knows them too.
const (
	workerGlob  = "runc-*"
	executorDir = "executor"
	cacheMounts = "cachemounts"
	tempDir     = "tmp" // beside the worker
	namespace   = "buildkit"
)

// newWorker assembles BuildKit's runc worker. BuildKit's own constructor is
// not used because it also makes a certificate authority for its network
// proxy, an RSA key at every start, which a board feels in seconds.
//
// It executes through local, and sets what is behind it.
func newWorker(ctx context.Context, opts Options, local *localExecutor) (*base.Worker, error) {
	name, snapshotter := chooseSnapshotter(opts)
	dir := filepath.Join(opts.Root, "runc-"+name)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	monitor, err := resources.NewMonitor()
	if err != nil {
		return nil, fmt.Errorf("watching cgroups: %w", err)
	}
	local.Executor, err = newExecutor(opts.Root, filepath.Join(dir, executorDir), monitor)
	if err != nil {
		return nil, err
	}
	opt, err := storage(ctx, dir, name, snapshotter)
	if err != nil {
		return nil, err
	}
	opt.Executor = local
	opt.ResourceMonitor = monitor
	opt.NetworkProviders = noNetwork()
	opt.MountPoolRoot = filepath.Join(dir, cacheMounts)
	opt.Platforms = []ocispec.Platform{platforms.Normalize(platforms.DefaultSpec())}
	opt.RegistryHosts = noRegistry
	if opts.GCLimit > 0 {
		opt.GCPolicy = []client.PruneInfo{{All: true, MaxUsedSpace: opts.GCLimit}}
	}
	opt.Labels = map[string]string{
		wlabel.Executor:       "oci",
		wlabel.Snapshotter:    name,
		wlabel.OCIProcessMode: oci.ProcessSandbox.String(),
	}
	w, err := identifyWorker(ctx, dir, opt)
	if err != nil {
		return nil, errors.Join(err, opt.MetadataStore.Close(), opt.ContentMetadata.Close())
	}
	return w, nil
}

func identifyWorker(ctx context.Context, dir string, opt base.WorkerOpt) (*base.Worker, error) {
	var err error
	if opt.ID, err = base.ID(dir); err != nil {
		return nil, fmt.Errorf("naming the worker: %w", err)
	}
	return base.NewWorker(ctx, opt)
}

func chooseSnapshotter(opts Options) (string, func(string) (snapshots.Snapshotter, error)) {
	err := overlayWorks(opts.Root)
	if err == nil {
		return "overlayfs", func(root string) (snapshots.Snapshotter, error) { return overlay.NewSnapshotter(root) }
	}
	opts.notice("overlay mounts do not work below %s (%v): copying files instead, which is slower and takes more space; "+
		"choose a state directory on ext4, xfs or btrfs with --state-dir", opts.Root, err)
	return "native", func(root string) (snapshots.Snapshotter, error) { return native.NewSnapshotter(root) }
}

// storage opens what the worker keeps: content, snapshots and the two databases about them.
func storage(ctx context.Context, dir, name string, newSnapshotter func(string) (snapshots.Snapshotter, error)) (base.WorkerOpt, error) {
	var opt base.WorkerOpt
	sn, err := newSnapshotter(filepath.Join(dir, "snapshots"))
	if err != nil {
		return opt, fmt.Errorf("opening snapshots: %w", err)
	}
	blobs, err := local.NewStore(filepath.Join(dir, "content"))
	if err != nil {
		return opt, errors.Join(fmt.Errorf("opening content: %w", err), sn.Close())
	}
	// No lock timeout: BuildKit would take an expired one for a corrupt file.
	db, err := boltutil.Open(filepath.Join(dir, "containerdmeta.db"), 0o644, &bolt.Options{
		FreelistType: bolt.FreelistMapType, NoFreelistSync: true,
	})
	if err != nil {
		return opt, errors.Join(fmt.Errorf("opening the content database: %w", err), sn.Close())
	}
	mdb := ctdmetadata.NewDB(db, blobStore{blobs}, map[string]snapshots.Snapshotter{name: sn})
	if err := mdb.Init(ctx); err != nil {
		return opt, errors.Join(fmt.Errorf("opening the content database: %w", err), closers{db, sn}.Close())
	}
	md, err := metadata.NewStore(filepath.Join(dir, "metadata_v2.db"))
	if err != nil {
		return opt, errors.Join(fmt.Errorf("opening the cache database: %w", err), closers{db, sn}.Close())
	}
	content := snapshot.NewContentStore(mdb.ContentStore(), namespace)
	return base.WorkerOpt{
		Root:            dir,
		MetadataStore:   md,
		ContentMetadata: closers{db, sn}, // the worker closes what it knows, and the snapshotter's database is not in that
		Snapshotter:     snapshot.NewSnapshotter(name, mdb.Snapshotter(name), namespace, nil),
		ContentStore:    content,
		Applier:         apply.NewFileSystemApplier(content),
		Differ:          walking.NewWalkingDiff(content),
		LeaseManager:    leaseutil.WithNamespace(ctdmetadata.NewLeaseManager(mdb), namespace),
		GarbageCollect:  mdb.GarbageCollect,
	}, nil
}

// closers are closed together, in their order.
type closers []io.Closer

// Close closes all of them, whatever the others say.
func (cs closers) Close() error {
	var errs []error
	for _, c := range cs {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
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

func newExecutor(root, dir string, monitor *resources.Monitor) (executor.Executor, error) {
	exec, err := runcexecutor.New(runcexecutor.Opt{
		Root:                dir,
		CommandCandidates:   []string{runcName},
		ProcessMode:         oci.ProcessSandbox,
		DefaultCgroupParent: cgroupName(root),
		ResourceMonitor:     monitor,
	}, noNetwork())
	if err != nil {
		return nil, fmt.Errorf("preparing runc: %w", err)
	}
	return exec, nil
}
