#!/bin/sh
# Options and subcommands alone are meant for Traefik; anything else is run as
# it is, Traefik under its own name included.
set -e
case ${1-} in
-* | healthcheck | version) set -- traefik "$@" ;;
esac
exec "$@"
