package pusher

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/bcrypt"
)

// registryConfig says which variant of the real registry is started.
type registryConfig struct {
	htpasswd string // USER:PASSWORD
	tls      *certificate
}

// startRegistry runs the docker-registry program on a free port of 127.0.0.1
// and gives HOST:PORT.
func startRegistry(t *testing.T, cfg registryConfig) string {
	t.Helper()
	bin, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Fatal("the registry these tests push to is missing: apt-get install docker-registry")
	}
	dir := t.TempDir()
	host := freePort(t)
	var b strings.Builder
	fmt.Fprintf(&b, "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n")
	fmt.Fprintf(&b, "storage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}\n", filepath.Join(dir, "data"))
	fmt.Fprintf(&b, "http:\n  addr: %s\n  relativeurls: true\n", host)
	client := http.DefaultClient
	scheme := "http"
	if cfg.tls != nil {
		fmt.Fprintf(&b, "  tls: {certificate: %q, key: %q}\n", cfg.tls.certFile, cfg.tls.keyFile)
		client, scheme = cfg.tls.client, "https"
	}
	if user, password, ok := strings.Cut(cfg.htpasswd, ":"); ok {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "htpasswd")
		write(t, path, user+":"+string(hash)+"\n")
		fmt.Fprintf(&b, "auth: {htpasswd: {realm: test, path: %q}}\n", path)
	}
	config := filepath.Join(dir, "config.yml")
	write(t, config, b.String())
	log := &bytes.Buffer{}
	cmd := exec.Command(bin, "serve", config)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get(scheme + "://" + host + "/v2/")
		if err == nil {
			_ = resp.Body.Close()
			return host
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("the registry does not answer: %v\n%s", err, log)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificate is a self-signed certificate for 127.0.0.1.
type certificate struct {
	certFile, keyFile string
	client            *http.Client // trusts it
}

func newCertificate(t *testing.T) *certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := &certificate{certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	write(t, c.certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, c.keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey})))
	cfg, err := Registry{CAFile: c.certFile}.tls(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.client = &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}
	return c
}

// front is an HTTP server before the real registry that counts requests and
// spoils those that fault wants.
type front struct {
	*httptest.Server
	host string

	mu       sync.Mutex
	requests []string // "METHOD PATH"
	fault    func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

func startFront(t *testing.T, registry string) *front {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: registry})
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	f := &front{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.requests = append(f.requests, r.Method+" "+r.URL.Path)
		fault := f.fault
		f.mu.Unlock()
		if fault != nil {
			fault(w, r, proxy)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	f.host = strings.TrimPrefix(f.URL, "http://")
	return f
}

// seen gives the requests so far and forgets them.
func (f *front) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.requests
	f.requests = nil
	return out
}

// testImage makes an image of the given layers in a store of its own.
func testImage(t *testing.T, arch string, layers ...string) Image {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return imageIn(t, store, arch, layers...)
}

func imageIn(t *testing.T, store content.Store, arch string, layers ...string) Image {
	t.Helper()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}}
	config.RootFS.Type = "layers"
	for _, l := range layers {
		m.Layers = append(m.Layers, put(t, store, ocispec.MediaTypeImageLayerGzip, []byte(l)))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromString(l))
	}
	m.Config = put(t, store, ocispec.MediaTypeImageConfig, marshal(t, config))
	return Image{store, put(t, store, m.MediaType, marshal(t, m))}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func put(t *testing.T, store content.Store, mediaType string, raw []byte) ocispec.Descriptor {
	t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := content.WriteBlob(t.Context(), store, d.Digest.String(), bytes.NewReader(raw), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// noise is incompressible text of n bytes.
func noise(n int, seed uint64) string {
	r := mrand.New(mrand.NewPCG(seed, seed))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// quick has no long waits.
func quick() Options {
	return Options{Backoff: time.Millisecond, Retries: 3, Stall: 2 * time.Second, DockerConfig: filepath.Join("testdata", "nonexistent")}
}

// pulled fetches ref into a fresh store and fails where it is not img.
func pulled(t *testing.T, p *Pusher, ref string, img Image) {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	desc, err := p.Fetch(t.Context(), ref, store)
	if err != nil {
		t.Fatal(err)
	}
	if desc.Digest != img.Desc.Digest {
		t.Fatalf("pulled %s, pushed %s", desc.Digest, img.Desc.Digest)
	}
	m, err := readManifest(t.Context(), Image{store, desc})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range m.blobs {
		if raw, err := readBlob(t.Context(), store, b); err != nil || int64(len(raw)) != b.Size {
			t.Errorf("blob %s: %v", b.Digest, err)
		}
	}
}
