package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/riscv-build/riscv-build/builder/engine/statelock"
	"github.com/riscv-build/riscv-build/builder/host"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
	"github.com/riscv-build/riscv-build/builder/service/api"
	"github.com/riscv-build/riscv-build/builder/service/queue"
	"github.com/riscv-build/riscv-build/builder/service/source"
	"github.com/riscv-build/riscv-build/builder/service/store"
	"github.com/riscv-build/riscv-build/builder/service/web"
	"github.com/riscv-build/riscv-build/cmd/riscv-build/config"
	"github.com/riscv-build/riscv-build/pusher/registry"
)

// How long the service takes to end: requests that are under way, and all of it.
const (
	lastAnswers = 3 * time.Second
	endTime     = 9 * time.Second
)

// server is the service and all that it opens.
type server struct {
	c       *cli.Context
	log     *slog.Logger
	place   *place
	dir     string // of the service, in the state directory
	floor   int64  // bytes
	hooks   []api.Hook
	tokens  *access.Tokens // nil: nobody has one
	secrets *secrets

	certs    *registry.Certificates // nil: plain HTTP
	registry *registry.Server       // nil: another one, or none
	push     []string               // default targets
	store    *store.Store
	queue    *queue.Queue
	metrics  *api.Metrics
	ending   []func() error // what is closed at the end, the last first
}

// newServer reads what flags and files say; nothing is opened yet.
func newServer(c *cli.Context) (*server, error) {
	if err := checkServe(c); err != nil {
		return nil, err
	}
	s := &server{c: c, log: requestLog(c), push: c.StringSlice("push"), secrets: &secrets{}, metrics: api.NewMetrics()}
	var err error
	if s.floor, err = config.Size(c.String("disk-floor")); err != nil {
		return nil, usageError{err}
	}
	if s.tokens, err = loadTokens(c); err != nil {
		return nil, err
	}
	if path := c.String("webhook-file"); path != "" {
		if s.hooks, err = api.ParseHooks(path); err != nil {
			return nil, usageError{err}
		}
	}
	for _, h := range s.hooks {
		s.secrets.more = append(s.secrets.more, string(h.Secret))
	}
	s.secrets.read(s.log)
	if s.place, err = quietPlace(c, s.log); err != nil {
		return nil, err
	}
	s.dir = filepath.Join(s.place.stateDir, serviceDir)
	return s, nil
}

// run serves until a signal ends it.
func (s *server) run() (err error) {
	defer func() {
		for i := len(s.ending) - 1; i >= 0; i-- {
			err = errors.Join(err, s.ending[i]())
		}
	}()
	ctx, stop := context.WithCancel(s.c.Context)
	defer stop()
	if err := s.open(ctx); err != nil {
		return err
	}
	handler, err := s.handler()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.c.String("addr"))
	if err != nil {
		return environmentError{fmt.Errorf("listening at %q: %w: choose another --addr", s.c.String("addr"), err)}
	}
	local, err := listenLocal(s.dir)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.queue.Run(ctx) })
	public := access.Server(handler)
	if s.certs != nil {
		public.TLSConfig = s.certs.TLS()
	}
	group.Go(func() error { return serveHTTP(ctx, public, access.LimitConnections(l, 0)) })
	group.Go(func() error { return serveHTTP(ctx, access.Server(handler), local) })
	if s.registry != nil {
		group.Go(func() error { return s.registry.Serve(ctx) })
	}
	group.Go(func() error { watchdog(ctx, s.log, s.well); return nil })
	context.AfterFunc(ctx, func() { tellSystemd(s.log, daemon.SdNotifyStopping) })
	defer s.reloadOnHangup()()
	s.announce(l.Addr())
	tellSystemd(s.log, daemon.SdNotifyReady)
	if err := giveBack(); err != nil {
		s.log.Warn("memory is not given back", "error", err.Error())
	}
	return within(ctx, endTime, group.Wait)
}

// within waits for the end of what ends with a context, but not for ever: what
// the service was in the middle of is found out at the next start, as after a
// loss of power.
func within(ctx context.Context, limit time.Duration, wait func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(limit):
		return fmt.Errorf("ending the service: a build took longer than %s to end and was left: the next start clears up after it", limit)
	}
}

// open opens the store, the registry and the queue.
func (s *server) open(ctx context.Context) error {
	err := os.MkdirAll(s.place.stateDir, 0o755)
	if err == nil {
		err = os.MkdirAll(s.dir, 0o700)
	}
	if err != nil {
		return environmentError{fmt.Errorf("making the directory of the service: %w: choose a writable one with --state-dir", err)}
	}
	if err := s.alone(ctx); err != nil {
		return err
	}
	if s.certs, err = openCertificates(s.c, s.dir, s.log); err != nil {
		return err
	}
	if s.c.Bool("registry") {
		target := ""
		if s.registry, target, err = ownRegistry(s.c, s.place); err != nil {
			return err
		}
		if len(s.push) == 0 {
			s.push = []string{target}
		}
	}
	for _, target := range s.push {
		if _, err := s.place.registry(target); err != nil {
			return err
		}
	}
	if s.store, err = store.Open(ctx, filepath.Join(s.dir, serviceStore)); err != nil {
		return environmentError{err}
	}
	s.ending = append(s.ending, s.store.Close)
	sources, err := source.New(source.Config{
		Dir: filepath.Join(s.dir, serviceSource), Recipes: s.c.String("recipes"), Ref: s.c.String("recipes-ref"), Version: programVersion(), Log: s.log,
	})
	if err != nil {
		return usageError{err}
	}
	s.ending = append(s.ending, sources.Close)
	s.queue, err = queue.Open(ctx, queue.Config{
		Store: s.store, Sources: sources, Maker: &maker{c: s.c, log: s.log, secrets: s.secrets, own: s.place.own}, Push: s.push,
		Disk:      queue.Disk{Floor: s.floor, Free: func() (int64, error) { return host.DiskFree(s.place.stateDir) }},
		Ended:     s.metrics.Ended,
		Retention: store.Retention{Builds: s.c.Int("keep-builds"), LogAge: s.c.Duration("keep-logs")},
		Redact:    s.secrets.hide, Version: programVersion(), Log: s.log,
	})
	if err != nil {
		return environmentError{err}
	}
	return nil
}

