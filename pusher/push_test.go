package pusher

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/log"
)

func TestMain(m *testing.M) {
	if err := log.SetLevel("error"); err != nil { // the store's remarks about the file system
		panic(err)
	}
	os.Exit(m.Run())
}

func TestPushAndAgain(t *testing.T) {
	f := startFront(t, startRegistry(t, registryConfig{}))
	img := testImage(t, "riscv64", noise(300<<10, 1), noise(100<<10, 2), "small")
	refs := []string{"http://" + f.host + "/team/nginx:1.26", "http://" + f.host + "/team/nginx:latest"}
	res, err := New(quick()).Push(t.Context(), img, refs)
	if err != nil {
		t.Fatal(err)
	}
	if res.UploadedBlobs != 4 || res.UploadedBytes < 400<<10 || res.Digest != img.Desc.Digest {
		t.Errorf("first push: %+v", res)
	}
	if got := strings.Join(res.Tags, " "); got != f.host+"/team/nginx:1.26 "+f.host+"/team/nginx:latest" {
		t.Errorf("tags %q", got)
	}
	order := strings.Join(f.seen(), "\n")
	if last := strings.LastIndex(order, "/blobs/"); last > strings.Index(order, "PUT /v2/team/nginx/manifests/") {
		t.Errorf("the manifest is not last:\n%s", order)
	}

	p := New(quick())
	if res, err = p.Push(t.Context(), img, refs); err != nil || res.UploadedBlobs != 0 || res.UploadedBytes != 0 {
		t.Errorf("second push: %+v, %v", res, err)
	}
	if got := f.seen(); len(got) != 2 || !strings.HasPrefix(got[0], "HEAD ") {
		t.Errorf("the second push asked %q", got)
	}
	// A further tag sends nothing but the tag.
	res, err = p.Push(t.Context(), img, append(refs, "http://"+f.host+"/team/nginx:new"))
	if err != nil || res.UploadedBlobs != 0 {
		t.Errorf("push of a further tag: %+v, %v", res, err)
	}
	if got := f.seen(); len(got) != 5 || got[3] != "PUT /v2/team/nginx/manifests/new" {
		t.Errorf("a further tag asked %q", got)
	}
	pulled(t, p, refs[0], img)
	pulled(t, p, "http://"+f.host+"/team/nginx@"+img.Desc.Digest.String(), img)
}

// TestMount: blobs a sibling repository got are mounted; a changed layer is
// all that is sent.
func TestMount(t *testing.T) {
	f := startFront(t, startRegistry(t, registryConfig{}))
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	base := noise(200<<10, 3)
	a, b := imageIn(t, store, "riscv64", base, "a"), imageIn(t, store, "riscv64", base, "b")
	p := New(quick())
	if _, err := p.Push(t.Context(), a, []string{"http://" + f.host + "/a:1"}); err != nil {
		t.Fatal(err)
	}
	res, err := p.Push(t.Context(), b, []string{"http://" + f.host + "/b:1"})
	if err != nil || res.UploadedBlobs != 2 || res.UploadedBytes > 10<<10 {
		t.Errorf("sibling: %+v, %v", res, err)
	}
	pulled(t, p, "http://"+f.host+"/b:1", b)

	// Registries without mounts answer 202 and wait for the bytes.
	f.fault = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.URL.RawQuery = strings.NewReplacer("mount=", "x=", "from=", "y=").Replace(r.URL.RawQuery)
		next.ServeHTTP(w, r)
	}
	res, err = p.Push(t.Context(), b, []string{"http://" + f.host + "/c:1"})
	if err != nil || res.UploadedBlobs != 3 {
		t.Errorf("no mounts: %+v, %v", res, err)
	}
	// Others refuse them.
	f.fault = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Query().Has("mount") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}
	res, err = p.Push(t.Context(), b, []string{"http://" + f.host + "/d:1"})
	if err != nil || res.UploadedBlobs != 3 {
		t.Errorf("mounts refused: %+v, %v", res, err)
	}
}

// TestParallelSiblings: of images pushed at once the shared layer goes once.
func TestParallelSiblings(t *testing.T) {
	host := startRegistry(t, registryConfig{})
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	base := noise(200<<10, 4)
	p := New(quick())
	var total atomic.Int64
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		img := imageIn(t, store, "riscv64", base, name)
		wg.Go(func() {
			res, err := p.Push(t.Context(), img, []string{"http://" + host + "/" + name + ":1"})
			if err != nil {
				t.Error(err)
			}
			total.Add(res.UploadedBytes)
		})
	}
	wg.Wait()
	if total.Load() > 250<<10 {
		t.Errorf("sent %d bytes", total.Load())
	}
}

