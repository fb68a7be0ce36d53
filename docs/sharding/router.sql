-- The router: a database that keeps no payment, only which shard has which slot, and passes calls on by PL/Proxy (Debian: postgresql-15-plproxy). It needs no
-- pgw. Run once as superuser. Then fill routing.shards and routing.slots, and make the functions that callers see by wrappers.sql. See docs/scaling.md.
CREATE EXTENSION plproxy;
CREATE ROLE routing;                    -- owns the map and the functions that callers see
CREATE SCHEMA routing AUTHORIZATION routing;
SET ROLE routing;

CREATE TABLE routing.shards (
	shard text PRIMARY KEY,
	dsn text NOT NULL                   -- with user=; the password belongs into the router's .pgpass
);
CREATE TABLE routing.slots (
	slot int PRIMARY KEY CHECK (slot BETWEEN 0 AND 1023),
	shard text NOT NULL REFERENCES routing.shards
);

-- As pgw.slot_of() and pgw.slot_of_id().
CREATE FUNCTION routing.slot_of(request_id text) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN named < 1024 THEN named ELSE (get_byte(hash, 0) << 2) | (get_byte(hash, 1) >> 6) END
	FROM (SELECT substring(request_id FROM '^s(0|[1-9][0-9]{0,3})\..')::int, sha256(convert_to(request_id, 'UTF8'))) x (named, hash)
$$;
CREATE FUNCTION routing.slot_of(payment_id uuid) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT ((get_byte(b, 8) & 63) << 4) | (get_byte(b, 9) >> 4) FROM uuid_send(payment_id) b
$$;

-- Where a slot is, read anew by each call: a map that is changed is used from the next call on. A shard that does not have the slot says PW421,
-- and this does, too, where the map says nothing.
CREATE FUNCTION routing.dsn_of_slot(slot int) RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	dsn text;
BEGIN
	SELECT s.dsn INTO dsn FROM routing.slots m JOIN routing.shards s USING (shard) WHERE m.slot = dsn_of_slot.slot;
	IF dsn IS NULL THEN
		RAISE 'PW421: the router''s map names no shard for slot %', coalesce(slot::text, 'NULL') USING ERRCODE = 'PW421';
	END IF;
	RETURN dsn;
END $$;
CREATE FUNCTION routing.dsn_of(request_id text) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	AS 'SELECT routing.dsn_of_slot(routing.slot_of(request_id))';
CREATE FUNCTION routing.dsn_of(payment_id uuid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	AS 'SELECT routing.dsn_of_slot(routing.slot_of(payment_id))';
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA routing FROM PUBLIC;
RESET ROLE;
