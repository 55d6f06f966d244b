package remote

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/moby/buildkit/client"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/engine/buildkit"
)

// Engine is a BuildKit elsewhere. Its methods may be called concurrently.
type Engine struct {
	opts    Options
	client  *client.Client
	driver  *buildkit.Driver
	docker  *dockerDaemon // nil but for docker://
	dial    dialer
	worker  worker
	traffic Traffic
	broken  atomic.Bool // it did not answer, and the connections were cut

	mu    sync.Mutex
	first net.Conn   // made before the client, which takes it
	conns []net.Conn // all that were made; few: one, and one more after each that broke
}

var _ engine.Engine = (*Engine)(nil)

// Open connects to the BuildKit at an address and asks what it is. One that
// cannot be reached, is too old or cannot export is an *engine.EnvironmentError.
func Open(ctx context.Context, opts Options) (*Engine, error) {
	e := &Engine{opts: opts}
	if err := e.connect(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) connect(ctx context.Context) (err error) {
	clientOpts := []client.ClientOpt{client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return e.newConn(ctx) })}
	if e.opts.Address.kind == "docker" {
		if e.docker, err = openDocker(e.opts.Address); err != nil {
			return err
		}
		if err := e.docker.answers(ctx); err != nil {
			return err
		}
		e.dial = e.docker.dial
		clientOpts = append(clientOpts, e.docker.session(&e.traffic))
	} else if e.dial, err = newDialer(e.opts); err != nil {
		return err
	}
	// The first connection is made here, where what went wrong still has its own words.
	if e.first, err = e.newConn(ctx); err != nil {
		return e.unreachable(ctx, err)
	}
	e.client, err = client.New(context.WithoutCancel(ctx), "passthrough:///"+e.opts.Address.kind, clientOpts...)
	if err != nil {
		return e.unreachable(ctx, err)
	}
	e.driver = buildkit.New(e.client, e)
	asking, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	e.worker, err = askWorker(asking, e.client)
	if err == nil && e.docker != nil {
		err = e.docker.exports(asking)
	}
	if err != nil && !errors.As(err, new(*engine.EnvironmentError)) {
		return e.unreachable(ctx, err)
	}
	return err
}

// newConn gives the first connection to whoever comes first, and makes others.
func (e *Engine) newConn(ctx context.Context) (net.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if first := e.first; first != nil {
		e.first = nil
		return first, nil
	}
	conn, err := e.dial(ctx)
	if err != nil {
		return nil, err
	}
	e.conns = append(e.conns, conn)
	return counted{conn, &e.traffic}, nil
}

// Traffic is what went over the connections so far.
func (e *Engine) Traffic() *Traffic { return &e.traffic }

// Close ends the connection.
func (e *Engine) Close() error {
	var errs []error
	if e.client != nil {
		errs = append(errs, e.client.Close())
	}
	e.cut()
	if e.docker != nil {
		errs = append(errs, e.docker.client.Close())
	}
	return errors.Join(errs...)
}

// cut ends all connections.
func (e *Engine) cut() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, conn := range e.conns {
		_ = conn.Close() // it may have ended
	}
}
