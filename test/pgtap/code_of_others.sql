-- What is put onto pgw's tables runs as their owner, or as the worker's superuser: so no function that somebody else can change gets there, whichever way it is used.
\set ON_ERROR_STOP 1
BEGIN;
SELECT plan(41);

CREATE ROLE coo_mallory;
GRANT CREATE ON DATABASE :"DBNAME" TO coo_mallory;
GRANT USAGE ON SCHEMA pgw TO coo_mallory;
GRANT TRIGGER ON ALL TABLES IN SCHEMA pgw TO coo_mallory;
CREATE SCHEMA coo AUTHORIZATION coo_mallory;
SELECT is((SELECT evtenabled::text FROM pg_event_trigger WHERE evtname = 'pgw_refuse_code_of_others'), 'A', 'the event trigger fires always');

SET LOCAL ROLE coo_mallory;
CREATE TABLE coo.who_ran (what text, who text);
CREATE FUNCTION coo.fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO coo.who_ran VALUES (TG_NAME, current_user); RETURN NEW; END $$;
CREATE FUNCTION coo.ok(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN true; END $$;
CREATE FUNCTION coo.words(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1; END $$;
CREATE FUNCTION coo.same(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN true; END $$;
CREATE OPERATOR coo.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = coo.same);
CREATE AGGREGATE coo.all_of (boolean) (SFUNC = booland_statefunc, STYPE = boolean);
CREATE DOMAIN coo.plain AS text;
CREATE DOMAIN coo.checked AS text CHECK (coo.ok(VALUE));

-- with the privilege TRIGGER, which grant_access() never gives: the privilege is not enough
SELECT throws_ok('CREATE TRIGGER t BEFORE INSERT ON pgw.payments FOR EACH ROW EXECUTE FUNCTION coo.fire()', 'PW422', NULL, 'a trigger');
SELECT throws_ok('CREATE TRIGGER t AFTER UPDATE ON pgw.payment_transactions FOR EACH ROW EXECUTE FUNCTION coo.fire()', 'PW422', NULL, 'on the attempts');
SELECT throws_ok('CREATE TRIGGER t AFTER INSERT ON pgw.transaction_events FOR EACH ROW EXECUTE FUNCTION coo.fire()', 'PW422', NULL, 'on the events');
SELECT throws_ok('CREATE TRIGGER t AFTER INSERT ON pgw.transaction_events_default FOR EACH ROW EXECUTE FUNCTION coo.fire()', 'PW422', NULL, 'on a partition');
SELECT throws_ok('CREATE CONSTRAINT TRIGGER t AFTER UPDATE ON pgw.payments DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION coo.fire()', 'PW422', NULL, 'a constraint trigger');
SELECT throws_ok('CREATE TRIGGER t AFTER INSERT ON pgw.banks FOR EACH STATEMENT EXECUTE FUNCTION coo.fire()', 'PW422', NULL, 'a statement trigger');
SELECT throws_ok('CREATE TRIGGER t BEFORE UPDATE ON pgw.payments FOR EACH ROW WHEN (coo.ok(OLD.reference)) EXECUTE FUNCTION suppress_redundant_updates_trigger()', 'PW422', NULL,
	'a trigger of the server''s with a condition of one''s own');
SELECT throws_ok('CREATE TRIGGER t INSTEAD OF INSERT ON pgw.my_payments FOR EACH ROW EXECUTE FUNCTION coo.fire()', 'PW422', NULL, 'a trigger of a view');
SELECT lives_ok('CREATE FUNCTION coo.definer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$ BEGIN INSERT INTO coo.who_ran VALUES (TG_NAME, current_user); RETURN NEW; END $f$',
	'a SECURITY DEFINER function');
SELECT lives_ok('CREATE TRIGGER definer BEFORE INSERT ON pgw.payments FOR EACH ROW EXECUTE FUNCTION coo.definer()', 'which runs as its own owner, may be a trigger');
SELECT throws_ok('ALTER FUNCTION coo.definer() SECURITY INVOKER', 'PW422', NULL, 'and stays so');
SELECT throws_ok('CREATE OR REPLACE FUNCTION coo.definer() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RETURN NEW; END $f$', 'PW422', NULL, 'also when it is replaced');

-- what only the tables' owner can do
SELECT throws_ok('CREATE RULE r AS ON INSERT TO pgw.payments DO ALSO NOTHING', '42501', NULL, 'a rule is for the owner');
SELECT throws_ok('CREATE POLICY p ON pgw.payments', '42501', NULL, 'so is a policy');
SELECT throws_ok('ALTER TABLE pgw.payments FORCE ROW LEVEL SECURITY', '42501', NULL, 'and row-level security');
SELECT throws_ok('CREATE INDEX ON pgw.payments (reference)', '42501', NULL, 'an index');
SELECT throws_ok('CREATE STATISTICS coo.s ON status, capture FROM pgw.payments', '42501', NULL, 'statistics');
SELECT throws_ok('ALTER TABLE pgw.payments ADD CHECK (true)', '42501', NULL, 'a constraint');
SELECT throws_ok('CREATE TABLE coo.child () INHERITS (pgw.payments)', '42501', NULL, 'a child');
SELECT throws_ok('CREATE TABLE coo.part PARTITION OF pgw.transaction_events FOR VALUES FROM (''00000000-0000-0000-0000-000000000000'') TO (''00000000-0000-0000-0000-000000000001'')', '42501', NULL, 'a partition');
SELECT throws_ok('CREATE PUBLICATION p FOR TABLE pgw.payments', '42501', NULL, 'a publication');
SELECT throws_ok('CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION coo.fire()', '42501', NULL, 'an event trigger is a superuser''s');
SELECT throws_ok('CREATE OPERATOR CLASS coo.c FOR TYPE text USING btree AS OPERATOR 3 coo.=== (text, text)', '42501', NULL, 'so is an operator class');
SELECT throws_ok('CREATE CAST (uuid AS text) WITH FUNCTION coo.words(text)', NULL, NULL, 'a cast between the server''s types is nobody''s');
RESET ROLE;

-- and what the owner is kept from: a function that somebody else can change
SELECT throws_ok('CREATE TRIGGER t BEFORE INSERT ON pgw.payments FOR EACH ROW EXECUTE FUNCTION coo.fire()', 'PW422', NULL, 'a superuser''s trigger with somebody else''s function');
SELECT throws_ok('ALTER TABLE pgw.payments ADD CHECK (coo.ok(reference))', 'PW422', NULL, 'CHECK');
SELECT throws_ok('ALTER TABLE pgw.payments ADD CHECK (reference OPERATOR(coo.===) reference) NOT VALID', 'PW422', NULL, 'an operator');
SELECT throws_ok('ALTER TABLE pgw.payments ADD COLUMN extra text DEFAULT coo.words(''x'')', 'PW422', NULL, 'a default');
SELECT throws_ok('ALTER TABLE pgw.payments ADD COLUMN extra text GENERATED ALWAYS AS (coo.words(reference)) STORED', 'PW422', NULL, 'a generated column');
SELECT throws_ok('ALTER TABLE pgw.payments ADD COLUMN extra coo.checked[]', 'PW422', NULL, 'a domain, also in an array');
SELECT throws_ok('CREATE INDEX ON pgw.payments (coo.words(reference))', 'PW422', NULL, 'an index expression');
SELECT throws_ok('CREATE INDEX ON pgw.payments (reference) WHERE coo.ok(reference)', 'PW422', NULL, 'an index predicate');
SELECT throws_ok('CREATE STATISTICS coo.s ON (coo.words(reference)) FROM pgw.payments', 'PW422', NULL, 'a statistics expression');
SELECT throws_ok('CREATE POLICY p ON pgw.payments USING (coo.ok(reference))', 'PW422', NULL, 'a policy');
SELECT throws_ok('CREATE RULE r AS ON INSERT TO pgw.payments WHERE coo.ok(NEW.reference) DO ALSO NOTHING', 'PW422', NULL, 'a rule');
ALTER TABLE pgw.payments ADD COLUMN extra coo.plain;
SELECT throws_ok('ALTER DOMAIN coo.plain ADD CHECK (coo.ok(VALUE))', 'PW422', NULL, 'a domain that gets its check later');
CREATE FUNCTION coo.mine() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
SELECT lives_ok('CREATE TRIGGER t BEFORE INSERT ON pgw.payments FOR EACH ROW EXECUTE FUNCTION coo.mine()', 'a superuser''s own is his affair');
SELECT throws_ok('ALTER FUNCTION coo.mine() OWNER TO coo_mallory', 'PW422', NULL, 'and is given to nobody else');

-- made while it was off
ALTER EVENT TRIGGER pgw_refuse_code_of_others DISABLE;
ALTER FUNCTION coo.mine() OWNER TO coo_mallory;
SELECT is((SELECT details->>'function' FROM pgw.check_consistency() WHERE check_name = 'code_of_others'), 'coo.mine()', 'check_consistency() finds what was made meanwhile');
SELECT matches((SELECT status || details::text FROM pgw.health() WHERE check_name = 'code_of_others'), '^error.*coo\.mine.*disabled', 'so does health()');

SELECT * FROM finish();
ROLLBACK;
