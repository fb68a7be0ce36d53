-- What pages in docs/ say of the database is so: docs/design-map.md its tables, functions, columns and indexes; docs/settings.md the settings.
\set ON_ERROR_STOP 1
\set design_map `cat docs/design-map.md`
\set settings `cat docs/settings.md`
\set catalog `cat docs/catalog.md`
\set reference `cat docs/sql-reference.md`
\set catalog_made `psql -qXAt -d :'DBNAME' -f test/catalog.sql`
BEGIN;
SELECT plan(13);

-- `pgw.x`: a relation, a type or a setting; `pgw.x()`: a function
CREATE VIEW public.named AS
SELECT DISTINCT m[1] AS name, m[2] IS NOT NULL AS is_function FROM regexp_matches(:'design_map', '`pgw\.(\w+)(\(\))?`', 'g') m;
SELECT cmp_ok((SELECT count(*) FROM public.named WHERE NOT is_function), '>=', 5::bigint, 'design-map.md names tables, views and types');
SELECT cmp_ok((SELECT count(*) FROM public.named WHERE is_function), '>=', 5::bigint, 'and functions');
SELECT is_empty($$
	SELECT name, is_function FROM public.named
	WHERE CASE WHEN is_function THEN NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = 'pgw'::regnamespace AND proname = name)
		ELSE to_regclass('pgw.' || name) IS NULL AND to_regtype('pgw.' || name) IS NULL
			AND NOT EXISTS (SELECT FROM pg_settings s WHERE s.name = 'pgw.' || named.name) END
$$, 'all of them are there');

-- `index` (columns), unique, partial
CREATE VIEW public.said AS
SELECT m[1] AS index, m[2] AS columns, m[3] IS NOT NULL AS is_unique, m[4] IS NOT NULL AS is_partial
FROM regexp_matches(:'design_map', '`(\w+)` \(([a-z_]+(?:, [a-z_]+)*)\)(, unique)?(, partial)?', 'g') m;
SELECT cmp_ok((SELECT count(*) FROM public.said), '>=', 3::bigint, 'design-map.md describes indexes');
SELECT set_eq('SELECT * FROM public.said', $$
	SELECT c.relname, (SELECT string_agg(pg_get_indexdef(c.oid, k, false), ', ' ORDER BY k) FROM generate_series(1, i.indnkeyatts) k),
		i.indisunique, i.indpred IS NOT NULL
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN public.said s ON s.index = c.relname
	WHERE c.relnamespace = 'pgw'::regnamespace
$$, 'and they are so');

SELECT set_eq(format($$SELECT m[1] FROM regexp_matches(%L, '`(\w+)`', 'g') m$$, split_part(substring(:'design_map' from '\| event columns [^\n]*'), '|', 3)), $$
	SELECT attname FROM pg_attribute WHERE attrelid = 'pgw.transaction_events'::regclass AND attnum > 0 AND NOT attisdropped
$$, 'design-map.md names the columns of the events, and no others');

CREATE VIEW public.described AS
SELECT m[1] AS name FROM regexp_matches(:'settings', '^\| `(pgw\.\w+)` \|', 'gn') m;
SELECT cmp_ok((SELECT count(*) FROM public.described), '>=', 20::bigint, 'settings.md describes settings');
SELECT bag_eq('SELECT name FROM public.described', $$SELECT name FROM pg_settings WHERE name ~ '^pgw\.' AND name !~ '^pgw\.debug_'$$,
	'each setting once, and no others');
SELECT is_empty($$SELECT name, short_desc FROM pg_settings WHERE name ~ '^pgw\.' AND coalesce(short_desc, '') !~ '^[A-Z].*[^ ]$'$$, 'and says in pg_settings what it is for');

-- every object that a user meets
SELECT ok(:'catalog' = :'catalog_made', 'catalog.md says what the COMMENTs say: else make it anew with "make catalog"');
CREATE VIEW public.functions AS
SELECT DISTINCT p.proname AS name, obj_description(p.oid, 'pg_proc') ~ '^(Internal|Trigger function|Event trigger function|Planner support function): ' AS internal
FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
WHERE p.pronamespace = 'pgw'::regnamespace;
CREATE VIEW public.headings AS
SELECT DISTINCT m[1] AS name FROM regexp_matches(:'reference', '^### (.*)$', 'gn') h CROSS JOIN regexp_matches(regexp_replace(h[1], '\([^)]*\)', '()', 'g'), '(\w+)\(\)', 'g') m;
SELECT set_eq('SELECT name FROM public.functions WHERE NOT internal', 'SELECT name FROM public.headings',
	'a function has its heading in sql-reference.md, or its COMMENT says that it is internal, never both');
SELECT is_empty($$SELECT DISTINCT split_part(split_part(object, '(', 1), '.', 2) FROM pgw.access_grid() WHERE object LIKE 'FUNCTION %'
	EXCEPT SELECT name FROM public.functions WHERE NOT internal OR name IN ('read_metrics', 'health_metrics', 'check_statistics', 'global_look', 'require_global_views')$$, 'what others may execute is for users, and five that these call');
SELECT is_empty(format($$SELECT relname FROM pg_class WHERE relnamespace = 'pgw'::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition
	AND %L !~ ('\m' || relname || '\M')$$, :'reference'), 'each table and view is in sql-reference.md');

SELECT * FROM finish();
ROLLBACK;
