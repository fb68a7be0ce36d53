-- Who sees what of pgw.check_consistency() and pgw.rebuild_status(); sql/consistency.sql goes through the checks themselves.
\set ON_ERROR_STOP 1
BEGIN;
SELECT plan(31);

INSERT INTO pgw.merchants (merchant, name) VALUES ('acme', 'Acme'), ('other', 'Other');
CREATE FUNCTION pg_temp.id(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('019b76da-a800-7000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
-- of the payment whose first attempt that is: the last bit is another one
CREATE FUNCTION pg_temp.pid(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT pg_temp.id(n # 1) $$;
CREATE FUNCTION pg_temp.put(rel regclass, vals jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %1$s (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::%1$s, $1)', rel, (SELECT string_agg(k, ', ') FROM jsonb_object_keys(vals) k)) USING vals;
END $$;
CREATE FUNCTION pg_temp.attempt(n int, merchant text, over jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
	SELECT pg_temp.put('pgw.payment_transactions', jsonb_build_object('transaction_id', pg_temp.id(n), 'payment_id', pg_temp.pid(n), 'client_request_id', 'c-' || n,
	'merchant', merchant, 'kind', 'payment', 'status', 'Failed', 'step_order', 2, 'submitted', false, 'live', false, 'given_up', true, 'adopted', false, 'amount', 5, 'currency', 'EUR', 'capture', 'immediate',
	'correlation_id', pg_temp.id(n), 'system_identifier', 1, 'database_oid', 1) || over) $$;
CREATE FUNCTION pg_temp.event(n int, step int, event pgw.event_type, "from" pgw.transaction_status, "to" pgw.transaction_status) RETURNS void LANGUAGE sql AS $$
	INSERT INTO pgw.transaction_events (event_id, transaction_id, event_type, from_status, to_status, payment_id, correlation_id, digest, event_data, step_order)
	SELECT gen_random_uuid(), pg_temp.id(n), event, "from", "to", t.payment_id, t.correlation_id,
		CASE WHEN event = 'TransactionStarted' THEN sha256(convert_to(E'5\nEUR\n\n\n0\n0\n\nimmediate\n\n1', 'UTF8')) END,
		CASE WHEN event = 'TransactionStarted' THEN coalesce(jsonb_build_object('merchant', t.merchant, 'client_request_id', t.client_request_id, 'amount', t.amount,
			'currency', t.currency, 'operation', 'charge'), '{}') END, step
	FROM (SELECT) v LEFT JOIN pgw.payment_transactions t ON t.transaction_id = pg_temp.id(n) AND event = 'TransactionStarted' $$;
SELECT is((SELECT count(*)::int FROM pgw.check_consistency()), 0, 'nothing is broken to begin with');

-- one sound attempt and one of each merchant without events, an event that is nobody's, and a key that two merchants share
SELECT pg_temp.attempt(1, 'default'), pg_temp.event(1, 1, 'TransactionStarted', NULL, 'Created'), pg_temp.event(1, 2, 'TransactionFailed', 'Created', 'Failed');
SELECT pg_temp.attempt(2, 'acme');
SELECT pg_temp.attempt(3, 'other');
SELECT pg_temp.event(4, 1, 'TransactionStarted', NULL, 'Created');
SELECT pg_temp.attempt(n, m, '{"bank": "bank", "bank_key": "k"}'), pg_temp.event(n, 1, 'TransactionStarted', NULL, 'Created'), pg_temp.event(n, 2, 'TransactionFailed', 'Created', 'Failed')
FROM (VALUES (5, 'acme'), (6, 'other')) v (n, m);

CREATE ROLE tap_client;
CREATE ROLE tap_operator;
CREATE ROLE tap_auditor;
CREATE ROLE tap_acme;
CREATE ROLE tap_mixed;
SELECT pgw.grant_access('tap_client', 'client'), pgw.grant_access('tap_operator', 'operator'), pgw.grant_access('tap_auditor', 'auditor'),
	pgw.grant_access('tap_acme', 'auditor', 'acme'), pgw.grant_access('tap_mixed', 'client'), pgw.grant_access('tap_mixed', 'operator', 'other');
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pg_temp TO tap_client, tap_operator, tap_auditor, tap_acme, tap_mixed;
PREPARE seen AS SELECT check_name, transaction_id FROM pgw.check_consistency();
CREATE TEMP TABLE everything AS SELECT * FROM (VALUES ('bank_key_twice', pg_temp.id(5)), ('event_without_transaction', pg_temp.id(4)),
	-- by payment
	('transaction_without_events', pg_temp.id(3)), ('transaction_without_events', pg_temp.id(2))) v (check_name, transaction_id);
GRANT SELECT ON everything TO tap_operator, tap_auditor;

SELECT results_eq('seen', 'SELECT * FROM everything', 'the owner sees everything, in order');
SET LOCAL ROLE tap_operator;
SELECT results_eq('seen', 'SELECT * FROM everything', 'so does an operator of all merchants');
SELECT is(pgw.rebuild_status(pg_temp.id(1)), 'Failed', 'and may rebuild');
SET LOCAL ROLE tap_auditor;
SELECT results_eq('seen', 'SELECT * FROM everything', 'and an auditor of all merchants');
SELECT is(pgw.rebuild_status(pg_temp.id(1)), 'Failed', 'who may rebuild too');
SELECT is((SELECT r::text FROM pgw.rebuild_payment(pg_temp.pid(1)) r), format('(%s,failed,5,EUR,0,0,0,0,0,0,0,0,0,0)', pg_temp.id(1)), 'and the payment with its amounts');
SELECT throws_ok($$SELECT * FROM pgw.broken_invariants$$, '42501', NULL, 'but not look into the view, which knows no merchants');
SET LOCAL ROLE tap_acme;
SELECT results_eq('seen', $$SELECT 'transaction_without_events', pg_temp.id(2)$$, 'a merchant''s auditor sees that merchant''s rows, and none that tell of others');
SELECT is(pgw.rebuild_status(pg_temp.id(5)), 'Failed', 'and rebuilds its own');
SELECT throws_ok($$SELECT pgw.rebuild_status(pg_temp.id(1))$$, 'PW404', NULL, 'another merchant''s transaction is none');
SELECT throws_ok($$SELECT pgw.rebuild_payment(pg_temp.pid(1))$$, 'PW404', NULL, 'nor is its payment one');
SET LOCAL ROLE tap_mixed;
SELECT results_eq('seen', $$SELECT 'transaction_without_events', pg_temp.id(3)$$, 'a grant to pay adds nothing to it');
SET LOCAL ROLE tap_client;
SELECT throws_ok($$SELECT * FROM pgw.check_consistency()$$, '42501', NULL, 'a client may not check');
SELECT throws_ok($$SELECT pgw.rebuild_status(pg_temp.id(1))$$, '42501', NULL, 'nor rebuild');
SELECT throws_ok($$SELECT pgw.rebuild_payment(pg_temp.pid(1))$$, '42501', NULL, 'nor rebuild a payment');
SELECT throws_ok($$SELECT * FROM pgw.legal_steps()$$, '42501', NULL, 'nor use what they are made of');
RESET ROLE;

-- a search path of the caller's own cannot lend its operators to the owner's query
CREATE SCHEMA tap_evil;
CREATE FUNCTION tap_evil.lies(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not my operator'; END $$;
CREATE OPERATOR tap_evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = tap_evil.lies);
GRANT USAGE ON SCHEMA tap_evil TO tap_acme;
SET LOCAL ROLE tap_acme;
SET LOCAL search_path = tap_evil, pg_catalog;
SELECT count(*) AS seen FROM pgw.check_consistency() \gset
RESET search_path;
RESET ROLE;
SELECT is(:seen, 1, 'operators of the caller''s search_path are not used');

SELECT throws_ok($$SELECT pgw.rebuild_status(NULL)$$, 'PW400', NULL, 'NULL is named');
SELECT throws_ok($$SELECT pgw.rebuild_payment(NULL)$$, 'PW400', NULL, 'for a payment, too');
SELECT throws_ok($$SELECT pgw.rebuild_payment(pg_temp.pid(99))$$, 'PW404', 'there is no such payment', 'an unknown payment');
SELECT throws_ok($$SELECT pgw.rebuild_payment(pg_temp.pid(2))$$, 'PW500', NULL, 'one whose attempt has no events');
SELECT throws_ok($$SELECT pgw.rebuild_status(pg_temp.id(99))$$, 'PW404', 'there is no such transaction', 'an unknown transaction');
SELECT throws_ok($$SELECT pgw.rebuild_status(pg_temp.id(4))$$, 'PW404', NULL, 'events alone are no transaction');
SELECT throws_ok($$SELECT pgw.rebuild_status(pg_temp.id(2))$$, 'PW500', 'the events of transaction ' || pg_temp.id(2) || ' do not lead to a state', 'no events');
CREATE FUNCTION pg_temp.detail(id uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	d text;
BEGIN
	PERFORM pgw.rebuild_status(id);
	RETURN NULL;
EXCEPTION WHEN SQLSTATE 'PW500' THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
	RETURN d::jsonb - 'found';
END $$;
SELECT is(pg_temp.detail(pg_temp.id(2)), jsonb_build_object('code', 'internal_error', 'class', 'infrastructure', 'http_status', 500, 'retryable', false, 'transaction_id', pg_temp.id(2), 'step', 1, 'fault', 'gap'), 'DETAIL names the step');
SELECT pg_temp.event(2, 1, 'TransactionStarted', NULL, 'Created'), pg_temp.event(2, 3, 'TransactionFailed', 'Created', 'Failed');
SELECT is(pg_temp.detail(pg_temp.id(2))->>'step', '2', 'of the gap');
SELECT pg_temp.event(2, 2, 'BankProcessingStarted', 'Created', 'BankUnknown');
SELECT is(pg_temp.detail(pg_temp.id(2)) - '{transaction_id,class,http_status,retryable}'::text[], '{"code": "internal_error", "step": 2, "fault": "illegal"}', 'or of the illegal event');
SELECT is(pg_temp.detail(pg_temp.id(1)), NULL, 'and nothing where all is well');

-- fewer rights, fewer functions
SELECT lives_ok($$SELECT pgw.revoke_access('tap_mixed', 'operator')$$, 'the operator''s grant is taken back');
SET LOCAL ROLE tap_mixed;
SELECT throws_ok($$SELECT * FROM pgw.check_consistency()$$, '42501', NULL, 'and with it the check');
RESET ROLE;
SELECT * FROM finish();
ROLLBACK;
