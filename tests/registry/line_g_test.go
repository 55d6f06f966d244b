package registry

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/bcrypt"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// abuse is a request that has to be refused.
type abuse struct {
	name         string
	method, path string
	contentType  string
	body         string
	account      string // "": none
	status       int
	code         string // of the distribution specification 1.1, "Error Codes"
}

// send writes the request as it is: a client's library would clean the path.
func (a abuse) send(addr string) (status int, code string, err error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n", a.method, a.path, addr, len(a.body))
	if a.contentType != "" {
		head += "Content-Type: " + a.contentType + "\r\n"
	}
	if a.account != "" {
		head += "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(a.account)) + "\r\n"
	}
	go func() { _, _ = io.WriteString(conn, head+"\r\n"+a.body) }()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	var said struct{ Errors []struct{ Code string } }
	if raw, err := io.ReadAll(resp.Body); err == nil && json.Unmarshal(raw, &said) == nil && len(said.Errors) > 0 {
		code = said.Errors[0].Code
	}
	return resp.StatusCode, code, nil
}

// TestLineRegistryG: what is hostile or wrong is refused with the
// specification's codes, and nothing of it is left on disk.
func TestLineRegistryG(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, []byte("anna:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, "--quiet", "--htpasswd", file)
	const own = "anna:secret"
	oci, sum := ocispec.MediaTypeImageManifest, digest.FromString("x").String()
	large := `{"schemaVersion":2,"annotations":{"a":"` + strings.Repeat("x", 5<<20) + `"}}`
	list := []abuse{
		{"a path above the root", "GET", "/v2/../../../../etc/passwd", "", "", own, 404, "NAME_UNKNOWN"},
		{"a path above, as a repository", "GET", "/v2/../x/manifests/1", "", "", own, 400, "NAME_INVALID"},
		{"the same, escaped", "GET", "/v2/%2e%2e/%2e%2e/x/manifests/1", "", "", own, 400, "NAME_INVALID"},
		{"the same with escaped slashes", "GET", "/v2/a%2f..%2f..%2fx/manifests/1", "", "", own, 400, "NAME_INVALID"},
		{"a write above the root", "PUT", "/v2/../a/manifests/1", oci, "{}", own, 400, "NAME_INVALID"},
		{"an upload above the root", "POST", "/v2/a/../../b/blobs/uploads/", "", "", own, 400, "NAME_INVALID"},
		{"an upload session that is a path", "PATCH", "/v2/a/blobs/uploads/..%2f..%2fx", "", "x", own, 404, "BLOB_UPLOAD_UNKNOWN"},
		{"a digest that is a path", "GET", "/v2/a/blobs/sha256:..%2f..%2f..%2fetc%2fpasswd", "", "", own, 404, "BLOB_UNKNOWN"},
		{"an upload with a path as digest", "POST", "/v2/a/blobs/uploads/?digest=sha256:../../x", "", "x", own, 400, "DIGEST_INVALID"},
		{"a digest of no kind", "GET", "/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", "", "", own, 400, "DIGEST_INVALID"},
		{"bytes of another digest", "POST", "/v2/a/blobs/uploads/?digest=" + sum, "", "y", own, 400, "DIGEST_INVALID"},
		{"a tag that is a path", "PUT", "/v2/a/manifests/..%2fx", oci, "{}", own, 404, "MANIFEST_UNKNOWN"},
		{"a manifest of 5 MB", "PUT", "/v2/a/manifests/1", oci, large, own, 413, "MANIFEST_INVALID"},
		{"a manifest that is none", "PUT", "/v2/a/manifests/1", oci, "no JSON", own, 400, "MANIFEST_INVALID"},
		{"a manifest of another type", "PUT", "/v2/a/manifests/1", "text/html", `{"schemaVersion":2}`, own, 400, "MANIFEST_INVALID"},
		{"a manifest without a type", "PUT", "/v2/a/manifests/1", "", `{"schemaVersion":2}`, own, 400, "MANIFEST_INVALID"},
		{"a manifest of missing blobs", "PUT", "/v2/a/manifests/1", oci, manifestOfNothing(sum), own, 404, "MANIFEST_BLOB_UNKNOWN"},
		{"a read without account", "GET", "/v2/a/manifests/1", "", "", "", 401, "UNAUTHORIZED"},
		{"an upload without account", "POST", "/v2/a/blobs/uploads/", "", "", "", 401, "UNAUTHORIZED"},
		{"a manifest without account", "PUT", "/v2/a/manifests/1", oci, "{}", "", 401, "UNAUTHORIZED"},
		{"a deletion without account", "DELETE", "/v2/a/manifests/1", "", "", "", 401, "UNAUTHORIZED"},
		{"a wrong password", "POST", "/v2/a/blobs/uploads/", "", "", "anna:x", 401, "UNAUTHORIZED"},
		{"an unknown user", "POST", "/v2/a/blobs/uploads/", "", "", "bert:secret", 401, "UNAUTHORIZED"},
	}
	refused := 0
	for _, a := range list {
		status, code, err := a.send(s.addr)
		if err != nil || status != a.status || code != a.code {
			t.Errorf("%s: %s %s: got %d %q, %v; want %d %q", a.name, a.method, a.path, status, code, err, a.status, a.code)
			continue
		}
		refused++
	}
	for _, dir := range []string{filepath.Dir(s.root), s.root} {
		for _, name := range []string{"x", "a", "b"} {
			if exists(filepath.Join(dir, name)) {
				t.Errorf("a request made %s", filepath.Join(dir, name))
			}
		}
	}
	rig.Figure{Line: "RegistryG", OK: refused == len(list), Got: fmt.Sprintf("%d requests refused with the code of the specification", refused), Limit: fmt.Sprint(len(list))}.Report(t)
	readOnly := serve(t, "--quiet", "--read-only")
	if status, code, err := (abuse{method: "POST", path: "/v2/a/blobs/uploads/"}).send(readOnly.addr); status != 405 || code != "UNSUPPORTED" {
		t.Errorf("a push to what is read only: %d %q, %v", status, code, err)
	}
	badAccounts(t)
}

func manifestOfNothing(sum string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":1},"layers":[]}`,
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, sum)
}

