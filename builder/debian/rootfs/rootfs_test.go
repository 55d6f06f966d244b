package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// small is a pool with a bit of everything.
func small(t *testing.T) (pool, []lock.Package) {
	p := pool{}
	big := strings.Repeat("0123456789abcdef", 60_000) // several chunks
	return p, []lock.Package{
		p.add(t, deb{name: "base-files", pack: ".xz", data: []tar.Header{
			dir("usr", 0o755), dir("usr/bin", 0o755), dir("usr/lib", 0o755), symlink("bin", "usr/bin"), symlink("lib", "usr/lib"),
			dir("tmp", 0o1777), dir("var", 0o755), dir("var/run", 0o755),
		}}),
		p.add(t, deb{name: "libc6", pack: ".zst", data: []tar.Header{dir("lib", 0o755), file("lib/libc.so.6", 0o755)}, bodies: map[string]string{"lib/libc.so.6": "libc"}}),
		p.add(t, deb{name: "tool", pack: "none", data: []tar.Header{dir("bin", 0o700), file("bin/tool", 0o4755), hardlink("bin/tool2", "bin/tool"), file("usr/share/big", 0o644)},
			bodies: map[string]string{"bin/tool": "run", "usr/share/big": big}}),
		p.add(t, deb{name: "zz", data: []tar.Header{file("var/run/zz.pid", 0o644), symlink("usr/share/loop", "elsewhere"), file("usr/share/loop/x", 0o644)}, bodies: map[string]string{"usr/share/loop/x": "x"}}),
	}
}

func TestWriteIsDeterministic(t *testing.T) {
	p, pkgs := small(t)
	want := write(t, p, Spec{Packages: pkgs, Purpose: Runtime})
	for range 8 {
		rand.Shuffle(len(pkgs), func(i, j int) { pkgs[i], pkgs[j] = pkgs[j], pkgs[i] })
		g := write(t, p, Spec{Packages: pkgs, Purpose: Runtime})
		if !bytes.Equal(g.raw, want.raw) {
			t.Fatal("the order of the packages changed the bytes of the layer")
		}
	}
	for name, h := range want.headers {
		if h.ModTime.Unix() != stamp.Unix() || h.ModTime.Nanosecond() != 0 {
			t.Errorf("%q has the time %v", name, h.ModTime)
		}
		if h.Uname != "" || h.Gname != "" || !h.AccessTime.IsZero() || !h.ChangeTime.IsZero() {
			t.Errorf("%q has a header that is not normalised: %+v", name, h)
		}
	}
}

func TestPlacesEntriesWhereDpkgDoes(t *testing.T) {
	p, pkgs := small(t)
	g := write(t, p, Spec{Packages: pkgs, Purpose: Runtime})
	g.link(t, "bin", "usr/bin")
	g.link(t, "lib", "usr/lib")
	g.body(t, "usr/lib/libc.so.6", "libc")
	g.body(t, "run/zz.pid", "")
	g.link(t, "var/run", "/run")
	g.body(t, "usr/share/elsewhere/x", "x")
	g.absent(t, "bin/tool", "lib/libc.so.6", "sbin", "lib64")
	if h := g.headers["usr/bin"]; h.Mode != 0o755 {
		t.Errorf("the first listing of a directory must count, got mode %o", h.Mode)
	}
	if h := g.headers["tmp"]; h.Mode != 0o1777 {
		t.Errorf("/tmp lost its sticky bit: %o", h.Mode)
	}
	if h := g.headers["usr/bin/tool2"]; h == nil || h.Typeflag != tar.TypeLink || h.Linkname != "usr/bin/tool" {
		t.Errorf("hard link: %+v", h)
	}
	parentsFirst(t, g)
}

func parentsFirst(t *testing.T, g got) {
	t.Helper()
	seen := map[string]bool{}
	for _, n := range g.order {
		if i := strings.LastIndexByte(n, '/'); i > 0 && !seen[n[:i]] {
			t.Errorf("%q comes before its directory", n)
		}
		seen[n] = true
	}
}

