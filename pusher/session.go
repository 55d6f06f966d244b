package pusher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

const (
	// oneRequest is the size in bytes up to which a blob goes in the request
	// that commits it.
	oneRequest = 4 << 20
	// carefulChunk is the size in bytes of a chunk where something between
	// here and the registry keeps what is sent until it has all, or limits it.
	carefulChunk = 8 << 20
	// headway is how many bytes must have arrived for a broken connection not
	// to count as one of the attempts.
	headway = 1 << 20
	// endTime is how long an upload that is given up may take to say so.
	endTime = 3 * time.Second
)

// session is the upload of one blob (distribution specification 1.1, "Pushing
// blobs"). A connection that breaks leaves the session at the registry, which
// is asked how far it came; what it has is not sent again.
type session struct {
	u    *upload
	desc ocispec.Descriptor
	body content.ReaderAt

	at     *url.URL      // where the next request goes; nil: not begun, or lost
	token  string        // Authorization of the last request that was answered
	offset int64         // bytes the registry has
	best   int64         // the largest offset of all sessions
	chunk  int64         // most bytes of one request; 0: any number
	least  int64         // bytes the registry wants in a chunk at least
	whole  bool          // the registry takes no chunks
	asked  time.Duration // how long the registry wants to be left alone
	better bool          // the next attempt does what the last one could not
}

// run makes one attempt, in a new session or the one that is there. mounted
// says that the registry took the blob from the repository from instead.
func (s *session) run(ctx context.Context, from string) (mounted bool, err error) {
	s.asked, s.better = 0, false
	if s.at != nil {
		if err := s.status(ctx); err != nil {
			return false, err
		}
	}
	if s.at == nil {
		if mounted, err := s.begin(ctx, from); mounted || err != nil {
			return mounted, err
		}
	}
	if s.offset == 0 && (s.desc.Size <= oneRequest || s.whole) {
		return false, s.commit(ctx, s.desc.Size)
	}
	for s.offset < s.desc.Size {
		if err := s.patch(ctx); err != nil {
			return false, err
		}
	}
	return false, s.commit(ctx, 0)
}

// begin opens a session, or mounts the blob.
func (s *session) begin(ctx context.Context, from string) (mounted bool, err error) {
	at := s.u.ep.url(s.u.place.repository, "blobs/uploads/")
	if from != "" {
		at.RawQuery = url.Values{"mount": {s.desc.Digest.String()}, "from": {from}}.Encode()
	}
	resp, err := s.do(ctx, http.MethodPost, at, 0)
	if err != nil {
		return false, err
	}
	if resp.StatusCode == http.StatusCreated && from != "" {
		return true, confirmed(resp, s.desc.Digest)
	}
	if resp.StatusCode != http.StatusAccepted {
		return false, refusal(resp)
	}
	s.offset = 0
	s.least, _ = strconv.ParseInt(resp.Header.Get("OCI-Chunk-Min-Length"), 10, 64)
	return false, s.follow(resp)
}

// status asks how far the session came. One that is lost is begun anew.
func (s *session) status(ctx context.Context) error {
	resp, err := s.do(ctx, http.MethodGet, s.at, 0)
	if err != nil {
		return err
	}
	switch code := resp.StatusCode; {
	case passingStatus(code):
		return refusal(resp)
	case code != http.StatusNoContent && code != http.StatusAccepted:
		s.at = nil
		return nil
	}
	have, ok := received(resp)
	if !ok || have > s.desc.Size {
		s.at = nil
		return nil
	}
	if have <= s.offset {
		s.chunk = carefulChunk // nothing of what was sent arrived
	}
	s.offset = have
	return s.follow(resp)
}

// patch sends a chunk: all that is left, unless that went wrong before.
func (s *session) patch(ctx context.Context) error {
	n := s.desc.Size - s.offset
	if s.chunk > 0 {
		n = min(n, max(s.chunk, s.least))
	}
	resp, err := s.do(ctx, http.MethodPatch, s.at, n)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusNoContent {
		return s.refused(resp, n)
	}
	s.offset += n
	// A registry may have taken less than was sent; the rest goes again.
	if have, ok := received(resp); ok && have > 0 && have < s.offset {
		if have <= s.offset-n {
			return fmt.Errorf("%w: the registry took %d bytes and says that it has %d", io.ErrUnexpectedEOF, n, have)
		}
		s.offset = have
	}
	return s.follow(resp)
}

// refused says what a refusal of the next n bytes means for the next attempt.
func (s *session) refused(resp *http.Response, n int64) error {
	err := refusal(resp)
	switch code := resp.StatusCode; {
	case passingStatus(code), code == http.StatusForbidden, code == http.StatusInsufficientStorage:
	case code == http.StatusUnauthorized:
		s.better = s.token != "" // it has run out; asking for the status gets another
	case code == http.StatusNotFound: // the registry was restarted, or is several
		s.at, s.better = nil, true
	case code == http.StatusRequestedRangeNotSatisfiable && s.offset > 0:
		s.better = true // the status tells
	case code == http.StatusRequestEntityTooLarge:
		s.better = n > carefulChunk
		s.chunk = carefulChunk
	case s.offset+n == s.desc.Size && spoilt(err):
		s.at, s.better = nil, true
		if local := s.intact(); local != nil {
			return local
		}
	case s.offset == 0 && !s.whole && n > 0:
		s.at, s.better, s.whole = nil, true, true
	}
	return err
}

