# CREATE EXTENSION as a superuser, in a database whose owner has planted functions, operators, casts, types and tables of the names that the script uses, with argument types that fit
# better than pg_catalog's: none of them runs, none is bound into anything, not in the script and not when everything is used.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('planted');
my $bank = bank_start();
$node->safe_psql('postgres', 'CREATE ROLE mallory LOGIN; CREATE ROLE shop LOGIN; CREATE DATABASE shop OWNER mallory');

# Every name that stands before a parenthesis in the script and is a function of pg_catalog, with all its argument lists: with each pseudo-type or "any" replaced by types
# that a literal or a value of pgw's would have, and with text for each argument, which an unknown literal prefers to everything.
my $script = slurp_file('build/pgw--1.0.sql');
$script =~ s/^\s*--.*$//mg;
my %names = map { $_ => 1 } $script =~ /\b([a-z_0-9]+)\s*\(/g;
my $list = join ',', map { "'$_'" } sort keys %names;
my $planted = $node->safe_psql('shop', <<"SQL", extra_params => [ '-U', 'mallory' ]);
CREATE TABLE public.ran (what text, who text);
GRANT INSERT ON public.ran TO public;
GRANT USAGE, CREATE ON SCHEMA public TO public;
CREATE FUNCTION public.plant(name text, args text[], result text) RETURNS int LANGUAGE plpgsql AS \$\$
BEGIN
	EXECUTE pg_catalog.format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', name, pg_catalog.array_to_string(args, ', '), result,
		pg_catalog.format('BEGIN INSERT INTO public.ran VALUES (%L, current_user); RETURN NULL; END', name || '(' || pg_catalog.array_to_string(args, ', ') || ')'));
	RETURN 1;
EXCEPTION WHEN OTHERS THEN RETURN 0;	-- there is one already, or there can be none
END \$\$;
SELECT sum(plant(proname, args, CASE WHEN result ~ 'any' OR result = 'trigger' THEN 'text' ELSE result END)) FROM (
	SELECT p.proname, format_type(p.prorettype, NULL) AS result, array_agg(CASE v.n WHEN 1 THEN 'text' WHEN 2 THEN CASE WHEN t ~ 'any|reg|internal|cstring|name' THEN 'text' ELSE t END
		WHEN 3 THEN CASE WHEN t ~ 'any' THEN 'pg_catalog.jsonb' ELSE t END ELSE CASE WHEN t ~ 'any' THEN 'pg_catalog.uuid' ELSE t END END ORDER BY i) AS args
	FROM pg_catalog.pg_proc p, pg_catalog.unnest(p.proargtypes) WITH ORDINALITY a (o, i), pg_catalog.format_type(a.o, NULL) t, pg_catalog.generate_series(1, 4) v (n)
	WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.prokind = 'f' AND p.proname IN ($list) GROUP BY p.oid, p.proname, p.prorettype, v.n) f;
SELECT sum(plant(name, args, 'text')) FROM (VALUES ('jsonb_build_object', '{text,pg_catalog.anyenum,text,int}'::text[]), ('jsonb_build_object', '{text,text,text,int}'), ('format', '{text,text}'), ('format', '{text,text,text}'), ('coalesce', '{text,text}'),
	('concat', '{text,text}'), ('concat_ws', '{text,text,text}'), ('pg_extension_config_dump', '{text,text}'), ('set_config', '{text,text,boolean}'), ('count', '{text}')) v (name, args);
CREATE FUNCTION public.op_text(text, text) RETURNS boolean LANGUAGE plpgsql AS \$\$ BEGIN INSERT INTO public.ran VALUES ('operator', current_user); RETURN true; END \$\$;
CREATE FUNCTION public.op_json(jsonb, text) RETURNS text LANGUAGE plpgsql AS \$\$ BEGIN INSERT INTO public.ran VALUES ('operator', current_user); RETURN ''; END \$\$;
DO \$\$ DECLARE o text; BEGIN FOREACH o IN ARRAY '{=,<>,<,>,<=,>=,~,!~,~~}'::text[] LOOP EXECUTE pg_catalog.format('CREATE OPERATOR public.%s (LEFTARG = text, RIGHTARG = text, FUNCTION = public.op_text)', o); END LOOP;
	FOREACH o IN ARRAY '{->,->>,||,-,#>>}'::text[] LOOP EXECUTE pg_catalog.format('CREATE OPERATOR public.%s (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = public.op_json)', o); END LOOP; END \$\$;
