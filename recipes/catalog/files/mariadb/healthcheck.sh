#!/bin/bash
# healthcheck.sh [OPTION...] TEST...: succeeds if the server passes all tests.
#
# Options stand before the tests they are for. The client reads the account
# that the entrypoint made, unless another file is named.
set -eo pipefail

datadir=/var/lib/mysql
files=()
as=()

ask() {
	local own=("${files[@]}")
	if [[ ${#own[@]} == 0 && -f $datadir/.my-healthcheck.cnf ]]; then
		own=("--defaults-extra-file=$datadir/.my-healthcheck.cnf")
	fi
	"${as[@]}" mariadb "${own[@]}" --skip-column-names --batch --connect-timeout=10 "$@"
}

status() { ask -e "SHOW GLOBAL STATUS LIKE '$1'" | cut -f2; }

# connect succeeds where the server answers over TCP, even if it refuses us.
connect() {
	local answer
	answer=$(ask --host=127.0.0.1 --protocol=tcp -e 'SELECT 1' 2>&1) || [[ $answer == *'ERROR 1045 '* ]]
}

innodb_initialized() { [[ $(ask -e "SELECT 1 FROM information_schema.ENGINES WHERE engine = 'innodb' AND support IN ('YES', 'DEFAULT', 'ENABLED')") == 1 ]]; }

innodb_buffer_pool_loaded() { [[ $(status Innodb_buffer_pool_load_status) == *completed* ]]; }

galera_online() { [[ $(status WSREP_LOCAL_STATE) == 4 ]]; }

galera_ready() { [[ $(status WSREP_READY) == ON ]]; }

mariadbupgrade() { [[ $(<"$datadir/mariadb_upgrade_info") == "$(mariadbd --version | sed 's/.* Ver \([0-9.]*-MariaDB\).*/\1/')" ]]; }

# replica FIELD prints the fields of that name, one a line, of every connection.
replica() { ask -e 'SHOW ALL REPLICAS STATUS\G' | sed -n "s/^ *$1: //p"; }

# all_yes FIELD: there is such a field, and it is Yes everywhere.
all_yes() {
	local values
	values=$(replica "$1")
	[[ -n $values ]] && ! grep -qvx Yes <<<"$values"
}

replication_io() { all_yes Slave_IO_Running; }

replication_sql() { all_yes Slave_SQL_Running; }

replication() { [[ -n $(replica Slave_IO_Running) ]]; }

# behind FIELD LIMIT: no connection is further behind.
behind() {
	local values
	values=$(replica "$1")
	[[ -n $values ]] && awk -v limit="$2" '$1 !~ /^[0-9]+$/ || $1 > limit { bad = 1 } END { exit bad }' <<<"$values"
}

tests=0
for arg; do
	value=${arg#*=}
	case $arg in
	--datadir=*) datadir=$value ;;
	--defaults-file=* | --defaults-extra-file=* | --defaults-group-suffix=* | --no-defaults) files+=("$arg") ;;
	--su=*) as=(gosu "$value") ;;
	--su-mysql) as=(gosu mysql) ;;
	--connect | --innodb_initialized | --innodb_buffer_pool_loaded | --galera_online | --galera_ready | --mariadbupgrade | \
		--replication | --replication_io | --replication_sql)
		tests=1
		${arg#--} || { echo "healthcheck ${arg#--} failed" >&2; exit 1; }
		;;
	--replication_seconds_behind_master=*)
		tests=1
		behind Seconds_Behind_Master "$value" || { echo "healthcheck ${arg#--} failed" >&2; exit 1; }
		;;
	--replication_sql_remaining_delay=*)
		tests=1
		behind SQL_Remaining_Delay "$value" || { echo "healthcheck ${arg#--} failed" >&2; exit 1; }
		;;
	*)
		echo "healthcheck: unknown option $arg" >&2
		exit 1
		;;
	esac
done
if [[ $tests == 0 ]]; then
	echo "healthcheck: no test was named, such as --connect or --innodb_initialized" >&2
	exit 1
fi
