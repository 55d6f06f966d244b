package templates

import "github.com/riscv-build/riscv-build/recipes"

// The templates whose builds ninja runs, in ninjaDir below build.dir. Both
// install the same tree in every mode: libraries go where Debian has them, and
// optimization is the recipe's matter, by CFLAGS and CXXFLAGS ("-O2" without).
//
// In cross mode, where SYSROOT is not empty, the prepare step writes down what
// the compiler compiles for. That riscv64 programs run on the build host, by
// binfmt_misc, is for the build system to use: env(1) is the emulator that
// CMake wants to be told before it runs a probe.
const (
	ninjaDir = ".riscv-build/build"

	runNinja = `ninja -C ` + ninjaDir + ` -j"$JOBS" "$@"`

	prepareCMake = `
mkdir -p .riscv-build
[ -z "$SYSROOT" ] || cat >.riscv-build/toolchain.cmake <<END
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR riscv64)
set(CMAKE_LIBRARY_ARCHITECTURE $TRIPLET)
set(CMAKE_C_COMPILER $CC)
set(CMAKE_CXX_COMPILER $CXX)
set(CMAKE_ASM_COMPILER $CC)
set(CMAKE_FIND_ROOT_PATH $SYSROOT)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR /usr/bin/env)
END
`

	configureCMake = `
[ -e CMakeLists.txt ] || {
	echo 'there is no CMakeLists.txt here: set build.dir, or replace the step by build.steps.configure' >&2
	exit 1
}
[ -z "$SYSROOT" ] || set -- -DCMAKE_TOOLCHAIN_FILE="$PWD/.riscv-build/toolchain.cmake" "$@"
export CFLAGS="${CFLAGS--O2}" CXXFLAGS="${CXXFLAGS--O2}"
cmake -S . -B ` + ninjaDir + ` -G Ninja -DCMAKE_BUILD_TYPE=None -DCMAKE_SKIP_INSTALL_RPATH=ON \
	-DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_INSTALL_LIBDIR="lib/$TRIPLET" \
	-DCMAKE_INSTALL_SYSCONFDIR=/etc -DCMAKE_INSTALL_LOCALSTATEDIR=/var "$@"
`

	prepareMeson = `
mkdir -p .riscv-build
[ -z "$SYSROOT" ] || cat >.riscv-build/cross.ini <<END
[binaries]
c = '$CC'
cpp = '$CXX'
ar = '$AR'
nm = '$NM'
strip = '$STRIP'
objcopy = '$OBJCOPY'
pkg-config = '$PKG_CONFIG'

[properties]
needs_exe_wrapper = false
sys_root = '$SYSROOT'
pkg_config_libdir = ['$SYSROOT/usr/lib/$TRIPLET/pkgconfig', '$SYSROOT/usr/share/pkgconfig']

[host_machine]
system = 'linux'
cpu_family = 'riscv64'
cpu = 'riscv64'
endian = 'little'
END
`

	configureMeson = `
[ -e meson.build ] || {
	echo 'there is no meson.build here: set build.dir, or replace the step by build.steps.configure' >&2
	exit 1
}
[ -z "$SYSROOT" ] || set -- --cross-file=.riscv-build/cross.ini "$@"
export CFLAGS="${CFLAGS--O2}" CXXFLAGS="${CXXFLAGS--O2}"
meson setup ` + ninjaDir + ` . --buildtype=plain --wrap-mode=nodownload --prefix=/usr --libdir="lib/$TRIPLET" \
	--sysconfdir=/etc --localstatedir=/var "$@"
`
)

// ninjaSteps are the steps of a build system that writes the rules of ninja,
// which honours DESTDIR of the environment.
func ninjaSteps(prepare, configure string) recipes.Steps {
	return recipes.Steps{Prepare: prepare, Configure: configure, Compile: runNinja, Install: runNinja}
}
