package templates

import "github.com/riscv-build/riscv-build/recipes"

// all are the templates. A new one is an entry here, its name in
// recipes.Templates and its files below starter.
var all = []Template{
	{
		name:  "autotools",
		about: "a configure script made by GNU autoconf, then make",
		tools: []string{"autotools-dev", "make"},
		steps: recipes.Steps{
			Prepare:   prepareAutotools,
			Configure: configureAutotools,
			Compile:   `make -j"$JOBS" "$@"`,
			Install:   `make "$@"`,
		},
		files: map[string]string{"autotools.toml": "@NAME@.toml"},
	},
	{
		name:    "cmake",
		about:   "a CMakeLists.txt, built by ninja",
		tools:   []string{"cmake", "ninja-build"},
		steps:   ninjaSteps(prepareCMake, configureCMake),
		install: []string{"install"},
		files:   map[string]string{"cmake.toml": "@NAME@.toml", "CMakeLists.txt": "src/CMakeLists.txt", "main.c.txt": "src/main.c"},
	},
	{
		name:  "go",
		about: "a Go module, compiled without cgo",
		steps: recipes.Steps{
			Compile: `go build -p "$JOBS" -o "$GOBIN/" "$@"`,
			Install: installGo,
		},
		arguments: goArguments,
		files:     map[string]string{"go.toml": "@NAME@.toml", "main.go.txt": "src/main.go", "go.mod.txt": "src/go.mod"},
	},
	{
		name:  "make",
		about: "a Makefile",
		tools: []string{"make"},
		steps: recipes.Steps{
			Compile: `make -j"$JOBS" "$@"`,
			Install: `make "$@"`,
		},
		files: map[string]string{"make.toml": "@NAME@.toml"},
	},
	{
		name:    "meson",
		about:   "a meson.build, built by ninja",
		tools:   []string{"meson", "ninja-build"},
		steps:   ninjaSteps(prepareMeson, configureMeson),
		install: []string{"install"},
		files:   map[string]string{"meson.toml": "@NAME@.toml", "meson.build": "src/meson.build", "main.c.txt": "src/main.c"},
	},
	{
		name:  "script",
		about: "shell commands of the recipe's own",
		files: map[string]string{"script.toml": "@NAME@.toml", "main.c.txt": "src/main.c"},
	},
}

// prepareAutotools makes the configure script where the source has none, and
// renews the scripts that know machines where they are older than riscv64.
const prepareAutotools = `
if [ ! -e configure ] && { [ -e configure.ac ] || [ -e configure.in ]; }; then
	command -v autoreconf >/dev/null || {
		echo 'the source has no configure script: add "autoconf", "automake" and "libtool" to build.tools' >&2
		exit 1
	}
	autoreconf -fi
fi
find . -name config.sub -o -name config.guess | while IFS= read -r file; do
	grep -q riscv64 "$file" || cp "/usr/share/misc/${file##*/}" "$file"
done
`

const configureAutotools = `
[ -e configure ] || {
	echo 'there is no configure script here: set build.dir, or replace the step by build.steps.configure' >&2
	exit 1
}
sh ./configure @MACHINES@ --prefix=/usr --sysconfdir=/etc --localstatedir=/var "$@"
`
