package builder

import (
	"sort"
	"strings"

	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/templates"
)

// The archive's packages that a build stands on. Versions of GCC are those of
// the default suite.
var (
	// hostTools are what every build's steps use, on any host.
	hostTools = []string{"base-files", "bash", "bzip2", "coreutils", "dash", "diffutils", "file", "findutils", "gawk", "grep", "gzip", "make", "patch", "perl", "sed", "tar", "xz-utils"}
	// crossTools compile for riscv64 on another architecture.
	crossTools = []string{"binutils-riscv64-linux-gnu", "ccache", "g++-14-riscv64-linux-gnu", "gcc-14-riscv64-linux-gnu", "pkgconf"}
	// nativeTools compile on (or under emulation of) riscv64.
	nativeTools = []string{"binutils", "ccache", "g++", "gcc", "libc6-dev", "pkgconf"}
	// sysrootPackages are the target's C and C++ libraries: in every mode it is
	// from these that programs are linked.
	sysrootPackages = []string{"base-files", "libc6-dev", "libcrypt-dev", "libgcc-14-dev", "libstdc++-14-dev", "linux-libc-dev"}
	// probePackages hold what a [[test]] connects with.
	probePackages = []string{"busybox-static"}
)

// hosts are the architectures whose toolchain a lock holds.
var hosts = []string{"amd64", "arm64", "riscv64"}

// want is one set of packages that a lock must solve.
type want struct {
	set       string // name in the lock
	below     string // the shared set that a recipe's own is put on top of
	arch      string
	packages  []string
	assume    []string
	essential bool
	alone     bool // just these packages, without what they depend on
}

// wants lists the sets of one recipe, for every build host: a lock made on a
// PC serves the board.
func wants(r *recipes.Recipe) []want {
	at := suffix(r)
	var out []want
	for _, h := range hosts {
		out = append(out, want{set: "probe/" + h + at, arch: h, packages: probePackages, alone: true})
	}
	switch {
	case isGo(r):
		out = append(out, goWants(r)...)
	case r.Build.Template != "":
		out = append(out, buildWants(r, at)...)
	}
	img := want{set: "image/" + r.Name, arch: "riscv64", packages: r.Image.Packages, essential: true}
	if img.alone = r.OnScratch(); !img.alone {
		img.below = baseSet(r)
	}
	if img.alone || r.Base() != nil {
		img.essential = false // there are none, or the base has them
	} else {
		out = append(out, want{set: baseSet(r), arch: "riscv64", essential: true})
	}
	return append(out, img)
}

func buildWants(r *recipes.Recipe, at string) []want {
	tools := append(templateTools(r.Build.Template), r.Build.Tools...)
	sys := union(sysrootPackages, r.Build.Packages)
	native := union(hostTools, nativeTools, sysrootPackages)
	out := []want{
		{set: "sysroot" + at, arch: "riscv64", packages: sysrootPackages},
		{set: "sysroot/" + r.Name, below: "sysroot" + at, arch: "riscv64", packages: sys},
		{set: "toolchain/riscv64" + at, arch: "riscv64", packages: native},
		{set: "native/" + r.Name, below: "toolchain/riscv64" + at, arch: "riscv64", packages: union(native, sys, tools)},
	}
	for _, h := range []string{"amd64", "arm64"} {
		cross := union(hostTools, crossTools)
		out = append(out,
			want{set: "toolchain/cross/" + h + at, arch: h, packages: cross, assume: crossAssumed},
			want{set: "tools/" + r.Name + "/" + h, below: "toolchain/cross/" + h + at, arch: h, packages: union(cross, tools), assume: crossAssumed})
	}
	return out
}

func templateTools(name string) []string {
	t, ok := templates.Lookup(name)
	if !ok {
		return nil
	}
	return append([]string(nil), t.Tools()...)
}

// suffix keeps shared sets of recipes that use other suites than the default apart.
func suffix(r *recipes.Recipe) string {
	s := strings.Join(r.Debian.Suites, ",")
	if s == strings.Join(recipes.DefaultSuites, ",") {
		return ""
	}
	return "@" + s
}

// toolchainSets names the shared set and the recipe's own of what compiles.
func toolchainSets(r *recipes.Recipe, m graph.Mode, host string) (shared, own string) {
	if isGo(r) {
		return goSets(r, host)
	}
	if m == graph.Cross {
		return "toolchain/cross/" + host + suffix(r), "tools/" + r.Name + "/" + host
	}
	return "toolchain/riscv64" + suffix(r), "native/" + r.Name
}

func union(lists ...[]string) []string {
	seen := map[string]bool{}
	var out []string
	for _, l := range lists {
		for _, s := range l {
			if !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	sort.Strings(out)
	return out
}
