package registry

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/pusher"
)

// upstreamServer is a registry that counts the blobs it sends, can be down, and
// can lie.
type upstreamServer struct {
	http.Handler
	down  atomic.Bool
	blobs atomic.Int32
	hold  chan struct{} // nil: blobs are not held back
	lie   atomic.Bool
	cut   atomic.Int32 // bytes after which a download breaks, once
}

func (u *upstreamServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	isBlob := r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/")
	if u.down.Load() {
		w.WriteHeader(http.StatusForbidden) // no answer that is tried again
		return
	}
	if isBlob {
		u.blobs.Add(1)
		if u.hold != nil {
			<-u.hold
		}
		w = &meddler{ResponseWriter: w, lie: u.lie.Load(), cut: int(u.cut.Swap(0))}
	}
	u.Handler.ServeHTTP(w, r)
}

// meddler changes a byte, or breaks the connection.
type meddler struct {
	http.ResponseWriter
	lie bool
	cut int
}

func (m *meddler) Write(p []byte) (int, error) {
	if m.cut > 0 {
		_, _ = m.ResponseWriter.Write(p[:m.cut])
		panic(http.ErrAbortHandler)
	}
	if m.lie && len(p) > 0 {
		p = append([]byte{p[0] ^ 1}, p[1:]...)
	}
	return m.ResponseWriter.Write(p)
}

// cached is a cache, a client of it, and the registry it is of, with a client.
type cached struct {
	client
	cache *cache
	up    *upstreamServer
	at    client
}

func startCache(t *testing.T) *cached {
	t.Helper()
	s := openStore(t)
	up := &upstreamServer{Handler: newProtocol(s, s)}
	at := serve(t, up)
	push := pusher.New(pusher.Options{DockerConfig: t.TempDir(), Retries: 1})
	remote, err := push.Remote(at.base)
	if err != nil {
		t.Fatal(err)
	}
	c := newCache(openStore(t), remote, nil)
	f := &front{protocol: newProtocol(c.Store, c), store: c.Store, refusal: c.refusal()}
	return &cached{client: serve(t, f), cache: c, up: up, at: at}
}

func TestCache(t *testing.T) {
	c := startCache(t)
	layer := strings.Repeat("layer", 200_000)
	desc, raw := c.at.image("riscv64/x", "1", layer)
	blob := "/v2/riscv64/x/blobs/" + digest.FromString(layer).String()

	for range 2 {
		if a := c.want(c.do("GET", "/v2/riscv64/x/manifests/1", ""), 200, ""); a.body != raw || a.header.Get("Docker-Content-Digest") != desc.Digest.String() {
			t.Error(a)
		}
		if a := c.want(c.do("GET", blob, ""), 200, ""); a.body != layer {
			t.Errorf("%d bytes", len(a.body))
		}
		if a := c.want(c.do("GET", blob, "", "Range", "bytes=3-7"), 206, ""); a.body != layer[3:8] {
			t.Error(a)
		}
	}
	if n := c.up.blobs.Load(); n != 1 {
		t.Errorf("%d downloads", n)
	}
	c.want(c.do("GET", "/v2/riscv64/x/manifests/2", ""), 404, "MANIFEST_UNKNOWN")
	c.want(c.do("GET", "/v2/riscv64/y/blobs/"+digest.FromString(layer).String(), ""), 404, "BLOB_UNKNOWN")
	if a := c.do("GET", "/v2/riscv64/x/tags/list", ""); a.body != `{"name":"riscv64/x","tags":["1"]}` {
		t.Error(a)
	}
	a := c.want(c.do("PUT", "/v2/riscv64/x/manifests/1", raw, "Content-Type", desc.MediaType), 405, "UNSUPPORTED")
	if !strings.Contains(a.body, c.at.base) || !strings.Contains(a.body, "push to") {
		t.Error(a)
	}
	c.want(c.do("POST", "/v2/riscv64/x/blobs/uploads/", ""), 405, "UNSUPPORTED")
	c.want(c.do("DELETE", "/v2/riscv64/x/manifests/1", ""), 405, "UNSUPPORTED")

	newer, _ := c.at.image("riscv64/x", "1", "another layer")
	if a := c.do("HEAD", "/v2/riscv64/x/manifests/1", ""); a.header.Get("Docker-Content-Digest") != newer.Digest.String() {
		t.Error("a tag that moved is not seen")
	}
	c.up.down.Store(true)
	if a := c.want(c.do("GET", "/v2/riscv64/x/manifests/1", ""), 200, ""); a.header.Get("Docker-Content-Digest") != newer.Digest.String() {
		t.Error(a)
	}
	c.want(c.do("GET", "/v2/riscv64/x/manifests/"+desc.Digest.String(), ""), 200, "")
	c.want(c.do("GET", blob, ""), 200, "")
	c.want(c.do("GET", "/v2/riscv64/x/manifests/9", ""), 502, "UNKNOWN")
	if a := c.do("GET", "/v2/riscv64/x/tags/list", ""); a.body != `{"name":"riscv64/x","tags":["1"]}` {
		t.Error(a)
	}
}

// TestOneDownloadForAll: who asks meanwhile reads what comes.
func TestOneDownloadForAll(t *testing.T) {
	c := startCache(t)
	layer := strings.Repeat("layer", 300_000)
	for _, repo := range []string{"a", "b"} {
		c.at.image(repo, "1", layer)
	}
	c.up.hold = make(chan struct{})
	var group sync.WaitGroup
	got := make([]answer, 8)
	for i := range got {
		group.Go(func() {
			got[i] = c.do("GET", "/v2/"+[]string{"a", "b"}[i%2]+"/blobs/"+digest.FromString(layer).String(), "")
		})
	}
	c.up.hold <- struct{}{}
	close(c.up.hold)
	group.Wait()
	for _, a := range got {
		if a.body != layer {
			t.Errorf("%d, %d bytes", a.status, len(a.body))
		}
	}
	if n := c.up.blobs.Load(); n != 1 {
		t.Errorf("%d downloads", n)
	}
}

// TestNoWrongByteEndsWell: a reader of a damaged download sees it break off.
func TestNoWrongByteEndsWell(t *testing.T) {
	c := startCache(t)
	c.at.image("a", "1", "layer")
	c.up.lie.Store(true)
	path := "/v2/a/blobs/" + digest.FromString("layer").String()
	resp, err := http.Get(c.base + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := resp.Body.Read(make([]byte, 100)); err == nil && n == len("layer") {
		t.Error("wrong bytes were given as right ones")
	}
	c.up.lie.Store(false)
	if a := c.do("GET", path, ""); a.body != "layer" {
		t.Error(a)
	}
}

func TestABrokenDownloadIsContinued(t *testing.T) {
	c := startCache(t)
	layer := strings.Repeat("0123456789", 1000)
	c.at.image("a", "1", layer)
	c.up.cut.Store(4000)
	if a := c.do("GET", "/v2/a/blobs/"+digest.FromString(layer).String(), ""); a.body != layer {
		t.Errorf("%d, %d bytes", a.status, len(a.body))
	}
	names, err := readDir(c.cache.root + "/uploads")
	if err != nil || len(names) != 0 {
		t.Error(names, err)
	}
}
