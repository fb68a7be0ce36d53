#!/bin/bash
# make demo-cluster: two shards behind a PL/Proxy router, each a PostgreSQL of its own here: payments, a call that is sent to the wrong one, a third
# shard, slots that move and a shard that dies while customers pay.  See docs/scaling.md.  KEEP=1 leaves everything up.
set -eu
PGW_TOP=$(cd "$(dirname "$0")/.." && pwd)
. "$PGW_TOP/test/lib/env.sh"
KEEP=${KEEP:-}
export KEEP
pgw_drop_privileges test/demo-cluster.sh "$@"

stop_all()
{
	status=$?
	if [ -n "$KEEP" ] && [ $status -eq 0 ]; then return; fi
	[ -z "${BANK_PID:-}" ] || kill "$BANK_PID" 2>/dev/null || :
	pgw_stop_servers
	wait
}
trap stop_all EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
# The servers are told apart by their ports, in one folder of sockets. A shard's standby has a name of its own here, and the shard's in pgw.
declare -A port=([router]=5430 [eu-1]=5431 [eu-2]=5432 [eu-2-standby]=5433 [eu-3]=5434 [eu-4]=5435)
at() { psql -X -h "$PGW_WORK" -p "${port[$1]}" -U postgres -d shop -v VERBOSITY=verbose -v SHOW_CONTEXT=never -P footer=off -P null='' "${@:2}"; } # server, options of psql...
sql() { at "$1" -q -a -v ON_ERROR_STOP="${2:-1}" 2>&1 | grep -vE '^(LOCATION|$)'; } # server, stop at an error?; statements on standard input: shown, then run
value() { at "$1" -q -A -t -c "$2"; } # server, statement
becomes() # server, condition: wait until it holds, three minutes at most
{
	for _ in $(seq 1800); do
		[ "$(value "$1" "SELECT $2")" != t ] || return 0
		value "$1" 'SELECT pg_sleep(0.1)' >"$PGW_WORK/null"
	done
	echo "not in three minutes: $2" >&2
	return 1
}
folder() { echo "$PGW_WORK/data/$1"; }
make_server() # name
{
	initdb -D "$(folder "$1")" -E UTF8 -A trust -U postgres --no-sync >"$PGW_WORK/initdb.log"
	{ pgw_server_conf; printf '%s\n' "unix_socket_directories = '$PGW_WORK'" 'log_parameter_max_length = 0' 'shared_buffers = 32MB'; } >>"$(folder "$1")/postgresql.conf"
}
copy_server() { pg_basebackup -h "$PGW_WORK" -p "${port[$1]}" -U postgres -D "$(folder "$2")" -c fast -R -X stream --no-sync; } # name, that of the copy
# pgw.shard_name comes from the server's environment: what is in the data directory every copy would have.
start_server() { PGW_SHARD_NAME=$2 pg_ctl -D "$(folder "$1")" -o "-p ${port[$1]}" -l "$PGW_WORK/$1.log" -w -t 120 start >"$PGW_WORK/null"; } # name, the shard's
make_shard() # name, slots
{
	make_server "$1"
	start_server "$1" "$1"
	createdb -h "$PGW_WORK" -p "${port[$1]}" -U postgres shop
	at "$1" -q -v ON_ERROR_STOP=1 >"$PGW_WORK/null" <<SQL
CREATE EXTENSION pgw;
INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('demo bank', 'json', 'http://127.0.0.1:$BANK_PORT', 'bank');
SELECT pgw.claim_slots('$2', 'first');
\i docs/sharding/shard.sql
SQL
}
asked() { perl -MHTTP::Tiny -MJSON::PP -e 'print decode_json(HTTP::Tiny->new->get("http://127.0.0.1:$ARGV[0]/ledger")->{content})->{requests}' "$BANK_PORT"; } # requests that the bank has had

say 'Building pgw and the bank simulator, starting two shards and a router ...'
pgw_build
pgw_secrets
pgw_bank_start
mkdir "$PGW_WORK/data"
make_shard eu-1 '{[0,399]}'
make_shard eu-2 '{[400,799]}'
make_server router
start_server router ''
createdb -h "$PGW_WORK" -p "${port[router]}" -U postgres shop

