package pusher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// digestRate is how fast, in bytes a second, a registry is expected to hash
// and store what it got before it answers: a board with a slow SD card.
const digestRate = 4 << 20

// errStall is the cause of a request that is given up because nothing moved.
var errStall = errors.New("stalled")

// patience is the transport below all others. It gives a request up when for
// the stall time neither a byte of its body went out, nor an answer came, nor
// a byte of the answer's body that somebody waits for. The error is errStall.
type patience struct {
	base  http.RoundTripper
	stall time.Duration
}

type allowanceKey struct{}

// allow gives the registry time to digest so many bytes before it answers.
func allow(ctx context.Context, size int64) context.Context {
	return context.WithValue(ctx, allowanceKey{}, time.Duration(size/digestRate)*time.Second)
}

// RoundTrip sends the request.
func (t *patience) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{parent: req.Context(), ctx: ctx, cancel: cancel, stall: t.stall}
	w.timer = time.AfterFunc(w.stall, func() { cancel(errStall) })
	allowed, _ := ctx.Value(allowanceKey{}).(time.Duration)
	out := req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &requestBody{req.Body, w, allowed}
	} else {
		w.wait(w.stall + allowed)
	}
	resp, err := t.base.RoundTrip(out)
	if err != nil {
		defer w.end()
		return nil, w.why(err)
	}
	w.answered()
	resp.Body = &responseBody{resp.Body, w}
	return resp, nil
}

// watch cancels a request when its timer runs out.
type watch struct {
	parent, ctx context.Context
	cancel      context.CancelCauseFunc
	stall       time.Duration

	mu    sync.Mutex
	timer *time.Timer
	phase phase
}

type phase int

const (
	sending   phase = iota // until the answer is there
	receiving              // the body of the answer
	over
)

// wait lets the timer run while the request is being sent. The transport may
// go on reading its body after the answer came.
func (w *watch) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase == sending {
		w.timer.Reset(d)
	}
}

// answered stops the timer until somebody reads the answer.
func (w *watch) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.phase = receiving
	w.timer.Stop()
}

// reading runs the timer during one read of the answer.
func (w *watch) reading(run bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.phase != receiving:
	case run:
		w.timer.Reset(w.stall)
	default:
		w.timer.Stop()
	}
}

func (w *watch) end() {
	w.mu.Lock()
	w.phase = over
	w.timer.Stop()
	w.mu.Unlock()
	w.cancel(nil)
}

// why puts the reason in the place of the cancellation that followed from it.
func (w *watch) why(err error) error {
	if err != nil && err != io.EOF && w.parent.Err() == nil && errors.Is(context.Cause(w.ctx), errStall) {
		return fmt.Errorf("%w: nothing moved for %s", errStall, w.stall)
	}
	return err
}

// requestBody puts the timer back with every read: each means that what was
// read before went out.
type requestBody struct {
	io.ReadCloser
	watch   *watch
	allowed time.Duration
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil { // the end: the registry digests it
		b.watch.wait(b.watch.stall + b.allowed)
	} else {
		b.watch.wait(b.watch.stall)
	}
	return n, err
}

type responseBody struct {
	io.ReadCloser
	watch *watch
}

func (b *responseBody) Read(p []byte) (int, error) {
	b.watch.reading(true)
	n, err := b.ReadCloser.Read(p)
	b.watch.reading(false)
	return n, b.watch.why(err)
}

func (b *responseBody) Close() error {
	defer b.watch.end()
	return b.ReadCloser.Close()
}
