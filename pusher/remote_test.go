package pusher

import (
	"net"
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestRemoteIsFoundOutAgain: a registry that was away when it was first asked
// is spoken to as it turns out to speak.
func TestRemoteIsFoundOutAgain(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{DockerConfig: t.TempDir()}).Remote(addr + "/pre/fix")
	if err != nil || r.String() != addr+"/pre/fix" {
		t.Fatal(r, err)
	}
	if _, err := r.Resolve(t.Context(), "a", "1"); !Unreachable(err) {
		t.Fatalf("got %v", err)
	}
	if ln, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	const manifest = `{"schemaVersion":2}`
	d := digest.FromString(manifest)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/v2/":
		case "/v2/pre/fix/a/manifests/1", "/v2/pre/fix/a/manifests/" + d.String():
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			_, _ = w.Write([]byte(manifest))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	desc, err := r.Resolve(t.Context(), "a", d.String())
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := r.Manifest(t.Context(), "a", desc); err != nil || string(raw) != manifest {
		t.Errorf("%q, %v", raw, err)
	}
	desc.Digest = digest.FromString("else")
	if _, err := r.Manifest(t.Context(), "a", desc); !IsNotFound(err) {
		t.Errorf("got %v", err)
	}
	if _, err := New(Options{}).Remote("a b"); err == nil {
		t.Error("nonsense is a registry")
	}
}