func TestContents(t *testing.T) {
	p, pkgs := small(t)
	g := write(t, p, Spec{Packages: pkgs, Purpose: Sysroot})
	byPath := map[string]Content{}
	for _, c := range g.contents {
		byPath[c.Path] = c
	}
	for _, want := range []Content{
		{"/usr/lib/libc.so.6", "libc6_1_all", "", 0o100755, 4},
		{"/usr/bin/tool", "tool_1_all", "", 0o100755, 3},
		{"/usr/bin/tool2", "tool_1_all", "/usr/bin/tool", 0o100755, 3},
		{"/bin", "base-files_1_all", "usr/bin", 0o120777, 0},
	} {
		if byPath[want.Path] != want {
			t.Errorf("got %+v, want %+v", byPath[want.Path], want)
		}
	}
}

func TestSetuidIsDroppedUnlessNamed(t *testing.T) {
	p, pkgs := small(t)
	if h := write(t, p, Spec{Packages: pkgs}).headers["usr/bin/tool"]; h.Mode != 0o755 {
		t.Errorf("mode %o", h.Mode)
	}
	g := write(t, p, Spec{Packages: pkgs, Setuid: []string{"/bin/tool"}})
	if h := g.headers["usr/bin/tool"]; h.Mode != 0o4755 {
		t.Errorf("named, mode %o", h.Mode)
	}
}

func TestMergedLinksWithoutBaseFiles(t *testing.T) {
	p := pool{}
	pkg := p.add(t, deb{name: "libc6", data: []tar.Header{file("lib64/ld.so", 0o755), file("sbin/ldconfig", 0o755)}})
	for _, purpose := range []Purpose{Toolchain, Sysroot} {
		g := write(t, p, Spec{Packages: []lock.Package{pkg}, Purpose: purpose})
		g.link(t, "lib64", "usr/lib64")
		g.link(t, "sbin", "usr/sbin")
		g.absent(t, "bin", "lib")
		if has := g.headers["tmp"] != nil; has != (purpose == Toolchain) {
			t.Errorf("%s: /tmp there: %v", purpose, has)
		}
	}
}

