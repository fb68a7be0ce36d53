-- DETAIL of every PW error has one of the two shapes of docs/errors.md, whichever function or table it comes from: PW400 an array of
-- faults, all else an object that begins with what the columns of a row would say. Each has a HINT.
\set ON_ERROR_STOP 1
BEGIN;

-- What is wrong with the DETAIL of the error that a statement raises; NULL: nothing.
CREATE FUNCTION pg_temp.misshapen(state text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	d text;
	h text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN CASE
		WHEN SQLSTATE <> state THEN SQLSTATE || ' ' || SQLERRM
		WHEN d IS NULL THEN 'no DETAIL'
		WHEN state = 'PW400' AND (jsonb_typeof(d::jsonb) <> 'array' OR d = '[]' OR EXISTS (SELECT FROM jsonb_array_elements(d::jsonb) f
			WHERE (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(f) k) <> '{code,field,message}' OR f->>'field' IS NULL OR f->>'code' IS NULL OR f->>'message' IS NULL)) THEN d
		WHEN state <> 'PW400' AND NOT d::jsonb ?& '{code,class,http_status,retryable}' THEN d
		WHEN state <> 'PW400' AND d::jsonb->>'http_status' <> substr(state, 3) AND NOT (state = 'PW402' AND d::jsonb->>'http_status' = '422') THEN d
		WHEN state <> 'PW400' AND d::jsonb->>'class' NOT IN ('business', 'external', 'infrastructure', 'timeout') THEN d
		WHEN h IS NULL THEN 'no hint'
	END;
END $$;
CREATE FUNCTION spelt(v text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$BEGIN RETURN repeat('4242', 4); END$$;
CREATE TEMP TABLE cases (state text, statement text);
INSERT INTO cases VALUES
	('PW400', $$SELECT pgw.process_payment(NULL, NULL, NULL)$$),
	('PW400', $$SELECT pgw.process_payment('e', 'NaN', 'EUR', 'tok_ok')$$),
	('PW400', $$SELECT set_config('log_parameter_max_length', '-1', true), set_config('log_statement', 'all', true),
		pgw.process_payment('e', 1, 'EUR', card_number => spelt('visa'), card_expiry_month => 1, card_expiry_year => 2090)$$),
	('PW400', $$SELECT (pgw.process_payment(gen_random_uuid()::text, 1, 'EUR', 'tok_ok')).*$$),
	('PW400', $$SELECT pgw.submit_payment(NULL, 0.5, 'eur', '')$$),
	('PW400', $$SELECT pgw.capture_payment(NULL, NULL)$$),
	('PW400', $$SELECT pgw.void_payment(NULL, ' ')$$),
	('PW400', $$SELECT pgw.refund_payment(NULL, NULL, 0)$$),
	('PW400', $$SELECT pgw.get_payment(NULL)$$),
	('PW400', $$SELECT pgw.find_payment(NULL, NULL)$$),
	('PW400', $$SELECT pgw.wait_for_payment(NULL, NULL)$$),
	('PW400', $$SELECT pgw.payment_history(NULL)$$),
	('PW400', $$SELECT pgw.rebuild_status(NULL)$$),
	('PW400', $$SELECT pgw.rebuild_payment(NULL)$$),
	('PW400', $$SELECT pgw.resolve_review(NULL, NULL, NULL, NULL)$$),
	('PW400', $$SELECT pgw.resume_after_restore(repeat('x', 100000))$$),
	('PW400', $$SELECT pgw.rebind_attempts(NULL, NULL, NULL)$$),
	('PW400', $$SELECT pgw.ensure_event_partitions(-1)$$),
	('PW400', $$SELECT pgw.grant_access(NULL, 'client')$$),
	('PW400', $$SELECT pgw.grant_access('pg_monitor', NULL)$$),
	('PW400', $$SELECT pgw.revoke_access(NULL, 'client')$$),
	('PW400', $$SELECT pgw.revoke_access('pg_monitor', 'king')$$),
	('PW400', $$INSERT INTO pgw.banks (name, connector, base_url, max_in_flight) VALUES ('e', 'none', 'ftp://x', 0)$$),
	('PW400', $$INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES (E'a\nb', 'json', 'http://127.0.0.1:1', 'b')$$),
	('PW400', $$INSERT INTO pgw.merchants (merchant, name) VALUES (E'a\u0085b', 'M')$$),
	('PW400', $$INSERT INTO pgw.connectors (name, definition) VALUES ('e', '{"v": 2}')$$),
	('PW404', $$SELECT pgw.wait_for_payment('00000000-0000-7000-8000-000000000000')$$),
	('PW404', $$SELECT pgw.refund_payment('00000000-0000-7000-8000-000000000000', 'e')$$),
	('PW404', $$SELECT pgw.rebuild_status('00000000-0000-7000-8000-000000000000')$$),
	('PW404', $$SELECT pgw.rebuild_payment('00000000-0000-7000-8000-000000000000')$$),
	('PW404', $$SELECT pgw.resolve_review('00000000-0000-7000-8000-000000000000', 'retry', 'why')$$),
	('PW422', $$SELECT pgw.process_payment('e', 1, 'EUR', 'tok_ok', merchant => 'nobody')$$),
	('PW422', $$SELECT pgw.process_payment('e', 1, 'EUR', 'tok_ok', bank => 'none')$$),
	('PW422', $$SELECT pgw.submit_payment('e', 1, 'EUR', 'tok_ok', bank => 'none')$$),
	('PW422', $$SELECT pgw.resume_after_restore('nothing was restored')$$),
	('PW422', $$SELECT pgw.rebind_attempts(2147483646, 2147483647, 'no such versions')$$),
	('PW422', $$SELECT pgw.grant_access('pg_monitor', 'client', 'nobody')$$),
	('PW422', $$UPDATE pgw.connectors SET definition = '{}' WHERE builtin$$),
	('PW422', $$INSERT INTO pgw.connectors (name, definition, builtin) SELECT 'e', definition, true FROM pgw.connectors LIMIT 1$$),
	('PW422', $$TRUNCATE pgw.payments$$),
	('PW422', $$TRUNCATE pgw.transaction_events$$);
-- One rule for the notes of operators, whichever function keeps them: what is wrong with this one, or the SQLSTATE where it is sound.
CREATE FUNCTION pg_temp.note_faults(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	d text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
	RETURN CASE WHEN SQLSTATE <> 'PW400' THEN SQLSTATE ELSE (SELECT string_agg(concat_ws(': ', f->>'field', f->>'code', f->>'message'), '; ') FROM jsonb_array_elements(d::jsonb) f) END;
END $$;
CREATE TEMP TABLE takers (statement text, longest int, sound text);
INSERT INTO takers VALUES
	($$SELECT pgw.resolve_review('00000000-0000-7000-8000-000000000000', 'retry', %s)$$, 2000, 'PW404'),
	('SELECT pgw.rebind_attempts(2147483646, 2147483647, %s)', 2000, 'PW422'),
	('SELECT pgw.resume_after_restore(%s)', 1000, 'PW422');
SELECT plan((SELECT count(*)::int FROM cases) + (SELECT count(*)::int FROM takers) * 3 + 1);
SELECT is(pg_temp.note_faults(format(statement, '''rung'' || chr(7)')), 'note: control_characters: must not contain control characters but tabs and line ends',
	'no control characters: ' || statement) FROM takers;
SELECT is(pg_temp.note_faults(format(statement, 'E''two\tlines\r\n''')), sound, 'but tabs and line ends: ' || statement) FROM takers;
SELECT is(pg_temp.note_faults(format(statement, format('repeat(''x '', %s) || repeat(''4242'', 4) || chr(27)', longest))),
	format('note: too_long: must be at most %s characters; note: control_characters: must not contain control characters but tabs and line ends; ', longest)
	|| 'note: card_number_in_stored_field: must not contain a card number', 'all faults at once: ' || statement) FROM takers;
SELECT is(pg_temp.misshapen(state, statement), NULL, state || ' ' || left(statement, 90)) FROM cases;
SELECT is((SELECT count(*)::int FROM pgw.payments), 0, 'and nothing was sent');
SELECT * FROM finish();
ROLLBACK;
