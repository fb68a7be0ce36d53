-- Nothing is PUBLIC's; grant_access gives exactly what the grid in docs/sql-reference.md says.
\set ON_ERROR_STOP 1
BEGIN;
SELECT plan(101);

SELECT is((SELECT count(*)::int FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
	WHERE p.pronamespace = 'pgw'::regnamespace AND a.grantee = 0), 0, 'no function of pgw is executable by PUBLIC');
SELECT is((SELECT count(*)::int FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
	WHERE c.relnamespace = 'pgw'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND a.grantee = 0), 0, 'no table or view either');
SELECT is((SELECT count(*)::int FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
	WHERE n.nspname = 'pgw' AND a.grantee = 0), 0, 'nor the schema');
SELECT is((SELECT count(*)::int FROM pg_proc WHERE pronamespace = 'pgw'::regnamespace AND proisstrict
	AND proname IN ('process_payment', 'submit_payment', 'capture_payment', 'void_payment', 'refund_payment', 'receive_notification', 'get_payment', 'find_payment', 'wait_for_payment', 'payment_history', 'rebuild_status', 'rebuild_payment', 'check_consistency', 'resolve_review', 'run_recovery', 'health')), 0, 'no client function is STRICT: NULLs are named');
SELECT is((SELECT string_agg(proname, ',') FROM pg_proc WHERE pronamespace = 'pgw'::regnamespace AND proname IN ('process_payment', 'submit_payment', 'capture_payment', 'void_payment', 'refund_payment', 'receive_notification') AND proparallel <> 'u'),
	NULL, 'paying functions are parallel unsafe');

CREATE FUNCTION pg_temp.plan_of(query text) RETURNS text LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
	line text;
	plan text = '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP plan := plan || E'\n' || line; END LOOP;
	RETURN plan;
END $$;
CREATE ROLE tap_nobody;
CREATE ROLE tap_client;
CREATE ROLE tap_acme;
CREATE ROLE tap_auditor;
CREATE ROLE tap_operator;
INSERT INTO pgw.merchants (merchant, name) VALUES ('acme', 'Acme');
SELECT throws_ok(format('SELECT pgw.apply_access(%s)', o), '42704', 'role does not exist', 'no privilege is given to nobody: ' || o) FROM unnest('{NULL::oid,0,4294967295}'::text[]) o;
SELECT lives_ok($$SELECT pgw.grant_access('tap_client', 'client')$$, 'grant client');
SELECT lives_ok($$SELECT pgw.grant_access('tap_acme', 'client', 'acme')$$, 'grant client for one merchant');
SELECT lives_ok($$SELECT pgw.grant_access('tap_auditor', 'auditor')$$, 'grant auditor');
SELECT lives_ok($$SELECT pgw.grant_access('tap_operator', 'operator')$$, 'grant operator');
SELECT throws_ok($$SELECT pgw.grant_access('tap_nobody', 'king')$$, 'PW400', NULL, 'an unknown level is refused');
SELECT throws_ok($$SELECT pgw.grant_access('tap_nobody', 'client', 'nomerchant')$$, 'PW422', NULL, 'an unknown merchant is refused');

