package pusher

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestChoosesPlatform: of an index the riscv64 image is pulled, or none.
func TestChoosesPlatform(t *testing.T) {
	f := startFront(t, startRegistry(t, registryConfig{}))
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := New(quick())
	ref := "http://" + f.host + "/multi"
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	var want Image
	for _, arch := range []string{"amd64", "arm64", "riscv64"} {
		img := imageIn(t, store, arch, arch)
		if _, err := p.Push(t.Context(), img, []string{ref + ":" + arch}); err != nil {
			t.Fatal(err)
		}
		if arch == "riscv64" {
			raw := marshal(t, index)
			putManifest(t, "http://"+f.host+"/v2/multi/manifests/foreign", raw)
			want = img
		}
		d := img.Desc
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
		index.Manifests = append(index.Manifests, d)
	}
	putManifest(t, "http://"+f.host+"/v2/multi/manifests/all", marshal(t, index))
	pulled(t, p, ref+":all", want)
	_, err = p.Fetch(t.Context(), ref+":foreign", store)
	if err == nil || !strings.Contains(err.Error(), "only linux/amd64, linux/arm64") {
		t.Errorf("got %v", err)
	}
}

func putManifest(t *testing.T, url string, raw []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, url, strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", ocispec.MediaTypeImageIndex)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
}

// TestPullVerifies: a registry that gives other bytes is not believed, one
// that breaks off is asked again.
func TestPullVerifies(t *testing.T) {
	f := startFront(t, startRegistry(t, registryConfig{}))
	img := testImage(t, "riscv64", noise(100<<10, 7))
	p := New(quick())
	ref := "http://" + f.host + "/x:1"
	if _, err := p.Push(t.Context(), img, []string{ref}); err != nil {
		t.Fatal(err)
	}
	var broken atomic.Int32
	f.fault = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/blobs/") && broken.Add(1) == 1 {
			w.Header().Set("Content-Length", strconv.Itoa(100<<10))
			_, _ = w.Write(make([]byte, 1000))
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	}
	pulled(t, p, ref, img)
	f.fault = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			w.Header().Set("Content-Length", strconv.Itoa(100<<10))
			_, _ = w.Write(make([]byte, 100<<10))
			return
		}
		next.ServeHTTP(w, r)
	}
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := p.Fetch(t.Context(), ref, store); !errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
	if st, _ := store.ListStatuses(t.Context()); len(st) != 0 {
		t.Errorf("%d half pulls left", len(st))
	}
}

// breaking hangs up after so many bytes of an answer.
type breaking struct {
	http.ResponseWriter
	left int
	sum  *atomic.Int64
}

func (b *breaking) Write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p[:min(len(p), b.left)])
	b.sum.Add(int64(n))
	if b.left -= n; b.left == 0 {
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// TestPullGoesOn: what came before a connection broke is not pulled again, and
// a line that breaks often ends all the same.
func TestPullGoesOn(t *testing.T) {
	const size = 24 << 20
	f := startFront(t, startRegistry(t, registryConfig{}))
	img := testImage(t, "riscv64", noise(size, 8))
	opt := quick()
	opt.Retries = 2
	p := New(opt)
	ref := "http://" + f.host + "/x:1"
	if _, err := p.Push(t.Context(), img, []string{ref}); err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	f.fault = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			w = &breaking{w, 4 << 20, &sent}
		}
		next.ServeHTTP(w, r)
	}
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if desc, err := p.Fetch(t.Context(), ref, store); err != nil || desc.Digest != img.Desc.Digest {
		t.Fatalf("%s, %v", desc.Digest, err)
	}
	// Each attempt asks for the whole before it asks for the rest.
	if sum := sent.Load(); sum > 3*size {
		t.Errorf("%d bytes were sent of %d", sum, size)
	}
}
