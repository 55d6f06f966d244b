# Sourced by entrypoints of databases, which have the functions say, process_sql_file
# FILE and docker_process_sql (for what comes on standard input).

# run_init_files runs the files of /docker-entrypoint-initdb.d in order: programs
# as they are, shell text in the entrypoint's own shell, SQL in the server.
run_init_files() {
	local file
	for file in /docker-entrypoint-initdb.d/*; do
		case $file in
		*.sh)
			if [[ -x $file ]]; then
				say "running $file"
				"$file"
			else
				say "sourcing $file"
				. "$file"
			fi
			;;
		*.sql) say "running $file" && process_sql_file "$file" ;;
		*.sql.gz) say "running $file" && gunzip -c "$file" | docker_process_sql ;;
		*.sql.xz) say "running $file" && xz -dc "$file" | docker_process_sql ;;
		*.sql.zst) say "running $file" && zstd -dcq "$file" | docker_process_sql ;;
		'/docker-entrypoint-initdb.d/*') ;;
		*) say "ignoring $file" ;;
		esac
	done
}
