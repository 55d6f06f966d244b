package debian

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/klauspost/compress/gzip"
	"github.com/ulikunitz/xz"
)

// noon is the time at which the fixtures are looked at.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// testKeys are made once: RSA is slow.
var testKeys = sync.OnceValues(func() (map[string]*openpgp.Entity, error) {
	keys := map[string]*openpgp.Entity{}
	for name, config := range map[string]*packet.Config{
		"rsa":     {Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048},
		"eddsa":   {Algorithm: packet.PubKeyAlgoEdDSA},
		"foreign": {Algorithm: packet.PubKeyAlgoEdDSA},
	} {
		config.Time = func() time.Time { return noon.AddDate(-1, 0, 0) }
		key, err := openpgp.NewEntity(name, "test", name+"@mirror.example", config)
		if err != nil {
			return nil, err
		}
		keys[name] = key
	}
	return keys, nil
})

func testKey(t *testing.T, name string) *openpgp.Entity {
	t.Helper()
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	return keys[name]
}

// publicKeys writes public keys, armored one after another.
func publicKeys(t *testing.T, names ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, n := range names {
		w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := testKey(t, n).Serialize(w); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		out.WriteString("\n")
	}
	return out.Bytes()
}

// sign clear-signs a text with keys.
func sign(t *testing.T, text string, names ...string) []byte {
	t.Helper()
	var keys []*packet.PrivateKey
	for _, n := range names {
		keys = append(keys, testKey(t, n).PrivateKey)
	}
	var out bytes.Buffer
	w, err := clearsign.EncodeMulti(&out, keys, &packet.Config{Time: func() time.Time { return noon.Add(-time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// dist describes one release directory of a fixture.
type dist struct {
	dir        string // trixie
	suite      string
	codename   string
	date       time.Time
	validUntil time.Time
	byHash     bool
	fields     string              // further lines of the Release
	packages   map[string][]string // architecture -> stanzas
	sources    []string
	ext        string   // of the indexes: ".xz" unless set
	signers    []string // eddsa unless set
}

// archive is a fixture: files by path, with faults, and what was asked for.
type archive struct {
	t      *testing.T
	server *httptest.Server

	mu     sync.Mutex
	files  map[string][]byte
	faults map[string]http.HandlerFunc
	asked  []string
}

func newArchive(t *testing.T, dists ...dist) *archive {
	t.Helper()
	a := &archive{t: t, files: map[string][]byte{}, faults: map[string]http.HandlerFunc{}}
	for _, d := range dists {
		a.publish(d)
	}
	a.server = httptest.NewServer(a)
	t.Cleanup(a.server.Close)
	return a
}

func (a *archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	a.mu.Lock()
	a.asked = append(a.asked, name)
	fault, data := a.faults[name], a.files[name]
	a.mu.Unlock()
	switch {
	case fault != nil:
		fault(w, r)
	case data == nil:
		http.NotFound(w, r)
	default:
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data)
	}
}

// root is the archive's URL below name: /debian or /debian-security.
func (a *archive) root(name string) string { return a.server.URL + "/" + name }

// count tells how often paths that contain part were asked for.
func (a *archive) count(part string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, p := range a.asked {
		if strings.Contains(p, part) {
			n++
		}
	}
	return n
}

// publish writes a release directory with its indexes.
func (a *archive) publish(d dist) {
	a.t.Helper()
	root := "debian/dists/" + d.dir + "/"
	if strings.HasSuffix(d.dir, "-security") {
		root = "debian-security/dists/" + d.dir + "/"
	}
	if d.ext == "" {
		d.ext = ".xz"
	}
	if d.signers == nil {
		d.signers = []string{"eddsa"}
	}
	indexes := map[string][]byte{}
	for arch, stanzas := range d.packages {
		indexes["main/binary-"+arch+"/Packages"+d.ext] = pack(a.t, strings.Join(stanzas, "\n"), d.ext)
	}
	if d.sources != nil {
		indexes["main/source/Sources"+d.ext] = pack(a.t, strings.Join(d.sources, "\n"), d.ext)
	}
	var sums strings.Builder
	for _, name := range slices.Sorted(maps.Keys(indexes)) {
		sum := hexSum(indexes[name])
		fmt.Fprintf(&sums, " %s %8d %s\n", sum, len(indexes[name]), name)
		a.files[root+name] = indexes[name]
		if d.byHash {
			a.files[root+path.Dir(name)+"/by-hash/SHA256/"+sum] = indexes[name]
		}
	}
	text := fmt.Sprintf("Origin: Debian\nSuite: %s\nCodename: %s\nDate: %s\n", d.suite, d.codename, d.date.Format("Mon, 2 Jan 2006 15:04:05 MST"))
	if !d.validUntil.IsZero() {
		text += "Valid-Until: " + d.validUntil.Format("Mon, 2 Jan 2006 15:04:05 MST") + "\n"
	}
	if d.byHash {
		text += "Acquire-By-Hash: yes\n"
	}
	a.files[root+"InRelease"] = sign(a.t, text+d.fields+"SHA256:\n"+sums.String(), d.signers...)
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func pack(t *testing.T, text, ext string) []byte {
	t.Helper()
	var out bytes.Buffer
	switch ext {
	case ".xz":
		w, err := xz.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	case ".gz":
		w := gzip.NewWriter(&out)
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	default:
		out.WriteString(text)
	}
	return out.Bytes()
}

// stanza writes a package: "name version arch" and further fields.
func stanza(head string, fields ...string) string {
	h := strings.Fields(head)
	arch := "riscv64"
	if len(h) > 2 {
		arch = h[2]
	}
	file := fmt.Sprintf("pool/main/%c/%s/%s_%s_%s.deb", h[0][0], h[0], h[0], h[1], arch)
	return fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nDescription: text\n that goes on\n%s\nFilename: %s\nSize: 100\nSHA256: %s\n",
		h[0], h[1], arch, strings.Join(append(fields, "Section: x"), "\n"), file, hexSum([]byte(file)))
}

// trixie is a healthy release directory with two packages.
func trixie(edit ...func(*dist)) dist {
	d := dist{
		dir: "trixie", suite: "stable", codename: "trixie", date: noon.Add(-24 * time.Hour), byHash: true,
		packages: map[string][]string{
			"riscv64": {stanza("libc6 2.41-12"), stanza("zlib1g 1:1.3-1", "Depends: libc6 (>= 2.34)")},
			"amd64":   {stanza("libc6 2.41-12 amd64")},
		},
	}
	for _, e := range edit {
		e(&d)
	}
	return d
}
