package registry

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/crypto/bcrypt"
)

// htpasswd writes a file of accounts, each with the password secret.
func htpasswd(t *testing.T, users ...string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	text := "# accounts\n\n"
	for _, user := range users {
		text += user + ":" + string(hash) + "\n"
	}
	return writeText(t, text)
}

func writeText(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start serves until the test ends.
func start(t *testing.T, opt ServeOptions) *Server {
	t.Helper()
	if opt.Root == "" {
		opt.Root = t.TempDir()
	}
	opt.Address = "127.0.0.1:0"
	s, err := Listen(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestAccounts(t *testing.T) {
	file := htpasswd(t, "anna")
	s := start(t, ServeOptions{Htpasswd: file})
	c := client{t, "http://" + s.Address().String()}
	upload := "/v2/a/blobs/uploads/"
	for _, account := range []string{"", basic("anna", "wrong"), basic("bert", "secret"), basic("", ""), "Bearer x"} {
		for _, r := range [][2]string{{"GET", "/v2/"}, {"POST", upload}, {"GET", "/v2/_catalog"}} {
			a := c.want(c.do(r[0], r[1], "", "Authorization", account), 401, "UNAUTHORIZED")
			if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), `Basic realm="`) {
				t.Error(a.header)
			}
		}
	}
	for range 2 { // the second from memory
		c.want(c.do("POST", upload, "", "Authorization", basic("anna", "secret")), 202, "")
	}
	if a := c.do("GET", "/healthz", ""); a.status != 200 || a.body != "ok\n" {
		t.Error(a)
	}
	if len(s.accounts.checked) != 1 {
		t.Errorf("%d passwords are known", len(s.accounts.checked))
	}

	raw, err := os.ReadFile(htpasswd(t, "bert"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err == nil {
		t.Error("nonsense was read")
	}
	c.want(c.do("POST", upload, "", "Authorization", basic("anna", "secret")), 202, "")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	c.want(c.do("POST", upload, "", "Authorization", basic("anna", "secret")), 401, "UNAUTHORIZED")
	c.want(c.do("POST", upload, "", "Authorization", basic("bert", "secret")), 202, "")
}

func TestBadAccountsAreNamedByLine(t *testing.T) {
	good, err := os.ReadFile(htpasswd(t, "anna"))
	if err != nil {
		t.Fatal(err)
	}
	path := writeText(t, string(good)+"nonsense\nbert:{SHA}x\n:x\n"+string(good))
	_, err = Listen(ServeOptions{Root: t.TempDir(), Address: "127.0.0.1:0", Htpasswd: path})
	var coded interface{ ExitCode() int }
	if !errors.As(err, &coded) || coded.ExitCode() != 2 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{path + ":4: it is not", path + ":5: the hash is not bcrypt", path + ":6: it is not", path + ":9: user \"anna\" is there twice"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if _, err := openAccounts(path + "x"); !is[*AccessError](err) {
		t.Errorf("got %v", err)
	}
}

func TestAnonymousPull(t *testing.T) {
	s := start(t, ServeOptions{Htpasswd: htpasswd(t, "anna"), AnonymousPull: true})
	c := client{t, "http://" + s.Address().String()}
	c.want(c.do("GET", "/v2/", ""), 401, "UNAUTHORIZED") // or nobody learns of accounts
	for _, account := range []string{"", basic("", "")} {
		c.want(c.do("GET", "/v2/a/manifests/1", "", "Authorization", account), 404, "NAME_UNKNOWN")
		c.want(c.do("POST", "/v2/a/blobs/uploads/", "", "Authorization", account), 401, "UNAUTHORIZED")
		c.want(c.do("DELETE", "/v2/a/manifests/1", "", "Authorization", account), 401, "UNAUTHORIZED")
	}
	c.want(c.do("GET", "/v2/a/manifests/1", "", "Authorization", basic("anna", "wrong")), 401, "UNAUTHORIZED")
	c.want(c.do("POST", "/v2/a/blobs/uploads/", "", "Authorization", basic("anna", "secret")), 202, "")
}

func TestReadOnly(t *testing.T) {
	root := t.TempDir()
	store, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	desc, raw := serve(t, newProtocol(store, store)).image("a", "1", "layer")
	s := start(t, ServeOptions{Root: root, ReadOnly: true})
	c := client{t, "http://" + s.Address().String()}
	c.want(c.do("GET", "/v2/a/manifests/1", ""), 200, "")
	c.want(c.do("PUT", "/v2/a/manifests/2", raw, "Content-Type", desc.MediaType), 405, "UNSUPPORTED")
	c.want(c.do("POST", "/v2/a/blobs/uploads/", ""), 405, "UNSUPPORTED")
	c.want(c.do("DELETE", "/v2/a/manifests/1", ""), 405, "UNSUPPORTED")
}

// lockedBuffer is written to by requests.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestLogAndMetrics(t *testing.T) {
	var log lockedBuffer
	s := openStore(t)
	f := &front{protocol: newProtocol(s, s), store: s, metrics: newMetrics(), log: slog.New(slog.NewTextHandler(&log, nil))}
	c := serve(t, f)
	d := c.blob("a", "0123456789").Digest
	c.do("GET", "/v2/a/blobs/"+d.String(), "")
	c.do("GET", "/v2/nope/manifests/1", "")
	c.do("BREW", "/v2/", "")
	a := c.do("GET", "/metrics", "")
	for _, want := range []string{
		`requests_total{method="GET",status="404"} 1`, `requests_total{method="POST",status="201"} 1`, `requests_total{method="other"`,
		`bytes_total{direction="in"} 10`, "go_goroutines", "request_seconds_bucket",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("%q is not in\n%s", want, a.body)
		}
	}
	for _, want := range []string{"status=201 in=10 out=0", "status=200 in=0 out=10", "path=/v2/nope/manifests/1 status=404", "repository name not known"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in\n%s", want, log.String())
		}
	}
	c.want(c.do("GET", "/elsewhere", ""), 404, "")
}

// kernel is a response whose connection can send files.
type kernel struct {
	*httptest.ResponseRecorder
	sent []int64 // bytes of files, by piece
}

func (k *kernel) ReadFrom(r io.Reader) (int64, error) {
	part, ok := r.(*io.LimitedReader)
	if !ok {
		return 0, fmt.Errorf("got a %T", r)
	}
	if _, ok := part.R.(*os.File); !ok {
		return 0, fmt.Errorf("got a part of a %T", part.R)
	}
	n, err := io.Copy(k.ResponseRecorder, part)
	k.sent = append(k.sent, n)
	return n, err
}

// TestTheKernelCopies: sendfile(2) is possible only where the connection is
// given the file itself, or a part of it.
func TestTheKernelCopies(t *testing.T) {
	s := openStore(t)
	content := strings.Repeat("x", 2*piece+5)
	d := serve(t, newProtocol(s, s)).blob("a", content).Digest
	f := &front{protocol: newProtocol(s, s), store: s}
	for asked, want := range map[string][]int64{"": {piece, piece, 5}, "bytes=5-14": {10}} {
		k := &kernel{ResponseRecorder: httptest.NewRecorder()}
		req := httptest.NewRequest(http.MethodGet, "/v2/a/blobs/"+d.String(), nil)
		req.Header.Set("Range", asked)
		f.ServeHTTP(k, req)
		if !slices.Equal(k.sent, want) {
			t.Errorf("%q: pieces of %v bytes, want %v", asked, k.sent, want)
		}
	}
}

func TestSelfSigned(t *testing.T) {
	root := t.TempDir()
	names := []string{"registry.local", "127.0.0.1", "fd00::1"}
	get := func(s *Server) *x509.Certificate {
		t.Helper()
		pem, err := os.ReadFile(s.CAFile())
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("https://" + s.Address().String() + "/v2/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.TLS.PeerCertificates[0]
	}
	var first, second, third *x509.Certificate
	t.Run("made", func(t *testing.T) { first = get(start(t, ServeOptions{Root: root, SelfSigned: names})) })
	t.Run("kept", func(t *testing.T) {
		second = get(start(t, ServeOptions{Root: root, SelfSigned: []string{"127.0.0.1", "fd00:0::1", "registry.local"}}))
	})
	t.Run("for another name", func(t *testing.T) {
		third = get(start(t, ServeOptions{Root: root, SelfSigned: append(names, "other")}))
	})
	if !first.Equal(second) || first.Equal(third) || third.VerifyHostname("other") != nil || first.VerifyHostname("other") == nil {
		t.Error("a certificate is not the one to use")
	}
	for _, key := range []string{"ca.key", "server.key"} {
		if info, err := os.Stat(filepath.Join(root, "tls", key)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", key, info.Mode(), err)
		}
	}

	a := &authority{dir: filepath.Join(root, "tls"), names: append(names, "other")}
	now := time.Now()
	for in, want := range map[time.Duration]bool{0: true, certificateLife - 31*24*time.Hour: true, certificateLife - 29*24*time.Hour: false} {
		if got := a.fits(third, mustCA(t, a).Leaf, now.Add(in)); got != want {
			t.Errorf("in %s: fits is %v", in, got)
		}
	}
	if _, err := a.certificate(now); err != nil {
		t.Error(err)
	}
	if _, err := a.certificate(now.Add(authorityLife + time.Hour)); err == nil || !strings.Contains(err.Error(), "the CA ended") {
		t.Errorf("got %v", err)
	}
	a.dir = t.TempDir()
	if _, err := a.certificate(time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), "set it first") {
		t.Errorf("got %v", err)
	}
}

func mustCA(t *testing.T, a *authority) *tls.Certificate {
	t.Helper()
	ca, err := a.ca(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestWhatCannotBeServed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, opt := range map[string]ServeOptions{
		"another port":   {Address: taken.Addr().String()},
		"PEM files that": {Address: "127.0.0.1:0", CertFile: writeText(t, "x"), KeyFile: writeText(t, "y")},
		"does not have":  {Address: "192.0.2.1:0"},
		"writable for":   {Address: "127.0.0.1:0", Root: writeText(t, "a file")},
	} {
		if opt.Root == "" {
			opt.Root = t.TempDir()
		}
		var coded interface{ ExitCode() int }
		if _, err := Listen(opt); !errors.As(err, &coded) || coded.ExitCode() != 3 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
		if want == "another port" { // and the directory is free again
			start(t, ServeOptions{Root: opt.Root})
		}
	}
}

// TestABrokenRequestLeavesItsBytes: what came before the connection broke is
// not to be sent again.
func TestABrokenRequestLeavesItsBytes(t *testing.T) {
	s := start(t, ServeOptions{})
	c := client{t, "http://" + s.Address().String()}
	at := c.do("POST", "/v2/a/blobs/uploads/", "").header.Get("Location")
	conn, err := net.Dial("tcp", s.Address().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n%s", at, strings.Repeat("x", 500_000))
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
	if a := c.do("GET", at, ""); a.header.Get("Range") != "0-499999" {
		t.Fatal(a)
	}
	c.want(c.do("PATCH", at, strings.Repeat("x", 500_000), "Content-Range", "500000-999999"), 202, "")
	c.want(c.do("PUT", at+"?digest="+digest.FromString(strings.Repeat("x", 1_000_000)).String(), ""), 201, "")
}

// TestStalledClientsAreCutOff: one that stops in the middle of an upload, and
// one that takes nothing of what it asked for.
func TestStalledClientsAreCutOff(t *testing.T) {
	s := start(t, ServeOptions{Stall: 300 * time.Millisecond})
	c := client{t, "http://" + s.Address().String()}
	large := strings.Repeat("x", 32<<20) // more than the kernel's buffers hold
	d := c.blob("a", large).Digest.String()
	at := c.do("POST", "/v2/a/blobs/uploads/", "").header.Get("Location")
	closed := start(t, ServeOptions{Stall: 300 * time.Millisecond, Htpasswd: htpasswd(t, "anna")})
	for name, r := range map[string]struct {
		to   *Server
		text string
	}{
		"upload":          {s, fmt.Sprintf("PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nhalf", at)},
		"download":        {s, fmt.Sprintf("GET /v2/a/blobs/%s HTTP/1.1\r\nHost: x\r\n\r\n", d)},
		"without account": {closed, "PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf"},
	} {
		conn, err := net.Dial("tcp", r.to.Address().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, r.text)
		time.Sleep(1500 * time.Millisecond)
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		n, err := io.Copy(io.Discard, conn)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() || n >= int64(len(large)) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		_ = conn.Close()
	}
	if a := c.do("GET", at, ""); a.header.Get("Range") != "0-3" {
		t.Errorf("what came is gone: %v", a)
	}
}
