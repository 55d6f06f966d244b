package graph

import "github.com/moby/buildkit/client/llb"

// Steps compile through ccache, if the toolchain has it, and what it keeps
// outlives the steps: after a changed source or patch only those files are
// compiled again that it concerns.
const (
	ccacheDir     = "/var/cache/ccache"
	recompileFile = "/run/riscv-build/recompile"
)

// ccacheMount identifies the cache mount of a recipe. Each has its own, so that
// the steps of one cannot put objects into another.
func ccacheMount(recipe string) string { return "riscv-build/ccache/" + recipe }

// RecompileSecret is the secret that has every file compiled anew. Like the
// number of jobs it must not change the graph.
const RecompileSecret = "recompile"

// ccachePrelude completes what an object is known by. ccache notices a header
// that changed, but not one that is new and stands before another of its name:
// so the headers' names count.
const ccachePrelude = `[ ! -e ` + recompileFile + ` ] || export CCACHE_RECACHE=1
CCACHE_COMPILERCHECK="$CCACHE_COMPILERCHECK $(find ` + SourceDir + ` -name '*.h*' | sort | sha256sum)"
`

// compileOptions are the mounts of a step that compiles.
func (b *builder) compileOptions() []llb.RunOption {
	opts := []llb.RunOption{
		llb.AddMount(ccacheDir, llb.Scratch(), llb.AsPersistentCacheDir(ccacheMount(b.in.Recipe), llb.CacheMountShared)),
		llb.AddSecret(recompileFile, llb.SecretID(RecompileSecret), llb.SecretOptional),
	}
	if b.in.Mode == Cross {
		opts = append(opts, llb.AddMount(Sysroot, source("sysroot", b.in.Sysroot, riscv64), llb.Readonly))
	}
	return opts
}

// ccacheEnv are ccache's settings, ccache(1). Objects are those of one
// toolchain and one sysroot, whose digests stand for compilers, libraries and
// headers. Nobody edits a source during a step, so files may be new; inodes
// mean nothing, as every step has mounts of its own.
func (b *builder) ccacheEnv() map[string]string {
	return map[string]string{
		"CCACHE_DIR":           ccacheDir,
		"CCACHE_COMPILERCHECK": "string:" + b.in.Toolchain.String() + " " + b.in.Sysroot.String(),
		"CCACHE_DEPEND":        "1", // the default, to preprocess first, costs a quarter of a first compile
		"CCACHE_SLOPPINESS":    "include_file_ctime,include_file_mtime",
		"CCACHE_NOINODECACHE":  "1",
		"CCACHE_MAXSIZE":       "500M",
	}
}
