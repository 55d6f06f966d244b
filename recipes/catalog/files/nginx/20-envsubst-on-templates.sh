#!/bin/sh
# Makes configuration files of templates: every variable of the environment
# (whose name matches NGINX_ENVSUBST_FILTER, if that is set) is replaced;
# nginx's own variables, which the environment does not have, stay.
set -e

templates=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
output=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}
stream_suffix=${NGINX_ENVSUBST_STREAM_TEMPLATE_SUFFIX:-.stream-template}
stream_output=${NGINX_ENVSUBST_STREAM_OUTPUT_DIR:-/etc/nginx/stream-conf.d}
main=/etc/nginx/nginx.conf

say() {
	[ -n "${NGINX_ENTRYPOINT_QUIET_LOGS:-}" ] || echo "${0##*/}: $*"
}

# variables lists what may be replaced, as envsubst wants it: ${A} ${B}
variables() {
	awk -v filter="${NGINX_ENVSUBST_FILTER:-}" 'BEGIN {
		for (name in ENVIRON)
			if (name ~ /^[A-Za-z_][A-Za-z0-9_]*$/ && name ~ filter) printf "${%s} ", name
	}' </dev/null
}

# render SUFFIX OUTPUT makes a file below OUTPUT of every template with SUFFIX.
render() {
	if ! mkdir -p "$2" || [ ! -w "$2" ]; then
		say "ERROR: $templates has templates, but $2 cannot be written"
		return
	fi
	find "$templates" -follow -type f -name "*$1" | sort | while IFS= read -r template; do
		name=${template#"$templates"/}
		target=$2/${name%"$1"}
		mkdir -p "$(dirname "$target")"
		say "making $target of $template"
		envsubst "$known" <"$template" >"$target"
	done
}

has() {
	[ -n "$(find "$templates" -follow -type f -name "*$1" | head -n 1)" ]
}

# stream_block adds the block that reads the stream output, unless the main
# file has a stream block of its owner's.
stream_block() {
	if grep -qE '^[[:space:]]*stream[[:space:]]*(\{|$)' "$main"; then
		say "$main has a stream block: include $stream_output/*.conf there"
	elif [ ! -w "$main" ]; then
		say "ERROR: $main cannot be written: add a stream block that includes $stream_output/*.conf"
	else
		printf '\nstream {\n    include %s/*.conf;\n}\n' "$stream_output" >>"$main"
		say "$main includes $stream_output/*.conf in a stream block"
	fi
}

[ -d "$templates" ] || exit 0
known=$(variables)
if has "$suffix"; then
	render "$suffix" "$output"
fi
if has "$stream_suffix"; then
	render "$stream_suffix" "$stream_output"
	grep -qF "include $stream_output/*.conf;" "$main" || stream_block
fi
