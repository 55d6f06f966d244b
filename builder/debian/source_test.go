package debian

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

func TestParseDSC(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	text := "Format: 3.0 (quilt)\nSource: nginx\nBinary: nginx,\n nginx-core\nVersion: 1.26.3-3\nFiles:\n 00 1 nginx.orig.tar.gz\nChecksums-Sha256:\n " +
		strings.ToUpper(sum) + " 12 nginx_1.26.3.orig.tar.gz\n " + sum + " 34 nginx_1.26.3-3.debian.tar.xz\n"
	want := &DSC{Source: "nginx", Version: "1.26.3-3", Format: "3.0 (quilt)", Files: []SourceFile{
		{"nginx_1.26.3.orig.tar.gz", 12, sum}, {"nginx_1.26.3-3.debian.tar.xz", 34, sum}}}
	for name, data := range map[string][]byte{"plain": []byte(text), "signed": sign(t, text, "foreign")} {
		got, err := ParseDSC(data)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	bad := map[string]string{
		"":                                      "it is empty",
		"Hello":                                 "neither a field",
		"Format: 1.0\n":                         "names no source",
		"Source: a\nVersion: 1\nFiles:\n 0 1 a": "no Checksums-Sha256",
		"Source: a\nVersion: 1\nChecksums-Sha256:\n " + sum + " 1 ../a": "no file name",
		"Source: a\nVersion: 1\nChecksums-Sha256:\n ab 1 a":             "no SHA-256",
		"Source: a\nVersion: 1\nChecksums-Sha256:\n " + sum + " x a":    "no size",
		"Source: a\nVersion: 1\nChecksums-Sha256:\n " + sum + " 1":      "three words",
		string(sign(t, text, "foreign")[:100]):                          "cut off",
	}
	for data, want := range bad {
		if _, err := ParseDSC([]byte(data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, want %q", data, err, want)
		}
	}
}

// tarball holds files, an hour between one's time and the next's.
func tarball(t *testing.T, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i+1 < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1])), ModTime: noon.Add(time.Duration(5-i) * time.Hour)}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const changelog = `nginx (1.26.3-3+deb13u1) trixie-security; urgency=medium

  * Fix a hole.

 -- A. Body <a@mirror.example>  Sat,  7 Feb 2026 01:02:03 +0200

nginx (1.26.3-3) unstable; urgency=medium

 -- A. Body <a@mirror.example>  Sat, 07 Feb 2025 01:02:03 +0200
`

// helloBzip2 is a tarball with one empty file "a" of 2001-09-09 01:46:40 UTC.
const helloBzip2 = "QlpoOTFBWSZTWeItlrwAAHTbhMiAQABPhAAA4AAeAAAQAAggAFRGoaaAeoNBIpkgGIZNnkSCZBCIxHLI3dRCGhvhgUrRLpgKmASRaBoVk0WSIf3Hd2ACJ8XckU4UJDiLZa8A"

func TestSourceDate(t *testing.T) {
	changed := time.Date(2026, 2, 6, 23, 2, 3, 0, time.UTC)
	debian := string(tarball(t, "debian/", "", "./debian/changelog", changelog))
	var zst bytes.Buffer
	w, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, debian); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		data []byte
		want time.Time
	}{
		{"nginx_1.26.3-3+deb13u1.debian.tar.xz", pack(t, debian, ".xz"), changed},
		{"debian:pool/main/n/nginx/nginx_1.26.3-3.debian.tar.gz", pack(t, debian, ".gz"), changed},
		{"nginx_1.26.3-3.debian.tar.zst", zst.Bytes(), changed},
		{"nginx-1.26.3.tar", tarball(t, "n/a", "1", "n/b", "2"), noon.Add(5 * time.Hour)},
		{"nginx_1.26.3.orig.tar.gz", pack(t, string(tarball(t, "n/a", "1")), ".gz"), noon.Add(5 * time.Hour)},
		{"nginx.tgz", pack(t, string(tarball(t, "n/a", "1")), ".gz"), noon.Add(5 * time.Hour)},
	}
	for _, tt := range tests {
		got, err := SourceDate(tt.name, bytes.NewReader(tt.data))
		if err != nil || !got.Equal(tt.want) || got.Location() != time.UTC {
			t.Errorf("%s: got %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
}

func TestSourceDateBzip2(t *testing.T) {
	data, err := base64.StdEncoding.DecodeString(helloBzip2)
	if err != nil {
		t.Fatal(err)
	}
	got, err := SourceDate("a.tar.bz2", bytes.NewReader(data))
	if err != nil || got.Unix() != 1000000000 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestSourceDateErrors(t *testing.T) {
	tests := []struct{ name, data, want string }{
		{"a.zip", "", "does not end in"},
		{"a.tar.gz", "no gzip", "reading the date"},
		{"a.tar.xz", "no xz", "reading the date"},
		{"a.tar", "", "the tarball is empty"},
		{"a.tar", strings.Repeat("x", 1024), "reading the date"},
		{"a.debian.tar.gz", string(pack(t, string(tarball(t, "x", "y")), ".gz")), "no debian/changelog"},
		{"a.debian.tar.gz", string(pack(t, string(tarball(t, "debian/changelog", "a (1) b\n")), ".gz")), "no finished entry"},
		{"a.debian.tar.gz", string(pack(t, string(tarball(t, "debian/changelog", " -- nobody\n")), ".gz")), "has no date"},
		{"a.debian.tar.gz", string(pack(t, string(tarball(t, "debian/changelog", " -- n <a>  today\n")), ".gz")), `"  today" is no date`},
	}
	for _, tt := range tests {
		_, err := SourceDate(tt.name, strings.NewReader(tt.data))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), fmt.Sprintf("%q", tt.name)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}
