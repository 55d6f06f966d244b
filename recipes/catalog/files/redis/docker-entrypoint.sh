#!/bin/bash
# Starts redis-server as the user redis, with a data directory that is its own;
# any other command is run as it is.
set -e

# An option or a configuration file alone is meant for the server.
case ${1:-} in
-* | *.conf) set -- redis-server "$@" ;;
esac

# bounded NAME tells whether the container may use a capability, given its
# number in capabilities(7).
bounded() {
	local set
	set=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)
	(((16#${set:-0} >> $1) & 1))
}
readonly setgid=6 setuid=7 sys_resource=24

# own_data gives the working directory to redis. Only what redis itself writes
# is touched: a directory that holds anything else was mounted by mistake, or is
# looked after by its owner.
own_data() {
	local entry
	for entry in * .[!.]* ..?*; do
		[[ -e $entry || -L $entry ]] || continue
		case $entry in
		*.rdb | appendonlydir) ;;
		*) return 0 ;;
		esac
	done
	find . -xdev \( ! -user redis -o ! -group redis \) -exec chown -h redis:redis {} + ||
		echo "$0: the data in $PWD cannot be given to the user redis" >&2
}

if [[ ${1:-} == redis-server && $(id -u) == 0 ]]; then
	if [[ -z ${SKIP_FIX_PERMS:-} ]]; then
		own_data
	fi
	if [[ -z ${SKIP_DROP_PRIVS:-} ]] && bounded $setuid && bounded $setgid; then
		caps=-all
		# With it the server may raise its own limit of open files.
		if bounded $sys_resource; then
			caps+=,+sys_resource
		fi
		exec /usr/bin/setpriv --reuid redis --regid redis --clear-groups --nnp \
			--inh-caps "$caps" --ambient-caps "$caps" --bounding-set "$caps" -- "$0" "$@"
	fi
fi

# Nobody else need read the data, unless a umask was chosen.
if [[ $(umask) == 0022 ]]; then
	umask 0077
fi

if [[ ${1:-} == redis-server ]]; then
	shopt -s nullglob
	for module in /usr/local/lib/redis/modules/*.so; do
		set -- "$@" --loadmodule "$module"
	done
fi

exec "$@"