SET LOCAL ROLE tap_nobody;
SELECT throws_ok($$SELECT pgw.process_payment('x', 1, 'EUR', 'tok_ok')$$, '42501', NULL, 'nobody may not pay');
SELECT throws_ok($$SELECT * FROM pgw.payments$$, '42501', NULL, 'nor read payments');
SELECT throws_ok($$SELECT pgw.receive_notification('test', '{}', '')$$, '42501', NULL, 'nor hand a bank''s notification in');
RESET ROLE;
SET LOCAL ROLE tap_client;
SELECT throws_ok($$SELECT * FROM pgw.payments$$, '42501', NULL, 'a client has no table privileges');
SELECT throws_ok($$SELECT * FROM pgw.payment_transactions$$, '42501', NULL, 'not on transactions');
SELECT throws_ok($$INSERT INTO pgw.transaction_events DEFAULT VALUES$$, '42501', NULL, 'not on events');
SELECT throws_ok($$SELECT pgw.grant_access('tap_client', 'operator')$$, '42501', NULL, 'a client cannot grant');
SELECT throws_ok($$SELECT pgw.process_payment('x', 0, 'EUR', 'tok_ok')$$, 'PW400', NULL, 'a client gets as far as validation');
SELECT throws_ok($$SELECT pgw.refund_payment('00000000-0000-7000-8000-000000000000', 'x', -1)$$, 'PW400', NULL, 'in a refund, too');
SELECT throws_ok($$SELECT pgw.refund_payment('00000000-0000-7000-8000-000000000000', 'x')$$, 'PW404', NULL, 'and to a payment that is not there');
SELECT is((SELECT http_status || ' ' || verdict FROM pgw.receive_notification('test', '{}', '')), '404 not_expected', 'a client hands notifications in');
SELECT throws_ok($$SELECT * FROM pgw.notifications$$, '42501', NULL, 'and does not read what came');
SELECT throws_ok($$SELECT * FROM pgw.disputes$$, '42501', NULL, 'nor disputes');
SELECT throws_ok($$SELECT * FROM pgw.check_consistency()$$, '42501', NULL, 'a client may not audit');
SELECT throws_ok($$SELECT * FROM pgw.broken_invariants$$, '42501', NULL, 'not through the view either');
SELECT lives_ok($$SELECT * FROM pgw.my_payments$$, 'and may read the view of its payments');
SELECT matches(pg_temp.plan_of($$SELECT * FROM pgw.my_payments WHERE merchant = 'acme' AND reference = 'R-1'$$), 'payments_by_reference', 'by its own reference, with an index');
SELECT throws_ok($$SELECT * FROM pgw.health()$$, '42501', NULL, 'a client does not ask for health');
SELECT throws_ok($$SELECT * FROM pgw.metrics$$, '42501', NULL, 'nor for figures');
SELECT throws_ok($$SELECT * FROM pgw.read_metrics()$$, '42501', NULL, 'by no way');
SELECT throws_ok($$SELECT pgw.metrics_text()$$, '42501', NULL, 'nor as a text');
SELECT throws_ok($$SELECT pgw.dashboard()$$, '42501', NULL, 'nor as a page');
SELECT throws_ok($$SELECT pgw.run_recovery()$$, '42501', NULL, 'nor for a scan');
SELECT throws_ok($$SELECT pgw.judge_answer('json', 'charge', 200)$$, '42501', NULL, 'nor what a connector makes of an answer');
SELECT throws_ok($$SELECT pgw.render_request('test', 'charge')$$, '42501', NULL, 'nor what a bank is sent');
SELECT throws_ok($$SELECT pgw.try_bank('test')$$, '42501', NULL, 'nor have a bank called');
RESET ROLE;
INSERT INTO pgw.payments (payment_id, client_request_id, merchant, transaction_id, status, capture, amount, currency, authorized_amount, captured_amount)
	VALUES ('00000000-0000-7000-8000-00000000000d', 'default''s', 'default', '00000000-0000-7000-8000-00000000000e', 'captured', 'immediate', 1, 'EUR', 1, 1);
-- a statement's rows pass for a restore; this is none
DELETE FROM pgw.restore_pending;
SET LOCAL ROLE tap_acme;
SELECT throws_ok($$SELECT pgw.submit_payment('x', 1, 'EUR', 'tok_ok')$$, '42501', NULL, 'a merchant''s client may not pay for another');
SELECT throws_ok($$SELECT pgw.find_payment('x', 'default')$$, '42501', NULL, 'nor look for another''s payments');
SELECT throws_ok($$SELECT pgw.refund_payment('00000000-0000-7000-8000-00000000000d', 'x')$$, 'PW404', NULL, 'whose payment is to it as one that is not there');
SELECT is((SELECT count(*)::int FROM pgw.my_payments), 0, 'and sees none of them');
RESET ROLE;
SET LOCAL ROLE tap_auditor;
SELECT throws_ok($$SELECT pgw.process_payment('x', 1, 'EUR', 'tok_ok')$$, '42501', NULL, 'an auditor may not pay');
SELECT throws_ok($$SELECT pgw.capture_payment('00000000-0000-7000-8000-000000000000', 'x')$$, '42501', NULL, 'nor capture');
SELECT throws_ok($$SELECT pgw.void_payment('00000000-0000-7000-8000-000000000000', 'x')$$, '42501', NULL, 'nor void');
SELECT throws_ok($$SELECT pgw.refund_payment('00000000-0000-7000-8000-000000000000', 'x')$$, '42501', NULL, 'nor refund');
SELECT lives_ok($$SELECT * FROM pgw.payment_history('00000000-0000-7000-8000-000000000000')$$, 'but read histories');
SELECT lives_ok($$SELECT * FROM pgw.health()$$, 'ask for health');
SELECT lives_ok($$SELECT * FROM pgw.metrics$$, 'read the figures');
SELECT throws_ok($$SELECT pgw.run_recovery()$$, '42501', NULL, 'but not have the worker scan');
SELECT throws_ok($$SELECT pgw.judge_answer('json', 'charge', 200)$$, '42501', NULL, 'nor use an operator''s tools');
SELECT throws_ok($$SELECT pgw.render_request('test', 'charge')$$, '42501', NULL, 'none of them');
SELECT throws_ok($$SELECT pgw.try_bank('test')$$, '42501', NULL, 'not even the one that calls a bank');
SELECT lives_ok($$SELECT * FROM pgw.check_consistency()$$, 'and check them');
RESET ROLE;

