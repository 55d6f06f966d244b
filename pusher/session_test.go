package pusher

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// sessions is a registry's upload sessions in memory, which can be made to
// break, forget, refuse and answer with addresses of every kind.
type sessions struct {
	*httptest.Server
	host string

	mu       sync.Mutex
	begun    int
	open     map[string][]byte // by the address of the session
	blobs    map[digest.Digest][]byte
	patches  []string // Content-Range of each
	received int64    // bytes of bodies
	accounts []string // Authorization headers

	location func(r *http.Request, path string) string                                             // nil: the path
	fault    func(w http.ResponseWriter, r *http.Request, body io.Reader, s []byte) ([]byte, bool) // true: it has answered or hung up
	least    string
}

func startSessions(t *testing.T) *sessions {
	t.Helper()
	s := &sessions{open: map[string][]byte{}, blobs: map[digest.Digest][]byte{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	s.host = strings.TrimPrefix(s.URL, "http://")
	return s
}

type counting struct {
	r io.Reader
	s *sessions
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.s.received += int64(n)
	return n, err
}

func (s *sessions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts = append(s.accounts, r.Header.Get("Authorization"))
	path, body := r.URL.Path, counting{r.Body, s}
	if r.Method == http.MethodHead {
		data, ok := s.blobs[digest.Digest(path[strings.LastIndex(path, "/")+1:])]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		return
	}
	if r.Method == http.MethodPost {
		s.begun++
		path = fmt.Sprintf("%s%d", path, s.begun)
		s.open[path] = nil
		s.told(w, r, path, http.StatusAccepted)
		return
	}
	have, ok := s.open[path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if r.Method == http.MethodPatch {
		s.patches = append(s.patches, r.Header.Get("Content-Range"))
	}
	if s.fault != nil {
		now, answered := s.fault(w, r, body, have)
		if s.open[path] = now; answered {
			return
		}
	}
	var begin, end int
	switch r.Method {
	case http.MethodDelete:
		delete(s.open, path)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		s.told(w, r, path, http.StatusNoContent)
	case http.MethodPatch:
		if _, err := fmt.Sscanf(r.Header.Get("Content-Range"), "%d-%d", &begin, &end); err != nil || begin != len(have) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		more, _ := io.ReadAll(body)
		s.open[path] = append(have, more...)
		s.told(w, r, path, http.StatusAccepted)
	case http.MethodPut:
		more, _ := io.ReadAll(body)
		have = append(have, more...)
		delete(s.open, path)
		if want := digest.Digest(r.URL.Query().Get("digest")); digest.FromBytes(have) != want {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"errors":[{"code":"DIGEST_INVALID"}]}`)
			return
		}
		s.blobs[digest.FromBytes(have)] = have
		w.WriteHeader(http.StatusCreated)
	}
}

// told answers with where the session is and what it has.
func (s *sessions) told(w http.ResponseWriter, r *http.Request, path string, code int) {
	at := path
	if s.location != nil {
		at = s.location(r, path)
	}
	w.Header().Set("Location", at)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, len(s.open[path])-1)))
	if s.least != "" {
		w.Header().Set("OCI-Chunk-Min-Length", s.least)
	}
	w.WriteHeader(code)
}

// send uploads a blob of the text, which the caller may have put elsewhere.
func (s *sessions) send(t *testing.T, text string, opt Options) (Result, error) {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s.sendFrom(t, Image{Provider: store}, put(t, store, ocispec.MediaTypeImageLayer, []byte(text)), opt)
}

func (s *sessions) sendFrom(t *testing.T, img Image, desc ocispec.Descriptor, opt Options) (Result, error) {
	t.Helper()
	p := New(opt)
	to, err := parseRef("http://" + s.host + "/x:1")
	if err != nil {
		t.Fatal(err)
	}
	ep, err := p.endpoint(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	u := &upload{p: p, ep: ep, repo: ep.repository("x"), place: &place{to, []string{"1"}}, m: manifest{image: img}, res: &Result{}}
	err = u.blob(t.Context(), desc)
	return *u.res, err
}

// breaks hangs up in the n-th PATCH after so many bytes, of which the registry
// keeps the given part.
func breaks(times int, after int64, kept func(int64) int64) func(http.ResponseWriter, *http.Request, io.Reader, []byte) ([]byte, bool) {
	return func(_ http.ResponseWriter, r *http.Request, body io.Reader, have []byte) ([]byte, bool) {
		if r.Method != http.MethodPatch || times == 0 {
			return have, false
		}
		times--
		got, _ := io.ReadAll(io.LimitReader(body, after))
		have = append(have, got[:kept(int64(len(got)))]...)
		go func() { // the answer is a broken connection
			_, _ = io.Copy(io.Discard, r.Body)
		}()
		panic(&hungUp{have})
	}
}

type hungUp struct{ have []byte }

// TestResume: what a registry has is not sent again.
func TestResume(t *testing.T) {
	const size = 40 << 20
	text := noise(size, 77)
	all := func(n int64) int64 { return n }
	cases := []struct {
		name  string
		times int
		kept  func(int64) int64
		most  int64 // bytes received
	}{
		{"at 90 percent", 1, all, size + 5<<20},
		{"the registry kept half", 1, func(n int64) int64 { return n / 2 }, size + size/2 + 5<<20},
		{"a proxy keeps what it has not in whole", 2, func(int64) int64 { return 0 }, 2*size + 16<<20},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := startSessions(t)
			s.fault = abort(s, breaks(c.times, size*9/10, c.kept))
			res, err := s.send(t, text, quick())
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := s.blobs[digest.FromString(text)]; !ok || res.UploadedBytes != size {
				t.Errorf("not there; %+v", res)
			}
			if s.received > c.most {
				t.Errorf("%d bytes were sent, of %d; %q", s.received, size, s.patches)
			}
		})
	}
}

// abort turns a hang-up into one that keeps what the session has.
func abort(s *sessions, fault func(http.ResponseWriter, *http.Request, io.Reader, []byte) ([]byte, bool)) func(http.ResponseWriter, *http.Request, io.Reader, []byte) ([]byte, bool) {
	return func(w http.ResponseWriter, r *http.Request, body io.Reader, have []byte) (now []byte, answered bool) {
		defer func() {
			if up, ok := recover().(*hungUp); ok {
				s.open[r.URL.Path] = up.have
				panic(http.ErrAbortHandler)
			}
		}()
		return fault(w, r, body, have)
	}
}

// TestHeadway: a line that breaks every few bytes ends all the same.
func TestHeadway(t *testing.T) {
	s := startSessions(t)
	s.fault = abort(s, breaks(15, 2<<20, func(n int64) int64 { return n }))
	opt := quick()
	opt.Retries = 2
	if _, err := s.send(t, noise(40<<20, 5), opt); err != nil {
		t.Fatal(err)
	}
	s.fault = abort(s, breaks(15, 1<<10, func(n int64) int64 { return n }))
	if _, err := s.send(t, noise(40<<20, 6), opt); err == nil || !strings.Contains(err.Error(), "PATCH /v2/x/blobs/uploads/") {
		t.Errorf("got %v", err)
	}
}

// TestSessions: what registries differ in.
func TestSessions(t *testing.T) {
	text := noise(20<<20, 8)
	type fault = func(w http.ResponseWriter, r *http.Request, body io.Reader, have []byte) ([]byte, bool)
	once := func(method string, code int, header ...string) fault {
		done := false
		return func(w http.ResponseWriter, r *http.Request, body io.Reader, have []byte) ([]byte, bool) {
			if r.Method != method || done {
				return have, false
			}
			done = true
			_, _ = io.Copy(io.Discard, body)
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			return have, true
		}
	}
	always := func(method string, code int, when func(*http.Request) bool) fault {
		return func(w http.ResponseWriter, r *http.Request, body io.Reader, have []byte) ([]byte, bool) {
			if r.Method != method || !when(r) {
				return have, false
			}
			w.WriteHeader(code)
			return have, true
		}
	}
	cases := map[string]struct {
		fault    fault
		location func(*http.Request, string) string
		least    string
		atLeast  time.Duration
		want     string // part of the error
	}{
		"absolute address":           {location: func(r *http.Request, path string) string { return "http://" + r.Host + path }},
		"session lost at the end":    {fault: once("PUT", 404)},
		"session lost in the middle": {fault: once("PATCH", 404)},
		"offset not believed":        {fault: once("PATCH", 416)},
		"bytes spoilt on the way": {fault: func(_ http.ResponseWriter, r *http.Request, _ io.Reader, have []byte) ([]byte, bool) {
			if r.Method == "PUT" && !strings.Contains(r.URL.Path, "uploads/2") {
				have[5] ^= 1
			}
			return have, false
		}},
		"429":               {fault: once("PATCH", 429, "Retry-After", "1"), atLeast: time.Second},
		"503 on the commit": {fault: once("PUT", 503, "Retry-After", "1"), atLeast: time.Second},
		"no chunks":         {fault: always("PATCH", 405, func(*http.Request) bool { return true })},
		"limited requests":  {fault: always("PATCH", 413, func(r *http.Request) bool { return r.ContentLength > 10<<20 })},
		"a limit too small": {fault: always("PATCH", 413, func(*http.Request) bool { return true }), want: "client_max_body_size"},
		"chunks of a size": {least: "20000000", fault: func(w http.ResponseWriter, r *http.Request, body io.Reader, have []byte) ([]byte, bool) {
			if r.Method != "PATCH" || r.ContentLength >= 20000000 || len(have)+int(r.ContentLength) == len(text) {
				return have, false
			}
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return have, true
		}},
		"disk full":        {fault: always("PATCH", 507, func(*http.Request) bool { return true }), want: "disk is full"},
		"refused for good": {fault: always("PATCH", 403, func(*http.Request) bool { return true }), want: "403"},
		"without TLS":      {location: func(r *http.Request, path string) string { return "ftp://" + r.Host + path }, want: "unsupported protocol"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := startSessions(t)
			s.fault, s.location, s.least = c.fault, c.location, c.least
			start := time.Now()
			_, err := s.send(t, text, quick())
			if c.want != "" {
				var e *Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v", err)
				}
				if len(s.open) > 0 && s.location == nil {
					t.Errorf("%d uploads are left at the registry", len(s.open))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := s.blobs[digest.FromString(text)]; !ok || time.Since(start) < c.atLeast {
				t.Errorf("after %s: %q", time.Since(start), s.patches)
			}
		})
	}
}

// TestUploadElsewhere: a session at another address gets no credentials, and
// is not followed to where there is no TLS.
func TestUploadElsewhere(t *testing.T) {
	other := startSessions(t)
	s := startSessions(t)
	s.location = func(_ *http.Request, path string) string {
		other.mu.Lock()
		defer other.mu.Unlock()
		other.open[path] = nil
		return other.URL + path
	}
	s.fault = func(w http.ResponseWriter, r *http.Request, _ io.Reader, have []byte) ([]byte, bool) {
		return have, false
	}
	opt := quick()
	opt.DockerConfig = t.TempDir()
	write(t, opt.DockerConfig+"/config.json", fmt.Sprintf(`{"auths":{%q:{"auth":"YTpi"},%q:{"auth":"YTpi"}}}`, s.host, other.host))
	s.Config.Handler = demanding(s)
	if _, err := s.send(t, noise(12<<20, 3), opt); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(other.accounts, ""); len(other.accounts) == 0 || got != "" {
		t.Errorf("the other host was told %q", other.accounts)
	}
	if got := strings.Join(s.accounts, ""); !strings.Contains(got, "Basic YTpi") {
		t.Errorf("the registry was told %q", s.accounts)
	}

	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Location", "http://"+r.Host+"/v2/x/blobs/uploads/1")
		w.WriteHeader(http.StatusAccepted)
	}))
	defer secure.Close()
	host := strings.TrimPrefix(secure.URL, "https://")
	opt.Registries = map[string]Registry{host: {InsecureTLS: true}}
	_, err := New(opt).Push(t.Context(), testImage(t, "riscv64", "l"), []string{"https://" + host + "/x:1"})
	if err == nil || !strings.Contains(err.Error(), "X-Forwarded-Proto") {
		t.Errorf("got %v", err)
	}
}

// demanding wants a password.
func demanding(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// TestStallOfAnswers: a registry that does not answer, and one that stops in
// the middle of an answer, are given up.
func TestStallOfAnswers(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	release := make(chan struct{})
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked++
		mu.Unlock()
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}))
	defer hang.Close()
	defer close(release)
	opt := quick()
	opt.Stall, opt.Retries = 200*time.Millisecond, 2
	host := strings.TrimPrefix(hang.URL, "http://")
	start := time.Now()
	_, err := New(opt).Push(t.Context(), testImage(t, "riscv64", "l"), []string{"http://" + host + "/x:1"})
	if err == nil || !strings.Contains(err.Error(), "nothing moved for 200ms") || !strings.Contains(err.Error(), "HEAD /v2/x/manifests/1") || time.Since(start) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
	mu.Lock()
	defer mu.Unlock()
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
}
