#!/bin/sh
# Compiles through ccache, where the toolchain has it. ccache decides by all
# headers that a compilation reads, the system's too: -MMD, which leaves those
# out, becomes -MD, and a compilation that lists none writes a list to throw away.
set -- @COMPILER@ "$@"
case " $* " in
*" -c "*) [ -x /usr/bin/ccache ] || exec "$@" ;;
*) exec "$@" ;;
esac
lists=
for arg; do
	shift
	case $arg in
	-MMD) arg=-MD lists=yes ;;
	-Wp,-MMD,*) arg=-Wp,-MD,${arg#-Wp,-MMD,} lists=yes ;;
	-M* | -Wp,*-M* | -E | -S | @*) lists=yes ;;
	esac
	set -- "$@" "$arg"
done
[ -z "$lists" ] || exec /usr/bin/ccache "$@"
list=/tmp/headers.$$
/usr/bin/ccache "$@" -MD -MF "$list" || status=$?
rm -f "$list"
exit "${status:-0}"
