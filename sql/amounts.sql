-- Amounts are numeric: whatever passed an integer before still does, and nothing is ever cut or rounded to one.
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset format unaligned
-- no overload: with one for float8, the preferred type, literals would go there
SELECT p.proname, count(*), bool_and('numeric'::regtype = ANY (p.proargtypes)) AS by_numeric
FROM pg_proc p WHERE p.pronamespace = 'pgw'::regnamespace AND 'amount' = ANY (p.proargnames) AND p.proname LIKE '%\_payment' AND p.prorettype = 'pgw.payment_result'::regtype AND NOT p.proretset
	AND p.proname <> 'wait_for_payment' GROUP BY 1 ORDER BY 1;

-- literals, typed constants, columns of every integer type, numeric with a scale
SELECT amount, status FROM pgw.process_payment('a-literal', 4990, 'EUR', 'tok_ok');
SELECT amount, status FROM pgw.process_payment('a-unknown', '4990', 'EUR', 'tok_ok');
CREATE TABLE prices (id text, small smallint, plain int, big bigint, exact numeric(12, 2), price numeric(10, 2));
INSERT INTO prices VALUES ('c', 499, 4990, 4990000000000, 4990, 49.90);
SELECT (pgw.process_payment('a-small', small, 'EUR', 'tok_ok')).amount FROM prices;
SELECT (pgw.process_payment('a-plain', plain, 'EUR', 'tok_ok')).amount FROM prices;
SELECT (pgw.process_payment('a-big', big, 'EUR', 'tok_ok')).amount FROM prices;
SELECT (pgw.process_payment('a-exact', exact, 'EUR', 'tok_ok')).amount FROM prices;
SELECT (pgw.process_payment('a-times', price * 100, 'EUR', 'tok_ok')).amount FROM prices;
SELECT (pgw.process_payment('a-max', 9223372036854775807, 'EUR', 'tok_ok')).amount;

-- parameters of the types that drivers declare; none declared is numeric
PREPARE as_int2(smallint) AS SELECT amount FROM pgw.submit_payment('p-int2', $1, 'EUR', 'tok_ok');
PREPARE as_int4(int) AS SELECT amount FROM pgw.submit_payment('p-int4', $1, 'EUR', 'tok_ok');
PREPARE as_int8(bigint) AS SELECT amount FROM pgw.submit_payment('p-int8', $1, 'EUR', 'tok_ok');
PREPARE as_numeric(numeric) AS SELECT amount FROM pgw.submit_payment('p-numeric', $1, 'EUR', 'tok_ok');
PREPARE as_unknown AS SELECT amount FROM pgw.submit_payment('p-unknown', $1, 'EUR', 'tok_ok');
EXECUTE as_int2(4990);
EXECUTE as_int4(4990);
EXECUTE as_int8(4990);
EXECUTE as_numeric(4990);
EXECUTE as_unknown('4990');
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'as_unknown';
-- an undeclared one takes what a driver makes of its float: never cut
EXECUTE as_unknown('49.90');
\echo :SQLSTATE
EXECUTE as_unknown('4.99e1');
\echo :SQLSTATE
EXECUTE as_unknown('4.99e3');
-- declared as floats or text: no such function, before anything is sent
PREPARE as_float8(float8) AS SELECT amount FROM pgw.submit_payment('p-float8', $1, 'EUR', 'tok_ok');
\echo :SQLSTATE
PREPARE as_float4(float4) AS SELECT amount FROM pgw.submit_payment('p-float4', $1, 'EUR', 'tok_ok');
\echo :SQLSTATE
PREPARE as_text(text) AS SELECT amount FROM pgw.submit_payment('p-text', $1, 'EUR', 'tok_ok');
\echo :SQLSTATE
-- a cast to numeric, as docs/clients.md advises; a cast to bigint rounds before anybody can ask
PREPARE as_cast(float8) AS SELECT amount FROM pgw.submit_payment('p-cast', $1::numeric, 'EUR', 'tok_ok');
EXECUTE as_cast(49.90);
\echo :SQLSTATE
EXECUTE as_cast(4990);
SELECT 49.90::bigint;
SELECT pgw.process_payment('x-money', '49.90'::money, 'EUR', 'tok_ok');
\echo :SQLSTATE

-- no whole number of minor units: PW400, whichever function is asked
SELECT pgw.process_payment('x', 49.90, 'EUR', 'tok_ok');
\echo :SQLSTATE
SELECT pgw.process_payment('x', price, 'EUR', 'tok_ok') FROM prices;
\echo :SQLSTATE
SELECT pgw.process_payment('x', 'NaN', 'EUR', 'tok_ok');
\echo :SQLSTATE
SELECT pgw.process_payment('x', 'Infinity', 'EUR', 'tok_ok');
\echo :SQLSTATE
SELECT pgw.process_payment('x', '-Infinity', 'EUR', 'tok_ok');
\echo :SQLSTATE
SELECT pgw.process_payment('x', 9223372036854775808, 'EUR', 'tok_ok');
\echo :SQLSTATE
SELECT pgw.process_payment('x', 1e1000, 'EUR', 'tok_ok');
\echo :SQLSTATE
SELECT pgw.process_payment('x', -49.9, 'EUR', 'tok_ok');
\echo :SQLSTATE
SELECT pgw.submit_payment('x', 0.5, 'EUR', 'tok_ok', reference => repeat('r', 256));
\echo :SQLSTATE
SELECT pgw.capture_payment(f.payment_id, 'x-c', 12.5, options => '{"o": 1}') FROM pgw.find_payment('a-literal') f;
\echo :SQLSTATE
SELECT pgw.refund_payment(f.payment_id, 'x-r', 'NaN') FROM pgw.find_payment('a-literal') f;
\echo :SQLSTATE
SELECT pgw.refund_payment(f.payment_id, 'x-r', 9223372036854775808) FROM pgw.find_payment('a-literal') f;
\echo :SQLSTATE
SELECT r.amount, r.error_code FROM pgw.find_payment('a-literal') f, pgw.refund_payment(f.payment_id, 'r', 1000.00) r;
SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id LIKE 'x%';
SELECT client_request_id, amount FROM pgw.payment_transactions WHERE client_request_id ~ '^[ap]-' ORDER BY 1;
