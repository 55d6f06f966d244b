// Package engineimage says what the image of the engine holds: the packages of
// the archive for each architecture, pinned by a lock of its own, what of them
// is left out, this program, and how a container of it starts. Package builder
// assembles it; nothing here reads the archive or runs anything.
package engineimage

import (
	_ "embed" // the lock
	"encoding/json"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// Where things are in a container of the image.
const (
	ProgramPath = "/usr/bin/riscv-build"
	// ClientPath is the program by the name that those call who connect to a
	// BuildKit in a container: `buildctl dial-stdio`.
	ClientPath = "/usr/bin/buildctl"
	// StateDir is a volume: build caches are large, and overlays of overlays do
	// not work.
	StateDir = "/var/lib/riscv-build"
	// SocketDir and Socket are those of BuildKit's own daemon.
	SocketDir = "/run/buildkit"
	Socket    = "unix://" + SocketDir + "/buildkitd.sock"
)

// Label marks the image and its containers with the image's identity.
const Label = "io.riscv-build.engine"

// Repository is where the image is named; a name that no registry has.
const Repository = "riscv-build.local/engine"

// Arches are the architectures there is an image for.
var Arches = []string{"amd64", "arm64", "riscv64"}

// format changes when the same packages and program make another image.
const format = "1"

// LockName is what the lock is called in messages, and Lock its text.
const LockName = "the lock of the engine's image"

//go:embed riscv-build.lock
var lockText []byte

// Lock is the text of the lock that is built into the program.
func Lock() []byte { return lockText }

// packages are taken without what they depend on: runc's libraries are named,
// and whatever else they want is for people at a shell or for other scripts.
var packages = []string{"base-files", "base-passwd", "ca-certificates", "libc6", "libseccomp2", "runc"}

// EmulatorPackage is QEMU's user mode, which is linked statically: the one
// program EmulatorPath of it is kept.
const (
	EmulatorPackage = "qemu-user"
	EmulatorPath    = "/usr/bin/qemu-riscv64"
)

// Packages are the names of what the image of an architecture is made of.
func Packages(arch string) []string {
	all := slices.Clone(packages)
	if arch != "riscv64" {
		all = append(all, EmulatorPackage)
	}
	slices.Sort(all)
	return all
}

// Set names the packages of an architecture in the lock.
func Set(arch string) string { return "engine/" + arch }

// Exclude are the patterns of what is left out of the packages.
func Exclude() []string {
	return []string{
		"/usr/bin/qemu-*", "!" + EmulatorPath, "/usr/libexec/qemu-binfmt", "/usr/share/qemu",
		"/usr/lib/*/gconv", "/usr/lib/*/gconv/**",
	}
}

// Config is how a container of the image starts.
func Config(identity digest.Digest, version string) ocispec.ImageConfig {
	return ocispec.ImageConfig{
		Env:        image.Env(nil),
		Entrypoint: []string{ProgramPath, "engine", "serve", "--prepare", "--addr", Socket},
		Volumes:    map[string]struct{}{StateDir: {}},
		WorkingDir: "/",
		StopSignal: "SIGTERM",
		Labels: map[string]string{
			Label:                         identity.String(),
			ocispec.AnnotationTitle:       "riscv-build engine",
			ocispec.AnnotationDescription: "BuildKit that builds and runs linux/riscv64",
			ocispec.AnnotationVersion:     version,
		},
	}
}

// Content is what decides an image.
type Content struct {
	Packages []lock.Package
	Program  Program
	Version  string // of the program, for people
}

// Identity is a digest over everything that decides an image, known before any
// package is downloaded.
func (c Content) Identity() digest.Digest {
	config, err := json.Marshal(Config("", c.Version))
	if err != nil { // strings and maps of strings always marshal
		config = []byte(err.Error())
	}
	parts := []string{format, string(config), strings.Join(Exclude(), "\n"), c.Program.Arch, c.Program.Digest.String()}
	for _, p := range c.Packages {
		parts = append(parts, p.ID, p.SHA256)
	}
	return digest.FromString(strings.Join(parts, "\x00"))
}

// Name is the image's name for a version of this program.
func Name(version string) string {
	tag := []byte(version)
	for i, c := range tag {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", rune(c)) {
			tag[i] = '-'
		}
	}
	text := strings.TrimLeft(string(tag[:min(len(tag), 128)]), ".-")
	if text == "" {
		text = "latest"
	}
	return Repository + ":" + text
}
