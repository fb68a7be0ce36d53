-- The bank inside the worker: which rows are answered there, and what becomes of payments that name it.
\set VERBOSITY default
\set SHOW_CONTEXT never
-- beside it a real bank, over a wire
\getenv bank_url PGW_BANK_URL
INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('real', 'json', :'bank_url', 'bank');
UPDATE pgw.banks SET enabled = name IN ('real', 'test');
SELECT name, connector, base_url, secret, enabled FROM pgw.banks WHERE name = 'test';
-- the address and the connector go together
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'json', 'test:');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'test', 'https://bank.example');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'test', 'test:/v1');
\echo :SQLSTATE
UPDATE pgw.banks SET base_url = 'test:' WHERE name = 'real';
\echo :SQLSTATE
UPDATE pgw.banks SET connector = 'json', base_url = 'https://bank.example' WHERE name = 'test';
\echo :SQLSTATE
-- the row that comes with pgw stays
UPDATE pgw.banks SET name = 'mine' WHERE name = 'test';
\echo :SQLSTATE
DELETE FROM pgw.banks WHERE name = 'test';
\echo :SQLSTATE
TRUNCATE pgw.banks;
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url, livemode) VALUES ('test', 'test', 'test:', false);
\echo :SQLSTATE
UPDATE pgw.connectors SET definition = '{}' WHERE name = 'test';
\echo :SQLSTATE
-- a test bank is none with livemode, and a name keeps its mode
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'test', 'test:');
\echo :SQLSTATE
UPDATE pgw.banks SET livemode = false WHERE name = 'real';
\echo :SQLSTATE
-- and an account, which is called as the bank where the row names none
INSERT INTO pgw.banks (name, connector, base_url, livemode, account) VALUES ('shadow', 'test', 'test:', false, 'real');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url, secret, account) VALUES ('shadow', 'json', :'bank_url', 'bank', 'test');
\echo :SQLSTATE
UPDATE pgw.banks SET account = 'test' WHERE name = 'real';
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url, livemode, account) VALUES ('light', 'test', 'test:', false, 'both'), ('shadow', 'json', 'https://bank.example', true, 'both');
\echo :SQLSTATE

-- by name; not by priority, where there is a real bank
SELECT (p).status, (p).bank FROM (SELECT pay('inside', bank => 'test') AS p OFFSET 0) s;
SELECT (p).status, (p).error_code FROM (SELECT pay('inside-no', 'tok_decline_fraud', bank => 'test') AS p OFFSET 0) s;
SELECT (p).status, (p).error_code FROM (SELECT pay('inside-what', 'tok_nothing', bank => 'test') AS p OFFSET 0) s;
UPDATE pgw.banks SET priority = 1 WHERE name = 'test';
SELECT (p).status, (p).bank FROM (SELECT pay('outside') AS p OFFSET 0) s;
UPDATE pgw.banks SET priority = DEFAULT WHERE name = 'test';
UPDATE pgw.banks SET enabled = false WHERE name = 'real';
SELECT pay('outside-off');
\echo :SQLSTATE
UPDATE pgw.banks SET enabled = true WHERE name = 'real';
SELECT * FROM flow('inside');
SELECT kind, status, amount, currency, captured, refunded, voided, code, token, card_brand, card_last4, answer_status
FROM pgw.test_bank_ledger WHERE reference IN (SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE client_request_id ~ '^inside') ORDER BY created_at, id;

-- a test bank of one's own
INSERT INTO pgw.banks (name, connector, base_url, livemode, priority) VALUES ('test2', 'test', 'test:', false, 200);
SELECT (p).status, (p).bank FROM (SELECT pay('inside-2', bank => 'test2') AS p OFFSET 0) s;
DELETE FROM pgw.banks WHERE name = 'test2';
INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('test2', 'json', :'bank_url', 'bank');
\echo :SQLSTATE
-- ... nor when it says that it restores a dump
SET check_function_bodies = off;
INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('test2', 'json', :'bank_url', 'bank');
\echo :SQLSTATE
RESET check_function_bodies;
-- a sandbox at the other end of a wire is no less one for tests
INSERT INTO pgw.banks (name, connector, base_url, secret, livemode, priority) VALUES ('sandbox', 'json', :'bank_url', 'bank', false, 1);
SELECT (p).status, (p).bank, (p).livemode FROM (SELECT pay('outside-2') AS p OFFSET 0) s;
SELECT (p).status, (p).bank, (p).livemode FROM (SELECT pay('sandbox', bank => 'sandbox', capture => 'manual') AS p OFFSET 0) s;
SELECT c.livemode FROM pgw.find_payment('sandbox') f, pgw.capture_payment(f.payment_id, 'sandbox-c') c;
DELETE FROM pgw.banks WHERE name = 'sandbox';
SELECT client_request_id, bank, livemode FROM pgw.payments WHERE client_request_id ~ '^(in|out)side|^sandbox' ORDER BY 1;
SELECT client_request_id, kind, bank, livemode FROM pgw.payment_transactions WHERE client_request_id ~ '^(in|out)side|^sandbox' ORDER BY 1;
-- test mode: test banks only
SELECT payment_id AS real FROM pgw.find_payment('outside') \gset
SET pgw.test_mode = on;
SELECT (p).status, (p).bank FROM (SELECT pay('mode-1') AS p OFFSET 0) s;
SELECT pay('mode-2', bank => 'real');
\echo :SQLSTATE
SELECT pgw.refund_payment(:'real', 'mode-3');
\echo :SQLSTATE
SELECT status FROM pgw.get_payment(:'real');
-- what the charge was counts, not what somebody has written into its payment
UPDATE pgw.payments SET livemode = false WHERE payment_id = :'real';
SELECT pgw.refund_payment(:'real', 'mode-3');
\echo :SQLSTATE
RESET pgw.test_mode;
SELECT r.status FROM pgw.refund_payment(:'real', 'mode-3', 1) r;
SELECT livemode FROM pgw.payment_transactions WHERE client_request_id = 'mode-3';
UPDATE pgw.payments SET livemode = true WHERE payment_id = :'real';
-- an id stands for one mode: a payment for tests is no answer to one that would move money, nor the reverse
SELECT pay('mode-1');
\echo :SQLSTATE
SELECT (p).status, (p).replayed FROM (SELECT pay('inside', bank => 'test') AS p OFFSET 0) s;
SET pgw.test_mode = on;
SELECT pay('outside');
\echo :SQLSTATE
UPDATE pgw.banks SET enabled = false WHERE name = 'test';
SELECT pay('mode-4');
\echo :SQLSTATE
UPDATE pgw.banks SET enabled = true WHERE name = 'test';
-- a role that a superuser has limited to it
CREATE ROLE limited LOGIN;
ALTER ROLE limited SET pgw.test_mode = on;
SET SESSION AUTHORIZATION limited;
SET pgw.test_mode = off;
\echo :SQLSTATE
RESET SESSION AUTHORIZATION;
DROP ROLE limited;
RESET pgw.test_mode;
-- disabled
UPDATE pgw.banks SET enabled = false WHERE name = 'test';
SELECT pay('inside-off', bank => 'test');
\echo :SQLSTATE
UPDATE pgw.banks SET enabled = true WHERE name = 'test';

-- the records agree with themselves
SELECT * FROM pgw.check_consistency();
