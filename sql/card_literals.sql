-- Card data that stands in the text of a statement is refused by what the call is; what comes from elsewhere is not.
-- None of these statements holds a card number: so that only the look at the call can find it, but for two in plain sight.

-- Which fields are refused as literals; else how the statement ends. Beside a token every card is PW400, so that nothing is sent but where it is NULL.
CREATE FUNCTION said(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	d text;
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
	IF SQLSTATE = 'PW400' AND d ~ 'card_literal' THEN
		RETURN 'literal: ' || (SELECT string_agg(f->>'field', ', ') FROM jsonb_array_elements(d::jsonb) f);
	END IF;
	RETURN CASE WHEN SQLSTATE = 'PW400' THEN 'no literal' ELSE SQLSTATE || ' ' || SQLERRM END;
END $$;
-- An expression as the card's number, and as its CVV.
CREATE FUNCTION as_number(expression text, "from" text DEFAULT '') RETURNS text LANGUAGE sql AS
$$ SELECT said(format('SELECT pgw.process_payment(%L, 1, %L, %L, %s) %s', 'lit', 'EUR', 'tok_ok', expression, "from")) $$;
CREATE FUNCTION as_cvv(expression text, "from" text DEFAULT '') RETURNS text LANGUAGE sql AS
$$ SELECT said(format('SELECT pgw.process_payment(%L, 1, %L, %L, card_cvv => %s) %s', 'lit', 'EUR', 'tok_ok', expression, "from")) $$;
CREATE TABLE wallet (n text, cvv text DEFAULT '737', holder text);
INSERT INTO wallet VALUES (spelt('visa'), '737', 'CARLA');
CREATE DOMAIN pan AS text;

-- What stands in the text
SELECT e AS expression, as_number(e) AS number, as_cvv(e) AS cvv FROM unnest(ARRAY[
	$$repeat('4242', 4)$$, $$'42424242' || '42424242'$$, $$concat('42424242', '42424242')$$, $$format('%s%s', '42424242', '42424242')$$, $$lower('X')$$,
	$$coalesce(NULL, '737')$$, $$coalesce(spelt('1'), '737')$$, $$CASE WHEN spelt('1') = '1' THEN spelt('1') ELSE '737' END$$, $$greatest(spelt('1'), '737')$$,
	$$(ARRAY['737'])[1]$$, $$(SELECT '737')$$, $$(SELECT x FROM (VALUES ('737')) v(x))$$, $$(WITH c AS (SELECT '737' AS x) SELECT x FROM c)$$,
	$$(SELECT spelt('1') UNION ALL SELECT '737' LIMIT 1)$$, $$(SELECT max(x) FROM unnest(ARRAY['737']) x)$$, $$(SELECT x FROM json_to_record('{"x": "737"}') AS r(x text))$$,
	$$('{"x": "737"}'::jsonb)->>'x'$$, $$convert_from('\x373337', 'UTF8')$$, $$737::text$$, $$'737'::pan$$, $$'737'::varchar(3)$$, $$nullif('737', '')$$, $$E'\67\63\67'$$,
	$$U&'\0037\0033\0037'$$, $$(ROW('737'::text, 1)).f1$$, $$'737' COLLATE "C"$$]) e;
-- What does not
SELECT e AS expression, as_number(e) AS number, as_cvv(e) AS cvv FROM unnest(ARRAY[
	$$spelt('visa')$$, $$NULL$$, $$''$$, $$coalesce(spelt('1'), '')$$, $$replace(spelt('1'), '-', '')$$, $$spelt('1') || ''$$, $$left(spelt('1'), 3)$$, $$spelt('1')::varchar(19)$$,
	$$nullif(spelt('1'), '737')$$, $$(SELECT n FROM wallet)$$, $$(SELECT w.n FROM wallet w WHERE w.cvv = '737')$$, $$current_setting('server_version')$$, $$CASE WHEN true THEN spelt('1') END$$,
	$$(SELECT max(n) FROM wallet)$$, $$(SELECT x FROM (SELECT n AS x FROM wallet) s)$$, $$current_user$$]) e;
-- A number in a literal that is only a part
SELECT as_number($$current_user || '4242 4242 42' || '42 4242'$$), as_number($$spelt('4242424242424242')$$), as_number($$coalesce(trim('4242424242424242'), spelt('1'))$$);
-- All three, and each alone
SELECT said($$SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', repeat('4242', 4), 12, 2039, '737', 'CARLA')$$),
	said($$SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', spelt('visa'), 12, 2039, spelt('737'), 'CARLA')$$),
	said($$SELECT pgw.process_payment(card_cvv => '737', card_number => spelt('visa'), client_request_id => 'lit', amount => 1, currency => 'EUR', token => 'tok_ok')$$);

-- Wherever the call stands
SELECT s AS statement, said(s) FROM unnest(ARRAY[
	$$SELECT p.* FROM pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737') p$$,
	$$SELECT p.* FROM (VALUES ('lit', '737'), ('lit2', spelt('1'))) v(id, c), pgw.process_payment(id, 1, 'EUR', 'tok_ok', card_cvv => c) p$$,
	$$SELECT (SELECT (pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => w.c)).status) FROM (SELECT '737' AS c) w$$,
	$$WITH w(c) AS (VALUES ('737')) SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => c) FROM w$$,
	$$SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => c) FROM wallet JOIN (SELECT '737' AS c) x ON true$$,
	$$INSERT INTO wallet SELECT (pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737')).bank$$,
	$$INSERT INTO wallet (cvv) VALUES ('737') RETURNING pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => cvv)$$,
	$$UPDATE wallet SET holder = (pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737')).bank$$,
	$$MERGE INTO wallet USING (SELECT '737' AS c) s ON true WHEN MATCHED THEN UPDATE SET holder = (pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => s.c)).bank$$,
	$$DELETE FROM wallet WHERE (pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737')).bank = 'x'$$,
	$$EXPLAIN SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737')$$,
	$$CREATE TABLE t AS SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737')$$,
	$$CREATE VIEW v AS SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737')$$,
	$$PREPARE p AS SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737')$$,
	$$DECLARE c CURSOR FOR SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737')$$,
	$$CREATE FUNCTION f() RETURNS pgw.payment_result LANGUAGE sql AS 'SELECT pgw.process_payment(''lit'', 1, ''EUR'', ''tok_ok'', card_cvv => ''737'')'$$,
	$$DO 'BEGIN PERFORM pgw.process_payment(''lit'', 1, ''EUR'', ''tok_ok'', card_cvv => ''737''); END'$$,
	$$DO 'BEGIN EXECUTE format(''SELECT pgw.process_payment(''''lit'''', 1, ''''EUR'''', ''''tok_ok'''', card_cvv => %L)'', spelt(''737'')); END'$$,
	$$DO 'DECLARE c text := spelt(''737''); BEGIN EXECUTE ''SELECT pgw.process_payment(''''lit'''', 1, ''''EUR'''', ''''tok_ok'''', card_cvv => $1)'' USING c; END'$$,
	$$CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS 'DECLARE c text := ''4242424242424242''; BEGIN PERFORM pgw.process_payment(''lit'', 1, ''EUR'', card_number => c); END'$$,
	$$COMMENT ON FUNCTION pgw.process_payment IS 'like 4242424242424242'$$]) s;

-- EXECUTE of a prepared statement makes parameters of literals
PREPARE by_card(text, text) AS SELECT pgw.process_payment($1, 1, 'EUR', 'tok_ok', card_cvv => trim($2));
SELECT s AS statement, said(s) FROM unnest(ARRAY[$$EXECUTE by_card('lit', '737')$$, $$EXECUTE by_card('lit', '7' || '37')$$, $$EXPLAIN EXECUTE by_card('lit', '737')$$,
	$$CREATE TABLE t AS EXECUTE by_card('lit', '737')$$, $$EXECUTE by_card('lit', spelt('737'))$$, $$EXECUTE by_card('lit', NULL)$$]) s;
DEALLOCATE by_card;

-- Where there is nothing to analyze beforehand: bodies that are parsed when they are planned, views and defaults made while the setting was off, expressions outside of queries
SET pgw.reject_card_literals = off;
CREATE FUNCTION inlined() RETURNS pgw.payment_result LANGUAGE sql AS $$ SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737') $$;
CREATE FUNCTION inlined(c text) RETURNS pgw.payment_result LANGUAGE sql AS $$ SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => c) $$;
CREATE FUNCTION atomic() RETURNS pgw.payment_result BEGIN ATOMIC SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737'); END;
CREATE FUNCTION strictly(i int) RETURNS pgw.payment_result LANGUAGE sql SECURITY DEFINER AS $$ SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737') $$;
CREATE VIEW literal_view AS SELECT pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737') AS p;
CREATE TABLE literal_default (a int, b text DEFAULT (pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737')).bank);
CREATE PROCEDURE taker(p pgw.payment_result) LANGUAGE plpgsql AS 'BEGIN END';
RESET pgw.reject_card_literals;
SELECT s AS statement, said(s) FROM unnest(ARRAY['SELECT inlined()', $$SELECT inlined('737')$$, $$SELECT inlined(spelt('737'))$$, 'SELECT atomic()', 'SELECT strictly(1)', 'SELECT * FROM literal_view',
	'INSERT INTO literal_default (a) VALUES (1)', $$CALL taker(pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_cvv => '737'))$$]) s;
-- COPY evaluates defaults without a query
COPY literal_default (a) FROM PROGRAM 'echo 1';
\echo :SQLSTATE

-- Through a function of the caller's own: the number is found in the statement, or in what would be the CONTEXT of an error
CREATE FUNCTION outer_pay(card text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM pgw.process_payment('lit', 1, 'EUR', 'tok_ok', card_number => card); END $$;
SELECT said($$SELECT outer_pay('42424242' || '42424242')$$) AS put_together, said(format($$DO 'BEGIN EXECUTE format(''SELECT outer_pay(%%L)'', spelt(''visa'')); END'$$)) AS executed,
	said($$SELECT outer_pay(spelt('visa'))$$) AS passed_on;
SELECT outer_pay('4242-4242 42424242');
\echo :SQLSTATE

-- A superuser may let them through
SET pgw.reject_card_literals = off;
SELECT as_number($$repeat('4242', 4)$$), as_cvv($$'737'$$);
RESET pgw.reject_card_literals;
SET ROLE pg_monitor;
SET pgw.reject_card_literals = off;
RESET ROLE;
SELECT count(*) AS payments FROM pgw.find_payment('lit');
