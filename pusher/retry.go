package pusher

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// maxRetryAfter bounds how long a registry may make a run wait.
const maxRetryAfter = time.Minute

// policy retries requests whose body can be sent again. Those of an upload
// cannot: the registry is asked first what it has (see session).
func (p *Pusher) policy() retry.Policy {
	return &retry.GenericPolicy{
		Retryable: func(resp *http.Response, err error) (bool, error) {
			if err != nil {
				return passing(err), nil
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

// repeat does something again that the registry or the network failed at. A
// manifest that is refused is sent a second time: it was verified here, and may
// have been spoilt on the way.
func (p *Pusher) repeat(ctx context.Context, do func() error) error {
	for attempt := 0; ; attempt++ {
		err := do()
		var resp *errcode.ErrorResponse
		refused := attempt == 0 && errors.As(err, &resp) && resp.StatusCode == http.StatusBadRequest
		if err == nil || ctx.Err() != nil || attempt >= p.opt.Retries || !refused && !passing(err) {
			return err
		}
		if p.sleep(ctx, attempt, 0) != nil {
			return err
		}
	}
}

// pause is the wait before attempt+1: growing, with jitter, at least what the
// registry asked for.
func (p *Pusher) pause(attempt int, asked time.Duration) time.Duration {
	d := p.opt.Backoff << min(attempt, 6)
	d = d/2 + rand.N(d)
	return max(d, min(asked, maxRetryAfter))
}

// sleep waits before the next attempt.
func (p *Pusher) sleep(ctx context.Context, attempt int, asked time.Duration) error {
	timer := time.NewTimer(p.pause(attempt, asked))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// broken says whether the connection broke under way, or nothing moved on it.
// A refused one, an unknown name and a connection that does not come about are
// told at once.
func broken(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	return errors.Is(err, errStall) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
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

// repeated sends requests through a transport that repeats those whose body
// can be sent again, and marks the errors of which that was the end.
type repeated struct{ base http.RoundTripper }

// RoundTrip sends the request.
func (t repeated) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(req)
	if err != nil && passing(err) && (req.Body == nil || req.GetBody != nil) {
		err = &exhausted{err}
	}
	return resp, err
}

// exhausted is an error that was met at every attempt.
type exhausted struct{ err error }

func (e *exhausted) Error() string { return e.err.Error() }
func (e *exhausted) Unwrap() error { return e.err }

// passing says whether what was asked for may succeed when it is asked for
// again: all but what this side is told or finds out for good.
func passing(err error) bool {
	var (
		resp    *errcode.ErrorResponse
		here    *localError
		account *accountError
		plain   *plainError
		down    *downgradeError
		op      *net.OpError
		cert    *tls.CertificateVerificationError
		alert   tls.AlertError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, new(*exhausted)):
		return false
	case spoilt(err):
		return true
	case errors.As(err, &resp):
		// What has no body was repeated below.
		return (resp.Method == http.MethodPut || resp.Method == http.MethodPatch) && passingStatus(resp.StatusCode)
	case broken(err):
		return true
	case errors.As(err, &here), errors.As(err, &account), errors.As(err, &plain), errors.As(err, &down),
		errors.As(err, &cert), errors.As(err, &alert), errors.As(err, &record),
		errors.As(err, &op) && op.Op == "dial",
		errors.Is(err, http.ErrSchemeMismatch), errors.Is(err, auth.ErrBasicCredentialNotFound),
		errors.Is(err, errdef.ErrNotFound), errors.Is(err, errdef.ErrSizeExceedsLimit),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	}
	return true // an answer that contradicts itself, or is none
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
