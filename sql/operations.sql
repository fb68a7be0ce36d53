-- What follows an authorization or a charge: capture, void, refund; the grid, the ceilings, replays and refusals.
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset format unaligned

-- The payment's id; an operation's answer in short; the payment once nothing is under way.
CREATE FUNCTION pid(id text) RETURNS uuid LANGUAGE sql AS $$ SELECT payment_id FROM pgw.find_payment(id) $$;
CREATE FUNCTION told(r pgw.payment_result) RETURNS text LANGUAGE sql AS
$$ SELECT concat_ws(' ', (r).transaction_status, (r).amount, (r).error_code, (r).http_status, CASE WHEN (r).replayed THEN 'replayed' END) $$;
CREATE FUNCTION stands(id text) RETURNS text LANGUAGE sql AS
$$ SELECT format('%s, authorized %s, captured %s, refunded %s, pending %s', w.status, w.authorized_amount, w.captured_amount, w.refunded_amount, w.refund_pending_amount)
	FROM pgw.wait_for_payment(pid(id), '20s') w $$;

-- capture => 'on_commit': authorized during the call, captured after the commit
BEGIN;
SELECT status, transaction_status, authorized_amount, captured_amount, http_status FROM pay('oc', capture => 'on_commit');
-- nothing to wait for before the commit, and nothing to be captured or voided
SELECT stands('oc');
SELECT pgw.capture_payment(pid('oc'), 'too early');
ROLLBACK;
BEGIN;
SELECT status, transaction_status, replayed FROM pay('oc', capture => 'on_commit');
COMMIT;
SELECT stands('oc');
SELECT * FROM flow('oc');
SELECT status, transaction_status, replayed FROM pay('oc', capture => 'on_commit');
SELECT told(pgw.capture_payment(pid('oc'), 'again'));
\echo :SQLSTATE

-- authorize, capture in parts, refund in parts
SELECT status, transaction_status FROM pay('m', amount => 1000, capture => 'manual');
SELECT stands('m');
SELECT told(pgw.refund_payment(pid('m'), 'm-r0'));
\echo :SQLSTATE
SELECT told(pgw.capture_payment(pid('m'), 'm-c1', 300, final => false));
SELECT stands('m');
-- the same again: what came of it, and nothing else; other arguments are refused
SELECT told(pgw.capture_payment(pid('m'), 'm-c1', 300, final => false));
SELECT told(pgw.capture_payment(pid('m'), 'm-c1', 301));
\echo :SQLSTATE
SELECT told(pgw.capture_payment(pid('oc'), 'm-c1', 300, final => false));
\echo :SQLSTATE
SELECT told(pgw.void_payment(pid('m'), 'm-v'));
\echo :SQLSTATE
SELECT told(pgw.capture_payment(pid('m'), 'm-c2', 701));
\echo :SQLSTATE
SELECT told(pgw.refund_payment(pid('m'), 'm-r1', 100, 'one of three'));
SELECT stands('m');
SELECT told(pgw.capture_payment(pid('m'), 'm-c2', 500));
SELECT stands('m');
SELECT told(pgw.capture_payment(pid('m'), 'm-c3'));
\echo :SQLSTATE
-- what is left, and all of it
SELECT told(pgw.refund_payment(pid('m'), 'm-r2', 701));
\echo :SQLSTATE
SELECT told(pgw.refund_payment(pid('m'), 'm-r2'));
SELECT stands('m');
SELECT told(pgw.refund_payment(pid('m'), 'm-r3', 1));
\echo :SQLSTATE
SELECT told(pgw.refund_payment(pid('m'), 'm-r1', 100, 'one of three'));
SELECT told(pgw.refund_payment(pid('m'), 'm-r1', NULL, 'another reason'));
\echo :SQLSTATE
SELECT h.kind, h.step_order, h.event_type, h.event_data->>'from' AS "from", h.event_data->>'to' AS "to" FROM pgw.payment_history(pid('m')) h;

-- void
SELECT status FROM pay('v', capture => 'manual');
SELECT told(pgw.void_payment(pid('v'), 'v-v'));
SELECT stands('v');
SELECT told(pgw.void_payment(pid('v'), 'v-v'));
SELECT told(pgw.void_payment(pid('v'), 'v-v2'));
\echo :SQLSTATE
SELECT told(pgw.capture_payment(pid('v'), 'v-c'));
\echo :SQLSTATE

-- a rollback leaves nothing, to a savepoint too; several in one transaction, the last of which is one too many
SELECT status FROM pay('i', amount => 1000);
BEGIN;
SELECT told(pgw.refund_payment(pid('i'), 'i-r1', 1000));
ROLLBACK;
BEGIN;
SELECT told(pgw.refund_payment(pid('i'), 'i-r1', 400));
SAVEPOINT s;
SELECT told(pgw.refund_payment(pid('i'), 'i-r2', 600));
SELECT told(pgw.refund_payment(pid('i'), 'i-r3', 1));
\echo :SQLSTATE
ROLLBACK TO s;
-- once per column of the row: the second time it is a replay
SELECT (pgw.refund_payment(pid('i'), 'i-r4', 10)).transaction_status, (pgw.refund_payment(pid('i'), 'i-r4', 10)).replayed;
COMMIT;
SELECT stands('i');
SELECT client_request_id, amount, status FROM pgw.payment_transactions WHERE payment_id = pid('i') AND kind = 'refund' ORDER BY transaction_id;

