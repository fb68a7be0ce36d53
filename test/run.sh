#!/bin/bash
# Run the tests: all kinds, or those named (test-unit test-regress test-isolation test-pgtap test-tap test-chaos test-chaos-notified; check-style
# check-docs check-static check-sanitized valgrind sanitize fuzz mutants chaos).  ELSEWHERE: a folder of logs of test/matrix.sh that count, too.  The last line is "N passed, N failed".
set -u
PGW_TOP=$(cd "$(dirname "$0")/.." && pwd)
. "$PGW_TOP/test/lib/env.sh"
pgw_drop_privileges test/run.sh "$@"

passed=0 failed=0
trap 'stop_all' EXIT
stop_all()
{
	[ -z "${BANK_PID:-}" ] || kill "$BANK_PID" 2>/dev/null
	[ ! -f "$PGW_WORK/data/postmaster.pid" ] || pg_ctl -D "$PGW_WORK/data" -m immediate stop >/dev/null 2>&1
}

# Count the TAP lines of a log; a run that failed without a failing line counts as one failure.
count() # log, exit status, name
{
	local ok bad
	ok=$(grep -Ec '^ok [0-9]+' "$1")
	bad=$(grep -Ec '^not ok [0-9]+' "$1")
	bad=$((bad - $(grep -Ec '^not ok [0-9]+.*# TODO' "$1")))
	if [ "$2" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
	if [ "$ok" -eq 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
	passed=$((passed + ok)) failed=$((failed + bad))
	printf '%-12s %5d passed, %d failed   (%ds)\n' "$3" "$ok" "$bad" "$SECONDS"
	if [ "$bad" -gt 0 ]; then
		grep -E -B2 -A14 '^not ok|^#   Failed|Bail out|error:|SUMMARY' "$1" | head -150
		[ "$ok" -gt 0 ] || tail -60 "$1"
	fi
	SECONDS=0
}

# Left out where a checker (cflags) watches the program: it reads every page of its own process, and the checker's pages, too, would have no end.
NATIVE_ONLY=test_http_memory
units() # name, extra cflags, CC, runner...
{
	# each kind of build has a folder of its own: make does not see that the flags are others
	local build=$PGW_WORK/$1 cflags=$2 cc=$3 t n
	shift 3
	make -s -j2 -C test/unit CC="$cc" EXTRA_CFLAGS="$cflags" BUILD="$build" PG_CONFIG="$PGW_PG_CONFIG" all || { echo "not ok 1 - unit build"; return 1; }
	for t in "$build"/test_*; do
		[ -x "$t" ] && [ -f "$t" ] || continue
		case $t in *.o) continue ;; esac
		n=$(basename "$t")
		[ -z "$cflags" ] || [ "$n" != "$NATIVE_ONLY" ] || continue
		echo "# $n"
		CMOCKA_MESSAGE_OUTPUT=TAP PGW_SRCDIR=$PWD "$@" "$t" 2>&1 || echo "not ok 999 - $n ended with status $?"
	done
}

test_unit()
{
	units unit "" gcc >"$PGW_WORK/unit.log" 2>&1
	count "$PGW_WORK/unit.log" $? unit
	perl test/bank/selftest.pl >"$PGW_WORK/bank-selftest.log" 2>&1
	count "$PGW_WORK/bank-selftest.log" $? bank
}

cluster_up()
{
	[ ! -f "$PGW_WORK/data/postmaster.pid" ] || return 0
	pgw_secrets
	pgw_bank_start || return 1
	initdb -D "$PGW_WORK/data" -E UTF8 -A trust -U postgres --no-sync >"$PGW_WORK/initdb.log" 2>&1 || { cat "$PGW_WORK/initdb.log"; return 1; }
	{
		pgw_server_conf
		cat test/regress.conf
		echo "unix_socket_directories = '$PGW_WORK'"
	} >>"$PGW_WORK/data/postgresql.conf"
	pg_ctl -D "$PGW_WORK/data" -l "$PGW_WORK/server.log" -w start >/dev/null || { tail "$PGW_WORK/server.log"; return 1; }
	export PGHOST=$PGW_WORK PGUSER=postgres PGW_BANK_URL="http://127.0.0.1:$BANK_PORT"
}

regress_like() # program, name, dbname, outputdir, tests...
{
	local prog=$1 name=$2 db=$3 out=$4 log="$PGW_WORK/$2.log" status
	shift 4
	mkdir -p "$out"
	"$("$PGW_PG_CONFIG" --pkglibdir)/pgxs/src/test/$prog" --bindir="$PGW_BIN" --inputdir=. --outputdir="$out" --dbname="$db" \
		--host="$PGW_WORK" --user=postgres "$@" >"$log.raw" 2>&1
	status=$?
	# from 16 on it prints TAP, with a + instead of the - for one of a group
	sed -nE 's/^(test|     ) *([^ ]+) +\.\.\. ok.*/ok 1 - \2/p; t
		s/^(test|     ) *([^ ]+) +\.\.\. FAILED.*/not ok 1 - \2/p; t
		s/^((not )?ok [0-9]+) +[-+] ([^ ]+).*/\1 - \3/p' "$log.raw" >"$log"
	[ $status -eq 0 ] || { cat "$log.raw"; head -300 "$out/regression.diffs" 2>/dev/null; } | sed 's/^/# /' >>"$log"
	count "$log" $status "$name"
	[ $status -eq 0 ] || { head -200 "$out/regression.diffs" || cat "$log.raw"; } 2>/dev/null
}

test_regress()
{
	cluster_up || { failed=$((failed + 1)); return; }
	regress_like regress/pg_regress regress pgw_regress "$PGW_WORK/regress" $(grep -v '^#' sql/schedule)
}

test_isolation()
{
	cluster_up || { failed=$((failed + 1)); return; }
	ln -sfn test/isolation specs
	PGAPPNAME=iso regress_like isolation/pg_isolation_regress isolation pgw_isolation "$PGW_WORK/isolation" \
		$(grep -v '^#' test/isolation/schedule)
}

test_pgtap()
{
	cluster_up || { failed=$((failed + 1)); return; }
	createdb pgw_pgtap 2>/dev/null
	psql -qX -d pgw_pgtap -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION pgw' -c 'CREATE EXTENSION pgtap' || failed=$((failed + 1))
	pg_prove -v -d pgw_pgtap test/pgtap/*.sql >"$PGW_WORK/pgtap.log" 2>&1
	count "$PGW_WORK/pgtap.log" $? pgtap
}

# docs/catalog.md anew, on descriptor 3: the run itself is another user's.
run_catalog()
{
	cluster_up && createdb pgw_catalog && psql -qX -d pgw_catalog -c 'CREATE EXTENSION pgw' &&
		psql -qXAt -d pgw_catalog -f test/catalog.sql >&3 && passed=$((passed + 1)) || failed=$((failed + 1))
}

# The build with debug points, which TAP tests and what they share (test/lib) ask for by `debug => 1`.
debug_build()
{
	[ -d "$PGW_WORK/variant/debug/inst" ] || pgw_build_variant debug -DPGW_DEBUG_POINTS || return 1
	export PGW_DEBUG_INST="$PGW_WORK/variant/debug/inst"
}

test_tap()
{
	debug_build || { failed=$((failed + 1)); return; }
	pgw_prove ${TESTS:-test/tap/*.pl} >"$PGW_WORK/tap.log" 2>&1
	count "$PGW_WORK/tap.log" $? tap
}

# docs/pictures anew, as a tar on descriptor 3.
run_pictures()
{
	mkdir -p "$PGW_WORK/pictures"
	PICTURES=$PGW_WORK/pictures TESTS=test/tap/142_browser.pl test_tap
	[ "$failed" -gt 0 ] || (cd "$PGW_WORK/pictures" && tar --owner=0 --group=0 -cf - *.png) >&3
}

# Each named safeguard switched off (all when none is named) must be noticed by its test.
run_mutants()
{
	debug_build || { failed=$((failed + 1)); return; }
	test/mutants.sh "$@" 2>&1 | tee "$PGW_WORK/mutants.log"
	count "$PGW_WORK/mutants.log" "${PIPESTATUS[0]}" mutants
}

# Payments while everything breaks, then a reconciliation; docs/reliability.md.
chaos() # name=value...
{
	pgw_secrets
	PGW_CONF="$(pgw_server_conf)" perl -I test/lib -I test/chaos test/chaos/chaos.pl "$@"
}

test_chaos()
{
	chaos seed="${SEED:-1}" payments=300 kills=6 clients=12 rest=60 clock=0 standby=0 >"$PGW_WORK/chaos.log" 2>&1
	count "$PGW_WORK/chaos.log" $? chaos
	test_chaos_notified
}

# ... where the bank's notifications alone say what became of an order.
test_chaos_notified()
{
	chaos seed="${SEED:-1}" payments=100 kills=3 clients=12 rest=60 clock=0 standby=0 notified=1 dir="$PGW_WORK/told" >"$PGW_WORK/chaos-notified.log" 2>&1
	count "$PGW_WORK/chaos-notified.log" $? chaos-notified
}

# The long form shows the run itself, whose last line is the number of violations.
run_chaos()
{
	chaos seed="${SEED:-1}" payments="${PAYMENTS:-10000}" kills="${KILLS:-200}" notified="${NOTIFIED:-0}" ${CHAOS_MORE:-} 2>&1 | tee "$PGW_WORK/chaos.log"
	chaos_status=${PIPESTATUS[0]}
}

# pgw beside what the database can do, and beside an app server; docs/performance.md.
harness() # bench or extremes, name=value...
{
	pgw_secrets
	make -s -C test/bench/peer BUILD="$PGW_WORK/peer" PG_CONFIG="$PGW_PG_CONFIG" || { echo "not ok 1 - the peer's build"; return 1; }
	PGW_CONF="$(pgw_server_conf)" perl -I test/bench "test/bench/$1.pl" "${@:2}"
}

# The harness works, and every payment of each contestant has left all its rows; times are not looked at.
test_bench()
{
	harness bench smoke=1 rounds=1 warmup=0 seconds=0 backlog=3000 >"$PGW_WORK/bench.log" 2>&1
	count "$PGW_WORK/bench.log" $? bench
}

run_bench()
{
	harness bench rounds="${ROUNDS:-3}" warmup="${WARMUP:-8}" seconds="${SECONDS_EACH:-10}" only="${ONLY:-}" backlog="${BACKLOG:-}" out="${OUT:+$PGW_WORK/bench.json}" svg="${SVG:+$PGW_WORK/bench.svg}" 2>&1 | tee "$PGW_WORK/bench.log"
	bench_status=${PIPESTATUS[0]}
	[ -z "${OUT:-}" ] || [ ! -s "$PGW_WORK/bench.json" ] || cat "$PGW_WORK/bench.json" >&3
	[ -z "${SVG:-}" ] || [ ! -s "$PGW_WORK/bench.svg" ] || cat "$PGW_WORK/bench.svg" >&4
}

run_bench_extremes()
{
	harness extremes flight="${FLIGHT:-}" stored="${STORED:-}" load="${LOAD:-}" only="${ONLY:-}"
	bench_status=$?
}

run_shard_chaos()
{
	pgw_secrets
	PGW_CONF="$(pgw_server_conf)" perl -I test/lib -I test/chaos test/chaos/shards.pl seed="${SEED:-1}" payments="${PAYMENTS:-10000}" ${CHAOS_MORE:-} 2>&1 | tee "$PGW_WORK/chaos.log"
	chaos_status=${PIPESTATUS[0]}
}

check_style()
{
	test/check-style.sh >"$PGW_WORK/style.log" 2>&1
	count "$PGW_WORK/style.log" $? style
}

# Random ids of each shape; the unit test of the same name takes fewer.
card_rates()
{
	make -s -C test/unit CC=gcc EXTRA_CFLAGS=-O2 BUILD="$PGW_WORK/rates" "$PGW_WORK/rates/test_card_rates" >"$PGW_WORK/rates.log" 2>&1 &&
		PGW_RATES=${PGW_RATES:-100000} "$PGW_WORK/rates/test_card_rates" | tee "$PGW_WORK/rates.log"
	count "$PGW_WORK/rates.log" "${PIPESTATUS[0]}" rates
}

run_valgrind()
{
	units valgrind "-g -O1" gcc valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite --child-silent-after-fork=yes >"$PGW_WORK/valgrind.log" 2>&1
	count "$PGW_WORK/valgrind.log" $? valgrind
}

run_sanitize()
{
	units sanitize "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all" clang >"$PGW_WORK/sanitize.log" 2>&1
	count "$PGW_WORK/sanitize.log" $? sanitize
}

# The files with a report: AddressSanitizer writes one of its own, gcc's UndefinedBehaviorSanitizer into the server's log.
sanitizer_reports()
{
	grep -rIlE 'runtime error: |ERROR: AddressSanitizer' "$PGW_WORK" --exclude-dir=tree --exclude-dir=inst --exclude-dir=base --exclude-dir=pg_wal
}

# Errors made on purpose are reported: else a run without a report would say nothing.
sanitized_control()
{
	local name said n=0
	cluster_up || return 1
	gcc $("$PGW_PG_CONFIG" --cflags) $("$PGW_PG_CONFIG" --cflags_sl) -I"$("$PGW_PG_CONFIG" --includedir-server)" -shared -o "$PGW_WORK/control.so" test/lib/sanitized_control.c || return 1
	for name in 'read_beyond heap-buffer-overflow' 'shift_beyond shift.exponent'; do
		set -- $name
		n=$((n + 1))
		psql -qX -d postgres -c "CREATE FUNCTION $1(int) RETURNS int LANGUAGE c AS '$PGW_WORK/control.so'" -c "SELECT $1(0)" >/dev/null 2>&1
		said="not ok $n - $1 is reported"
		! sanitizer_reports | xargs -r grep -q "$2" || said=${said#not }
		echo "$said"
		rm -f "$PGW_WORK"/sanitizer.*
		: >"$PGW_WORK/server.log"
		# its process has ended, and with it all others: the server begins anew
		until psql -qXAt -d postgres -c 'SELECT 1' >/dev/null 2>&1 || ! pg_ctl -D "$PGW_WORK/data" status >/dev/null; do sleep 0.2; done
	done
	if nm -D "$("$PGW_PG_CONFIG" --bindir)/postgres" | grep -q __asan_report && find "$PGW_INST" -name pgw.so -exec nm -D {} + | grep -q __asan_report; then
		echo "ok 3 - server and extension are built with them"
	else
		echo "not ok 3 - server and extension are built with them"
	fi
}

# On the server that test/checking-server.sh builds: what SQL and DDL do, concurrency, and a short chaos.  A report ends its process, which the
# tests notice; and all that was written is searched for it, so that none is missed in a run that ends processes on purpose.
run_check_sanitized()
{
	export ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:log_path=$PGW_WORK/sanitizer"
	export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:log_path=$PGW_WORK/sanitizer"
	sanitized_control >"$PGW_WORK/control.log" 2>&1
	count "$PGW_WORK/control.log" $? control
	for kind in ${SANITIZED:-regress isolation chaos tap}; do
		case $kind in
			regress) test_regress ;;
			isolation) test_isolation ;;
			tap) TESTS=${TESTS:-test/tap/200_answers.pl} test_tap ;;
			chaos)
				chaos seed="${SEED:-1}" payments="${PAYMENTS:-200}" kills="${KILLS:-4}" clients=8 rest=240 clock=0 standby=0 >"$PGW_WORK/chaos.log" 2>&1
				count "$PGW_WORK/chaos.log" $? chaos ;;
		esac
	done
	if [ -n "$(sanitizer_reports)" ]; then
		sanitizer_reports | xargs grep -m5 -hE -A12 'runtime error: |ERROR: AddressSanitizer'
		echo "not ok 1 - no report of the sanitizers"
	else
		echo "ok 1 - no report of the sanitizers"
	fi | tee "$PGW_WORK/sanitizer.log"
	count "$PGW_WORK/sanitizer.log" 0 sanitizers
}

# Nothing is said by the maker of the site when all is well.
check_docs()
{
	local log=$PGW_WORK/docs.log
	if docs/site/build.sh "$PGW_WORK/site" >"$log.raw" 2>&1; then
		echo "ok 1 - docs: the pages make a site without a dead link"
	else
		echo "not ok 1 - docs: the pages make a site without a dead link"
		sed 's/^/#   /' "$log.raw"
	fi >"$log"
	count "$log" 0 docs
}

run_check_static()
{
	test/check-static.sh >"$PGW_WORK/static.log" 2>&1
	count "$PGW_WORK/static.log" $? static
}

run_fuzz() # inputs for each fuzzer
{
	make -s -j2 -C test/fuzz BUILD="$PGW_WORK/fuzz" all >"$PGW_WORK/fuzz.log" 2>&1 &&
		for f in "$PGW_WORK"/fuzz/fuzz_*; do
			[ -x "$f" ] || continue
			n=$(basename "$f")
			corpus=test/fuzz/corpus/${n#fuzz_}
			mkdir -p "$PGW_WORK/corpus/$n"
			[ -d "$corpus" ] || corpus=
			if PGW_SRCDIR=$PWD "$f" -runs="$1" -seed=1 -timeout=10 -rss_limit_mb=2000 "$PGW_WORK/corpus/$n" $corpus >"$PGW_WORK/$n.log" 2>&1; then
				echo "ok 1 - $n, $1 inputs"
			else
				tail -40 "$PGW_WORK/$n.log"
				echo "not ok 1 - $n"
			fi
		done >>"$PGW_WORK/fuzz.log" 2>&1
	count "$PGW_WORK/fuzz.log" $? fuzz
}

# What ran before, in chroots with other servers (test/matrix.sh): a log for each, named after the server, which ends with what passed and failed.
count_elsewhere() # folder
{
	local log name ok bad
	for log in "$1"/*.log; do
		name=$(basename "$log" .log)
		read -r ok bad <<<"$(tail -1 "$log" | sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p')"
		[ -n "$bad" ] || { tail -40 "$log"; ok=0 bad=1; }
		passed=$((passed + ok)) failed=$((failed + bad))
		printf '%-12s %5d passed, %d failed\n' "on $name" "$ok" "$bad"
		[ "$bad" -eq 0 ] || grep -E -B2 -A14 '^not ok|^#   Failed|Bail out|error:' "$log" | head -150
	done
}

SECONDS=0
pgw_build || { echo "0 passed, 1 failed"; exit 1; }
echo "built        (${SECONDS}s, -Wall -Wextra -Werror)"
SECONDS=0
for kind in ${*:-all}; do
	case $kind in
		all) check_style; check_docs; test_unit; run_valgrind; run_sanitize; run_fuzz "${FUZZ_RUNS:-20000}"; test_regress; test_isolation; test_pgtap; test_tap; run_mutants INTENT_FLUSH XID_BEFORE_ROW ADOPTION_LOCK; test_chaos; test_bench
			[ -z "${ELSEWHERE:-}" ] || count_elsewhere "$ELSEWHERE" ;;
		test-unit) test_unit ;;
		test-regress) test_regress ;;
		test-isolation) test_isolation ;;
		test-pgtap) test_pgtap ;;
		test-tap) test_tap ;;
		mutants) run_mutants ${MUTANTS:-} ;;
		test-chaos) test_chaos ;;
		test-chaos-notified) test_chaos_notified ;;
		test-bench) test_bench ;;
		bench) run_bench ;;
		bench-extremes) run_bench_extremes ;;
		chaos) run_chaos ;;
		shard-chaos) run_shard_chaos ;;
		valgrind) run_valgrind ;;
		sanitize) run_sanitize ;;
		fuzz) run_fuzz "${FUZZ_RUNS:-1000000}" ;;
		card-rates) card_rates ;;
		check-style) check_style ;;
		check-docs) check_docs ;;
		catalog) run_catalog ;;
		pictures) run_pictures ;;
		check-sanitized) run_check_sanitized ;;
		check-static) run_check_static ;;
		*) echo "unknown kind of test: $kind" >&2; failed=1 ;;
	esac
done
# Logs for a look afterwards; the work folder goes away with the run.
if [ -n "${KEEP_LOGS:-}" ]; then mkdir -p "$KEEP_LOGS" && cp -r "$PGW_WORK"/*.log "$PGW_WORK"/chaos/*.log "$PGW_WORK"/told/*.log "$PGW_WORK"/regress "$PGW_WORK"/isolation "$PGW_WORK"/tap "$PGW_WORK"/tmp_check/log "$KEEP_LOGS" 2>/dev/null; fi
[ -z "${chaos_status:-}" ] || exit "$chaos_status"
[ -z "${bench_status:-}" ] || exit "$bench_status"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
