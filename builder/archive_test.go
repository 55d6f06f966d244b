package builder

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/recipes"
)

// testArchive is a signed archive of a few packages, whose suites a test changes.
type testArchive struct {
	t       *testing.T
	server  *httptest.Server
	entity  *openpgp.Entity
	keyring string

	mu    sync.Mutex
	files map[string][]byte
	asked map[string]int
}

func newTestArchive(t *testing.T) *testArchive {
	t.Helper()
	entity, err := openpgp.NewEntity("archive", "", "archive@mirror.example", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var key bytes.Buffer
	w, err := armor.Encode(&key, openpgp.PublicKeyType, nil)
	if err == nil {
		err = entity.Serialize(w)
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	a := &testArchive{t: t, entity: entity, keyring: filepath.Join(t.TempDir(), "keyring.asc"), files: map[string][]byte{}, asked: map[string]int{}}
	if err := os.WriteFile(a.keyring, key.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	a.server = httptest.NewServer(a)
	t.Cleanup(a.server.Close)
	for _, suite := range recipes.DefaultSuites {
		a.publish(suite, nil, "")
	}
	return a
}

func (a *testArchive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[r.URL.Path]++
	if data, ok := a.files[r.URL.Path]; ok {
		w.Write(data) //nolint:errcheck // the client would notice
		return
	}
	http.NotFound(w, r)
}

// count tells how often paths with an ending were asked for since it was last called.
func (a *testArchive) count(ending string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for path, times := range a.asked {
		if strings.HasSuffix(path, ending) {
			n += times
		}
	}
	clear(a.asked)
	return n
}

// publish replaces a suite. Packages are "NAME VERSION" with further fields
// after it, one a line; they are for every architecture.
func (a *testArchive) publish(suite string, packages []string, sources string) {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	root := "/debian/dists/" + suite + "/"
	if strings.HasSuffix(suite, "-security") {
		root = "/debian-security/dists/" + suite + "/"
	}
	indexes := map[string]string{"main/source/Sources": sources}
	for _, arch := range hosts {
		var text strings.Builder
		for _, p := range packages {
			head, fields, _ := strings.Cut(p, "\n")
			name, version, _ := strings.Cut(head, " ")
			path := fmt.Sprintf("pool/main/x/%s_%s_%s.deb", name, version, arch)
			fmt.Fprintf(&text, "Package: %s\nVersion: %s\nArchitecture: %s\n%sFilename: %s\nSize: 100\nSHA256: %x\n\n", name, version, arch, fields, path, sha256.Sum256([]byte(path)))
		}
		indexes["main/binary-"+arch+"/Packages"] = text.String()
	}
	var release bytes.Buffer
	fmt.Fprintf(&release, "Origin: Debian\nSuite: %s\nCodename: %s\nDate: %s\nSHA256:\n", suite, suite, time.Now().UTC().Add(-time.Hour).Format("Mon, 02 Jan 2006 15:04:05 UTC"))
	for _, name := range slices.Sorted(maps.Keys(indexes)) {
		fmt.Fprintf(&release, " %x %d %s\n", sha256.Sum256([]byte(indexes[name])), len(indexes[name]), name)
		a.files[root+name] = []byte(indexes[name])
	}
	var signed bytes.Buffer
	w, err := clearsign.Encode(&signed, a.entity.PrivateKey, nil)
	if err == nil {
		_, err = w.Write(release.Bytes())
	}
	if err != nil || w.Close() != nil {
		a.t.Fatal(err)
	}
	a.files[root+"InRelease"] = signed.Bytes()
}

// builder gives a builder that knows this archive alone.
func (a *testArchive) builder(t *testing.T) *Builder {
	t.Helper()
	b, err := New(Config{
		StateDir: t.TempDir(), Keyring: a.keyring, Display: mute{},
		Mirrors: debian.Mirrors{
			Debian:   []debian.Mirror{{URL: a.server.URL + "/debian", From: "the test"}},
			Security: []debian.Mirror{{URL: a.server.URL + "/debian-security", From: "the test"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// mute shows nothing.
type mute struct{}

func (mute) Notice(string, ...any)           {}
func (mute) Verbose(string, ...any)          {}
func (mute) Progress(string) engine.Progress { return nil }
