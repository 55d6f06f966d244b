//go:build linux

package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	introspection "github.com/containerd/containerd/api/services/introspection/v1"
	"github.com/containerd/containerd/api/services/tasks/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/executor/containerdexecutor"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	snapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/worker/base"
	wlabel "github.com/moby/buildkit/worker/label"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/riscv-build/riscv-build/builder/engine"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

const (
	// connectTime is how long a containerd may take to answer. One that a board
	// has just started takes seconds.
	connectTime = 15 * time.Second
	// serverName is the file in a root that names the containerd that has the rest.
	serverName = "containerd"
)

// snapshotters are those that a build can use, the better first.
var snapshotters = []string{"overlayfs", "native"}

// containerdBackend uses a containerd: its content store, its snapshotter, its
// runtime. All that is kept there lies in a namespace of the root's own, out of
// the sight of Kubernetes and of other roots; content that other namespaces have
// is shared, which containerd does by itself.
type containerdBackend struct {
	address   string
	namespace string

	client      *containerd.Client
	conn        *grpc.ClientConn
	parted      atomic.Bool // the connection was lost, be there a new one or not
	server      string      // what tells this containerd's content from another's
	snapshotter string
}

func newContainerdBackend(opts Options) *containerdBackend {
	return &containerdBackend{address: opts.Containerd, namespace: containerdNamespace(opts.Root)}
}

// containerdNamespace is the namespace of a root.
func containerdNamespace(root string) string {
	sum := sha256.Sum256([]byte(root))
	return "riscv-build-" + hex.EncodeToString(sum[:6])
}

func (b *containerdBackend) info() string { return "containerd" }

func (b *containerdBackend) close() error {
	if b.client == nil {
		return nil
	}
	return b.client.Close()
}

// within is ctx with the root's namespace.
func (b *containerdBackend) within(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, b.namespace)
}

func (b *containerdBackend) check(ctx context.Context) error {
	err := b.connect(ctx)
	if err == nil || errors.As(err, new(*engine.EnvironmentError)) {
		return err
	}
	return &engine.EnvironmentError{
		What: fmt.Sprintf("containerd at %q does not answer", b.address),
		Do:   "start it (`systemctl start containerd`, or k3s), or build without it: --containerd none",
		Err:  err,
	}
}

func (b *containerdBackend) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(b.within(ctx), connectTime)
	defer cancel()
	var err error
	b.client, err = containerd.New(b.address, containerd.WithDefaultNamespace(b.namespace), containerd.WithTimeout(connectTime))
	if err != nil {
		return err
	}
	server, err := b.client.IntrospectionService().Server(ctx)
	if err != nil {
		return err
	}
	b.server = server.UUID
	b.conn = b.client.Conn().(*grpc.ClientConn) //nolint:forcetypeassert // that of a client by address
	go b.watch()
	plugins, err := b.client.IntrospectionService().Plugins(ctx, "type==io.containerd.snapshotter.v1")
	if err != nil {
		return err
	}
	for _, name := range snapshotters {
		if slices.ContainsFunc(plugins.Plugins, func(p *introspection.Plugin) bool { return p.ID == name && p.InitErr == nil }) {
			b.snapshotter = name
			return nil
		}
	}
	return &engine.EnvironmentError{
		What: fmt.Sprintf("containerd at %q has none of the snapshotters %s", b.address, strings.Join(snapshotters, ", ")),
		Do:   "see what it says of them with `ctr plugins ls`, or build without it: --containerd none",
	}
}

// watch waits until the connection is lost. What runs in containers then has
// nobody to report to, and a server among it would go on for ever, as would the
// wait for the end of its output.
func (b *containerdBackend) watch() {
	b.conn.WaitForStateChange(context.Background(), connectivity.Ready)
	if b.conn.GetState() == connectivity.Shutdown {
		return // by close
	}
	b.parted.Store(true)
	killContainers(b.namespace)
}

// goneWords are what the client of a containerd says when its connection has
// ended. BuildKit hands on no more than the words, behind the whole command.
var goneWords = []string{"error reading from server", "connection error: desc", "transport is closing", "code = Unavailable"}

func (b *containerdBackend) lost(err error) error {
	// One that is back already has other words, such as for a task that it lost.
	gone := b.parted.Load() && !errors.As(err, new(*gatewaypb.ExitError))
	for _, words := range goneWords {
		if _, after, said := strings.Cut(err.Error(), words); said {
			gone, err = true, errors.New(words+after)
			break
		}
	}
	if !gone {
		return nil
	}
	return &engine.EnvironmentError{
		What: fmt.Sprintf("containerd at %q ended in the middle of the work", b.address),
		Do:   "see why in its log (`journalctl -u containerd` or `-u k3s`), then start the build again: it goes on from the last finished step",
		Err:  err,
	}
}

// wholeTasks has containerd make a task to the end, which takes a moment, also
// where the build ends meanwhile: it would forget the container and leave it running.
type wholeTasks struct{ tasks.TasksClient }

