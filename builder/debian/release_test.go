package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// options opens a fixture with the test keys at noon.
func (a *archive) options(t *testing.T) OpenOptions {
	t.Helper()
	ring := filepath.Join(t.TempDir(), "keys.asc")
	if err := os.WriteFile(ring, publicKeys(t, "rsa", "eddsa"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := NewHTTPDownloader()
	d.Stall, d.Backoff = 150*time.Millisecond, time.Millisecond
	return OpenOptions{
		Suites: []string{"trixie"}, Arches: []string{"riscv64", "amd64"}, Keyring: ring, Downloader: d,
		Mirrors: Mirrors{
			Debian:   []Mirror{{a.root("debian"), "test"}},
			Security: []Mirror{{a.root("debian-security"), "test"}},
		},
		Now: func() time.Time { return noon },
	}
}

const (
	inRelease   = "debian/dists/trixie/InRelease"
	riscvIndex  = "debian/dists/trixie/main/binary-riscv64/Packages.xz"
	riscvByHash = "debian/dists/trixie/main/binary-riscv64/by-hash/"
)

// dropByHash makes the index available by its name only.
func (a *archive) dropByHash() {
	for name := range a.files {
		if strings.HasPrefix(name, riscvByHash) {
			delete(a.files, name)
		}
	}
}

func TestOpenFailures(t *testing.T) {
	tests := []struct {
		name   string
		dist   dist
		breaks func(a *archive)
		kind   Kind
		exit   int
		text   []string // all stand in the message
	}{
		{name: "unsigned", dist: trixie(), kind: Unsigned, exit: 4, text: []string{"dists/trixie/InRelease", "is not signed", `got "<html>login"`, "proxy or login page"},
			breaks: func(a *archive) { a.files[inRelease] = []byte("<html>login\n</html>") }},
		{name: "altered text", dist: trixie(), kind: BadSignature, exit: 4, text: []string{"has no valid signature", "--keyring"},
			breaks: func(a *archive) {
				a.files[inRelease] = bytes.Replace(a.files[inRelease], []byte("Codename: trixie"), []byte("Codename: trixi3"), 1)
			}},
		{name: "foreign key", dist: trixie(func(d *dist) { d.signers = []string{"foreign"} }), kind: BadSignature, exit: 4, text: []string{"expected a signature by one of 2 keys"}},
		{name: "cut InRelease", dist: trixie(), kind: Truncated, exit: 4, text: []string{"is incomplete", "without an end"},
			breaks: func(a *archive) { a.files[inRelease] = a.files[inRelease][:200] }},
		{name: "expired", dist: trixie(func(d *dist) { d.validUntil = noon.Add(-time.Hour) }), kind: Expired, exit: 4,
			text: []string{"has expired", "2026-03-01T12:00:00Z", "got Valid-Until 2026-03-01T11:00:00Z", "allow_expired = true"}},
		{name: "clock behind", dist: trixie(func(d *dist) { d.date = noon.Add(48 * time.Hour) }), kind: NotYetValid, exit: 3,
			text: []string{"dated in the future", "got 2026-03-03T12:00:00Z", "set the clock of this machine"}},
		{name: "no Release", dist: trixie(), kind: NotFound, exit: 4, text: []string{"404", "check suite and mirror"},
			breaks: func(a *archive) { delete(a.files, inRelease) }},
		{name: "other size", dist: trixie(), kind: HashMismatch, exit: 4, text: []string{"Packages.xz", "bytes, got 5 bytes", "in the middle of a sync"},
			breaks: func(a *archive) { a.dropByHash(); a.files[riscvIndex] = []byte("other") }},
		{name: "other bytes", dist: trixie(), kind: HashMismatch, exit: 4, text: []string{"expected sha256 ", "got sha256 "},
			breaks: func(a *archive) {
				a.dropByHash()
				a.files[riscvIndex] = bytes.Repeat([]byte("x"), len(a.files[riscvIndex]))
			}},
		{name: "index gone", dist: trixie(), kind: NotFound, exit: 4, text: []string{"binary-riscv64/Packages.xz"},
			breaks: func(a *archive) { a.dropByHash(); delete(a.files, riscvIndex) }},
		{name: "cut index", dist: trixie(), kind: Truncated, exit: 4, text: []string{"bytes, got 10 bytes", "try again"},
			breaks: func(a *archive) { a.dropByHash(); a.faults[riscvIndex] = announce(len(a.files[riscvIndex])) }},
		{name: "stall", dist: trixie(), kind: Stalled, exit: 4, text: []string{"stopped arriving", "no data arrived"},
			breaks: func(a *archive) { a.faults[inRelease] = stall }},
		{name: "server error", dist: trixie(), kind: Unreachable, exit: 4, text: []string{"HTTP status 503", "check the network and proxy"},
			breaks: func(a *archive) { a.faults[inRelease] = status(http.StatusServiceUnavailable) }},
		{name: "endless InRelease", dist: trixie(), kind: TooLarge, exit: 4, text: []string{"at most 8388608 bytes"},
			breaks: func(a *archive) { a.files[inRelease] = make([]byte, maxInRelease+1) }},
		{name: "no architecture", dist: trixie(func(d *dist) { delete(d.packages, "riscv64") }), kind: Missing, exit: 4, text: []string{"main/binary-riscv64", "riscv64 is in trixie and later"}},
		{name: "other suite", dist: trixie(func(d *dist) { d.suite, d.codename = "testing", "forky" }), kind: Malformed, exit: 4, text: []string{`expected suite or codename "trixie"`, `codename "forky"`}},
		{name: "no date", dist: trixie(), kind: Malformed, exit: 4, text: []string{"field Date"},
			breaks: func(a *archive) {
				a.files[inRelease] = sign(a.t, "Codename: trixie\nDate: soon\nSHA256:\n", "eddsa")
			}},
		{name: "bad stanza", dist: trixie(func(d *dist) {
			d.packages["riscv64"] = []string{"Package: x\nVersion: 1\nArchitecture: all\nSize: many\n"}
		}), kind: Malformed, exit: 4, text: []string{`"many" is no size`}},
		{name: "not xz", dist: trixie(func(d *dist) { d.packages["riscv64"] = []string{"not a field"} }), kind: Malformed, exit: 4, text: []string{"neither a field"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newArchive(t, tt.dist)
			if tt.breaks != nil {
				tt.breaks(a)
			}
			opt := a.options(t)
			opt.CacheDir = t.TempDir()
			_, err := Open(context.Background(), opt)
			var bad *ArchiveError
			if !errors.As(err, &bad) {
				t.Fatalf("got error %v, want an ArchiveError", err)
			}
			if bad.Kind != tt.kind {
				t.Errorf("got kind %d, want %d: %v", bad.Kind, tt.kind, err)
			}
			var exit interface{ ExitCode() int }
			if !errors.As(err, &exit) || exit.ExitCode() != tt.exit {
				t.Errorf("exit code is not %d: %v", tt.exit, err)
			}
			for _, part := range append(tt.text, a.server.URL) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("message lacks %q:\n%v", part, err)
				}
			}
			noHalfFiles(t, opt.CacheDir)
		})
	}
}

