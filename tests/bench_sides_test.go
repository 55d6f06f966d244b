package tests

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/builder/debian/rootfs"
	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
	"github.com/riscv-build/riscv-build/templates"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// script is what is run on a side: unpack, and the steps, each timed. triplet is
// that of the machine whose compiler it is.
func (b *bench) script(triplet string) (unpack, build string) {
	b.t.Helper()
	rec, _ := b.lock.Recipe(b.recipe.Name)
	var files []graph.SourceFiles
	for _, s := range rec.Sources {
		f := graph.SourceFiles{Name: s.Name, Into: b.recipe.Source[s.Name].Into}
		for _, blob := range s.Files {
			f.Files = append(f.Files, path.Base(blob.URL))
		}
		files = append(files, f)
	}
	var patches []string
	for _, p := range b.recipe.Build.Patches {
		patches = append(patches, path.Base(p))
	}
	tmpl, _ := templates.Lookup(b.recipe.Build.Template)
	steps, err := tmpl.Steps(b.recipe.Build, templates.Target{Host: triplet, Triplet: triplet})
	if err != nil {
		b.t.Fatal(err)
	}
	var out strings.Builder
	for _, kv := range b.env(triplet) {
		fmt.Fprintf(&out, "export %s='%s'\n", kv[0], kv[1])
	}
	for _, s := range steps {
		fmt.Fprintf(&out, "echo step %s $(date +%%s%%N)\n(cd /src/%s\n%s)\n", s.Name, b.recipe.Build.Dir, s.Script)
	}
	out.WriteString("echo step end $(date +%s%N)\n")
	build = "set -e\n" + out.String()
	if triplet != graph.Triplet {
		build = strings.ReplaceAll(build, "-msave-restore", "") // RISC-V's alone
	}
	return "set -e\n" + graph.UnpackScript(files, patches), build
}

func (b *bench) env(triplet string) [][2]string {
	m := map[string]string{"CC": "gcc", "CXX": "g++", "CPP": "cpp", "AR": "ar", "RANLIB": "ranlib", "STRIP": "strip", "NM": "nm", "LD": "ld",
		"OBJCOPY": "objcopy", "PKG_CONFIG": "pkg-config", "HOSTCC": "gcc", "JOBS": strconv.Itoa(benchJobs), "DESTDIR": "/out", "SYSROOT": "",
		"TRIPLET": triplet, "BUILD_TRIPLET": triplet, "LC_ALL": "C.UTF-8", "HOME": "/tmp", "SOURCE_DATE_EPOCH": "0"}
	for k, v := range b.recipe.Build.Env {
		m[k] = v
	}
	var out [][2]string
	for k, v := range m {
		out = append(out, [2]string{k, v})
	}
	sort.Slice(out, func(i, j int) bool { return out[i][0] < out[j][0] })
	return out
}

// sources writes the source files as a graph sees them.
func (b *bench) sources(dir string) {
	b.t.Helper()
	rec, _ := b.lock.Recipe(b.recipe.Name)
	for _, s := range rec.Sources {
		for _, f := range s.Files {
			b.copyBlob(f.SHA256, filepath.Join(dir, s.Name, path.Base(f.URL)))
		}
	}
	for _, p := range b.recipe.Build.Patches {
		data, err := readFS(b.recipe, p)
		if err != nil {
			b.t.Fatal(err)
		}
		os.MkdirAll(filepath.Join(dir, "patches"), 0o755)
		write(b.t, filepath.Join(dir, "patches", path.Base(p)), string(data))
	}
}

