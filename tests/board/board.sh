#!/bin/bash
# board.sh start | exec CMD... | copy FILE [DEST] | cut | stop | log
#
# Drives a board that make-board.sh built.
#
#   start         returns when its containerd answers
#   exec CMD...   runs a command line on it and passes its exit status on; 255: it does not answer
#   copy FILE D   copies a file there, mode and all; directories are made
#   cut           cuts its power
#   stop          shuts it down; status 1 if it had to be killed
#   log           prints its console
#
#   BOARD_DIR=DIR    what make-board.sh printed; nothing in it is changed
#   BOARD_RUN=DIR    what one board writes
#   BOARD_PORT=N     its door, on 127.0.0.1
#   BOARD_OWNER=PID  its power is cut and BOARD_RUN removed when that process has ended
#   PERSIST=1        it has a disk in BOARD_RUN, which outlives cut and stop; else changes are dropped
#   SMP=2 MEM=2G     processors, memory
#   APPEND=TEXT      more for the kernel's command line
#   QEMU=TEXT        more for QEMU's
#   FORWARD=N:M      its port M is port N of the host's 127.0.0.1, too
#   WAIT=180         seconds that a start may take
#
# On the board, 10.0.2.2 is the host's loopback. BOARD_RUN/share is /host there.
set -euo pipefail
B=${BOARD_DIR:?what make-board.sh printed}
N=$(realpath -m "${BOARD_RUN:?a directory for what the board writes}")
P=${BOARD_PORT:-10022}
SSH=(ssh -q -F none -i "$B/id_board" -p "$P" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes
	-o KexAlgorithms=curve25519-sha256 -o Ciphers=chacha20-poly1305@openssh.com -o ControlPath="$N/cm")
DOOR=root@127.0.0.1

# A pid that another program has by now is not ours.
pid=
alive() { pid=$(cat "$N/pid" 2>/dev/null) && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "-pidfile $N/pid "; }
up() { alive || { echo "board.sh: the board is not running" >&2; exit 255; }; }
# One that was killed has no command line any more before it lets go of its disk.
ending() { [ -z "$(tr -d '\0' 2>/dev/null <"/proc/${pid:-0}/cmdline")" ] && grep -qs '^State:.[^ZX]' "/proc/${pid:-0}/status"; }
# gone SECONDS: waits until it has ended.
gone() {
	local i
	for ((i = 0; i < $1 * 10; i++)); do
		alive || ending || { rm -f "$N"/{pid,mon}; return 0; }
		sleep 0.1
	done
	return 1
}
quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }
# connect keeps a connection open that commands share: a handshake takes a board a second.
connect() { "${SSH[@]}" -o ControlMaster=yes -o ControlPersist=yes -N -f "$DOOR" </dev/null >/dev/null 2>&1 || :; }
disconnect() { "${SSH[@]}" -O exit "$DOOR" >/dev/null 2>&1 || :; }
watch() { # PID: cuts the power when that process has ended
	while kill -0 "$1" 2>/dev/null && alive; do sleep 2; done
	kill -0 "$1" 2>/dev/null && return
	! alive || kill -KILL "$pid"
	disconnect
	rm -rf "$N"
}
tell() { echo "board.sh: $1" >&2; tail "$N/console" >&2; }

case ${1:-} in
start)
	! alive || { echo "already running"; exit 0; }
	mkdir -p "$N/share"
	rm -f "$N"/{cm,pid,console}
	begin=$(date +%s%N)
	# Of a disk that is kept, what the board has been told is written is in the file. For one that is dropped no flush matters.
	disk=$B/disk.img how=cache=unsafe,snapshot=on
	if [ "${PERSIST:-0}" != 0 ]; then
		disk=$N/disk.img how=cache=writethrough,snapshot=off
		[ -e "$disk" ] || { cp --reflink=auto --sparse=always "$B/disk.img" "$disk.new" && mv "$disk.new" "$disk"; }
	fi
	qemu=qemu-system-riscv64
	[ ! -x "$B/qemu" ] || qemu=$B/qemu
	# shellcheck disable=SC2086 # QEMU is a list of words
	TMPDIR=$N "$qemu" -M virt -cpu rv64 -smp "${SMP:-2}" -m "${MEM:-2G}" -accel tcg,thread=multi,tb-size=512 \
		-display none -serial file:"$N/console" -monitor unix:"$N/mon",server,nowait -pidfile "$N/pid" -daemonize \
		-kernel "$B/Image" -initrd "$B/initrd.gz" \
		-append "console=ttyS0 quiet panic=-1 no4lvl no5lvl init_on_alloc=0 unaligned_scalar_speed=fast lsm= ${APPEND:-}" \
		-drive "file=$disk,format=raw,if=none,id=d,discard=unmap,$how" -device virtio-blk-pci,drive=d \
		-netdev user,id=n,hostfwd=tcp:127.0.0.1:"$P"-:22"${FORWARD:+,hostfwd=tcp:127.0.0.1:${FORWARD%:*}-:${FORWARD#*:}}" -device virtio-net-pci,netdev=n,romfile= -device virtio-rng-pci \
		-fsdev local,id=h,path="$N/share",security_model=none -device virtio-9p-pci,fsdev=h,mount_tag=host -no-reboot ${QEMU:-} 2>"$N/qemu.err" || {
		cat "$N/qemu.err" >&2
		exit 1
	}
	if [ -n "${BOARD_OWNER:-}" ]; then
		watch "$BOARD_OWNER" </dev/null >/dev/null 2>&1 &
	fi
	for ((i = 0; i < ${WAIT:-180} * 10; i++)); do
		if grep -q 'containerd ready' "$N/console"; then
			connect
			echo "ready after $((($(date +%s%N) - begin) / 1000000)) ms"
			exit 0
		fi
		alive || { tell "QEMU ended"; exit 1; }
		sleep 0.1
	done
	tell "not ready after ${WAIT:-180} s"
	kill -KILL "$pid"
	gone 5
	exit 1
	;;
exec)
	shift
	up
	exec "${SSH[@]}" "$DOOR" -- "$*"
	;;
copy) # over the shared directory: the board would spend its time on deciphering
	file=${2:?FILE}
	name=.copy.$$
	up
	trap 'rm -f "$N/share/$name"' EXIT
	cp --reflink=auto -- "$file" "$N/share/$name"
	"${SSH[@]}" "$DOOR" -- "to=$(quoted "${3:-/root/}")"'
		case $to in */) mkdir -p "$to" ;; *) mkdir -p "$(dirname "$to")" ;; esac
		[ ! -d "$to" ] || to=${to%/}/'"$(quoted "${file##*/}")"'
		cp "/host/'$name'" "$to" && chmod '"$(stat -Lc %a -- "$file")"' "$to"' </dev/null
	;;
cut)
	up
	kill -KILL "$pid"
	gone 10
	disconnect
	;;
stop)
	alive || exit 0
	"${SSH[@]}" "$DOOR" -- 'kill -TERM 1' </dev/null >/dev/null 2>&1 || :
	disconnect
	gone 30 && exit 0
	kill -KILL "$pid"
	gone 10
	echo "board.sh: the board did not shut down: killed" >&2
	exit 1
	;;
log) cat "$N/console" ;;
*)
	sed -n 2p "$0" >&2
	exit 2
	;;
esac
