package main

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/engine/embedded"
	"github.com/riscv-build/riscv-build/builder/engine/remote"
	"github.com/riscv-build/riscv-build/cmd/riscv-build/config"
)

// wantedEngine is the engine that was named: flag over environment over
// configuration.
func (p *place) wantedEngine(c *cli.Context) string {
	return cmp.Or(c.String("engine"), os.Getenv(config.EnvEngine), p.config.Engine, config.EngineAuto)
}

// remoteEngine is the engine elsewhere that was named, or found where the
// embedded one cannot run; false if it is the embedded one.
func (p *place) remoteEngine(c *cli.Context) (remote.Options, bool, error) {
	wanted := p.wantedEngine(c)
	switch wanted {
	case config.EngineAuto:
		return p.autoEngine(c)
	case config.EngineEmbedded:
		return remote.Options{}, false, nil
	}
	opts, err := p.remoteOptions(c, wanted)
	return opts, err == nil, err
}

// remoteOptions are for the engine at a URL.
func (p *place) remoteOptions(c *cli.Context, url string) (remote.Options, error) {
	address, err := remote.ParseAddress(url)
	if err != nil {
		return remote.Options{}, usageError{err}
	}
	opts := remote.Options{Address: address}
	dir := cmp.Or(c.String("engine-tls"), os.Getenv(config.EnvEngineTLS), p.config.EngineTLS)
	if dir != "" && address.Kind() == "tcp" {
		opts.TLS = remote.TLS{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	}
	return opts, nil
}

// lazyEngine opens the engine that is meant when it is first asked for.
type lazyEngine struct {
	remote func() (remote.Options, bool, error)
	local  func() (embedded.Options, error)
	say    func(format string, args ...any) // with -v
	mu     sync.Mutex
	engine engine.Engine
	known  *engine.Info // without an engine: of this machine, or as remembered
	memory func(remote.Address) (knownEngine, bool)
}

func (l *lazyEngine) open(ctx context.Context) (engine.Engine, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.opened(ctx)
}

func (l *lazyEngine) opened(ctx context.Context) (engine.Engine, error) {
	if l.engine != nil {
		return l.engine, nil
	}
	opts, elsewhere, err := l.remote()
	if err != nil {
		return nil, err
	}
	if elsewhere {
		return l.openRemote(ctx, opts)
	}
	options, err := l.local()
	if err != nil {
		return nil, err
	}
	e, err := embedded.Open(ctx, options)
	if err == nil {
		l.engine = e
	}
	return e, err
}

func (l *lazyEngine) openRemote(ctx context.Context, opts remote.Options) (engine.Engine, error) {
	e, err := remote.Open(ctx, opts)
	if err != nil {
		return nil, err
	}
	l.engine = e
	info, err := e.Info(ctx)
	if err != nil {
		return nil, err
	}
	if memory, ok := l.memory(opts.Address); ok {
		memory.keep(info)
	}
	taken := l.known
	l.known = &info
	if taken != nil && !same(*taken, info) {
		return nil, errEngineChanged
	}
	return e, nil
}

// host tells where builds run. An engine elsewhere is asked, if it was not
// lately; of this machine it is known without one.
func (l *lazyEngine) host(ctx context.Context) (engine.Info, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known != nil {
		return *l.known, nil
	}
	opts, elsewhere, err := l.remote()
	if err != nil {
		return engine.Info{}, err
	}
	if elsewhere {
		return l.hostElsewhere(ctx, opts)
	}
	info, err := embedded.Identify(ctx)
	if err != nil { // without an engine nothing is run either
		info = engine.Info{Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}}
	}
	l.known = &info
	return info, nil
}

func (l *lazyEngine) hostElsewhere(ctx context.Context, opts remote.Options) (engine.Info, error) {
	if memory, ok := l.memory(opts.Address); ok {
		if info, ok := memory.info(); ok {
			l.known = &info
			return info, nil
		}
	}
	e, err := l.opened(ctx)
	if err != nil {
		return engine.Info{}, err
	}
	return e.Info(ctx)
}

// starts counts the engines that were opened.
func (l *lazyEngine) starts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.engine == nil {
		return 0
	}
	return 1
}

// close closes the engine, and tells whether there was one.
func (l *lazyEngine) close() (used bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.engine == nil {
		return false, nil
	}
	if r, ok := l.engine.(*remote.Engine); ok {
		l.say("engine: %d bytes sent, %d bytes received", r.Traffic().Sent(), r.Traffic().Received())
	}
	return true, l.engine.Close()
}
