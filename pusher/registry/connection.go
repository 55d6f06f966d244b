package registry

import (
	"io"
	"net/http"
	"time"
)

// stall is how long a client, or a registry that is cached, may neither take
// nor send a byte, where nothing else is said.
const stall = 60 * time.Second

// piece is how much of a file the kernel is given to send at a time, in bytes:
// it must be through before a client counts as stalled.
const piece = 512 << 10

// connection is a response, and its request's body, that end when the client
// stalls, and that count what went by.
type connection struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	body    io.ReadCloser
	read    time.Time // when the read deadline was set

	status  int
	out, in int64 // bytes
	user    string
	err     error // that was answered
}

func (f *front) connect(w http.ResponseWriter, r *http.Request) *connection {
	c := &connection{ResponseWriter: w, stall: f.stall, control: http.NewResponseController(w), body: r.Body}
	if c.stall <= 0 {
		c.stall = stall
	}
	// What an earlier request on the connection set.
	_ = c.control.SetWriteDeadline(time.Time{})
	_ = c.control.SetReadDeadline(time.Time{})
	return c
}

// Unwrap lets http.ResponseController find the connection.
func (c *connection) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// note remembers an error for the log.
func (c *connection) note(err error) { c.err = err }

// WriteHeader begins the answer.
func (c *connection) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
	c.extend()
	c.ResponseWriter.WriteHeader(status)
}

func (c *connection) extend() { _ = c.control.SetWriteDeadline(time.Now().Add(c.stall)) }

func (c *connection) begun() {
	if c.status == 0 {
		c.status = http.StatusOK
	}
}

// Write sends bytes.
func (c *connection) Write(p []byte) (int, error) {
	c.begun()
	c.extend()
	n, err := c.ResponseWriter.Write(p)
	c.out += int64(n)
	return n, err
}

// ReadFrom sends what src gives. The part of a file that a blob is goes to the
// connection itself, piece by piece, which over plain TCP is sendfile(2).
func (c *connection) ReadFrom(src io.Reader) (int64, error) {
	part, isPart := src.(*io.LimitedReader)
	to, able := c.ResponseWriter.(io.ReaderFrom)
	if !isPart || !able {
		return copyBuffered(c, src)
	}
	c.begun()
	var sum int64
	for part.N > 0 {
		c.extend()
		next := &io.LimitedReader{R: part.R, N: min(part.N, piece)}
		n, err := to.ReadFrom(next)
		sum, part.N, c.out = sum+n, part.N-n, c.out+n
		if err != nil || n == 0 {
			return sum, err
		}
	}
	return sum, nil
}

// requestBody is the body that the handlers read.
type requestBody struct{ c *connection }

// Read takes bytes from the client. After the last there is no hurry: the
// answer may need a blob to be flushed to the disk. After a stall the time
// stays over, or net/http would wait for the rest before it answers.
func (b requestBody) Read(p []byte) (int, error) {
	c := b.c
	if now := time.Now(); now.Sub(c.read) > c.stall/60 {
		c.read = now
		_ = c.control.SetReadDeadline(now.Add(c.stall))
	}
	n, err := c.body.Read(p)
	c.in += int64(n)
	if err == io.EOF {
		_ = c.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// hurry bounds how long net/http waits for a body that nobody read.
func (c *connection) hurry() { _ = c.control.SetReadDeadline(time.Now().Add(c.stall)) }

// Close ends the body.
func (b requestBody) Close() error { return b.c.body.Close() }
