-- pgw.resolve_review() and pgw.manual_reviews: every cell of the grid, and every refusal. No bank is called here: what the worker makes of it is in test/tap/121_review_of_a_charge.pl and the two files after it.
\pset format unaligned
\set VERBOSITY default
\set SHOW_CONTEXT never

-- An attempt in review, with the events that lead there; rows as a restore would insert them. The payments row says what it would say.
CREATE FUNCTION in_review(name text, kind pgw.operation_kind, came_from pgw.transaction_status, reason text DEFAULT 'refused', merchant text DEFAULT 'default',
	t uuid DEFAULT gen_random_uuid())
RETURNS uuid LANGUAGE plpgsql AS
$$
DECLARE
	p uuid := gen_random_uuid();
BEGIN
	INSERT INTO pgw.payment_transactions (transaction_id, payment_id, client_request_id, merchant, kind, status, step_order, submitted, live, amount,
		currency, capture, bank, bank_key, bank_key_used_at, bank_asked_at, refund_operation, refund_key, refund_key_used_at, refund_keys_used, step_tries,
		system_identifier, database_oid, abandoned_at, error_code, accepted_at, correlation_id)
	VALUES (t, p, name, merchant, kind, 'RequiresManualReview', 2, false, true, 1234, 'EUR', 'on_commit', 'bank', 'key', '2026-01-01', '2026-01-01',
		CASE WHEN came_from = 'Refunding' THEN 'refund' END, CASE WHEN came_from = 'Refunding' THEN 'refundkey' END,
		CASE WHEN came_from = 'Refunding' THEN '2026-01-01'::timestamptz END, CASE WHEN came_from = 'Refunding' THEN 10 ELSE 0 END, 7, 1, 1,
		'2026-01-01', 'outcome_unknown',
		-- a capture, void or refund that is Saved is one that the bank has accepted
		CASE WHEN kind <> 'payment' AND came_from = 'Saved' THEN '2026-01-01'::timestamptz END, gen_random_uuid());
	INSERT INTO pgw.transaction_events (event_id, transaction_id, event_type, from_status, to_status, event_data, step_order)
	VALUES (gen_random_uuid(), t, 'ManualReviewRequired', 'Created', 'RequiresManualReview', '{"reason": "an older one"}', 1),
		(gen_random_uuid(), t, 'ManualReviewRequired', came_from, 'RequiresManualReview', jsonb_build_object('reason', reason, 'error_code', 'outcome_unknown'), 2);
	IF kind = 'payment' THEN
		INSERT INTO pgw.payments (payment_id, client_request_id, merchant, transaction_id, status, capture, amount, currency, authorized_amount, reserved_amount)
		VALUES (p, name, merchant, t, (CASE WHEN came_from = 'Saved' THEN 'authorized' WHEN came_from IN ('Refunding', 'Refunded') THEN 'failed' ELSE 'in_review' END)::pgw.payment_status,
			'on_commit', 1234, 'EUR', CASE WHEN came_from = 'Saved' THEN 1234 ELSE 0 END, CASE WHEN came_from = 'Saved' THEN 1234 ELSE 0 END);
	ELSE
		INSERT INTO pgw.payments (payment_id, client_request_id, merchant, transaction_id, status, capture, amount, currency, authorized_amount, captured_amount,
			reserved_amount, capture_pending_amount, refund_pending_amount)
		VALUES (p, name, merchant, gen_random_uuid(), (CASE kind WHEN 'refund' THEN 'captured' ELSE 'authorized' END)::pgw.payment_status, 'manual', 2000, 'EUR', 2000,
			CASE kind WHEN 'refund' THEN 2000 ELSE 0 END, CASE WHEN kind = 'refund' OR kind = 'capture' AND came_from = 'Saved' THEN 0 ELSE 1234 END,
			CASE WHEN kind = 'capture' AND came_from = 'Saved' THEN 1234 ELSE 0 END, CASE kind WHEN 'refund' THEN 1234 ELSE 0 END);
	END IF;
	RETURN t;
