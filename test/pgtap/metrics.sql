-- The names of metrics: those of pgw.metrics, of pgw.metric_families() and of docs/monitoring.md are the same, and the files of docs/monitoring/ have an
-- alert for each row and level of pgw.health() and for each kind of docs/alerts.md. How the text is escaped.
\set ON_ERROR_STOP 1
\set monitoring `cat docs/monitoring.md`
\set alerts `cat docs/alerts.md`
\set rules `cat docs/monitoring/pgw-rules.yml`
\set queries `cat docs/monitoring/postgres_exporter.yml`
\set sql_queries `cat docs/monitoring/sql_exporter.yml`
BEGIN;
SELECT plan(16);

CREATE VIEW public.families AS SELECT * FROM pgw.metric_families();
CREATE VIEW public.present AS
SELECT DISTINCT CASE WHEN EXISTS (SELECT FROM public.families f WHERE f.type = 'histogram' AND f.name = regexp_replace(m.name, '_(bucket|sum|count)$', ''))
	THEN regexp_replace(m.name, '_(bucket|sum|count)$', '') ELSE m.name END AS name
FROM pgw.metrics m;
SELECT is((SELECT count(*) FROM public.families), (SELECT count(DISTINCT name) FROM public.families), 'each metric is described once');
SELECT is_empty('SELECT name FROM public.present EXCEPT SELECT name FROM public.families', 'each that is there is described');
-- the others begin with the first event, or are of a server that has loaded the library
SELECT is_empty($$SELECT name FROM public.families WHERE type = 'gauge' AND name !~ '^pgw_(bank_|connections|draining|worker_last|state_file|quotas|webhooks_|event_consumer)' AND current_setting('shared_preload_libraries') ~ 'pgw'
	EXCEPT SELECT name FROM public.present$$, 'each gauge is there, but for those of something that is not');
SELECT is_empty($$SELECT name FROM public.families WHERE (type = 'counter') <> (name ~ '_total$') OR help !~ '^[A-Z0-9].*\.$' OR help ~ '[\\"]'$$, 'counters end in _total, and help is a sentence');

-- the table of docs/monitoring.md; ages of what is counted stand there in one word
CREATE VIEW public.documented AS
SELECT n[1] AS name FROM regexp_matches(substring(:'monitoring' FROM '\n## pgw\.metrics\n(.*?)\n## '), '^\| (`pgw_[^|]*)\|', 'gn') r CROSS JOIN regexp_matches(r[1], '`(pgw_\w+)`', 'g') n;
SELECT bag_eq('SELECT name FROM public.documented', $$SELECT name FROM public.families f WHERE NOT EXISTS (SELECT FROM public.families o WHERE f.name = o.name || '_age_seconds')$$,
	'docs/monitoring.md has each metric once');

-- labels: an exporter needs a column for each
CREATE VIEW public.labels AS SELECT DISTINCT l AS label FROM pgw.metrics m CROSS JOIN jsonb_object_keys(m.labels) l;
SELECT is_empty(format('SELECT label FROM public.labels EXCEPT SELECT m[1] FROM regexp_matches(%L, %L, %L) m', :'queries', '^    - (\w+):$', 'gn'), 'postgres_exporter.yml has each label');
SELECT is_empty(format('SELECT label FROM public.labels EXCEPT SELECT m[1] FROM regexp_matches(%L, %L, %L) m', :'sql_queries', '^    - (\w+)$', 'gn'), 'so has sql_exporter.yml');
SELECT is_empty(format($$SELECT m[1] FROM regexp_matches(%L, '\m(le|livemode|bank|operation|outcome|result|verdict|event|code|state|kind|check|subject|operations|month)\M[^|]*\|[^|]*\|$', 'gn') m
	EXCEPT SELECT m[1] FROM regexp_matches(%L, '^    - (\w+):$', 'gn') m$$, substring(:'monitoring' FROM '\n## pgw\.metrics\n(.*?)\n## '), :'queries'), 'and those that are documented, which may not be there yet');

-- alerts
CREATE VIEW public.levels AS
SELECT split_part(r[1], ':', 1) AS check_name, l.level FROM regexp_matches(substring(:'monitoring' FROM '\| check_name \| warning \| error \|(.*?)\n## '), '^\| `([\w:]+)` \| ([^|]*)\|([^|]*)\|$', 'gn') r
CROSS JOIN LATERAL (VALUES (1, r[2]), (2, r[3])) l (level, text) WHERE btrim(l.text) <> '';
CREATE VIEW public.rules AS SELECT m[1] AS check_name, m[2]::int AS level FROM regexp_matches(:'rules', 'pgw_health_status\{check="(\w+)"[^}]*\} == (\d)$', 'gn') m;
SELECT cmp_ok((SELECT count(*) FROM public.levels), '>', 40::bigint, 'docs/monitoring.md has checks with levels');
SELECT set_eq('SELECT * FROM public.rules', 'SELECT DISTINCT check_name, level FROM public.levels', 'each level of each check has its rule');
SELECT is_empty('SELECT DISTINCT split_part(check_name, $$:$$, 1) FROM pgw.health() EXCEPT SELECT check_name FROM public.levels', 'and each check is in that table');
SELECT set_eq(format('SELECT m[1] FROM regexp_matches(%L, %L, %L) m', :'rules', 'pgw_alerts_total\{kind="(\w+)"', 'g'),
	format('SELECT m[1] FROM regexp_matches(%L, %L, %L) m', substring(:'alerts' FROM '\n## Kinds\n(.*?)\n## '), '^\| `(\w+)` \|', 'gn'), 'each kind of docs/alerts.md has its rule');
SELECT set_eq($$SELECT labels->>'kind' FROM pgw.metrics WHERE name = 'pgw_alerts_total'$$,
	format('SELECT m[1] FROM regexp_matches(%L, %L, %L) m', substring(:'alerts' FROM '\n## Kinds\n(.*?)\n## '), '^\| `(\w+)` \|', 'gn'), 'and is counted from the beginning');

-- the text
INSERT INTO pgw.banks (name, connector, base_url, livemode, enabled) VALUES (E'we"ird\\', 'json', 'https://bank.example', false, false);
SELECT matches(pgw.metrics_text(), '(^|\n)pgw_health_status\{check="bank",livemode="false",subject="we\\"ird\\\\"\} 0\n', 'what has to be escaped is');
SELECT ok(pgw.metrics_text() ~ E'# TYPE pgw_alerts_total counter\n' AND pgw.metrics_text() !~ '# EOF', 'for Prometheus a counter is called what its sample is');
SELECT ok(pgw.metrics_text(true) ~ E'# TYPE pgw_alerts counter\npgw_alerts_total\\{' AND pgw.metrics_text(true) ~ E'\n# EOF\n$', 'for OpenMetrics it is not, and the text has an end');
SELECT * FROM finish();
ROLLBACK;
