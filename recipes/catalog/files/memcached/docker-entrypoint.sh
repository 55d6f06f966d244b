#!/bin/sh
# Starts memcached; an option alone is meant for it, any other command is run
# as it is.
set -e

case ${1:-} in
-*) set -- memcached "$@" ;;
esac

exec "$@"
