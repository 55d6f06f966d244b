#!/bin/sh
# Lets the default server listen on IPv6 too, where the kernel has IPv6 and the
# file is still the one that the image was made with.
set -e

conf=/etc/nginx/conf.d/default.conf
made=/usr/share/nginx/default.conf

say() {
	[ -n "${NGINX_ENTRYPOINT_QUIET_LOGS:-}" ] || echo "${0##*/}: $*"
}

if [ ! -e /proc/net/if_inet6 ]; then
	say "this kernel has no IPv6"
elif [ ! -f "$conf" ]; then
	say "there is no $conf"
elif [ ! -w "$conf" ]; then
	say "$conf cannot be written (is it or its file system read-only?)"
elif grep -q 'listen *\[::\]:80;' "$conf"; then
	say "$conf listens on IPv6 already"
elif [ "$(cat "$conf")" != "$(cat "$made")" ]; then
	say "$conf was changed since the image was made, leaving it alone"
else
	# The file may be a mount of its own, which cannot be replaced, only written.
	text=$(sed 's/^\( *\)listen       80;$/&\n\1listen  [::]:80;/' "$conf")
	printf '%s\n' "$text" >"$conf"
	say "$conf listens on IPv6 now"
fi