// noHalfFiles checks that a cache holds only whole indexes.
func noHalfFiles(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil || hexSum(data)+cacheSuffix != e.Name() {
			t.Errorf("cache holds %q, which is not what its name says (%v)", e.Name(), err)
		}
	}
}

// announce promises more bytes than it sends.
func announce(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(n))
		w.Write([]byte("0123456789"))
	}
}

func stall(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "100")
	w.Write([]byte("-----BEGIN"))
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestOpenWithNoMirror(t *testing.T) {
	a := newArchive(t)
	opt := a.options(t)
	opt.Mirrors = Mirrors{}
	_, err := Open(context.Background(), opt)
	var suite *SuiteError
	if !errors.As(err, &suite) || suite.ExitCode() != 4 || !strings.Contains(err.Error(), "--mirror") {
		t.Fatalf("got %v", err)
	}
}

func TestOpenNeedsNames(t *testing.T) {
	a := newArchive(t, trixie())
	for _, edit := range []func(*OpenOptions){
		func(o *OpenOptions) { o.Suites = nil },
		func(o *OpenOptions) { o.Suites = []string{"../etc"} },
		func(o *OpenOptions) { o.Arches = nil },
		func(o *OpenOptions) { o.Keyring = "/nonexistent" },
	} {
		opt := a.options(t)
		edit(&opt)
		if _, err := Open(context.Background(), opt); err == nil || !strings.Contains(err.Error(), ": ") {
			t.Errorf("got %v", err)
		}
	}
}

