#!/bin/sh
# Runs telegraf, or another command, as the account telegraf where the container
# was started as root; what begins with a dash are options of telegraf.
set -e

case ${1-} in
-*) set -- telegraf "$@" ;;
esac

if [ "$(id -u)" != 0 ]; then
	exec "$@"
fi

# may NUMBER tells whether the container has a capability of capabilities(7).
may() {
	[ $(((0x$(awk '/^CapPrm:/ { print $2 }' /proc/self/status) >> $1) & 1)) = 1 ]
}
readonly net_bind_service=10 net_raw=13

# Pings are sent and ports below 1024 listened on without being root. What the
# container may not do itself it cannot pass on.
caps=
if may $net_bind_service; then caps=+net_bind_service; fi
if may $net_raw; then caps=${caps:+$caps,}+net_raw; fi
[ "$caps" = +net_bind_service,+net_raw ] ||
	echo "$0: telegraf may not send pings, or not listen on ports below 1024: the container lacks NET_RAW or NET_BIND_SERVICE" >&2

# Groups that were added to the container stay, such as that of Docker's socket; root's does not.
groups=telegraf
for group in $(id -G); do
	if [ "$group" != 0 ]; then groups=$groups,$group; fi
done

HOME=$(getent passwd telegraf | cut -d: -f6)
export HOME
exec setpriv --reuid telegraf --regid telegraf --groups "$groups" ${caps:+--inh-caps "$caps" --ambient-caps "$caps"} -- "$@"
