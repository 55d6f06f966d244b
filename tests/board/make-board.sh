#!/bin/bash
# make-board.sh: builds a simulated riscv64 board where it is missing, and
# prints the directory of its Image, initrd.gz, disk.img and id_board, and of a
# program "qemu" where the host's is old.
#
#   SUITE=stable|forky   whose kernel, containerd (1.7 | 2.1) and runc it has
#   DISK=6G              size of its disk
#   MIRROR=URL           default: the first Debian archive of the host's apt
#   BOARDS=DIR           default: riscv-build/boards in the user's cache
#
# Run as root. It needs the Debian packages qemu-system-misc qemu-user-static
# mmdebstrap arch-test curl xz-utils e2fsprogs openssh-client util-linux, and a
# binfmt_misc handler for riscv64 (riscv-build doctor --fix). A board is found
# again by the text of this script and the options: change either and there will
# be another one. Boards that nobody asked for in 30 days are removed.
set -euo pipefail
# What mmdebstrap mounts must end with this script, also when it is killed: the
# next run removes the directories.
if [ -z "${MAKE_BOARD_MOUNTS:-}" ]; then
	MAKE_BOARD_MOUNTS=own exec unshare --mount --propagation slave -- "$BASH" "$0" "$@"
fi
SUITE=${SUITE:-stable}
DISK=${DISK:-6G}
cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
BOARDS=${BOARDS:-${cache:-/var/cache}/riscv-build/boards}
case $SUITE in
stable | forky) ;;
*)
	echo "make-board.sh: there is no suite \"$SUITE\": use stable or forky" >&2
	exit 2
	;;
esac
say() { echo "make-board.sh: $SUITE: [$((SECONDS))s] $*" >&2; }

# Of QEMU before 10 the system calls of a board take twice the time.
old=
[ "$(qemu-system-riscv64 --version | sed -nE '1s/.*version ([0-9]+).*/\1/p')" -ge 10 ] || old=old

mkdir -p "$BOARDS/cache"
BOARDS=$(cd "$BOARDS" && pwd)
hash=$({ cat -- "$0"; echo "$SUITE $DISK $old"; } | sha256sum | cut -c1-12)
board=$BOARDS/$SUITE-$hash

# One process at a time builds a board; the kernel frees the lock of a killed
# one when the last of its children has ended.
exec {lock}>"$BOARDS/$SUITE.lock"
flock "$lock"
if [ -d "$board" ]; then
	touch "$board"
	echo "$board"
	exit 0
fi
find "$BOARDS" -mindepth 1 -maxdepth 1 -name "$SUITE-*" -mtime +30 -exec rm -rf {} +

MIRROR=${MIRROR:-$(apt-get update --print-uris | sed -nE "s#^'(https?://.*/debian)/+dists/.*#\1#p" | head -1 || :)}
MIRROR=${MIRROR%/}
if [ -z "$MIRROR" ]; then
	echo "make-board.sh: the host's apt has no Debian archive: set MIRROR" >&2
	exit 2
fi
W=$BOARDS/$SUITE.work # what a killed run left is removed
R=$W/root             # the board's file system
K=$W/kernel           # unpacked kernel packages
C=$BOARDS/cache       # packages that are only unpacked, checked by their hashes
rm -rf --one-file-system "$W"
mkdir -p "$K/usr" "$W/board"
ln -s usr/lib "$K/lib"
cd "$W"

# 1. Userland, configured by dpkg: its maintainer scripts run under QEMU. The
# package index that apt verified is kept for the kernel.
mmdebstrap --quiet --variant=apt --architectures=riscv64 --aptopt='Acquire::Check-Valid-Until "false"' \
	--include=mount,containerd,runc,iproute2,dropbear-bin,kmod,busybox-static,procps \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
	--customize-hook="cat \"\$1\"/var/lib/apt/lists/*_Packages >'$W/Packages'" "$SUITE" "$R" "$MIRROR" >&2
say userland