// Create makes a task.
func (t wholeTasks) Create(ctx context.Context, req *tasks.CreateTaskRequest, opts ...grpc.CallOption) (*tasks.CreateTaskResponse, error) {
	return t.TasksClient.Create(context.WithoutCancel(ctx), req, opts...)
}

// executing is a client for what makes containers, on the connection of the other.
func (b *containerdBackend) executing() (*containerd.Client, error) {
	return containerd.NewWithConn(b.conn, containerd.WithDefaultNamespace(b.namespace),
		containerd.WithServices(
			containerd.WithTaskClient(wholeTasks{tasks.NewTasksClient(b.conn)}),
			containerd.WithContainerStore(expendable{containerd.NewRemoteContainerStore(containersapi.NewContainersClient(b.conn))}),
		))
}

// foreign compares the containerd with the one that root was made with: after
// a reinstallation, or with another socket, nothing that root names is there.
func (b *containerdBackend) foreign(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, serverName))
	switch {
	case errors.Is(err, os.ErrNotExist):
		if made, err := filepath.Glob(filepath.Join(root, workerGlob, "*.db")); err != nil || len(made) > 0 {
			return "it does not say which containerd it belongs to", err
		}
		return "", nil
	case err != nil:
		return "", fmt.Errorf("reading which containerd the build cache belongs to: %w: choose a readable directory with --state-dir", err)
	case string(text) != b.server+"\n":
		return fmt.Sprintf("it belongs to another containerd than that at %s", b.address), nil
	}
	return "", nil
}

func (b *containerdBackend) open(ctx context.Context, opts Options) (base.WorkerOpt, error) {
	dir := filepath.Join(opts.Root, "containerd-"+b.snapshotter)
	work := filepath.Join(dir, executorDir)
	if err := os.MkdirAll(work, 0o711); err != nil {
		return base.WorkerOpt{}, err
	}
	if _, err := os.Stat(filepath.Join(opts.Root, serverName)); err != nil {
		// The first start in this root: what an earlier root of this name left
		// in the namespace belongs to nobody.
		if err := b.empty(ctx, opts.Root); err != nil {
			return base.WorkerOpt{}, err
		}
		if err := os.WriteFile(filepath.Join(opts.Root, serverName), []byte(b.server+"\n"), 0o644); err != nil {
			return base.WorkerOpt{}, err
		}
	}
	executing, err := b.executing()
	if err != nil {
		return base.WorkerOpt{}, err
	}
	md, err := metadata.NewStore(filepath.Join(dir, "metadata_v2.db"))
	if err != nil {
		return base.WorkerOpt{}, fmt.Errorf("opening the cache database: %w", err)
	}
	content := snapshot.NewContentStore(b.client.ContentStore(), b.namespace)
	return base.WorkerOpt{
		Root:          dir,
		MetadataStore: md,
		Executor: containerdexecutor.New(containerdexecutor.ExecutorOptions{
			Client:           executing,
			Root:             work,
			CgroupParent:     cgroupName(opts.Root),
			NetworkProviders: noNetwork(),
		}),
		Snapshotter:    snapshot.NewSnapshotter(b.snapshotter, b.client.SnapshotService(b.snapshotter), b.namespace, nil),
		ContentStore:   content,
		Differ:         namespacedDiff{b.client.DiffService(), b.namespace},
		LeaseManager:   leaseutil.WithNamespace(b.client.LeasesService(), b.namespace),
		GarbageCollect: b.collect,
		Labels: map[string]string{
			wlabel.Executor:            "containerd",
			wlabel.Snapshotter:         b.snapshotter,
			wlabel.ContainerdUUID:      b.server,
			wlabel.ContainerdNamespace: b.namespace,
		},
	}, nil
}

// sync does not ask where containerd has its snapshots.
func (b *containerdBackend) sync(string) { unix.Sync() }

// namespacedDiff names the namespace to containerd, as BuildKit's wrappers of
// the other services do. Left alone, calls come with one that BuildKit sets for
// another purpose.
type namespacedDiff struct {
	service   diff.Comparer
	namespace string
}

// Compare makes a layer.
func (d namespacedDiff) Compare(ctx context.Context, lower, upper []mount.Mount, opts ...diff.Opt) (ocispec.Descriptor, error) {
	return d.service.Compare(namespaces.WithNamespace(ctx, d.namespace), lower, upper, opts...)
}

// collect has containerd delete what no lease and no image needs, and waits for
// it: the deletion of a lease can ask for that, nothing else can.
func (b *containerdBackend) collect(ctx context.Context) (gc.Stats, error) {
	ctx = b.within(ctx)
	manager := b.client.LeasesService()
	l, err := manager.Create(ctx, leases.WithRandomID(), leases.WithExpiration(time.Hour))
	if err != nil {
		return nil, err
	}
	return nil, manager.Delete(ctx, l, leases.SynchronousDelete)
}
