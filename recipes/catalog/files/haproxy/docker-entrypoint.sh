#!/bin/sh
# Starts HAProxy in the foreground, a master that reloads its workers on
# SIGUSR2; an option alone is meant for it, any other command is run as it is.
set -e

case ${1:-} in
-*) set -- haproxy "$@" ;;
esac

if [ "${1:-}" = haproxy ]; then
	shift
	set -- haproxy -W -db "$@"
fi

exec "$@"