-- resuming a restored database: operators of all merchants
CREATE ROLE tap_acme_operator;
SELECT lives_ok($$SELECT pgw.grant_access('tap_acme_operator', 'operator', 'acme')$$, 'grant operator');
SET LOCAL ROLE tap_client;
SELECT throws_ok($$SELECT pgw.resume_after_restore()$$, '42501', NULL, 'a client may not resume');
RESET ROLE;
SET LOCAL ROLE tap_auditor;
SELECT throws_ok($$SELECT pgw.resume_after_restore()$$, '42501', NULL, 'nor an auditor');
RESET ROLE;
SET LOCAL ROLE tap_acme_operator;
SELECT throws_ok($$SELECT pgw.resume_after_restore()$$, '42501', 'permission denied for pgw.resume_after_restore()', 'nor an operator of one merchant');
RESET ROLE;
SET LOCAL ROLE tap_operator;
SELECT throws_ok($$SELECT pgw.resume_after_restore('card ' || repeat('4242', 4))$$, 'PW400', NULL, 'an operator may, but no card number goes on record');
SELECT throws_ok($$SELECT pgw.resume_after_restore(repeat('x', 1001))$$, 'PW400', NULL, 'nor a note without end');
SELECT throws_ok($$SELECT pgw.resume_after_restore()$$, 'PW422', NULL, 'and only what is paused after a restore');
SELECT throws_ok($$DELETE FROM pgw.resumptions$$, '42501', NULL, 'the record is not an operator''s');
SELECT is((SELECT outcome FROM pgw.judge_answer('json', 'charge', 503)), 'unknown', 'an operator may ask what a connector makes of an answer');
SELECT is((SELECT method FROM pgw.render_request('test', 'charge')), 'POST', 'and what a bank would be sent');
RESET ROLE;