END
$$;

-- Each action on a fresh one of each kind and origin: the state, or why not; and what the next step will find.
CREATE FUNCTION tried(kind pgw.operation_kind, came_from pgw.transaction_status, action text, OUT result text, OUT due boolean, OUT watched boolean,
	OUT bank_reference text, OUT refund text, OUT error text, OUT payment text) LANGUAGE plpgsql AS
$$
DECLARE
	t uuid := in_review(format('%s-%s-%s', kind, came_from, action), kind, came_from);
	hint text;
BEGIN
	BEGIN
		result := pgw.resolve_review(t, action, 'because', jsonb_build_object('bank_reference', 'ch_' || came_from));
	EXCEPTION WHEN SQLSTATE 'PW422' THEN
		GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
		result := SQLSTATE || ' ' || hint;
	END;
	SELECT x.next_step_at IS NOT NULL, x.watch_until > now() + '23 hours', x.bank_reference, x.refund_operation || ' ' || coalesce(x.refund_key, 'new') || ' ' || x.refund_keys_used,
		x.error_code, (SELECT concat_ws(' ', p.status, p.captured_amount, p.reserved_amount, p.refunded_amount, p.refund_pending_amount, 'capture pending ' || nullif(p.capture_pending_amount, 0))
			FROM pgw.payments p WHERE p.payment_id = x.payment_id)
	INTO due, watched, bank_reference, refund, error, payment FROM pgw.payment_transactions x WHERE x.transaction_id = t;
END
$$;
BEGIN;
SELECT k AS kind, f AS came_from, a AS action, r.*
FROM unnest(enum_range(NULL::pgw.operation_kind)) WITH ORDINALITY k (k, nk), unnest(enum_range(NULL::pgw.transaction_status)) WITH ORDINALITY f (f, nf),
	unnest('{retry,mark_charged,mark_not_charged,mark_refunded,refund}'::text[]) WITH ORDINALITY a (a, na), tried(k, f, a) r
WHERE (k = 'payment' AND f IN ('Created', 'BankUnknown', 'BankApproved', 'Saved', 'Refunding', 'Refunded'))
	OR (k <> 'payment' AND f IN ('Created', 'BankUnknown', 'BankApproved', 'Saved')) OR (k = 'refund' AND f = 'Completed')
ORDER BY nk, nf, na;
-- what no action touches
SELECT DISTINCT bank_key, bank_key_used_at = '2026-01-01' AS key_age, bank_asked_at = '2026-01-01' AS asked FROM pgw.payment_transactions WHERE bank_key = 'key';
-- the events fit the edges, and lead to the status
SELECT count(*) FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
WHERE e.event_type = 'ManualReviewResolved' AND e.step_order = 3 AND t.step_order = 3 AND e.from_status = 'RequiresManualReview' AND e.to_status = t.status;
-- the view agrees with what was refused
SELECT pgw.grant_access('postgres', 'auditor');
SELECT kind, came_from, possible_actions, count(*) FROM pgw.manual_reviews GROUP BY 1, 2, 3 ORDER BY 1, 2;
ROLLBACK;

-- a give-back in doubt keeps its key; only a refusal proves that it did nothing
BEGIN;
SELECT reason, pgw.resolve_review(in_review('key-' || reason, 'payment', 'Refunding', reason), 'retry', 'again')
FROM unnest('{refused,no_way_to_find_out,charge_not_found,no_operation}'::text[]) reason;
SELECT client_request_id, refund_operation, refund_key, refund_key_used_at IS NOT NULL AS used, refund_keys_used, step_tries FROM pgw.payment_transactions
WHERE client_request_id LIKE 'key-%' ORDER BY client_request_id COLLATE "C";
ROLLBACK;

