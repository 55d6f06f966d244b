package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// deb describes a package file to make.
type deb struct {
	name    string
	version string            // default 1
	arch    string            // default all
	fields  string            // more control fields, each line ended
	control map[string]string // more control files
	data    []tar.Header
	bodies  map[string]string // by entry name
	pack    string            // ending of the archives; default .gz
}

var stamp = time.Unix(1_700_000_000, 123456789)

func dir(name string, mode int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: "./" + name + "/", Mode: mode, ModTime: stamp, Uname: "root", Gname: "root"}
}

func file(name string, mode int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: "./" + name, Mode: mode, ModTime: stamp, Uname: "root"}
}

func symlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: "./" + name, Linkname: target, Mode: 0o777, ModTime: stamp}
}

func hardlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: "./" + name, Linkname: "./" + target, Mode: 0o644, ModTime: stamp}
}

// files is the data of a package that ships only plain files with these bodies.
func files(bodies map[string]string) []tar.Header {
	var out []tar.Header
	for _, n := range sortedKeysOf(bodies) {
		out = append(out, file(n, 0o644))
	}
	return out
}

func sortedKeysOf(m map[string]string) []string {
	raw := map[string][]byte{}
	for k := range m {
		raw[k] = nil
	}
	return sortedKeys(raw)
}

// pool is a set of package files; it implements Blobs.
type pool map[string][]byte

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

func (p pool) Open(pkg lock.Package) (io.ReadSeekCloser, error) {
	raw, ok := p[pkg.ID]
	if !ok {
		return nil, fmt.Errorf("opening package %q: %w", pkg.ID, os.ErrNotExist)
	}
	return nopCloser{bytes.NewReader(raw)}, nil
}

// add makes the file of a package and its lock entry.
func (p pool) add(t *testing.T, d deb) lock.Package {
	t.Helper()
	if d.version == "" {
		d.version = "1"
	}
	if d.arch == "" {
		d.arch = "all"
	}
	if d.pack == "" {
		d.pack = ".gz"
	}
	pkg := lock.Package{ID: d.name + "_" + d.version + "_" + d.arch, Name: d.name, Version: d.version, Arch: d.arch}
	text := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\n%sDescription: test\n", d.name, d.version, d.arch, d.fields)
	headers, bodies := []tar.Header{file("control", 0o644)}, map[string]string{"./control": text}
	for _, n := range sortedKeysOf(d.control) {
		headers = append(headers, file(n, 0o755))
		bodies["./"+n] = d.control[n]
	}
	raw := []byte(arMagic)
	raw = appendMember(raw, "debian-binary", []byte("2.0\n"))
	ending := strings.TrimPrefix(d.pack, "none")
	raw = appendMember(raw, "control.tar"+ending, compressed(t, d.pack, tarOf(t, headers, bodies)))
	data := map[string]string{}
	for n, b := range d.bodies {
		data["./"+n] = b
	}
	raw = appendMember(raw, "data.tar"+ending, compressed(t, d.pack, tarOf(t, d.data, data)))
	sum := sha256.Sum256(raw)
	pkg.SHA256, pkg.Size = hex.EncodeToString(sum[:]), int64(len(raw))
	p[pkg.ID] = raw
	return pkg
}

func appendMember(to []byte, name string, body []byte) []byte {
	to = append(to, fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", len(body))...)
	to = append(to, body...)
	if len(body)%2 == 1 {
		to = append(to, '\n')
	}
	return to
}

func tarOf(t *testing.T, headers []tar.Header, bodies map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		body := ""
		if h.Typeflag == tar.TypeReg {
			body = bodies[h.Name]
			h.Size = int64(len(body))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func compressed(t *testing.T, ending string, raw []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ending {
	case "none":
		return raw
	case ".gz":
		w = gzip.NewWriter(&out)
	case ".xz":
		w, err = xz.NewWriter(&out)
	case ".zst":
		w, err = zstd.NewWriter(&out)
	default:
		return raw // the ending says something else
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// got is a written layer: headers by name and bodies.
type got struct {
	raw      []byte
	order    []string
	headers  map[string]*tar.Header
	bodies   map[string]string
	contents []Content
}

func write(t *testing.T, p pool, s Spec) got {
	t.Helper()
	var out bytes.Buffer
	contents, err := Write(context.Background(), &out, s, p)
	if err != nil {
		t.Fatal(err)
	}
	g := got{raw: bytes.Clone(out.Bytes()), headers: map[string]*tar.Header{}, bodies: map[string]string{}, contents: contents}
	r := tar.NewReader(&out)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return g
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(h.Name, "/")
		if g.headers[name] != nil {
			t.Errorf("%q is in the layer twice", name)
		}
		g.order = append(g.order, name)
		g.headers[name], g.bodies[name] = h, string(body)
	}
}

// link wants a symbolic link.
func (g got) link(t *testing.T, name, target string) {
	t.Helper()
	h := g.headers[name]
	if h == nil || h.Typeflag != tar.TypeSymlink || h.Linkname != target {
		t.Errorf("%q: want a link to %q, got %+v", name, target, h)
	}
}

func (g got) absent(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		if g.headers[n] != nil {
			t.Errorf("%q is in the layer", n)
		}
	}
}

func (g got) body(t *testing.T, name, want string) {
	t.Helper()
	if g.headers[name] == nil || g.bodies[name] != want {
		t.Errorf("%q:\n got %q\nwant %q (in the layer: %v)", name, g.bodies[name], want, g.headers[name] != nil)
	}
}
