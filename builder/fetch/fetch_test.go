package fetch

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

var update = flag.Bool("update", false, "write the golden files")

// data is the file every test server serves: more than one resume step.
var data = func() []byte {
	b := make([]byte, 300<<10)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}()

var dataDigest = digest.FromBytes(data)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func quick() Options {
	return Options{Stall: 150 * time.Millisecond, Backoff: time.Millisecond, Rounds: 3}
}

func blobAt(urls ...string) Blob {
	return Blob{Name: "file.deb", Digest: dataDigest, Size: int64(len(data)), URLs: urls}
}

func whole(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// cut announces everything and breaks the connection after n bytes.
func cut(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:n])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func body(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b)
	}
}

func stalls(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data[:1000])
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// steps answers the nth request with the nth handler, the last one for ever.
func steps(handlers ...http.HandlerFunc) http.HandlerFunc {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		i := min(int(n.Add(1)), len(handlers)) - 1
		handlers[i](w, r)
	}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL + "/file.deb"
}

func flipped() []byte {
	b := bytes.Clone(data)
	b[100] ^= 1
	return b
}

// serverCase is a set of mirrors, in the order they are asked.
type serverCase struct {
	name    string
	servers []http.HandlerFunc
}

func badServers() []serverCase {
	return []serverCase{
		{"not found", []http.HandlerFunc{status(404)}},
		{"not found then gone", []http.HandlerFunc{status(404), status(410)}},
		{"not found then forbidden", []http.HandlerFunc{status(404), status(403)}},
		{"not found then good", []http.HandlerFunc{status(404), whole}},
		{"short file", []http.HandlerFunc{body(data[:5000])}},
		{"always truncated", []http.HandlerFunc{cut(1000)}},
		{"truncated then resumed", []http.HandlerFunc{steps(cut(1000), whole)}},
		{"truncated then other mirror", []http.HandlerFunc{steps(cut(1000), status(404)), whole}},
		{"lies", []http.HandlerFunc{body(flipped())}},
		{"lies then good", []http.HandlerFunc{body(flipped()), whole}},
		{"lies longer", []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(data)
			w.(http.Flusher).Flush()
			_, _ = w.Write(data)
		}}},
		{"announces longer", []http.HandlerFunc{body(append(bytes.Clone(data), 0))}},
		{"closes without an answer", []http.HandlerFunc{func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}},
		{"stalls", []http.HandlerFunc{stalls}},
		{"stalls then good", []http.HandlerFunc{stalls, whole}},
		{"500", []http.HandlerFunc{status(500)}},
		{"500 then good", []http.HandlerFunc{steps(status(500), status(503), whole)}},
		{"range ignored", []http.HandlerFunc{steps(cut(100<<10), body(data))}},
		{"redirect", []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/there" {
				http.Redirect(w, r, "/there", http.StatusFound)
				return
			}
			whole(w, r)
		}}},
		{"redirect loop", []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again", http.StatusFound)
		}}},
		{"slow", []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(data); i += 40 << 10 {
				_, _ = w.Write(data[i:min(i+40<<10, len(data))])
				w.(http.Flusher).Flush()
				time.Sleep(40 * time.Millisecond)
			}
		}}},
		{"no address", nil},
	}
}

// TestServers holds each kind of bad server against what the user reads.
// Addresses are replaced by [1], [2] in the golden file.
func TestServers(t *testing.T) {
	var got strings.Builder
	for _, c := range badServers() {
		t.Run(c.name, func(t *testing.T) {
			var urls []string
			for _, h := range c.servers {
				urls = append(urls, serve(t, h))
			}
			s := open(t, t.TempDir())
			stats, err := s.Fetch(t.Context(), []Blob{blobAt(urls...)}, quick())
			text := fmt.Sprintf("ok, %d blobs\n", stats.Blobs)
			if err != nil {
				text = fmt.Sprintf("%T\n%s\n", err, err)
			}
			for i, u := range urls {
				text = strings.ReplaceAll(text, u, fmt.Sprintf("[%d]", i+1))
				text = strings.ReplaceAll(text, strings.TrimSuffix(u, "/file.deb"), fmt.Sprintf("[%d]", i+1))
			}
			fmt.Fprintf(&got, "== %s\n%s", c.name, text)
			if has := s.Has(t.Context(), dataDigest); has != (err == nil) {
				t.Errorf("error %v, but stored: %v", err, has)
			}
			verify(t, s)
		})
	}
	golden(t, "servers.golden", got.String())
}

// verify holds every stored blob against its name.
func verify(t *testing.T, s *Store) {
	t.Helper()
	paths, _ := filepath.Glob(filepath.Join(s.Dir(), "blobs", "sha256", "*"))
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if digest.FromBytes(b).Encoded() != filepath.Base(p) {
			t.Errorf("%s holds other bytes than its name says", p)
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant (%s; -update writes it):\n%s", got, path, want)
	}
}

// TestResume: what a killed run left is not downloaded again.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	half := len(data) / 2
	cutAt := serve(t, cut(half))
	_, err := open(t, dir).Fetch(t.Context(), []Blob{blobAt(cutAt)}, Options{Rounds: 1, Backoff: 1})
	if err == nil {
		t.Fatal("a broken connection gave no error")
	}
	var ranges []string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		whole(w, r)
	})
	s := open(t, dir)
	stats, err := s.Fetch(t.Context(), []Blob{blobAt(url)}, quick())
	if err != nil {
		t.Fatal(err)
	}
	if len(ranges) != 1 || !strings.HasPrefix(ranges[0], "bytes=") || ranges[0] == "bytes=0-" || stats.Downloaded >= int64(len(data)) {
		t.Errorf("downloaded %d bytes with ranges %q", stats.Downloaded, ranges)
	}
	verify(t, s)
}

