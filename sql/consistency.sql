-- Each check finds what it is for, and nothing else does: every transaction breaks one thing, looks, and rolls back.
-- Ids are fixed and of January 2026: attempt n of tid(n), payment n of pid(n).
\pset format unaligned
\pset tuples_only on
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE FUNCTION tid(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('019b76da-a800-7000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION pid(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('019b76da-a800-7000-9000-' || lpad(n::text, 12, '0'))::uuid $$;

-- A captured payment's row, a completed attempt, and its events; each with what is to be different.
CREATE FUNCTION put(rel regclass, vals jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %1$s (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::%1$s, $1)', rel, (SELECT string_agg(k, ', ') FROM jsonb_object_keys(vals) k)) USING vals;
END $$;
CREATE FUNCTION payment(n int, over jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
	SELECT put('pgw.payments', jsonb_build_object('payment_id', pid(n), 'transaction_id', tid(n), 'client_request_id', 'c-' || n, 'merchant', 'default',
	'status', 'captured', 'capture', 'immediate', 'amount', 1000, 'currency', 'EUR', 'authorized_amount', 1000, 'captured_amount', 1000, 'bank', 'bank',
	'bank_reference', 'ref-' || n) || over) $$;
CREATE FUNCTION attempt(n int, over jsonb DEFAULT '{}', p int DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	SELECT put('pgw.payment_transactions', jsonb_build_object('transaction_id', tid(n), 'payment_id', pid(coalesce(p, n)), 'client_request_id', 'c-' || n,
	'merchant', 'default', 'kind', 'payment', 'status', 'Completed', 'step_order', 6, 'submitted', false, 'live', true, 'given_up', false, 'adopted', false, 'amount', 1000, 'currency', 'EUR',
	'capture', 'immediate', 'bank', 'bank', 'bank_key', 'key-' || n, 'bank_reference', 'ref-' || n, 'system_identifier', 1, 'database_oid', 1,
	'correlation_id', tid(n)) || CASE WHEN over->>'status' IN ('Failed', 'Refunded') THEN '{"live": false, "given_up": true}' ELSE '{}' END::jsonb || over);
	INSERT INTO pgw.bank_references SELECT 'bank', t.bank_reference, t.transaction_id FROM pgw.payment_transactions t
	WHERE t.transaction_id = tid(n) AND t.kind = 'payment' AND t.bank_reference IS NOT NULL ON CONFLICT DO NOTHING $$;
-- what the first event tells of the request, as the attempt's row has it
CREATE FUNCTION started(n int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT coalesce((SELECT jsonb_build_object('merchant', t.merchant, 'client_request_id', t.client_request_id, 'amount', t.amount, 'currency', t.currency,
			'operation', CASE WHEN t.kind <> 'payment' THEN t.kind::text WHEN t.capture = 'immediate' THEN 'charge' ELSE 'authorize' END)
			|| CASE WHEN t.kind = 'payment' AND t.capture <> 'immediate' THEN jsonb_build_object('capture', t.capture) ELSE '{}' END
			|| CASE WHEN t.kind = 'capture' AND NOT t.final_capture THEN '{"final": false}' ELSE '{}' END::jsonb
			|| CASE WHEN t.origin IS NOT NULL THEN jsonb_build_object('origin', t.origin) ELSE '{}' END
		FROM pgw.payment_transactions t WHERE t.transaction_id = tid(n)), '{}') $$;
CREATE FUNCTION digest(t pgw.payment_transactions) RETURNS bytea LANGUAGE sql AS $$
	SELECT sha256(convert_to(CASE t.kind WHEN 'payment' THEN t.amount || E'\n' || t.currency || E'\n\n\n0\n0\n\n' || t.capture || E'\n\n' || t.livemode::int
		ELSE t.payment_id || E'\n' || t.amount || E'\n' || t.final_capture::int || E'\n' END, 'UTF8')) $$;
-- a step: event, from, to, the commit that wrote it, and its error_code; '' is left out
CREATE FUNCTION events(n int, VARIADIC steps text[]) RETURNS void LANGUAGE sql AS $$
	INSERT INTO pgw.transaction_events (event_id, transaction_id, event_type, from_status, to_status, payment_id, correlation_id, digest, event_data, step_order, txid)
	SELECT gen_random_uuid(), tid(n), w[1]::pgw.event_type, nullif(w[2], '-')::pgw.transaction_status, w[3]::pgw.transaction_status, t.payment_id, t.correlation_id, digest(t),
		CASE WHEN w[1] = 'TransactionStarted' THEN started(n) || '{"v": 1}' WHEN w[5] <> '' THEN jsonb_build_object('error_code', w[5]) END, i, w[4]::xid8
	FROM unnest(steps) WITH ORDINALITY s (step, i) CROSS JOIN string_to_array(step, ' ') w
	LEFT JOIN pgw.payment_transactions t ON t.transaction_id = tid(n) AND w[1] = 'TransactionStarted' WHERE step <> '' $$;
CREATE FUNCTION success(n int) RETURNS void LANGUAGE sql AS $$
	SELECT events(n, 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1', 'BankProcessingCompleted Created BankApproved 2',
		'PaymentDataSaveStarted BankApproved BankApproved 2', 'PaymentDataSaveCompleted BankApproved Saved 3', 'TransactionCompleted Saved Completed 3') $$;
CREATE FUNCTION decline(n int) RETURNS void LANGUAGE sql AS $$
	SELECT events(n, 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1', 'BankProcessingFailed Created Failed 2',
		'TransactionFailed Created Failed 2 declined') $$;
CREATE FUNCTION unknown(n int) RETURNS void LANGUAGE sql AS $$
	SELECT events(n, 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1', 'BankOutcomeUnknown Created BankUnknown 2') $$;
CREATE FUNCTION sound(n int) RETURNS void LANGUAGE sql AS $$ SELECT payment(n), attempt(n), success(n) $$;

CREATE FUNCTION broken() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s p%s t%s %s', check_name, ltrim(right(payment_id::text, 4), '0'), ltrim(right(transaction_id::text, 4), '0'), details - 'since')
	FROM pgw.check_consistency() WHERE check_name <> 'baseline' $$;
CREATE FUNCTION rebuilt(id uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	RETURN pgw.rebuild_status(id);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN sqlstate || ' ' || (detail::jsonb - 'transaction_id');
END $$;

-- what the tests before this one have left behind is sound; so are these
SELECT broken();
SELECT transaction_id, status FROM pgw.payment_transactions
WHERE status IN ('Completed', 'Refunded') AND pgw.rebuild_status(transaction_id) IS DISTINCT FROM status;
-- a reader is told at each event what holds there, in C and in SQL alike
SELECT count(*) > 50 AS events, count(*) FILTER (WHERE h.event_data IS DISTINCT FROM e.event_data) AS different,
	count(*) FILTER (WHERE NOT h.event_data ?& '{v,from,to,requests_sent,operation,bank,correlation_id}') AS incomplete
FROM pgw.payments p CROSS JOIN LATERAL pgw.payment_history(p.payment_id) h JOIN pgw.events_in_full e USING (event_id);
BEGIN;
SELECT sound(1);
SELECT payment(2, '{"status": "declined", "authorized_amount": 0, "captured_amount": 0, "bank_reference": null}'), attempt(2, '{"status": "Failed", "step_order": 4}'), decline(2);
SELECT payment(3, '{"status": "pending", "authorized_amount": 0, "captured_amount": 0}'), attempt(3, '{"status": "BankUnknown", "step_order": 3}'), unknown(3);
SELECT attempt(4, '{"status": "BankUnknown", "step_order": 3}'), unknown(4);
SELECT broken();
SELECT rebuilt(tid(n)) FROM generate_series(1, 5) n;
SELECT pgw.rebuild_status(NULL);
ROLLBACK;
-- both only read
BEGIN READ ONLY;
SELECT broken();
SELECT count(pgw.rebuild_status(transaction_id)) > 10 FROM pgw.payment_transactions;
ROLLBACK;

\echo # events
BEGIN; SELECT success(1); SELECT broken(); SELECT rebuilt(tid(1)); ROLLBACK;
BEGIN; SELECT payment(1, '{"livemode": false}'), attempt(1), success(1); SELECT broken(); ROLLBACK;
BEGIN; SELECT payment(1), attempt(1); SELECT broken(); SELECT rebuilt(tid(1)); ROLLBACK;
BEGIN;
SELECT payment(1), attempt(1), events(1, 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1', 'BankProcessingCompleted Created BankApproved 2', '',
	'PaymentDataSaveCompleted BankApproved Saved 3', 'TransactionCompleted Saved Completed 3');
SELECT broken();
SELECT rebuilt(tid(1));
ROLLBACK;
BEGIN;
SELECT payment(1), attempt(1, '{"step_order": 7}'), events(1, '', 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1',
	'BankProcessingCompleted Created BankApproved 2', 'PaymentDataSaveStarted BankApproved BankApproved 2', 'PaymentDataSaveCompleted BankApproved Saved 3',
	'TransactionCompleted Saved Completed 3');
SELECT broken();
SELECT rebuilt(tid(1));
ROLLBACK;
-- an event that may not stand on its edge; one that does not begin where the last one ended; a group in two commits; a second start; another kind's edge
BEGIN;
SELECT payment(1), attempt(1), events(1, 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1', 'BankSwitched Created BankApproved 2',
	'PaymentDataSaveStarted BankApproved BankApproved 2', 'PaymentDataSaveCompleted BankApproved Saved 3', 'TransactionCompleted Saved Completed 3');
SELECT payment(2), attempt(2), events(2, 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1', 'BankProcessingCompleted Created BankApproved 2',
	'PaymentDataSaveStarted BankApproved BankApproved 2', 'PaymentDataSaveCompleted BankApproved Saved 3', 'TransactionCompleted BankApproved Completed 3');
SELECT attempt(3, '{"status": "Failed", "step_order": 4}'), events(3, 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1',
	'BankProcessingFailed Created Failed 2', 'TransactionFailed Created Failed 3');
SELECT attempt(4, '{"status": "BankUnknown", "step_order": 4}'), events(4, 'TransactionStarted - Created 1', 'TransactionStarted - Created 1',
	'BankProcessingStarted Created Created 1', 'BankOutcomeUnknown Created BankUnknown 2');
SELECT attempt(5, '{"status": "Failed", "step_order": 2, "kind": "capture"}', 1),
	events(5, 'TransactionStarted - Created 1', 'BankProcessingFailed Created Failed 2');
SELECT attempt(6, '{"status": "Refunding", "step_order": 3, "kind": "capture"}', 1),
	events(6, 'TransactionStarted - Created 1', 'BankProcessingFailed Created Failed 2', 'LateApprovalReceived Failed Refunding 3');
SELECT attempt(7, '{"status": "Failed", "step_order": 2}'), events(7, 'TransactionStarted Created Created 1', 'TransactionFailed Created Failed 2');
SELECT broken();
SELECT n, rebuilt(tid(n)) FROM generate_series(1, 7) n;
ROLLBACK;
BEGIN; SELECT payment(1), attempt(1, '{"status": "Saved"}'), success(1); SELECT broken(); SELECT rebuilt(tid(1)); ROLLBACK;
BEGIN; SELECT payment(1), attempt(1, '{"step_order": 7}'), success(1); SELECT broken(); SELECT rebuilt(tid(1)); ROLLBACK;
BEGIN;
SELECT payment(1), attempt(1, '{"step_order": 5}'), events(1, 'TransactionStarted - Created 1', 'BankProcessingCompleted Created BankApproved 2',
	'PaymentDataSaveStarted BankApproved BankApproved 2', 'PaymentDataSaveCompleted BankApproved Saved 3', 'TransactionCompleted Saved Completed 3');
SELECT attempt(2, '{"status": "Refunded", "step_order": 7}'), events(2, 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1',
	'BankProcessingCompleted Created BankApproved 2', 'PaymentDataSaveStarted BankApproved BankApproved 2', 'PaymentDataSaveFailed BankApproved Refunding 3',
	'CompensationStarted BankApproved Refunding 3', 'RefundCompleted Refunding Refunded 4');
SELECT payment(3), attempt(3), events(3, 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1', 'BankProcessingCompleted Created BankApproved 2',
	'PaymentDataSaveCompleted BankApproved Saved 3', 'CaptureCompleted Saved Completed 4', 'TransactionCompleted Saved Completed 4');
SELECT broken();
ROLLBACK;
BEGIN;
ALTER EVENT TRIGGER pgw_keep_baseline DISABLE;
ALTER TABLE pgw.transaction_events_default DISABLE TRIGGER append_only;
SELECT sound(1), sound(2);
UPDATE pgw.transaction_events SET event_id = tid(99) WHERE transaction_id = tid(1) AND step_order = 3 OR transaction_id = tid(2) AND step_order = 1;
SELECT broken();
ROLLBACK;

\echo # what the first event and the payment say
BEGIN;
SELECT sound(1), attempt(2, '{"kind": "refund", "status": "BankUnknown", "step_order": 3, "amount": 100}', 1), unknown(2);
UPDATE pgw.payments SET refund_pending_amount = 100 WHERE payment_id = pid(1);
SELECT broken();
SELECT * FROM pgw.rebuild_payment(pid(1));
SAVEPOINT s;
-- a row that was changed past pgw: its own columns, and what only the digest tells
ALTER EVENT TRIGGER pgw_keep_baseline DISABLE;
ALTER TABLE pgw.payment_transactions DISABLE TRIGGER ALL;
UPDATE pgw.payment_transactions SET reference = 'another', amount = 999, merchant = 'other', correlation_id = pid(9) WHERE transaction_id = tid(1);
UPDATE pgw.payment_transactions SET reason = 'another', payment_id = pid(3) WHERE transaction_id = tid(2);
SELECT b FROM broken() b WHERE b ~ '^(request|payment)_differs';
ROLLBACK TO s;
UPDATE pgw.payments SET status = 'authorized', captured_amount = 0, refund_pending_amount = 0 WHERE payment_id = pid(1);
SELECT b FROM broken() b WHERE b ~ '^(request|payment)_differs';
SELECT * FROM pgw.rebuild_payment(pid(1));
ROLLBACK;
SELECT pgw.rebuild_payment(NULL);
SELECT pgw.rebuild_payment(pid(1));
\echo # attempts
BEGIN;
SELECT payment(n, '{"status": "pending", "authorized_amount": 0, "captured_amount": 0}') FROM generate_series(1, 3) n;
SELECT attempt(1, '{"status": "BankUnknown", "step_order": 3, "submitted": true, "live": false, "given_up": true}'), unknown(1);
SELECT attempt(2, '{"status": "Created", "step_order": 2, "submitted": true, "live": false, "next_step_at": "2026-02-01"}'),
	events(2, 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1');
SELECT attempt(3, '{"status": "Created", "step_order": 1, "submitted": true, "live": false, "next_step_at": "2026-02-01"}'), events(3, 'TransactionStarted - Created 1');
SELECT broken();
ROLLBACK;
BEGIN;
SELECT payment(1, '{"status": "pending", "authorized_amount": 0, "captured_amount": 0}'),
	attempt(1, '{"status": "Created", "step_order": 1, "submitted": true, "live": false}'), events(1, 'TransactionStarted - Created 1');
SELECT broken();
ROLLBACK;
BEGIN;
ALTER EVENT TRIGGER pgw_keep_baseline DISABLE;
ALTER TABLE pgw.open_work DISABLE TRIGGER keep_listed;
ALTER TABLE pgw.open_work_mark DISABLE TRIGGER keep_mark;
INSERT INTO pgw.open_work_mark (below) VALUES (tid(9)) ON CONFLICT (one_row) DO UPDATE SET below = excluded.below;
SELECT payment(n, '{"status": "pending", "authorized_amount": 0, "captured_amount": 0}') FROM generate_series(1, 3) n;
SELECT attempt(n, '{"status": "BankUnknown", "step_order": 3, "next_step_at": "2026-02-01"}'), unknown(n) FROM generate_series(1, 3) n;
SELECT count(*) FROM pgw.open_work w WHERE w.transaction_id IN (tid(1), tid(2), tid(3));
SELECT broken();
DELETE FROM pgw.open_work WHERE transaction_id = tid(1);
UPDATE pgw.open_work SET status = 'Created' WHERE transaction_id = tid(2);
INSERT INTO pgw.open_work SELECT tid(4), kind, merchant, submitted_by, expires_at, bank, begun, left_to_caller, status FROM pgw.open_work WHERE transaction_id = tid(3);
SELECT broken();
ROLLBACK;
BEGIN;
SELECT payment(1), attempt(1, '{"approved_amount": 999}'), success(1), payment(2), attempt(2, '{"approved_currency": "USD"}'), success(2);
SELECT payment(3), attempt(3, '{"approved_amount": 1000, "approved_currency": "EUR"}'), success(3);
SELECT broken();
ROLLBACK;
BEGIN;
ALTER EVENT TRIGGER pgw_keep_baseline DISABLE;
DROP INDEX pgw.payment_transactions_one_live;
SELECT sound(1), attempt(2, '{"client_request_id": "c-1", "status": "BankUnknown", "step_order": 3}'), unknown(2);
SELECT attempt(3, '{"client_request_id": "c-1", "status": "Failed", "step_order": 4}'), decline(3);
SELECT broken();
ROLLBACK;
BEGIN; SELECT sound(1), payment(2), attempt(2, '{"bank_key": "key-1"}'), success(2); SELECT broken(); ROLLBACK;
-- an attempt without a key of its own has the digits of its id
BEGIN; SELECT sound(1), payment(2), attempt(2, '{"bank_key": null}'), success(2); SELECT broken(); ROLLBACK;
BEGIN; SELECT payment(1), attempt(1, jsonb_build_object('bank_key', replace(tid(2)::text, '-', ''))), success(1), payment(2), attempt(2, '{"bank_key": null}'), success(2); SELECT broken(); ROLLBACK;
BEGIN; SELECT sound(1), payment(2), attempt(2, '{"refund_key": "key-2"}'), success(2); SELECT broken(); ROLLBACK;
BEGIN; SELECT sound(1), payment(2, '{"bank_reference": "ref-1"}'), attempt(2, '{"bank_reference": "ref-1"}'), success(2); SELECT broken(); ROLLBACK;
BEGIN; SELECT sound(1); INSERT INTO pgw.bank_references VALUES ('bank', 'ref-2', tid(2)); SELECT broken(); ROLLBACK;
BEGIN; INSERT INTO pgw.bank_references VALUES ('bank', 'ref-1', tid(2)); SELECT sound(1), sound(2); SELECT broken(); ROLLBACK;
-- of a charge in doubt and of one that is given back, too; the id in a no is nobody's
BEGIN; SELECT sound(1), attempt(2, '{"status": "BankUnknown", "step_order": 3, "bank_reference": "ref-1"}'), unknown(2); SELECT broken(); ROLLBACK;
BEGIN;
SELECT sound(1), attempt(2, '{"status": "Refunding", "step_order": 7, "bank_reference": "ref-1"}'), events(2, 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1',
	'BankProcessingCompleted Created BankApproved 2', 'PaymentDataSaveStarted BankApproved BankApproved 2', 'PaymentDataSaveFailed BankApproved Refunding 3',
	'CompensationStarted BankApproved Refunding 3', 'RefundStarted BankApproved Refunding 3');
SELECT broken();
ROLLBACK;
BEGIN; SELECT sound(1), attempt(2, '{"status": "Failed", "step_order": 4, "bank_reference": "ref-1"}'), decline(2); SELECT broken(); ROLLBACK;
BEGIN; SELECT payment(1, '{"merchant": "nobody"}'), attempt(1, '{"merchant": "nobody"}'), success(1); SELECT broken(); ROLLBACK;
BEGIN;
SELECT payment(1, '{"bank": "nobank"}'), attempt(1, '{"bank": "nobank"}'), success(1);
SELECT attempt(2, '{"bank": "nobank", "bank_version": 9999, "status": "BankUnknown", "step_order": 3}'), unknown(2);
SELECT broken();
ROLLBACK;
-- a caller's charge may have lost its row, a submitted one or an operation on a payment not
BEGIN;
SELECT attempt(1, '{"status": "Failed", "step_order": 4}'), decline(1);
SELECT attempt(2, '{"status": "Failed", "step_order": 4, "submitted": true}'), decline(2);
SELECT attempt(3, '{"status": "Failed", "step_order": 4, "kind": "void"}'), decline(3);
SELECT broken();
ROLLBACK;
BEGIN;
SELECT sound(1);
SELECT attempt(2, '{"status": "Failed", "step_order": 4, "kind": "refund", "currency": "USD", "bank": "second"}', 1), decline(2);
SELECT attempt(3, '{"status": "Failed", "step_order": 4}', 1), decline(3);
SELECT broken();
ROLLBACK;

\echo # payments and their attempts
BEGIN;
SELECT payment(1), payment(2, '{"status": "pending", "authorized_amount": 0, "captured_amount": 0}');
SELECT broken();
ROLLBACK;
BEGIN;
SELECT payment(1, '{"amount": 999, "authorized_amount": 999, "captured_amount": 999}'), attempt(1), success(1);
SELECT sound(2), payment(3, '{"transaction_id": "019b76da-a800-7000-8000-000000000002", "bank_reference": "ref-2", "capture": "on_commit"}');
SELECT broken();
ROLLBACK;
-- money taken, says the payment; a review counts as what it came from
BEGIN;
SELECT payment(1), attempt(1, '{"status": "Failed", "step_order": 4}'), decline(1);
SELECT payment(2, '{"status": "authorized", "captured_amount": 0}'), attempt(2, '{"status": "RequiresManualReview", "step_order": 4}'), unknown(2);
SELECT payment(3, '{"status": "authorized", "captured_amount": 0, "reserved_amount": 1000, "capture": "on_commit"}'),
	attempt(3, '{"status": "RequiresManualReview", "step_order": 6, "capture": "on_commit"}'),
	events(3, 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1', 'BankProcessingCompleted Created BankApproved 2',
	'PaymentDataSaveStarted BankApproved BankApproved 2', 'PaymentDataSaveCompleted BankApproved Saved 3', 'ManualReviewRequired Saved RequiresManualReview 4');
INSERT INTO pgw.transaction_events (event_id, transaction_id, event_type, from_status, to_status, step_order)
VALUES (gen_random_uuid(), tid(2), 'ManualReviewRequired', 'BankUnknown', 'RequiresManualReview', 4);
SELECT broken();
ROLLBACK;
BEGIN; SELECT payment(1, '{"bank_reference": "other"}'), attempt(1), success(1); SELECT broken(); ROLLBACK;
BEGIN; SELECT attempt(1), success(1); SELECT broken(); ROLLBACK;
BEGIN;
SELECT payment(n, jsonb_build_object('status', s, 'authorized_amount', 0, 'captured_amount', 0)), attempt(n), success(n)
FROM (VALUES (1, 'pending'), (2, 'declined'), (3, 'failed'), (4, 'in_review')) v (n, s);
SELECT broken();
ROLLBACK;
BEGIN;
SELECT payment(1, '{"status": "failed", "authorized_amount": 0, "captured_amount": 0}'), attempt(1, '{"status": "BankUnknown", "step_order": 3}'), unknown(1);
SELECT broken();
ROLLBACK;
-- the worker has a minute, and longer where it will look again
BEGIN;
SELECT payment(n, '{"status": "pending", "authorized_amount": 0, "captured_amount": 0, "updated_at": "2026-01-01"}'),
	attempt(n, jsonb_build_object('status', 'Failed', 'step_order', 4, 'updated_at', updated, 'next_step_at', next)), decline(n)
FROM (VALUES (1, '2026-01-01'::timestamptz, NULL::timestamptz), (2, clock_timestamp(), NULL), (3, '2026-01-01', clock_timestamp()), (4, '2026-01-01', clock_timestamp() + '1 day')) v (n, updated, next);
SELECT payment(n, jsonb_build_object('status', p, 'authorized_amount', 0, 'captured_amount', 0, 'updated_at', '2026-01-01')),
	attempt(n, jsonb_build_object('status', t, 'step_order', 3, 'updated_at', '2026-01-01')), unknown(n)
FROM (VALUES (5, 'pending', 'BankApproved'), (6, 'pending', 'RequiresManualReview'), (7, 'pending', 'Refunded'), (8, 'pending', 'BankUnknown'), (9, 'in_review', 'Failed'),
	(10, 'in_review', 'Refunded'), (11, 'in_review', 'RequiresManualReview'), (12, 'failed', 'Refunded')) v (n, p, t);
SELECT b FROM broken() b WHERE b ~ '^payment_outdated';
ROLLBACK;

\echo # amounts
BEGIN;
SELECT payment(n, jsonb_build_object('status', s, 'authorized_amount', a, 'captured_amount', c, 'refunded_amount', r, 'capture', 'manual'))
FROM (VALUES (1, 'authorized', 999, 0, 0), (2, 'authorized', 1000, 1, 0), (3, 'partially_captured', 1000, 0, 0), (4, 'partially_captured', 1000, 1000, 0), (5, 'captured', 1000, 999, 0),
	(6, 'captured', 1000, 1000, 1), (7, 'partially_refunded', 1000, 1000, 0), (8, 'partially_refunded', 1000, 1000, 1000), (9, 'refunded', 1000, 1000, 999), (10, 'refunded', 1000, 0, 0),
	(11, 'voided', 1000, 1, 0), (12, 'expired', 1000, 1, 0), (13, 'pending', 1, 0, 0), (14, 'declined', 1, 0, 0), (15, 'failed', 1000, 1, 0), (16, 'in_review', 1000, 1, 0),
	(21, 'authorized', 1000, 0, 0), (22, 'partially_captured', 1000, 1, 0), (23, 'captured', 1000, 1000, 0), (24, 'partially_refunded', 1000, 1000, 1), (25, 'refunded', 1000, 999, 999),
	(26, 'voided', 1000, 0, 0), (27, 'expired', 1000, 0, 0), (28, 'pending', 0, 0, 0), (29, 'declined', 0, 0, 0), (30, 'failed', 1000, 0, 0), (31, 'in_review', 0, 0, 0)) v (n, s, a, c, r);
SELECT b FROM broken() b WHERE b ~ '^amounts';
ROLLBACK;
BEGIN;
ALTER EVENT TRIGGER pgw_keep_baseline DISABLE;
ALTER TABLE pgw.payments DROP CONSTRAINT payments_refunds_check;
SELECT payment(1, '{"refund_pending_amount": 1001}'), attempt(1), success(1),
	attempt(2, '{"kind": "refund", "amount": 1001, "status": "BankUnknown", "step_order": 3}', 1), unknown(2);
SELECT broken();
ROLLBACK;
BEGIN; SELECT payment(1, '{"status": "authorized", "captured_amount": 0, "capture": "on_commit"}'), attempt(1, '{"capture": "on_commit"}'), success(1); SELECT broken(); ROLLBACK;
-- captured in two parts, refunded in two, a third refund in doubt, a fourth refused; another payment voided
BEGIN;
SELECT payment(1, '{"capture": "manual", "status": "partially_refunded", "refunded_amount": 300, "refund_pending_amount": 50}'), attempt(1, '{"capture": "manual"}'), success(1);
SELECT payment(n, '{"capture": "manual", "status": "voided", "captured_amount": 0}'), attempt(n, '{"capture": "manual"}'), success(n) FROM generate_series(2, 3) n;
SELECT attempt(n, jsonb_build_object('kind', kind, 'amount', amount), p), success(n)
FROM (VALUES (11, 1, 'capture', 400), (12, 1, 'capture', 600), (13, 1, 'refund', 100), (14, 1, 'refund', 200), (15, 2, 'void', 1000), (18, 3, 'void', 1000)) v (n, p, kind, amount);
SELECT attempt(16, '{"kind": "refund", "amount": 50, "status": "BankUnknown", "step_order": 3}', 1), unknown(16);
SELECT attempt(17, '{"kind": "refund", "amount": 70, "status": "Failed", "step_order": 4}', 1), decline(17);
SELECT broken();
SAVEPOINT s;
UPDATE pgw.payments SET refunded_amount = 299 WHERE payment_id = pid(1); SELECT broken(); ROLLBACK TO s;
UPDATE pgw.payments SET refund_pending_amount = 0 WHERE payment_id = pid(1); SELECT broken(); ROLLBACK TO s;
UPDATE pgw.payments SET captured_amount = 999 WHERE payment_id = pid(1); SELECT broken(); ROLLBACK TO s;
-- a void that found the authorization expired
UPDATE pgw.payments SET status = 'expired' WHERE payment_id = pid(2);
INSERT INTO pgw.transaction_events (event_id, transaction_id, event_type, from_status, to_status, step_order)
VALUES (gen_random_uuid(), tid(2), 'AuthorizationExpired', 'Completed', 'Completed', 7);
UPDATE pgw.payment_transactions SET step_order = 7 WHERE transaction_id = tid(2);
SELECT broken(); ROLLBACK TO s;
UPDATE pgw.payments SET status = 'authorized' WHERE payment_id = pid(2); SELECT broken(); ROLLBACK TO s;
SELECT payment(4, '{"capture": "manual", "status": "voided", "captured_amount": 0}'), attempt(4, '{"capture": "manual"}'), success(4); SELECT broken(); ROLLBACK TO s;
ROLLBACK;

-- Two readings of one rule: the view's SQL and core/state/state_from_events.c judge 1,500 histories alike, many of which have gone wrong somewhere.
BEGIN;
SELECT setseed(0.42);
SELECT count(*) FROM generate_series(1, 1500) n, attempt(n, jsonb_build_object('kind', (enum_range(NULL::pgw.operation_kind))[1 + n % 4], 'status', 'Failed'));
DO $$
DECLARE
	e record;
	now_kind pgw.operation_kind;
	now_at pgw.transaction_status;
	step int;
	commit int;
	stray bool;
BEGIN
	FOR n IN 1 .. 1500 LOOP
		now_at := NULL;
		now_kind := (enum_range(NULL::pgw.operation_kind))[1 + n % 4];
		step := 0;
		commit := 1;
		FOR i IN 1 .. 2 + (random() * 8)::int LOOP
			-- mostly a legal step from here, now and then any; mostly the next number, seldom one left out
			stray := random() < 0.03;
			SELECT l.event_type, l.from_status, l.to_status INTO e FROM pgw.legal_steps() l
			WHERE stray OR l.kind = now_kind AND l.from_status IS NOT DISTINCT FROM now_at ORDER BY random() LIMIT 1;
			EXIT WHEN e.event_type IS NULL;
			step := step + CASE WHEN random() < 0.01 THEN 2 ELSE 1 END;
			commit := commit + (random() < 0.5)::int;
			INSERT INTO pgw.transaction_events (event_id, transaction_id, event_type, from_status, to_status, step_order, txid)
			VALUES (gen_random_uuid(), tid(n), e.event_type, e.from_status, e.to_status, step, commit::text::xid8);
			-- the same edge again, in the same commit or in the next
			IF random() < 0.05 THEN
				step := step + 1;
				commit := commit + (random() < 0.5)::int;
				INSERT INTO pgw.transaction_events (event_id, transaction_id, event_type, from_status, to_status, step_order, txid)
				VALUES (gen_random_uuid(), tid(n), e.event_type, e.from_status, e.to_status, step, commit::text::xid8);
			END IF;
			now_at := e.to_status;
		END LOOP;
	END LOOP;
END $$;
WITH c AS MATERIALIZED (SELECT * FROM pgw.check_consistency()),
f AS MATERIALIZED (SELECT tid(n) AS transaction_id, rebuilt(tid(n)) AS folded FROM generate_series(1, 1500) n),
v AS (
	-- the first fault, and the state where there is none
	SELECT transaction_id, min((details->>(CASE check_name WHEN 'step_missing' THEN 'before_step' ELSE 'step' END))::int) FILTER (WHERE check_name ~ '^step_(missing|illegal)') AS step,
		coalesce(max(details->>'by_events') FILTER (WHERE check_name = 'status_differs'), 'Failed') AS state
	FROM c GROUP BY transaction_id)
SELECT count(*) FILTER (WHERE (v.step IS NULL) = (folded ~ '^PW500')) AS judged_differently,
	count(*) FILTER (WHERE v.step IS NULL AND folded !~ '^PW500' AND folded <> v.state) AS other_state,
	count(*) FILTER (WHERE v.step IS NOT NULL AND v.step <> (substr(folded, 7)::jsonb->'found'->>'step')::int) AS other_step,
	count(v.step) > 200 AS many_broken, count(*) FILTER (WHERE v.step IS NULL) > 200 AS many_sound
FROM f LEFT JOIN v USING (transaction_id);
ROLLBACK;

-- Two readings of another rule: the view's SQL and core/payment/payment_from_events.c tell status and amounts of 600 payments alike. The rows say something that none comes to.
BEGIN;
SELECT setseed(0.42);
DO $$
DECLARE
	e record;
	now_kind pgw.operation_kind;
	now_at pgw.transaction_status;
	steps text[];
BEGIN
	FOR n IN 1 .. 600 LOOP
		PERFORM payment(n, jsonb_build_object('status', 'partially_captured', 'captured_amount', 1, 'capture', (enum_range(NULL::pgw.capture_mode))[1 + n % 3]));
		FOR k IN 0 .. (random() * 4)::int LOOP
			now_kind := CASE WHEN k = 0 THEN 'payment' ELSE (enum_range(NULL::pgw.operation_kind))[2 + floor(random() * 3)::int] END;
			PERFORM attempt(n + 1000 * k, jsonb_build_object('kind', now_kind, 'status', 'Failed', 'amount', CASE WHEN k = 0 THEN 1000 ELSE 100 + 10 * (random() * 90)::int END,
				'final_capture', now_kind = 'capture' AND random() < 0.3) || CASE WHEN k = 0 THEN jsonb_build_object('capture', (enum_range(NULL::pgw.capture_mode))[1 + n % 3]) ELSE '{}' END, n);
			now_at := NULL;
			steps := '{}';
			FOR i IN 1 .. 3 + (random() * 12)::int LOOP
				-- mostly where it goes well
				SELECT l.event_type, l.from_status, l.to_status INTO e FROM pgw.legal_steps() l
				WHERE l.kind = now_kind AND l.from_status IS NOT DISTINCT FROM now_at
				ORDER BY random() - CASE WHEN l.to_status = 'Refunded' THEN 1 WHEN l.to_status IN ('BankApproved', 'Saved', 'Completed') THEN 0.6 ELSE 0 END LIMIT 1;
				EXIT WHEN e.event_type IS NULL OR now_at IN ('Completed', 'Refunded') AND random() < 0.7;
				steps := steps || format('%s %s %s %s%s', e.event_type, coalesce(now_at::text, '-'), e.to_status, i,
					CASE WHEN e.event_type IN ('BankProcessingFailed', 'TransactionFailed') THEN (ARRAY[' declined', ' bank_unavailable', ''])[1 + floor(random() * 3)::int] END);
				now_at := e.to_status;
			END LOOP;
			PERFORM events(n + 1000 * k, VARIADIC steps);
		END LOOP;
	END LOOP;
END $$;
WITH c AS MATERIALIZED (SELECT payment_id, details->'by_events' AS told FROM pgw.check_consistency() WHERE check_name = 'payment_differs'),
r AS MATERIALIZED (SELECT pid(n) AS payment_id, b.* FROM generate_series(1, 600) n CROSS JOIN LATERAL pgw.rebuild_payment(pid(n)) b)
SELECT count(c.payment_id) AS told, count(*) FILTER (WHERE c.told IS DISTINCT FROM jsonb_build_object('status', r.status, 'authorized_amount', r.authorized_amount,
		'captured_amount', r.captured_amount, 'capture_pending_amount', r.capture_pending_amount, 'reserved_amount', r.reserved_amount, 'refunded_amount', r.refunded_amount, 'refund_pending_amount', r.refund_pending_amount,
		'bank_captured_amount', r.bank_captured_amount, 'bank_refunded_amount', r.bank_refunded_amount)) AS differently,
	count(DISTINCT r.status) > 8 AS statuses, count(*) FILTER (WHERE r.given_back_amount > 0) > 10 AS given_back, count(*) FILTER (WHERE r.reserved_amount > 0) > 10 AS reserved,
	count(*) FILTER (WHERE r.capture_pending_amount > 0) > 10 AS capture_pending,
	count(*) FILTER (WHERE r.refunded_amount > 0) > 10 AS refunded, count(*) FILTER (WHERE r.refund_pending_amount > 0) > 10 AS pending
FROM r LEFT JOIN c USING (payment_id);
ROLLBACK;

-- what the bank has accepted and may still fail: each amount is looked for where it belongs
BEGIN;
CREATE FUNCTION accepted(n int, kind text) RETURNS void LANGUAGE sql AS $$
	SELECT attempt(n, jsonb_build_object('kind', kind, 'status', 'Saved', 'step_order', 6, 'amount', 100, 'accepted_at', '2026-01-01', 'next_step_at', clock_timestamp()), 1);
	SELECT events(n, 'TransactionStarted - Created 1', 'BankProcessingStarted Created Created 1', 'BankProcessingCompleted Created BankApproved 2',
		'PaymentDataSaveStarted BankApproved BankApproved 2', 'PaymentDataSaveCompleted BankApproved Saved 2', 'BankAccepted Saved Saved 2') $$;
SELECT payment(1, '{"status": "partially_captured", "captured_amount": 300, "capture_pending_amount": 100, "refund_pending_amount": 100, "capture": "manual"}'),
	attempt(1, '{"capture": "manual"}'), success(1),
	attempt(2, '{"kind": "capture", "amount": 300}', 1), success(2), accepted(3, 'capture'), accepted(4, 'refund');
SELECT broken();
UPDATE pgw.payments SET captured_amount = 400, capture_pending_amount = 0, refunded_amount = 100, refund_pending_amount = 0 WHERE payment_id = pid(1);
SELECT broken();
ROLLBACK;
-- what the bank has done without pgw: captured, given back, a refund taken back; and released. It may be above what pgw may do, and a step of it is none of pgw's
BEGIN;
CREATE FUNCTION made_at_bank(n int, p int, kind text, amount int, taken_back boolean DEFAULT false) RETURNS void LANGUAGE sql AS $$
	SELECT attempt(n, jsonb_build_object('kind', kind, 'amount', amount, 'origin', 'bank', 'step_order', 3 + taken_back::int, 'status', CASE WHEN taken_back THEN 'Failed' ELSE 'Completed' END), p);
	SELECT events(n, 'TransactionStarted - Created 1', 'BankReported Created BankApproved 1', 'TransactionCompleted BankApproved Completed 1', CASE WHEN taken_back THEN 'BankReported Completed Failed 2' ELSE '' END) $$;
SELECT payment(1, '{"status": "refunded", "refunded_amount": 900, "bank_refunded_amount": 300}'), attempt(1), success(1), attempt(2, '{"kind": "refund", "amount": 900}', 1), success(2),
	made_at_bank(3, 1, 'refund', 100), made_at_bank(4, 1, 'refund', 200), made_at_bank(5, 1, 'refund', 50, true);
SELECT payment(11, '{"status": "partially_refunded", "captured_amount": 0, "bank_captured_amount": 1100, "bank_refunded_amount": 100, "capture": "manual"}'), attempt(11, '{"capture": "manual"}'), success(11),
	made_at_bank(12, 11, 'capture', 1100), made_at_bank(13, 11, 'refund', 100);
SELECT payment(21, '{"status": "voided", "captured_amount": 0, "capture": "manual"}'), attempt(21, '{"capture": "manual"}'), success(21), made_at_bank(22, 21, 'void', 1000);
SELECT broken();
SELECT format('%s %s %s %s %s', r.status, r.captured_amount, r.refunded_amount, r.bank_captured_amount, r.bank_refunded_amount) FROM unnest('{1,11,21}'::int[]) n, pgw.rebuild_payment(pid(n)) r;
SAVEPOINT s;
\set VERBOSITY terse
UPDATE pgw.payments SET bank_refunded_amount = 299 WHERE payment_id = pid(1); SELECT broken(); ROLLBACK TO s;
UPDATE pgw.payments SET bank_captured_amount = NULL, captured_amount = 1000 WHERE payment_id = pid(11); SELECT broken(); ROLLBACK TO s;
UPDATE pgw.payments SET bank_captured_amount = 0 WHERE payment_id = pid(11); ROLLBACK TO s;
UPDATE pgw.payments SET refund_pending_amount = 101 WHERE payment_id = pid(1); ROLLBACK TO s;
UPDATE pgw.payment_transactions SET status = 'Failed', live = false, given_up = true, step_order = 7 WHERE transaction_id = tid(2); ROLLBACK TO s;
UPDATE pgw.payment_transactions SET origin = 'bank' WHERE transaction_id = tid(2); ROLLBACK TO s;
UPDATE pgw.payment_transactions SET status = 'Failed', live = false, given_up = true, step_order = 4 WHERE transaction_id = tid(3); ROLLBACK TO s;
SELECT attempt(31, '{"origin": "bank"}');
ROLLBACK;
\set VERBOSITY default

-- what disputes have taken: by the events, by their rows, and by the payment
BEGIN;
SELECT payment(1, '{"disputed_amount": 300}'), attempt(1, '{"step_order": 9}'), success(1);
INSERT INTO pgw.transaction_events (event_id, transaction_id, event_type, from_status, to_status, step_order, event_data)
SELECT gen_random_uuid(), tid(1), v.event::pgw.event_type, 'Completed', 'Completed', v.step, v.data::jsonb FROM (VALUES (7, 'InquiryOpened', '{"dispute": "d"}'), (8, 'DisputeWithdrawn', '{"dispute": "d", "taken": 700}'),
	(9, 'DisputeReinstated', '{"dispute": "d", "taken": -400}')) v (step, event, data);
INSERT INTO pgw.disputes (dispute_id, account, bank_dispute_id, bank, livemode, merchant, payment_id, transaction_id, status, steps, currency, withdrawn_amount, reinstated_amount, unclear)
VALUES (tid(9), 'bank', 'd', 'bank', true, 'default', pid(1), tid(1), 'won', '{}', 'EUR', 700, 400, false), (tid(8), 'bank', 'e', 'bank', true, 'default', pid(1), tid(1), 'won', '{}', 'EUR', 0, 400, false);
SELECT broken();
SELECT disputed_amount FROM pgw.rebuild_payment(pid(1));
SAVEPOINT s;
\set VERBOSITY terse
UPDATE pgw.payments SET disputed_amount = 299 WHERE payment_id = pid(1); SELECT broken(); ROLLBACK TO s;
UPDATE pgw.disputes SET reinstated_amount = 0 WHERE dispute_id = tid(9); SELECT broken(); ROLLBACK TO s;
UPDATE pgw.payments SET disputed_amount = 0 WHERE payment_id = pid(1); ROLLBACK TO s;
INSERT INTO pgw.disputes SELECT tid(7), account, bank_dispute_id, bank, livemode, merchant, payment_id, transaction_id, status, steps, currency, 0, 0, false FROM pgw.disputes WHERE dispute_id = tid(9); ROLLBACK TO s;
DELETE FROM pgw.disputes; ROLLBACK TO s;
ROLLBACK;
\set VERBOSITY default

-- a foreign key that was made while nobody refused it
BEGIN;
ALTER EVENT TRIGGER pgw_refuse_foreign_key_casts DISABLE;
CREATE DOMAIN own_uuid AS uuid;
CREATE TABLE own_orders (payment_id own_uuid, CONSTRAINT own_key FOREIGN KEY (payment_id) REFERENCES pgw.payments (payment_id));
SELECT format('%s p t %s', check_name, details) FROM pgw.check_consistency() WHERE check_name <> 'baseline';
ROLLBACK;

DROP FUNCTION tid, pid, put, payment, attempt, events, success, decline, unknown, sound, broken, rebuilt;
SELECT * FROM pgw.check_consistency();