// alone makes this the only service of the state directory.
func (s *server) alone(ctx context.Context) error {
	path := filepath.Join(s.dir, serviceLock)
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	lock, err := statelock.Acquire(ctx, path, nil)
	if err == nil {
		s.ending = append(s.ending, lock.Release)
		return nil
	}
	holder, readErr := statelock.ReadHolder(path)
	if readErr != nil {
		return environmentError{err}
	}
	return environmentError{fmt.Errorf("serving state directory %q: %s serves it already: end that first, or choose another --state-dir", s.place.stateDir, holder)}
}

// handler is the API and the pages, behind what says who may do what.
func (s *server) handler() (http.Handler, error) {
	var shown service.Registry
	if len(s.push) > 0 {
		shelf, err := newShelf(s.place, s.push[0], s.registry, s.names())
		if err != nil {
			return nil, err
		}
		shown = shelf
	}
	calls := api.New(api.Options{Service: s.queue, Registry: shown, Hooks: s.hooks, Metrics: s.metrics, Version: programVersion(), Log: s.log})
	guard := access.New(access.GuardOptions{Tokens: s.tokens, Open: s.c.Bool("open"), TLS: s.certs != nil, Log: s.log})
	pages, err := web.New(web.Options{
		Service: s.queue, Registry: shown, Version: programVersion(), Log: s.log,
		Login: guard.Login, Logout: guard.Logout,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for _, path := range []string{"/api/", "/metrics", "/healthz", "/webhooks/"} {
		mux.Handle(path, calls)
	}
	mux.Handle("/", pages)
	return guard.Identify(mux), nil
}

// well tells whether the service can do its work.
func (s *server) well(ctx context.Context) error {
	_, err := s.queue.State(ctx)
	return err
}

// reloadOnHangup reads tokens, accounts and certificates again at SIGHUP.
func (s *server) reloadOnHangup() (stop func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case <-hangup:
			case <-ended:
				return
			}
			if err := s.reload(); err != nil {
				s.log.Error("reading again: what was read before stays in use", "error", err.Error())
				continue
			}
			s.log.Info("tokens and certificates are read again")
		}
	}()
	return func() { signal.Stop(hangup); close(ended) }
}

func (s *server) reload() error {
	s.secrets.read(s.log)
	errs := []error{s.tokens.Reload()}
	if s.certs != nil {
		errs = append(errs, s.certs.Reload())
	}
	if s.registry != nil {
		errs = append(errs, s.registry.Reload())
	}
	return errors.Join(errs...)
}

// names are those that the service's certificate is made for, if it makes one.
func (s *server) names() []string {
	names, _ := certificateNames(s.c.String("tls-self-signed")) // checked at the start
	return names
}

// announce says where the service is.
func (s *server) announce(at net.Addr) {
	scheme, out := "http://", s.c.App.ErrWriter
	if s.certs != nil {
		scheme = "https://"
	}
	names := s.names()
	urls := outside(at, names)
	for i := range urls {
		urls[i] = scheme + urls[i]
	}
	fmt.Fprintf(out, "serving builds of %q at %s\n", s.place.stateDir, strings.Join(urls, ", "))
	switch {
	case s.tokens == nil && s.c.Bool("open"):
		fmt.Fprintln(out, "everybody may see everything; without --token-file only commands on this machine, as this user, may build")
	case s.tokens == nil:
		fmt.Fprintln(out, "without --token-file nobody may do anything there; commands on this machine, as this user, may")
	}
	if s.certs != nil && s.certs.CAFile() != "" {
		fmt.Fprintf(out, "clients must trust the CA in %q: copy it to them, and name it with --server-ca\n", s.certs.CAFile())
	}
	if s.registry != nil {
		ca := ""
		if scheme = "http://"; s.registry.TLS() {
			scheme = "https://"
		}
		if file := s.registry.CAFile(); file != "" {
			ca = " --ca " + file
		}
		fmt.Fprintf(out, "serving a registry at %s; configure clients: riscv-build configure k3s --registry %s%s%s --write\n", s.registry.Address(), scheme, outside(s.registry.Address(), names)[0], ca)
	}
	for _, target := range s.push {
		fmt.Fprintf(out, "images go to %s where a submission names no other\n", target)
	}
}
