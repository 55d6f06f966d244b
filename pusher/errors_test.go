package pusher

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestErrors holds each way a registry can refuse against what the user reads:
// the registry, the repository, the cause and what to do.
func TestErrors(t *testing.T) {
	registry := startRegistry(t, registryConfig{})
	login := startRegistry(t, registryConfig{htpasswd: "ann:secret"})
	cert := newCertificate(t)
	secure := startRegistry(t, registryConfig{tls: cert})
	nobody := freePort(t)
	dir := t.TempDir()
	configs := map[string]string{
		"none": `{}`, "wrong": `{"auths":{"` + login + `":{"username":"ann","password":"guess"}}}`,
		"helper": `{"credsStore":"nonexistent"}`, "broken": `{"auths":`,
	}
	for name, text := range configs {
		write(t, filepath.Join(dir, name+".json"), text)
	}
	status := func(code int, body string) string {
		f := startFront(t, registry)
		f.fault = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodPost {
				w.WriteHeader(code)
				_, _ = fmt.Fprint(w, body)
				return
			}
			next.ServeHTTP(w, r)
		}
		return "http://" + f.host
	}
	cases := []struct {
		name, host, config string
		want               []string
	}{
		{"no login", "http://" + login, "none", []string{"401 Unauthorized", "docker login " + login}},
		{"wrong password", "http://" + login, "wrong", []string{"401 Unauthorized", "docker login " + login}},
		{"missing helper", "http://" + login, "helper", []string{`"docker-credential-nonexistent"`, "install the credential helper", "helper.json"}},
		{"broken configuration", "http://" + login, "broken", []string{"broken.json", "correct"}},
		{"forbidden", status(403, `{"errors":[{"code":"DENIED","message":"read only account"}]}`), "none", []string{"403 Forbidden", "read only account", "rights"}},
		{"no such repository", status(404, ""), "none", []string{"404 Not Found", "create the repository"}},
		{"read-only", status(405, ""), "none", []string{"405", "cache"}},
		{"proxy limit", status(413, ""), "none", []string{"413", "client_max_body_size"}},
		{"disk full", status(507, ""), "none", []string{"507", "disk is full"}},
		{"disk full by driver", status(500, `{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{"DriverName":"filesystem","Enclosed":{"Op":"mkdir","Err":28}}}]}`), "none", []string{"500", "disk is full"}},
		{"always 503", status(503, ""), "none", []string{"503", "log"}},
		{"always 429", status(429, ""), "none", []string{"429", "wait"}},
		{"unknown certificate", secure, "none", []string{"certificate", "CA"}},
		{"plain to TLS", "http://" + secure, "none", []string{"400", "https://" + secure}},
		{"TLS to plain", "https://" + registry, "none", []string{"HTTP response to HTTPS client", "write http://" + registry}},
		{"nobody there", nobody, "none", []string{"connection refused", "nothing listens"}},
		{"unknown name", "registry.invalid:6000", "none", []string{"registry.invalid", "name"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			refused(t, c.host, filepath.Join(dir, c.config+".json"), c.want)
		})
	}
}

// refused pushes and wants an error that holds the texts.
func refused(t *testing.T, address, config string, want []string) {
	t.Helper()
	opt := quick()
	opt.DockerConfig = config
	start := time.Now()
	_, err := New(opt).Push(t.Context(), testImage(t, "riscv64", t.Name()), []string{address + "/team/x:1"})
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %T %v", err, err)
	}
	_, host := cutScheme(address)
	for _, text := range append(want, `"team/x"`, `registry "`+host+`"`) {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("no %q in: %v", text, err)
		}
	}
	if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "failed to") {
		t.Errorf("wording: %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %s", d)
	}
}

func TestSettingsErrors(t *testing.T) {
	text := filepath.Join(t.TempDir(), "x.pem")
	write(t, text, "no certificate")
	for name, r := range map[string]Registry{
		"missing CA": {CAFile: "/nonexistent/ca.pem"}, "CA without certificate": {CAFile: text},
		"half a client certificate": {CertFile: text},
	} {
		opt := quick()
		opt.Registries = map[string]Registry{"r.example": r}
		_, err := New(opt).Push(t.Context(), testImage(t, "riscv64", "l"), []string{"r.example/x:1"})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), `"r.example"`) || !strings.Contains(err.Error(), "settings") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDamagedImage: what cannot be read is not the registry's fault.
func TestDamagedImage(t *testing.T) {
	host := startRegistry(t, registryConfig{})
	img := testImage(t, "riscv64", "layer")
	dir := filepath.Join(t.TempDir(), "layout")
	if err := WriteLayout(t.Context(), img, nil, dir); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := readManifest(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, blobName(m.blobs[0].Digest)), "longer than it was")
	_, err = New(quick()).Push(t.Context(), l.Image, []string{"http://" + host + "/x:1"})
	write(t, filepath.Join(dir, blobName(m.blobs[0].Digest)), "lay3r") // same size, other bytes
	_, err2 := New(quick()).Push(t.Context(), l.Image, []string{"http://" + host + "/x:1"})
	var e *Error
	if err == nil || errors.As(err, &e) || !strings.Contains(err.Error(), "the image is damaged") ||
		err2 == nil || !strings.Contains(err2.Error(), "the image is damaged") {
		t.Errorf("got %v and %v", err, err2)
	}
}

func TestParseTarget(t *testing.T) {
	cases := []struct{ in, host, prefix string }{
		{"192.168.1.5:6000/team", "192.168.1.5:6000", "team"},
		{"192.168.1.5:6000", "192.168.1.5:6000", ""},
		{"http://h:6000/a/b/", "http://h:6000", "a/b"},
		{"https://reg.example", "https://reg.example", ""},
		{"[fd00::1]:6000/x", "[fd00::1]:6000", "x"},
		{"localhost", "localhost", ""},
	}
	for _, c := range cases {
		if host, prefix, err := ParseTarget(c.in); err != nil || host != c.host || prefix != c.prefix {
			t.Errorf("%q: %q, %q, %v", c.in, host, prefix, err)
		}
	}
	for _, in := range []string{"", "http://", "ftp://x/y", "h:6000/UPPER", "h:6000/a//b", "a b", "/x"} {
		if host, prefix, err := ParseTarget(in); err == nil {
			t.Errorf("%q: %q, %q", in, host, prefix)
		}
	}
}

func TestReferences(t *testing.T) {
	for in, want := range map[string]string{
		"http://h:1/a/b:v1": "h:1/a/b:v1", "localhost/x": "localhost/x:latest", "https://r.example/x:1.2": "r.example/x:1.2",
	} {
		if r, err := parseRef(in); err != nil || r.String() != want {
			t.Errorf("%q: %q, %v", in, r, err)
		}
	}
	for _, in := range []string{"nginx:1", "", "h:1/", "h:1/UP:1", "h:1/x:!", "h:1/x@sha256:12"} {
		if r, err := parseRef(in); err == nil || !strings.Contains(err.Error(), "HOST") {
			t.Errorf("%q: %q, %v", in, r, err)
		}
	}
	if _, err := New(quick()).Push(t.Context(), testImage(t, "riscv64"), []string{"h:1/x@sha256:" + strings.Repeat("a", 64)}); err == nil {
		t.Error("pushed to a digest")
	}
}