// first spoils the first n requests that match.
func first(n int32, match string, do func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request, http.Handler) {
	var count atomic.Int32
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasPrefix(r.Method+" "+r.URL.Path, match) && count.Add(1) <= n {
			do(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}
}

func answer(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func hangUp(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, 50<<10)
	panic(http.ErrAbortHandler)
}

// TestFaults: what a registry or network does wrong for a while is survived.
func TestFaults(t *testing.T) {
	registry := startRegistry(t, registryConfig{})
	cases := []struct {
		name  string
		fault func(http.ResponseWriter, *http.Request, http.Handler)
		atLst time.Duration
	}{
		{"500 on looking", first(2, "HEAD", answer(500)), 0},
		{"503 on beginning an upload", first(2, "POST", answer(503)), 0},
		{"502 on an upload", first(2, "PUT /v2/%s/blobs", answer(502)), 0},
		{"hang-up in an upload", first(2, "PUT /v2/%s/blobs", hangUp), 0},
		{"hang-up on the manifest", first(1, "PUT /v2/%s/manifests", hangUp), 0},
		{"upload session lost", first(1, "PUT /v2/%s/blobs", answer(404)), 0},
		{"429 with a time", first(1, "PUT /v2/%s/blobs", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}), time.Second},
		{"stall in an upload", first(1, "PATCH /v2/%s/blobs", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyN(io.Discard, r.Body, 50<<10)
			time.Sleep(time.Second) // an unread body hides the client's end from the server
			panic(http.ErrAbortHandler)
		}), 300 * time.Millisecond},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := startFront(t, registry)
			name := fmt.Sprintf("fault%d", i)
			f.fault = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				r.URL.Path = strings.Replace(r.URL.Path, "/"+name+"/", "/%s/", 1)
				c.fault(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.URL.Path = strings.Replace(r.URL.Path, "/%s/", "/"+name+"/", 1)
					next.ServeHTTP(w, r)
				}))
			}
			opt := quick()
			opt.Stall = 300 * time.Millisecond
			size := 200 << 10
			if strings.HasPrefix(c.name, "stall") {
				size = 12 << 20 // more than the buffers of the kernel swallow
			}
			img := testImage(t, "riscv64", noise(size, uint64(i)+10))
			start := time.Now()
			res, err := New(opt).Push(t.Context(), img, []string{"http://" + f.host + "/" + name + ":1"})
			if err != nil {
				t.Fatal(err)
			}
			if res.UploadedBlobs != 2 || time.Since(start) < c.atLst {
				t.Errorf("%+v after %s", res, time.Since(start))
			}
			f.fault = nil
			if _, err := New(opt).Fetch(t.Context(), "http://"+f.host+"/"+name+":1", img.Provider.(content.Store)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestHtpasswdAndTLS(t *testing.T) {
	cert := newCertificate(t)
	host := startRegistry(t, registryConfig{htpasswd: "ann:secret", tls: cert})
	img := testImage(t, "riscv64", "layer")
	opt := quick()
	opt.Registries = map[string]Registry{host: {CAFile: cert.certFile}}
	opt.DockerConfig = t.TempDir()
	write(t, filepath.Join(opt.DockerConfig, "config.json"), fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`,
		host, base64.StdEncoding.EncodeToString([]byte("ann:secret"))))
	p := New(opt)
	res, err := p.Push(t.Context(), img, []string{host + "/x:1"})
	if err != nil || res.UploadedBlobs != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	pulled(t, p, host+"/x:1", img)

	// What docker was told holds here too.
	opt.Registries, opt.CertDirs = nil, []string{t.TempDir(), t.TempDir()}
	dir := filepath.Join(opt.CertDirs[1], host)
	raw, err := os.ReadFile(cert.certFile)
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "ca.crt"), string(raw))
	if _, err := New(opt).Push(t.Context(), img, []string{host + "/y:1"}); err != nil {
		t.Error(err)
	}
	write(t, filepath.Join(dir, "client.cert"), "nonsense")
	if _, err := New(opt).Push(t.Context(), img, []string{host + "/y:1"}); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "client.cert")) {
		t.Errorf("a bad client certificate: %v", err)
	}
	opt.CertDirs = nil

	opt.Registries = map[string]Registry{host: {InsecureTLS: true}}
	if _, err := New(opt).Push(t.Context(), img, []string{"https://" + host + "/x:1"}); err != nil {
		t.Error(err)
	}
}

// TestHelper runs a credential helper of the docker configuration.
func TestHelper(t *testing.T) {
	host := startRegistry(t, registryConfig{htpasswd: "ann:secret"})
	dir := t.TempDir()
	helper := filepath.Join(dir, "docker-credential-house")
	write(t, helper, "#!/bin/sh\necho '{\"ServerURL\":\"x\",\"Username\":\"ann\",\"Secret\":\"secret\"}'\n")
	if err := os.Chmod(helper, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	opt := quick()
	opt.DockerConfig = filepath.Join(dir, "config.json")
	write(t, opt.DockerConfig, `{"credHelpers":{"`+host+`":"house"}}`)
	if _, err := New(opt).Push(t.Context(), testImage(t, "riscv64", "l"), []string{"http://" + host + "/x:1"}); err != nil {
		t.Error(err)
	}
}

// TestToken: a registry that wants bearer tokens, with a token service.
func TestToken(t *testing.T) {
	f := startFront(t, startRegistry(t, registryConfig{}))
	var tokens atomic.Int32
	f.fault = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path == "/token" {
			user, password, _ := r.BasicAuth()
			if user != "ann" || password != "secret" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			tokens.Add(1)
			fmt.Fprintf(w, `{"token":"for %s"}`, strings.Join(r.URL.Query()["scope"], " "))
			return
		}
		if r.Header.Get("Authorization") != "Bearer for repository:x:pull,push" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="s"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	}
	opt := quick()
	opt.DockerConfig = filepath.Join(t.TempDir(), "config.json")
	write(t, opt.DockerConfig, `{"auths":{"`+f.host+`":{"username":"ann","password":"secret"}}}`)
	if _, err := New(opt).Push(t.Context(), testImage(t, "riscv64", "l"), []string{"http://" + f.host + "/x:1"}); err != nil {
		t.Fatal(err)
	}
	if tokens.Load() != 1 {
		t.Errorf("%d tokens for one push", tokens.Load())
	}
}

func TestProbe(t *testing.T) {
	open := startRegistry(t, registryConfig{})
	closed := startRegistry(t, registryConfig{htpasswd: "ann:secret"})
	img := testImage(t, "riscv64", "l")
	var notices []string
	opt := quick()
	opt.Notice = func(s string) { notices = append(notices, s) }
	opt.DockerConfig = filepath.Join(t.TempDir(), "config.json")
	write(t, opt.DockerConfig, `{"auths":{"`+closed+`":{"username":"ann","password":"secret"}}}`)
	p := New(opt)
	for range 2 {
		if _, err := p.Push(t.Context(), img, []string{open + "/x:1"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(notices) != 1 || !strings.Contains(notices[0], `"`+open+`"`) || !strings.Contains(notices[0], "plain HTTP") {
		t.Errorf("notices: %q", notices)
	}
	_, err := p.Push(t.Context(), img, []string{closed + "/x:1"})
	var plain *plainError
	if !errors.As(err, &plain) || !strings.Contains(err.Error(), "write http://"+closed) {
		t.Errorf("credentials over a probed connection: %v", err)
	}
	if _, err := p.Push(t.Context(), img, []string{"http://" + closed + "/x:1"}); err != nil {
		t.Errorf("credentials over plain HTTP that was asked for: %v", err)
	}
	opt.Registries = map[string]Registry{closed: {PlainHTTP: true}}
	if _, err := New(opt).Push(t.Context(), img, []string{closed + "/x:1"}); err != nil {
		t.Errorf("plain HTTP by configuration: %v", err)
	}
}

func TestLocalHost(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:6000": true, "192.168.1.5": true, "10.1.2.3:1": true, "172.31.0.1": true, "169.254.1.1": true,
		"[::1]:6000": true, "[fd00::1]": true, "[fe80::1]:5": true, "[::ffff:10.0.0.1]:5": true,
		"8.8.8.8:6000": false, "172.32.0.1": false, "[2001:db8::1]:6000": false, "100.64.0.1": false, "0.0.0.0:1": false,
	} {
		if got := localHost(t.Context(), host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
	conn, err := localDialer().DialContext(t.Context(), "tcp", "192.0.2.1:80")
	if err == nil || !strings.Contains(err.Error(), "not local") {
		t.Errorf("dialled %v, %v", conn, err)
	}
}

func TestCancel(t *testing.T) {
	f := startFront(t, startRegistry(t, registryConfig{}))
	ctx, cancel := context.WithCancel(t.Context())
	f.fault = func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		cancel()
		<-r.Context().Done()
	}
	_, err := New(quick()).Push(ctx, testImage(t, "riscv64", "l"), []string{"http://" + f.host + "/x:1"})
	var e *Error
	if !errors.Is(err, context.Canceled) || errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
}
