#!/bin/bash
# peak.sh FILE COMMAND...: runs the command, and writes to FILE how much memory
# its process had at most, in kB (VmHWM). To look it starts no process and reads
# a file once a second: on a simulated board both are slow.
file=$1
shift
"$@" &
pid=$!
peak=0
exec {never}<> <(:)
while mapfile -t status <"/proc/$pid/status" && [[ ${status[*]} =~ VmHWM:[[:space:]]*([0-9]+) ]]; do
	peak=${BASH_REMATCH[1]}
	read -rt 1 -u "$never"
done 2>/dev/null
wait "$pid"
code=$?
echo "$peak" >"$file"
exit "$code"
