package tests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// mirror is an archive of the tests' own: pool files and indexes are those of
// the real mirror, the Release files are signed by a key of its own, so that
// they can be stale, expired or unsigned. Faults break single files.
type mirror struct {
	t       *testing.T
	server  *httptest.Server
	keyring string // file
	entity  *openpgp.Entity

	mu       sync.Mutex
	faults   map[string]fault // by the end of a path
	requests map[string]int
	release  func(suite string, fields map[string]string) // changes the fields of a Release
	unsigned bool
}

// fault answers a request in its own way; it returns false to go on as usual.
type fault func(w http.ResponseWriter, r *http.Request, body []byte)

// Faults of a mirror.
func gone(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(http.StatusNotFound) }

func truncated(w http.ResponseWriter, _ *http.Request, body []byte) {
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.Write(body[:len(body)/2])
	panic(http.ErrAbortHandler)
}

func lying(w http.ResponseWriter, _ *http.Request, body []byte) {
	w.Write(append(bytes.Repeat([]byte("x"), len(body)/2), body[len(body)/2:]...))
}

func stalling(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.Write(body[:len(body)/2])
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// upstream is the archive that the machine uses.
func upstream(t *testing.T) debian.Mirrors {
	t.Helper()
	m, err := debian.Discover(debian.DiscoverOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newMirror starts a mirror on this machine.
func newMirror(t *testing.T) *mirror {
	t.Helper()
	entity, err := openpgp.NewEntity("archive of the tests", "", "archive@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &mirror{t: t, entity: entity, faults: map[string]fault{}, requests: map[string]int{}}
	m.keyring = filepath.Join(t.TempDir(), "keyring.asc")
	var key bytes.Buffer
	w, err := armor.Encode(&key, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := entity.Serialize(w); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := os.WriteFile(m.keyring, key.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	m.server = httptest.NewServer(m)
	t.Cleanup(m.server.Close)
	return m
}

// env points the program at this mirror alone.
func (m *mirror) env() []string {
	return []string{"RISCV_BUILD_MIRROR=" + m.server.URL + "/debian", "RISCV_BUILD_SECURITY_MIRROR=" + m.server.URL + "/debian-security", "RISCV_BUILD_SNAPSHOT=none"}
}

func (m *mirror) break_(suffix string, f fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults[suffix] = f
}

func (m *mirror) mend() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.faults)
	m.release, m.unsigned = nil, false
}

// ServeHTTP serves /debian and /debian-security.
func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.requests[r.URL.Path]++
	var f fault
	for suffix, g := range m.faults {
		if strings.HasSuffix(r.URL.Path, suffix) {
			f = g
		}
	}
	m.mu.Unlock()
	body, err := m.body(r.URL.Path)
	switch {
	case err != nil:
		w.WriteHeader(http.StatusNotFound)
	case f != nil:
		f(w, r, body)
	default:
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}
}

func (m *mirror) body(path string) ([]byte, error) {
	archive, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if suite, ok := strings.CutSuffix(strings.TrimPrefix(rest, "dists/"), "/InRelease"); ok {
		return m.inRelease(archive, suite)
	}
	if strings.HasPrefix(rest, "dists/") {
		rest = aliased(rest)
	}
	return upstreamFile(m.t, archive, rest)
}

// aliased: the real mirror is consistent under the names of its aliases even
// while it is being synchronised.
func aliased(path string) string { return strings.Replace(path, "dists/trixie", "dists/stable", 1) }

var indexes = []string{"main/binary-all/Packages.xz", "main/binary-amd64/Packages.xz", "main/binary-arm64/Packages.xz", "main/binary-riscv64/Packages.xz", "main/source/Sources.xz"}

// inRelease signs a Release over the real indexes.
func (m *mirror) inRelease(archive, suite string) ([]byte, error) {
	fields := map[string]string{
		"Origin": "Debian", "Label": "Debian", "Codename": suite, "Suite": strings.Replace(suite, "trixie", "stable", 1),
		"Date": stamp(time.Now().Add(-time.Hour)), "Valid-Until": stamp(time.Now().Add(7 * 24 * time.Hour)),
		"Architectures": "all amd64 arm64 riscv64", "Components": "main",
	}
	if m.release != nil {
		m.release(suite, fields)
	}
	var b strings.Builder
	for _, name := range []string{"Origin", "Label", "Suite", "Codename", "Date", "Valid-Until", "Architectures", "Components"} {
		if fields[name] != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, fields[name])
		}
	}
	b.WriteString("SHA256:\n")
	for _, ix := range indexes {
		data, err := upstreamFile(m.t, archive, aliased("dists/"+suite+"/"+ix))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, " %x %d %s\n", sha256.Sum256(data), len(data), ix)
	}
	if m.unsigned {
		return []byte(b.String()), nil
	}
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, m.entity.PrivateKey, nil)
	if err != nil {
		return nil, err
	}
	io.WriteString(w, b.String())
	err = w.Close() // only now is the signature in it
	return out.Bytes(), err
}

func stamp(t time.Time) string { return t.UTC().Format("Mon, 02 Jan 2006 15:04:05 UTC") }

var upstreamMu sync.Mutex

// upstreamFile reads a file of the real mirror, kept on disk for the run.
func upstreamFile(t *testing.T, archive, path string) ([]byte, error) {
	upstreamMu.Lock()
	defer upstreamMu.Unlock()
	file := filepath.Join(rig.Work, "upstream", archive, path)
	if b, err := os.ReadFile(file); err == nil {
		return b, nil
	}
	var last error = os.ErrNotExist
	for _, u := range upstream(t).URLs(archive, path) {
		b, err := get(u)
		if err != nil {
			last = err
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		return b, os.WriteFile(file, b, 0o644)
	}
	return nil, last
}

func get(url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}
