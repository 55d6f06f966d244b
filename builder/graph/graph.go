// Package graph turns a recipe's build into a BuildKit LLB graph. It is pure:
// the same input gives the same bytes, run after run; there is no clock, no
// network and no file access here.
//
// Everything that enters a graph is an OCI image in the client's content store,
// named by the digest of its manifest; the graph's result is the tree below
// DESTDIR. Only operations and capabilities of BuildKit v0.12 are used (OCI
// layout sources, secrets, cache mounts, diff), so any BuildKit since then solves it.
package graph

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/protobuf/proto"
)

// Mode is how riscv64 code comes about (design: cross compiler on the build
// host, the board's own compiler, or a riscv64 compiler under emulation).
type Mode string

// The modes. Emulate and Native give the same graph: what differs is who executes it.
const (
	Cross   Mode = "cross"
	Native  Mode = "native"
	Emulate Mode = "emulate"
)

// Step is one shell script of a build, run with /bin/sh -e in Dir.
type Step struct {
	Name   string
	Script string
}

// Input is all that decides a graph.
type Input struct {
	Recipe    string
	Mode      Mode
	Host      ocispec.Platform // that executes the toolchain; linux/riscv64 for Native and Emulate
	Toolchain digest.Digest    // manifest of the root filesystem with compiler and tools
	Sysroot   digest.Digest    // manifest of the riscv64 development packages; Cross only
	Sources   digest.Digest    // manifest of the image that holds source files and patches; empty: no source
	Unpack    string           // script that unpacks /sources into /src; see Unpack
	Steps     []Step
	Dir       string // directory below /src that the steps run in
	Env       map[string]string
	Date      time.Time // SOURCE_DATE_EPOCH of every step
	Go        *Go       // nil: the toolchain is a C compiler
}

// Paths inside a build.
const (
	SourceDir = "/src"
	OutDir    = "/out"
	Sysroot   = "/sysroot"
	InputDir  = "/sources"
	jobsFile  = "/run/riscv-build/jobs"
)

// JobsSecret is the secret that gives the number of make jobs. A secret is no
// part of the graph's bytes: a board with four cores and a PC with sixteen
// solve the same graph.
const JobsSecret = "jobs"

// Store is the name of the client's content store in a graph. It is fixed: a
// session's identifier would enter the bytes.
const Store = "riscv-build"

// Marshal returns the graph as a marshalled pb.Definition.
func Marshal(ctx context.Context, in Input) ([]byte, error) {
	st, err := state(in)
	if err != nil {
		return nil, fmt.Errorf("making the graph of recipe %q: %w", in.Recipe, err)
	}
	return marshal(ctx, st, in.Host)
}

func marshal(ctx context.Context, st llb.State, p ocispec.Platform) ([]byte, error) {
	def, err := st.Marshal(ctx, llb.Platform(p))
	if err != nil {
		return nil, fmt.Errorf("marshalling the graph: %w", err)
	}
	// The generated MarshalVT writes maps in random order.
	return proto.MarshalOptions{Deterministic: true}.Marshal(def.ToPB())
}

func state(in Input) (llb.State, error) {
	if len(in.Steps) == 0 {
		return llb.State{}, fmt.Errorf("there is no step: name a build.template or set build.steps")
	}
	b := builder{in: in, root: source("toolchain", in.Toolchain, in.Host)}
	b.src, b.out = llb.Scratch(), llb.Scratch()
	if in.Sources != "" {
		b.sources = source("sources", in.Sources, in.Host)
		b.run(Step{Name: "unpack", Script: in.Unpack}, SourceDir, true)
	}
	dir := SourceDir
	if in.Dir != "" && in.Dir != "." {
		dir += "/" + in.Dir
	}
	for _, s := range in.Steps {
		b.run(s, dir, false)
	}
	return b.out, nil
}

// source references an image of the client's content store.
func source(name string, manifest digest.Digest, p ocispec.Platform) llb.State {
	return llb.OCILayout("riscv-build/"+name+"@"+manifest.String(), llb.OCIStore("", Store), llb.Platform(p),
		llb.WithCustomName("load "+name))
}

type builder struct {
	in            Input
	root, sources llb.State
	src, out      llb.State
}

// run adds one exec. Source and output trees are mounts of their own, so that a
// step's result is a small difference and the root stays shared by all recipes.
func (b *builder) run(s Step, dir string, unpack bool) {
	script := prelude + s.Script
	switch {
	case !unpack && b.in.Go != nil:
		script = prelude + goPrelude + s.Script
	case !unpack:
		script = prelude + ccachePrelude + s.Script
	}
	opts := []llb.RunOption{
		llb.Args([]string{"/bin/sh", "-ec", script, s.Name}),
		llb.Dir(dir),
		llb.Network(pb.NetMode_NONE),
		llb.Hostname("riscv-build"),
		llb.WithCustomName(b.in.Recipe + ": " + s.Name),
		llb.Platform(b.in.Host),
		llb.AddSecret(jobsFile, llb.SecretID(JobsSecret), llb.SecretOptional),
		llb.AddMount("/tmp", llb.Scratch(), llb.Tmpfs()),
	}
	for _, kv := range b.env() {
		opts = append(opts, llb.AddEnv(kv[0], kv[1]))
	}
	switch {
	case unpack:
		opts = append(opts, llb.Dir("/"), llb.AddMount(InputDir, b.sources, llb.Readonly))
	case b.in.Go != nil:
		opts = append(opts, b.goOptions()...)
	default:
		opts = append(opts, b.compileOptions()...)
	}
	run := b.root.Run(opts...)
	b.src = run.AddMount(SourceDir, b.src)
	b.out = run.AddMount(OutDir, b.out)
}

