//go:build linux

package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	ctdmetadata "github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/executor/resources"
	"github.com/moby/buildkit/executor/runcexecutor"
	snapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/worker/base"
	wlabel "github.com/moby/buildkit/worker/label"
	"github.com/riscv-build/riscv-build/builder/engine"
	bolt "go.etcd.io/bbolt"
)

const (
	runcName  = "runc"
	namespace = "buildkit" // of the databases, which nobody else reads
)

// runcBackend runs containers with the program runc and keeps everything below root.
type runcBackend struct{}

func (runcBackend) check(context.Context) error {
	if _, err := exec.LookPath(runcName); err != nil {
		return &engine.EnvironmentError{
			What: "the program runc is not installed",
			Do:   "install the package runc (`apt-get install runc`), or start containerd",
		}
	}
	return nil
}

func (runcBackend) foreign(string) (string, error)      { return "", nil }
func (runcBackend) empty(context.Context, string) error { return nil }
func (runcBackend) lost(error) error                    { return nil }
func (runcBackend) info() string                        { return "runc" }
func (runcBackend) close() error                        { return nil }

func (runcBackend) open(ctx context.Context, opts Options) (base.WorkerOpt, error) {
	name, snapshotter := chooseSnapshotter(opts)
	dir := filepath.Join(opts.Root, "runc-"+name)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return base.WorkerOpt{}, err
	}
	monitor, err := resources.NewMonitor()
	if err != nil {
		return base.WorkerOpt{}, fmt.Errorf("watching cgroups: %w", err)
	}
	executor, err := newExecutor(opts.Root, filepath.Join(dir, executorDir), monitor)
	if err != nil {
		return base.WorkerOpt{}, err
	}
	opt, err := storage(ctx, dir, name, snapshotter)
	if err != nil {
		return opt, err
	}
	opt.Executor = executor
	opt.ResourceMonitor = monitor
	opt.Labels = map[string]string{
		wlabel.Executor:       "oci",
		wlabel.Snapshotter:    name,
		wlabel.OCIProcessMode: oci.ProcessSandbox.String(),
	}
	return opt, nil
}

// endContainer has nothing to do: starting a container is a child process, which
// is waited for.
func (runcBackend) endContainer(context.Context, string) {}

func (runcBackend) sync(root string) { syncFileSystem(root) }

// runcContainer is what recovery reads of `runc list`.
type runcContainer struct {
	ID     string `json:"id"`
	Bundle string `json:"bundle"`
}

// endContainers ends those containers of runc that have their bundle below root. BuildKit
// keeps them in runc's default place, where other users of runc have theirs.
func (runcBackend) endContainers(ctx context.Context, root string) (int, error) {
	all, err := listContainers(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, c := range all {
		if !below(root, c.Bundle) {
			continue
		}
		if out, err := exec.CommandContext(ctx, runcName, "delete", "--force", c.ID).CombinedOutput(); err != nil {
			return n, fmt.Errorf("deleting container %q: %w: %s", c.ID, err, strings.TrimSpace(string(out)))
		}
		n++
	}
	return n, nil
}

// listContainers lists all of runc's containers. It gives up on the whole list
// where one ends in between, so it is asked again: others may be busy with it.
func listContainers(ctx context.Context) (all []runcContainer, err error) {
	for try := 0; ; try++ {
		list := exec.CommandContext(ctx, runcName, "list", "--format", "json")
		var complaint strings.Builder
		list.Stderr = &complaint
		out, err := list.Output()
		if err == nil {
			if err = json.Unmarshal(out, &all); err != nil {
				err = fmt.Errorf("reading runc's list of containers: %w", err)
			}
			return all, err
		}
		if try == listTries || ctx.Err() != nil {
			return nil, fmt.Errorf("listing runc's containers: %w: %s", err, strings.TrimSpace(complaint.String()))
		}
		time.Sleep(time.Duration(try+1) * 10 * time.Millisecond)
	}
}

// listTries is how often runc's list is asked for again.
const listTries = 20

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
	mdb := ctdmetadata.NewDB(db, blobs, map[string]snapshots.Snapshotter{name: sn})
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

func newExecutor(root, dir string, monitor *resources.Monitor) (executor.Executor, error) {
	exec, err := runcexecutor.New(runcexecutor.Opt{
		Root:                dir,
		CommandCandidates:   []string{runcName},
		ProcessMode:         oci.ProcessSandbox,
		DefaultCgroupParent: cgroupName(root),
		ResourceMonitor:     monitor,
		OOMScoreAdj:         new(killedFirst),
	}, noNetwork())
	if err != nil {
		return nil, fmt.Errorf("preparing runc: %w", err)
	}
	return exec, nil
}
