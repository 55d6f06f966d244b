package registry

import (
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"cuelabs.dev/go/oci/ociregistry"
)

// front is all that stands before the protocol: who asks, what is allowed,
// what is noted.
type front struct {
	protocol  http.Handler
	store     *Store
	accounts  *accounts // nil: everybody may do all
	anonymous bool      // may read
	refusal   error     // of all that changes something; nil: it may
	metrics   *metrics  // nil: not counted
	log       *slog.Logger
	stall     time.Duration // of a client
}

// ServeHTTP answers a request.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := f.connect(w, r)
	r.Body = requestBody{c}
	began := time.Now()
	if f.metrics != nil {
		f.metrics.active.Inc()
		defer f.metrics.active.Dec()
	}
	defer func() {
		c.hurry()
		c.begun()
		if f.metrics != nil {
			f.metrics.count(r.Method, c, time.Since(began))
		}
		f.write(r, c, time.Since(began))
	}()
	switch path := r.URL.Path; {
	case path == "/healthz":
		f.health(c)
	case path == "/metrics" && f.metrics != nil:
		f.metrics.handler.ServeHTTP(c, r)
	case path == "/v2" || strings.HasPrefix(path, "/v2/"):
		f.api(c, r)
	default:
		http.Error(c, "this is a registry: its API is below /v2/", http.StatusNotFound)
	}
}

func (f *front) health(w http.ResponseWriter) {
	if err := f.store.Writable(); err != nil {
		http.Error(w, "the directory cannot be written: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

func (f *front) api(c *connection, r *http.Request) {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case !f.admits(c, r, reads):
		c.Header().Set("WWW-Authenticate", `Basic realm="riscv-build registry", charset="UTF-8"`)
		writeError(c, r, ociregistry.ErrUnauthorized)
	case !reads && f.refusal != nil:
		writeError(c, r, f.refusal)
	default:
		f.protocol.ServeHTTP(c, r)
	}
}

// admits says whether a request may be answered. Without an account, the root
// of the API stays closed even to those who may read: clients learn there that
// there are accounts.
func (f *front) admits(c *connection, r *http.Request, reads bool) bool {
	if f.accounts == nil {
		return true
	}
	user, password, _ := r.BasicAuth()
	if user != "" || password != "" { // an empty account is what some clients send without one
		if f.accounts.allows(user, password) {
			c.user = user
			return true
		}
		return false
	}
	return f.anonymous && reads && strings.Trim(r.URL.Path, "/") != "v2"
}

// write notes a request in the log.
func (f *front) write(r *http.Request, c *connection, took time.Duration) {
	if f.log == nil {
		return
	}
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = r.RemoteAddr
	}
	attrs := []slog.Attr{
		slog.String("client", client), slog.String("method", r.Method), slog.String("path", r.URL.RequestURI()),
		slog.Int("status", c.status), slog.Int64("in", c.in), slog.Int64("out", c.out),
		slog.Float64("seconds", float64(took.Milliseconds())/1000), slog.String("agent", r.UserAgent()),
	}
	if c.user != "" {
		attrs = append(attrs, slog.String("user", c.user))
	}
	level := slog.LevelInfo
	if c.err != nil {
		attrs = append(attrs, slog.String("error", c.err.Error()))
	}
	if c.status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	f.log.LogAttrs(r.Context(), level, "request", attrs...)
}
