#!/bin/sh
# With NGINX_ENTRYPOINT_WORKER_PROCESSES_AUTOTUNE set, starts as many workers as
# there are CPUs that this container may use: "auto" counts those of the machine.
set -e

[ -n "${NGINX_ENTRYPOINT_WORKER_PROCESSES_AUTOTUNE:-}" ] || exit 0

conf=/etc/nginx/nginx.conf
cgroup=/sys/fs/cgroup

say() {
	[ -n "${NGINX_ENTRYPOINT_QUIET_LOGS:-}" ] || echo "${0##*/}: $*"
}

if [ ! -w "$conf" ]; then
	say "ERROR: $conf cannot be written"
	exit 0
fi

# first FILE... prints the first of the files that can be read and holds something.
first() {
	for file; do
		if [ -r "$file" ] && [ -s "$file" ]; then
			cat "$file" 2>/dev/null && return
		fi
	done
}

# own PATH prints the group that a version 1 controller, or the unified
# hierarchy (""), has this process in.
own() {
	awk -F: -v want="$1" '
		want == "" ? $1 == "0" : ("," $2 ",") ~ ("," want ",") { print $3; exit }' /proc/self/cgroup
}

workers=$(getconf _NPROCESSORS_ONLN)

least() {
	case $1 in '' | *[!0-9]*) return ;; esac
	if [ "$1" -ge 1 ] && [ "$1" -lt "$workers" ]; then
		workers=$1
	fi
}

# A set such as "0-3,8".
least "$(first "$cgroup$(own '')/cpuset.cpus.effective" "$cgroup/cpuset.cpus.effective" \
	"$cgroup/cpuset$(own cpuset)/cpuset.effective_cpus" "$cgroup/cpuset/cpuset.effective_cpus" | head -n 1 |
	awk -F, '{ for (i = 1; i <= NF; i++) { n = split($i, range, "-"); sum += n == 2 ? range[2] - range[1] + 1 : 1 } } END { print sum }')"

# "QUOTA PERIOD" in microseconds, QUOTA "max" or -1 where there is no limit; a part of a CPU counts as one.
quota=$(first "$cgroup$(own '')/cpu.max" "$cgroup/cpu.max")
if [ -z "$quota" ]; then
	quota="$(first "$cgroup/cpu$(own cpu)/cpu.cfs_quota_us" "$cgroup/cpu/cpu.cfs_quota_us") $(first "$cgroup/cpu$(own cpu)/cpu.cfs_period_us" "$cgroup/cpu/cpu.cfs_period_us")"
fi
least "$(echo "$quota" | awk '$1 + 0 > 0 && $2 + 0 > 0 { print int(($1 + $2 - 1) / $2) }')"

text=$(sed -E "s/^([[:space:]]*)worker_processes[[:space:]].*;.*/# set by ${0##*/}, was: &\n\1worker_processes $workers;/" "$conf")
printf '%s\n' "$text" >"$conf"
say "$conf starts $workers workers"