// intact reads the blob and compares its digest.
func (s *session) intact() error {
	v := s.desc.Digest.Verifier()
	_, err := io.Copy(v, io.NewSectionReader(s.body, 0, s.desc.Size))
	if err == nil && !v.Verified() {
		err = errors.New("its bytes have another digest")
	}
	if err != nil {
		return &localError{fmt.Errorf("reading it from the image: %w", err)}
	}
	return nil
}

// spoilt says whether the registry got other bytes than were announced.
func spoilt(err error) bool {
	var resp *errcode.ErrorResponse
	return errors.As(err, &resp) && slices.ContainsFunc(resp.Errors, func(e errcode.Error) bool {
		return e.Code == errcode.ErrorCodeDigestInvalid || e.Code == errcode.ErrorCodeSizeInvalid
	})
}

// commit ends the session; the request carries the blob if it has not been
// sent.
func (s *session) commit(ctx context.Context, n int64) error {
	at := *s.at
	q := at.Query()
	q.Set("digest", s.desc.Digest.String())
	at.RawQuery = q.Encode()
	resp, err := s.do(ctx, http.MethodPut, &at, n)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		return s.refused(resp, n)
	}
	s.at = nil
	return confirmed(resp, s.desc.Digest)
}

// end gives up what the registry has of a session that nobody will continue:
// it may be what fills its disk.
func (s *session) end(ctx context.Context) {
	if s.at == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer stop()
	_, _ = s.do(ctx, http.MethodDelete, s.at, 0) // the registry removes it some day
}

// do sends a request, with the next n bytes of the blob as its body. The
// answer's body is read and closed, up to what an error message may have.
func (s *session) do(ctx context.Context, method string, at *url.URL, n int64) (*http.Response, error) {
	client := s.u.ep.client
	ctx = allow(ctx, s.desc.Size)
	req, err := http.NewRequestWithContext(ctx, method, at.String(), nil)
	if err != nil {
		return nil, err
	}
	ours := sameOrigin(at, s.u.ep.url(s.u.place.repository, ""))
	if !ours {
		client = s.u.ep.bare // the session is elsewhere: what the account may is not told there
	}
	if n > 0 || method == http.MethodPut {
		req.Body, req.ContentLength = s.part(n), n
		req.Header.Set("Content-Type", "application/octet-stream")
		if ours && s.token != "" {
			req.Header.Set("Authorization", s.token)
		}
	}
	if method == http.MethodPatch {
		req.Header.Set("Content-Range", fmt.Sprintf("%d-%d", s.offset, s.offset+n-1))
	}
	resp, err := exchange(client, req)
	if err != nil {
		return nil, err
	}
	s.asked = retryAfter(resp)
	if token := resp.Request.Header.Get("Authorization"); ours && token != "" && resp.StatusCode != http.StatusUnauthorized {
		s.token = token
	}
	return resp, nil
}

// part is the next n bytes of the blob. The transport closes it at its own
// time; the file is closed with the upload.
func (s *session) part(n int64) io.ReadCloser {
	if n == 0 {
		return http.NoBody
	}
	return io.NopCloser(&telling{r: io.NewSectionReader(s.body, s.offset, n), done: s.offset, tell: func(done int64) {
		s.u.tell(s.desc, done, Sending)
	}})
}

// follow takes over where the session goes on.
func (s *session) follow(resp *http.Response) error {
	next, err := resp.Location()
	if err != nil && s.at != nil {
		return nil // where it was
	}
	if err != nil {
		return fmt.Errorf("%s %s: the answer names no upload session: %w", resp.Request.Method, resp.Request.URL.Path, err)
	}
	here := resp.Request.URL
	if here.Port() == "443" && next.Port() == "" && next.Hostname() == here.Hostname() {
		next.Host = here.Host // some leave the port out
	}
	if here.Scheme == "https" && next.Scheme != "https" {
		s.at = nil
		return &downgradeError{next}
	}
	s.at = next
	return nil
}

// received reads how many bytes a session has from its Range, which names the
// last one. "0-0" is what most registries say of an empty session.
func received(resp *http.Response) (int64, bool) {
	_, last, ok := strings.Cut(strings.TrimPrefix(resp.Header.Get("Range"), "bytes="), "-")
	end, err := strconv.ParseInt(last, 10, 64)
	if !ok || err != nil || end < -1 {
		return 0, false
	}
	if end == 0 {
		return 0, true
	}
	return end + 1, true
}

// downgradeError is a session that would go on without TLS.
type downgradeError struct{ to *url.URL }

func (e *downgradeError) Error() string {
	return fmt.Sprintf("the registry is spoken to by HTTPS and sends the upload to %s://%s", e.to.Scheme, e.to.Host)
}

func (e *downgradeError) advice() string {
	return "let the proxy before the registry set X-Forwarded-Proto, or the registry answer with relative addresses"
}