var riscv64 = ocispec.Platform{OS: "linux", Architecture: "riscv64"}

const prelude = "JOBS=$(cat " + jobsFile + " 2>/dev/null || nproc); export JOBS\n"

// env is the environment of every step: fixed names, then the recipe's, sorted.
func (b *builder) env() [][2]string {
	m := map[string]string{
		"PATH": "/usr/lib/riscv-build/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME": "/tmp", "TZ": "UTC", "LC_ALL": "C.UTF-8",
		"SOURCE_DATE_EPOCH": strconv.FormatInt(b.in.Date.Unix(), 10),
		"DESTDIR":           OutDir, "TRIPLET": Triplet,
	}
	if b.in.Go != nil {
		maps.Copy(m, goEnv())
	} else {
		maps.Copy(m, b.ccacheEnv())
		maps.Copy(m, compilers(b.in.Mode, b.in.Host))
	}
	maps.Copy(m, b.in.Env)
	return sortedEnv(m)
}

func sortedEnv(m map[string]string) [][2]string {
	out := make([][2]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, [2]string{k, m[k]})
	}
	return out
}

// Triplet is the GNU triplet of the target.
const Triplet = "riscv64-linux-gnu"

// HostTriplet returns Debian's GNU triplet of a build host.
func HostTriplet(p ocispec.Platform) string {
	switch p.Architecture {
	case "amd64":
		return "x86_64-linux-gnu"
	case "arm64":
		return "aarch64-linux-gnu"
	}
	return Triplet
}

// compilers names the tools of a mode. Cross tools find everything of the
// target below the sysroot; in the other modes the root is the sysroot.
func compilers(m Mode, host ocispec.Platform) map[string]string {
	prefix := ""
	env := map[string]string{"BUILD_TRIPLET": HostTriplet(host), "SYSROOT": ""}
	if m == Cross {
		prefix = Triplet + "-"
		env["SYSROOT"] = Sysroot
		env["QEMU_LD_PREFIX"] = Sysroot
		env["PKG_CONFIG_SYSROOT_DIR"] = Sysroot
		env["PKG_CONFIG_LIBDIR"] = below("/usr/lib/"+Triplet+"/pkgconfig", "/usr/share/pkgconfig")
		// Without these two it names the sysroot's standard directories as if they were extra ones.
		env["PKG_CONFIG_SYSTEM_INCLUDE_PATH"] = below("/usr/include", "/usr/include/"+Triplet)
		env["PKG_CONFIG_SYSTEM_LIBRARY_PATH"] = below("/usr/lib/"+Triplet, "/usr/lib")
	}
	for name, tool := range map[string]string{"CC": "gcc", "CXX": "g++", "CPP": "cpp", "AR": "ar", "RANLIB": "ranlib",
		"STRIP": "strip", "NM": "nm", "LD": "ld", "OBJCOPY": "objcopy"} {
		env[name] = prefix + tool
	}
	env["PKG_CONFIG"], env["HOSTCC"] = "pkg-config", "gcc"
	return env
}

// below joins directories of the sysroot as a search path.
func below(dirs ...string) string {
	return Sysroot + strings.Join(dirs, ":"+Sysroot)
}

// Configure is the graph of `maintainer_scripts = true`: dpkg's own
// configuration of unpacked packages, run in the image's root filesystem. The
// result is what it changed.
func Configure(ctx context.Context, recipe string, root digest.Digest, date time.Time) ([]byte, error) {
	base := source("image", root, riscv64)
	done := base.Run(
		llb.Args([]string{"/bin/sh", "-ec", configureScript, "configure"}),
		llb.Network(pb.NetMode_NONE), llb.Hostname("riscv-build"), llb.Platform(riscv64),
		llb.AddEnv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
		llb.AddEnv("DEBIAN_FRONTEND", "noninteractive"), llb.AddEnv("DEBCONF_NONINTERACTIVE_SEEN", "true"),
		llb.AddEnv("LC_ALL", "C.UTF-8"), llb.AddEnv("TZ", "UTC"), llb.AddEnv("HOME", "/root"),
		llb.AddEnv("SOURCE_DATE_EPOCH", strconv.FormatInt(date.Unix(), 10)),
		llb.AddMount("/tmp", llb.Scratch(), llb.Tmpfs()),
		llb.WithCustomName(recipe+": configure packages"),
	).Root()
	return marshal(ctx, llb.Diff(base, done, llb.WithCustomName(recipe+": what configuration changed")), riscv64)
}

// configureScript keeps services from being started, as in any build chroot,
// and removes what is a log, a backup or a cache: its bytes differ run by run.
const configureScript = `printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
dpkg --configure -a
rm -f /usr/sbin/policy-rc.d /var/log/dpkg.log /var/log/alternatives.log /var/cache/ldconfig/aux-cache
rm -f /var/lib/dpkg/*-old /var/cache/debconf/*-old /var/lib/dpkg/lock* /var/lib/dpkg/triggers/Lock
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow-
`
