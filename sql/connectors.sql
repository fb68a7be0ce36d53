-- Banks and connectors are data: a bad row is refused with an error that points into the document.
\set VERBOSITY default
\set SHOW_CONTEXT never
INSERT INTO pgw.connectors VALUES ('bad', '[]');
\echo :SQLSTATE
INSERT INTO pgw.connectors VALUES ('bad', '{}');
\echo :SQLSTATE
INSERT INTO pgw.connectors VALUES ('bad', '{"v": 3, "operations": {}}');
\echo :SQLSTATE
INSERT INTO pgw.connectors SELECT 'bad', jsonb_set(definition::jsonb, '{operations,charge,body,amount}', '"{{amuont}}"') FROM pgw.connectors WHERE name = 'json';
\echo :SQLSTATE
INSERT INTO pgw.connectors SELECT 'bad', jsonb_set(definition::jsonb, '{operations,charge,answer,rules,0,outcome}', '"sure"') FROM pgw.connectors WHERE name = 'json';
\echo :SQLSTATE
INSERT INTO pgw.connectors SELECT 'bad', jsonb_set(definition::jsonb, '{operations,charge,method}', '"FETCH"') FROM pgw.connectors WHERE name = 'json';
\echo :SQLSTATE
INSERT INTO pgw.connectors SELECT 'bad', definition::jsonb || '{"surprise": 1}' FROM pgw.connectors WHERE name = 'json';
\echo :SQLSTATE
-- a look-up that could show anybody's charge; and one that does not show what was refunded, which is taken with a warning
INSERT INTO pgw.connectors SELECT 'bad', definition::jsonb #- '{operations,lookup_charge,answer,fields,reference}' FROM pgw.connectors WHERE name = 'json';
\echo :SQLSTATE
INSERT INTO pgw.connectors SELECT 'half', definition::jsonb #- '{operations,lookup_refund}' #- '{operations,lookup_charge,answer,fields,refunded}' FROM pgw.connectors WHERE name = 'json';
\echo :SQLSTATE
DELETE FROM pgw.connectors WHERE name = 'half';
UPDATE pgw.connectors SET definition = '{}' WHERE name = 'json';
\echo :SQLSTATE
DELETE FROM pgw.connectors WHERE name = 'json';
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'nosuch', 'https://bank.example');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'json', 'http://bank.example');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'json', 'ftp://bank.example');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'json', 'https://user:pw@bank.example');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'json', 'http://localhost.evil.example');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('b', 'json', 'https://bank.example', '../etc/passwd');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url, currencies) VALUES ('b', 'json', 'https://bank.example', '{EUR,EURO}');
\echo :SQLSTATE
INSERT INTO pgw.banks (name, connector, base_url, request_timeout) VALUES ('b', 'json', 'https://bank.example', '-1 s');
\echo :SQLSTATE
-- what a document will cost is said when it is stored, and before
SELECT severity, pointer FROM pgw.check_connector((SELECT definition FROM pgw.connectors WHERE name = 'json'));
SELECT severity, pointer FROM pgw.check_connector('{"v": 2, "capabilites": {}, "headers": {"Host": "h"}, "operations": {"pay": {}, "charge": {"method": "PUSH", "path": "/c", "answer": {"rules": [{"status": 200}]}}}}');
INSERT INTO pgw.connectors VALUES ('bad', '{"v": 2, "capabilities": {"tokens": 1, "cards": true}, "operations": {"pay": {}}}');
SELECT * FROM pgw.check_connector('{"v": 1, "v": 2}');
SELECT * FROM pgw.check_connector('{"v": 2, "capabilities": {"tokens": true}, "operations": {"charge": {"method": "POST", "path": "/c", "body": {"t": "{{token}}"}, "answer": {"rules": [{"status": "*", "when": {"/s": "ok"}, "outcome": "approved"}, {"status": 402, "when": {"/s": "ok"}, "outcome": "declined"}]}}}}');
SELECT * FROM pgw.check_connector('{"v": 2, "description": "4111111111111111", "capabilities": {"tokens": true}, "operations": {"charge": {"method": "POST", "path": "/c", "body": {"t": "{{token}}", "r": "{{transaction_ref}}", "c": "{{currency}}", "a": "{{amount}}"}, "answer": {"rules": [{"status": 402, "when": {"/e": "51"}, "outcome": "declined"}], "fields": {"amount": "/a", "currency": "/c"}}}}}');
SELECT pointer, message FROM pgw.check_connector('{"v": 2, "capabilities": {"token_objects": true}, "operations": {"charge": {"method": "POST", "path": "/c", "body": {"t": "{{token}}"}, "answer": {"rules": [{"status": 402, "outcome": "declined"}]}}}}');
SELECT severity, pointer, message FROM pgw.check_connector(NULL);
-- our reference in the words of a bank that takes short ones only
SELECT pgw.reference_as_sent(definition, '0198c0de000070008000000000000001') FROM pgw.connectors WHERE name = 'json';
SELECT pgw.reference_as_sent((jsonb_set(definition::jsonb, '{v}', '2') || '{"references": {"length": 25, "alphabet": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}}')::json, '0198c0de000070008000000000000001')
	FROM pgw.connectors WHERE name = 'json';
SELECT pgw.reference_as_sent('{}', '0198c0de000070008000000000000001');
\echo :SQLSTATE
-- the worker takes a change up at once; a missing secret is told, and nothing is charged
\getenv bank_url PGW_BANK_URL
INSERT INTO pgw.banks (name, connector, base_url, secret, livemode, priority) VALUES ('second', 'json', :'bank_url', 'missing', false, 900);
\echo :SQLSTATE
SELECT pay('secret', bank => 'second');
\echo :SQLSTATE
UPDATE pgw.banks SET secret = 'bank' WHERE name = 'second';
\echo :SQLSTATE
SELECT (pay('secret', bank => 'second')).status;
SELECT bank FROM pgw.find_payment('secret');
-- a bank made by this very transaction can be named by it, and is gone with it
BEGIN;
INSERT INTO pgw.banks (name, connector, base_url, secret, livemode) VALUES ('third', 'json', :'bank_url', 'bank', false);
SELECT status, bank FROM pgw.submit_payment('third', 100, 'EUR', 'tok_ok', bank => 'third');
ROLLBACK;
SELECT status FROM pgw.submit_payment('third', 100, 'EUR', 'tok_ok', bank => 'third');
\echo :SQLSTATE

-- the records agree with themselves
SELECT * FROM pgw.check_consistency();