func readFS(r *recipes.Recipe, name string) ([]byte, error) {
	f, err := r.Dir.Open(path.Clean(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func (b *bench) copyBlob(sha, to string) {
	b.t.Helper()
	r, err := b.store.Open(context.Background(), digest.NewDigestFromEncoded(digest.SHA256, sha))
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	os.MkdirAll(filepath.Dir(to), 0o755)
	f, err := os.Create(to)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, r); err != nil {
		b.t.Fatal(err)
	}
}

type debs struct{ b *bench }

func (d debs) Open(p lock.Package) (io.ReadSeekCloser, error) {
	return d.b.store.Open(context.Background(), digest.NewDigestFromEncoded(digest.SHA256, p.SHA256))
}

// root assembles a root filesystem with compiler and development packages.
func (b *bench) root(arch, dir string) {
	b.t.Helper()
	want := slices.Concat([]string{"base-files", "bash", "bzip2", "coreutils", "dash", "diffutils", "file", "findutils", "gawk", "grep", "gzip", "make", "patch", "perl",
		"sed", "tar", "xz-utils", "binutils", "g++", "gcc", "libc6-dev", "pkgconf", "libcrypt-dev"}, b.recipe.Build.Packages, b.recipe.Build.Tools)
	ctx := context.Background()
	ix, err := debian.Open(ctx, debian.OpenOptions{Suites: recipes.DefaultSuites, Components: []string{"main"}, Arches: []string{arch},
		Mirrors: upstream(b.t), AllowExpired: true, CacheDir: filepath.Join(rig.Work, "indexes")})
	if err != nil {
		b.t.Fatal(err)
	}
	pkgs, err := debian.Resolve(ctx, ix, debian.Request{Arch: arch, Packages: want})
	if err != nil {
		b.t.Fatal(err)
	}
	var blobs []fetch.Blob
	for _, p := range pkgs {
		blobs = append(blobs, fetch.Blob{Name: p.ID, Digest: digest.NewDigestFromEncoded(digest.SHA256, p.SHA256), Size: p.Size, URLs: upstream(b.t).URLs(p.Archive, p.Path)})
	}
	if _, err := b.store.Fetch(ctx, blobs, fetch.Options{}); err != nil {
		b.t.Fatal(err)
	}
	tarball := dir + ".tar"
	f, err := os.Create(tarball)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := rootfs.Write(ctx, f, rootfs.Spec{Packages: pkgs, Purpose: rootfs.Toolchain}, debs{b}); err != nil {
		b.t.Fatal(err)
	}
	f.Close()
}

// native compiles for amd64 in a chroot and gives the seconds of each step.
func (b *bench) native() map[string]float64 {
	b.t.Helper()
	dir := filepath.Join(rig.Work, "native-"+b.recipe.Name)
	b.root("amd64", dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	must(b.t, "tar", "-xf", dir+".tar", "-C", dir)
	b.sources(filepath.Join(dir, "sources"))
	unpack, build := b.script(graph.HostTriplet(ocispec.Platform{Architecture: "amd64"}))
	for _, d := range []string{"src", "out", "tmp"} {
		os.MkdirAll(filepath.Join(dir, d), 0o755)
	}
	write(b.t, filepath.Join(dir, "unpack"), unpack)
	write(b.t, filepath.Join(dir, "build"), build)
	enter := func(script string) string {
		return must(b.t, "unshare", "--mount", "--net", "--", "sh", "-ec",
			fmt.Sprintf("mount -t proc proc %[1]s/proc; mount --bind /dev %[1]s/dev; exec chroot %[1]s /bin/sh /%[2]s", dir, script))
	}
	enter("unpack")
	out := enter("build")
	os.RemoveAll(dir)
	return stepTimes(b.t, out)
}

// emulated builds a Dockerfile with Docker's BuildKit on a prepared riscv64 root.
func (b *bench) emulated(c client) map[string]float64 {
	b.t.Helper()
	d := c.(dockerLike)
	dir := filepath.Join(rig.Work, "emulated-"+b.recipe.Name)
	b.root("riscv64", dir)
	b.sources(filepath.Join(dir, "sources"))
	unpack, build := b.script(graph.Triplet)
	write(b.t, filepath.Join(dir, "unpack"), "mkdir -p /src /out /tmp\n"+unpack)
	write(b.t, filepath.Join(dir, "build"), build)
	write(b.t, filepath.Join(dir, "Dockerfile"), "FROM scratch\nADD root.tar /\nCOPY sources /sources\nCOPY unpack build /\nRUN /bin/sh /unpack\nRUN /bin/sh /build\n")
	if err := os.Rename(dir+".tar", filepath.Join(dir, "root.tar")); err != nil {
		b.t.Fatal(err)
	}
	// The client of the engine's own package: a newer one wants a plugin for BuildKit.
	program := "/usr/bin/docker"
	if _, err := os.Stat(program); err != nil {
		program = d.program
	}
	cmd := exec.Command(program, append(slices.Clone(d.global), "build", "--platform", "linux/riscv64", "--network", "none", "--progress", "plain", dir)...)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		b.t.Fatalf("docker build: %v\n%s", err, tail(out.String(), 40))
	}
	os.RemoveAll(dir)
	return stepTimes(b.t, out.String())
}
