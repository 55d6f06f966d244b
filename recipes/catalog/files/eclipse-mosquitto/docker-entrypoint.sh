#!/bin/sh
# Gives the mounted directories to the account that the broker runs as, and
# becomes the given command.
set -e

if [ "$(id -u)" = 0 ] && [ -d /mosquitto ]; then
	chown -R mosquitto:mosquitto /mosquitto ||
		echo "$0: some of /mosquitto cannot be given to mosquitto: is it mounted read-only?" >&2
fi

exec "$@"
