#!/bin/bash
# Starts MariaDB as the user mysql. An empty data directory is filled first, as
# the MARIADB_* variables (or MYSQL_* of the same name) and the files of
# /docker-entrypoint-initdb.d say. Any other command is run as it is.
set -Eeo pipefail

say() { echo "$(date --rfc-3339=seconds) [Note] [Entrypoint]: $*"; }

fail() {
	echo "$(date --rfc-3339=seconds) [ERROR] [Entrypoint]: $*" >&2
	exit 1
}

# take NAME [DEFAULT] sets MARIADB_NAME, and MYSQL_NAME for scripts that know
# that, from either of them or from the file that NAME_FILE names.
take() {
	local value=${2:-} name file
	for name in "MARIADB_$1" "MYSQL_$1"; do
		file="${name}_FILE"
		if [[ -n ${!name:-} && -n ${!file:-} ]]; then
			fail "both $name and $file are set: keep one of them"
		elif [[ -n ${!name:-} ]]; then
			value=${!name}
			break
		elif [[ -n ${!file:-} ]]; then
			value=$(<"${!file}")
			break
		fi
	done
	unset "MARIADB_$1_FILE" "MYSQL_$1_FILE"
	if [[ -n $value ]]; then
		export "MARIADB_$1=$value" "MYSQL_$1=$value"
	fi
}

take_all() {
	take ROOT_HOST %
	local name
	for name in ROOT_PASSWORD ROOT_PASSWORD_HASH ALLOW_EMPTY_ROOT_PASSWORD RANDOM_ROOT_PASSWORD DATABASE USER PASSWORD PASSWORD_HASH \
		MYSQL_LOCALHOST_USER MYSQL_LOCALHOST_GRANTS HEALTHCHECK_GRANTS INITDB_SKIP_TZINFO AUTO_UPGRADE DISABLE_UPGRADE_BACKUP; do
		take $name
	done
	# The older names of two switches.
	if [[ -n ${MYSQL_ALLOW_EMPTY_PASSWORD:-}${MARIADB_ALLOW_EMPTY_PASSWORD:-} ]]; then
		MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=yes
	fi
}

# asks_only tells whether the server would print something and end.
asks_only() {
	local arg
	for arg; do
		case $arg in
		'-?' | --help | --print-defaults | -V | --version) return 0 ;;
		esac
	done
	return 1
}

# read_settings asks the server, given as arguments, what its options and
# configuration files come to.
read_settings() {
	settings=$("$@" --verbose --help 2>/tmp/mariadbd-says) ||
		fail "mariadbd does not take its configuration; the command was: $* --verbose --help: $(</tmp/mariadbd-says)"
	rm -f /tmp/mariadbd-says
	datadir=$(setting datadir)
	datadir=${datadir%/}
	socket=$(setting socket)
}

# setting NAME looks into the table at the end, below a line of dashes.
setting() { awk -v name="$1" '/^-----/ { table = 1 } table && $1 == name { print $2; exit }' <<<"$settings"; }

own_directories() {
	mkdir -p "$datadir" "$(dirname "$socket")"
	find "$datadir" \( ! -user mysql -o ! -group mysql \) -exec chown mysql:mysql {} +
	find "$(dirname "$socket")" -maxdepth 0 ! -user mysql -exec chown mysql:mysql {} +
}

# start_quietly SERVER... starts a server that only this container can reach.
start_quietly() {
	"$@" --skip-networking --socket="$socket" --wsrep-on=OFF --skip-log-bin --expire-logs-days=0 --skip-slave-start \
		--loose-innodb-buffer-pool-load-at-startup=OFF --loose-innodb-buffer-pool-dump-at-shutdown=OFF &
	server=$!
	local try
	for ((try = 0; try < 600; try++)); do
		if mariadb-admin --no-defaults --protocol=socket --socket="$socket" --user=root --connect-timeout=10 ping >/dev/null 2>&1; then
			return
		fi
		kill -0 $server 2>/dev/null || fail "the server ended while it was prepared"
		sleep 1
	done
	fail "the server did not answer in 10 minutes"
}

