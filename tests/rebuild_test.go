package tests

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const rebuildRecipe = `schema = 1
name = "rebuild"
version = "1"
summary = "is compiled in parts"
license = "MIT"
[source.rebuild]
dir = "src"
[build]
template = "script"
strip = false
[build.steps]
compile = '''
ccache --zero-stats
$CC -O2 -Iown -Ishared -c one.c
$CC -O2 -Iown -Ishared -MMD -c two.c
$CC one.o two.o -o program
test ! -e one.d && test -s two.d
ccache --print-stats >stats
'''
install = '''
install -D program "$DESTDIR/usr/bin/program"
install -D -m 644 stats "$DESTDIR/usr/share/stats"
'''
[image]
entrypoint = ["/usr/bin/program"]
`

// TestRebuildCompilesWhatChanged counts which files a build compiles and which
// it has from an earlier one: by sources, headers, and the names of headers.
func TestRebuildCompilesWhatChanged(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "rebuild.toml")
	write(t, file, rebuildRecipe)
	for _, d := range []string{"src", "src/own", "src/shared"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	source := func(name, text string) { write(t, filepath.Join(dir, "src", name), text) }
	source("one.c", "#include <stdio.h>\n#include \"number.h\"\nint two(void);\nint main(void) { printf(\"%d\\n\", NUMBER + two()); return 0; }\n")
	source("two.c", "int two(void) { return 2; }\n")
	source("shared/number.h", "#define NUMBER 1\n")
	s := emptyState(t, "state")
	s.ok("lock", file, "--allow-expired")
	for _, c := range []struct {
		why      string
		change   func()
		flags    []string
		hit      string // files that came from the cache
		compiled string // and those that did not
		again    string // and those that should not
	}{
		{"first build", func() {}, nil, "0", "2", "0"},
		{"one source changed", func() { source("two.c", "int two(void) { return 3; }\n") }, nil, "1", "1", "0"},
		{"a header changed", func() { source("shared/number.h", "#define NUMBER 2\n") }, nil, "1", "1", "0"},
		{"a header that goes before another", func() { source("own/number.h", "#define NUMBER 3\n") }, nil, "0", "2", "0"},
		{"a new file beside", func() { source("NEWS", "news\n") }, nil, "2", "0", "0"},
		{"no-cache", func() {}, []string{"--no-cache"}, "0", "0", "2"},
	} {
		c.change()
		layout := filepath.Join(dir, "layout", strings.ReplaceAll(c.why, " ", "-"))
		s.ok(append([]string{"build", file, "--mode", "cross", "--output", layout, "--progress", "plain", "--locked"}, c.flags...)...)
		stats, err := loadLayout(t, layout).ReadFile(context.Background(), "/usr/share/stats", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		hit, compiled, again := counted(string(stats), "direct_cache_hit"), counted(string(stats), "cache_miss"), counted(string(stats), "recache")
		if hit != c.hit || compiled != c.compiled || again != c.again {
			t.Errorf("%s: %s from the cache, %s compiled, %s compiled again; want %s, %s and %s\n%s", c.why, hit, compiled, again, c.hit, c.compiled, c.again, stats)
		}
	}
}

// counted is one number of `ccache --print-stats`.
func counted(stats, name string) string {
	for _, line := range strings.Split(stats, "\n") {
		if n, ok := strings.CutPrefix(line, name+"\t"); ok {
			return n
		}
	}
	return ""
}
