package debian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Downloader opens a URL. Size is the announced length in bytes, -1 if there
// is none. A status other than 200 is an error; errors.Is(err, ErrNotFound)
// tells 404 and 410. Example: NewHTTPDownloader().
type Downloader interface {
	Open(ctx context.Context, url string) (body io.ReadCloser, size int64, err error)
}

// ErrNotFound is what a Downloader wraps for a file that the server does not have.
var ErrNotFound = errors.New("not found")

// ErrStalled is what a body read from HTTPDownloader ends with when the server
// sends nothing for the time allowed.
var ErrStalled = errors.New("no data arrived in the time allowed")

// HTTPDownloader is the Downloader over HTTP and HTTPS. Proxies come from the
// environment.
type HTTPDownloader struct {
	Client  *http.Client
	Stall   time.Duration // longest time without a byte of the body
	Retries int           // further attempts after a network error or a 5xx status
	Backoff time.Duration // before the first further attempt; doubled each time

	mu   sync.Mutex
	dead map[string]deadHost
}

var _ Downloader = (*HTTPDownloader)(nil)

// deadHost is a host that could not be connected to. It is not asked again
// for a while: a list of mirrors behind a firewall then costs one timeout
// each and not one per file.
type deadHost struct {
	err   error
	until time.Time
}

const deadTime = 2 * time.Minute

// NewHTTPDownloader gives a downloader for slow lines and small boards:
// 10 s to connect, 30 s to the first and between any two bytes, two retries.
func NewHTTPDownloader() *HTTPDownloader {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	transport.TLSHandshakeTimeout = 15 * time.Second
	transport.ResponseHeaderTimeout = 30 * time.Second
	return &HTTPDownloader{
		Client:  &http.Client{Transport: transport},
		Stall:   30 * time.Second,
		Retries: 2,
		Backoff: 500 * time.Millisecond,
	}
}

// Open implements Downloader.
func (d *HTTPDownloader) Open(ctx context.Context, url string) (io.ReadCloser, int64, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	if err := d.unreachable(req.URL.Host); err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept-Encoding", "identity") // the bytes are hashed: no transparent decoding
	req.Header.Set("User-Agent", "riscv-build")
	wait := d.Backoff
	for try := 0; ; try++ {
		body, size, again, err := d.once(ctx, req)
		if err == nil || !again || try >= d.Retries || ctx.Err() != nil {
			return body, size, err
		}
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// once makes one attempt and says whether another may help.
func (d *HTTPDownloader) once(parent context.Context, req *http.Request) (_ io.ReadCloser, size int64, again bool, _ error) {
	ctx, cancel := context.WithCancelCause(parent)
	resp, err := d.Client.Do(req.WithContext(ctx))
	if err != nil {
		cancel(err)
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" && parent.Err() == nil {
			d.remember(req.URL.Host, err)
			return nil, 0, false, err
		}
		return nil, 0, true, err
	}
	if resp.StatusCode == http.StatusOK {
		return newWatchedBody(resp.Body, cancel, d.Stall), resp.ContentLength, false, nil
	}
	resp.Body.Close()
	cancel(nil)
	err = fmt.Errorf("HTTP status %s", resp.Status)
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return nil, 0, resp.StatusCode >= 500, err
}

func (d *HTTPDownloader) unreachable(host string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h, ok := d.dead[host]; ok && time.Now().Before(h.until) {
		return h.err
	}
	return nil
}

func (d *HTTPDownloader) remember(host string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead == nil {
		d.dead = map[string]deadHost{}
	}
	d.dead[host] = deadHost{err, time.Now().Add(deadTime)}
}

// watchedBody cancels its request when no byte arrives for a while.
type watchedBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
	stall  time.Duration
	timer  *time.Timer
	fired  chan struct{}
}

func newWatchedBody(body io.ReadCloser, cancel context.CancelCauseFunc, stall time.Duration) *watchedBody {
	w := &watchedBody{ReadCloser: body, cancel: cancel, stall: stall, fired: make(chan struct{})}
	w.timer = time.AfterFunc(stall, func() {
		close(w.fired)
		cancel(ErrStalled)
	})
	w.timer.Stop()
	return w
}

func (w *watchedBody) Read(p []byte) (int, error) {
	w.timer.Reset(w.stall)
	n, err := w.ReadCloser.Read(p)
	if w.timer.Stop() {
		return n, err
	}
	<-w.fired
	return n, fmt.Errorf("%w (%s)", ErrStalled, w.stall)
}

func (w *watchedBody) Close() error {
	w.timer.Stop()
	w.cancel(nil)
	return w.ReadCloser.Close()
}

// fetchFile reads a whole file of at most limit bytes. With want >= 0 the
// file must have exactly that size.
func fetchFile(ctx context.Context, d Downloader, f remoteFile) ([]byte, *ArchiveError) {
	fail := func(k Kind, expected, got string, err error) ([]byte, *ArchiveError) {
		return nil, &ArchiveError{Kind: k, URL: f.url, File: f.path, Expected: expected, Got: got, Err: err}
	}
	body, announced, err := d.Open(ctx, f.url)
	switch {
	case errors.Is(err, ErrNotFound):
		return fail(NotFound, "", "", err)
	case err != nil:
		return fail(Unreachable, "", "", err)
	}
	defer body.Close()
	if f.size >= 0 && announced >= 0 && announced != f.size {
		return fail(HashMismatch, fmt.Sprintf("%d bytes", f.size), fmt.Sprintf("%d bytes", announced), nil)
	}
	limit := f.limit
	if f.size >= 0 {
		limit = f.size
	}
	data := make([]byte, 0, max(f.size, 0)+512)
	data, err = appendAll(data, io.LimitReader(body, limit+1))
	got := fmt.Sprintf("%d bytes", len(data))
	switch {
	case errors.Is(err, ErrStalled):
		return fail(Stalled, "", got, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fail(Truncated, fmt.Sprintf("%d bytes", announced), got, nil)
	case err != nil:
		return fail(Unreachable, "", got, err)
	case int64(len(data)) > limit && f.size >= 0:
		return fail(HashMismatch, fmt.Sprintf("%d bytes", f.size), "more", nil)
	case int64(len(data)) > limit:
		return fail(TooLarge, fmt.Sprintf("at most %d bytes", limit), "more", nil)
	case int64(len(data)) < f.size:
		return fail(Truncated, fmt.Sprintf("%d bytes", f.size), got, nil)
	}
	return data, nil
}

// remoteFile is a file to fetch.
type remoteFile struct {
	url   string
	path  string // for messages
	size  int64  // exact size in bytes, -1 unknown
	limit int64  // largest size where it is unknown
}

// appendAll is io.ReadAll into a buffer of the right size.
func appendAll(buf []byte, r io.Reader) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}
