#!/bin/bash
# For each PostgreSQL named (15 17 18; 16 is Ubuntu's), in chroots of its Debian (test/matrix.sh): the packages are built and looked at by lintian, and installed on a bare one, where a first
# payment is made, upgraded and removed; the archive for PGXN is built with what the README names, the README's own commands are run, and the programs of docs/examples/.  Then clusters with open attempts are upgraded from one to the next.  Root.  KINDS=readme: the README's own commands alone, which CI runs.
# The last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/../.." || exit 1
passed=0 failed=0
export OUT

tally() # log, what
{
	local ok bad
	ok=$(grep -c '^ok ' "$1")
	bad=$(grep -c '^not ok ' "$1")
	[ "$(sed -n 's/^1\.\.//p' "$1")" = $((ok + bad)) ] || { bad=$((bad + 1)); echo 'not ok - not to the end:' && tail -40 "$1"; }
	passed=$((passed + ok)) failed=$((failed + bad))
	printf '%-22s %3d passed, %d failed   (%ds)\n' "$2" "$ok" "$bad" "$SECONDS"
	[ "$bad" -eq 0 ] || grep -A25 '^not ok' "$1" | head -80
	SECONDS=0
}

readme() # column
{
	BARE=1 test/matrix.sh in "$1" test/packages/first.sh >"$OUT/first.log" 2>&1
	tally "$OUT/first.log" "README on $1"
	grep '^# from apt' "$OUT/first.log"
}

SECONDS=0
for column in ${*:-15 17 18}; do
	OUT=${PACKAGES_OUT:-/var/tmp/pgw-packages}/$column
	rm -rf "$OUT"
	mkdir -p "$OUT"
	[ "${KINDS:-}" != readme ] || { readme "$column"; continue; }
	LAYER=packages test/matrix.sh chroot "$column" debhelper lintian postgresql-server-dev-all >"$OUT/chroot.log" 2>&1 ||
		{ tally "$OUT/chroot.log" "chroot for $column"; continue; }
	LAYER=packages test/matrix.sh in "$column" test/packages/lint.sh /out >"$OUT/build.log" 2>&1
	tally "$OUT/build.log" "build for $column"
	make -s dist OUT="$OUT" >/dev/null && BARE=1 test/matrix.sh in "$column" test/packages/source.sh /out >"$OUT/source.log" 2>&1
	tally "$OUT/source.log" "source for $column"
	readme "$column"
	BARE=1 test/matrix.sh in "$column" test/packages/install.sh /out >"$OUT/install.log" 2>&1
	tally "$OUT/install.log" "install for $column"
	# the next Debian has other versions of some of their packages
	[ "$column" != 18 ] || continue
	BARE=1 test/matrix.sh in "$column" test/packages/examples.sh /out >"$OUT/examples.log" 2>&1
	tally "$OUT/examples.log" "examples on $column"
done
OUT=$(dirname "$OUT")
before=()
for column in 15 17 18; do
	ls "$OUT/$column"/*.deb >/dev/null 2>&1 || continue
	before+=("$column")
	[ ${#before[@]} -gt 1 ] || continue
	BARE=1 test/matrix.sh in "$column" test/packages/major.sh /out "${before[@]}" >"$OUT/major-$column.log" 2>&1
	tally "$OUT/major-$column.log" "upgrades ${before[*]}"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
