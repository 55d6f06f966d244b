#!/bin/bash
# Starts PostgreSQL as the user postgres. An empty data directory is made a
# database cluster first, as the POSTGRES_* variables and the files of
# /docker-entrypoint-initdb.d say. Any other command is run as it is.
#
# Under the name docker-ensure-initdb.sh it makes the cluster and ends; under
# docker-enforce-initdb.sh it also fails if there was one already.
set -Eeo pipefail

say() { echo "${0##*/}: $*" >&2; }

fail() {
	say "error: $*"
	exit 1
}

# from_file NAME [DEFAULT] takes a variable from the file that NAME_FILE names.
from_file() {
	local file="$1_FILE"
	if [[ -n ${!1:-} && -n ${!file:-} ]]; then
		fail "both $1 and $file are set: keep one of them"
	fi
	if [[ -n ${!file:-} ]]; then
		export "$1=$(<"${!file}")"
	elif [[ -z ${!1:-} ]]; then
		export "$1=${2:-}"
	fi
	unset "$file"
}

# asks_only tells whether the server would print something and end.
asks_only() {
	local arg
	for arg; do
		case $arg in
		'-?' | --help | --describe-config | -V | --version) return 0 ;;
		esac
	done
	return 1
}

# own makes a directory the server's, whoever made it.
own() {
	mkdir -p "$2"
	chmod "$1" "$2" || true
	if [[ $(id -u) == 0 ]]; then
		find "$2" ! -user postgres -exec chown postgres {} +
	fi
}

own_directories() {
	own 0700 "$PGDATA"
	own 3775 /var/run/postgresql || true
	if [[ -n ${POSTGRES_INITDB_WALDIR:-} ]]; then
		own 0700 "$POSTGRES_INITDB_WALDIR"
	fi
}

check_password() {
	if [[ $POSTGRES_HOST_AUTH_METHOD == trust ]]; then
		say "warning: POSTGRES_HOST_AUTH_METHOD=trust lets everybody in who reaches the port, as any user and without a password"
	elif [[ -z $POSTGRES_PASSWORD ]]; then
		fail "the database is not initialized and the superuser has no password: set POSTGRES_PASSWORD, as in \"-e POSTGRES_PASSWORD=password\"," \
			"or POSTGRES_HOST_AUTH_METHOD=trust to let everybody in without one, which is not recommended"
	fi
}

# init_cluster runs initdb, which wants a name for the user it runs as.
init_cluster() {
	local args=(--username "$POSTGRES_USER" --set 'listen_addresses=*') more accounts preload=
	if [[ -n $POSTGRES_PASSWORD ]]; then
		args+=(--pwfile /dev/stdin)
	fi
	if [[ -n ${POSTGRES_INITDB_WALDIR:-} ]]; then
		args+=(--waldir "$POSTGRES_INITDB_WALDIR")
	fi
	eval "more=($POSTGRES_INITDB_ARGS)" # words as the shell splits them, quotes included
	if getent passwd "$(id -u)" >/dev/null; then
		initdb "${args[@]}" "${more[@]}" <<<"$POSTGRES_PASSWORD"
	else
		accounts=$(mktemp -d)
		echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$PGDATA:/bin/false" >"$accounts/passwd"
		echo "postgres:x:$(id -g):" >"$accounts/group"
		preload=$(echo /usr/lib/*/libnss_wrapper.so)
		LD_PRELOAD=$preload NSS_WRAPPER_PASSWD=$accounts/passwd NSS_WRAPPER_GROUP=$accounts/group \
			initdb "${args[@]}" "${more[@]}" <<<"$POSTGRES_PASSWORD"
		rm -r "$accounts"
	fi
}

# allow_hosts lets other machines in, by the method asked for or by the one
# that fits how passwords are kept. Its arguments are the server's.
allow_hosts() {
	local method=$POSTGRES_HOST_AUTH_METHOD
	if [[ -z $method ]]; then
		method=$(postgres -C password_encryption "$@")
	fi
	printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

# start_quietly starts a server that only this container can reach.
start_quietly() {
	local options
	options=$(printf '%q ' "$@" -c listen_addresses= -p "${PGPORT:-5432}")
	NOTIFY_SOCKET='' PGUSER=${PGUSER:-$POSTGRES_USER} pg_ctl --wait --timeout="${PGCTLTIMEOUT:-600}" --options="$options" start
}

# docker_process_sql feeds psql, for init scripts as well.
docker_process_sql() {
	local database=()
	if [[ -n ${POSTGRES_DB:-} ]]; then
		database=(--dbname "$POSTGRES_DB")
	fi
	PGHOST='' PGHOSTADDR='' psql --set ON_ERROR_STOP=1 --no-psqlrc --no-password --username "$POSTGRES_USER" "${database[@]}" "$@"
}

create_database() {
	local there
	there=$(POSTGRES_DB='' docker_process_sql --dbname postgres --set db="$POSTGRES_DB" --tuples-only \
		<<<"SELECT 1 FROM pg_database WHERE datname = :'db'")
	if [[ -z $there ]]; then
		POSTGRES_DB='' docker_process_sql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db"'
	fi
}

process_sql_file() { docker_process_sql --file "$1"; }

. /usr/local/lib/docker-initdb/run-init-files.sh

# make_cluster fills an empty data directory. Its arguments are the server's.
make_cluster() {
	check_password
	ls /docker-entrypoint-initdb.d/ >/dev/null # fail early if it may not be read
	init_cluster
	allow_hosts "$@"
	export PGPASSWORD=${PGPASSWORD:-$POSTGRES_PASSWORD}
	start_quietly "$@"
	create_database
	run_init_files
	pg_ctl --wait --timeout="${PGCTLTIMEOUT:-600}" --mode fast stop
	unset PGPASSWORD
	say "PostgreSQL init process complete; ready for start up."
}

name=${0##*/}
case $name in
docker-en*-initdb.sh) set -- postgres "$@" ;;
esac
case ${1:--} in
-*) set -- postgres "$@" ;;
esac

if [[ ${1:-} != postgres ]] || asks_only "$@"; then
	exec "$@"
fi

own_directories
if [[ $(id -u) == 0 ]]; then
	exec gosu postgres "$0" "$@"
fi
if [[ -s $PGDATA/PG_VERSION ]]; then
	if [[ $name == docker-enforce-initdb.sh ]]; then
		fail "$PGDATA holds a database already"
	fi
	say "$PGDATA holds a database; initialization is skipped"
else
	from_file POSTGRES_PASSWORD
	from_file POSTGRES_USER postgres
	from_file POSTGRES_DB "$POSTGRES_USER"
	from_file POSTGRES_INITDB_ARGS
	export POSTGRES_HOST_AUTH_METHOD=${POSTGRES_HOST_AUTH_METHOD:-}
	make_cluster "${@:2}"
fi
if [[ $name == docker-en*-initdb.sh ]]; then
	exit 0
fi
exec "$@"
