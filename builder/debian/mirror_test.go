package debian

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// aptRoot writes apt sources below a directory.
func aptRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, "etc/apt", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

var aptFiles = map[string]string{
	"sources.list": `# deb http://commented.example/debian trixie main
deb [arch=amd64 signed-by=/k.gpg] http://list.example/debian/ trixie main # main
deb-src http://src.example/debian trixie main
deb http://list.example/ubuntu noble main
deb cdrom:[Debian]/ trixie main
deb	http://list.example/debian-security trixie-security main
`,
	"sources.list.d/debian.sources": `# Debian
Types: deb deb-src
URIs: http://one.example/debian
 http://two.example/debian/
Suites: trixie trixie-updates

Enabled: no
Types: deb
URIs: http://off.example/debian

Types: deb-src
URIs: http://src.example/debian

Types: deb
Uris: http://one.example/debian-security http://list.example/debian-security
`,
	"sources.list.d/other.list":     "deb http://other.example/linux trixie stable\n",
	"sources.list.d/broken.sources": "this is no stanza\n",
	"sources.list.d/x.list.save":    "deb http://saved.example/debian trixie main\n",
}

func urls(mirrors []Mirror) []string {
	var out []string
	for _, m := range mirrors {
		if !strings.HasPrefix(m.From, "built-in") {
			out = append(out, m.URL)
		}
	}
	return out
}

func TestDiscover(t *testing.T) {
	apt := aptRoot(t, aptFiles)
	tests := []struct {
		name             string
		opt              DiscoverOptions
		env              map[string]string
		debian, security []string // without the built-in list
		builtin          [2]bool  // whether it is asked, by archive
	}{
		{name: "nothing is named", opt: DiscoverOptions{Root: t.TempDir()}, builtin: [2]bool{true, true}},
		{name: "apt sources", opt: DiscoverOptions{Root: apt}, builtin: [2]bool{true, true},
			debian:   []string{"http://list.example/debian", "http://one.example/debian", "http://two.example/debian"},
			security: []string{"http://list.example/debian-security", "http://one.example/debian-security", "http://two.example/debian-security"}},
		{name: "configuration", opt: DiscoverOptions{Root: t.TempDir(), Config: []string{"http://c.example/debian/", "http://c.example/s-security"}},
			debian: []string{"http://c.example/debian"}, security: []string{"http://c.example/s-security"}},
		{name: "environment before configuration", env: map[string]string{EnvMirror: " http://e.example/debian, http://f.example/debian,"},
			opt:     DiscoverOptions{Root: apt, Config: []string{"http://c.example/debian"}},
			debian:  []string{"http://e.example/debian", "http://f.example/debian"},
			builtin: [2]bool{false, true},
			security: []string{"http://e.example/debian-security", "http://f.example/debian-security", "http://list.example/debian-security",
				"http://one.example/debian-security"}},
		{name: "flag before environment", env: map[string]string{EnvMirror: "http://e.example/debian", EnvSecurity: "http://e.example/sec"},
			opt:    DiscoverOptions{Flag: []string{"https://f.example/mirror"}},
			debian: []string{"https://f.example/mirror"}, security: []string{"http://e.example/sec"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.opt.Getenv = func(k string) string { return tt.env[k] }
			m, err := Discover(tt.opt)
			if err != nil {
				t.Fatal(err)
			}
			if got := urls(m.Debian); !slices.Equal(got, tt.debian) {
				t.Errorf("debian: got %q, want %q", got, tt.debian)
			}
			if got := urls(m.Security); !slices.Equal(got, tt.security) {
				t.Errorf("security: got %q, want %q", got, tt.security)
			}
			got := [2]bool{len(urls(m.Debian)) < len(m.Debian), len(urls(m.Security)) < len(m.Security)}
			if got != tt.builtin {
				t.Errorf("built-in list: got %v, want %v", got, tt.builtin)
			}
		})
	}
}

func TestDiscoverTellsWhere(t *testing.T) {
	root := aptRoot(t, aptFiles)
	var notes []string
	m, err := Discover(DiscoverOptions{Root: root, Getenv: func(string) string { return "" },
		Note: func(f string, a ...any) { notes = append(notes, fmt.Sprintf(f, a...)) }})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.Debian[0].From, filepath.Join(root, "etc/apt/sources.list")+":2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "broken.sources") {
		t.Errorf("got notes %q", notes)
	}
	if m.Snapshot != (Mirror{defaultSnapshot, "built-in"}) {
		t.Errorf("got snapshot %v", m.Snapshot)
	}
}

