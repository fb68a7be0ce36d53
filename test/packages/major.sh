#!/bin/bash
# From PostgreSQL 15 to 17 with attempts that are open, by Debian's pg_upgradecluster (pg_upgrade) and by a dump: on a Debian 13 that still has the packages of Debian 12, as an
# upgrade of the system leaves it.  The packages lie in 15/ and 17/ of a folder.  Root, in a chroot that is thrown away.  Prints TAP.
cd "$(dirname "$0")/../.." || exit 1
. test/packages/tap.sh
. test/packages/paying.sh

sed 's/trixie/bookworm/g' /etc/apt/sources.list >/etc/apt/sources.list.d/before.list
apt_get update && apt_get install --no-install-recommends postgresql-15 "$1"/15/{postgresql-15-pgw,pgw-common,pgw-bank}_*.deb
t 'the packages of Debian 12' $?
export PGCLUSTER=15/main
conf=/etc/postgresql/15/main/postgresql.conf
cat >>$conf <<'CONF'
shared_preload_libraries = 'pgw'
log_parameter_max_length = 0
pgw.retry_base_delay = '1h'
pgw.retry_max_delay = '1h'
pgw.worker_mode = 'on'
CONF
pg_ctlcluster 15 main start && sql 'CREATE EXTENSION pgw' && until_is running worker_state && bank_start
sql "UPDATE pgw.banks SET request_timeout = '500ms'"
is "$(pay kept tok_ok)" captured 'a payment'
bank_lookups fail
is "$(pay doubt tok_timeout_after 3s)" pending 'one whose outcome is not known'
sed -i "s/^pgw.worker_mode.*/pgw.worker_mode = 'paused'/" $conf
pg_ctlcluster 15 main reload && until_is paused worker_state
is "$(sql "SELECT status FROM pgw.submit_payment('waiting', 4990, 'EUR', token => 'tok_ok')")" pending 'one that is not sent yet'
open="SELECT string_agg(client_request_id || ' ' || status, ', ' ORDER BY client_request_id) FROM pgw.payment_transactions WHERE status NOT IN ('Completed', 'Failed', 'Refunded')"
is "$(sql "$open")" 'doubt BankUnknown, waiting Created' 'both are open'

apt_get install --no-install-recommends postgresql-17 "$1"/17/{postgresql-17-pgw,pgw-common}_*.deb
t 'the packages of Debian 13 beside them' $?
pg_dropcluster --stop 17 main 2>/dev/null
runuser -u postgres -- pg_dump -Fc -f "$work/bank/dump" postgres
t 'a dump of 15' $?
pg_upgradecluster -m upgrade 15 main >"$work/upgrade.log" 2>&1
t 'pg_upgradecluster' $?
grep -iE 'error|fatal' "$work/upgrade.log" && tail -30 "$work/upgrade.log"
export PGCLUSTER=17/main
is "$(sql 'SHOW server_version_num' | cut -c1-2)" 17 'it is 17 that answers now'
sed -i "s/^pgw.worker_mode.*/pgw.worker_mode = 'on'/" ${conf/15/17}
pg_ctlcluster 17 main reload && until_is paused worker_state

is "$(sql "$open")" 'doubt BankUnknown, waiting Created' 'what was open is open'
is "$(sql "SELECT status, details->>'paused' FROM pgw.health() WHERE check_name = 'restored'")" 'error|true' 'the database is paused as a restored one'
is "$(pay new tok_ok 2>&1 | grep -c 'pgw.resume_after_restore()')" 1 'a payment is refused, and the hint says what to do'
is "$(charges)" 'doubt kept' 'the bank has heard of nothing more'
is "$(sql 'SELECT library, script, advice FROM pgw.version()')" '1.0.0|1.0|' 'library and script agree'
bank_lookups work
sed -i '/^pgw.retry_/d' ${conf/15/17}
pg_ctlcluster 17 main reload
is "$(sql "SELECT pgw.resume_after_restore('15 is stopped for good')")" 2 'resumed, it takes over two'
until_is '' sql "$open"
t 'what was open is finished' $?
is "$(pay new tok_ok)" captured 'a new payment'
is "$(sql "SELECT string_agg(client_request_id || ' ' || status, ', ' ORDER BY client_request_id) FROM pgw.payments")" 'doubt captured, kept captured, new captured, waiting captured' 'all are made'
is "$(charges)" 'doubt kept new waiting' 'by one charge each'
is "$(sql 'SELECT * FROM pgw.check_consistency()')$(problems)" '' 'and the records agree'

db=restored
runuser -u postgres -- createdb -T template0 -E UTF8 --locale C $db && runuser -u postgres -- pg_restore --exit-on-error -d $db "$work/bank/dump"
t 'the dump of 15 is restored into 17' $?
until_is paused worker_state
t 'and is paused' $?
is "$(sql "$open")" 'doubt BankUnknown, waiting Created' 'with what was open then'
is "$(sql "SELECT pgw.resume_after_restore('to see what becomes of it')")" 2 'resumed, it asks the bank'
until_is '' sql "$open"
is "$(sql "SELECT string_agg(client_request_id || ' ' || status, ', ' ORDER BY client_request_id) FROM pgw.payments")" 'doubt captured, kept captured, waiting captured' 'which knows all of them'
is "$(sql 'SELECT * FROM pgw.check_consistency()')" '' 'the records agree there, too'
db=postgres
is "$(charges)" 'doubt kept new waiting' 'and nothing is charged twice'
pg_ctlcluster 17 main stop
kill "$bank"
echo "1..$n"