say '1. A shard is an ordinary database with pgw that knows which of 1024 slots are at home. It has the rows of the shop, too, and shop.pay(), which pays and
   writes them (docs/sharding/shard.sql).'
sql eu-1 <<'SQL'
SHOW pgw.shard_name;
SELECT shard, state, range_agg(int4range(slot, slot + 1)) AS slots FROM pgw.shard_slots GROUP BY shard, state;
SQL

say '2. The router keeps a map of slots, and no payment (docs/sharding/router.sql). Its functions are made from those of a shard (wrappers.sql).'
at router -q -v ON_ERROR_STOP=1 -f docs/sharding/router.sql
at eu-1 -A -t -q -v functions='shop.pay:request_id pgw.get_payment:payment_id pgw.refund_payment:payment_id pgw.wait_for_payment:payment_id' -f docs/sharding/wrappers.sql |
	at router -q -v ON_ERROR_STOP=1
sql router <<SQL
INSERT INTO routing.shards VALUES ('eu-1', 'host=$PGW_WORK port=${port[eu-1]} dbname=shop user=router'), ('eu-2', 'host=$PGW_WORK port=${port[eu-2]} dbname=shop user=router');
INSERT INTO routing.slots SELECT s, CASE WHEN s < 400 THEN 'eu-1' ELSE 'eu-2' END FROM generate_series(0, 799) s;
SQL

say '3. Customers pay at the router. The slot stands in the id: here that of the customer. The same id again is the same payment.'
sql router <<'SQL'
SELECT payment_id, status, replayed FROM shop.pay('s17.order-1', 'a book', 4990, 'EUR', 'tok_ok') \gset
SELECT status, replayed FROM shop.pay('s17.order-1', 'a book', 4990, 'EUR', 'tok_ok');
SELECT status, replayed FROM shop.pay('s700.order-2', 'a lamp', 2500, 'EUR', 'tok_ok');
SELECT status, error_code FROM shop.pay('s700.order-3', 'a lamp', 2500, 'EUR', 'tok_decline_insufficient_funds');
SELECT status FROM pgw.refund_payment(:'payment_id', 'order-1 scratch', 1000);
SELECT status, refunded_amount FROM pgw.wait_for_payment(:'payment_id');
SQL
for shard in eu-1 eu-2; do
	echo "$shard:"
	at "$shard" -q -c 'SELECT o.request_id, o.item, p.status, p.amount, p.refunded_amount FROM shop.orders o JOIN pgw.payments p USING (payment_id)'
done

say '4. The map is wrong: slot 17 is said to be at eu-2. Nothing is paid twice: the shard refuses, and the bank is not asked.'
before=$(asked)
sql router 0 <<'SQL'
UPDATE routing.slots SET shard = 'eu-2' WHERE slot = 17;
SELECT status FROM shop.pay('s17.order-1', 'a book', 4990, 'EUR', 'tok_ok');
UPDATE routing.slots SET shard = 'eu-1' WHERE slot = 17;
SELECT status, replayed FROM shop.pay('s17.order-1', 'a book', 4990, 'EUR', 'tok_ok');
SQL
[ "$(asked)" -eq "$before" ] || { echo 'the bank was asked' >&2; exit 1; }
echo '   Requests to the bank meanwhile: 0'

say '5. A third shard, eu-3, gets the slots that nobody has, for customers to come.'
make_shard eu-3 '{[800,1023]}'
sql router <<SQL
INSERT INTO routing.shards VALUES ('eu-3', 'host=$PGW_WORK port=${port[eu-3]} dbname=shop user=router');
INSERT INTO routing.slots SELECT s, 'eu-3' FROM generate_series(800, 1023) s;
SELECT status FROM shop.pay('s900.order-4', 'a chair', 9900, 'EUR', 'tok_ok');
SQL

say '6. Slots 300 to 399 move from eu-1 to a machine of their own, eu-4, while eight customers pay one order after the other all over the map.'
at router -q <<'SQL'
CREATE SCHEMA demo;
CREATE TABLE demo.shopping (step int PRIMARY KEY);
CREATE TABLE demo.customers (step int, paid int, refused int, no_answer int, longest interval);
-- As an application should: until there is an answer the same order is sent again, with the same id.
CREATE PROCEDURE demo.customer(step int, customer int) LANGUAGE plpgsql AS $$
DECLARE
	c demo.customers := (step, 0, 0, 0, '0');
	id text;
	began timestamptz;
	outcome text;
