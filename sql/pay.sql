-- The straight paths: whole rows and whole event lists.
\pset format unaligned
\set VERBOSITY default
\set SHOW_CONTEXT never
-- success, inside the caller's transaction
CREATE TABLE orders (id int PRIMARY KEY, payment_id uuid REFERENCES pgw.payments);
BEGIN;
INSERT INTO orders SELECT 1, (pay('ok')).payment_id;
SELECT o.id, (p).status, (p).transaction_status FROM orders o, pgw.get_payment(o.payment_id) p;
COMMIT;
SELECT jsonb_pretty(masked(p)) FROM pgw.find_payment('ok') p;
SELECT * FROM flow('ok');
-- each thing is said once, where it is set first; who reads them in full misses nothing
SELECT e.step_order, e.event_type, e.from_status, e.to_status, e.event_data->>'operation' AS operation, e.event_data->>'bank' AS bank, e.event_data->'requests_sent' AS requests_sent,
	(SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(e.event_data) k) AS of
FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = 'ok' ORDER BY e.step_order;
-- every event says the same of bank and transaction, and folding "to" gives the status
SELECT count(*), count(DISTINCT e.transaction_id), bool_and(e.event_data->>'v' = '1'), bool_and((e.event_data->>'correlation_id')::uuid = t.correlation_id)
FROM pgw.events_in_full e JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = 'ok';

-- decline: a row, or an error on request; what was recorded stands either way
SELECT jsonb_pretty(masked(pay('no', 'tok_decline_insufficient_funds')));
SELECT * FROM flow('no');
\set VERBOSITY terse
SELECT (pay('no-raise', 'tok_decline_do_not_honor', on_failure => 'raise')).status;
\echo :SQLSTATE
SELECT status FROM pgw.find_payment('no-raise');
SET pgw.on_failure = 'raise';
SELECT (pay('no-raise-2', 'tok_decline_lost_card')).status;
\echo :SQLSTATE
RESET pgw.on_failure;
\set VERBOSITY default
SELECT (pay('auth', 'tok_auth_required')).error_code;
-- what is raised says in DETAIL what the row says in its columns
CREATE FUNCTION raised(id text, token text, "timeout" interval DEFAULT NULL)
RETURNS TABLE (state text, code text, class text, http_status int, retryable boolean, same_ids boolean, others text[]) LANGUAGE plpgsql AS $$
DECLARE
	d text;
BEGIN
	PERFORM pay(id, token, on_failure => 'raise', "timeout" => "timeout");
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
	RETURN QUERY SELECT SQLSTATE, d::jsonb->>'code', d::jsonb->>'class', (d::jsonb->>'http_status')::int, (d::jsonb->>'retryable')::boolean,
		(SELECT (f.payment_id, f.transaction_id, f.correlation_id) =
			((d::jsonb->>'payment_id')::uuid, (d::jsonb->>'transaction_id')::uuid, (d::jsonb->>'correlation_id')::uuid) FROM pgw.find_payment(id) f),
		ARRAY(SELECT k FROM jsonb_object_keys(d::jsonb) k WHERE k NOT IN ('code', 'class', 'http_status', 'retryable', 'payment_id', 'transaction_id', 'correlation_id'));
END $$;
SELECT * FROM raised('d-402', 'tok_decline_insufficient_funds');
SELECT * FROM raised('d-502', 'tok_503', '300 ms');
SELECT * FROM raised('d-504', 'tok_slow_1500', '100 ms');

-- the bank does nothing, and there is no time for another try: failed
SELECT masked(pay('busy', 'tok_503', "timeout" => '300 ms')) ->> 'status', (pay('busy', 'tok_503')).error_class, (pay('busy', 'tok_503')).error_code, (pay('busy', 'tok_503')).http_status;
SELECT * FROM flow('busy');

-- no trusted answer: unknown is not failed; looked up, while the caller waits
SELECT (p).status, (p).transaction_status, (p).error_class, (p).error_code, (p).http_status FROM (SELECT pay('after', 'tok_500_after') AS p OFFSET 0) s;
SELECT * FROM flow('after');
SELECT (p).status, (p).transaction_status, (p).error_code FROM (SELECT pay('not-json', 'tok_not_json') AS p OFFSET 0) s;
SELECT (p).status, (p).transaction_status, (p).error_code FROM (SELECT pay('cut', 'tok_truncated') AS p OFFSET 0) s;
SELECT (p).status, (p).transaction_status, (p).error_code FROM (SELECT pay('wait', 'tok_slow_1500', "timeout" => '100 ms') AS p OFFSET 0) s;

-- capture modes
SELECT (p).status, (p).authorized_amount, (p).captured_amount FROM (SELECT pay('auth-only', capture => 'manual') AS p OFFSET 0) s;
SELECT * FROM flow('auth-only');

