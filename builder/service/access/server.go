package access

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// The limits of clients.
const (
	// bodyLimit is in bytes: a tree of recipe files as base64, and some.
	bodyLimit = 32 << 20
	// bodyTime is how long a body may take.
	bodyTime = 2 * time.Minute
	// writeTime is how long a client may take none of what is written to it.
	writeTime = 30 * time.Second
	// The connections an address may have at a time: log followers and a proxy
	// have many, and everybody on this machine has one address.
	connections         = 256
	loopbackConnections = 2048
)

// Server makes a server with limits for slow and large requests, whose answers
// tell browsers what they may not do. Its listeners may be Unix sockets, too:
// see Local.
func Server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: headers(limit(handler)), ConnContext: connContext,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
}

type localKey struct{}

// connContext marks what comes over a Unix socket: whoever can open the one in
// the state directory is root, or who the service runs as.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if c.LocalAddr().Network() == "unix" {
		return context.WithValue(ctx, localKey{}, true)
	}
	return ctx
}

// Local tells whether a request came over a Unix socket of a Server.
func Local(ctx context.Context) bool { return ctx.Value(localKey{}) != nil }

// headers tells browsers to take scripts, styles and data from this service
// only, none that stand in a page, and to show no page inside another.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		// Not no-referrer: forms would then come from the origin "null".
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// limit bounds bodies in size and time, and ends answers that their client does
// not read. A handler that sets a write deadline itself, as for events, is left
// to it from then on.
func limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if r.ContentLength != 0 {
			_ = rc.SetReadDeadline(time.Now().Add(bodyTime)) // a recorder of tests has none
			r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
		}
		next.ServeHTTP(&patient{ResponseWriter: w, rc: rc}, r)
	})
}

// patient waits for a client as long as it takes something.
type patient struct {
	http.ResponseWriter
	rc  *http.ResponseController
	own bool // the handler sets deadlines
}

func (p *patient) extend() {
	if !p.own {
		_ = p.rc.SetWriteDeadline(time.Now().Add(writeTime)) // a recorder of tests has none
	}
}

// Write writes within the time limit.
func (p *patient) Write(data []byte) (int, error) {
	p.extend()
	return p.ResponseWriter.Write(data)
}

// Flush sends what was written within the time limit.
func (p *patient) Flush() {
	p.extend()
	_ = p.rc.Flush() // as http.Flusher has it
}

// SetWriteDeadline is for http.ResponseController.
func (p *patient) SetWriteDeadline(t time.Time) error {
	p.own = true
	return p.rc.SetWriteDeadline(t)
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// LimitConnections closes connections at once that are too many for their
// address: more than perAddress, 0 for the default, or more than 2048 from
// this machine. Those over Unix sockets are not counted.
func LimitConnections(l net.Listener, perAddress int) net.Listener {
	return &limited{Listener: l, most: cmp.Or(perAddress, connections), open: map[string]int{}}
}

type limited struct {
	net.Listener
	most int

	mu   sync.Mutex
	open map[string]int
}

// Accept waits for a connection that is not too many.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := c.RemoteAddr().(*net.TCPAddr)
		if !ok {
			return c, nil
		}
		address, most := network(tcp.IP.String()), l.most
		if tcp.IP.IsLoopback() {
			most = max(most, loopbackConnections)
		}
		if l.take(address, most) {
			return &counted{Conn: c, done: sync.OnceFunc(func() { l.give(address) })}, nil
		}
		_ = c.Close() // it is not wanted
	}
}

func (l *limited) take(address string, most int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[address] >= most {
		return false
	}
	l.open[address]++
	return true
}

func (l *limited) give(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[address]--; l.open[address] == 0 {
		delete(l.open, address)
	}
}

// counted is a connection that makes room when it is closed.
type counted struct {
	net.Conn
	done func()
}

// Close closes the connection.
func (c *counted) Close() error {
	defer c.done()
	return c.Conn.Close()
}