BEGIN
	WHILE EXISTS (SELECT FROM demo.shopping s WHERE s.step = customer.step) LOOP
		id := format('s%s.order-%s-%s-%s', trunc(random() * 1024), step, customer, c.paid);
		began := clock_timestamp();
		outcome := NULL;
		WHILE outcome IS DISTINCT FROM 'captured' LOOP
			BEGIN
				SELECT p.status INTO outcome FROM shop.pay(id, 'a pencil', 100, 'EUR', 'tok_ok') p;
			EXCEPTION
				WHEN SQLSTATE 'PW421' THEN c.refused := c.refused + 1; PERFORM pg_sleep(0.02);
				WHEN OTHERS THEN c.no_answer := c.no_answer + 1; PERFORM pg_sleep(0.02);
			END;
			COMMIT;
		END LOOP;
		c.paid := c.paid + 1;
		c.longest := greatest(c.longest, clock_timestamp() - began);
	END LOOP;
	INSERT INTO demo.customers VALUES (c.*);
END $$;
SQL
customers_come() # step
{
	value router "INSERT INTO demo.shopping VALUES ($1)"
	customers=()
	for c in $(seq 8); do
		PGOPTIONS="-c client_min_messages=warning" value router "CALL demo.customer($1, $c)" >"$PGW_WORK/customer-$c.log" 2>&1 &
		customers+=($!)
	done
}
customers_go() # step
{
	value router "DELETE FROM demo.shopping WHERE step = $1"
	wait "${customers[@]}"
	cat "$PGW_WORK"/customer-*.log >&2
	at router -c "SELECT sum(paid) AS paid, sum(refused) AS refused_and_sent_again, sum(no_answer) AS no_answer_and_sent_again, max(longest) AS longest_wait FROM demo.customers WHERE step = $1"
}
orders_at() { value "$1" 'SELECT count(*) FROM shop.orders'; } # server
copy_server eu-1 eu-4
start_server eu-4 eu-4
becomes eu-1 'count(*) = 1 FROM pg_stat_replication'
customers_come 6
becomes eu-1 'count(*) > 50 FROM shop.orders'
sql eu-1 <<'SQL'
SELECT state, token, held_by_callers, open_attempts, standbys_behind FROM pgw.release_slots('{[300,399]}', 'eu-4');
SQL
token=
until [ -n "$token" ]; do token=$(value eu-1 "SELECT token FROM pgw.release_slots('{[300,399]}', 'eu-4')"); done
echo "   ... and again, until it says: $token"
value eu-4 'SELECT pg_promote()' >"$PGW_WORK/null"
at eu-4 -a -q -c "SELECT pgw.adopt_slots('$token') AS adopted"
sql router <<SQL
BEGIN;
INSERT INTO routing.shards VALUES ('eu-4', 'host=$PGW_WORK port=${port[eu-4]} dbname=shop user=router');
UPDATE routing.slots SET shard = 'eu-4' WHERE slot BETWEEN 300 AND 399;
COMMIT;
SQL
orders=$(orders_at eu-4)
becomes eu-4 "count(*) > $orders + 20 FROM shop.orders"
customers_go 6

say '7. eu-2 has a synchronous standby, which has its name. The machine dies while customers pay; the standby is promoted. The router names both, and
   libpq finds the one that takes writes.'
copy_server eu-2 eu-2-standby
start_server eu-2-standby eu-2
value eu-2 "ALTER SYSTEM SET synchronous_standby_names = '*'"
value eu-2 'SELECT pg_reload_conf()' >"$PGW_WORK/null"
becomes eu-2 "count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
sql router <<SQL
UPDATE routing.shards SET dsn = 'host=$PGW_WORK,$PGW_WORK port=${port[eu-2]},${port[eu-2-standby]} target_session_attrs=read-write dbname=shop user=router' WHERE shard = 'eu-2';
SQL
customers_come 7
orders=$(orders_at eu-2)
becomes eu-2 "count(*) > $orders + 50 FROM shop.orders"
kill -9 "$(head -1 "$(folder eu-2)/postmaster.pid")" $(value eu-2 'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()')
rm -rf "$(folder eu-2)"
value eu-2-standby 'SELECT pg_promote()' >"$PGW_WORK/null"
orders=$(orders_at eu-2-standby)
becomes eu-2-standby "count(*) > $orders + 50 FROM shop.orders"
customers_go 7

