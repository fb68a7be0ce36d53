-- (process_payment(volatile id, …)).* would pay once for each column: refused when it is planned. What pays once for each row is the caller's own business.
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset format unaligned
CREATE SEQUENCE ids;
CREATE TABLE baskets (id text, amount int, result pgw.payment_status, payment_id uuid);
INSERT INTO baskets VALUES ('b1', 100), ('b2', 200);
CREATE FUNCTION attempts() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM pgw.payment_transactions $$;
SELECT attempts() AS "from" \gset
SELECT (pgw.process_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok')).*;
\echo :SQLSTATE
SELECT (pgw.process_payment(amount => 100, token => 'tok_ok', client_request_id => nextval('ids')::text, currency => 'EUR')).*;
\echo :SQLSTATE
SELECT (pgw.process_payment(clock_timestamp()::text, 100, 'EUR', 'tok_ok')).status, (pgw.process_payment(clock_timestamp()::text, 100, 'EUR', 'tok_ok')).payment_id;
\echo :SQLSTATE
SELECT (pgw.submit_payment(random()::text, 100, 'EUR', 'tok_ok')).*;
\echo :SQLSTATE
SELECT (pgw.refund_payment(gen_random_uuid(), gen_random_uuid()::text, 1)).*;
\echo :SQLSTATE
SELECT (pgw.capture_payment(gen_random_uuid(), gen_random_uuid()::text)).*;
\echo :SQLSTATE
SELECT (pgw.void_payment(gen_random_uuid(), gen_random_uuid()::text)).*;
\echo :SQLSTATE
-- the id of a subselect; of every row; in every clause
SELECT (pgw.process_payment((SELECT gen_random_uuid()::text), 100, 'EUR', 'tok_ok')).*;
\echo :SQLSTATE
SELECT (pgw.process_payment(id || random()::text, amount, 'EUR', 'tok_ok')).* FROM baskets;
\echo :SQLSTATE
SELECT 1 WHERE (pgw.process_payment(random()::text, 100, 'EUR', 'tok_ok')).status = 'captured' AND (pgw.process_payment(random()::text, 100, 'EUR', 'tok_ok')).amount > 0;
\echo :SQLSTATE
UPDATE baskets SET result = (pgw.process_payment(random()::text, 100, 'EUR', 'tok_ok')).status, payment_id = (pgw.process_payment(random()::text, 100, 'EUR', 'tok_ok')).payment_id;
\echo :SQLSTATE
INSERT INTO baskets (id, result, payment_id)
	SELECT 'b3', (p).status, (p).payment_id FROM (SELECT pgw.process_payment(random()::text, 100, 'EUR', 'tok_ok') AS p) s
	UNION ALL SELECT 'b4', (pgw.process_payment(random()::text, 100, 'EUR', 'tok_ok')).status, (pgw.process_payment(random()::text, 100, 'EUR', 'tok_ok')).payment_id;
\echo :SQLSTATE
INSERT INTO baskets (id) VALUES ('b5') RETURNING (pgw.process_payment(random()::text, 100, 'EUR', 'tok_ok')).*;
\echo :SQLSTATE
WITH w AS MATERIALIZED (SELECT (pgw.process_payment(random()::text, 100, 'EUR', 'tok_ok')).*) SELECT status FROM w;
\echo :SQLSTATE
CREATE VIEW pays AS SELECT (pgw.process_payment(random()::text, 100, 'EUR', 'tok_ok')).*;
SELECT * FROM pays;
\echo :SQLSTATE
EXPLAIN SELECT * FROM pays;
\echo :SQLSTATE
DO $$ DECLARE r record; BEGIN r := ROW((pgw.process_payment(random()::text, 100, 'EUR', 'tok_ok')).*); END $$;
\echo :SQLSTATE
-- wrappers: in SQL they are inlined; in others they are seen where their arguments are volatile
CREATE FUNCTION by_sql() RETURNS pgw.payment_result LANGUAGE sql AS $$ SELECT pgw.process_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok') $$;
CREATE FUNCTION by_sql(id text) RETURNS pgw.payment_result LANGUAGE sql AS $$ SELECT pgw.process_payment(id, 100, 'EUR', 'tok_ok') $$;
CREATE FUNCTION by_plpgsql(id text) RETURNS pgw.payment_result LANGUAGE plpgsql AS $$ BEGIN RETURN pgw.process_payment(id, 100, 'EUR', 'tok_ok'); END $$;
SELECT (by_sql()).*;
\echo :SQLSTATE
SELECT (by_sql(gen_random_uuid()::text)).*;
\echo :SQLSTATE
SELECT (by_plpgsql(gen_random_uuid()::text)).*;
\echo :SQLSTATE
-- and those that make up the id by themselves when they run
CREATE FUNCTION hidden() RETURNS pgw.payment_result LANGUAGE plpgsql AS $$ DECLARE id text := gen_random_uuid(); BEGIN RETURN pgw.submit_payment(id, 100, 'EUR', 'tok_ok'); END $$;
CREATE FUNCTION hidden_from() RETURNS pgw.payment_result LANGUAGE plpgsql AS $$ DECLARE r pgw.payment_result; BEGIN
	SELECT * INTO r FROM pgw.submit_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok'); RETURN r; END $$;
CREATE FUNCTION hidden_definer() RETURNS pgw.payment_result LANGUAGE sql SECURITY DEFINER AS $$ SELECT pgw.submit_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok') $$;
CREATE TYPE receipt AS (payment_id uuid, status pgw.payment_status);
CREATE FUNCTION hidden_receipt() RETURNS receipt LANGUAGE sql SECURITY DEFINER AS $$ SELECT payment_id, status FROM pgw.submit_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok') $$;
SELECT (hidden()).*;
\echo :SQLSTATE
SELECT (hidden_from()).* FROM baskets;
\echo :SQLSTATE
SELECT (hidden_definer()).*;
\echo :SQLSTATE
SELECT (hidden_receipt()).*;
\echo :SQLSTATE
-- and where something stands around their call
CREATE FUNCTION hidden_json() RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(hidden()); END $$;
SELECT (coalesce(hidden(), NULL)).*;
\echo :SQLSTATE
SELECT (CASE WHEN amount > 0 THEN hidden() END).* FROM baskets;
\echo :SQLSTATE
SELECT ((ARRAY[hidden()])[1]).*;
\echo :SQLSTATE
SELECT (jsonb_populate_record(NULL::pgw.payment_result, hidden_json())).*;
\echo :SQLSTATE
SELECT ((SELECT hidden())).*;
\echo :SQLSTATE
SELECT ROW((hidden()).*);
\echo :SQLSTATE
SELECT to_jsonb(ROW(((SELECT hidden())).*));
\echo :SQLSTATE
SELECT ((SELECT h FROM hidden() h WHERE h.amount = b.amount)).* FROM baskets b WHERE b.amount = 100;
\echo :SQLSTATE
PREPARE hiding AS SELECT (hidden()).*;
EXECUTE hiding;
\echo :SQLSTATE
EXECUTE hiding;
\echo :SQLSTATE
-- a view that pays and stands in a statement twice, by whatever way: joined with itself, in a view, united, beside itself, in a subquery, prepared
CREATE VIEW once AS SELECT p.* FROM pgw.submit_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok') p;
CREATE VIEW outside AS SELECT * FROM once;
CREATE FUNCTION inlined_pays() RETURNS SETOF pgw.payment_result STABLE LANGUAGE sql AS $$ SELECT * FROM once $$;
SELECT a.status FROM once a JOIN once b USING (payment_id);
\echo :SQLSTATE
SELECT a.status FROM once a LEFT JOIN outside b ON a.amount = b.amount;
\echo :SQLSTATE
SELECT status FROM once UNION ALL SELECT status FROM outside;
\echo :SQLSTATE
SELECT status FROM once UNION SELECT status FROM once;
\echo :SQLSTATE
SELECT a.status, b.status FROM once a, LATERAL (SELECT * FROM once WHERE amount = a.amount) b;
\echo :SQLSTATE
SELECT (SELECT status FROM once), (SELECT amount FROM once);
\echo :SQLSTATE
SELECT status FROM once WHERE amount IN (SELECT amount FROM outside);
\echo :SQLSTATE
WITH w AS (SELECT * FROM once) SELECT w.status FROM w, once;
\echo :SQLSTATE
SELECT a.status FROM inlined_pays() a, inlined_pays() b;
\echo :SQLSTATE
INSERT INTO baskets (id, result) SELECT 'b6', a.status FROM once a, once b;
\echo :SQLSTATE
PREPARE joined AS SELECT a.status FROM once a, once b;
EXECUTE joined;
\echo :SQLSTATE
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT a.status FROM once a, once b;
\echo :SQLSTATE
ROLLBACK;
-- a cursor that is turned back
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT (pgw.submit_payment(gen_random_uuid()::text, amount, 'EUR', 'tok_ok')).status FROM baskets;
\echo :SQLSTATE
ROLLBACK;
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT (pgw.submit_payment(gen_random_uuid()::text, amount, 'EUR', 'tok_ok')).status FROM baskets;
\echo :SQLSTATE
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT (pgw.submit_payment(gen_random_uuid()::text, amount, 'EUR', 'tok_ok')).status FROM baskets;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
\echo :SQLSTATE
ROLLBACK;
-- an error in the middle leaves nothing behind that the next statement would be judged by
DO $$ BEGIN PERFORM (hidden()).*; EXCEPTION WHEN SQLSTATE 'PW400' THEN RAISE NOTICE 'caught'; END $$;
SELECT attempts() - :from AS charged, (SELECT count(*) FROM baskets) AS baskets;
\set VERBOSITY default
SELECT (pgw.process_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok')).*;

-- once is once: in FROM, one column, one for each row, and equal calls of different statements
SELECT attempts() AS "from" \gset
SELECT status FROM pgw.process_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok');
SELECT (pgw.process_payment(nextval('ids')::text, 100, 'EUR', 'tok_ok')).status;
SELECT (p).status, (p).amount FROM (SELECT pgw.process_payment(nextval('ids')::text, 100, 'EUR', 'tok_ok') AS p) s;
SELECT (pgw.process_payment(nextval('ids') || id, amount, 'EUR', 'tok_ok')).status FROM baskets;
SELECT p.status FROM baskets b, pgw.process_payment(nextval('ids') || b.id, b.amount, 'EUR', 'tok_ok') p;
SELECT (by_sql()).status, (by_plpgsql(nextval('ids')::text)).status;
DO $$ DECLARE a pgw.payment_result; b pgw.payment_result; BEGIN
	a := pgw.process_payment(nextval('ids')::text, 100, 'EUR', 'tok_ok');
	b := pgw.process_payment(nextval('ids')::text, 100, 'EUR', 'tok_ok');
	FOR i IN 1 .. 2 LOOP
		a := pgw.process_payment(nextval('ids')::text, 100, 'EUR', 'tok_ok');
	END LOOP;
END $$;
SELECT attempts() - :from AS charged;
-- a CTE is made once, however often it is used; a function in FROM keeps its rows for a cursor; what is called for each row of each partition
CREATE TABLE halves (id text, amount int) PARTITION BY LIST (id);
CREATE TABLE half_1 PARTITION OF halves FOR VALUES IN ('h1');
CREATE TABLE half_2 PARTITION OF halves FOR VALUES IN ('h2');
INSERT INTO halves VALUES ('h1', 100), ('h2', 200);
SELECT attempts() AS "from" \gset
WITH w AS (SELECT * FROM once) SELECT a.status = b.status AND a.payment_id = b.payment_id AS same FROM w a, w b;
SELECT count((pgw.submit_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok')).status) FROM halves;
SELECT (pgw.submit_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok')).status FROM halves;
UPDATE halves SET amount = amount + 1 RETURNING (pgw.submit_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok')).status;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT status FROM once;
FETCH 1 FROM c;
FETCH ABSOLUTE 1 FROM c;
COMMIT;
BEGIN;
DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT (pgw.submit_payment(gen_random_uuid()::text, 100, 'EUR', 'tok_ok')).status FROM halves;
FETCH 1 FROM c;
COMMIT;
CLOSE c;
SELECT attempts() - :from AS charged;
-- the same id in every column is one payment, as ever
SELECT status, amount FROM (SELECT (pgw.process_payment('r-fixed', 100, 'EUR', 'tok_ok')).*) s;
SELECT status, amount FROM (SELECT (pgw.process_payment('r-' || id, amount, 'EUR', 'tok_ok')).* FROM baskets ORDER BY id) s;
PREPARE bound(text) AS SELECT (pgw.process_payment($1, 100, 'EUR', 'tok_ok')).*;
CREATE TABLE bound AS EXECUTE bound('r-bound');
SELECT status, amount FROM bound;
SELECT status, amount FROM (SELECT (by_plpgsql('r-w' || id)).* FROM baskets ORDER BY id) s;
SELECT (hidden()).status, (hidden_definer()).status, (SELECT status FROM hidden_from()), (SELECT count(status) FROM baskets, hidden_receipt());
SELECT (coalesce(by_plpgsql('r-c' || id), NULL)).status, (coalesce(by_plpgsql('r-c' || id), NULL)).amount FROM baskets ORDER BY id;
SELECT ((SELECT by_plpgsql('r-s' || id))).status, ((SELECT by_plpgsql('r-s' || id))).amount FROM baskets ORDER BY id;
SELECT ((SELECT hidden())).status, ((SELECT hidden_from())).amount;
SELECT (by_plpgsql('r-wrapped')).status, (by_plpgsql('r-wrapped')).amount;
SELECT client_request_id, count(*) FROM pgw.payment_transactions WHERE client_request_id LIKE 'r-%' GROUP BY 1 ORDER BY 1;
