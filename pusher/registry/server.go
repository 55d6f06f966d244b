package registry

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"time"

	"cuelabs.dev/go/oci/ociregistry"

	"github.com/riscv-build/riscv-build/pusher"
)

// ServeOptions says how a registry is served. The zero value but for Root and
// Address is usable: plain HTTP, everybody may do all.
type ServeOptions struct {
	Root          string   // directory of the content
	Address       string   // [HOST]:PORT to listen on
	CertFile      string   // PEM certificate, with KeyFile
	KeyFile       string   // PEM key
	SelfSigned    []string // host names and addresses for a certificate by a CA of the registry's own
	Htpasswd      string   // file of accounts; "": none are asked for
	AnonymousPull bool     // with Htpasswd: who has no account may read
	ReadOnly      bool
	Metrics       bool           // at /metrics, for everybody
	Log           *slog.Logger   // requests, and what went wrong; nil: nothing
	Stall         time.Duration  // after which a client that takes and sends nothing is cut off; 0: a minute
	Upstream      *pusher.Remote // serve a cache of this registry; nil: a registry
}

// Limits of a server.
const (
	headerTime   = 30 * time.Second
	idleTime     = 2 * time.Minute
	shutdownTime = 30 * time.Second
	tidyEvery    = time.Hour
	maxHeader    = 64 << 10 // bytes
)

// Server is a registry that listens.
type Server struct {
	opt      ServeOptions
	store    *Store
	release  func()
	accounts *accounts
	certs    *Certificates
	listener net.Listener
	http     *http.Server
}

// Listen opens a registry's directory and the address. What is wrong with them
// is known before anything is served.
func Listen(opt ServeOptions) (*Server, error) {
	store, err := Open(opt.Root)
	if err != nil {
		return nil, err
	}
	kind := "registry"
	if opt.Upstream != nil {
		kind = "cache of " + opt.Upstream.String()
	}
	release, err := store.Serving(opt.Address, kind)
	if err != nil {
		return nil, err
	}
	s := &Server{opt: opt, store: store, release: release}
	if err := s.listen(); err != nil {
		release()
		return nil, err
	}
	return s, nil
}

func (s *Server) listen() (err error) {
	f := &front{store: s.store, protocol: newProtocol(s.store, s.store), anonymous: s.opt.AnonymousPull, log: s.opt.Log, stall: s.opt.Stall}
	switch {
	case s.opt.Upstream != nil:
		c := newCache(s.store, s.opt.Upstream, s.opt.Log)
		f.protocol, f.refusal = newProtocol(s.store, c), c.refusal()
	case s.opt.ReadOnly:
		f.refusal = ociregistry.NewError("the registry is read-only: push to another", ociregistry.ErrUnsupported.Code(), nil)
	}
	if s.opt.Metrics {
		f.metrics = newMetrics()
	}
	if s.opt.Htpasswd != "" {
		if s.accounts, err = openAccounts(s.opt.Htpasswd); err != nil {
			return err
		}
		f.accounts = s.accounts
	}
	s.http = &http.Server{
		Handler: f, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(errorLog{s.opt.Log}, "", 0),
	}
	if err := s.certify(); err != nil {
		return err
	}
	if s.listener, err = net.Listen("tcp", s.opt.Address); err != nil {
		return &AccessError{fmt.Errorf("listening on %q: %w: %s", s.opt.Address, err, listenAdvice(err))}
	}
	return nil
}

// certify reads or makes the certificate.
func (s *Server) certify() (err error) {
	s.certs, err = OpenCertificates(CertificateOptions{
		CertFile: s.opt.CertFile, KeyFile: s.opt.KeyFile, SelfSigned: s.opt.SelfSigned, Dir: filepath.Join(s.opt.Root, "tls"),
		Warn: func(err error) { s.complain("certificate", err) },
	})
	if s.certs != nil {
		s.http.TLSConfig = s.certs.TLS()
	}
	return err
}

func listenAdvice(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "stop what listens there, or choose another port with --addr"
	case errors.Is(err, syscall.EACCES):
		return "ports below 1024 need the right to: choose a higher one with --addr"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine does not have the address: correct --addr"
	}
	return "write --addr as [ADDRESS]:PORT"
}

// Address is where the server listens.
func (s *Server) Address() net.Addr { return s.listener.Addr() }

// TLS says whether it speaks HTTPS.
func (s *Server) TLS() bool { return s.certs != nil }

// CAFile is the certificate that clients must trust, of a CA of the registry's
// own; "" without one.
func (s *Server) CAFile() string {
	if s.certs == nil {
		return ""
	}
	return s.certs.CAFile()
}

// Reload reads the accounts and the certificate again. What cannot be read
// stays what it was.
func (s *Server) Reload() error {
	var errs []error
	if s.accounts != nil {
		errs = append(errs, s.accounts.reload())
	}
	if s.certs != nil {
		errs = append(errs, s.certs.Reload())
	}
	return errors.Join(errs...)
}

// Serve answers until the context ends; then requests that are under way have
// half a minute.
func (s *Server) Serve(ctx context.Context) error {
	defer s.release()
	ctx, stop := context.WithCancel(ctx)
	tidied := s.tidy(ctx)
	defer func() { stop(); <-tidied }()
	ended := make(chan error, 1)
	go func() {
		if s.TLS() {
			ended <- s.http.ServeTLS(s.listener, "", "")
		} else {
			ended <- s.http.Serve(s.listener)
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serving registry %q on %s: %w: start it again", s.opt.Root, s.Address(), err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := s.http.Shutdown(last); err != nil {
		s.complain("requests were cut off", err)
		return s.http.Close()
	}
	return nil
}

// tidy removes uploads that nobody continues, now and then until the context
// ends. The channel is closed after that.
func (s *Server) tidy(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		every := time.NewTicker(tidyEvery)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
				if err := s.store.dropStaleUploads(); err != nil {
					s.complain("removing old uploads", err)
				}
			}
		}
	}()
	return done
}

func (s *Server) complain(what string, err error) {
	if s.opt.Log != nil {
		s.opt.Log.Warn(what, "error", err.Error())
	}
}

// errorLog takes what net/http says of single connections.
type errorLog struct{ log *slog.Logger }

func (e errorLog) Write(p []byte) (int, error) {
	if e.log != nil {
		e.log.Warn("connection", "error", string(p))
	}
	return len(p), nil
}