CREATE DOMAIN public.text AS pg_catalog.int4; CREATE DOMAIN public.uuid AS pg_catalog.text; CREATE DOMAIN public.jsonb AS pg_catalog.text; CREATE DOMAIN public.timestamptz AS pg_catalog.text;
CREATE TABLE public.pg_class (oid oid); CREATE TABLE public.pg_roles (oid oid); CREATE TABLE public.pg_extension (oid oid);
CREATE TABLE public.payments (); CREATE TABLE public.banks (); CREATE TABLE public.new_events ();
SELECT count(*) FROM pg_catalog.pg_proc WHERE pronamespace = 'public'::pg_catalog.regnamespace;
SQL
cmp_ok((split /\n/, $planted)[-1], '>=', 80, 'functions are planted');
is($node->safe_psql('shop', "SELECT pg_extension_config_dump('a', 'b') IS NULL", extra_params => [ '-U', 'mallory' ]), 't', 'they are what an unqualified name finds');
is($node->safe_psql('shop', 'SELECT count(*) FROM public.ran'), 1, 'and when one runs, it shows');
$node->safe_psql('shop', 'TRUNCATE public.ran');

# As a superuser, with the search_path that superusers have.
my ($ret, undef, $err) = $node->psql('shop', 'CREATE EXTENSION pgw');
is($ret, 0, 'the extension is installed') or diag($err);
is($node->safe_psql('shop', 'SELECT string_agg(DISTINCT what || $$ as $$ || who, $$, $$) FROM public.ran'), '', 'nothing planted ran while it was installed');
is($node->safe_psql('shop', <<'SQL'), '', 'nothing of pgw is bound to something planted');
SELECT string_agg(pg_catalog.pg_describe_object(d.classid, d.objid, 0) || ' uses ' || pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0), '; ') FROM pg_catalog.pg_depend d
WHERE (d.refclassid, d.refobjid) IN (
	SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, oid FROM pg_catalog.pg_proc WHERE pronamespace = 'public'::pg_catalog.regnamespace
	UNION ALL SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, oid FROM pg_catalog.pg_operator WHERE oprnamespace = 'public'::pg_catalog.regnamespace
	UNION ALL SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, oid FROM pg_catalog.pg_type WHERE typnamespace = 'public'::pg_catalog.regnamespace
	UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, oid FROM pg_catalog.pg_class WHERE relnamespace = 'public'::pg_catalog.regnamespace)
AND (d.classid, d.objid) NOT IN (SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, oid FROM pg_catalog.pg_class WHERE relnamespace = 'public'::pg_catalog.regnamespace)
AND (SELECT pg_catalog.pg_describe_object(d.classid, d.objid, 0)) ~ 'pgw'
SQL

# Everything is used: with a search_path that finds the planted things first, by a client and by the superuser.
$node->safe_psql('shop', "SET search_path = pg_catalog; INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('bank', 'json', 'http://127.0.0.1:$bank->{port}', 'bank'); SELECT pgw.grant_access('shop', 'client'); SELECT pgw.grant_access('shop', 'operator')");
wait_worker($node, 'shop');
my $path = 'SET search_path = public, pg_catalog';
for my $who ('shop', 'postgres')
{
	my $out = '';
	my ($ok, $bad) = (0, 0);
	for my $sql ("SELECT pgw.process_payment(client_request_id OPERATOR(pg_catalog.||) ''::pg_catalog.text, amount => 100, currency => 'EUR'::pg_catalog.text, token => 'tok_ok'::pg_catalog.text) FROM (VALUES ('p-$who'::pg_catalog.text)) v (client_request_id)",
		"SELECT pgw.submit_payment('s-$who'::pg_catalog.text, 100, 'EUR'::pg_catalog.text, token => 'tok_ok'::pg_catalog.text)",
		"SELECT pgw.wait_for_payment((pgw.find_payment('s-$who'::pg_catalog.text)).payment_id, '20s'::pg_catalog.interval)",
		"SELECT pgw.refund_payment((pgw.find_payment('p-$who'::pg_catalog.text)).payment_id, 'r-$who'::pg_catalog.text)",
		"SELECT pgw.payment_history((pgw.find_payment('p-$who'::pg_catalog.text)).payment_id)", 'SELECT * FROM pgw.manual_reviews', 'SELECT * FROM pgw.health()', 'SELECT * FROM pgw.metrics',
		'SELECT * FROM pgw.check_consistency()', 'SELECT * FROM pgw.broken_invariants', 'SELECT pgw.run_recovery()', 'SELECT * FROM pgw.alerts', 'SELECT pgw.resume_after_restore()')
	{
		my ($rc, undef, $e) = $node->psql('shop', "$path; $sql", extra_params => [ '-U', $who ]);
		$rc == 0 ? $ok++ : $bad++;
		$out .= "$sql: $e\n" if $rc != 0 && $who eq 'postgres';
	}
	cmp_ok($ok, '>=', 7, "$who used the functions and views ($ok went well)") or diag($out);
}
is($node->safe_psql('shop', 'SET search_path = pg_catalog; SELECT string_agg(DISTINCT what || $$ as $$ || who, $$, $$) FROM public.ran'), '', 'nothing planted ran while everything was used, by callers and by the worker');
is($node->safe_psql('shop', "SET search_path = pg_catalog; SELECT status FROM pgw.find_payment('s-shop')"), 'captured', 'the worker did its work there');
$node->stop('fast');
done_testing();
