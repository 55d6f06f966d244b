package tests

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/builder/check"
	"github.com/riscv-build/riscv-build/pusher"
)

const originRecipe = `schema = 1
name = "origin"
version = "1"
summary = "shows where its libraries come from"
license = "MIT"
[source.origin]
dir = "src"
[build]
template = "script"
[build.steps]
compile = '''
$CXX -O2 -pthread -c main.cc
$CXX -o dynamic main.o -Wl,-Map=dynamic.map -pthread -lm
$CXX -static -o static main.o -Wl,-Map=static.map -pthread -lm
'''
install = '''
install -D dynamic "$DESTDIR/usr/bin/dynamic"
install -D static "$DESTDIR/usr/bin/static"
install -D -m 644 dynamic.map "$DESTDIR/usr/share/origin/dynamic.map"
install -D -m 644 static.map "$DESTDIR/usr/share/origin/static.map"
'''
[image]
entrypoint = ["/usr/bin/dynamic"]
[[test]]
name = "runs"
run = []
stdout = { equals = "caught 2\n" }
[[test]]
name = "runs without libraries"
entrypoint = ["/usr/bin/static"]
run = []
stdout = { equals = "caught 2\n" }
`

const originSource = `#include <cmath>
#include <iostream>
#include <stdexcept>
#include <thread>
int main(int argc, char **) {
	int n = 0;
	std::thread([&] { try { if (argc) throw std::runtime_error("x"); } catch (std::exception &) { n = (int)std::sqrt(4.0 * argc); } }).join();
	std::cout << "caught " << n << "\n";
}
`

// TestTargetLibrariesComeFromTheSysroot reads linker maps: libc, start files,
// libgcc and libstdc++ are the locked riscv64 packages in every mode, never the
// libraries that lie beside a cross compiler; and so the programs are the same.
func TestTargetLibrariesComeFromTheSysroot(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "origin.toml")
	if err := os.Mkdir(filepath.Join(dir, "src"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, file, originRecipe)
	write(t, filepath.Join(dir, "src", "main.cc"), originSource)
	s := emptyState(t, "state")
	s.ok("lock", file, "--allow-expired")
	programs := map[string][]string{}
	for _, mode := range []string{"cross", "emulate"} {
		layout := filepath.Join(dir, mode)
		s.ok("build", file, "--mode", mode, "--output", layout, "--progress", "plain", "--locked")
		img := loadLayout(t, layout)
		for _, program := range []string{"dynamic", "static"} {
			text, err := img.ReadFile(context.Background(), "/usr/share/origin/"+program+".map", 32<<20)
			if err != nil {
				t.Fatal(err)
			}
			checkOrigins(t, mode+" "+program, mode, string(text))
			data, err := img.ReadFile(context.Background(), "/usr/bin/"+program, 32<<20)
			if err != nil {
				t.Fatal(err)
			}
			programs[program] = append(programs[program], string(data))
		}
	}
	for name, p := range programs {
		figure(t, "board B", fmt.Sprintf("cross and riscv64 compiler make the same %s C++ program: %v (%d and %d bytes)", name, p[0] == p[1], len(p[0]), len(p[1])),
			"byte-equal", p[0] == p[1], false)
	}
}

func loadLayout(t *testing.T, dir string) *check.Contents {
	t.Helper()
	layout, err := pusher.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layout.Close() })
	img, err := check.Load(context.Background(), layout.Provider, layout.Desc, nil)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// The cross compiler's own name for the sysroot's gcc directory: a link into it.
const gccLink = "/usr/riscv64-linux-gnu/lib/"

func checkOrigins(t *testing.T, what, mode, text string) {
	t.Helper()
	loads := 0
	for _, line := range strings.Split(text, "\n") {
		file, ok := strings.CutPrefix(line, "LOAD ")
		if !ok || !path.IsAbs(file) || strings.HasPrefix(file, "/tmp/") || strings.HasPrefix(file, "/src/") {
			continue
		}
		loads++
		clean := path.Clean(file)
		fine := strings.HasPrefix(clean, "/sysroot/") || strings.HasPrefix(clean, gccLink)
		if mode == "emulate" {
			fine = strings.HasPrefix(clean, "/usr/lib/riscv64-linux-gnu/") || strings.HasPrefix(clean, "/lib/riscv64-linux-gnu/") || strings.HasPrefix(clean, "/usr/lib/gcc/riscv64-linux-gnu/") || clean == "/lib/ld-linux-riscv64-lp64d.so.1"
		}
		if !fine {
			t.Errorf("%s links %s", what, clean)
		}
	}
	if loads < 5 {
		t.Errorf("%s: the map names %d files only", what, loads)
	}
}
