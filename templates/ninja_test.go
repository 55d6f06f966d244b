package templates

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/riscv-build/riscv-build/recipes"
)

const toolchainFile = `set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR riscv64)
set(CMAKE_LIBRARY_ARCHITECTURE riscv64-linux-gnu)
set(CMAKE_C_COMPILER riscv64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER riscv64-linux-gnu-g++)
set(CMAKE_ASM_COMPILER riscv64-linux-gnu-gcc)
set(CMAKE_FIND_ROOT_PATH /sysroot)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR /usr/bin/env)
`

const crossFile = `[binaries]
c = 'riscv64-linux-gnu-gcc'
cpp = 'riscv64-linux-gnu-g++'
ar = 'riscv64-linux-gnu-ar'
nm = 'riscv64-linux-gnu-nm'
strip = 'riscv64-linux-gnu-strip'
objcopy = 'riscv64-linux-gnu-objcopy'
pkg-config = 'pkg-config'

[properties]
needs_exe_wrapper = false
sys_root = '/sysroot'
pkg_config_libdir = ['/sysroot/usr/lib/riscv64-linux-gnu/pkgconfig', '/sysroot/usr/share/pkgconfig']

[host_machine]
system = 'linux'
cpu_family = 'riscv64'
cpu = 'riscv64'
endian = 'little'
`

// TestCrossFiles holds what the prepare steps write: a description of the
// target in cross mode, nothing where the compiler is the machine's own.
func TestCrossFiles(t *testing.T) {
	for _, c := range []struct{ template, file, want string }{
		{"cmake", "toolchain.cmake", toolchainFile}, {"meson", "cross.ini", crossFile},
	} {
		tmpl, _ := Lookup(c.template)
		steps, err := tmpl.Steps(recipes.Build{Template: c.template}, cross)
		if err != nil || steps[0].Name != "prepare" {
			t.Fatalf("the steps are %v (%v)", steps, err)
		}
		for _, sysroot := range []string{"/sysroot", ""} {
			dir := t.TempDir()
			cmd := exec.Command("/bin/sh", "-ec", steps[0].Script)
			cmd.Dir = dir
			cmd.Env = []string{"PATH=/usr/bin:/bin", "SYSROOT=" + sysroot, "TRIPLET=riscv64-linux-gnu", "PKG_CONFIG=pkg-config"}
			for name, tool := range map[string]string{"CC": "gcc", "CXX": "g++", "AR": "ar", "NM": "nm", "STRIP": "strip", "OBJCOPY": "objcopy"} {
				cmd.Env = append(cmd.Env, name+"=riscv64-linux-gnu-"+tool)
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			want := c.want
			if sysroot == "" {
				want = ""
			}
			if got, _ := os.ReadFile(filepath.Join(dir, ".riscv-build", c.file)); string(got) != want {
				t.Errorf("%s with sysroot %q is:\n%s", c.file, sysroot, got)
			}
		}
	}
}

// TestNothingToConfigure holds that the message says where to look.
func TestNothingToConfigure(t *testing.T) {
	for name, script := range map[string]string{"CMakeLists.txt": configureCMake, "meson.build": configureMeson} {
		cmd := exec.Command("/bin/sh", "-ec", script)
		cmd.Dir = t.TempDir()
		if out, err := cmd.CombinedOutput(); err == nil || string(out) != "there is no "+name+" here: set build.dir, or replace the step by build.steps.configure\n" {
			t.Errorf("it ends with %v and says %q", err, out)
		}
	}
}
