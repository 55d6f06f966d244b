#!/bin/sh
# Runs a command, or hands what is none to node: an option, the name of a script.
set -e

# command_named NAME tells whether a shell would find something to run.
command_named() {
	case $1 in
	-* | '') return 1 ;;
	esac
	command -v "$1" >/dev/null || return 1
	# A script beside us is node's unless it may be run itself.
	[ ! -f "$1" ] || [ -x "$1" ]
}

command_named "${1:-}" || set -- node "$@"
exec "$@"
