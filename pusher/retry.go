package pusher

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// maxRetryAfter bounds how long a registry may make a run wait.
const maxRetryAfter = time.Minute

// errStall is the reason a transfer is cancelled when nothing moves.
var errStall = errors.New("stalled")

// policy retries requests whose body can be sent again. Uploads cannot: a
// registry may have kept the first half, so they begin anew (see upload.send).
func (p *Pusher) policy() retry.Policy {
	return &retry.GenericPolicy{
		Retryable: func(resp *http.Response, err error) (bool, error) {
			if err != nil {
				return brokenConnection(err), nil
			}
			return passingStatus(resp.StatusCode), nil
		},
		Backoff: func(attempt int, resp *http.Response) time.Duration {
			var asked time.Duration
			if resp != nil {
				asked = retryAfter(resp)
			}
			return p.pause(attempt, asked)
		},
		MaxWait:  maxRetryAfter,
		MaxRetry: p.opt.Retries,
	}
}

// pause is the wait before attempt+1: growing, with jitter, at least what the
// registry asked for.
func (p *Pusher) pause(attempt int, asked time.Duration) time.Duration {
	d := p.opt.Backoff << min(attempt, 6)
	d = d/2 + rand.N(d)
	return max(d, min(asked, maxRetryAfter))
}

// brokenConnection says whether the connection broke under way. A refused one,
// an unknown name and a time-out are told at once.
func brokenConnection(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

func passingStatus(code int) bool {
	switch code {
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return true
	case http.StatusNotImplemented, http.StatusInsufficientStorage:
		return false
	}
	return code >= 500
}

// uploadAgain says whether an upload that broke off is worth beginning anew.
func uploadAgain(err error) bool {
	var resp *errcode.ErrorResponse
	if errors.As(err, &resp) {
		// An upload session that the registry lost, by a restart or behind a
		// load balancer, is 404 or 416.
		return passingStatus(resp.StatusCode) || resp.StatusCode == http.StatusNotFound ||
			resp.StatusCode == http.StatusRequestedRangeNotSatisfiable
	}
	return errors.Is(err, errStall) || brokenConnection(err)
}

// retryAfter reads both forms of the header: seconds and a date.
func retryAfter(resp *http.Response) time.Duration {
	v := resp.Header.Get("Retry-After")
	if secs, err := strconv.Atoi(v); err == nil && secs > 0 {
		return time.Duration(secs) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// uploads notes what a registry asks for when it turns an upload away, which
// oras-go's errors do not carry.
type uploads struct{ remote.Client }

// Do sends the request.
func (u uploads) Do(req *http.Request) (*http.Response, error) {
	b, isUpload := req.Body.(*blobBody)
	if isUpload {
		b.began = true // not when it is first read: an answer may come sooner
	}
	resp, err := u.Client.Do(req)
	if isUpload && err == nil {
		b.asked = retryAfter(resp)
	}
	return resp, err
}

// blobBody is a blob being sent, with a watch for stalls.
type blobBody struct {
	*io.SectionReader
	ra    content.ReaderAt
	watch *time.Timer
	stall time.Duration
	moved func(int64) // told how many bytes are read
	began bool        // the request that carries the bytes was made
	done  atomic.Int64
	asked time.Duration
}

// openBody opens a blob for sending; cancel is called with errStall when
// nothing moves.
func (p *Pusher) openBody(ctx context.Context, from content.Provider, desc ocispec.Descriptor, cancel context.CancelCauseFunc) (*blobBody, error) {
	ra, err := from.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	b := &blobBody{SectionReader: io.NewSectionReader(ra, 0, ra.Size()), ra: ra, stall: p.opt.Stall}
	b.watch = time.AfterFunc(b.stall, func() { cancel(errStall) })
	b.watch.Stop() // it runs from the first byte: the registry may make the request before wait
	return b, nil
}

// Read gives bytes to the connection: each call means that the last ones went.
func (b *blobBody) Read(p []byte) (int, error) {
	n, err := b.SectionReader.Read(p)
	if done := b.done.Add(int64(n)); done >= b.Size() || err != nil {
		b.watch.Stop() // the answer has its own limit
	} else {
		b.watch.Reset(b.stall)
	}
	if b.moved != nil && n > 0 {
		b.moved(b.done.Load())
	}
	return n, err
}

// Close leaves the file open: the transport closes the body at its own time,
// release does it when the upload is over.
func (b *blobBody) Close() error { return nil }

func (b *blobBody) release() {
	b.watch.Stop()
	_ = b.ra.Close()
}
