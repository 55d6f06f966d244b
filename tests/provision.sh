#!/bin/sh
# provision.sh demo|test RISCV-BUILD
#
# Installs what is missing on a Debian or Ubuntu machine for `make demo` (runc,
# QEMU user mode) or `make test` (clients that pull images and a registry of
# others, too), and has riscv-build register QEMU for riscv64 programs. Does
# nothing where nothing is missing. No service is started by what it installs.
set -eu

level=${1:?usage: provision.sh demo|test RISCV-BUILD}
riscv_build=${2:?usage: provision.sh demo|test RISCV-BUILD}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

say() { echo "provision: $*" >&2; }

has() { command -v "$1" >/dev/null 2>&1; }

# want PROGRAM PACKAGE...: remembers the first of the packages that the archive
# has, if the program is missing.
missing=''
programs=''
want() {
	program=$1
	shift
	if ! has "$program"; then
		programs="$programs $program"
		missing="$missing $(echo "$*" | tr ' ' '|')"
	fi
}

want runc runc
if [ "$(uname -m)" != riscv64 ] && ! has qemu-riscv64-static && ! has qemu-riscv64; then
	want qemu-riscv64-static qemu-user-static qemu-user
fi
case $level in
demo) ;;
test)
	want git git
	want curl curl
	want docker-registry docker-registry
	want skopeo skopeo
	want podman podman
	want dockerd docker.io
	want containerd containerd
	want ctr containerd
	want iptables iptables # dockerd wants it
	want ip iproute2
	want mkfs.ext4 e2fsprogs
	want nsenter util-linux
	want mmdebstrap mmdebstrap # containerd of other releases, and the board of tests/board
	want patchelf patchelf     # that such a containerd runs on the libc of this machine
	want qemu-system-riscv64 qemu-system-misc qemu-system-riscv
	want arch-test arch-test
	want ssh openssh-client
	want sshd openssh-server # a machine that an engine is on, for tests/remote
	want xz xz-utils
	want tmux tmux # a terminal, for tests/batch
	want bash bash
	want chromium chromium # a browser, for tests/service
	;;
*)
	say "there is no level \"$level\": use demo or test"
	exit 2
	;;
esac

# available PACKAGE|PACKAGE: the first one that can be installed.
available() {
	for package in $(echo "$1" | tr '|' ' '); do
		if LC_ALL=C apt-cache policy "$package" 2>/dev/null | grep -q 'Candidate: [^(]'; then
			echo "$package"
			return
		fi
	done
	say "the package sources of this machine have none of: $1"
	return 1
}

log=''
guard=''
cleanup() {
	[ -z "$guard" ] || rm -f "$guard"
	[ -z "$log" ] || rm -f "$log"
}

# quietly COMMAND...: shows what a command says only if it fails.
quietly() {
	if ! "$@" >"$log" 2>&1; then
		cat "$log" >&2
		return 1
	fi
}

install_missing() {
	if ! has apt-get; then
		say "these programs are missing:$programs"
		say "install them with the package manager of this machine, then run this again"
		exit 3
	fi
	if [ "$(id -u)" != 0 ]; then
		say "these programs are missing:$programs"
		say "only root can install them: run this again as root (sudo make $level)"
		exit 3
	fi
	trap cleanup EXIT
	trap 'exit 130' INT TERM
	log=$(mktemp)
	# invoke-rc.d asks this program whether a service may be started. One that
	# is there already is somebody's decision and stays.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		guard=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' >"$guard"
		chmod 755 "$guard"
	fi
	export DEBIAN_FRONTEND=noninteractive
	quietly apt-get -o DPkg::Lock::Timeout=300 update || say "apt-get update had problems; going on with what is known"
	packages=''
	for choice in $missing; do
		package=$(available "$choice") || exit 3
		case " $packages " in
		*" $package "*) ;;
		*) packages="$packages $package" ;;
		esac
	done
	say "installing$packages"
	# shellcheck disable=SC2086 # a list of words
	if ! quietly apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $packages; then
		say "apt-get could not install$packages: see above"
		exit 3
	fi
}

[ -z "$missing" ] || install_missing

# Mounts binfmt_misc and registers QEMU where that is not done; says what a
# build would miss.
if ! out=$("$riscv_build" doctor --fix); then
	echo "$out" >&2
	exit 3
fi