stop_quietly() {
	kill -TERM $server
	wait $server || fail "the server ended with status $? when it was stopped"
}

# docker_process_sql feeds the client, for init scripts as well.
docker_process_sql() {
	local database=()
	if [[ -n ${MARIADB_DATABASE:-} && $1 != --database=* ]]; then
		database=("--database=$MARIADB_DATABASE")
	fi
	MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb --no-defaults --protocol=socket --user=root --socket="$socket" --comments "${database[@]}" "$@"
}

# literal and identifier quote for SQL.
literal() {
	local text=${1//\\/\\\\}
	printf "'%s'" "${text//\'/\'\'}"
}

identifier() { printf '`%s`' "${1//\`/\`\`}"; }

# pattern quotes the database of a GRANT, where _ and % stand for others.
pattern() {
	local text=${1//_/\\_}
	identifier "${text//%/\\%}"
}

# identified PASSWORD HASH says how an account proves who it is.
identified() {
	if [[ -n $2 ]]; then
		echo "IDENTIFIED BY PASSWORD $(literal "$2")"
	else
		echo "IDENTIFIED BY $(literal "$1")"
	fi
}

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

check_variables() {
	if [[ -z ${MARIADB_ROOT_PASSWORD:-}${MARIADB_ROOT_PASSWORD_HASH:-}${MARIADB_ALLOW_EMPTY_ROOT_PASSWORD:-}${MARIADB_RANDOM_ROOT_PASSWORD:-} ]]; then
		fail "the database is not initialized and root has no password: set one of MARIADB_ROOT_PASSWORD, MARIADB_ROOT_PASSWORD_HASH," \
			"MARIADB_ALLOW_EMPTY_ROOT_PASSWORD and MARIADB_RANDOM_ROOT_PASSWORD"
	fi
	if [[ -n ${MARIADB_ROOT_PASSWORD:-} && -n ${MARIADB_ROOT_PASSWORD_HASH:-} ]] || [[ -n ${MARIADB_PASSWORD:-} && -n ${MARIADB_PASSWORD_HASH:-} ]]; then
		fail "a password and its hash are both set: keep one of them"
	fi
	if [[ -n ${MARIADB_USER:-} && -z ${MARIADB_PASSWORD:-}${MARIADB_PASSWORD_HASH:-} ]]; then
		fail "MARIADB_USER has no password: set MARIADB_PASSWORD or MARIADB_PASSWORD_HASH"
	fi
	if [[ ${MARIADB_USER:-} == root ]]; then
		fail "MARIADB_USER is root, who exists already: use MARIADB_ROOT_PASSWORD for its password"
	fi
}

# account_sql writes the statements that make accounts and database.
account_sql() {
	local root host
	root=$(identified "${MARIADB_ROOT_PASSWORD:-}" "${MARIADB_ROOT_PASSWORD_HASH:-}")
	echo "SET SESSION sql_log_bin = 0; SET SESSION sql_mode = '';"
	echo "DROP USER IF EXISTS root@127.0.0.1, root@'::1';" # made without a password
	if [[ $MARIADB_ROOT_HOST != localhost ]]; then
		echo "CREATE USER root@$(literal "$MARIADB_ROOT_HOST") $root; GRANT ALL ON *.* TO root@$(literal "$MARIADB_ROOT_HOST") WITH GRANT OPTION;"
	fi
	for host in localhost 127.0.0.1 ::1; do
		echo "CREATE USER healthcheck@'$host' IDENTIFIED BY '$1'; GRANT ${MARIADB_HEALTHCHECK_GRANTS:-USAGE} ON *.* TO healthcheck@'$host';"
	done
	if [[ -n ${MARIADB_MYSQL_LOCALHOST_USER:-} ]]; then
		echo "CREATE USER mysql@localhost IDENTIFIED VIA unix_socket; GRANT ${MARIADB_MYSQL_LOCALHOST_GRANTS:-USAGE} ON *.* TO mysql@localhost;"
	fi
	if [[ -n ${MARIADB_DATABASE:-} ]]; then
		echo "CREATE DATABASE IF NOT EXISTS $(identifier "$MARIADB_DATABASE");"
	fi
	if [[ -n ${MARIADB_USER:-} ]]; then
		echo "CREATE USER $(literal "$MARIADB_USER")@'%' $(identified "${MARIADB_PASSWORD:-}" "${MARIADB_PASSWORD_HASH:-}");"
		if [[ -n ${MARIADB_DATABASE:-} ]]; then
			echo "GRANT ALL ON $(pattern "$MARIADB_DATABASE").* TO $(literal "$MARIADB_USER")@'%';"
		fi
	fi
	echo "ALTER USER root@localhost $root;"
}

make_accounts() {
	local secret password=${MARIADB_ROOT_PASSWORD:-}
	secret=$(random)
	if [[ -n ${MARIADB_RANDOM_ROOT_PASSWORD:-} ]]; then
		password=$(random)
		export MARIADB_ROOT_PASSWORD=$password MYSQL_ROOT_PASSWORD=$password
		say "GENERATED ROOT PASSWORD: $password"
	fi
	account_sql "$secret" | MARIADB_ROOT_PASSWORD='' docker_process_sql --database=mysql
	(
		umask 0077
		printf '[mariadb-client]\nport=%s\nsocket=%s\nhost=localhost\nuser=healthcheck\npassword=%s\nprotocol=tcp\n' \
			"$(setting port)" "$socket" "$secret" >"$datadir/.my-healthcheck.cnf"
	)
}

process_sql_file() { docker_process_sql <"$1"; }

. /usr/local/lib/docker-initdb/run-init-files.sh

# this_version is the server's, as mariadb-upgrade writes it down.
this_version() { mariadbd --version | sed 's/.* Ver \([0-9.]*-MariaDB\).*/\1/'; }

# fill SERVER... makes the system tables and all that was asked for.
fill() {
	check_variables
	ls /docker-entrypoint-initdb.d/ >/dev/null # fail early if it may not be read
	say "initializing $datadir"
	mariadb-install-db "${@:2}" --datadir="$datadir" --auth-root-authentication-method=normal --skip-test-db --cross-bootstrap --rpm --skip-log-bin
	start_quietly "$@"
	if [[ -z ${MARIADB_INITDB_SKIP_TZINFO:-} ]]; then
		mariadb-tzinfo-to-sql /usr/share/zoneinfo 2>/dev/null | MARIADB_ROOT_PASSWORD='' docker_process_sql --database=mysql
	fi
	make_accounts
	run_init_files
	stop_quietly
	this_version >"$datadir/mariadb_upgrade_info"
	say "MariaDB init process done. Ready for start up."
}

# upgrade SERVER... brings the system tables to this version where they are of
# another, if it was asked for.
upgrade() {
	local old
	old=$(cat "$datadir/mariadb_upgrade_info" 2>/dev/null) || old=unknown
	if [[ $old == "$(this_version)" ]]; then
		return
	elif [[ -z ${MARIADB_AUTO_UPGRADE:-} ]]; then
		say "the system tables are of version $old: set MARIADB_AUTO_UPGRADE=1 to have mariadb-upgrade run"
		return
	fi
	say "upgrading the system tables from version $old"
	start_quietly "$@" --skip-grant-tables
	if [[ -z ${MARIADB_DISABLE_UPGRADE_BACKUP:-} ]]; then
		mariadb-dump --no-defaults --protocol=socket --socket="$socket" --skip-lock-tables --databases mysql |
			zstd -q >"$datadir/system_mysql_backup_$old.sql.zst"
	fi
	mariadb-upgrade --no-defaults --protocol=socket --socket="$socket" --upgrade-system-tables
	stop_quietly
	this_version >"$datadir/mariadb_upgrade_info"
}

case ${1:--} in
-*) set -- mariadbd "$@" ;;
esac
if [[ ${1:-} != mariadbd && ${1:-} != mysqld ]] || asks_only "$@"; then
	exec "$@"
fi

read_settings "$@"
if [[ $(id -u) == 0 ]]; then
	own_directories
	exec gosu mysql "$0" "$@"
fi
take_all
if [[ -d $datadir/mysql ]]; then
	upgrade "$@"
else
	fill "$@"
fi
exec "$@"
