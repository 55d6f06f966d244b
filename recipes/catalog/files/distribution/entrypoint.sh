#!/bin/sh
# What begins like the registry's own arguments is handed to it: a subcommand,
# an option, or the configuration file to serve. Anything else is run as it is.
set -e
case ${1-} in
*.yml | *.yaml) set -- registry serve "$@" ;;
serve | garbage-collect | help | -*) set -- registry "$@" ;;
esac
exec "$@"