func TestDiscoverErrors(t *testing.T) {
	tests := []struct {
		opt  DiscoverOptions
		env  map[string]string
		want string
	}{
		{opt: DiscoverOptions{Flag: []string{"mirror.example"}}, want: `reading mirror "mirror.example" of --mirror`},
		{env: map[string]string{EnvMirror: "ftp://m.example/debian"}, want: `scheme "ftp" is not http or https`},
		{env: map[string]string{EnvSecurity: "http:///debian"}, want: EnvSecurity + ": no host in it"},
		{env: map[string]string{EnvSnapshot: "x"}, want: EnvSnapshot},
	}
	for _, tt := range tests {
		tt.opt.Root, tt.opt.Getenv = t.TempDir(), func(k string) string { return tt.env[k] }
		_, err := Discover(tt.opt)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "such as http://") {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}

func TestBuiltinStartsWithTheUsersCountry(t *testing.T) {
	m := builtinMirrors(func(k string) string { return map[string]string{"LANG": "zh_CN.UTF-8"}[k] })
	if m.Debian[0].From != "built-in list (cn)" || len(m.Debian) != len(builtin) || m.Security[0].URL != securityHost {
		t.Errorf("got %v", m)
	}
}

func TestURLs(t *testing.T) {
	base := Mirrors{Debian: []Mirror{{"http://a.example/debian", "x"}}, Security: []Mirror{{"http://a.example/debian-security", "x"}}}
	m, err := base.With([]string{"http://r.example/debian/", "http://a.example/debian"}, "recipe")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		location string
		want     []string
	}{
		{"debian:pool/main/g/g++_1%2~3.deb", []string{"http://r.example/debian/pool/main/g/g++_1%252~3.deb", "http://a.example/debian/pool/main/g/g++_1%252~3.deb",
			"http://r.example/debian-security/pool/main/g/g++_1%252~3.deb", "http://a.example/debian-security/pool/main/g/g++_1%252~3.deb"}},
		{"debian:pool/updates/main/x.deb", []string{"http://r.example/debian-security/pool/updates/main/x.deb", "http://a.example/debian-security/pool/updates/main/x.deb"}},
		{"https://x.example/y.tar.gz", []string{"https://x.example/y.tar.gz"}},
	}
	for _, tt := range tests {
		if got := m.Resolve(tt.location); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.location, got, tt.want)
		}
	}
	if got := m.URLs(ArchiveSecurity, "/a b"); got[0] != "http://r.example/debian-security/a%20b" {
		t.Errorf("got %q", got)
	}
	if _, err := base.With([]string{"x"}, "recipe"); err == nil || !strings.Contains(err.Error(), "of recipe") {
		t.Errorf("got %v", err)
	}
}

func TestSnapshot(t *testing.T) {
	a := newArchive(t)
	a.files["mr/binary/zlib1g/1:1.3-1/binfiles"] = []byte(`{"result":[{"architecture":"amd64","hash":"aa"},{"architecture":"riscv64","hash":"bb"},{"architecture":"riscv64","hash":"cc"}],
		"fileinfo":{"aa":[{"name":"z","size":100}],"bb":[{"name":"z","size":100}],"cc":[{"name":"z","size":7}]}}`)
	a.files["mr/package/nginx/"] = []byte(`{"result":[{"version":"1:1.27-1"},{"version":"1:1.26-3+deb13u1"},{"version":"1:1.26-3"}]}`)
	for _, v := range []string{"1:1.26-3+deb13u1", "1:1.26-3"} {
		file := "nginx_" + strings.TrimPrefix(v, "1:") + ".dsc"
		a.files["mr/package/nginx/"+v+"/srcfiles"] = []byte(fmt.Sprintf(`{"result":[],"fileinfo":{%q:[{"name":%q,"size":5}],"99":[{"name":"nginx_1.26.orig.tar.gz","size":9}]}}`, hexSum([]byte(v))[:4], file))
	}
	a.files["mr/binary/bad/1/binfiles"] = []byte(`<html>`)
	ctx := context.Background()
	s := Snapshot{Root: a.server.URL, Downloader: NewHTTPDownloader()}
	pkg := lock.Package{ID: "zlib1g_1:1.3-1_riscv64", Name: "zlib1g", Version: "1:1.3-1", Arch: "riscv64", Size: 100}
	got, err := s.SnapshotURLs(ctx, pkg)
	if err != nil || !reflect.DeepEqual(got, []string{a.server.URL + "/file/bb"}) {
		t.Errorf("got %q, %v", got, err)
	}
	for file, want := range map[string]string{
		"debian:pool/main/n/nginx/nginx_1.26-3.dsc":    hexSum([]byte("1:1.26-3"))[:4],
		"pool/main/n/nginx/nginx_1.26-3+deb13u1.dsc":   hexSum([]byte("1:1.26-3+deb13u1"))[:4],
		"pool/main/n/nginx/nginx_1.26.orig.tar.gz":     "99",
		"pool/main/n/nginx/nginx_1.20-1.dsc":           "",
		"pool/main/n/nginx/nginx":                      "",
		"pool/main/a/absent/absent_1.20-1.orig.tar.gz": "",
	} {
		got, err := s.SourceURLs(ctx, file, 0)
		if want == "" && err == nil || want != "" && !slices.Equal(got, []string{a.server.URL + "/file/" + want}) {
			t.Errorf("%s: got %q, %v; want %q", file, got, err, want)
		}
	}
	pkg.Arch = "arm64"
	if _, err := s.SnapshotURLs(ctx, pkg); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "lock --update") {
		t.Errorf("got %v", err)
	}
	if _, err := s.SnapshotURLs(ctx, lock.Package{Name: "bad", Version: "1"}); err == nil || !strings.Contains(err.Error(), EnvSnapshot) {
		t.Errorf("got %v", err)
	}
	if _, err := (Snapshot{}).SnapshotURLs(ctx, pkg); !errors.Is(err, ErrNoSnapshot) {
		t.Errorf("got %v", err)
	}
}

func TestDownloaderRetries(t *testing.T) {
	a := newArchive(t)
	n := 0
	a.faults["x"] = func(w http.ResponseWriter, _ *http.Request) {
		if n++; n < 3 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, "ok")
	}
	d := NewHTTPDownloader()
	d.Backoff = 1
	data, bad := fetchFile(context.Background(), d, remoteFile{url: a.server.URL + "/x", size: -1, limit: 10})
	if bad != nil || string(data) != "ok" || n != 3 {
		t.Errorf("got %q, %v after %d attempts", data, bad, n)
	}
}
