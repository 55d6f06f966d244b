package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// open opens a fixture and gives the notes.
func open(t *testing.T, opt OpenOptions) (*Index, []string) {
	t.Helper()
	var notes []string
	opt.Note = func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	ix, err := Open(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return ix, notes
}

func alias(dir string) func(*dist) {
	return func(d *dist) { d.dir, d.date = dir, noon.Add(-72*time.Hour) }
}

func TestAliasHoldsTheConsistentPair(t *testing.T) {
	a := newArchive(t, trixie(), trixie(alias("stable")))
	a.dropByHash()
	a.files[riscvIndex] = []byte("old")
	ix, notes := open(t, a.options(t))
	want := []lock.Release{{Suite: "trixie", Path: "dists/stable", Archive: "debian", Date: noon.Add(-72 * time.Hour)}}
	if got := ix.Releases(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	all := strings.Join(notes, "\n")
	for _, part := range []string{"passing over", "dists/trixie/main/binary-riscv64/Packages.xz", "using dists/stable of " + a.root("debian") + " (test)"} {
		if !strings.Contains(all, part) {
			t.Errorf("notes lack %q:\n%s", part, all)
		}
	}
}

func TestAliasOfAnotherCodenameIsNotUsed(t *testing.T) {
	other := trixie(alias("stable"), func(d *dist) { d.codename = "forky" })
	older := trixie(alias("oldstable"), func(d *dist) { d.suite = "oldstable" })
	a := newArchive(t, trixie(), other, older)
	a.dropByHash()
	delete(a.files, riscvIndex)
	ix, _ := open(t, a.options(t))
	if got := ix.Releases()[0].Path; got != "dists/oldstable" {
		t.Errorf("got %s, want dists/oldstable", got)
	}
}

func TestSuiteNamedByAliasFindsItsCodename(t *testing.T) {
	stable := trixie(alias("stable"))
	a := newArchive(t, stable, trixie())
	name := "debian/dists/stable/main/binary-riscv64/"
	for f := range a.files {
		if strings.HasPrefix(f, name) {
			delete(a.files, f)
		}
	}
	opt := a.options(t)
	opt.Suites = []string{"stable"}
	ix, _ := open(t, opt)
	if got := ix.Releases()[0]; got.Path != "dists/trixie" || got.Suite != "stable" {
		t.Errorf("got %+v", got)
	}
}

func TestExpiredSecurityAlias(t *testing.T) {
	security := func(dir string, valid time.Time) dist {
		d := trixie(func(d *dist) {
			d.dir, d.suite, d.codename, d.validUntil = dir, "stable-security", "trixie-security", valid
			d.packages["riscv64"] = []string{stanza("libc6 2.41-13")}
			d.byHash = false
		})
		return d
	}
	a := newArchive(t, security("trixie-security", noon.Add(time.Hour)), security("stable-security", noon.Add(-time.Hour)), trixie())
	delete(a.files, "debian-security/dists/trixie-security/main/binary-riscv64/Packages.xz")
	opt := a.options(t)
	opt.Suites = []string{"trixie", "trixie-security"}
	_, err := Open(context.Background(), opt)
	var suite *SuiteError
	if !errors.As(err, &suite) || suite.Tries[0].Kind != Expired || len(suite.Tries) != 2 {
		t.Fatalf("got %v, want an expired and a missing index", err)
	}
	for _, part := range []string{"allow_expired = true", "stable-security/InRelease", "trixie-security/main/binary-riscv64/Packages.xz"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("message lacks %q:\n%v", part, err)
		}
	}
	opt.AllowExpired = true
	ix, notes := open(t, opt)
	if got := ix.Releases()[1]; !got.Expired || got.Path != "dists/stable-security" || got.Archive != ArchiveSecurity {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(strings.Join(notes, "\n"), "accepted because of allow_expired") {
		t.Errorf("the notes do not name the expired Release: %q", notes)
	}
	p, ok := ix.Package("riscv64", "libc6")
	if !ok || p.Version != "2.41-13" || p.Archive != ArchiveSecurity {
		t.Errorf("newest version does not win: %+v", p)
	}
}

func TestNextMirror(t *testing.T) {
	bad, good := newArchive(t), newArchive(t, trixie())
	opt := good.options(t)
	opt.Mirrors.Debian = append([]Mirror{{bad.root("debian"), "first"}, {"http://127.0.0.1:1/debian", "dead"}}, opt.Mirrors.Debian...)
	ix, notes := open(t, opt)
	if len(ix.Releases()) != 1 || !strings.Contains(strings.Join(notes, "\n"), bad.root("debian")) {
		t.Errorf("got %v, notes %q", ix.Releases(), notes)
	}
}

func TestByHashGoesFirst(t *testing.T) {
	a := newArchive(t, trixie())
	a.files[riscvIndex] = []byte("the next state of the archive")
	open(t, a.options(t))
	if a.count("binary-riscv64/Packages.xz") != 0 || a.count("binary-riscv64/by-hash/SHA256/") != 1 {
		t.Errorf("asked for %q", a.asked)
	}
}

func TestIndexForms(t *testing.T) {
	for _, ext := range []string{".xz", ".gz", ""} {
		a := newArchive(t, trixie(func(d *dist) { d.ext = ext }))
		ix, _ := open(t, a.options(t))
		p, ok := ix.Package("riscv64", "zlib1g")
		if !ok || p.ID != "zlib1g_1:1.3-1_riscv64" || p.Size != 100 || p.Path != "pool/main/z/zlib1g/zlib1g_1:1.3-1_riscv64.deb" {
			t.Errorf("%q: got %+v, %v", ext, p, ok)
		}
	}
}

func TestCacheKeepsIndexes(t *testing.T) {
	a := newArchive(t, trixie())
	opt := a.options(t)
	opt.CacheDir = filepath.Join(t.TempDir(), "indexes")
	open(t, opt)
	noHalfFiles(t, opt.CacheDir)
	if open(t, opt); a.count("Packages")+a.count("by-hash") != 2 {
		t.Errorf("indexes were fetched again: %q", a.asked)
	}
	files, err := filepath.Glob(filepath.Join(opt.CacheDir, "*"+cacheSuffix))
	if err != nil || len(files) != 2 {
		t.Fatalf("got %q, %v", files, err)
	}
	// What somebody altered is fetched again; what is old and unused goes.
	if err := os.WriteFile(files[0], []byte("rot"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(opt.CacheDir, strings.Repeat("0", 64)+cacheSuffix)
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, noon, time.Now().Add(-2*cacheAge)); err != nil {
		t.Fatal(err)
	}
	if open(t, opt); a.count("by-hash") != 3 {
		t.Errorf("the altered index was not fetched again: %q", a.asked)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old index is still there: %v", err)
	}
	noHalfFiles(t, opt.CacheDir)
}

func TestSeparateAll(t *testing.T) {
	split := func(fields string) dist {
		return trixie(func(d *dist) {
			d.fields = fields
			d.packages["all"] = []string{stanza("tzdata 2026a-1 all")}
		})
	}
	for fields, want := range map[string]bool{
		"Architectures: all amd64 riscv64\n":                                            true,
		"Architectures: all amd64 riscv64\nNo-Support-for-Architecture-all: Packages\n": false,
		"Architectures: amd64 riscv64\n":                                                false,
	} {
		a := newArchive(t, split(fields))
		ix, _ := open(t, a.options(t))
		if _, got := ix.Package("riscv64", "tzdata"); got != want {
			t.Errorf("with %q: binary-all was read: %v, want %v", fields, got, want)
		}
	}
}

func TestSources(t *testing.T) {
	source := func(name, ver string) string {
		dsc := name + "_" + ver + ".dsc"
		return fmt.Sprintf("Package: %s\nVersion: %s\nDirectory: pool/main/x/%s\nChecksums-Sha256:\n %s 10 %s\n", name, ver, name, hexSum([]byte(dsc)), dsc)
	}
	a := newArchive(t, trixie(func(d *dist) {
		d.sources = []string{source("nginx", "1.26.3-3"), source("nginx", "1.26.3-3+deb13u1"), source("redis", "5:8.0.2+dfsg-1"), source("own", "1.0")}
	}))
	ix, _ := open(t, a.options(t))
	tests := []struct{ name, version, want string }{
		{"nginx", "1.26.3", "debian:pool/main/x/nginx/nginx_1.26.3-3+deb13u1.dsc"},
		{"nginx", "1.27.0", ""},
		{"redis", "8.0.2", "debian:pool/main/x/redis/redis_5:8.0.2+dfsg-1.dsc"},
		{"own", "1.0", ""}, // native: nothing was patched
		{"absent", "1.0", ""},
	}
	for _, tt := range tests {
		got, ok, err := ix.NewerSource(context.Background(), tt.name, tt.version)
		if err != nil || got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s %s: got %q, %v, %v; want %q", tt.name, tt.version, got, ok, err, tt.want)
		}
	}
	if n := a.count("source/"); n != 1 {
		t.Errorf("the index was read %d times", n)
	}
	s, ok, err := ix.Source(context.Background(), "nginx")
	if err != nil || !ok || s.Version != "1.26.3-3+deb13u1" || s.SHA256 != hexSum([]byte("nginx_1.26.3-3+deb13u1.dsc")) {
		t.Errorf("got %+v, %v, %v", s, ok, err)
	}
}

func TestStanzas(t *testing.T) {
	text := "# comment\n\n\nA: 1\nDropped: x\n y\nb:  2 \n 3\n\t4\n# c\n\nA: 5" // no newline at the end
	s := newStanzas(strings.NewReader(text), "a", "b")
	var got [][]string
	for {
		v, err := s.next()
		if err != nil {
			break
		}
		got = append(got, append([]string(nil), v...))
	}
	want := [][]string{{"1", "2\n3\n4"}, {"5", ""}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	wide := strings.Repeat("w", 200<<10)
	if v, err := newStanzas(strings.NewReader("A: "+wide+"\nB: 1\n"), "a", "b").next(); err != nil || v[0] != wide || v[1] != "1" {
		t.Errorf("a wide line was not read: %v", err)
	}
	long := bytes.Repeat([]byte("x"), maxLine+1)
	if _, err := newStanzas(bytes.NewReader(long), "a").next(); err == nil {
		t.Error("a line without end was accepted")
	}
}

func TestEntriesAreChecked(t *testing.T) {
	good := strings.TrimSpace(stanza("x 1"))
	for _, edit := range [][2]string{
		{"Package: x", "Package: ../x"}, {"Version: 1", "Version: ../1"},
		{"SHA256: ", "SHA256: zz"}, {"Filename: pool", "Filename: ../pool"}, {"Size: 100", "Size: -1"},
	} {
		p := packagesFile{arch: "riscv64", shared: &sharedEntries{byHash: map[string]*entry{}}}
		if err := p.parse(strings.NewReader(strings.Replace(good, edit[0], edit[1], 1))); err == nil {
			t.Errorf("%q was accepted", edit[1])
		}
	}
}
