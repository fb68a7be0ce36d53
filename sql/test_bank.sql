-- The bank inside the worker: which rows are answered there, and what becomes of payments that name it.
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT name, connector, base_url, secret, enabled FROM pgw.banks WHERE name = 'test';
-- the address and the connector go together
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'json', 'test:');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'test', 'https://bank.example');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'test', 'test:/v1');
\echo :SQLSTATE
UPDATE pgw.banks SET base_url = 'test:' WHERE name = 'bank';
\echo :SQLSTATE
UPDATE pgw.banks SET connector = 'json', base_url = 'https://bank.example' WHERE name = 'test';
\echo :SQLSTATE
-- the row that comes with pgw stays
UPDATE pgw.banks SET name = 'mine' WHERE name = 'test';
\echo :SQLSTATE
DELETE FROM pgw.banks WHERE name = 'test';
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('test', 'test', 'test:');
\echo :SQLSTATE
UPDATE pgw.connectors SET definition = '{}' WHERE name = 'test';
\echo :SQLSTATE

-- by name; not by priority, where there is a real bank
SELECT (p).status, (p).bank FROM (SELECT pay('inside', bank => 'test') AS p OFFSET 0) s;
SELECT (p).status, (p).error_code FROM (SELECT pay('inside-no', 'tok_decline_fraud', bank => 'test') AS p OFFSET 0) s;
SELECT (p).status, (p).error_code FROM (SELECT pay('inside-what', 'tok_nothing', bank => 'test') AS p OFFSET 0) s;
UPDATE pgw.banks SET priority = 1 WHERE name = 'test';
SELECT (p).status, (p).bank FROM (SELECT pay('outside') AS p OFFSET 0) s;
UPDATE pgw.banks SET priority = DEFAULT WHERE name = 'test';
SELECT * FROM flow('inside');
SELECT kind, status, amount, currency, captured, refunded, voided, code, token, card_brand, card_last4, answer_status
FROM pgw.test_bank_ledger ORDER BY created_at, id;

-- a test bank of one's own
INSERT INTO pgw.banks (name, connector, base_url, token_scope, priority) VALUES ('test2', 'test', 'test:', 'test', 200);
SELECT (p).status, (p).bank FROM (SELECT pay('inside-2', bank => 'test2') AS p OFFSET 0) s;
DELETE FROM pgw.banks WHERE name = 'test2';
-- disabled
UPDATE pgw.banks SET enabled = false WHERE name = 'test';
SELECT pay('inside-off', bank => 'test');
\echo :SQLSTATE
UPDATE pgw.banks SET enabled = true WHERE name = 'test';

-- the records agree with themselves
SELECT * FROM pgw.check_consistency();