// badAccounts: a registry does not come up, open to everybody, because its
// accounts cannot be read.
func badAccounts(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"nonsense": {"anna:$2y$05$abcdefghijklmnopqrstuuWm0p1hPlSSWHPIxAhFpgTRdCXz5Qz3W\nnonsense\n", "nonsense:2: "},
		"sha":      {"anna:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", "sha:1: "},
		"absent":   {"", "absent"},
		"empty":    {"\n", "empty"},
	} {
		path := filepath.Join(dir, name)
		if name != "absent" {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		r := rig.Run(ctx, nil, "registry", "serve", "--addr", fmt.Sprintf("127.0.0.1:%d", rig.FreePort(t)), "--root", t.TempDir(), "--htpasswd", path)
		cancel()
		if r.Code == 0 || !strings.Contains(r.Stderr, c.want) {
			t.Errorf("%s: exit code %d\n%s", name, r.Code, r.Stderr)
		}
	}
}

// TestLineRegistryGCredentials listens where a registry is expected to speak
// TLS: whoever answers there in plain HTTP and asks for the password does not
// get it.
func TestLineRegistryGCredentials(t *testing.T) {
	e := &eavesdropper{}
	for _, challenge := range []string{`Basic realm="x"`, `Bearer realm="http://HOST/token",service="x"`} {
		server := httptest.NewServer(e)
		host := strings.TrimPrefix(server.URL, "http://")
		e.challenge = strings.ReplaceAll(challenge, "HOST", host)
		e.lures(t, host)
		server.Close()
	}
	rig.Figure{Line: "RegistryGCredentials", OK: !t.Failed() && e.asked >= 8,
		Got: fmt.Sprintf("%d requests heard in plain HTTP, none with credentials", e.asked), Limit: "none"}.Report(t)
}

// eavesdropper notes all that it is told, and asks for a password.
type eavesdropper struct {
	challenge string

	mu    sync.Mutex
	heard strings.Builder
	asked int
}

func (e *eavesdropper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	fmt.Fprintf(&e.heard, "%s %s %v\n", r.Method, r.URL, r.Header)
	_, _ = io.Copy(&e.heard, io.LimitReader(r.Body, 1<<20))
	w.Header().Set("WWW-Authenticate", e.challenge)
	w.WriteHeader(http.StatusUnauthorized)
}

// lures has every verb that speaks with a registry speak with it.
func (e *eavesdropper) lures(t *testing.T, host string) {
	t.Helper()
	const secret = "the password"
	account := base64.StdEncoding.EncodeToString([]byte("anna:" + secret))
	env := settings(t, "")
	config := filepath.Join(strings.TrimPrefix(env[1], "DOCKER_CONFIG="), "config.json")
	if err := os.WriteFile(config, fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, account), 0o600); err != nil {
		t.Fatal(err)
	}
	dir, _ := newImage(t, 9, 1<<10)
	for _, args := range [][]string{{"push", dir, host + "/x:1"}, {"copy", host + "/x:1", "oci:" + t.TempDir()}, {"registry", "ls", host}, {"registry", "rm", host + "/x:1"}} {
		r := rig.Run(t.Context(), env, args...)
		if r.Code == 0 || !strings.Contains(r.Stderr, "http://"+host) {
			t.Errorf("%q: exit code %d, and the way out is not said\n%s", args, r.Code, r.Stderr)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range []string{secret, account, "Authorization"} {
		if strings.Contains(e.heard.String(), s) {
			t.Errorf("who listened heard %q:\n%s", s, e.heard.String())
		}
	}
}
