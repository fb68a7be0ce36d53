-- docs/catalog.md, made from the COMMENTs of a database with pgw: test/run.sh catalog; test/pgtap/pages.sql compares the two.
-- What is for users has a heading in docs/sql-reference.md; what is not, its COMMENT says so.
WITH member AS (
	SELECT d.classid, d.objid
	FROM pg_depend d JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND x.extname = 'pgw'
	WHERE d.deptype = 'e'
), function AS (
	SELECT format('| `%s(%s)` | %s |', p.proname, pg_get_function_arguments(p.oid), obj_description(p.oid, 'pg_proc')) AS line, p.proname,
		obj_description(p.oid, 'pg_proc') ~ '^(Internal|Trigger function|Event trigger function|Planner support function): ' AS internal
	FROM pg_proc p JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
), relation AS (
	SELECT c.oid, c.relname, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'c' THEN 'type' ELSE 'table' END AS kind,
		CASE c.relkind WHEN 'c' THEN obj_description(c.reltype, 'pg_type') ELSE obj_description(c.oid, 'pg_class') END AS description
	FROM pg_class c
	WHERE c.relkind IN ('r', 'p', 'v', 'c') AND EXISTS (SELECT FROM member m
		WHERE (m.classid, m.objid) IN (('pg_class'::regclass, c.oid), ('pg_type'::regclass, CASE c.relkind WHEN 'c' THEN c.reltype END)))
), part AS (
	SELECT 1 AS place, '' AS name, E'\n## Functions\n\n| function | |\n|---|---|\n' || string_agg(line, E'\n' ORDER BY proname COLLATE "C", line COLLATE "C") AS text
	FROM function WHERE NOT internal
	UNION ALL
	SELECT CASE r.kind WHEN 'type' THEN 2 WHEN 'view' THEN 3 ELSE 4 END, r.relname,
		format(E'\n## %s %s\n\n%s\n\n| column | type | |\n|---|---|---|\n%s', initcap(r.kind), r.relname, r.description,
			string_agg(format('| %s | %s | %s |', a.attname, format_type(a.atttypid, a.atttypmod), col_description(r.oid, a.attnum)), E'\n' ORDER BY a.attnum))
	FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
	GROUP BY r.oid, r.kind, r.relname, r.description
	UNION ALL
	SELECT 5, '', E'\n## Internal functions\n\n| function | |\n|---|---|\n' || string_agg(line, E'\n' ORDER BY proname COLLATE "C", line COLLATE "C")
	FROM function WHERE internal
)
SELECT E'# Catalog\n\nWhat the database says of its own objects, as `\\df+ pgw.*` and `\\d+` show it. Made by `test/run.sh catalog`; how to use them is in '
	'[sql-reference.md](sql-reference.md).' || E'\n' || string_agg(text, E'\n' ORDER BY place, name COLLATE "C") AS catalog
FROM part
