#!/bin/bash
# make demo: pay through SQL for real, on a private cluster and a simulated bank.  KEEP=1 leaves both up.
set -eu
PGW_TOP=$(cd "$(dirname "$0")/.." && pwd)
. "$PGW_TOP/test/lib/env.sh"
KEEP=${KEEP:-}
export KEEP
pgw_drop_privileges test/demo.sh "$@"

stop_all()
{
	status=$?
	if [ -n "$KEEP" ] && [ $status -eq 0 ]; then return; fi
	[ -z "${BANK_PID:-}" ] || kill "$BANK_PID" 2>/dev/null || :
	[ ! -f "$PGW_WORK/data/postmaster.pid" ] || pg_ctl -D "$PGW_WORK/data" -m fast stop >/dev/null 2>&1 || :
}
trap stop_all EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
sql() # [stop at an error?] [options of psql...]; statements on standard input: shown, then run
{
	stop=${1:-1}
	[ $# -eq 0 ] || shift
	psql -X -d demo -v ON_ERROR_STOP="$stop" -v VERBOSITY=verbose -v SHOW_CONTEXT=never -P footer=off -P null='' -a -q "$@" 2>&1 | grep -vE '^(LOCATION|$)'
}
becomes() # id, status of its attempt: wait for it, ten seconds at most
{
	for _ in $(seq 100); do
		[ "$(psql -XAt -d demo -c "SELECT transaction_status FROM pgw.find_payment('$1')")" != "$2" ] || return 0
		psql -XAtq -d demo -c 'SELECT pg_sleep(0.1)' >"$PGW_WORK/null"
	done
	echo "$1 does not become $2" >&2
	return 1
}

say 'Building pgw and the bank simulator, starting a private cluster ...'
pgw_build
pgw_secrets
pgw_bank_start
initdb -D "$PGW_WORK/data" -E UTF8 -A trust -U postgres --no-sync >"$PGW_WORK/initdb.log"
{ pgw_server_conf; echo "unix_socket_directories = '$PGW_WORK'"; echo 'log_parameter_max_length = 0'; } >>"$PGW_WORK/data/postgresql.conf"
pg_ctl -D "$PGW_WORK/data" -l "$PGW_WORK/server.log" -w start >/dev/null
export PGHOST=$PGW_WORK PGUSER=postgres
createdb demo

say '1. shared_preload_libraries = pgw is set; CREATE EXTENSION is all that is left. A bank is a row.'
sql <<SQL
CREATE EXTENSION pgw;
INSERT INTO pgw.banks (name, connector, base_url, secret)
	VALUES ('demo bank', 'json', 'http://127.0.0.1:$BANK_PORT', 'bank');
CREATE TABLE orders (id int PRIMARY KEY, item text, payment_id uuid REFERENCES pgw.payments);
SQL

say '2. A payment inside a transaction with its order: both commit together. With on_failure => raise, a decline rolls the order back.'
sql <<'SQL'
BEGIN;
INSERT INTO orders SELECT 1, 'a book', payment_id
	FROM pgw.process_payment('order-1', 4990, 'EUR', 'tok_ok', on_failure => 'raise');
COMMIT;
SELECT o.id, o.item, p.status, p.amount, p.currency, p.bank FROM orders o, pgw.get_payment(o.payment_id) p;
SQL

say '3. Every step is an immutable event.'
sql <<'SQL'
SELECT step_order AS step, event_type, event_data->>'from' AS "from", event_data->>'to' AS "to", occurred_at::time(3) AS at
	FROM pgw.find_payment('order-1') f, pgw.payment_history(f.payment_id);
SQL

say '4. A decline is a row, because it is recorded and the caller may go on ... or an error, if the caller wants one.'
sql 0 <<'SQL'
SELECT status, error_class, error_code, error_message FROM pgw.process_payment('order-2', 4990, 'EUR', 'tok_decline_insufficient_funds');
SELECT status FROM pgw.process_payment('order-3', 4990, 'EUR', 'tok_decline_do_not_honor', on_failure => 'raise');
SQL

say '5. The same id again is the same payment, never a second charge (this is what to do after a lost connection).'
sql 0 <<'SQL'
SELECT status, replayed FROM pgw.process_payment('order-1', 4990, 'EUR', 'tok_ok');
SELECT status, replayed FROM pgw.process_payment('order-1', 9990, 'EUR', 'tok_ok');
SQL

say '6. Bad arguments: every fault at once, and nothing is sent.'
sql 0 <<'SQL'
SELECT pgw.process_payment('order-4', -1, 'EURO', 'tok_ok', capture => 'sometimes');
SQL

say '7. submit_payment: the bank is called after the commit, by the worker alone.'
sql <<'SQL'
SELECT status, transaction_status, http_status FROM pgw.submit_payment('order-5', 1500, 'EUR', 'tok_ok');
SELECT w.status, w.transaction_status FROM pgw.find_payment('order-5') f, pgw.wait_for_payment(f.payment_id, '10s') w;
SELECT step_order AS step, event_type, occurred_at::time(3) AS at FROM pgw.find_payment('order-5') f, pgw.payment_history(f.payment_id);
SQL

say '8. Conflicts: four clients sell from one stock. Of those that conflict PostgreSQL lets one commit; the others fail after the bank has approved.
   They repeat the transaction with the same id, as PostgreSQL asks of them, and pgw takes the charge over. One charge per order, no refund.'
cat >"$PGW_WORK/sell.sql" <<'SQL'
\set id 10000 * (:client_id + 1) + random(1, 9999)
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT lamps FROM stock \gset
INSERT INTO orders SELECT :id, 'a lamp', payment_id FROM pgw.process_payment('order-' || :id, 2500, 'EUR', 'tok_ok');
UPDATE stock SET lamps = :lamps - 1;
COMMIT;
SQL
sql <<'SQL'
CREATE TABLE stock AS SELECT 100 AS lamps;
SQL
cat "$PGW_WORK/sell.sql"
echo '$ pgbench --file=sell.sql --client=4 --transactions=5 --max-tries=1000'
pgbench -n -f "$PGW_WORK/sell.sql" --random-seed=1 --client=4 --transactions=5 --max-tries=1000 demo 2>&1 | grep -E '^(number of transactions (actually|retried|failed)|number of failed|total number)'
sql <<'SQL'
SELECT 100 - lamps AS lamps_sold, (SELECT count(*) FROM orders WHERE item = 'a lamp') AS orders,
	(SELECT count(*) FROM pgw.transaction_events WHERE event_type = 'TransactionAdopted') AS charges_taken_over FROM stock;
SELECT step_order AS step, event_type FROM pgw.transaction_events
	WHERE transaction_id = (SELECT transaction_id FROM pgw.payment_transactions WHERE step_order > 6 ORDER BY step_order LIMIT 1) ORDER BY 1;
SQL

say '9. ROLLBACK gives the money back. (After five seconds, the time for a retry; here after 300 ms.)'
sql <<'SQL'
ALTER SYSTEM SET pgw.compensation_delay = '300ms';
SELECT pg_reload_conf() AS reloaded;
BEGIN;
SELECT status FROM pgw.process_payment('order-6', 7700, 'EUR', 'tok_ok');
ROLLBACK;
SQL
becomes order-6 Refunded
sql <<'SQL'
SELECT status, transaction_status, error_code FROM pgw.find_payment('order-6');
SELECT step_order AS step, event_type, occurred_at::time(3) AS at FROM pgw.find_payment('order-6') f, pgw.payment_history(f.payment_id);
SQL

say '10. capture => on_commit: authorized during the call, captured after the COMMIT; a ROLLBACK moves no money at all. Then a part is refunded.'
sql <<'SQL'
BEGIN;
INSERT INTO orders SELECT 7, 'a chair', payment_id FROM pgw.process_payment('order-7', 9900, 'EUR', 'tok_ok', capture => 'on_commit');
SELECT p.status, p.authorized_amount, p.captured_amount FROM orders o, pgw.get_payment(o.payment_id) p WHERE o.id = 7;
COMMIT;
SELECT p.status, p.authorized_amount, p.captured_amount FROM orders o, pgw.wait_for_payment(o.payment_id) p WHERE o.id = 7;
SELECT r.transaction_status, r.amount, r.refund_pending_amount FROM orders o, pgw.refund_payment(o.payment_id, 'order-7 scratch', 1500, 'a scratch') r WHERE o.id = 7;
SELECT p.status, p.captured_amount, p.refunded_amount FROM orders o, pgw.wait_for_payment(o.payment_id) p WHERE o.id = 7;
SELECT h.kind, h.step_order AS step, h.event_type, h.occurred_at::time(3) AS at FROM orders o, pgw.payment_history(o.payment_id) h WHERE o.id = 7;
SQL

say '11. The answer is lost, at a bank that can be asked nothing and repeats nothing: nobody knows whether the money was taken, until the bank says so by itself.
   An endpoint hands over what comes, in a transaction: the headers and the body as they are.'
printf 'demo-hook-secret\n' >"$PGW_WORK/secrets/hooks"
chmod 600 "$PGW_WORK/secrets/hooks"
sql 1 -v url="http://127.0.0.1:$BANK_PORT" <<'SQL'
INSERT INTO pgw.connectors (name, definition) SELECT 'telling', jsonb_set(jsonb_set(definition::jsonb, '{operations,charge,idempotency}', 'false')
	#- '{operations,lookup_charge}' #- '{operations,lookup_refund}' #- '{operations,cancel}' #- '{capabilities,lookup_consistent_after_seconds}',
	'{notifications,evidence}', '[{"when": {"/type": "charge.approved"}, "about": "charge", "outcome": "approved"}]') FROM pgw.connectors WHERE name = 'json';
INSERT INTO pgw.banks (name, connector, base_url, secret, notification_secret) VALUES ('telling bank', 'telling', :'url', 'bank', 'hooks');
INSERT INTO orders SELECT 8, 'a table', payment_id FROM pgw.submit_payment('order-8', 25000, 'EUR', 'tok_reset_after', bank => 'telling bank');
SQL
becomes order-8 BankUnknown
sql <<'SQL'
SELECT p.status, p.transaction_status FROM orders o, pgw.get_payment(o.payment_id) p WHERE o.id = 8;
SQL
# what the bank has to say of it: a line of headers, a line of body
reference=$(psql -XAt -d demo -c "SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE client_request_id = 'order-8'")
perl -MHTTP::Tiny -MJSON::PP -e 'my ($bank, $key, $reference) = @ARGV; my $http = HTTP::Tiny->new;
	$http->post("$bank/control/settings", { content => encode_json({ notifies => $key }) })->{success} or die "the bank does not notify\n";
	my ($n) = grep { $_->{body} =~ /$reference/ } @{decode_json($http->get("$bank/notifications")->{content})->{notifications}};
	print encode_json($n->{headers}), "\n$n->{body}\n" if $n' "http://127.0.0.1:$BANK_PORT" demo-hook-secret "$reference" >"$PGW_WORK/notification"
cat "$PGW_WORK/notification"
sql 1 -v headers="$(sed -n 1p "$PGW_WORK/notification")" -v body="$(sed -n 2p "$PGW_WORK/notification")" <<'SQL'
SELECT http_status, verdict FROM pgw.receive_notification('telling bank', :'headers', convert_to(:'body', 'UTF8'));
SELECT p.status, p.transaction_status, p.captured_amount FROM orders o, pgw.wait_for_payment(o.payment_id, '10s') p WHERE o.id = 8;
SELECT event_type, amounts, evidence, says FROM pgw.notifications;
SELECT h.step_order AS step, h.event_type, h.occurred_at::time(3) AS at FROM orders o, pgw.payment_history(o.payment_id) h WHERE o.id = 8;
SQL

say '12. The bank keeps its own ledger:'
ledger=$(perl -MHTTP::Tiny -MJSON::PP -e 'my %n;
	for my $c (@{decode_json(HTTP::Tiny->new->get("http://127.0.0.1:$ARGV[0]/ledger")->{content})->{charges}}) {
		$n{sprintf "%-9s %6d %s, captured %4d, refunded %4d", @$c{qw(status amount currency captured refunded)}}++ }
	printf "   %2d x %s\n", $n{$_}, $_ for sort keys %n' "$BANK_PORT")
echo "$ledger"
kept=$(echo "$ledger" | awk '$3 == "approved" && $9 + 0 < $7 + 0 { n += $1 } END { print n + 0 }')
tables=$(psql -XAt -d demo -c "SELECT count(*) FROM pgw.payments WHERE status IN ('captured', 'partially_refunded')")
wrong=$(psql -XAt -d demo -c 'SELECT count(*) FROM pgw.check_consistency()')
[ "$kept" -eq "$tables" ] && [ "$wrong" -eq 0 ] || { echo 'the ledger and the tables differ' >&2; exit 1; }
echo "   $kept charges stand, $tables payments say that they were taken; pgw.check_consistency() finds nothing wrong."

if [ -n "$KEEP" ]; then
	say 'Left running. Try more:'
	echo "   psql -h $PGW_WORK -U postgres demo"
	echo "Stop it:"
	echo "   kill $BANK_PID; $(id -un | sed 's/^postgres$/runuser -u postgres -- /; t; s/.*//')$PGW_BIN/pg_ctl -D $PGW_WORK/data -m fast stop; rm -rf $PGW_WORK"
else
	say 'Done; nothing is left running.'
fi