# 2. The kernel is taken out of its packages and never installed, which would
# run an initramfs generator under emulation. Up to 6.x it is one package, from
# 7.x on several.
stanza() { awk -v RS= -v p="Package: $1" 'index($0,p"\n")==1{print; exit}' "$W/Packages"; }
# unpacked FILE: the kernel in it: as it is, gzip, xz, zstd, or EFI zboot around
# one of these ("MZ..zimg", offset, size).
unpacked() {
	case $(od -An -tx1 -N8 "$1" | tr -d ' \n') in
	1f8b*) gzip -dc "$1" ;;
	fd377a585a00*) xz --single-stream -dc "$1" ;;
	28b52ffd*) zstd -dc "$1" ;;
	4d5a????7a696d67)
		local where
		read -ra where < <(od -An -tu4 -j8 -N8 "$1")
		dd if="$1" of="$W/payload" bs=64K iflag=skip_bytes,count_bytes skip="${where[0]}" count="${where[1]}" status=none
		unpacked "$W/payload"
		;;
	*) cat "$1" ;;
	esac
}
V=$(stanza linux-image-riscv64 | grep -o 'linux-image-[0-9][^ ]*' | head -1)
V=${V#linux-image-}
# package NAME DIR: unpacks a package, if there is one of the name.
package() {
	local path deb
	path=$(stanza "$1" | sed -n 's/^Filename: //p')
	[ -n "$path" ] || return 0
	deb=$C/${path##*/}
	[ -s "$deb" ] || { curl -sSfL -o "$W/download" "$MIRROR/$path" && mv "$W/download" "$deb"; }
	if ! echo "$(stanza "$1" | sed -n 's/^SHA256: //p')  $deb" | sha256sum --quiet -c >&2; then
		rm -f "$deb"
		exit 1
	fi
	dpkg-deb --fsys-tarfile "$deb" | tar x -C "$2" --keep-directory-symlink
}
for part in base binary modules image; do package "linux-$part-$V" "$K"; done
for kernel in "$K"/boot/vmlinu[xz]-"$V" "$K/usr/lib/modules/$V"/vmlinu[xz] ''; do [ ! -s "$kernel" ] || break; done
if [ -z "$kernel" ]; then
	echo "make-board.sh: no kernel image in the packages of $V" >&2
	exit 1
fi
unpacked "$kernel" >board/Image
if [ "$(dd if=board/Image bs=1 skip=48 count=5 status=none)" != RISCV ]; then
	echo "make-board.sh: $kernel is no RISC-V kernel image" >&2
	exit 1
fi
say "kernel $V"

# 3. The modules that a board needs with those they need, uncompressed. kmod is
# the board's own, under QEMU; it is given few modules, for it takes half a
# minute to look at all of them.
kmod() {
	local name=$1
	shift
	qemu-riscv64-static -0 "$name" -L "$R" "$R/usr/bin/kmod" "$@"
}
modules() { kmod modprobe -d "$K" -S "$V" -a -D "$@" | awk '$1=="insmod"&&!seen[$2]++{print $2}'; }
T=$K/usr/lib/modules/$V/kernel
find "$T" -mindepth 1 -maxdepth 1 ! -name fs ! -name net ! -name lib ! -name crypto ! -name arch ! -name drivers -exec rm -rf {} +
find "$T/drivers" -mindepth 1 -maxdepth 1 ! -name block ! -name net ! -name virtio ! -name char -exec rm -rf {} +
find "$T/drivers/net" -mindepth 1 -maxdepth 1 -type d ! -name vxlan -exec rm -rf {} +
kmod depmod -b "$K" "$V"
first=(virtio_blk ext4)
rest=(virtio_net overlay 9pnet_virtio 9p virtio_rng loop veth bridge tun nf_tables nft_compat nft_chain_nat nft_masq
	xt_MASQUERADE xt_comment xt_multiport xt_conntrack ip_tables iptable_nat iptable_filter br_netfilter erofs squashfs dummy vxlan)
D=$R/usr/lib/modules/$V
mkdir -p "$D"
modules "${first[@]}" "${rest[@]}" | while read -r f; do
	to=$D/${f#*/lib/modules/"$V"/}
	mkdir -p "${to%/*}"
	case $f in
	*.xz) xz -dc "$f" >"${to%.xz}" ;;
	*) cp "$f" "$to" ;;
	esac
done
for f in modules.builtin modules.builtin.modinfo modules.order; do
	[ ! -e "$K/usr/lib/modules/$V/$f" ] || cp "$K/usr/lib/modules/$V/$f" "$D/"
done
# doctor reads which options a kernel was built with.
mkdir -p "$R/boot"
[ ! -e "$K/boot/config-$V" ] || cp "$K/boot/config-$V" "$R/boot/"
kmod depmod -b "$R" "$V"
say modules

# 4. What is started, containerd's configuration, the door.
cat >"$R/sbin/board-init" <<'I'
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs tmp /tmp
mkdir -p /dev/pts /dev/shm /run/lock
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs shm /dev/shm
[ -e /dev/fd ] || { ln -s /proc/self/fd /dev/fd; ln -s fd/0 /dev/stdin; ln -s fd/1 /dev/stdout; ln -s fd/2 /dev/stderr; }
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/init && echo $$ >/sys/fs/cgroup/init/cgroup.procs
for c in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$c" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null; done
hostname board
modprobe -a virtio_net overlay 9pnet_virtio 9p
ip link set lo up
E=$(ls /sys/class/net | grep -v '^lo$' | head -1)
ip link set "$E" up
ip addr add 10.0.2.15/24 dev "$E"
ip route add default via 10.0.2.2
echo 1 >/proc/sys/net/ipv4/ip_forward
mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,cache=none host /host
containerd >/var/log/containerd.log 2>&1 &
dropbear -s -E 2>/var/log/dropbear.log
while ! [ -S /run/containerd/containerd.sock ] || ! ctr version >/run/ctr-version 2>&1; do sleep 0.2; done
echo "board-init: containerd ready $(cut -d' ' -f1 /proc/uptime)"
trap 'kill -TERM -1; sleep 0.5; kill -KILL -1; sync; mount -o remount,ro /; exec /bin/busybox poweroff -f' TERM USR2
while :; do sleep 3600 & wait $!; done # sleeps, is woken by signals, reaps orphans
I
chmod 755 "$R/sbin/board-init"
mkdir -p "$R/host" "$R/etc/containerd" "$R/etc/dropbear" "$R/root/.ssh"
v=3
case $(dpkg-query --admindir="$R/var/lib/dpkg" -W -f '${Version}' containerd) in 1.*) v=2 ;; esac
cat >"$R/etc/containerd/config.toml" <<I
version = $v
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs","io.containerd.snapshotter.v1.zfs","io.containerd.snapshotter.v1.devmapper","io.containerd.snapshotter.v1.blockfile"]
I
echo 'nameserver 10.0.2.3' >"$R/etc/resolv.conf"
echo board >"$R/etc/hostname"
echo '127.0.0.1 localhost board' >"$R/etc/hosts"
ssh-keygen -q -t ed25519 -N '' -C board -f board/id_board
cp board/id_board.pub "$R/root/.ssh/authorized_keys"
chmod 700 "$R/root/.ssh"
chmod 600 "$R/root/.ssh/authorized_keys"
chroot "$R" dropbearkey -t ed25519 -f /etc/dropbear/dropbear_ed25519_host_key >/dev/null 2>&1

