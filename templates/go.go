package templates

import (
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/recipes"
)

// installGo puts the programs into a directory of the image.
const installGo = `
mkdir -p "$DESTDIR$1"
cp "$GOBIN"/* "$DESTDIR$1"
`

// goArguments are those of go build: build.make, then the packages. Programs
// are linked without symbols unless build.strip is false, whatever else the
// recipe tells the linker.
func goArguments(b recipes.Build) (compile, install []string) {
	compile = slices.Clone(b.Make)
	if b.Strip == nil || *b.Strip {
		compile = stripGo(compile)
	}
	targets, install := b.Targets, b.Install
	if len(targets) == 0 {
		targets = []string{"."}
	}
	if len(install) == 0 {
		install = []string{"/usr/bin"}
	}
	return append(compile, targets...), install
}

// stripGo has the linker leave out symbols and debugging information. Of
// several -ldflags the last one counts.
func stripGo(args []string) []string {
	const flag, strip = "-ldflags", "-s -w"
	last := -1
	for i, arg := range args {
		arg = strings.TrimPrefix(arg, "-")
		if name, _, _ := strings.Cut(arg, "="); "-"+strings.TrimPrefix(name, "-") == flag {
			last = i
		}
	}
	switch {
	case last < 0:
		return append([]string{flag + "=" + strip}, args...)
	case strings.Contains(args[last], "="):
		name, value, _ := strings.Cut(args[last], "=")
		args[last] = name + "=" + strings.TrimSpace(strip+" "+value)
	case last+1 < len(args):
		args[last+1] = strings.TrimSpace(strip + " " + args[last+1])
	}
	return args
}
