-- Types, tables, privileges and triggers as the script makes them.
\pset format unaligned
\pset footer off
\set VERBOSITY default
\set SHOW_CONTEXT never
-- labels in the order of the C enums
SELECT t.typname, string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder) FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
WHERE t.typnamespace = 'pgw'::regnamespace GROUP BY t.typname ORDER BY t.typname;
-- columns
SELECT c.relname, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN '' ELSE '?' END, ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'pgw'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'c') AND NOT (c.relispartition) GROUP BY c.relname ORDER BY c.relname;
-- functions
SELECT p.oid::regprocedure, pg_get_function_result(p.oid), p.provolatile, p.proparallel, p.proisstrict AS strict, p.prosecdef AS definer
FROM pg_proc p WHERE p.pronamespace = 'pgw'::regnamespace ORDER BY p.oid::regprocedure::text COLLATE "C";
-- indexes of the record tables, the monthly partitions apart
SELECT indexdef FROM pg_indexes WHERE schemaname = 'pgw' AND tablename IN ('payments', 'payment_transactions', 'open_work', 'transaction_events_default')
ORDER BY indexname COLLATE "C";
-- triggers, A: always, also in a replica
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
WHERE c.relnamespace = 'pgw'::regnamespace AND NOT tgisinternal AND c.relname !~ '_y[0-9]{4}m[0-9]{2}$' ORDER BY tgrelid::regclass::text COLLATE "C", tgname;
-- marked for dumps: every table with rows that another server needs
SELECT c.relname, m.condition FROM pg_extension e, unnest(e.extconfig, e.extcondition) m (oid, condition) JOIN pg_class c ON c.oid = m.oid
WHERE e.extname = 'pgw' ORDER BY c.relname;
SELECT c.relname FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'pgw' WHERE c.relkind IN ('r', 'S') AND c.oid <> ALL (e.extconfig) ORDER BY 1;