# Certificates: what their package runs when it is configured takes a minute.
mkdir "$W/certificates"
package ca-certificates "$W/certificates"
mkdir -p "$R/etc/ssl/certs"
cat "$W"/certificates/usr/share/ca-certificates/mozilla/*.crt >"$R/etc/ssl/certs/ca-certificates.crt"

# 5. The initramfs: busybox, and what it takes to mount the disk.
I=$W/initrd
mkdir -p "$I"/{bin,dev,proc,root,m}
cp "$R/bin/busybox" "$I/bin/"
ln -s busybox "$I/bin/sh"
modules "${first[@]}" | while read -r f; do
	name=${f##*/}
	name=${name%.xz}
	xz -dc "$f" >"$I/m/$name" 2>/dev/null || cp "$f" "$I/m/$name"
	echo "$name"
done >"$I/m/order"
cat >"$I/init" <<'I'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for m in $(/bin/busybox cat /m/order); do /bin/busybox insmod /m/$m; done
n=0; until [ -b /dev/vda ] || [ $n -ge 50 ]; do /bin/busybox sleep 0.1; n=$((n+1)); done
# Without a disk PID 1 ends, which is a panic; QEMU ends with it.
/bin/busybox mount -t ext4 -o noatime,noinit_itable /dev/vda /root || exit 1
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/board-init
I
chmod 755 "$I/init"
(cd "$I" && find . | qemu-riscv64-static "$R/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -1) >board/initrd.gz

# 6. The disk: ext4 with its journal, so that a power cut is a fair test.
mke2fs -q -t ext4 -J size=32 -E lazy_itable_init=1,lazy_journal_init=1 -m 0 -L board -d "$R" board/disk.img "$DISK" >&2

# 7. QEMU of the suite, unpacked, with the libraries that it has there.
if [ -n "$old" ]; then
	mmdebstrap --quiet --variant=extract --include=qemu-system-riscv --aptopt='Acquire::Check-Valid-Until "false"' "$SUITE" "$W/newer" "$MIRROR" >&2
	mkdir board/parts
	cp -a "$W"/newer/usr/lib/*-linux-gnu board/parts/
	mkdir board/parts/bin board/parts/share
	cp -a "$W/newer/usr/bin/qemu-system-riscv64" board/parts/bin/
	for part in "$W"/newer/usr/lib/*/opensbi/generic/fw_dynamic.bin "$W"/newer/usr/share/qemu/. "$W"/newer/usr/lib/ipxe/qemu/.; do
		cp -rL "$part" board/parts/share/ 2>/dev/null || : # links to firmware of other machines lead nowhere
	done
	cat >board/qemu <<-'I'
		#!/bin/sh
		parts=$(cd "$(dirname "$0")/parts" && pwd)
		for libs in "$parts"/*-linux-gnu; do
			for loader in "$libs"/ld-linux-*.so.*; do [ ! -x "$loader" ] || break 2; done
		done
		export QEMU_MODULE_DIR="$libs/qemu"
		exec "$loader" --library-path "$libs" "$parts/bin/qemu-system-riscv64" -L "$parts/share" -bios "$parts/share/fw_dynamic.bin" "$@"
	I
	chmod 755 board/qemu
	board/qemu --version >&2
fi

sync -f board/disk.img
mv board "$board"
rm -rf --one-file-system "$W"
say "ready in $board: $(du -h "$board/disk.img" | cut -f1) on disk"
echo "$board"