say '8. All of them in one report: each shard is asked for the payments of the slots that are at home there.'
for shard in eu-1 eu-2-standby eu-3 eu-4; do becomes "$shard" "count(*) = 0 FROM pgw.payment_transactions WHERE pgw.slot_is_worked(transaction_id) AND status IN ('Created', 'BankApproved', 'Saved', 'Refunding', 'BankUnknown')"; done
createdb -h "$PGW_WORK" -p "${port[router]}" -U postgres report
report() { at router -d report -q "$@"; }
report -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION pgw' -c 'CREATE EXTENSION postgres_fdw'
for shard in eu-1 eu-2-standby eu-3 eu-4; do
	name=${shard%-standby}
	report -v ON_ERROR_STOP=1 -c "CREATE SERVER \"$name\" FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$PGW_WORK', port '${port[$shard]}', dbname 'shop')" \
		-c "CREATE USER MAPPING FOR CURRENT_USER SERVER \"$name\" OPTIONS (user 'postgres')"
done
report -a -v ON_ERROR_STOP=1 <<'SQL'
SELECT * FROM pgw.global_views('{eu-1,eu-2,eu-3,eu-4}');
SELECT shard, count(*) AS payments, count(*) FILTER (WHERE status = 'declined') AS declined, sum(captured_amount) AS captured, sum(refunded_amount) AS refunded
	FROM pgw_all.payments GROUP BY ROLLUP (shard) ORDER BY shard;
SELECT count(*) AS broken_invariants FROM pgw_all.broken_invariants;
SQL

say '9. The bank keeps its own ledger:'
kept=$(perl -MHTTP::Tiny -MJSON::PP -e 'my ($n, $left) = (0, 0);
	for my $c (@{decode_json(HTTP::Tiny->new->get("http://127.0.0.1:$ARGV[0]/ledger")->{content})->{charges}}) {
		next if $c->{status} ne "approved" || $c->{voided} || $c->{captured} > 0 && $c->{refunded} == $c->{captured};
		$n++; $left += $c->{captured} - $c->{refunded} }
	print "$n|$left"' "$BANK_PORT")
tables=$(report -A -t -c "SELECT count(*), sum(captured_amount - refunded_amount) FROM pgw_all.payments WHERE status IN ('captured', 'partially_refunded')")
orders=0
for shard in eu-1 eu-2-standby eu-3 eu-4; do
	orders=$((orders + $(value "$shard" 'SELECT count(*) FROM shop.orders WHERE pgw.slot_is_worked(payment_id)')))
	broken=$(value "$shard" 'SELECT c FROM pgw.check_consistency() c')
	[ -z "$broken" ] || { printf '%s\n' "$shard is not consistent:" "$broken" >&2; exit 1; }
done
[ "$kept" = "$tables" ] && [ "${kept%|*}" -eq "$orders" ] || { echo "the ledger says $kept, the shards $tables, orders $orders" >&2; exit 1; }
echo "   ${kept%|*} charges stand, ${tables%|*} payments of all shards say that they were taken, for $orders orders; pgw.check_consistency() finds nothing wrong in any."

if [ -n "$KEEP" ]; then
	say 'Left running. Try more at the router:'
	echo "   psql -h $PGW_WORK -p ${port[router]} -U postgres shop"
	echo "Stop it:"
	echo "   kill $BANK_PID; for d in $PGW_WORK/data/*; do $(id -un | sed 's/^postgres$/runuser -u postgres -- /; t; s/.*//')$PGW_BIN/pg_ctl -D \$d -m fast stop; done; rm -rf $PGW_WORK"
else
	say 'Done; nothing is left running.'
fi
