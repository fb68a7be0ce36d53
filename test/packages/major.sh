#!/bin/bash
# From each PostgreSQL named to the next (15 17, or 15 17 18) with attempts that are open, by Debian's pg_upgradecluster (pg_upgrade), and from the first to the last by a dump: on the Debian of the
# last, which still has the packages of those before, as an upgrade of the system leaves it.  The packages lie in folders 15, 17, 18 of a folder: major.sh FOLDER MAJOR...
# Root, in a chroot that is thrown away.  Prints TAP.
cd "$(dirname "$0")/../.." || exit 1
. test/packages/tap.sh
. test/packages/paying.sh
debs=$1
shift
first=$1
declare -A suite=([15]=bookworm [17]=trixie [18]=forky)
open="SELECT string_agg(client_request_id || ' ' || status, ', ' ORDER BY client_request_id) FROM pgw.payment_transactions WHERE status NOT IN ('Completed', 'Failed', 'Refunded')"
made="SELECT string_agg(client_request_id || ' ' || status, ', ' ORDER BY client_request_id) FROM pgw.payments"
events='SELECT count(*), md5(string_agg(to_jsonb(e)::text, chr(10) ORDER BY transaction_id, step_order)) FROM pgw.transaction_events e'

# Of an earlier Debian, its security updates too: packages want the newest server that they were built with.
install_major() # major
{
	local last=${suite[$(test/lib/major.sh)]} its=${suite[$1]}
	[ "$its" = "$last" ] ||
		sed -n "s#/debian $last main#/debian $its main#p; s#/debian $its main#/debian-security $its-security main#p" /etc/apt/sources.list >"/etc/apt/sources.list.d/$its.list"
	apt_get update && apt_get install --no-install-recommends "postgresql-$1" "$debs/$1/"{postgresql-"$1"-pgw,pgw-common,pgw-bank}_*.deb
	t "the packages for $1" $?
	[ -x "/usr/lib/postgresql/$1/bin/postgres" ] || exit 1
}

