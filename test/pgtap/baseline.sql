-- What DDL on pgw's own objects breaks its promises is refused, what does not is allowed: the table of docs/ddl.md. What was done while nobody refused it is found.
\set ON_ERROR_STOP 1
BEGIN;
SELECT plan(115);

SELECT is((SELECT evtenabled::text FROM pg_event_trigger WHERE evtname = 'pgw_keep_baseline'), 'A', 'the event trigger fires always');
SELECT is_empty('SELECT * FROM pgw.baseline_faults()', 'all is as CREATE EXTENSION has made it');

CREATE TABLE public.theirs (payment_id uuid);
CREATE TABLE public.orders (reference text PRIMARY KEY);
CREATE FUNCTION public.theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;

-- refused, with what it would change
CREATE FUNCTION public.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION WHEN SQLSTATE 'PW422' THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN CASE WHEN hint LIKE '%docs/ddl.md%' THEN concat_ws(' ', detail::json->>'code', detail::json->>'kind', detail::json->>'object') END;
WHEN OTHERS THEN
	RETURN SQLERRM;				-- by PostgreSQL itself
END $$;

SELECT is(public.refused(statement), 'baseline_changed ' || what, statement) FROM (VALUES
	-- another name or place
	('ALTER TABLE pgw.payments RENAME TO old', 'column pgw.payments.amount'),
	('ALTER TABLE pgw.payments SET SCHEMA public', 'column pgw.payments.amount'),
	('ALTER TABLE pgw.payment_transactions SET SCHEMA public', 'column pgw.payment_transactions.abandoned_at'),
	('ALTER TABLE pgw.transaction_events RENAME TO old', 'column pgw.transaction_events.bank_version'),
	('ALTER TABLE pgw.baseline SET SCHEMA public', 'member pgw.baseline'),
	('ALTER TABLE pgw.payments RENAME COLUMN amount TO sum', 'column pgw.payments.amount'),
	('ALTER SCHEMA pgw RENAME TO other', 'member pgw.baseline'),
	('ALTER VIEW pgw.my_payments RENAME TO payments_of_mine', 'column pgw.my_payments.amount'),
	('ALTER FUNCTION pgw.get_payment(uuid) RENAME TO read_payment', 'function pgw.get_payment(uuid)'),
	('ALTER FUNCTION pgw.get_payment(uuid) SET SCHEMA public', 'function pgw.get_payment(uuid)'),
	('ALTER TYPE pgw.payment_status RENAME TO status', 'member pgw.payment_status'),
	('ALTER TYPE pgw.payment_status RENAME VALUE ''captured'' TO ''taken''', 'type pgw.payment_status'),
	('ALTER DOMAIN pgw.step_number DROP CONSTRAINT step_number_check', 'constraint pgw.step_number'),
	('ALTER TYPE pgw.payment_result ADD ATTRIBUTE more text', 'type pgw.payment_result'),
	('ALTER TYPE pgw.payment_result RENAME ATTRIBUTE amount TO sum', 'type pgw.payment_result'),
	-- out of the extension
	('ALTER EXTENSION pgw DROP TABLE pgw.payments', 'column pgw.payments.amount'),
	('ALTER EXTENSION pgw DROP FUNCTION pgw.get_payment(uuid)', 'function pgw.get_payment(uuid)'),
	-- columns
	('ALTER TABLE pgw.banks ALTER COLUMN token_scope TYPE varchar(10)', 'column pgw.banks.token_scope'),
	('ALTER TABLE pgw.banks DROP COLUMN token_scope', 'column pgw.banks.token_scope'),
	('ALTER TABLE pgw.payments ALTER COLUMN amount DROP NOT NULL', 'column pgw.payments.amount'),
	('ALTER TABLE pgw.banks ALTER COLUMN priority DROP DEFAULT', 'column pgw.banks.priority'),
	('ALTER TABLE pgw.banks ALTER COLUMN account TYPE text COLLATE "C"', 'column pgw.banks.account'),
	('ALTER TABLE pgw.payments ALTER COLUMN status SET DEFAULT ''captured''', 'column pgw.payments.status'),
	-- keys, checks, indexes
	('ALTER TABLE pgw.payments ADD FOREIGN KEY (reference) REFERENCES public.orders ON UPDATE CASCADE', 'foreign key pgw.payments'),
	('ALTER TABLE pgw.payments ADD FOREIGN KEY (reference) REFERENCES public.orders ON DELETE CASCADE', 'foreign key pgw.payments'),
	('ALTER TABLE pgw.payments ADD FOREIGN KEY (reference) REFERENCES public.orders ON DELETE SET NULL', 'foreign key pgw.payments'),
	('ALTER TABLE pgw.payments ADD FOREIGN KEY (reference) REFERENCES public.orders ON UPDATE SET DEFAULT', 'foreign key pgw.payments'),
	('ALTER TABLE pgw.payments DROP CONSTRAINT payments_refunds_check', 'constraint pgw.payments'),
	('ALTER TABLE pgw.payments DROP CONSTRAINT payments_pkey CASCADE', 'constraint pgw.payments'),
	('ALTER TABLE pgw.bank_references DROP CONSTRAINT bank_references_pkey', 'constraint pgw.bank_references'),
	('DROP INDEX pgw.payment_transactions_one_live', 'index pgw.payment_transactions'),
	('DROP INDEX pgw.open_work_open', 'index pgw.open_work'),
	-- triggers
	('ALTER TABLE pgw.payments DISABLE TRIGGER ALL', 'trigger pgw.payments'),
	('ALTER TABLE pgw.payments DISABLE TRIGGER refuse_delete', 'trigger pgw.payments'),
	('ALTER TABLE pgw.payments ENABLE TRIGGER refuse_delete', 'trigger pgw.payments'),
	('ALTER TABLE pgw.payments ENABLE REPLICA TRIGGER refuse_delete', 'trigger pgw.payments'),
	('ALTER TABLE pgw.transaction_events DISABLE TRIGGER USER', 'partition pgw.transaction_events_default'),
	('ALTER TABLE pgw.transaction_events_default DISABLE TRIGGER append_only', 'partition pgw.transaction_events_default'),
	('DROP TRIGGER enforce_transition ON pgw.payment_transactions', 'trigger pgw.payment_transactions'),
	('CREATE OR REPLACE TRIGGER refuse_delete BEFORE DELETE ON pgw.payments FOR EACH ROW EXECUTE FUNCTION public.theirs()', 'trigger pgw.payments'),
	('ALTER TABLE pgw.transaction_events DETACH PARTITION pgw.transaction_events_default', 'trigger pgw.transaction_events_default'),
	-- functions
	('ALTER FUNCTION pgw.payment_history(uuid) OWNER TO pg_monitor', 'function pgw.payment_history(uuid)'),
	('ALTER FUNCTION pgw.ensure_event_partitions(int) SECURITY INVOKER', 'function pgw.ensure_event_partitions(integer)'),
	('ALTER FUNCTION pgw.health() SECURITY DEFINER', 'function pgw.health()'),
	('ALTER FUNCTION pgw.health() RESET ALL', 'function pgw.health()'),
	('ALTER FUNCTION pgw.health() SET search_path = public', 'function pgw.health()'),
	('ALTER FUNCTION pgw.get_payment(uuid) PARALLEL SAFE', 'function pgw.get_payment(uuid)'),
	('ALTER FUNCTION pgw.get_payment(uuid) STRICT', 'function pgw.get_payment(uuid)'),
	('ALTER FUNCTION pgw.get_payment(uuid) IMMUTABLE', 'function pgw.get_payment(uuid)'),
	('ALTER FUNCTION pgw.get_payment(uuid) LEAKPROOF', 'function pgw.get_payment(uuid)'),
	('CREATE OR REPLACE FUNCTION pgw.record_baseline() RETURNS void LANGUAGE sql AS ''''', 'function pgw.record_baseline()'),
	('SELECT pgw.record_baseline()', 'trigger pgw.baseline'),
	('ALTER TABLE pgw.baseline DISABLE TRIGGER refuse_change', 'trigger pgw.baseline'),
	-- the tables as such
	('ALTER TABLE pgw.payments SET UNLOGGED', 'relation pgw.payments'),
	('ALTER TABLE pgw.payments OWNER TO pg_monitor', 'relation pgw.payments'),
	('ALTER TABLE public.theirs INHERIT pgw.payments', NULL),
	('CREATE TABLE public.child () INHERITS (pgw.payments)', 'inheritance pgw.payments'),
	('ALTER VIEW pgw.my_payments SET (security_barrier = false)', 'relation pgw.my_payments'),
	('ALTER VIEW pgw.audit_events SET (security_invoker = true)', 'relation pgw.audit_events'),
	('CREATE OR REPLACE VIEW pgw.alerts AS SELECT a.kind, a.subject, a.bank, a.transaction_id, a.message, a.first_at, a.last_at, a.told_at, a.count, a.told, NULL::boolean AS livemode FROM pgw.alert_state a', 'relation pgw.alerts')
) v (statement, what) WHERE what IS NOT NULL;
SELECT is(public.refused(replace(pg_get_functiondef(p.oid), '''immediate''::text', '''manual''::text')),
	'baseline_changed function pgw.process_payment(' || oidvectortypes(p.proargtypes) || ')', 'another default of an argument')
FROM pg_proc p WHERE p.oid = 'pgw.process_payment'::regproc;
SELECT is(public.refused(pg_get_functiondef('pgw.process_payment'::regproc)), 'done', 'a function that is replaced by itself');

-- allowed
SELECT lives_ok(statement, statement) FROM (VALUES
	('ALTER TABLE pgw.payments ADD COLUMN mine text'),
	('ALTER TABLE pgw.payments RENAME COLUMN mine TO ours'),
	('ALTER TABLE pgw.payments DROP COLUMN ours'),
	('CREATE INDEX mine ON pgw.payments (reference)'),
	('ALTER INDEX pgw.mine RENAME TO ours'),
	('DROP INDEX pgw.ours'),
	('ALTER INDEX pgw.open_work_open RENAME TO open_work_not_over'),
	('ALTER TABLE pgw.payments ADD CONSTRAINT mine CHECK (amount < 1000000000)'),
	('ALTER TABLE pgw.payments RENAME CONSTRAINT mine TO ours'),
	('ALTER TABLE pgw.payments DROP CONSTRAINT ours'),
	('CREATE TRIGGER mine AFTER INSERT ON pgw.payments FOR EACH ROW EXECUTE FUNCTION public.theirs()'),
	('ALTER TABLE pgw.payments DISABLE TRIGGER mine'),
	('DROP TRIGGER mine ON pgw.payments'),
	('ALTER TABLE pgw.payments ADD CONSTRAINT plain FOREIGN KEY (reference) REFERENCES public.orders'),
	('ALTER TABLE pgw.payments DROP CONSTRAINT plain, ADD FOREIGN KEY (reference) REFERENCES public.orders ON UPDATE RESTRICT ON DELETE RESTRICT'),
	('ALTER TABLE pgw.payments REPLICA IDENTITY FULL'),
	('ALTER TABLE pgw.payments SET (fillfactor = 70)'),
	('ALTER TABLE pgw.payments ALTER reference SET STATISTICS 500'),
	('ALTER TABLE pgw.payments ENABLE ROW LEVEL SECURITY'),
	('ALTER TABLE pgw.banks ALTER COLUMN priority SET DEFAULT 7'),
	('ALTER TYPE pgw.payment_status ADD VALUE ''theirs'''),
	('ALTER FUNCTION pgw.health() COST 5000'),
	('ALTER TABLE public.theirs ADD FOREIGN KEY (payment_id) REFERENCES pgw.payments (payment_id)'),
	('ALTER TABLE public.theirs SET UNLOGGED'),
	('ALTER TABLE public.theirs RENAME TO still_theirs'),
	('ALTER FUNCTION public.theirs() RENAME TO still_theirs'),
	('DROP TABLE public.still_theirs')
) v (statement);
SELECT is_empty('SELECT * FROM pgw.baseline_faults()', 'nothing of pgw''s has changed');

-- what is recorded stays
SELECT throws_ok(statement, 'PW422', NULL, statement) FROM (VALUES
	('DELETE FROM pgw.baseline'),
	('UPDATE pgw.baseline SET n = 0'),
	('TRUNCATE pgw.baseline')
) v (statement);

-- an older snapshot is asked for names, so they are told from catalog rows: as the server tells them, but for the schema of its own types, which it does not always name
SELECT is_empty($$SELECT b.object FROM pgw.baseline b WHERE b.kind = 'member' AND NOT EXISTS (
	SELECT FROM pg_depend d, pg_identify_object(d.classid, d.objid, 0) i WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pgw') AND (regexp_replace(i.identity, 'pg_catalog\.| ', '', 'g'), i.type) = (replace(b.object, ' ', ''), b.property))$$, 'the names of members');

-- done while it was off: found afterwards
ALTER EVENT TRIGGER pgw_keep_baseline DISABLE;
ALTER TABLE pgw.payments DISABLE TRIGGER refuse_delete;
ALTER TABLE pgw.payments ADD CONSTRAINT acts FOREIGN KEY (reference) REFERENCES public.orders ON UPDATE CASCADE;
SELECT bag_eq($$SELECT details->>'kind' AS kind, details->>'object' AS object FROM pgw.check_consistency() WHERE check_name = 'baseline'$$,
	$$VALUES ('event trigger', 'pgw_keep_baseline'), ('foreign key', 'pgw.payments'), ('trigger', 'pgw.payments')$$, 'check_consistency() shows it');
SELECT is((SELECT status || (details->>'guards_altered') FROM pgw.health() WHERE check_name = 'baseline'), 'warning["pgw_keep_baseline"]',
	'and health() that nobody refuses');
ALTER EVENT TRIGGER pgw_keep_baseline ENABLE ALWAYS;
SELECT is((SELECT status || (details->'faults'->0->>'object') FROM pgw.health() WHERE check_name = 'baseline'), 'warningpgw.payments',
	'and what is not as it was');

-- that is in nobody's way, and blamed on nobody
CREATE TABLE public.others (a int);
SELECT lives_ok(statement, 'beside a difference: ' || statement) FROM (VALUES
	('ALTER TABLE pgw.payments ADD COLUMN mine text'),
	('ALTER TABLE public.others RENAME TO still_others'),
	('DROP TABLE public.still_others')
) v (statement);
INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('bank', 'json', 'http://127.0.0.1:1', 'bank');
SELECT cmp_ok(pgw.ensure_event_partitions(7), '>=', 5, 'nor in the way of new partitions');
SELECT is(public.refused(statement), 'baseline_changed ' || what, 'beside a difference: ' || statement) FROM (VALUES
	('ALTER TABLE pgw.payments DISABLE TRIGGER refuse_truncate', 'trigger pgw.payments'),
	('ALTER TABLE pgw.payments RENAME TO old', 'column pgw.payments.amount'),
	('ALTER FUNCTION pgw.get_payment(uuid) RENAME TO read_payment', 'function pgw.get_payment(uuid)'),
	('ALTER TYPE pgw.payment_status RENAME TO status', 'member pgw.payment_status'),
	('DROP INDEX pgw.payment_transactions_one_live', 'index pgw.payment_transactions')
) v (statement, what);
SELECT lives_ok('ALTER TABLE pgw.payments ENABLE ALWAYS TRIGGER refuse_delete', 'or of the repair');
SELECT lives_ok('ALTER TABLE pgw.payments DROP CONSTRAINT acts', 'of each part of it');
SELECT is_empty('SELECT * FROM pgw.check_consistency()', 'until it is undone');
SELECT is((SELECT status FROM pgw.health() WHERE check_name = 'baseline'), 'ok', 'health() is content');

-- those who refuse may be renamed, quietened or replaced: health() does not ask them
ALTER EVENT TRIGGER pgw_keep_baseline RENAME TO kept;
SELECT is((SELECT details->>'guards_altered' FROM pgw.health() WHERE check_name = 'baseline'), '["pgw_keep_baseline"]', 'another name of the event trigger');
ALTER EVENT TRIGGER kept RENAME TO pgw_keep_baseline;
ALTER EVENT TRIGGER pgw_keep_baseline ENABLE;
SELECT is((SELECT details->>'guards_altered' FROM pgw.health() WHERE check_name = 'baseline'), '["pgw_keep_baseline"]', 'one that fires not always');
ALTER EVENT TRIGGER pgw_keep_baseline ENABLE ALWAYS;
CREATE OR REPLACE FUNCTION pgw.keep_baseline() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN END';
CREATE OR REPLACE FUNCTION pgw.baseline_faults(OUT kind text, OUT object text, OUT property text, OUT missing bigint) RETURNS SETOF record
	LANGUAGE sql STABLE AS 'SELECT NULL::text, NULL::text, NULL::text, NULL::bigint WHERE false';
SELECT is((SELECT status || (details->>'guards_altered') FROM pgw.health() WHERE check_name = 'baseline'),
	'warning["pgw.baseline_faults()", "pgw.keep_baseline()"]', 'functions that refuse and find nothing any more');
-- What a session has set changes nothing of what pgw's functions compare as text: the one list of what each of them pins.
SELECT is_empty($$SELECT p.oid::regprocedure, s.setting FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
	CROSS JOIN unnest('{search_path=pg_catalog\, pg_temp,quote_all_identifiers=off,standard_conforming_strings=on,extra_float_digits=1,"DateStyle=ISO\, YMD",IntervalStyle=postgres,bytea_output=hex}'::text[]) s (setting)
	WHERE p.pronamespace = 'pgw'::regnamespace AND (l.lanname IN ('sql', 'plpgsql') OR p.proname IN ('health', 'check_consistency', 'read_metrics'))
		AND p.proname NOT IN ('keep_baseline', 'baseline_faults')	-- replaced above
		AND NOT coalesce(lower(s.setting) = ANY (SELECT lower(replace(c, '"', '')) FROM unnest(p.proconfig) c), false)$$, 'every function pins the settings that it must not depend on');
SELECT * FROM finish();
ROLLBACK;
