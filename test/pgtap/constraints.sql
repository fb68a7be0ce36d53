-- Constraints that make nonsense impossible, whoever writes.
\set ON_ERROR_STOP 1
BEGIN;
SELECT plan(18);
CREATE FUNCTION pg_temp.tx(over jsonb DEFAULT '{}') RETURNS pgw.payment_transactions LANGUAGE sql AS $$
	SELECT t FROM jsonb_populate_record(NULL::pgw.payment_transactions, jsonb_build_object('transaction_id', gen_random_uuid(), 'payment_id', gen_random_uuid(),
	'client_request_id', 'c', 'merchant', 'default', 'kind', 'payment', 'status', 'Created', 'step_order', 1, 'submitted', true, 'live', false, 'given_up', false, 'adopted', false, 'amount', 5, 'currency', 'EUR',
	'capture', 'immediate', 'bank_fields', '{}'::jsonb, 'token', 'tok_ok', 'bank', 'bank', 'requests_sent', 0, 'step_tries', 0, 'refund_keys_used', 0, 'refund_ruled_out', 0, 'pending_at_bank', false, 'maybe_at_another_bank', false, 'error_answered', false, 'customer_sent', false, 'card_echoed', false, 'unconfirmed', false, 'final_capture', false, 'livemode', true, 'retryable', false, 'correlation_id', gen_random_uuid(),
	'system_identifier', 1, 'database_oid', 1, 'created_at', now(), 'updated_at', now()) || over) t $$;
CREATE FUNCTION pg_temp.pay(over jsonb DEFAULT '{}') RETURNS pgw.payments LANGUAGE sql AS $$
	SELECT p FROM jsonb_populate_record(NULL::pgw.payments, jsonb_build_object('payment_id', gen_random_uuid(), 'client_request_id', 'c', 'merchant', 'default',
	'transaction_id', gen_random_uuid(), 'status', 'pending', 'capture', 'immediate', 'amount', 100, 'currency', 'EUR', 'authorized_amount', 0, 'captured_amount', 0, 'capture_pending_amount', 0, 'reserved_amount', 0,
	'refunded_amount', 0, 'refund_pending_amount', 0, 'bank', 'bank', 'livemode', true, 'metadata', '{}'::jsonb, 'created_at', now(), 'updated_at', now()) || over) p $$;

SELECT lives_ok($$INSERT INTO pgw.payments SELECT (pg_temp.pay()).*$$, 'a sound payments row');
SELECT throws_ok($$INSERT INTO pgw.payments SELECT (pg_temp.pay()).*$$, '23505', NULL, 'one row per id and merchant');
SELECT throws_ok($$INSERT INTO pgw.payments SELECT (pg_temp.pay('{"client_request_id": "d", "amount": 0}')).*$$, '23514', NULL, 'amount > 0');
SELECT throws_ok($$INSERT INTO pgw.payments SELECT (pg_temp.pay('{"client_request_id": "d", "captured_amount": 1}')).*$$, '23514', NULL, 'captured <= authorized');
SELECT throws_ok($$INSERT INTO pgw.payments SELECT (pg_temp.pay('{"client_request_id": "d", "authorized_amount": 9, "captured_amount": 9, "refunded_amount": 6, "refund_pending_amount": 4}')).*$$,
	'23514', NULL, 'refunds, those in doubt too, <= captured');
SELECT throws_ok($$INSERT INTO pgw.payments SELECT (pg_temp.pay('{"client_request_id": "d", "authorized_amount": 9, "captured_amount": 6, "reserved_amount": 4}')).*$$,
	'23514', NULL, 'captured, with what is claimed, <= authorized');
SELECT throws_ok($$INSERT INTO pgw.payments SELECT (pg_temp.pay('{"client_request_id": "d", "authorized_amount": 9, "captured_amount": 3, "capture_pending_amount": 3, "reserved_amount": 4}')).*$$,
	'23514', NULL, 'so with what the bank has accepted');
SELECT throws_ok($$INSERT INTO pgw.payments SELECT (pg_temp.pay('{"client_request_id": "d", "authorized_amount": 9, "capture_pending_amount": -1}')).*$$,
	'23514', NULL, 'which is never less than nothing');
SELECT throws_ok($$DELETE FROM pgw.payments$$, NULL, NULL, 'payments are not deleted');

CREATE TEMP TABLE t AS SELECT (pg_temp.tx()).*;
SELECT lives_ok($$INSERT INTO pgw.payment_transactions SELECT * FROM t$$, 'a sound transaction');
SELECT throws_ok($$UPDATE pgw.payment_transactions SET status = 'Completed', step_order = step_order + 1 WHERE transaction_id = (SELECT transaction_id FROM t)$$, NULL, NULL, 'Created -> Completed is no edge');
SELECT throws_ok($$UPDATE pgw.payment_transactions SET amount = 6 WHERE transaction_id = (SELECT transaction_id FROM t)$$, NULL, NULL, 'the amount cannot change');
SELECT lives_ok($$UPDATE pgw.payment_transactions SET status = 'BankApproved', step_order = step_order + 1, live = true WHERE transaction_id = (SELECT transaction_id FROM t)$$, 'Created -> BankApproved is one');
SELECT throws_ok($$INSERT INTO pgw.payment_transactions SELECT (pg_temp.tx('{"live": true}')).*$$, '23505', NULL, 'one live attempt per id');
SELECT lives_ok($$UPDATE pgw.payment_transactions SET status = 'Refunding', step_order = step_order + 1 WHERE transaction_id = (SELECT transaction_id FROM t)$$, 'BankApproved -> Refunding is an edge');
INSERT INTO pgw.payment_transactions SELECT (pg_temp.tx('{"kind": "refund", "status": "Failed", "given_up": true}')).*;
SELECT throws_ok($$INSERT INTO pgw.payment_transactions SELECT (pg_temp.tx('{"kind": "refund"}')).*$$, '23505', NULL, 'the id of a refund is used once and for all');
SELECT lives_ok($$INSERT INTO pgw.payment_transactions SELECT (pg_temp.tx('{"kind": "capture"}')).*$$, 'each kind has ids of its own');
SELECT throws_ok($$DELETE FROM pgw.payment_transactions$$, NULL, NULL, 'transactions are not deleted');
SELECT * FROM finish();
ROLLBACK;