# Lines of the configuration of $PGCLUSTER: with look-ups an hour apart what is in doubt stays so.
conf() { echo "/etc/postgresql/$PGCLUSTER/postgresql.conf"; }
reload() { pg_ctlcluster ${PGCLUSTER/\// } reload; }
mode() { sed -i '/^pgw.worker_mode/d' "$(conf)" && echo "pgw.worker_mode = '$1'" >>"$(conf)" && reload; }
slowly() { printf "pgw.retry_base_delay = '1h'\npgw.retry_max_delay = '1h'\n" >>"$(conf)" && reload; }

# Real payments and one of a test bank: made, in doubt, waiting; and a refund that waits.
pay_and_pause() # what their ids end with
{
	slowly
	is "$(pay "kept-$1" tok_ok)" captured "$1: a payment"
	is "$(sql "SELECT status FROM pgw.process_payment('test-kept-$1', 4990, 'EUR', token => 'tok_ok', bank => 'test')")" captured "$1: one of the bank inside"
	bank_lookups fail
	is "$(pay "doubt-$1" tok_timeout_after 3s)" pending "$1: one whose outcome is not known"
	mode paused
	until_is paused worker_state
	is "$(sql "SELECT status FROM pgw.submit_payment('waiting-$1', 4990, 'EUR', token => 'tok_ok')")" pending "$1: one that is not sent yet"
	is "$(sql "SELECT status FROM pgw.submit_payment('test-waiting-$1', 4990, 'EUR', token => 'tok_ok', bank => 'test')")" pending "$1: one for the bank inside"
	sql "SELECT pgw.refund_payment(payment_id, 'back-$1', 100) FROM pgw.find_payment('kept-$1')" >/dev/null
	still_open="back-$1 Created, doubt-$1 BankUnknown, test-waiting-$1 Created, waiting-$1 Created"
	is "$(sql "$open")" "$still_open" "$1: all are open"
}

# What a database that has come from elsewhere does before and after somebody has said that it is the one that goes on.
goes_on() # what it is, why
{
	until_is paused worker_state
	is "$(sql "$open")" "$still_open" "$1: what was open is open"
	is "$(sql "SELECT status, details->>'paused' FROM pgw.health() WHERE check_name = 'restored'")" 'error|true' "$1: it is paused as a restored one"
	is "$(pay new-"$1" tok_ok 2>&1 | grep -c 'pgw.resume_after_restore()')" 1 "$1: a payment is refused, and the hint says what to do"
	is "$(sql "$events")" "$told" "$1: the events are the same, byte for byte"
	is "$(sql 'UPDATE pgw.transaction_events SET step_order = step_order' 2>&1 | grep -c ERROR)$(sql 'DELETE FROM pgw.transaction_events' 2>&1 | grep -c ERROR)" 11 "$1: and cannot be changed"
	is "$(sql 'SELECT library, script, advice FROM pgw.version()')" '1.0.0|1.0|' "$1: library and script agree"
	bank_lookups work
	sed -i '/^pgw.retry_/d' "$(conf)"
	reload
	is "$(sql "SELECT pgw.resume_after_restore('$2')")" 4 "$1: resumed, it takes over four"
	until_is '' sql "$open"
	t "$1: what was open is finished" $?
	is "$(sql 'SELECT * FROM pgw.check_consistency()')" '' "$1: the records agree"
}

upgrade() # from, to
{
	told=$(sql "$events")
	pg_dropcluster --stop "$2" main 2>/dev/null
	pg_upgradecluster -m upgrade "$1" main >"$work/upgrade.log" 2>&1
	t "pg_upgradecluster from $1 to $2" $?
	grep -iE 'error|fatal' "$work/upgrade.log" && tail -30 "$work/upgrade.log"
	export PGCLUSTER=$2/main
	is "$(sql 'SHOW server_version_num' | cut -c1-2)" "$2" "it is $2 that answers now"
	mode on
	goes_on "$2" "$1 is stopped for good"
	is "$(pay "new-$2" tok_ok)" captured "$2: a new payment"
	paid="$paid kept-$1 doubt-$1 waiting-$1 new-$2"
	is "$(charges)" "$(printf '%s\n' $paid | sort | paste -sd' ')" "$2: each is made by one charge"
	is "$(sql 'SELECT count(*) FROM pgw.payments WHERE NOT livemode')|$(sql "SELECT count(*) FROM pgw.test_bank_ledger WHERE kind = 'charge'")" "$((2 * ++steps))|$((2 * steps))" "$2: the bank inside has its own, with its ledger"
	is "$(problems)" '' "$2: health has no error"
}

# A minor release may write into the catalogs what the next major's last one does not know yet, as 15.20 and 17.12 do, and 18.6 does not: pg_upgrade then fails for every table, of whomever.
upgradable() # from, to
{
	! grep -q pg_attver "/usr/lib/postgresql/$1/bin/postgres" || grep -q pg_attver "/usr/lib/postgresql/$2/bin/postgres"
}

start_anew() # major
{
	export PGCLUSTER=$1/main
	# beside another cluster, Debian makes none
	[ -e "$(conf)" ] || pg_createcluster "$1" main >/dev/null
	printf "shared_preload_libraries = 'pgw'\nlog_parameter_max_length = 0\n" >>"$(conf)"
	pg_ctlcluster "$1" main start
}

# ---------------------------------------------------------------- the first, and a dump of it
paid='' steps=0
install_major "$first"
start_anew "$first" && sql 'CREATE EXTENSION pgw' && until_is running worker_state && bank_start
sql "UPDATE pgw.banks SET request_timeout = '500ms' WHERE name = 'acme'"
pay_and_pause "$first"
runuser -u postgres -- pg_dump -Fc -f "$work/bank/dump" postgres
t "a dump of $first" $?
then_open=$still_open then_told=$(sql "$events")

# ---------------------------------------------------------------- one after another
from=$first
for to in "${@:2}"; do
	[ "$from" = "$first" ] || pay_and_pause "$from"
	install_major "$to"
	if upgradable "$from" "$to"; then
		upgrade "$from" "$to"
	else
		t "pg_upgrade from $from to $to # SKIP this $to is older than what this $from writes (pg_attver)" 0
		pg_ctlcluster "$from" main stop
		start_anew "$to"
	fi
	from=$to
done

# ---------------------------------------------------------------- the dump in the last
db=restored still_open=$then_open told=$then_told
runuser -u postgres -- createdb -T template0 -E UTF8 --locale C $db && runuser -u postgres -- pg_restore --exit-on-error -d $db "$work/bank/dump"
t "the dump of $first is restored into $to" $?
goes_on "the dump in $to" 'to see what becomes of it'
is "$(sql "$made")" "doubt-$first captured, kept-$first partially_refunded, test-kept-$first captured, test-waiting-$first captured, waiting-$first captured" 'the bank knows all of them'
is "$(pay "dump-$to" tok_ok)" captured 'and a new payment'
is "$(charges)" "doubt-$first dump-$to kept-$first waiting-$first" 'nothing is charged twice'
pg_ctlcluster "$to" main stop
kill "$bank"
echo "1..$n"
