package rootfs

import (
	"context"
	"errors"
	"io"
	"sync"
)

// Reading ahead: while one package is copied into the layer the next ones are
// decompressed already, each into at most aheadChunks*chunkSize bytes. Together
// that is what bounds the memory of a layer.
const (
	chunkSize     = 256 << 10
	aheadChunks   = 80
	aheadPackages = 2
)

var chunks = sync.Pool{New: func() any { b := make([]byte, chunkSize); return &b }}

type chunk struct {
	buf *[]byte
	n   int
	err error // after the bytes; io.EOF at the end
}

// ahead is the decompressed data archive of a package, produced by a goroutine.
type ahead struct {
	queue chan chunk
	cur   chunk
	off   int
	done  chan struct{}
}

// startAhead begins to decompress. The reader must be read to its end or ctx
// be cancelled; wait then tells when the file is closed.
func startAhead(ctx context.Context, open func() (io.ReadCloser, error)) *ahead {
	a := &ahead{queue: make(chan chunk, aheadChunks), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		defer close(a.queue)
		r, err := open()
		if err != nil {
			a.send(ctx, chunk{err: err})
			return
		}
		defer r.Close()
		for {
			buf := chunks.Get().(*[]byte)
			n, err := io.ReadFull(r, *buf)
			if errors.Is(err, io.ErrUnexpectedEOF) && n > 0 && endOf(r) {
				err = io.EOF
			}
			if !a.send(ctx, chunk{buf, n, err}) || err != nil {
				return
			}
		}
	}()
	return a
}

// endOf tells a short last chunk (io.ReadFull's own error) from a truncated
// stream (the decoder's error of the same name), which repeats it.
func endOf(r io.Reader) bool {
	var one [1]byte
	_, err := r.Read(one[:])
	return err == io.EOF
}

func (a *ahead) send(ctx context.Context, c chunk) bool {
	select {
	case a.queue <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *ahead) Read(p []byte) (int, error) {
	for a.off == a.cur.n {
		if a.cur.buf != nil {
			chunks.Put(a.cur.buf)
			a.cur.buf = nil
		}
		if a.cur.err != nil {
			return 0, a.cur.err
		}
		c, ok := <-a.queue
		if !ok {
			return 0, context.Canceled
		}
		a.cur, a.off = c, 0
	}
	n := copy(p, (*a.cur.buf)[a.off:a.cur.n])
	a.off += n
	return n, nil
}

func (a *ahead) wait() { <-a.done }
