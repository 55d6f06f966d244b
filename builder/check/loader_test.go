package check

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/riscv-build/riscv-build/recipes"
)

func TestClosure(t *testing.T) {
	app := func(needed ...string) item { return binFile("usr/bin/app", program(needed...)) }
	newer := program("libc.so.6")
	newer.wants = []VersionNeed{{File: "libc.so.6", Versions: []string{"GLIBC_2.34", "GLIBC_2.41", "weak GLIBC_ABI_X"}}}
	noLoader := binaryFile{flags: 5, arch: gc, interp: "/lib/ld-linux-riscv64-lp64.so.1", needed: []string{"libc.so.6"}}
	runpath := program("libown.so.1")
	runpath.runpath = "$ORIGIN/../libexec/app:relative"
	rpath := program("libown.so.1")
	rpath.rpath = "${ORIGIN}/../libexec/app"
	own := binFile("usr/libexec/app/libown.so.1", shared("libown.so.1", "libown2.so.1"))
	own2 := binFile("usr/libexec/app/libown2.so.1", shared("libown2.so.1"))
	plugin := binFile("usr/lib/app/plugin.so", shared("", "libtk.so.8", "libc.so.6"))
	runCases(t, []imageCase{
		{
			name: "missing library", image: appImage(t, app("libpcre2-8.so.0", "libc.so.6")),
			want: []string{`error library: /usr/bin/app needs "libpcre2-8.so.0", which the image does not have: add the package that holds it to image.packages, or build without it`},
		},
		{
			name: "missing library of a library", image: appImage(t, app("liba.so.1"), binFile(libDir+"/liba.so.1", shared("liba.so.1", "libb.so.1"))),
			want: []string{`error library: /usr/lib/riscv64-linux-gnu/liba.so.1 needs "libb.so.1" (loaded by /usr/bin/app), which the image does not have: add the package that holds it to image.packages, or build without it`},
		},
		{
			name: "missing symbol version", image: appImage(t, binFile("usr/bin/app", newer)),
			want: []string{`error symbol-version: /usr/bin/app wants the symbols GLIBC_2.41 of "libc.so.6", which /usr/lib/riscv64-linux-gnu/libc.so.6 does not have: build it with the libraries that the image has, or take the newer library's package`},
		},
		{
			name: "missing interpreter", image: appImage(t, binFile("usr/bin/app", noLoader)),
			want: []string{`error interpreter: /usr/bin/app is loaded by "/lib/ld-linux-riscv64-lp64.so.1", which the image does not have: add the package that holds it (libc6) to image.packages, or link the program statically`},
		},
		{
			name: "foreign library is passed over", image: appImage(t, app("libx.so.1"), binFile(libDir+"/libx.so.1", binaryFile{machine: elf.EM_X86_64, soname: "libx.so.1"})),
			want: []string{
				`error library: /usr/bin/app needs "libx.so.1", which the image does not have: add the package that holds it to image.packages, or build without it`,
				`error machine: /usr/lib/riscv64-linux-gnu/libx.so.1 is an ELF file for amd64, the image is for riscv64: build it for riscv64, or take it from a riscv64 package`,
			},
		},
		{
			name: "DT_RUNPATH is not inherited", image: appImage(t, binFile("usr/bin/app", runpath), own, own2),
			want: []string{`error library: /usr/libexec/app/libown.so.1 needs "libown2.so.1" (loaded by /usr/bin/app), which is at /usr/libexec/app/libown2.so.1, where the loader does not look: install the library in /usr/lib/riscv64-linux-gnu, or link with -Wl,-rpath,/usr/libexec/app`},
		},
		{name: "DT_RPATH is inherited", image: appImage(t, binFile("usr/bin/app", rpath), own, own2)},
		{
			name: "plugin", image: appImage(t, app("libc.so.6"), plugin),
			want: []string{`error library: /usr/lib/app/plugin.so needs "libtk.so.8", which the image does not have: add the package that holds it to image.packages, or build without it`},
		},
		{
			name:  "plugin that its program serves",
			image: appImage(t, app("libc.so.6"), binFile("usr/lib/jvm/server/libjvm.so", shared("libjvm.so")), binFile("usr/lib/jvm/libjava.so", shared("", "libjvm.so"))),
			want:  []string{`note library: /usr/lib/jvm/libjava.so needs "libjvm.so", which is at /usr/lib/jvm/server/libjvm.so: it works in programs that have loaded that before`},
		},
		{
			name: "plugin that may", image: appImage(t, app("libc.so.6"), plugin),
			opt: Options{Allow: []recipes.Allow{{Path: "/usr/lib/app/**", Missing: []string{"libtk.so.*"}, Why: "loaded on request"}}},
		},
		{
			name: "whiteout hides a library", image: appImage(t, app("libz.so.1"), binFile(libDir+"/libz.so.1", shared("libz.so.1"))).layer(t, file(libDir+"/.wh.libz.so.1", 0, "")),
			want: []string{`error library: /usr/bin/app needs "libz.so.1", which the image does not have: add the package that holds it to image.packages, or build without it`},
		},
	})
}

