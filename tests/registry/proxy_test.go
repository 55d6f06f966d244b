package registry

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fault is what a proxy does to a request.
type fault string

const (
	none     fault = ""
	reset    fault = "reset"     // the connection, in the middle of the body, or before or after the registry had the request
	internal fault = "500"       // without asking the registry
	gateway  fault = "502"       // the same
	limited  fault = "429"       // the same, with Retry-After
	stalled  fault = "stall"     // nothing moves any more, at the same places as reset
	truncate fault = "truncated" // the answer is cut off
	lie      fault = "lie"       // a digest or a byte is another one
)

var faults = []fault{reset, internal, gateway, limited, stalled, truncate, lie}

// proxy stands before a registry and spoils requests.
type proxy struct {
	addr     string
	upstream string
	stall    time.Duration // how long a stalled connection is held
	client   *http.Transport
	over     chan struct{} // closed at the end

	mu       sync.Mutex
	random   *rand.Rand
	choose   func(*http.Request) (fault, int64) // with the byte of the body at which it happens; mu is held
	count    map[fault]int
	uploaded int64 // bytes of blobs that clients sent
}

func startProxy(t *testing.T, upstream string, choose func(*http.Request) (fault, int64)) *proxy {
	t.Helper()
	p := &proxy{upstream: upstream, choose: choose, count: map[fault]int{}, stall: 20 * time.Second, over: make(chan struct{}),
		random: rand.New(rand.NewPCG(1, 2)), client: &http.Transport{MaxIdleConnsPerHost: 16}}
	server := httptest.NewServer(p)
	t.Cleanup(func() {
		close(p.over)
		server.CloseClientConnections()
		server.Close()
		p.client.CloseIdleConnections()
	})
	p.addr = strings.TrimPrefix(server.URL, "http://")
	return p
}

// anyFault spoils one request in so many, each kind as often.
func (p *proxy) anyFault(oneIn int) func(*http.Request) (fault, int64) {
	return func(r *http.Request) (fault, int64) {
		if p.random.IntN(oneIn) != 0 {
			return none, 0
		}
		return faults[p.random.IntN(len(faults))], p.random.Int64N(max(r.ContentLength, 1))
	}
}

// ServeHTTP passes a request on, or does not.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	what, at := p.choose(r)
	late := p.random.IntN(2) == 0
	p.count[what]++
	p.mu.Unlock()
	r.Body = io.NopCloser(&counted{r.Body, p})
	switch what {
	case internal, gateway, limited:
		code := map[fault]int{internal: 500, gateway: 502, limited: 429}[what]
		if what == limited {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(code)
	case reset, stalled:
		if r.ContentLength > 0 || late { // the registry gets what came until then
			resp, err := p.forward(r, &broken{r: r.Body, left: at})
			if err == nil {
				resp.Body.Close()
			}
		}
		if what == stalled {
			select {
			case <-time.After(p.stall):
			case <-p.over:
			}
		}
		hangUp(w)
	case truncate:
		p.cutOff(w, r)
	default:
		p.pass(w, r, what == lie)
	}
}

// forward asks the registry.
func (p *proxy) forward(r *http.Request, body io.Reader) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", p.upstream, ""
	out.Body = io.NopCloser(body)
	if r.ContentLength == 0 {
		out.Body = nil
	}
	return p.client.RoundTrip(out)
}

func (p *proxy) pass(w http.ResponseWriter, r *http.Request, lies bool) {
	body := io.Reader(r.Body)
	if lies && r.ContentLength > 0 {
		body = &flipped{r: r.Body}
	}
	resp, err := p.forward(r, body)
	if err != nil {
		hangUp(w)
		return
	}
	defer resp.Body.Close()
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	answer := io.Reader(resp.Body)
	if lies {
		answer = &flipped{r: resp.Body}
		if w.Header().Get("Docker-Content-Digest") != "" {
			w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
		}
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, answer)
}

// cutOff passes half of an answer: of its body, or of its header.
func (p *proxy) cutOff(w http.ResponseWriter, r *http.Request) {
	resp, err := p.forward(r, r.Body)
	if err != nil {
		hangUp(w)
		return
	}
	defer resp.Body.Close()
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	text := fmt.Sprintf("HTTP/1.1 %s\r\n", resp.Status)
	for k, v := range resp.Header {
		text += k + ": " + v[0] + "\r\n"
	}
	if raw, _ := io.ReadAll(resp.Body); len(raw) > 1 {
		_, _ = io.WriteString(conn, text+"\r\n"+string(raw[:len(raw)/2]))
		return
	}
	_, _ = io.WriteString(conn, text[:len(text)-len(text)/3])
}

// hangUp ends the client's connection without another word.
func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// counted counts the bytes of blobs. Manifests are not so large.
type counted struct {
	r io.Reader
	p *proxy
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.p.mu.Lock()
	c.p.uploaded += int64(n)
	c.p.mu.Unlock()
	return n, err
}

var errBroken = errors.New("broken")

// broken ends with an error after so many bytes.
type broken struct {
	r    io.Reader
	left int64
}

func (b *broken) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errBroken
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// flipped changes the first byte.
type flipped struct {
	r    io.Reader
	done bool
}

func (f *flipped) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if n > 0 && !f.done {
		f.done = true
		p[0] ^= 1
	}
	return n, err
}
