#!/bin/bash
# What is seen without running: gcc -fanalyzer, clang-tidy and cppcheck over the extension's sources find nothing.  Prints TAP.  What is left out, and why, stands in
# test/static.  Assertions count as said: an analyser believes what an Assert() claims.  Files (src/http/http.c ...) in FILES: these alone.
set -u
cd "$(dirname "$0")/.." || exit 1
pg_config=${PG_CONFIG:-pg_config}
flags="-std=gnu11 -DUSE_ASSERT_CHECKING=1 -Isrc -I$("$pg_config" --includedir-server) $("$pg_config" --cppflags)"
files=${FILES:-$(ls src/*.c src/*/*.c src/core/*/*.c)}
export flags
group=static shown=60
. test/lib/report.sh
# one file a process: clang-tidy 14 mistakes the va_lists of the second for uninitialized
each() { echo "$files" | tr ' ' '\n' | xargs -P"${JOBS:-2}" -I{} sh -c "$1" 2>&1; }

report 'gcc -fanalyzer' "$(each 'gcc $flags -O1 -fanalyzer -Wno-analyzer-too-complex -c -o /dev/null {}' | grep -E 'warning:|error:' |
	grep -vEf <(grep -v '^#' test/static/fanalyzer.suppress))"
report 'clang-tidy' "$(each 'clang-tidy --quiet --config-file=test/static/clang-tidy.yaml {} -- $flags 2>/dev/null' | grep -E 'warning:|error:')"
report 'cppcheck' "$(cppcheck -q -j"${JOBS:-2}" --enable=warning,performance,portability --inline-suppr --library=posix --library=test/static/cppcheck.cfg \
	--suppressions-list=test/static/cppcheck.suppress -D__GNUC__ -DLIBCURL_VERSION_NUM=0x075800 -Isrc --std=c11 $files 2>&1 | grep -E '(error|warning|performance|portability):')"
echo "1..$n"
exit $bad
