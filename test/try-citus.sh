#!/bin/bash
# try-citus.sh FOLDER: pgw on Citus as docs/scaling.md says, on a coordinator, two workers and a clone here.  No part of make test, and nothing needs Citus.
# FOLDER is where Citus for the same PostgreSQL was installed:   make DESTDIR=FOLDER install-extension   in its tree, after ./configure.
# COST=1 measures what a call costs, too.  PORT=9700: the first of five on loopback.  KEEP=1 leaves everything up.
set -eu
PGW_TOP=$(cd "$(dirname "$0")/.." && pwd)
. "$PGW_TOP/test/lib/env.sh"
[ -d "${1:-}" ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
KEEP=${KEEP:-} COST=${COST:-} PORT=${PORT:-9700}
export KEEP COST PORT
pgw_drop_privileges test/try-citus.sh "$(cd "$1" && pwd)"
. test/lib/citus.sh
mkfifo "$PGW_WORK/wake"

say 'Building pgw and the bank simulator, starting a coordinator and two workers ...'
pgw_build
cp -a "$1/." "$PGW_INST"
pgw_secrets
pgw_bank_start
mkdir "$PGW_WORK/data"
for node in coordinator w1 w2; do make_node "$node"; done
sql coordinator "SELECT citus_set_coordinator_host('127.0.0.1', $(port coordinator)), citus_add_node('127.0.0.1', $(port w1)), citus_add_node('127.0.0.1', $(port w2))" >"$PGW_WORK/null"

say '1. The kit, docs/sharding/citus.sql: Citus passes CREATE EXTENSION on, in transactions that it PREPAREs; slots are claimed where Citus has put them.'
at coordinator -q -A -t -f docs/sharding/citus.sql >"$PGW_WORK/kit.log" 2>&1 || fail "$(cat "$PGW_WORK/kit.log")"
grep -q '|f|' "$PGW_WORK/kit.log" && fail "what a node has refused of the kit: $(cat "$PGW_WORK/kit.log")"
for node in coordinator w1 w2; do
	becomes "$node" "count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pgw worker'"
	sql "$node" "INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('bank', 'json', 'http://127.0.0.1:$BANK_PORT', 'bank')"
done
is "$(sql coordinator "SELECT count(*) FROM pg_dist_object WHERE classid = 'pg_extension'::regclass AND objid IN (SELECT oid FROM pg_extension WHERE extname = 'pgw')")" 1 \
	'the extension is passed on to nodes that come'
is "$(misplaced)" '' 'each slot is at home where Citus calls'
for node in coordinator w1 w2; do
	becomes "$node" "status = 'ok' FROM pgw.health() WHERE check_name = 'worker'"
	is "$(sql "$node" "SELECT string_agg(check_name, ' ') FROM pgw.health() WHERE status <> 'ok'")" card_logging "what health() warns of at $node, as Citus has hooks"
done
read -r A B <<<"$(slot_of_node w1) $(slot_of_node w2)"

say '2. Calls that are a whole statement are made where the slot is, whichever node they come to.'
is "$(pay coordinator "$A" one)" captured 'at the coordinator, for w1'
is "$(pay coordinator "$B" one)" captured 'at the coordinator, for w2'
is "$(pay w1 "$B" two)" captured 'at w1, for w2'
is "$(as_router coordinator "SELECT replayed FROM $(call "$A" one)")" t 'again: the same payment'
made coordinator 'prepared' "PREPARE p(int, text) AS SELECT * FROM shop.pay(\$1, \$2, 'a book', 100, 'EUR', 'tok_ok'); EXECUTE p($A, 's$A.prepared')"
made coordinator 'PERFORM in a DO block' "DO \$\$ BEGIN PERFORM shop.pay($A, 's$A.do', 'a book', 100, 'EUR', 'tok_ok'); END \$\$"
made coordinator 'the slot by pgw.slot_of()' "SELECT * FROM shop.pay(pgw.slot_of('s$A.of'), 's$A.of', 'a book', 100, 'EUR', 'tok_ok')"

say '3. Others stay where they came in, without a word of Citus. Each is PW421 there: no row, no request to the bank.'
before=$(asked)
refused coordinator 'in a CTE' "WITH x AS (SELECT * FROM $(call "$A" silent)) SELECT * FROM x"
refused coordinator 'a volatile argument' "SELECT * FROM shop.pay($A, 's$A.silent' || left(random()::text, 0), 'a book', 100, 'EUR', 'tok_ok')"
refused coordinator 'a second column' "SELECT $(call "$A" silent), 1"
refused coordinator 'the columns of its row' "SELECT ($(call "$A" silent)).*"
refused coordinator 'a condition' "SELECT * FROM $(call "$A" silent) WHERE status = 'captured'"
refused coordinator 'a scalar sub-select' "SELECT (SELECT status FROM $(call "$A" silent))"
refused coordinator 'for each row of something' "SELECT p.* FROM generate_series(1, 2) g, shop.pay($A, 's$A.silent' || g, 'a book', 100, 'EUR', 'tok_ok') p"
refused coordinator 'in a function in SQL' "CREATE FUNCTION pg_temp.f(s int, i text) RETURNS text LANGUAGE sql AS \$\$ SELECT status FROM shop.pay(s, i, 'a book', 100, 'EUR', 'tok_ok') \$\$;
	SELECT pg_temp.f($A, 's$A.silent')"
refused coordinator 'a generic plan' "SET plan_cache_mode = force_generic_plan; PREPARE p(int, text) AS SELECT * FROM shop.pay(\$1, \$2, 'a book', 100, 'EUR', 'tok_ok'); EXECUTE p($A, 's$A.silent')"
refused w2 'in a CTE, at a worker that does not have it' "WITH x AS (SELECT * FROM $(call "$A" silent)) SELECT * FROM x"
refused coordinator 'the slot of another id' "SELECT * FROM shop.pay($B, 's$A.silent', 'a book', 100, 'EUR', 'tok_ok')"
refused coordinator 'pgw itself' "SELECT status FROM pgw.process_payment('s$A.silent', 100, 'EUR', 'tok_ok')"
is "$(asked)" "$before" 'requests to the bank meanwhile'
echo "   A sub-select around it: $(at coordinator -c "SELECT * FROM (SELECT * FROM $(call "$A" wrapped)) x" 2>&1 | head -1)"
becomes coordinator true
is "$(asked)" "$before" 'requests to the bank by it'
for node in coordinator w1 w2; do is "$(sql $node "SELECT count(*) FROM pgw.payments WHERE client_request_id ~ 'silent|wrapped'")" 0 "rows at $node"; done

say '4. Card numbers: Citus writes what was bound into the text of a statement, and pgw refuses it there.'
at coordinator -q <<'SQL'
CREATE FUNCTION shop.pay_card(slot int, request_id text, number text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT p.status FROM pgw.process_payment(request_id, 100, 'EUR', card_number => number, card_expiry_month => 12, card_expiry_year => 2040) p);
END $$;
SELECT create_distributed_function('shop.pay_card(int, text, text)', 'slot', colocate_with => 'shop.orders', force_delegation => true) \g /dev/null
SQL
printf '%s\n' '\set card 4242424242424242' "SELECT shop.pay_card($A, 's$A.card', (:card::bigint)::text);" >"$PGW_WORK/card.sql"
pgbench -n -t 1 -M extended -h 127.0.0.1 -p "$(port coordinator)" -U postgres -f "$PGW_WORK/card.sql" shop >"$PGW_WORK/card.log" 2>&1 && fail 'a bound card number was taken'
grep -q card_literal "$PGW_WORK/card.log" || fail "$(cat "$PGW_WORK/card.log")"
is "$(asked)" "$before" 'requests to the bank by a card'
for node in coordinator w1 w2; do sql "$node" CHECKPOINT; done
is "$(grep -rlaF 4242424242424242 "$PGW_WORK/data" "$PGW_WORK"/*.node.log || :)" '' 'files with the number'

say '5. Refunds are routed by the payment_id.'
id=$(as_router coordinator "SELECT payment_id FROM $(call "$A" one)")
is "$(as_router coordinator "SELECT status FROM shop.refund(pgw.slot_of_id('$id'), '$id', 'refund of one', 40)")" captured 'a refund is accepted'
becomes w1 "status = 'partially_refunded' FROM pgw.get_payment('$id')"
is "$(as_router coordinator "SELECT refunded_amount FROM shop.get_payment(pgw.slot_of_id('$id'), '$id')")" 40 'and done'

say '6. A shard of orders is moved by Citus: its rows are at w2 then, its payments stay at home at w1. All calls for it are refused until it comes back.'
before=$(asked)
shard=$(sql coordinator "SELECT get_shard_id_for_distribution_column('shop.orders', $A)")
move() { sql coordinator "SELECT citus_move_shard_placement($shard, '127.0.0.1', $(port "$1"), '127.0.0.1', $(port "$2"), 'block_writes')" >"$PGW_WORK/null"; } # from, to
move w1 w2 2>"$PGW_WORK/move.log" && fail 'Citus moves rows whose owner cannot log in'
grep -q 'not permitted to log in' "$PGW_WORK/move.log" || fail "$(cat "$PGW_WORK/move.log")"
echo '   It cannot, as long as their owner cannot log in.'
sql coordinator 'ALTER ROLE shop LOGIN'
move w1 w2
[ -n "$(misplaced)" ] || fail 'the statement of docs/scaling.md does not see that slots and shards lie apart'
refused coordinator 'a payment that was made' "SELECT * FROM $(call "$A" one)"
refused coordinator 'a new one' "SELECT * FROM $(call "$A" moved)"
refused coordinator 'a refund' "SELECT * FROM shop.refund(pgw.slot_of_id('$id'), '$id', 'refund moved', 10)"
is "$(asked)" "$before" 'requests to the bank meanwhile'
move w2 w1
sql coordinator 'ALTER ROLE shop NOLOGIN'
is "$(as_router coordinator "SELECT replayed FROM $(call "$A" one)")" t 'moved back: the same payment'
is "$(misplaced)" '' 'slots and shards are together again'

say '7. One transaction, two nodes: Citus commits them with PREPARE TRANSACTION.'
two() { at coordinator -q -A -t -v ON_ERROR_STOP=1 -U router -c BEGIN -c "SELECT status FROM $(call "$A" "$1")" -c "SELECT status FROM $(call "$B" "$1")" -c "$2"; } # id, end
two both COMMIT >"$PGW_WORK/null"
two neither ROLLBACK >"$PGW_WORK/null"
given_back neither
is "$(sql coordinator "SELECT count(*) FROM shop.orders WHERE request_id ~ 'both|neither'")" 2 'orders of both, and none of what was rolled back'

echo '   The coordinator dies when w1 has prepared, and w2 is about to: nobody has decided, so both are rolled back, and what was paid is given back.'
coproc { at coordinator -q -A -t -U router; }
client=$COPROC_PID
printf '%s;\n' BEGIN "SELECT status FROM $(call "$A" undecided)" "SELECT status FROM $(call "$B" undecided)" >&"${COPROC[1]}"
for n in 1 2; do read -r status <&"${COPROC[0]}"; is "$status" captured 'both are paid'; done
stopped=$(sql w2 "SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction' AND application_name LIKE 'citus_internal%'")
kill -STOP "$stopped"
echo 'COMMIT;' >&"${COPROC[1]}"
becomes w1 'count(*) = 1 FROM pg_prepared_xacts'
kill_node coordinator
kill -CONT "$stopped"
wait "$client" || :
start_node coordinator
for node in w1 w2; do becomes "$node" 'count(*) = 0 FROM pg_prepared_xacts'; done
given_back undecided
is "$(two undecided COMMIT | sort -u)" captured 'the same ids again, by whoever got no answer: paid'

say '8. Six customers pay pairs of orders on any two nodes, the last two of them for the same ids, while nodes are killed.'
customers_come
for victim in w1 w2 coordinator w2 w1; do
	more_orders 40
	kill_node "$victim"
	start_node "$victim"
done
more_orders 40
customers_go
reconcile coordinator w1 w2

say '9. A node more: a clone of w1, with half of its slots, while customers pay. Released by pgw, promoted by Citus, adopted by pgw.'
make_clone w1 w3
clone=$(sql coordinator "SELECT citus_add_clone_node('127.0.0.1', $(port w3), '127.0.0.1', $(port w1))" 2>"$PGW_WORK/clone.log")
slots=$(sql coordinator "SELECT range_agg(int4range(s, s + 1)) FROM generate_series(0, 1023) s WHERE get_shard_id_for_distribution_column('shop.orders', s) IN
	(SELECT shardid FROM get_snapshot_based_node_split_plan('127.0.0.1', $(port w1), '127.0.0.1', $(port w3)) WHERE placement_node = 'Clone Node')")
customers_come
more_orders 20
released=$(now_ms) token=
until [ -n "$token" ]; do token=$(sql w1 "SELECT token FROM pgw.release_slots('$slots', 'w3')"); done
sql coordinator "SELECT citus_promote_clone_and_rebalance($clone)" >"$PGW_WORK/clone.log" 2>&1 || fail "$(cat "$PGW_WORK/clone.log")"
is "$(sql w3 "SELECT pgw.adopt_slots('$token') = (SELECT count(*) FROM pgw.shard_slots WHERE shard = 'w3')")" t 'all that was released is adopted'
echo "   calls for these slots were refused for $(($(now_ms) - released)) ms at most"
more_orders 40
customers_go
is "$(misplaced)" '' 'each slot is at home where Citus calls'
[ "$(sql w3 "SELECT count(*) FROM pgw.payments WHERE pgw.slot_is_worked(payment_id) AND created_at > (SELECT max(changed_at) FROM pgw.shard_slots WHERE shard = 'w3')")" -gt 0 ] || fail 'nothing was paid at w3'
reconcile coordinator w1 w2 w3

say '10. A report over all: pgw_all, in a database of its own.'
report w1 w2 w3

[ -z "$COST" ] || cost
say "Done: Citus $(sql coordinator 'SELECT extversion FROM pg_extension WHERE extname = $$citus$$'), $(postgres --version)."
