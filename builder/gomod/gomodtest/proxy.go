// Package gomodtest serves Go modules for tests, as a module proxy does, with a
// checksum database of its own. It is for tests only.
package gomodtest

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
)

// Proxy serves modules as a module proxy does, and the checksum database of
// what was added.
type Proxy struct {
	URL   string
	Key   string            // of the checksum database
	Files map[string][]byte // by path below the root; what is changed here the database does not know
	Fails map[string]int    // status instead of a file

	mu    sync.Mutex
	asked []string
	sums  map[module.Version]string // lines of go.sum
}

// New starts a proxy that ends with the test.
func New(t *testing.T) *Proxy {
	t.Helper()
	signer, verifier, err := note.GenerateKey(rand.Reader, "sums.example")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Files: map[string][]byte{}, Fails: map[string]int{}, sums: map[module.Version]string{}, Key: verifier}
	db := sumdb.NewServer(sumdb.NewTestServer(signer, p.goSum))
	mux := http.NewServeMux()
	mux.Handle("/sumdb/sums.example/", http.StripPrefix("/sumdb/sums.example", db))
	mux.HandleFunc("/", p.serve)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[1:]
	p.mu.Lock()
	p.asked = append(p.asked, name)
	p.mu.Unlock()
	data, ok := p.Files[name]
	switch {
	case p.Fails[name] != 0:
		w.WriteHeader(p.Fails[name])
	case !ok:
		http.NotFound(w, r)
	default:
		_, _ = w.Write(data)
	}
}

// Asked are the paths that were asked for, those of the checksum database aside.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// goSum is what the database says of a module version.
func (p *Proxy) goSum(path, version string) ([]byte, error) {
	if lines, ok := p.sums[module.Version{Path: path, Version: version}]; ok {
		return []byte(lines), nil
	}
	return nil, fmt.Errorf("there is no module %s@%s", path, version)
}

// Add puts a module version there and gives its lines of go.sum.
func (p *Proxy) Add(t *testing.T, v module.Version, files map[string]string) string {
	t.Helper()
	prefix := v.Path + "@" + v.Version + "/"
	text := map[string]string{}
	for name, s := range files {
		text[prefix+name] = s
	}
	open := func(name string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text[name])), nil }
	sum, err := dirhash.Hash1(slices.Collect(maps.Keys(text)), open)
	if err != nil {
		t.Fatal(err)
	}
	text["go.mod"] = files["go.mod"]
	mod, err := dirhash.Hash1([]string{"go.mod"}, open)
	if err != nil {
		t.Fatal(err)
	}
	p.Files[Path(v, "zip")] = Zip(t, prefix, files)
	p.Files[Path(v, "mod")] = []byte(files["go.mod"])
	p.Files[Path(v, "info")] = fmt.Appendf(nil, `{"Version":%q,"Time":"2026-03-04T05:06:07Z"}`, v.Version)
	p.sums[v] = fmt.Sprintf("%s %s %s\n%s %s/go.mod %s\n", v.Path, v.Version, sum, v.Path, v.Version, mod)
	return p.sums[v]
}

// Path is where a proxy has a file of a module version.
func Path(v module.Version, file string) string {
	path, err := module.EscapePath(v.Path)
	if err != nil {
		panic(err)
	}
	return path + "/@v/" + v.Version + "." + file
}

// Zip makes a zip whose files lie below a prefix.
func Zip(t *testing.T, prefix string, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := w.Create(prefix + name)
		if err == nil {
			_, err = f.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