-- append-only for every role, also as a replica
SELECT throws_ok($$UPDATE pgw.transaction_events SET error_details = 'x'$$, NULL, NULL, 'events cannot be changed') WHERE EXISTS (SELECT FROM pgw.transaction_events)
UNION ALL SELECT pass('events cannot be changed (row trigger; no rows here)') WHERE NOT EXISTS (SELECT FROM pgw.transaction_events);
SELECT throws_ok($$TRUNCATE pgw.transaction_events$$, NULL, NULL, 'events cannot be truncated');
SET LOCAL session_replication_role = replica;
SELECT throws_ok($$TRUNCATE pgw.transaction_events_default$$, NULL, NULL, 'nor as a replica, nor through a partition');
RESET session_replication_role;
-- Whatever runs a statement as the owner finds the names that it means. Without are triggers, what reads nothing, and these, whose rows are read and written
-- without a statement: who adds one that makes statements gives it its search_path, and does not name it here.
SELECT is((SELECT string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid::regprocedure::text) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
	WHERE p.pronamespace = 'pgw'::regnamespace AND p.prokind = 'f' AND NOT coalesce(p.proconfig @> '{"search_path=pg_catalog, pg_temp"}', false)
	AND (p.prosecdef OR (l.lanname = 'c' AND p.provolatile <> 'i' AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
		AND p.proname <> ALL ('{process_payment,process_payments,submit_payment,capture_payment,void_payment,refund_payment,get_payment,find_payment,wait_for_payment,payment_history,
			resolve_review,run_recovery,rebuild_status,rebuild_payment,health_summary,judge_answer,render_request,try_bank,version,legal_steps,slot_is_worked,baseline_faults_before,call_support,extension_created,load_drop_guard,shard_name}')))),
	NULL, 'functions that query as the owner bring their search_path');

-- what grant_access() has not given
SELECT is_empty('SELECT * FROM pgw.unexplained_privileges()', 'every privilege is explained');
GRANT UPDATE (base_url) ON pgw.banks TO tap_client;
SELECT is((SELECT details FROM pgw.check_consistency() WHERE check_name = 'privileges'), '{"object": "TABLE pgw.banks", "column": "base_url", "grantee": "tap_client", "privilege": "UPDATE"}'::jsonb,
	'check_consistency() finds one that is not');
SELECT is((SELECT status FROM pgw.health() WHERE check_name = 'privileges'), 'error', 'so does health()');
SELECT is(pgw.revoke_unexplained_privileges(), 1::bigint, 'it is taken away');
SELECT is_empty('SELECT * FROM pgw.unexplained_privileges()', 'and no other');

SELECT lives_ok($$SELECT pgw.revoke_access('tap_client', 'client')$$, 'access can be taken back');

-- the level for figures: health, and nothing of payments, whatever else is granted for one merchant
CREATE ROLE tap_monitor;
SELECT lives_ok($$SELECT pgw.grant_access('tap_monitor', 'monitor')$$, 'grant monitor');
SELECT throws_ok($$SELECT pgw.grant_access('tap_monitor', 'monitor', 'acme')$$, 'PW400', 'level monitor is not of a merchant', 'which is not of a merchant');
SET LOCAL ROLE tap_monitor;
SELECT lives_ok($$SELECT * FROM pgw.health(), pgw.health_summary(), pgw.version()$$, 'a monitor asks for health');
SELECT lives_ok($$SELECT * FROM pgw.metrics$$, 'and reads the figures');
SELECT lives_ok($$SELECT pgw.metrics_text()$$, 'as a text, too');
SELECT lives_ok($$SELECT pgw.dashboard()$$, 'and as a page');
SELECT throws_ok($$SELECT * FROM pgw.$$ || v, '42501', NULL, 'but not ' || v) FROM unnest('{my_payments,manual_reviews,alerts,audit_disputes,audit_transactions,audit_events,payments}'::text[]) v;
SELECT throws_ok($$SELECT pgw.get_payment('00000000-0000-7000-8000-00000000000d')$$, '42501', NULL, 'nor a payment');
SELECT throws_ok($$SELECT * FROM pgw.check_consistency()$$, '42501', NULL, 'nor does it audit');
RESET ROLE;
SELECT lives_ok($$SELECT pgw.grant_access('tap_monitor', 'client', 'acme')$$, 'it becomes a client of one merchant');
SET LOCAL ROLE tap_monitor;
SELECT is((SELECT count(*)::int FROM pgw.my_payments), 0, 'and does not see others'' payments for being a monitor');
SELECT is((SELECT payment_id FROM pgw.get_payment('00000000-0000-7000-8000-00000000000d')), NULL, 'nor gets one');
SELECT throws_ok($$SELECT pgw.find_payment('x', 'default')$$, '42501', NULL, 'nor looks for one');
RESET ROLE;

SELECT is_empty($$SELECT v.viewname FROM pg_views v WHERE v.schemaname = 'pgw' AND v.definition ~ 'access_grants'
	AND NOT EXISTS (SELECT FROM pgw.access_grid() g WHERE g.level = 'auditor' AND g.object = 'TABLE pgw.' || v.viewname)$$,
	'every view that asks for grants can be had by one');

-- who sees everything anyway sees it in the views: pgw's owner (here a superuser), without a grant
DELETE FROM pgw.access_grants;
SELECT is((SELECT count(*) FROM pgw.my_payments), (SELECT count(*) FROM pgw.payments), 'the owner sees every payment without a grant');
SELECT is((SELECT count(*) FROM pgw.audit_transactions), (SELECT count(*) FROM pgw.payment_transactions), 'every attempt');
SELECT is((SELECT count(*) FROM pgw.audit_disputes), (SELECT count(*) FROM pgw.disputes), 'every dispute');
SELECT is((SELECT count(*) FROM pgw.audit_events), (SELECT count(*) FROM pgw.transaction_events), 'every event');
INSERT INTO pgw.alert_state (kind, subject, message, first_at, last_at, told_at, count, told) VALUES ('test', 'test', 'test', now(), now(), now(), 1, 1);
SELECT is((SELECT count(*) FROM pgw.alerts), (SELECT count(*) FROM pgw.alert_state), 'and every alert');

SELECT * FROM finish();
ROLLBACK;