func TestLdCache(t *testing.T) {
	lib := binFile("usr/local/lib/libz.so.1", shared("libz.so.1"))
	conf := []item{
		file("etc/ld.so.conf", 0o644, "include /etc/ld.so.conf.d/*.conf\n"),
		file("etc/ld.so.conf.d/libc.conf", 0o644, "# local\n/usr/local/lib\n"),
	}
	app := binFile("usr/bin/app", program("libz.so.1"))
	cache := file("etc/ld.so.cache", 0o644, string(ldCache("libz.so.1", "/usr/local/lib/libz.so.1")))
	runCases(t, []imageCase{
		{name: "in the cache", image: appImage(t, append(conf, lib, app, cache)...)},
		{
			name: "in ld.so.conf only", image: appImage(t, append(conf, lib, app)...),
			want: []string{`error library: /usr/bin/app needs "libz.so.1", which is at /usr/local/lib/libz.so.1: the loader looks there through /etc/ld.so.cache only, and that does not list it: install the library in /usr/lib/riscv64-linux-gnu, or link with -Wl,-rpath,/usr/local/lib`},
		},
	})
}

// ldCache writes a cache of one library in glibc's format.
func ldCache(soname, at string) []byte {
	var b bytes.Buffer
	b.WriteString("glibc-ld.so.cache1.1")
	text := soname + "\x00" + at + "\x00"
	for _, v := range []any{uint32(1), uint32(len(text)), [5]uint32{}, int32(3), uint32(72), uint32(72 + len(soname) + 1), uint32(0), uint64(0)} {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	b.WriteString(text)
	return b.Bytes()
}

func TestMusl(t *testing.T) {
	app := binaryFile{flags: 5, arch: gc, interp: "/lib/ld-musl-riscv64.so.1", needed: []string{"libc.musl-riscv64.so.1", "libz.so.1"}}
	app.wants = []VersionNeed{{File: "libz.so.1", Versions: []string{"ZLIB_9"}}}
	items := []item{
		binFile("lib/ld-musl-riscv64.so.1", shared("libc.musl-riscv64.so.1")),
		binFile("usr/bin/app", app), binFile("usr/local/lib/libz.so.1", shared("libz.so.1")),
	}
	runCases(t, []imageCase{
		{name: "default directories", image: newImage("/usr/bin/app").layer(t, items...)},
		{
			name: "path file", image: newImage("/usr/bin/app").layer(t, append(items, file("etc/ld-musl-riscv64.path", 0o644, "/lib:/usr/lib\n"))...),
			want: []string{`error library: /usr/bin/app needs "libz.so.1", which is at /usr/local/lib/libz.so.1, where the loader does not look: install the library in /usr/lib/riscv64-linux-gnu, or link with -Wl,-rpath,/usr/local/lib`},
		},
	})
}

func TestNeeded(t *testing.T) {
	own := program("libown.so.1", "libc.so.6", "libssl.so.3")
	own.runpath = "$ORIGIN/../lib/own"
	raw := layerTar(t,
		binFile("usr/bin/app", own), binFile("usr/lib/own/libown.so.1", shared("libown.so.1", "libz.so.1")),
		binFile("usr/lib/own/plugin.so", shared("", "libxml2.so.2", "libfar.so")), binFile("opt/libfar.so", shared("libfar.so")),
		binFile("usr/bin/static", binaryFile{kind: 2, flags: 5, arch: gc}),
		file("usr/bin/script", 0o755, "#!/bin/sh\n"))
	got, err := Needed(context.Background(), bytes.NewReader(raw))
	must(t, err)
	want := []Need{
		{Path: "/usr/bin/app", Sonames: []string{"libc.so.6", "libssl.so.3"}, Interp: glibcLoader},
		{Path: "/usr/lib/own/libown.so.1", Sonames: []string{"libz.so.1"}},
		{Path: "/usr/lib/own/plugin.so", Sonames: []string{"libxml2.so.2"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if names := got[0].Names(); !reflect.DeepEqual(names, []string{"libc.so.6", "libssl.so.3", glibcLoader}) {
		t.Errorf("got %q", names)
	}
}