-- a key that is made of the attempt's id is not stored, and neither are no fields for the bank
SELECT status FROM pgw.process_payment('fields', 500, 'EUR', 'tok_ok', bank_fields => '{"descriptor": "SHOP"}');
SELECT client_request_id, bank_key, bank_fields FROM pgw.payment_transactions WHERE client_request_id IN ('auth-only', 'fields') ORDER BY 1;

-- submit: pending now, final after the commit
SELECT jsonb_pretty(masked(pgw.submit_payment('sub', 777, 'EUR', 'tok_ok')));
SELECT status, captured_amount FROM pgw.wait_for_payment((SELECT payment_id FROM pgw.find_payment('sub')), '20s');
SELECT * FROM flow('sub');
SELECT status FROM pgw.submit_payment('sub-no', 777, 'EUR', 'tok_decline_fraud');
SELECT status, error_class, error_code FROM pgw.wait_for_payment((SELECT payment_id FROM pgw.find_payment('sub-no')), '20s');
SELECT * FROM flow('sub-no');
BEGIN;
SELECT status FROM pgw.submit_payment('sub-gone', 777, 'EUR', 'tok_ok');
ROLLBACK;
SELECT count(*) FROM pgw.find_payment('sub-gone');
-- once per column: one charge
SELECT status, amount, currency, transaction_status FROM (SELECT (pay('columns')).*) s;
SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'columns';

-- isolation levels, and read functions inside the paying transaction
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM orders;
SELECT (pay('rr')).status;
SELECT status, transaction_status FROM pgw.find_payment('rr');
SELECT event FROM flow('rr');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM orders;
SELECT (pay('ser')).status;
SELECT event FROM flow('ser');
COMMIT;
BEGIN READ ONLY;
SELECT (pay('ro')).status;
\echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT status FROM pgw.submit_payment('ro', 1, 'EUR', 'tok_ok');
\echo :SQLSTATE
ROLLBACK;

-- replay and mismatch
SELECT (p).status, (p).replayed, (p).http_status FROM (SELECT pay('ok') AS p OFFSET 0) s;
SELECT (p).status, (p).replayed, (p).error_code FROM (SELECT pay('no', 'tok_decline_insufficient_funds') AS p OFFSET 0) s;
SELECT pay('ok', amount => 1, currency => 'USD', token => 'tok_other', reference => 'x');
\echo :SQLSTATE
SELECT status, replayed FROM pgw.submit_payment('ok', 1234, 'EUR', 'tok_ok');
SELECT status, replayed FROM pgw.process_payment('ok', 1234, 'EUR', 'tok_ok', metadata => '{"not": "compared"}');

-- a replay needs no bank that would still take it
UPDATE pgw.banks SET enabled = false WHERE name = 'bank';
SELECT (p).status, (p).replayed FROM (SELECT pay('ok') AS p OFFSET 0) s;
SELECT pay('no-bank-left');
\echo :SQLSTATE
UPDATE pgw.banks SET enabled = true WHERE name = 'bank';
-- nor a merchant who would
INSERT INTO pgw.merchants (merchant) VALUES ('shut');
SELECT status, replayed FROM pgw.process_payment('of-shut', 777, 'EUR', 'tok_ok', merchant => 'shut');
UPDATE pgw.merchants SET enabled = false WHERE merchant = 'shut';
SELECT status, replayed FROM pgw.process_payment('of-shut', 777, 'EUR', 'tok_ok', merchant => 'shut');
SELECT status, replayed FROM pgw.submit_payment('of-shut', 777, 'EUR', 'tok_ok', merchant => 'shut');
SELECT status, replayed, error_code FROM pgw.process_payments('[{"client_request_id": "of-shut", "amount": 777, "currency": "EUR", "token": "tok_ok", "merchant": "shut"},
	{"client_request_id": "of-shut-2", "amount": 777, "currency": "EUR", "token": "tok_ok", "merchant": "shut"}]', atomic => false);
SELECT pgw.process_payment('of-shut-2', 777, 'EUR', 'tok_ok', merchant => 'shut');
\echo :SQLSTATE
SELECT pgw.submit_payment('of-shut-2', 777, 'EUR', 'tok_ok', merchant => 'shut');
\echo :SQLSTATE
SELECT client_request_id FROM pgw.payments WHERE merchant = 'shut';

