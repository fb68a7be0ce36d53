-- Banks and connectors are data: a bad row is refused with an error that points into the document.
\set VERBOSITY verbose
\set SHOW_CONTEXT never
INSERT INTO pgw.connectors VALUES ('bad', '[]');
INSERT INTO pgw.connectors VALUES ('bad', '{}');
INSERT INTO pgw.connectors VALUES ('bad', '{"v": 2, "operations": {}}');
INSERT INTO pgw.connectors SELECT 'bad', jsonb_set(definition, '{operations,charge,body,amount}', '"{{amuont}}"') FROM pgw.connectors WHERE name = 'json';
INSERT INTO pgw.connectors SELECT 'bad', jsonb_set(definition, '{operations,charge,answer,rules,0,outcome}', '"sure"') FROM pgw.connectors WHERE name = 'json';
INSERT INTO pgw.connectors SELECT 'bad', jsonb_set(definition, '{operations,charge,method}', '"FETCH"') FROM pgw.connectors WHERE name = 'json';
INSERT INTO pgw.connectors SELECT 'bad', definition || '{"surprise": 1}' FROM pgw.connectors WHERE name = 'json';
UPDATE pgw.connectors SET definition = '{}' WHERE name = 'json';
DELETE FROM pgw.connectors WHERE name = 'json';
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'nosuch', 'https://bank.example');
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'json', 'http://bank.example');
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'json', 'ftp://bank.example');
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'json', 'https://user:pw@bank.example');
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'json', 'http://localhost.evil.example');
INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('b', 'json', 'https://bank.example', '../etc/passwd');
INSERT INTO pgw.banks (name, connector, base_url, currencies) VALUES ('b', 'json', 'https://bank.example', '{EUR,EURO}');
INSERT INTO pgw.banks (name, connector, base_url, request_timeout) VALUES ('b', 'json', 'https://bank.example', '-1 s');
-- the worker takes a change up at once; a missing secret is told, and nothing is charged
\getenv bank_url PGW_BANK_URL
INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('second', 'json', :'bank_url', 'missing', 900);
SELECT pay('secret', bank => 'second');
UPDATE pgw.banks SET secret = 'bank' WHERE name = 'second';
SELECT (pay('secret', bank => 'second')).status;
SELECT bank FROM pgw.find_payment('secret');
