-- A foreign key to a table of pgw may not need a cast, which would run with the rights of pgw's owner; one that needs none is a client's right.
\set ON_ERROR_STOP 1
BEGIN;
SELECT plan(27);

CREATE ROLE fk_shop;
GRANT CREATE ON DATABASE :"DBNAME" TO fk_shop;
CREATE SCHEMA shop AUTHORIZATION fk_shop;
SELECT pgw.grant_access('fk_shop', 'client');
SELECT is((SELECT evtenabled::text FROM pg_event_trigger WHERE evtname = 'pgw_refuse_foreign_key_casts'), 'A', 'the event trigger fires always');

SET LOCAL ROLE fk_shop;
SET LOCAL search_path = shop, public;
CREATE TABLE shop.who_ran (who text);
CREATE TYPE shop.composite AS (id uuid);
CREATE FUNCTION shop.to_uuid(shop.composite) RETURNS uuid LANGUAGE plpgsql AS $$ BEGIN INSERT INTO shop.who_ran VALUES (current_user); RETURN ($1).id; END $$;
CREATE CAST (shop.composite AS uuid) WITH FUNCTION shop.to_uuid(shop.composite) AS IMPLICIT;
CREATE DOMAIN shop.uuid_domain AS uuid;
CREATE DOMAIN shop.checked_domain AS uuid CHECK (VALUE IS NOT NULL);

-- what is allowed
SELECT lives_ok('CREATE TABLE shop.orders (id int PRIMARY KEY, payment_id uuid REFERENCES pgw.payments (payment_id))', 'a column of type uuid may refer to a payment');
SELECT lives_ok('CREATE TABLE shop.parts (id int, payment_id uuid REFERENCES pgw.payments (payment_id)) PARTITION BY RANGE (id)', 'also of a partitioned table');
SELECT lives_ok('CREATE TABLE shop.part_1 PARTITION OF shop.parts FOR VALUES FROM (1) TO (2)', 'and its partition');
SELECT lives_ok('CREATE TABLE shop.composite_key (c shop.composite); CREATE TABLE shop.of_own (id int REFERENCES shop.orders (id))', 'what does not refer to pgw is nobody''s business');
SELECT throws_ok('CREATE TABLE shop.t (c uuid REFERENCES pgw.payment_transactions (transaction_id))', '42501', NULL, 'the other tables are not referred to');

-- what is not, in every way that there is to make it
SELECT throws_ok('CREATE TABLE shop.t (c shop.composite REFERENCES pgw.payments (payment_id))', 'PW422', NULL, 'a composite type with a cast of its own');
SELECT throws_ok('CREATE TABLE shop.t (c shop.uuid_domain REFERENCES pgw.payments (payment_id))', 'PW422', NULL, 'a domain over uuid');
SELECT throws_ok('CREATE TABLE shop.t (c shop.checked_domain, FOREIGN KEY (c) REFERENCES pgw.payments (payment_id) DEFERRABLE INITIALLY DEFERRED)', 'PW422', NULL, 'a domain with a check, deferred');
CREATE TABLE shop.later (c shop.composite);
SELECT throws_ok('ALTER TABLE shop.later ADD FOREIGN KEY (c) REFERENCES pgw.payments (payment_id)', 'PW422', NULL, 'ALTER TABLE');
SELECT throws_ok('ALTER TABLE shop.later ADD FOREIGN KEY (c) REFERENCES pgw.payments (payment_id) NOT VALID', 'PW422', NULL, 'NOT VALID');
SELECT throws_ok('ALTER TABLE shop.later ADD COLUMN d shop.composite REFERENCES pgw.payments (payment_id)', 'PW422', NULL, 'a new column');
SELECT throws_ok('ALTER TABLE shop.orders ALTER payment_id TYPE shop.composite USING NULL', 'PW422', NULL, 'another type for the column');
SELECT throws_ok('ALTER TABLE shop.orders ALTER payment_id TYPE shop.uuid_domain', 'PW422', NULL, 'a domain for the column');
SELECT throws_ok('ALTER TABLE shop.parts ALTER payment_id TYPE shop.uuid_domain', 'PW422', NULL, 'of a partitioned table');
SELECT throws_ok('CREATE TABLE shop.t (c shop.composite REFERENCES pgw.payments (payment_id)) PARTITION BY HASH (c)', 'PW422', NULL, 'a partitioned table from the beginning');
SELECT throws_ok('CREATE SCHEMA shop2 CREATE TABLE t (c shop.composite REFERENCES pgw.payments (payment_id))', 'PW422', NULL, 'an element of CREATE SCHEMA');
CREATE TABLE shop.parent (payment_id uuid);
CREATE TABLE shop.child (FOREIGN KEY (payment_id) REFERENCES pgw.payments (payment_id)) INHERITS (shop.parent);
SELECT throws_ok('ALTER TABLE shop.parent ALTER payment_id TYPE shop.uuid_domain', 'PW422', NULL, 'through the parent of the table');
SELECT throws_ok('DO $do$ BEGIN EXECUTE ''CREATE TABLE shop.t (c shop.composite REFERENCES pgw.payments (payment_id))''; END $do$', 'PW422', NULL, 'inside a function');
SELECT throws_ok('CREATE TEMP TABLE t (c shop.composite REFERENCES pgw.payments (payment_id))', NULL, NULL, 'a temporary table');
SELECT throws_ok('ALTER EVENT TRIGGER pgw_refuse_foreign_key_casts DISABLE', '42501', NULL, 'the trigger cannot be switched off');
SELECT throws_ok('DROP EVENT TRIGGER pgw_refuse_foreign_key_casts', '42501', NULL, 'nor dropped');
SELECT is((SELECT count(*)::int FROM shop.who_ran), 0, 'no cast ran');
RESET ROLE;

-- made while it was off: by a superuser who has switched it off
SELECT is((SELECT count(*)::int FROM pgw.check_consistency() WHERE check_name = 'foreign_key_cast'), 0, 'check_consistency() finds nothing');
ALTER EVENT TRIGGER pgw_refuse_foreign_key_casts DISABLE;
SELECT matches((SELECT status || ' ' || advice FROM pgw.health() WHERE check_name = 'foreign_keys'), '^warning .*ENABLE ALWAYS', 'health() says that the trigger is off');
ALTER TABLE shop.later ADD FOREIGN KEY (c) REFERENCES pgw.payments (payment_id) NOT VALID;
SELECT is((SELECT details->>'table' FROM pgw.check_consistency() WHERE check_name = 'foreign_key_cast'), 'shop.later', 'check_consistency() finds one that was made meanwhile');
SELECT matches((SELECT status || details::text FROM pgw.health() WHERE check_name = 'foreign_keys'), '^error.*later', 'so does health()');

SELECT * FROM finish();
ROLLBACK;