func TestOpenHonoursCancellation(t *testing.T) {
	a := newArchive(t, trixie())
	a.faults[inRelease] = stall
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, a.options(t)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
}

func TestSignatures(t *testing.T) {
	text := "Codename: trixie\nDate: " + noon.Format(time.RFC1123) + "\nSHA256:\n " + hexSum(nil) + " 0 a\n"
	var keys openpgp.EntityList
	for _, n := range []string{"rsa", "eddsa"} {
		keys = append(keys, testKey(t, n))
	}
	for _, signers := range [][]string{{"rsa"}, {"eddsa"}, {"foreign", "rsa"}, {"foreign", "eddsa", "rsa"}} {
		rel, bad := verifyInRelease(sign(t, text, signers...), keys, noon)
		if bad != nil || rel.codename != "trixie" {
			t.Errorf("signed by %v: got %v, %v", signers, rel, bad)
		}
	}
	// Text around the signed message is not read.
	around := append([]byte("Codename: evil\n\n"), sign(t, text, "rsa")...)
	rel, bad := verifyInRelease(append(around, "\nCodename: evil\n"...), keys, noon)
	if bad == nil && rel.codename != "trixie" {
		t.Errorf("unsigned text was read: %+v", rel)
	}
	// A clock a little behind is no reason to refuse.
	if _, bad := verifyInRelease(sign(t, text, "rsa"), keys, noon.Add(-30*time.Minute)); bad != nil {
		t.Errorf("clock 30 minutes behind: %v", bad)
	}
	if _, bad := verifyInRelease(sign(t, text, "rsa"), keys, noon.AddDate(-20, 0, 0)); bad == nil || bad.Kind != NotYetValid {
		t.Errorf("clock 20 years behind: got %v, want NotYetValid", bad)
	}
}

func TestEmbeddedKeyring(t *testing.T) {
	keys, err := loadKeyring("")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []uint64{0x225629DF75B188BD, 0x9904613D4CCE68C6, 0x762F67A0B2C39DE4, 0xB7C5D7D6350947F8, 0x254CF3B5AEC0A8F0, 0xF8D2585B8783D481} {
		if len(keys.KeysById(id)) == 0 {
			t.Errorf("key %X is not embedded", id)
		}
	}
}

func TestKeyringFiles(t *testing.T) {
	var binary bytes.Buffer
	if err := testKey(t, "rsa").Serialize(&binary); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		data []byte
		want int // 0: an error
	}{
		{"armored", publicKeys(t, "rsa"), 1},
		{"two blocks", publicKeys(t, "rsa", "eddsa"), 2},
		{"binary", binary.Bytes(), 1},
		{"text", []byte("hello"), 0},
		{"empty", nil, 0},
		{"broken armor", []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!\n"), 0},
	}
	for _, tt := range tests {
		file := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(file, tt.data, 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := loadKeyring(file)
		if len(keys) != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%s: got %d keys, %v; want %d", tt.name, len(keys), err, tt.want)
		}
		if err != nil && !strings.Contains(err.Error(), "--keyring") {
			t.Errorf("%s: message does not say what to do: %v", tt.name, err)
		}
	}
}