-- the bank refuses: looked up, and failed; its amount is free again
SELECT status FROM pay('f', token => 'tok_refund_fail_1', amount => 1000);
SELECT told(pgw.refund_payment(pid('f'), 'f-r1', 1000));
SELECT stands('f');
SELECT told(pgw.refund_payment(pid('f'), 'f-r1', 1000));
SELECT told(pgw.refund_payment(pid('f'), 'f-r2', 1000));
SELECT stands('f');
-- the capture after the commit is refused: the payment fails, the authorization is voided
SELECT status FROM pay('cf', token => 'tok_capture_fail', capture => 'on_commit');
SELECT status, captured_amount, error_code FROM pgw.wait_for_payment(pid('cf'), '20s');
-- the payment is failed once that is decided; the authorization is given back after it
DO $$ BEGIN
	FOR i IN 1 .. 1200 LOOP
		EXIT WHEN EXISTS (SELECT FROM pgw.payment_transactions WHERE client_request_id = 'cf' AND status = 'Refunded');
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
SELECT event, "from", "to", operation, error FROM flow('cf') WHERE step > 5 AND event <> 'CaptureRetryScheduled' ORDER BY step;
-- accepted, decided later
SELECT status FROM pay('p', token => 'tok_refund_pending_done_300', amount => 1000);
SELECT told(pgw.refund_payment(pid('p'), 'p-r'));
SELECT stands('p');

-- a payment that took no money
SELECT status FROM pay('d', token => 'tok_decline_fraud');
SELECT told(pgw.refund_payment(pid('d'), 'd-r'));
\echo :SQLSTATE
SELECT told(pgw.refund_payment('00000000-0000-7000-8000-000000000000', 'nobody'));
\echo :SQLSTATE

-- arguments: every fault at once
SELECT pgw.capture_payment(NULL, '', 0, NULL, '{"now": true}');
\echo :SQLSTATE
SELECT pgw.refund_payment(pid('m'), repeat('x', 256), -1, replace('4242.4242.4242.4242', '.', ''));
\echo :SQLSTATE
SELECT pgw.void_payment(pid('m'), NULL, NULL);
\echo :SQLSTATE
BEGIN READ ONLY;
SELECT pgw.void_payment(pid('v'), 'v-v3');
\echo :SQLSTATE
ROLLBACK;

-- a bank that cannot: no parts, no second capture, no void
INSERT INTO pgw.connectors SELECT 'plain', jsonb_set(definition::jsonb #- '{operations,void}', '{capabilities}', definition::jsonb->'capabilities'
	|| '{"partial_capture": false, "multiple_captures": false, "partial_refund": false}') FROM pgw.connectors WHERE name = 'json';
INSERT INTO pgw.connectors SELECT 'at once', definition::jsonb #- '{operations,authorize}' #- '{operations,capture}' #- '{operations,void}' #- '{capabilities,partial_capture}'
	#- '{capabilities,multiple_captures}' #- '{capabilities,authorization_lifetime_seconds}' FROM pgw.connectors WHERE name = 'json';
\getenv bank_url PGW_BANK_URL
INSERT INTO pgw.banks (name, connector, base_url, secret, livemode, priority) VALUES ('plain', 'plain', :'bank_url', 'bank', false, 800), ('at once', 'at once', :'bank_url', 'bank', false, 801);
SELECT pay('at once', capture => 'on_commit', bank => 'at once');
\echo :SQLSTATE
SELECT status FROM pay('pl', amount => 1000, capture => 'manual', bank => 'plain');
SELECT told(pgw.capture_payment(pid('pl'), 'pl-c1', 300));
\echo :SQLSTATE
SELECT told(pgw.capture_payment(pid('pl'), 'pl-c1', 300, final => false));
\echo :SQLSTATE
SELECT told(pgw.void_payment(pid('pl'), 'pl-v'));
\echo :SQLSTATE
SELECT told(pgw.capture_payment(pid('pl'), 'pl-c1'));
SELECT stands('pl');
SELECT told(pgw.refund_payment(pid('pl'), 'pl-r1', 300));
\echo :SQLSTATE
SELECT told(pgw.refund_payment(pid('pl'), 'pl-r1', 1000));
SELECT stands('pl');

-- the table holds the ceilings, whoever writes
\set VERBOSITY terse
UPDATE pgw.payments SET refund_pending_amount = 1 WHERE payment_id = pid('m');
UPDATE pgw.payments SET captured_amount = 1001 WHERE payment_id = pid('i');
UPDATE pgw.payments SET reserved_amount = 1 WHERE payment_id = pid('i');

-- the records agree with themselves
SELECT * FROM pgw.check_consistency();
SELECT count(*) FROM pgw.payment_transactions WHERE status IS DISTINCT FROM pgw.rebuild_status(transaction_id);
DROP FUNCTION pid, told, stands;