-- the first bank made the first three months; each is complete, and another call changes nothing
SELECT pgw.ensure_event_partitions(2);
SELECT pgw.ensure_event_partitions(-1);
SELECT count(*) AS partitions, bool_and(NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')) AS not_members,
	bool_and((SELECT array_agg(format('%s/%s', tgname, tgenabled) ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid) = '{append_only/A,append_only_truncate/A}') AS append_only,
	bool_and(EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)) AS primary_keys
FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = 'pgw.transaction_events'::regclass AND c.relname ~ '_y[0-9]{4}m[0-9]{2}$';

-- events: an id of January 2026 has no partition of its own; append-only, also as a replica and through a partition
BEGIN;
INSERT INTO pgw.transaction_events (event_id, transaction_id, event_type, to_status, event_data, step_order)
VALUES (gen_random_uuid(), '019b76da-a800-7000-8000-000000000000', 'TransactionStarted', 'Created', '{"v": 1}', 1) RETURNING tableoid::regclass, txid IS NOT NULL AS txid;
SAVEPOINT s;
INSERT INTO pgw.transaction_events (event_id, transaction_id, event_type, to_status, event_data, step_order)
VALUES (gen_random_uuid(), '019b76da-a800-7000-8000-000000000000', 'TransactionStarted', 'Created', '{"v": 1}', 1);
ROLLBACK TO s;
INSERT INTO pgw.transaction_events (event_id, transaction_id, event_type, to_status, event_data, step_order)
VALUES (gen_random_uuid(), '019b76da-a800-7000-8000-000000000000', 'TransactionStarted', 'Created', '{"v": 1}', 0);
ROLLBACK TO s;
UPDATE pgw.transaction_events SET error_details = 'x';
ROLLBACK TO s;
SET LOCAL session_replication_role = replica;
DELETE FROM pgw.transaction_events_default;
ROLLBACK TO s;
SET LOCAL session_replication_role = replica;
TRUNCATE pgw.transaction_events_default;
ROLLBACK TO s;
TRUNCATE pgw.transaction_events;
ROLLBACK;

-- transitions: an update of n steps needs a legal path of n edges
BEGIN;
INSERT INTO pgw.payment_transactions (transaction_id, payment_id, client_request_id, merchant, kind, status, step_order, submitted, live, amount,
	currency, capture, system_identifier, database_oid, correlation_id)
SELECT ('019b76da-a800-7000-8000-00000000000' || n)::uuid, gen_random_uuid(), 'schema-' || n, 'default', kind, 'Created', 1, true, true, 1, 'EUR', 'immediate', 1, 1, gen_random_uuid()
FROM unnest('{payment,refund}'::pgw.operation_kind[]) WITH ORDINALITY k (kind, n);
SAVEPOINT s;
UPDATE pgw.payment_transactions SET status = 'Completed', step_order = 2;
ROLLBACK TO s;
UPDATE pgw.payment_transactions SET status = 'Completed', step_order = 5;
ROLLBACK TO s;
UPDATE pgw.payment_transactions SET status = 'BankApproved';
ROLLBACK TO s;
UPDATE pgw.payment_transactions SET step_order = 0;
ROLLBACK TO s;
UPDATE pgw.payment_transactions SET client_request_id = 'other';
ROLLBACK TO s;
UPDATE pgw.payment_transactions SET next_step_at = now(), requests_sent = 1;
UPDATE pgw.payment_transactions SET status = 'BankApproved', step_order = 2 WHERE kind = 'refund';
SAVEPOINT s;
UPDATE pgw.payment_transactions SET status = 'Refunding', step_order = 3 WHERE kind = 'refund';
ROLLBACK;

-- built-in rows are the extension's
UPDATE pgw.merchants SET enabled = false WHERE merchant = 'default';
INSERT INTO pgw.connectors (name, definition, builtin) SELECT 'mine', definition, true FROM pgw.connectors WHERE name = 'json';
DELETE FROM pgw.connectors WHERE name = 'json';

-- unresolved payments go by pgw.bank_versions, so a bank can change and go; what they go by cannot
BEGIN;
INSERT INTO pgw.banks (name, connector, base_url, enabled) VALUES ('pinned', 'json', 'https://bank.example/v1', false);
INSERT INTO pgw.payment_transactions (transaction_id, payment_id, client_request_id, merchant, kind, status, step_order, submitted, live, amount,
	currency, capture, bank, system_identifier, database_oid, correlation_id)
VALUES (gen_random_uuid(), gen_random_uuid(), 'schema-3', 'default', 'payment', 'BankUnknown', 3, false, true, 1, 'EUR', 'immediate', 'pinned', 1, 1, gen_random_uuid());
UPDATE pgw.banks SET base_url = 'https://other.example', priority = 7, request_timeout = '20 s' WHERE name = 'pinned';
DELETE FROM pgw.banks WHERE name = 'pinned';
INSERT INTO pgw.bank_versions (version, bank, digest, connector, definition, base_url, account, settings, connect_timeout, request_timeout, max_in_flight)
VALUES (1, 'pinned', 'd', 'json', '{}', 'https://bank.example/v1', 'pinned', '{}', '5s', '30s', 1);
INSERT INTO pgw.bank_rebinds (rebind, from_version, to_version, effective, attempts, note, actor) VALUES (1, 1, 2, true, 1, 'n', '{}');
SET session_replication_role = replica;
SAVEPOINT s;
UPDATE pgw.bank_versions SET base_url = 'https://other.example';
ROLLBACK TO s;
DELETE FROM pgw.bank_versions;
ROLLBACK TO s;
TRUNCATE pgw.bank_versions;
ROLLBACK TO s;
UPDATE pgw.bank_rebinds SET to_version = 3;
ROLLBACK TO s;
DELETE FROM pgw.bank_rebinds;
ROLLBACK TO s;
TRUNCATE pgw.bank_rebinds;
ROLLBACK;
-- all faults are named at once
INSERT INTO pgw.banks (name, connector, base_url, secret, connect_timeout, max_in_flight, currencies, settings)
VALUES ('worst', 'none', 'http://127.evil.example', '../x', '1 day', 0, '{eur}', '[]');
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'json', 'https://bank.example?x=1');
INSERT INTO pgw.banks (name, connector, base_url) VALUES ('b', 'json', 'https://bank.example:99999');
BEGIN;
INSERT INTO pgw.banks (name, connector, base_url, enabled) VALUES ('b1', 'json', 'http://127.8.9.10:1/x', false), ('b2', 'json', 'http://[::1]:80', false),
	('b3', 'json', 'HTTP://LocalHost', false), ('b4', 'json', 'https://[2001:db8::1]/', false);
ROLLBACK;

-- grants follow access_grants
CREATE ROLE regress_pgw_app;
SELECT pgw.grant_access('regress_pgw_app', 'client'), pgw.grant_access('regress_pgw_app', 'auditor', 'default');
SELECT role, level, merchant FROM pgw.access_grants ORDER BY level COLLATE "C";
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'pgw'::regnamespace AND has_function_privilege('regress_pgw_app', p.oid, 'EXECUTE') ORDER BY p.oid::regprocedure::text COLLATE "C";
SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'pgw'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND has_table_privilege('regress_pgw_app', c.oid, 'SELECT') ORDER BY 1;
SELECT pgw.revoke_access('regress_pgw_app', 'client', 'default');
SELECT pgw.revoke_access('regress_pgw_app', 'client');
SELECT has_function_privilege('regress_pgw_app', 'pgw.submit_payment(text,numeric,text,text,text,text,text,jsonb,jsonb,timestamptz,text,jsonb)', 'EXECUTE');
SELECT pgw.revoke_access('regress_pgw_app', 'auditor');
SELECT has_schema_privilege('regress_pgw_app', 'pgw', 'USAGE');
SELECT pgw.grant_access('regress_pgw_app', 'king');
SELECT pgw.grant_access('regress_pgw_app', 'client', 'nobody');
DROP ROLE regress_pgw_app;
