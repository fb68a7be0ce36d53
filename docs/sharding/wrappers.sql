-- Makes the functions that callers of the router see, from those of a shard, with the same names, arguments and defaults; each names the
-- argument that says where the call belongs, a client_request_id or a payment_id. Reads a shard, prints what the router is to run:
--
--   psql -XAtq -d SHARD -v functions='shop.pay:request_id pgw.get_payment:payment_id' -f wrappers.sql | psql -X -v ON_ERROR_STOP=1 -d ROUTER
--
-- Whoever calls them needs USAGE of their schema and EXECUTE, which nobody is given here.
-- They run as the role routing, with a search_path of their own: nothing of a caller's schemas is run. Each is there with its rights, or not at all.
-- Arguments go to the shard as parameters of the protocol, never as text of a statement. Enums of the shard are text at the router.
WITH wanted AS (
	SELECT f.oid, f.pronamespace::regnamespace AS schema, f.proname, f.proargnames, f.proallargtypes, f.proargmodes, f.prorettype, w[2] AS by,
		coalesce(f.proallargtypes, f.proargtypes::oid[]) AS types, f.pronargs
	FROM regexp_matches(:'functions', '([^ :]+):([^ :]+)', 'g') w JOIN pg_proc f ON f.oid = w[1]::regproc
), arguments AS (
	SELECT oid, string_agg(format('%I %s', name, format_type(type, NULL))
		|| coalesce(' DEFAULT ' || pg_get_function_arg_default(oid, n::int), ''), ', ' ORDER BY n) AS list
	FROM wanted, unnest(types[:pronargs], proargnames[:pronargs]) WITH ORDINALITY a (type, name, n) GROUP BY oid
), results AS (
	SELECT oid, name, type, n FROM wanted, unnest(types, proargnames, proargmodes) WITH ORDINALITY a (type, name, mode, n) WHERE mode IN ('o', 't')
	UNION ALL
	SELECT w.oid, attname, atttypid, attnum FROM wanted w JOIN pg_type t ON t.oid = w.prorettype
		JOIN pg_attribute c ON c.attrelid = t.typrelid WHERE t.typtype = 'c' AND attnum > 0 AND NOT attisdropped
), returned AS (
	SELECT r.oid, format('TABLE (%s)', string_agg(format('%I %s', name, CASE typtype WHEN 'e' THEN 'text' ELSE format_type(type, NULL) END), ', ' ORDER BY n)) AS list
	FROM results r JOIN pg_type t ON t.oid = type GROUP BY r.oid
)
SELECT format($f$BEGIN; SET client_min_messages = warning; CREATE SCHEMA IF NOT EXISTS %1$s; RESET client_min_messages;
CREATE OR REPLACE FUNCTION %1$s.%2$I(%3$s) RETURNS %4$s LANGUAGE plproxy SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $plproxy$ CONNECT routing.dsn_of(%5$I); $plproxy$;
ALTER FUNCTION %1$s.%2$I OWNER TO routing;
REVOKE EXECUTE ON FUNCTION %1$s.%2$I FROM PUBLIC; COMMIT;$f$, schema, proname, a.list, coalesce(r.list, format_type(prorettype, NULL)), by)
FROM wanted w JOIN arguments a USING (oid) LEFT JOIN returned r USING (oid);
