package graph

import (
	"fmt"
	"path"
	"strings"
)

// SourceFiles is one source of a recipe as it lies in the sources image, below
// /sources/NAME: its files under their own names, or a directory "tree".
type SourceFiles struct {
	Name  string
	Into  string   // directory below /src; "." is the top
	Files []string // base names; empty: a local directory, in "tree"
}

// UnpackScript returns the shell script that unpacks the sources into /src and
// applies the recipe's patches, which lie in /sources/patches in order.
// Debian source formats 3.0 (quilt), 3.0 (native) and 1.0: dpkg-source(1).
func UnpackScript(sources []SourceFiles, patches []string) string {
	var b strings.Builder
	b.WriteString(unpackFunctions)
	for _, s := range sources {
		dir := path.Join(SourceDir, s.Into)
		in := path.Join(InputDir, s.Name)
		fmt.Fprintf(&b, "mkdir -p %s\n", quote(dir))
		if len(s.Files) == 0 {
			fmt.Fprintf(&b, "cp -R %s/. %s\n", quote(in+"/tree"), quote(dir))
			continue
		}
		unpackFiles(&b, in, dir, s.Files)
	}
	for _, p := range patches {
		fmt.Fprintf(&b, "apply %s %s\n", quote(SourceDir), quote(path.Join(InputDir, "patches", p)))
	}
	return b.String()
}

func unpackFiles(b *strings.Builder, in, dir string, files []string) {
	var debian, diff string
	for _, f := range files {
		from := quote(path.Join(in, f))
		switch {
		case strings.HasSuffix(f, ".dsc") || strings.HasSuffix(f, ".asc"):
		case strings.Contains(f, ".debian.tar."):
			debian = from
		case strings.HasSuffix(f, ".diff.gz"):
			diff = from
		case strings.Contains(f, ".orig-"):
			_, rest, _ := strings.Cut(f, ".orig-")
			component, _, _ := strings.Cut(rest, ".tar.")
			fmt.Fprintf(b, "untar %s %s 1\n", from, quote(path.Join(dir, component)))
		default:
			fmt.Fprintf(b, "untar %s %s 1\n", from, quote(dir))
		}
	}
	if debian != "" {
		fmt.Fprintf(b, "untar %s %s 0\nseries %s\n", debian, quote(dir), quote(dir))
	}
	if diff != "" {
		fmt.Fprintf(b, "gzip -dc %s >/tmp/diff\napply %s /tmp/diff\n", diff, quote(dir))
	}
}

// quote quotes a word for the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// tar tells compression by itself; --no-same-owner and a fixed mode keep the
// tree free of who packed it.
const unpackFunctions = `untar() { mkdir -p "$2"; tar -xf "$1" -C "$2" --strip-components="$3" --no-same-owner --no-same-permissions; }
apply() { echo "patch: ${2##*/}"; patch -d "$1" -p1 -s -t -F 0 -N -E <"$2"; }
series() {
	[ -f "$1/debian/patches/series" ] || return 0
	while read -r name _; do
		case $name in ''|'#'*) continue;; esac
		apply "$1" "$1/debian/patches/$name"
	done <"$1/debian/patches/series"
}
`
