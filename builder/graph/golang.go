package graph

import (
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Go is what compiling Go takes besides. The tool chain is the build host's own
// and compiles for riscv64 on any.
type Go struct {
	Toolchain digest.Digest // manifest of a root filesystem that compiles the standard library: the same for all recipes
	Modules   digest.Digest // manifest of an image of what a module proxy serves; empty: no module is needed
}

// Paths of Go inside a build.
const (
	GoRoot     = "/usr/lib/go"
	goBin      = SourceDir + "/.bin"
	goModules  = "/modules"
	goWork     = "/var/cache/go" // unpacked modules and temporary files: on disk, and gone after the step
	goCache    = "/var/cache/go-build"
	goCacheKey = "riscv-build/go/" // the cache mounts of recipes, as those of ccache
)

// goPrelude begins a step. A source that brings its modules along is compiled with those.
const goPrelude = `mkdir -p "$GOTMPDIR"
[ ! -e vendor/modules.txt ] || GOFLAGS="${GOFLAGS#-mod=readonly }"
`

// goEnv are the settings of the go command, go help environment. They are the
// same for all recipes, or the standard library would be compiled for each.
func goEnv() map[string]string {
	return map[string]string{
		"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": "riscv64", "GORISCV64": "rva20u64",
		"GOROOT": GoRoot, "GOBIN": goBin, "GOPATH": "/tmp/go", "GOCACHE": goCache, "GOMODCACHE": goWork + "/mod", "GOTMPDIR": goWork + "/tmp",
		"GOTOOLCHAIN": "local", "GOENV": "off", "GOWORK": "off", "GOTELEMETRY": "off", "GOSUMDB": "off",
		"GOPROXY": "file://" + goModules,
		"GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
		"PATH":    GoRoot + "/bin:/usr/lib/riscv-build/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}
}

// standardLibrary compiles the standard library into a build cache. Nothing of
// a recipe is in this operation: an engine does it once for all of them.
func standardLibrary(g Go, host ocispec.Platform) llb.State {
	opts := []llb.RunOption{
		llb.Args([]string{"/bin/sh", "-ec", prelude + goPrelude + `go build -p "$JOBS" std`, "standard library"}),
		llb.Dir("/"),
		llb.Network(pb.NetMode_NONE),
		llb.Hostname("riscv-build"),
		llb.WithCustomName("go: compile the standard library"),
		llb.Platform(host),
		llb.AddSecret(jobsFile, llb.SecretID(JobsSecret), llb.SecretOptional),
		llb.AddMount("/tmp", llb.Scratch(), llb.Tmpfs()),
		llb.AddMount(goWork, llb.Scratch(), llb.ForceNoOutput),
	}
	env := goEnv()
	env["HOME"], env["TZ"], env["LC_ALL"] = "/tmp", "UTC", "C.UTF-8"
	for _, kv := range sortedEnv(env) {
		opts = append(opts, llb.AddEnv(kv[0], kv[1]))
	}
	return source("go", g.Toolchain, host).Run(opts...).AddMount(goCache, llb.Scratch())
}

// goOptions are the mounts of a step that compiles. A recipe's build cache
// outlives its steps and begins as that of the standard library.
func (b *builder) goOptions() []llb.RunOption {
	opts := []llb.RunOption{
		llb.AddMount(goWork, llb.Scratch(), llb.ForceNoOutput),
		llb.AddMount(goCache, standardLibrary(*b.in.Go, b.in.Host), llb.AsPersistentCacheDir(goCacheKey+b.in.Recipe, llb.CacheMountShared)),
	}
	if b.in.Go.Modules != "" {
		opts = append(opts, llb.AddMount(goModules, source("modules", b.in.Go.Modules, b.in.Host), llb.Readonly))
	}
	return opts
}
