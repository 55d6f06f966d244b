package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// minGain is how many new bytes make a broken connection worth resuming at
// once; it also bounds how often that happens for one file.
const minGain = 64 << 10

// tellEvery is how often a running download is reported.
const tellEvery = 100 * time.Millisecond

// errStall is the reason a transfer is cancelled when no bytes come.
var errStall = errors.New("no byte came")

// transfer is one blob on its way into the store.
type transfer struct {
	d      *downloader
	blob   Blob
	w      content.Writer
	offset int64
	// parts counts the responses the bytes so far came from. Only a wrong
	// digest of one whole response convicts the server that sent it: otherwise
	// the other part, or a crash of the machine, may have spoilt the bytes.
	parts   int
	etag    string // strong ETag of the bytes so far, and where it is valid
	etagURL string
	told    time.Time
}

// open begins the transfer, or takes up the one a killed run left behind.
func (d *downloader) open(ctx context.Context, b Blob) (*transfer, error) {
	ref := refDownload + b.Digest.String()
	// A damaged ingest would be continued over its old bytes: remove it first.
	if _, err := d.store.content.Status(ctx, ref); err != nil {
		_ = d.store.content.Abort(ctx, ref)
	}
	w, err := d.store.content.Writer(ctx, content.WithRef(ref),
		content.WithDescriptor(ocispec.Descriptor{Digest: b.Digest, Size: b.Size}))
	if err != nil {
		return nil, err
	}
	st, err := w.Status()
	if err != nil {
		_ = w.Close()
		return nil, err
	}
	t := &transfer{d: d, blob: b, w: w, offset: st.Offset}
	if t.offset > 0 {
		t.parts = 1
	}
	if b.Size > 0 && t.offset > b.Size {
		if err := t.restart(); err != nil {
			_ = w.Close()
			return nil, err
		}
	}
	return t, nil
}

// close ends the transfer. Bytes of an unfinished one stay for the next run;
// an empty ingest is removed.
func (t *transfer) close(ctx context.Context) error {
	_ = t.w.Close() // after a commit it is closed already
	ctx = context.WithoutCancel(ctx)
	if t.offset > 0 {
		return nil
	}
	ref := refDownload + t.blob.Digest.String()
	if err := t.d.store.content.Abort(ctx, ref); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return nil
}

// restart throws the bytes away.
func (t *transfer) restart() error {
	t.offset, t.parts, t.etag, t.etagURL = 0, 0, "", ""
	return t.w.Truncate(0)
}

// finished stores the blob when all of its bytes are there already: a run was
// killed between the last byte and the commit.
func (t *transfer) finished(ctx context.Context) (bool, error) {
	if t.blob.Size <= 0 || t.offset != t.blob.Size {
		return false, nil
	}
	if t.w.Digest() != t.blob.Digest {
		return false, t.restart()
	}
	return true, t.commit(ctx)
}

func (t *transfer) commit(ctx context.Context) error {
	err := t.w.Commit(ctx, t.offset, t.blob.Digest)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// attempt asks one address for the bytes that are still missing, and stores
// the blob when they are the right ones. Its error is a *cause when the server
// is to blame, else that of the disk or the caller.
func (t *transfer) attempt(ctx context.Context, url string) error {
	for {
		if err := t.request(ctx, url); err != nil {
			return err
		}
		got := t.w.Digest()
		if got == t.blob.Digest {
			return t.commit(ctx)
		}
		spoilt := t.parts > 1
		if err := t.restart(); err != nil {
			return err
		}
		if !spoilt {
			return failf(final, "wrong content: the server gave %s", got)
		}
	}
}

// request makes one HTTP request and appends what comes.
func (t *transfer) request(parent context.Context, url string) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	watch := time.AfterFunc(t.d.opt.Stall, func() { cancel(errStall) })
	defer watch.Stop()

	req, err := t.prepare(ctx, url)
	if err != nil {
		return failf(final, "%w", err)
	}
	resp, err := t.d.opt.Client.Do(req)
	if err != nil {
		return t.broken(ctx, parent, err)
	}
	defer resp.Body.Close()
	if err := t.accept(resp); err != nil {
		return err
	}
	t.parts++
	t.etag, t.etagURL = strongETag(resp), url
	return t.copy(ctx, parent, alive{resp.Body, watch, t.d.opt.Stall}, url)
}

func (t *transfer) prepare(ctx context.Context, addr string) (*http.Request, error) {
	u, err := url.Parse(addr)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("address of scheme %q: only http and https are downloaded", u.Scheme)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, addr, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", t.d.opt.UserAgent)
	// The digest is of the file as it lies on the server.
	req.Header.Set("Accept-Encoding", "identity")
	if t.offset > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(t.offset, 10)+"-")
		if t.etag != "" && t.etagURL == addr {
			req.Header.Set("If-Range", t.etag)
		}
	}
	return req, nil
}

