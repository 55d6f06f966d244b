package builder

import (
	"archive/tar"
	"context"
	_ "embed" // compiler.sh
	"io"
	"strings"
	"time"

	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/builder/image"
)

// crossAssumed are packages that the cross compiler's own depend on and that
// are left out of the toolchain: libc, start files, libgcc and libstdc++ are
// those of the locked riscv64 sysroot, as in a native build.
var crossAssumed = []string{
	"gcc-14-cross-base", "libasan8-riscv64-cross", "libatomic1-riscv64-cross", "libc6-dev-riscv64-cross",
	"libc6-riscv64-cross", "libgcc-14-dev-riscv64-cross", "libgcc-s1-riscv64-cross", "libgomp1-riscv64-cross",
	"libitm1-riscv64-cross", "liblsan0-riscv64-cross", "libstdc++-14-dev-riscv64-cross", "libstdc++6-riscv64-cross",
	"libtsan2-riscv64-cross", "libubsan1-riscv64-cross", "linux-libc-dev-riscv64-cross",
}

// link is a symbolic link of the glue.
type link struct{ path, target string }

// Packages are unpacked without their maintainer scripts, so the links that
// update-alternatives would make are made here.
var (
	hostLinks   = []link{{"usr/bin/awk", "gawk"}, {"usr/bin/which", "which.debianutils"}}
	nativeLinks = []link{{"usr/bin/cc", "gcc"}, {"usr/bin/c++", "g++"}, {glueDir + "/cc", "gcc"}, {glueDir + "/c++", "g++"}}
	crossLinks  = []link{
		{"usr/riscv64-linux-gnu/lib", "/sysroot/usr/lib/gcc/riscv64-linux-gnu/14"},
		{"usr/lib/gcc-cross/riscv64-linux-gnu/14/include", "/sysroot/usr/lib/gcc/riscv64-linux-gnu/14/include"},
		{glueDir + "/riscv64-linux-gnu-gcc-ar", "/usr/bin/riscv64-linux-gnu-gcc-ar-14"},
		{glueDir + "/riscv64-linux-gnu-gcc-nm", "/usr/bin/riscv64-linux-gnu-gcc-nm-14"},
		{glueDir + "/riscv64-linux-gnu-gcc-ranlib", "/usr/bin/riscv64-linux-gnu-gcc-ranlib-14"},
	}
)

const (
	glueDir = "usr/lib/riscv-build/bin"
	// sysrootSpecs gives g++ the header directories of the sysroot in the order
	// of a native one. They cannot be given as -I (the order would be wrong),
	// and the sysroot itself cannot be set in specs: gcc computes the
	// directories of start files before it reads them.
	sysrootSpecs = `*cc1plus:
+ %{!nostdinc:%{!nostdinc++:-nostdinc++ -isystem =/usr/include/c++/14 -isystem =/usr/include/riscv64-linux-gnu/c++/14 -isystem =/usr/include/c++/14/backward}}

`
)

// compilerScript stands before a compiler, which it calls by the name and
// options that take the place of @COMPILER@.
//
//go:embed compiler.sh
var compilerScript string

// targetTools are the compilers by the names that builds call them.
func targetTools(m graph.Mode) map[string]string {
	if m != graph.Cross {
		return map[string]string{"gcc": "/usr/bin/gcc", "g++": "/usr/bin/g++"}
	}
	tools := map[string]string{}
	for _, name := range []string{"gcc", "g++", "cpp"} {
		// File names of sysroot headers come out as in a native build.
		tools[graph.Triplet+"-"+name] = "/usr/bin/" + graph.Triplet + "-" + name + "-14" +
			" --sysroot=/sysroot -specs=/usr/lib/riscv-build/sysroot.specs -ffile-prefix-map=/sysroot="
	}
	return tools
}

// glueDate is the time of the glue's files: they change with this program only.
var glueDate = time.Unix(0, 0)

// glueLayer is what turns unpacked packages into a working toolchain.
func (b *Builder) glueLayer(ctx context.Context, m graph.Mode) (image.Layer, error) {
	t := image.NewTree()
	links := append([]link(nil), hostLinks...)
	if m == graph.Cross {
		links = append(links, crossLinks...)
		t.Add(tar.Header{Typeflag: tar.TypeReg, Name: "usr/lib/riscv-build/sysroot.specs", Mode: 0o644}, []byte(sysrootSpecs))
	} else {
		links = append(links, nativeLinks...)
	}
	for name, compiler := range targetTools(m) {
		script := strings.Replace(compilerScript, "@COMPILER@", compiler, 1)
		t.Add(tar.Header{Typeflag: tar.TypeReg, Name: glueDir + "/" + name, Mode: 0o755}, []byte(script))
	}
	for _, l := range links {
		t.Add(tar.Header{Typeflag: tar.TypeSymlink, Name: l.path, Linkname: l.target, Mode: 0o777}, nil)
	}
	return image.PutTar(ctx, b.store.Content(), "toolchain glue", func(w io.Writer) error { return t.Write(w, glueDate) })
}
