package remote

import (
	"net"
	"sync"
)

// relay hands connections on to a server.
type relay struct {
	listener net.Listener
	network  string // of the server: tcp, unix
	to       string // its address or socket
	// pipe carries one direction until an end closes; it may be late, or stop.
	pipe  func(to, from net.Conn)
	mu    sync.Mutex
	conns []net.Conn
}

func (r *relay) serve() {
	for {
		near, err := r.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial(r.network, r.to)
		if err != nil {
			near.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, near, far)
		r.mu.Unlock()
		go r.pipe(far, near)
		go r.pipe(near, far)
	}
}

// cut ends all connections and takes no more.
func (r *relay) cut() {
	r.listener.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
}