func TestReplaces(t *testing.T) {
	data := []tar.Header{file("usr/bin/x", 0o755)}
	p := pool{}
	old := p.add(t, deb{name: "aold", data: data, bodies: map[string]string{"usr/bin/x": "old"}})
	for _, c := range []struct{ name, fields, want, err string }{
		{"replaces", "Replaces: other, aold (<< 2)\n", "new", ""},
		{"any version", "Replaces: aold\n", "new", ""},
		{"another version", "Replaces: aold (<< 1)\n", "", `"/usr/bin/x" is in package "aold_1_all" too`},
		{"nothing", "", "", `unpacking package "new_1_all"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			pkgs := []lock.Package{old, p.add(t, deb{name: "new", fields: c.fields, data: data, bodies: map[string]string{"usr/bin/x": "new"}})}
			if c.err != "" {
				_, err := Write(context.Background(), io.Discard, Spec{Packages: pkgs}, p)
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got error %v, want %q", err, c.err)
				}
				return
			}
			g := write(t, p, Spec{Packages: pkgs})
			g.body(t, "usr/bin/x", c.want)
			if strings.Contains(g.bodies["var/lib/dpkg/info/aold.list"], "/usr/bin/x") {
				t.Error("the replaced file is still in the loser's list")
			}
		})
	}
}

func TestSharedFilesOfTwoArchitectures(t *testing.T) {
	p := pool{}
	var pkgs []lock.Package
	for _, arch := range []string{"riscv64", "amd64"} {
		pkgs = append(pkgs, p.add(t, deb{name: "libx", arch: arch, fields: "Multi-Arch: same\n",
			data: []tar.Header{file("usr/share/x", 0o644), file("usr/lib/"+arch, 0o644)}}))
	}
	g := write(t, p, Spec{Packages: pkgs})
	g.body(t, "var/lib/dpkg/info/libx:riscv64.list", "/.\n/usr/share/x\n/usr/lib/riscv64\n")
	g.body(t, "var/lib/dpkg/info/libx:amd64.list", "/.\n/usr/share/x\n/usr/lib/amd64\n")
}

func TestHardLinkToWhatIsLeftOut(t *testing.T) {
	p := pool{}
	pkg := p.add(t, deb{name: "a", data: []tar.Header{file("usr/bin/riscv64-linux-gnu-lto-dump-14", 0o755), hardlink("usr/bin/a", "usr/bin/riscv64-linux-gnu-lto-dump-14"), hardlink("usr/bin/b", "usr/bin/riscv64-linux-gnu-lto-dump-14")},
		bodies: map[string]string{"usr/bin/riscv64-linux-gnu-lto-dump-14": "body"}})
	g := write(t, p, Spec{Packages: []lock.Package{pkg}, Purpose: Toolchain})
	g.body(t, "usr/bin/a", "body")
	if h := g.headers["usr/bin/b"]; h.Typeflag != tar.TypeLink || h.Linkname != "usr/bin/a" {
		t.Errorf("second link: %+v", h)
	}
	g.absent(t, "usr/bin/riscv64-linux-gnu-lto-dump-14")
}

func TestDocumentationIsLeftOut(t *testing.T) {
	p := pool{}
	doc := dir("usr/share/doc/a", 0o750)
	pkg := p.add(t, deb{name: "a", data: []tar.Header{dir("usr/share/doc", 0o755), doc, file("usr/share/doc/a/copyright", 0o644), file("usr/share/doc/a/README", 0o644),
		symlink("usr/share/doc/b", "a"), file("usr/share/man/man1/a.1.gz", 0o644), file("usr/share/locale/de/x.mo", 0o644), file("opt/secret/x", 0o644), file("opt/secret/y", 0o644)}})
	g := write(t, p, Spec{Packages: []lock.Package{pkg}, Exclude: []string{"/opt/secret", "!/opt/*/y"}})
	g.absent(t, "usr/share/doc/a/README", "usr/share/man/man1/a.1.gz", "usr/share/locale/de", "usr/share/man/man1", "opt/secret/x")
	g.link(t, "usr/share/doc/b", "a")
	if h := g.headers["usr/share/doc/a"]; h == nil || h.Mode != 0o750 {
		t.Errorf("directory of the licence: %+v", h)
	}
	g.body(t, "usr/share/doc/a/copyright", "")
	g.body(t, "opt/secret/y", "")
}

func TestEvilPackages(t *testing.T) {
	dev := tar.Header{Typeflag: tar.TypeChar, Name: "./dev/null", Mode: 0o666, Devmajor: 1, Devminor: 3}
	plain := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644} }
	for _, c := range []struct {
		name string
		deb  deb
		err  string
	}{
		{"parent path", deb{data: []tar.Header{plain("./usr/../../etc/passwd")}}, "leads out of the root"},
		{"absolute path", deb{data: []tar.Header{plain("/etc/passwd")}}, "is absolute"},
		{"line break", deb{data: []tar.Header{plain("./a\nb")}}, "line break"},
		{"hard link out", deb{data: []tar.Header{hardlink("a", "../../etc/shadow")}}, "leads out of the root"},
		{"hard link to nothing", deb{data: []tar.Header{hardlink("a", "b")}}, "is a hard link to"},
		{"device", deb{data: []tar.Header{dev}}, "device or pipe"},
		{"twice", deb{data: []tar.Header{plain("./a"), plain("./a")}}, "occurs twice"},
		{"below a file", deb{data: []tar.Header{plain("./a"), plain("./a/b")}}, "no directory"},
		{"link loop", deb{data: []tar.Header{symlink("a", "b"), symlink("b", "a"), plain("./a/x")}}, "symbolic links"},
		{"compression", deb{pack: ".lzma"}, "not supported"},
		{"control path", deb{pack: ".xz", control: map[string]string{"a/b": ""}}, "no name of a control file"},
		{"second paragraph", deb{fields: "\nPackage: other\n"}, "more than one paragraph"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pool{}
			c.deb.name = "evil"
			pkg := p.add(t, c.deb)
			_, err := Write(context.Background(), io.Discard, Spec{Packages: []lock.Package{pkg}}, p)
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "evil_1_all") {
				t.Fatalf("got error %v, want one with %q that names the package", err, c.err)
			}
		})
	}
}

func TestSymlinksStayInTheRoot(t *testing.T) {
	p := pool{}
	pkg := p.add(t, deb{name: "a", data: []tar.Header{symlink("up", "../../../../etc"), symlink("abs", "/etc"), file("up/x", 0o644), file("abs/y", 0o644)}})
	g := write(t, p, Spec{Packages: []lock.Package{pkg}, Purpose: Sysroot})
	g.body(t, "etc/x", "")
	g.body(t, "etc/y", "")
	for _, n := range g.order {
		if strings.HasPrefix(n, "/") || strings.Contains(n, "..") {
			t.Errorf("entry %q leaves the root", n)
		}
	}
}

func TestDamagedFiles(t *testing.T) {
	p := pool{}
	pkg := p.add(t, deb{name: "a", pack: ".xz", data: []tar.Header{file("x", 0o644)}, bodies: map[string]string{"x": strings.Repeat("x", 1000)}})
	whole := p[pkg.ID]
	for n := 0; n < len(whole)-1; n += 7 {
		p[pkg.ID] = whole[:n]
		if _, err := Write(context.Background(), io.Discard, Spec{Packages: []lock.Package{pkg}}, p); err == nil || !strings.Contains(err.Error(), pkg.ID) {
			t.Fatalf("cut at %d of %d bytes: error %v", n, len(whole), err)
		}
	}
	for n := len(arMagic) + arHeaderSize + 4; n < len(whole)-1; n += 11 {
		p[pkg.ID] = bytes.Clone(whole)
		p[pkg.ID][n] ^= 0x55
		_, _ = Write(context.Background(), io.Discard, Spec{Packages: []lock.Package{pkg}}, p) // any answer but a panic
	}
	delete(p, pkg.ID)
	if _, err := Write(context.Background(), io.Discard, Spec{Packages: []lock.Package{pkg}}, p); err == nil {
		t.Error("a missing file went unnoticed")
	}
}

func TestCancelledAndFailingWriter(t *testing.T) {
	p, pkgs := small(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Write(ctx, io.Discard, Spec{Packages: pkgs}, p); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Write(context.Background(), full{}, Spec{Packages: pkgs}, p); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("full disk: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errNoSpace }

func TestKey(t *testing.T) {
	_, pkgs := small(t)
	base := Spec{Packages: pkgs, Setuid: []string{"/a", "/b"}}
	same := Spec{Packages: []lock.Package{pkgs[3], pkgs[1], pkgs[0], pkgs[2]}, Setuid: []string{"/b", "/a"}}
	if base.Key() != same.Key() {
		t.Error("order changes the key")
	}
	seen := map[string]string{base.Key(): "base"}
	for name, s := range map[string]Spec{
		"purpose":  {Packages: pkgs, Setuid: base.Setuid, Purpose: Sysroot},
		"below":    {Packages: pkgs[:3], Below: pkgs[3:], Setuid: base.Setuid},
		"fewer":    {Packages: pkgs[:3], Setuid: base.Setuid},
		"exclude":  {Packages: pkgs, Setuid: base.Setuid, Exclude: []string{"/x"}},
		"setuid":   {Packages: pkgs},
		"unpacked": {Packages: pkgs, Setuid: base.Setuid, Unpacked: true},
	} {
		if other, ok := seen[s.Key()]; ok {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[s.Key()] = name
	}
}
