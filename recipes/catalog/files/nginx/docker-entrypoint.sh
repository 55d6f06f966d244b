#!/bin/sh
# Prepares the container with the scripts of /docker-entrypoint.d, in the order
# of their names, and becomes the given command. Only nginx needs preparing.
set -e

say() {
	[ -n "${NGINX_ENTRYPOINT_QUIET_LOGS:-}" ] || echo "$0: $*"
}

prepare() {
	scripts=$(/usr/bin/find /docker-entrypoint.d/ -follow -type f | sort -V)
	if [ -z "$scripts" ]; then
		say "no script in /docker-entrypoint.d/"
		return
	fi
	# The list comes on descriptor 3, so that a script may read the container's input.
	while IFS= read -r script <&3; do
		case $script in
		*.envsh | *.sh)
			if [ ! -x "$script" ]; then
				say "Ignoring $script, it is not executable"
				continue
			fi
			;;
		*)
			say "Ignoring $script, its name ends neither in .sh nor in .envsh"
			continue
			;;
		esac
		case $script in
		*.envsh)
			say "sourcing $script"
			. "$script"
			;;
		*)
			say "launching $script"
			"$script" 3<&-
			;;
		esac
	done 3<<LIST
$scripts
LIST
	say "configuration is complete"
}

case ${1:-} in
nginx | nginx-debug) prepare ;;
esac

exec "$@"
