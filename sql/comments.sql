-- Every object of pgw, every column and every index that is no key says what it is for: in \d+, \df+, \dT+, \dx+.
\pset format unaligned
\pset footer off
CREATE VIEW described AS
WITH member AS (
	SELECT d.classid, d.objid
	FROM pg_depend d JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND x.extname = 'pgw'
	WHERE d.deptype = 'e'
	-- newer versions of PostgreSQL count the types that are made with a table or another type, too
	AND NOT EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid WHERE d.classid = 'pg_type'::regclass
		AND t.oid = d.objid AND (c.relkind <> 'c' OR EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)))
), relation AS (
	-- of a composite type, the relation that has its columns
	SELECT c.oid, c.relkind, c.relispartition
	FROM pg_class c JOIN member m ON (m.classid, m.objid) IN (('pg_class'::regclass, c.oid), ('pg_type'::regclass, c.reltype))
), object AS (
	SELECT m.classid, m.objid, 0 AS objsubid FROM member m
	UNION ALL
	SELECT 'pg_class'::regclass, a.attrelid, a.attnum
	FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
	-- a sequence's own columns cannot have one
	WHERE NOT r.relispartition AND r.relkind <> 'S'
	UNION ALL
	SELECT 'pg_trigger'::regclass, t.oid, 0
	FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal AND t.tgparentid = 0
	UNION ALL
	SELECT 'pg_class'::regclass, i.indexrelid, 0
	FROM relation r JOIN pg_index i ON i.indrelid = r.oid
	WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
)
SELECT i.type, i.identity, d.description
FROM object o CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, o.objsubid) i
LEFT JOIN pg_description d ON d.classoid = o.classid AND d.objoid = o.objid AND d.objsubid = o.objsubid;

SELECT type, identity FROM described WHERE description IS NULL ORDER BY type COLLATE "C", identity COLLATE "C";

-- whole sentences, put together without a slip
SELECT type, identity, description FROM described WHERE description !~ '^\S.*\.$' OR description ~ '  ' ORDER BY 1, 2;

-- and one that is missing is seen, of each kind
SELECT type FROM described GROUP BY type ORDER BY type COLLATE "C";
BEGIN;
COMMENT ON SCHEMA pgw IS NULL;
COMMENT ON TABLE pgw.payments IS NULL;
COMMENT ON COLUMN pgw.payment_transactions.updated_at IS NULL;
COMMENT ON VIEW pgw.my_payments IS NULL;
COMMENT ON COLUMN pgw.my_payments.amount IS NULL;
COMMENT ON TYPE pgw.payment_status IS NULL;
COMMENT ON TYPE pgw.payment_result IS NULL;
COMMENT ON COLUMN pgw.payment_result.details IS NULL;
COMMENT ON FUNCTION pgw.health() IS NULL;
COMMENT ON TRIGGER refuse_delete ON pgw.payments IS NULL;
COMMENT ON INDEX pgw.open_work_due IS NULL;
COMMENT ON EVENT TRIGGER pgw_keep_baseline IS NULL;
SELECT type, identity FROM described WHERE description IS NULL ORDER BY type COLLATE "C", identity COLLATE "C";
ROLLBACK;
DROP VIEW described;
