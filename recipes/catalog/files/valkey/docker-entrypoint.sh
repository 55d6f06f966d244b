#!/bin/bash
# Starts valkey-server as the user valkey, with a data directory that is its
# own; any other command is run as it is.
set -e

# An option or a configuration file alone is meant for the server.
case ${1:-} in
-* | *.conf) set -- valkey-server "$@" ;;
esac

if [[ ${1:-} == valkey-server && $(id -u) == 0 ]]; then
	find . \( ! -user valkey -o ! -group valkey \) -exec chown -h valkey:valkey {} +
	exec setpriv --reuid valkey --regid valkey --clear-groups -- "$0" "$@"
fi

# Nobody else need read the data, unless a umask was chosen.
if [[ $(umask) == 0022 ]]; then
	umask 0077
fi

if [[ ${1:-} != valkey-server ]]; then
	exec "$@"
fi
case ${2:-} in
-v | --version | -h | --help | --test-memory | --check-system) exec "$@" ;;
esac

# Extra arguments are split into words and nothing else.
set -f
# shellcheck disable=SC2206
extra=(${VALKEY_EXTRA_FLAGS:-})
set +f
set -- "${@:2}" "${extra[@]}"

conf=()
if [[ -n ${1:-} && ${1:0:1} != - ]]; then
	conf=("$1")
	shift
fi

# A container is reached through the ports that its owner publishes: protected
# mode, which would refuse everybody else, is off where nobody asked for it.
open=(--protected-mode no)
case " $* " in
*' --protected-mode '*) open=() ;;
esac
if [[ ${#conf[@]} != 0 ]] && grep -qiE '^[[:space:]]*protected-mode[[:space:]]' "${conf[0]}"; then
	open=()
fi

exec valkey-server "${conf[@]}" "${open[@]}" "$@"
