package pusher

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPing: a registry is there if it answers with its interface, whether it
// wants an account or not.
func TestPing(t *testing.T) {
	status := http.StatusOK
	handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/v2/" {
			w.WriteHeader(status)
			return
		}
		http.NotFound(w, req)
	})
	plain := httptest.NewServer(handler)
	defer plain.Close()
	host := strings.TrimPrefix(plain.URL, "http://")
	p := New(Options{DockerConfig: t.TempDir()})
	for _, c := range []struct {
		status int
		target string
		want   string
		err    string
	}{
		{http.StatusOK, host + "/team", plain.URL, ""},
		{http.StatusUnauthorized, "http://" + host, plain.URL, ""},
		{http.StatusNotFound, "http://" + host, "", "that is no registry"},
		{http.StatusOK, "127.0.0.1:1", "", "nothing listens there"},
		{http.StatusOK, "a b", "", "is no host"},
	} {
		status = c.status
		got, err := p.Ping(t.Context(), c.target)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: got %q, %v", c.target, got, err)
		}
	}
	tls := httptest.NewTLSServer(handler)
	defer tls.Close()
	if _, err := p.Ping(t.Context(), strings.TrimPrefix(tls.URL, "https://")); err == nil || !strings.Contains(err.Error(), "CA") {
		t.Errorf("an unknown certificate: %v", err)
	}
}