-- a plan does not carry what is meant anyway at the end of a call, and what is said to be meant is no other request
EXPLAIN (VERBOSE, COSTS OFF) SELECT status FROM pgw.process_payment('short', 500, 'EUR', 'tok_ok', reference => NULL, options => '{}');
EXPLAIN (VERBOSE, COSTS OFF) SELECT status FROM pgw.process_payment('short', 500, 'EUR', 'tok_ok', capture => 'manual', merchant => 'default');
EXPLAIN (VERBOSE, COSTS OFF) SELECT status FROM pgw.process_payment('short', 500, 'EUR', 'tok_ok', options => '{"actor": "somebody"}');
SELECT status, replayed FROM pgw.process_payment('short', 500, 'EUR', 'tok_ok');
SELECT status, replayed FROM pgw.process_payment('short', 500, 'EUR', 'tok_ok', NULL, NULL, NULL, NULL, NULL, NULL, 'immediate', NULL, '{}', '{}', NULL, NULL, 'default', '{}');
SELECT (pgw.process_payment('short', 500, 'EUR', 'tok_ok', merchant => 'default', metadata => '{}')).replayed;
SELECT status FROM pgw.process_payment('short', 500, 'EUR', 'tok_ok', metadata => NULL);
\echo :SQLSTATE
SELECT status FROM pgw.process_payment('short', 500, 'EUR', 'tok_ok', merchant => NULL);
\echo :SQLSTATE
-- a default that somebody has changed is what he has made of it
BEGIN;
ALTER EVENT TRIGGER pgw_keep_baseline DISABLE;
CREATE OR REPLACE FUNCTION pgw.submit_payment(client_request_id text, amount numeric, currency text, token text DEFAULT NULL, bank text DEFAULT NULL, capture text DEFAULT 'manual', reference text DEFAULT NULL,
	metadata jsonb DEFAULT '{}', bank_fields jsonb DEFAULT '{}', expires_at timestamptz DEFAULT NULL, merchant text DEFAULT 'default', options jsonb DEFAULT '{}')
	RETURNS pgw.payment_result AS '$libdir/pgw', 'pgw_submit_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE SUPPORT pgw.call_support;
SELECT status FROM pgw.submit_payment('changed-default', 500, 'EUR', 'tok_ok');
SELECT capture FROM pgw.payments WHERE client_request_id = 'changed-default';
ROLLBACK;

-- rules
SELECT pay('r1', bank => 'nobank');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url, livemode, enabled) VALUES ('off', 'json', 'https://bank.example', false, false);
SELECT pay('r2', bank => 'off');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url, livemode, currencies, priority) VALUES ('usd', 'json', 'https://bank.example', false, '{USD}', 500);
SELECT pay('r3', bank => 'usd');
\echo :SQLSTATE
SELECT pgw.process_payment('r5', 1, 'EUR', 'tok_ok', merchant => 'nobody');
\echo :SQLSTATE
SELECT count(*) FROM pgw.get_payment('00000000-0000-7000-8000-000000000000');
SELECT pgw.wait_for_payment('00000000-0000-7000-8000-000000000000');
\echo :SQLSTATE
SELECT count(*) FROM pgw.payments WHERE client_request_id ~ '^r[0-9]';

-- the records agree with themselves
SELECT * FROM pgw.check_consistency();

-- my_payments says of each what get_payment() says, and joins the attempt only where its columns are asked for
BEGIN;
CREATE ROLE pay_reader;
SELECT pgw.grant_access('pay_reader', 'client');
SELECT count(*) > 10 AS many, count(m.error_code) > 3 AS some_errors, count(m.transaction_status) = count(*) AS all_states FROM pgw.my_payments m;
SELECT m.client_request_id, m.status, m.transaction_status, m.error_code, m.error_message, g.transaction_status, g.error_code, g.error_message
FROM pgw.my_payments m CROSS JOIN pgw.get_payment(m.payment_id) g
WHERE (m.transaction_status, m.error_code, m.error_message) IS DISTINCT FROM (g.transaction_status, g.error_code, g.error_message) ORDER BY 1;
CREATE FUNCTION pg_temp.reads(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || q INTO plan;
	RETURN (SELECT string_agg(DISTINCT m[1], ' ' ORDER BY m[1]) FROM regexp_matches(plan::text, '"(?:Relation|Index) Name": "(payment\w+)"', 'g') m);
END $$;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT pg_temp.reads('SELECT status FROM pgw.my_payments WHERE reference = ''o-1'' AND merchant = ''default''');
SELECT pg_temp.reads('SELECT error_code FROM pgw.my_payments WHERE reference = ''o-1''');
ROLLBACK;

-- a function of one's own that claims more than is true: in a parallel plan there is no latest state to be read
CREATE FUNCTION claims_to_be_safe(read text) RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS $$
DECLARE
	r text;
BEGIN
	EXECUTE read INTO r;
	RETURN r;
END $$;
SELECT count(set_config(name, 'on', false)) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT claims_to_be_safe('SELECT status FROM pgw.find_payment(''none'')');
SELECT claims_to_be_safe('SELECT count(*) FROM pgw.check_consistency()');
SELECT claims_to_be_safe('SELECT count(*) FROM pgw.read_metrics()');
SELECT claims_to_be_safe('SELECT length(pgw.dashboard())');
SELECT count(set_config(name, 'off', false)) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
DROP FUNCTION claims_to_be_safe;
