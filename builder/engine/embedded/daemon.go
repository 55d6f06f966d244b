//go:build linux

package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/grpcerrors"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto" // the codec that client and server agree on
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

const (
	pipeBuffer = 1 << 20 // bytes between client and server
	stopGrace  = 5 * time.Second
)

// daemon is a running BuildKit and the client that reaches it.
type daemon struct {
	client     *client.Client
	server     *grpc.Server
	controller *control.Controller
	worker     *base.Worker
	executor   *localExecutor
	near       *nearStores
	cancel     context.CancelFunc // ends what the server's methods do
}

func startDaemon(ctx context.Context, opts Options, b backend) (*daemon, error) {
	liftLogSpeed()
	// The daemon outlives the call that starts it.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	memory, err := boundCgroups(opts.Root, opts.bounds)
	if err != nil {
		opts.notice("what builds and tests run may take all memory of this machine, as it could not be bounded: %v", err)
	}
	parts := workerParts{executor: newLocalExecutor(memory), near: &nearStores{}}
	w, err := newWorker(life, opts, b, parts)
	if err != nil {
		cancel()
		return nil, err
	}
	controller, err := newController(life, opts, w)
	if err != nil {
		cancel()
		return nil, err
	}
	server := newServer(controller)
	pipe := bufconn.Listen(pipeBuffer)
	go func() { _ = server.Serve(pipe) }() // ends with Stop; there is no other error on a pipe in memory

	d := &daemon{server: server, controller: controller, worker: w, executor: parts.executor, near: parts.near, cancel: cancel}
	d.client, err = client.New(life, "passthrough:///embedded", client.WithContextDialer(
		func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connecting to the solver: %w", err), d.stop())
	}
	return d, nil
}

func newServer(controller *control.Controller) *grpc.Server {
	server := grpc.NewServer(
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
		grpc.MaxConcurrentStreams(math.MaxUint32),
	)
	controller.Register(server)
	return server
}

// liftLogSpeed lets a step print as fast as it likes: BuildKit would drop what
// exceeds 200 KiB a second. Its limit on the whole log of a step stays, and it
// keeps the end of a longer log.
func liftLogSpeed() {
	const name = "BUILDKIT_STEP_LOG_MAX_SPEED"
	if os.Getenv(name) == "" {
		_ = os.Setenv(name, "-1") // cannot fail: the name is valid
	}
}

func newController(ctx context.Context, opts Options, w *base.Worker) (*control.Controller, error) {
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	sessions, err := session.NewManager()
	if err != nil {
		return nil, errors.Join(err, workers.Close())
	}
	cache, err := bboltcachestorage.NewStore(filepath.Join(opts.Root, "cache.db"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the solver's database: %w", err), workers.Close())
	}
	history, err := boltutil.SafeOpen(filepath.Join(opts.Root, "history.db"), 0o600, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the history database: %w", err), cache.Close(), workers.Close())
	}
	var none int64 // builds are reported by the pipeline, not kept by the solver
	return control.NewController(control.Opt{
		Frontends:        frontends(opts, workers),
		SessionManager:   sessions,
		WorkerController: workers,
		CacheManager:     solver.NewCacheManager(ctx, "local", cache, worker.NewCacheResultStorage(workers)),
		HistoryDB:        &historyDB{DB: history},
		CacheStore:       cache,
		LeaseManager:     w.LeaseManager(),
		ContentStore:     w.ContentStore(),
		HistoryConfig:    &config.HistoryConfig{MaxEntries: &none},
		GarbageCollect:   w.GarbageCollect,
		GracefulStop:     ctx.Done(),
	})
}

// stop ends the daemon in the order that its parts depend on each other.
func (d *daemon) stop() error {
	var errs []error
	if d.client != nil {
		errs = append(errs, d.client.Close())
	}
	d.cancel()
	stopped := make(chan struct{})
	go func() {
		d.server.GracefulStop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(stopGrace):
		d.server.Stop()
	}
	errs = append(errs, d.controller.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stopping the embedded engine: %w", err)
	}
	return nil
}
