package remote

import (
	"net"
	"sync/atomic"
)

// Traffic counts the bytes that go over the connections of an engine.
type Traffic struct{ sent, received atomic.Int64 }

// Sent is the number of bytes that went to the engine.
func (t *Traffic) Sent() int64 { return t.sent.Load() }

// Received is the number of bytes that came from the engine.
func (t *Traffic) Received() int64 { return t.received.Load() }

// counted is a connection whose bytes are counted.
type counted struct {
	net.Conn
	traffic *Traffic
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.traffic.received.Add(int64(n))
	return n, err
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.traffic.sent.Add(int64(n))
	return n, err
}