-- arguments: every fault at once
BEGIN;
SELECT in_review('r', 'payment', 'BankUnknown', t => '019b76da-a800-7000-8000-000000000001') AS id \gset
SAVEPOINT s;
SELECT pgw.resolve_review(NULL, NULL, NULL, NULL);
ROLLBACK TO s;
SELECT pgw.resolve_review(:'id', 'forget', '  ', '[]');
ROLLBACK TO s;
SELECT pgw.resolve_review(:'id', 'mark_charged', repeat('x', 2001));
ROLLBACK TO s;
SELECT pgw.resolve_review(:'id', 'mark_refunded', 'ring' || chr(7), '{"bank_reference": 5}');
ROLLBACK TO s;
SELECT pgw.resolve_review(:'id', 'mark_charged', 'x', '{"bank_reference": " "}');
ROLLBACK TO s;
SELECT pgw.resolve_review(:'id', 'mark_charged', 'x', jsonb_build_object('bank_reference', repeat('x', 256), 'more', repeat('y', 16384)));
ROLLBACK TO s;
-- a card number, as text, as a number, within a nested one
SELECT pgw.resolve_review(:'id', 'retry', 'card ' || repeat('4242 ', 4), jsonb_build_object('n', repeat('4242', 4)::numeric));
ROLLBACK TO s;
SELECT pgw.resolve_review(:'id', 'retry', 'x', jsonb_build_object('a', jsonb_build_array(jsonb_build_object('b', repeat('4242-', 3) || '4242'))));
ROLLBACK TO s;
-- several lines are fine
SELECT pgw.resolve_review(:'id', 'retry', E'one\n\ttwo');
ROLLBACK TO s;
SELECT pgw.resolve_review('019b76da-a800-7000-8000-000000000000', 'retry', 'x');
ROLLBACK TO s;
-- refused by the grid: the possible actions, and why
SELECT pgw.resolve_review(:'id', 'refund', 'x');
ROLLBACK TO s;
-- and once only
SELECT pgw.resolve_review(:'id', 'retry', 'x');
\set VERBOSITY terse
SELECT pgw.resolve_review(:'id', 'retry', 'x');
\set VERBOSITY default
ROLLBACK;
BEGIN READ ONLY;
SELECT pgw.resolve_review('019b76da-a800-7000-8000-000000000000', 'retry', 'x');
ROLLBACK;

-- the whole event
BEGIN;
SELECT in_review('e', 'payment', 'BankUnknown') AS id \gset
CREATE ROLE regress_pgw_op;
SELECT pgw.grant_access('regress_pgw_op', 'operator');
SET LOCAL ROLE regress_pgw_op;
SELECT kind, came_from, reason, error_code, amount, currency, bank, bank_reference, jsonb_array_length(context) AS events, possible_actions, proposal, age > '0' AS age
FROM pgw.manual_reviews WHERE transaction_id = :'id';
SELECT pgw.resolve_review(:'id', 'mark_charged', 'ticket 4711', '{"bank_reference": "ch_1", "seen_by": ["anna"]}');
SELECT count(*) FROM pgw.manual_reviews;
RESET ROLE;
SELECT jsonb_pretty(event_data - 'correlation_id') FROM pgw.events_in_full WHERE transaction_id = :'id' AND step_order = 3;
-- one charge is one payment's
SELECT in_review('e2', 'payment', 'BankUnknown') AS id \gset
SAVEPOINT s;
\set VERBOSITY terse
SELECT pgw.resolve_review(:'id', 'mark_charged', 'x', '{"bank_reference": "ch_1"}');
ROLLBACK TO s;
SELECT pgw.resolve_review(:'id', 'mark_charged', 'x', '{"bank_reference": "ch_2"}');
ROLLBACK TO s;
UPDATE pgw.payment_transactions SET bank_reference = 'ch_3' WHERE transaction_id = :'id';
SELECT pgw.resolve_review(:'id', 'mark_charged', 'x', '{"bank_reference": "ch_2"}');
ROLLBACK;
\set VERBOSITY default
