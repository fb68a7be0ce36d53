#!/bin/sh
# House style of the C sources and of the extension's script, as far as a script can hold it: the layout of .clang-format, no C++
# comments, no trailing blanks, lines that fit (columns counted with tabs of four), a head comment in each file, one core that
# needs no server, rooms that use one another one way only, and pages that name what is there.  Prints TAP.
set -u
cd "$(dirname "$0")/.." || exit 1
group=style shown=20
. test/lib/report.sh
files=$(find src test/bank docs/examples/testing test/unit test/fuzz -name '*.[ch]' -not -path '*/build/*' | sort)
case $(clang-format --version 2>/dev/null) in
*' 14.'*) report 'laid out as .clang-format says (make format)' "$(clang-format --dry-run -Werror $files 2>&1 | grep error:)" ;;
*) skip 'laid out as .clang-format says' 'only clang-format 14 lays it out the same way' ;;
esac
report 'no trailing blanks' "$(grep -nE '[[:blank:]]+$' $files)"
report 'no C++ comments' "$(grep -nE '(^|[^:"])//' $files | grep -vE '"[^"]*//|\* ')"
report 'lines of at most 100 columns, but for strings' "$(for f in $files; do expand -t4 "$f" | awk -v f="$f" 'length($0) > 100 && !/"/ { print f ":" FNR ": " length($0) " columns" }'; done)"
report 'lines of at most 140 columns in the script of the extension' "$(expand -t4 pgw--1.0.sql | awk 'length($0) > 140 { print FNR ": " length($0) " columns" }')"
report 'a head comment in each file' "$(for f in $files; do head -1 "$f" | grep -q '^/\*' || echo "$f"; done)"
report 'what only some of the servers know is in base/compat.h alone' "$(grep -nE '\bAbs\(|pg_attribute_noreturn|ShmemVariableCache|TransamVariables|PG_VERSION_NUM' $files | grep -v '^src/base/compat\.h:')"
report 'the core includes nothing but the core' "$(grep -n '#include "' src/core/*/*.[ch] | grep -v '#include "core/')"
report 'each room uses only the rooms that test/rooms.conf names for it' "$(test/check-rooms.sh)"
report 'what the pages name is there' "$(perl test/check-docs.pl)"
report 'one version everywhere, and a META.json that PGXN takes' "$(perl test/check-versions.pl)"
report 'TAP files of fewer than 300 lines, each with a number of its own' "$(wc -l test/tap/*.pl | awk '$2 != "total" && $1 >= 300 { print $2 ": " $1 " lines" }'; ls test/tap | sed 's/_.*//' | uniq -d)"
echo "1..$n"
exit $bad