// TestSpoiltResume: bytes spoilt by a crash do not convict an honest server.
func TestSpoiltResume(t *testing.T) {
	for name, n := range map[string]int{"part": 5000, "all": len(data), "more": len(data) + 7} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			d := newDownloader(s, quick())
			tr, err := d.open(t.Context(), blobAt())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tr.w.Write(make([]byte, n)); err != nil {
				t.Fatal(err)
			}
			_ = tr.w.Close()
			s = open(t, dir)
			if _, err := s.Fetch(t.Context(), []Blob{blobAt(serve(t, whole))}, quick()); err != nil {
				t.Fatal(err)
			}
			verify(t, s)
		})
	}
}

func TestIfRange(t *testing.T) {
	var second http.Header
	url := serve(t, steps(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		cut(100<<10)(w, r)
	}, func(w http.ResponseWriter, r *http.Request) {
		second = r.Header.Clone()
		w.Header().Set("ETag", `"v1"`)
		whole(w, r)
	}))
	s := open(t, t.TempDir())
	stats, err := s.Fetch(t.Context(), []Blob{blobAt(url)}, quick())
	if err != nil {
		t.Fatal(err)
	}
	if second.Get("If-Range") != `"v1"` || second.Get("Range") == "" || stats.Downloaded != int64(len(data)) {
		t.Errorf("second request: %v, %d bytes", second, stats.Downloaded)
	}
}

func TestRetryAfter(t *testing.T) {
	url := serve(t, steps(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	}, whole))
	start := time.Now()
	if _, err := open(t, t.TempDir()).Fetch(t.Context(), []Blob{blobAt(url)}, quick()); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < time.Second {
		t.Errorf("waited %s, the server asked for 1s", d)
	}
}

func TestOfflineAndCached(t *testing.T) {
	s := open(t, t.TempDir())
	var off *OfflineError
	_, err := s.Fetch(t.Context(), []Blob{blobAt("http://mirror.example/x")}, Options{Offline: true})
	if !errors.As(err, &off) || !strings.Contains(err.Error(), `"file.deb"`) || !strings.Contains(err.Error(), "run `riscv-build fetch`") {
		t.Fatalf("got %v", err)
	}
	if _, _, err := s.Put(t.Context(), bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	stats, err := s.Fetch(t.Context(), []Blob{blobAt(), blobAt()}, Options{Offline: true})
	if err != nil || stats != (Stats{Cached: 1}) {
		t.Errorf("got %+v, %v", stats, err)
	}
}

func TestMoreAddresses(t *testing.T) {
	s := open(t, t.TempDir())
	b := blobAt(serve(t, status(404)))
	good := serve(t, whole)
	b.More = func(context.Context) ([]string, error) { return []string{good}, nil }
	if _, err := s.Fetch(t.Context(), []Blob{b}, quick()); err != nil {
		t.Fatal(err)
	}
	b.Digest = digest.FromString("other")
	b.More = func(context.Context) ([]string, error) { return nil, errors.New("snapshot service: no answer") }
	_, err := s.Fetch(t.Context(), []Blob{b}, quick())
	var ne *NetworkError
	if !errors.As(err, &ne) || !strings.Contains(err.Error(), "snapshot service: no answer") {
		t.Errorf("got %v", err)
	}
}

// TestGoneNamesAll: one gone blob does not stop the others.
func TestGoneNamesAll(t *testing.T) {
	s := open(t, t.TempDir())
	missing := serve(t, status(404))
	a, b := blobAt(missing), blobAt(missing)
	a.Name, a.Digest = "a.deb", digest.FromString("a")
	b.Name, b.Digest = "b.deb", digest.FromString("b")
	stats, err := s.Fetch(t.Context(), []Blob{b, a, blobAt(serve(t, whole))}, quick())
	var ge *GoneError
	if !errors.As(err, &ge) || len(ge.Blobs) != 2 || ge.Blobs[0].Name != "a.deb" || stats.Blobs != 1 {
		t.Errorf("got %v, %+v", err, stats)
	}
}

func TestManyInParallel(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	defer srv.Close()
	s := open(t, t.TempDir())
	var blobs []Blob
	for i := range 50 {
		p := fmt.Sprintf("/%d", i)
		blobs = append(blobs, Blob{Name: p, Digest: digest.FromString(p), URLs: []string{srv.URL + p}})
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := s.Fetch(t.Context(), blobs, quick()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	verify(t, s)
	left, _ := os.ReadDir(filepath.Join(s.Dir(), "ingest"))
	if len(left) != 0 {
		t.Errorf("%d ingests left", len(left))
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		stalls(w, r)
	})
	_, err := open(t, t.TempDir()).Fetch(ctx, []Blob{blobAt(url)}, quick())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestProxyFromEnvironment(t *testing.T) {
	if newDownloader(open(t, t.TempDir()), Options{}).opt.Client.Transport.(*http.Transport).Proxy == nil {
		t.Error("the default client ignores the proxy environment")
	}
}
