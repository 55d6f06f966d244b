package debian

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestNewer(t *testing.T) {
	security := dist{
		dir: "trixie-security", suite: "stable-security", codename: "trixie-security", date: noon.Add(-24 * time.Hour),
		packages: map[string][]string{"riscv64": {stanza("libc6 2.41-12+deb13u1"), stanza("zlib1g 1:1.3-1+deb13u1")}},
		sources:  []string{sourceOf("zlib", "1:1.3-1+deb13u1"), sourceOf("glibc", "2.41-12+deb13u1")},
	}
	release := trixie(func(d *dist) {
		// The point release has one update, and one that is newer than that of the security suite.
		d.packages = map[string][]string{"riscv64": {stanza("libc6 2.41-12+deb13u1"), stanza("zlib1g 1:1.3-1+deb13u2"), stanza("hello 2")}}
		d.sources = []string{sourceOf("zlib", "1:1.3-1+deb13u2"), sourceOf("hello", "2-1")}
	})
	opt := newArchive(t, release, security).options(t)
	opt.Suites, opt.Arches = []string{"trixie", "trixie-security"}, []string{"riscv64"}
	ix, _ := open(t, opt)
	for _, c := range []struct {
		name, known, newest, suite string
		security                   bool
	}{
		{"libc6", "2.41-12", "2.41-12+deb13u1", "trixie", true},
		{"libc6", "2.41-12+deb13u1", "", "", false},
		{"libc6", "2.99", "", "", false},
		{"zlib1g", "1:1.3-1", "1:1.3-1+deb13u2", "trixie", true},
		{"zlib1g", "1:1.3-1+deb13u1", "1:1.3-1+deb13u2", "trixie", false},
		{"hello", "1", "2", "trixie", false},
		{"none", "1", "", "", false},
	} {
		n, ok := ix.Newer("riscv64", c.name, c.known)
		if ok != (c.newest != "") || n.Package.Version != c.newest || n.Suite != c.suite || n.Security != c.security {
			t.Errorf("%s %s: %+v, %v", c.name, c.known, n, ok)
		}
	}
	if _, ok := ix.Newer("amd64", "libc6", "1"); ok {
		t.Error("an architecture that was not opened has packages")
	}
	for _, c := range []struct {
		name, known     string
		newer, security bool
		suite           string
	}{
		{"zlib", "1.3-1", true, true, "trixie"}, {"zlib", "1.3-1+deb13u1", true, false, "trixie"}, {"zlib", "1.3-1+deb13u2", false, false, "trixie"},
		{"hello", "1-1", true, false, "trixie"}, {"glibc", "2.41-12", true, true, "trixie-security"},
	} {
		s, ok, err := ix.Source(t.Context(), c.name)
		newer, security := s.NewerThan(c.known)
		if err != nil || !ok || newer != c.newer || security != c.security || s.Suite != c.suite {
			t.Errorf("%s %s: %+v, %v %v, %v", c.name, c.known, s, newer, security, err)
		}
	}
}

func sourceOf(name, version string) string {
	_, file, ok := strings.Cut(version, ":")
	if !ok {
		file = version
	}
	return fmt.Sprintf("Package: %s\nVersion: %s\nDirectory: pool/main/x/%s\nChecksums-Sha256:\n %s 10 %s_%s.dsc\n", name, version, name, hexSum([]byte(file)), name, file)
}

func TestSplitDSC(t *testing.T) {
	for dsc, want := range map[string]string{
		"debian:pool/main/n/nginx/nginx_1.26.3-3+deb13u7.dsc": "nginx 1.26.3-3+deb13u7", "x_1.dsc": "x 1", "x.dsc": "", "x_1.tar.gz": "", "_1.dsc": "",
	} {
		name, version, ok := SplitDSC(dsc)
		if got := strings.TrimSpace(name + " " + version); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q %v", dsc, got, ok)
		}
	}
}