// accept looks at status and headers, and makes the transfer ready for the
// body: whole (a server may ignore Range) or the rest.
func (t *transfer) accept(resp *http.Response) error {
	total := resp.ContentLength
	switch resp.StatusCode {
	case http.StatusOK:
		if t.offset > 0 {
			if err := t.restart(); err != nil {
				return err
			}
		}
	case http.StatusPartialContent:
		start, all, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || start != t.offset {
			if err := t.restart(); err != nil {
				return err
			}
			return failf(passing, "the server answered another range than asked for: %q", resp.Header.Get("Content-Range"))
		}
		total = all
	case http.StatusRequestedRangeNotSatisfiable:
		_, all, _ := contentRange(resp.Header.Get("Content-Range"))
		if err := t.wrongSize(all); err != nil {
			return err
		}
		if err := t.restart(); err != nil {
			return err
		}
		return failf(passing, "%s", resp.Status)
	default:
		return statusCause(resp)
	}
	return t.wrongSize(total)
}

// wrongSize compares a size in bytes that a server announced (-1: none).
func (t *transfer) wrongSize(total int64) error {
	if total >= 0 && total < t.blob.Size {
		return failf(final, "truncated: the server has only %d of %d bytes", total, t.blob.Size)
	}
	if t.blob.Size > 0 && total > t.blob.Size {
		return failf(final, "wrong size: the server has %d bytes, %d are expected", total, t.blob.Size)
	}
	return nil
}

// copy appends the body, at most one byte more than expected.
func (t *transfer) copy(ctx, parent context.Context, body io.Reader, url string) error {
	buf := make([]byte, copyBuffer)
	for {
		n, err := body.Read(buf)
		t.d.bytes.Add(int64(n))
		if t.blob.Size > 0 && t.offset+int64(n) > t.blob.Size {
			if rerr := t.restart(); rerr != nil {
				return rerr
			}
			return failf(final, "wrong size: the server gives more than the %d bytes expected", t.blob.Size)
		}
		if n > 0 {
			if _, werr := t.w.Write(buf[:n]); werr != nil {
				return werr
			}
			t.offset += int64(n)
			t.report(url)
		}
		switch {
		case errors.Is(err, io.EOF):
			if t.offset < t.blob.Size {
				return failf(passing, "truncated: %d of %d bytes came", t.offset, t.blob.Size)
			}
			return nil
		case err != nil:
			return t.broken(ctx, parent, err)
		}
	}
}

func (t *transfer) report(url string) {
	if now := time.Now(); now.Sub(t.told) >= tellEvery {
		t.told = now
		t.d.tell(Event{Name: t.blob.Name, Digest: t.blob.Digest, Done: t.offset, Total: t.blob.Size, URL: url})
	}
}

// broken gives the cause of a transport error: the caller's end of the run, a
// stall, a certificate, or a connection that may work again.
func (t *transfer) broken(ctx, parent context.Context, err error) error {
	if parent.Err() != nil {
		return parent.Err()
	}
	if errors.Is(context.Cause(ctx), errStall) {
		return failf(passing, "stalled: no byte came for %s", t.d.opt.Stall)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // the address is named beside it
	}
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	if errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) {
		return failf(final, "%w", err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) && t.offset > 0 {
		if t.blob.Size > 0 {
			return failf(passing, "truncated: the connection broke after %d of %d bytes", t.offset, t.blob.Size)
		}
		return failf(passing, "truncated: the connection broke after %d bytes", t.offset)
	}
	if errors.Is(err, io.EOF) {
		return failf(passing, "the server closed the connection without an answer")
	}
	return failf(passing, "%w", err)
}

// statusCause sorts the answers that carry no blob.
func statusCause(resp *http.Response) *cause {
	c := failf(final, "%s", strings.TrimSpace(resp.Status))
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound || code == http.StatusGone:
		c.kind = gone
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code == http.StatusTooEarly:
		c.kind = passing
		c.retryAfter = retryAfter(resp.Header.Get("Retry-After"))
	}
	return c
}

// retryAfter reads both forms of the header: seconds and a date.
func retryAfter(v string) time.Duration {
	if secs, err := strconv.Atoi(v); err == nil && secs > 0 {
		return time.Duration(secs) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// contentRange reads "bytes START-END/TOTAL" and "bytes */TOTAL"; a total of
// -1 is unknown.
func contentRange(v string) (start, total int64, ok bool) {
	v, found := strings.CutPrefix(v, "bytes ")
	span, all, slash := strings.Cut(v, "/")
	if !found || !slash {
		return 0, -1, false
	}
	total, err := strconv.ParseInt(all, 10, 64)
	if err != nil {
		total = -1
	}
	first, _, _ := strings.Cut(span, "-")
	start, err = strconv.ParseInt(first, 10, 64)
	return start, total, err == nil
}

// strongETag gives the ETag if it stands for exact bytes, as If-Range wants.
func strongETag(resp *http.Response) string {
	if tag := resp.Header.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return ""
}

// alive puts the stall watch back with every byte that comes.
type alive struct {
	r     io.Reader
	watch *time.Timer
	stall time.Duration
}

func (a alive) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if n > 0 {
		a.watch.Reset(a.stall)
	}
	return n, err
}
