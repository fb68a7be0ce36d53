# Two shards seen as one from a third database: where a payment is at home it is shown, once; who gives an id asks one shard; one that is down is
# named and nothing is said to be well; readers see what each shard has granted them; and what two shards have done twice is found.
use strict;
use warnings;
use lib 'test/lib';
use PgwShards;
use PgwTest;
use Test::More;

my $bank = bank_start();
my ($a, $b) = map { shard_node($_, $bank, conf => "fsync = off\npgw.bank_shards = 2\n") } qw(a b);
claim_slots($a, '{[0,511]}');
claim_slots($b, '{[512,1023]}');
my $pay = sub { my ($node, $id, %o) = @_; return $node->safe_psql('postgres', 'SELECT payment_id FROM ' . pay_sql('process_payment', client_request_id => $id, %o)) };
my %id = (a => $pay->($a, 's1.a'), b => $pay->($b, 's600.b'));
$pay->($b, 's601.b', capture => 'manual');
$a->safe_psql('postgres', "CREATE DATABASE report; CREATE ROLE auditor LOGIN; CREATE ROLE stranger LOGIN");
$b->safe_psql('postgres', "CREATE ROLE auditor LOGIN");
$_->safe_psql('postgres', "SELECT pgw.grant_access('auditor', 'auditor')") for $a, $b;

my $report = sub { return $a->safe_psql('report', $_[0]) };
my $refused = sub {
	my ($sql, $why, $name, %o) = @_;
	my (undef, undef, $err) = $a->psql('report', "\\set VERBOSITY verbose\n$sql", %o);
	like($err, $why, $name);
};
$report->('CREATE EXTENSION pgw');
$refused->('SELECT * FROM pgw.global_health()', qr/PW422: there is no schema pgw_all.*HINT: .*global_views/s, 'nothing is asked before it is made');
$refused->("SELECT * FROM pgw.global_views('{a}')", qr/PW400: invalid arguments of pgw\.global_views.*"servers".*a: no server of postgres_fdw.*HINT: .*CREATE EXTENSION postgres_fdw/s, 'without postgres_fdw');
$report->('CREATE EXTENSION postgres_fdw');
$report->(sprintf q{CREATE SERVER %1$s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%2$s', port '%3$s', dbname 'postgres', connect_timeout '10');
	CREATE USER MAPPING FOR postgres SERVER %1$s; CREATE USER MAPPING FOR auditor SERVER %1$s OPTIONS (user 'auditor', password_required 'false');
	GRANT USAGE ON FOREIGN SERVER %1$s TO auditor}, $_->name, $_->host, $_->port) for $a, $b;
my $views = sub { return $report->("SELECT server, shard, at_home, problem IS NOT NULL FROM pgw.global_views('$_[0]', '{auditor}')") };

part($a, 'one of them', sub {
	$refused->("SELECT * FROM pgw.global_views($_->[0])", qr/PW400.*$_->[1].*HINT/s, "arguments: $_->[0]")
	  for [ 'NULL', 'servers' ], [ "'{}'", 'servers' ], [ "'{a,NULL}'", 'servers' ], [ "'{{a},{b}}'", 'one dimension' ], [ "'{a,a}'", 'twice' ], [ "'{c}'", 'c: no server' ], [ "'{a}', '{nobody}'", 'nobody: no such role' ];
	$refused->("SELECT * FROM pgw.global_views('{a}')", qr/42501/, 'it is for the owner of pgw', extra_params => [ '-U', 'stranger' ]);
	is($report->("SELECT server FROM pgw.global_views('{a}', NULL)"), 'a', 'readers are NULL: none');
	is($views->('{a}'), 'a|a|{[0,512)}|f', 'views over one');
	is($report->('SELECT invariant, details FROM pgw_all.broken_invariants'), 'slots_nowhere_at_home|{"slots": "{[512,1024)}"}', 'the slots of the one that is missing are nobody\'s');
	is($report->("SELECT count(*) FROM pgw.global_payment('$id{b}')"), 0, 'nor is its payment there');
});

is($views->('{a,b}'), "a|a|{[0,512)}|f\nb|b|{[512,1024)}|f", 'the other one is added');
is(($a->psql('report', "SELECT FROM pgw.global_views('{a,b}', '{auditor}')"))[2], '', 'and nothing is said of what was there already');

part($a, 'both', sub {
	is($report->('SELECT server, shard, client_request_id, status FROM pgw_all.payments ORDER BY 1, 3'), "a|a|s1.a|captured\nb|b|s600.b|captured\nb|b|s601.b|authorized", 'payments of both');
	is($report->("SELECT server, kind, status FROM pgw_all.transactions WHERE payment_id = '$id{b}'"), 'b|payment|Completed', 'attempts');
	is($report->("SELECT server, event_type FROM pgw_all.events WHERE payment_id = '$id{b}' ORDER BY step_order DESC LIMIT 1"), 'b|TransactionCompleted', 'events');
	is($report->('SELECT count(*) FROM pgw_all.manual_reviews'), 0, 'no reviews');
	is($report->("SELECT count(DISTINCT server), bool_and(value >= 0) FROM pgw_all.metrics WHERE name = 'pgw_reviews'"), '2|t', 'figures');
	is($report->("SELECT server, status FROM pgw_all.health WHERE check_name = 'shard' ORDER BY 1"), "a|ok\nb|ok", 'health');
	is($report->('SELECT count(*) FROM pgw_all.broken_invariants'), 0, 'nothing is broken');
	is($report->("SELECT livemode, currency, bank, payments, approved, approval_rate, captured_amount FROM pgw.global_statistics(now() - interval '1 day', now() + interval '1 hour', by => '{bank}')"),
		join('|', $report->("SELECT livemode, currency, bank, count(*), count(*), '1.0000', sum(captured_amount) FROM pgw_all.payments GROUP BY 1, 2, 3")), 'statistics of both together');
	is($report->("SELECT sum(payments), count(*) FROM pgw.global_statistics(now() - interval '1 day', now() + interval '1 hour', interval '1 hour', '{capture,merchant}')"), '3|2', '... by hours and two columns');
	$refused->('SELECT * FROM pgw.global_statistics(now(), now())', qr/PW400: invalid arguments of pgw\.global_statistics.*later than since/s, '... with arguments that cannot be');
	my $plan = $report->("EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM pgw_all.payments WHERE status = 'captured' AND merchant = 'default'");
	is(scalar(() = $plan =~ /Async Foreign Scan/g), 2, 'both are asked at the same time');
	like($plan, qr/Remote SQL: .*WHERE .*status = 'captured'.*merchant = 'default'/, '... and evaluate the conditions');
	is($report->("SELECT is_insertable_into FROM information_schema.tables WHERE table_schema = 'pgw_all' AND table_name = 'payments\@a'"), 'NO', 'nothing is written through them');
});

# The plans of all that a statement runs.
my $asked = sub {
	my ($sql) = @_;
	my ($rc, $out, $err) = $a->psql('report', "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on; SET auto_explain.log_verbose = on;
		SET client_min_messages = log; $sql");
	return join ' ', $out, sort $err =~ /Foreign Scan on pgw_all\."(\S+)"/g;
};

part($a, 'by id', sub {
	is($asked->("SELECT status FROM pgw.global_payment('$id{b}')"), 'captured payments@b', 'a payment_id: one shard is asked');
	is($asked->("SELECT status FROM pgw.global_find_payment('s1.a')"), 'captured payments@a', 'a client_request_id, too');
	$report->("UPDATE pgw_all.shards SET slots = CASE server WHEN 'a' THEN '{[0,1023]}' ELSE '{}' END::int4multirange");
	is($asked->("SELECT status FROM pgw.global_payment('$id{b}')"), 'captured payments@a payments@b', 'a slot that has moved since: it is looked for in the others');
	$views->('{a,b}');
});

part($a, 'readers', sub {
	my @as = (extra_params => [ '-U', 'auditor' ]);
	is(($a->psql('report', 'SELECT count(*) FROM pgw_all.payments', @as))[1], 3, 'a reader sees what the shards have granted him');
	$b->safe_psql('postgres', "SELECT pgw.revoke_access('auditor', 'auditor')");
	$refused->('SELECT count(*) FROM pgw_all.payments', qr/42501/, '... and no more', @as);
	$b->safe_psql('postgres', "SELECT pgw.grant_access('auditor', 'auditor')");
	$refused->('SELECT count(*) FROM pgw_all.health', qr/42501/, 'what pgw does for him here it grants here', @as);
	$report->("SELECT pgw.grant_access('auditor', 'auditor')");
	is(($a->psql('report', "SELECT count(*) FROM pgw_all.broken_invariants", @as))[1], 0, '... then he may ask');
	is(($a->psql('report', "SELECT count(*) FROM pgw.global_find_payment('s600.b')", @as))[1], 1, '... for a payment, too');
	$refused->('SELECT * FROM pgw_all.payments', qr/42501/, 'nobody else reads anything', extra_params => [ '-U', 'stranger' ]);
	$report->('ALTER SCHEMA pgw_all OWNER TO stranger');
	$refused->("SELECT * FROM pgw.global_views('{a,b}')", qr/PW422: schema pgw_all is another role's.*HINT/s, 'a schema that another role has made is not built in');
	$refused->($_, qr/PW422: schema pgw_all was not made by pgw\.global_views\(\).*HINT: .*"stranger"/s, "nor is it asked: $_")
	  for 'SELECT * FROM pgw.global_health()', 'SELECT * FROM pgw.global_broken_invariants()', "SELECT * FROM pgw.global_payment('$id{b}')", "SELECT * FROM pgw.global_find_payment('s600.b')",
	  "SELECT * FROM pgw.global_statistics(now() - interval '1 day', now())";
	$report->('ALTER SCHEMA pgw_all OWNER TO postgres; GRANT USAGE, CREATE ON SCHEMA pgw_all TO stranger');
	for my $what ('FUNCTION pgw_all.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT $1 $$', 'VIEW pgw_all."health@c" AS SELECT 1', 'DOMAIN pgw_all.amount AS text')
	{
		$report->("SET ROLE stranger; CREATE $what");
		$refused->($_, qr/PW422: in schema pgw_all stands what was not made by.*HINT:  \w+ .*"stranger"/s, "what a stranger has put into it: $what") for 'SELECT * FROM pgw.global_health()', "SELECT * FROM pgw.global_views('{a,b}')";
		$report->('DROP ' . $what =~ s/(?: RETURNS| AS).*//sr);
	}
	$report->('CREATE SCHEMA mine AUTHORIZATION stranger; GRANT TRIGGER, REFERENCES ON pgw_all.shards TO stranger;
		SET ROLE stranger; CREATE FUNCTION mine.run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN CREATE TABLE mine.ran (); RETURN NULL; END $$');
	for my $what ('CREATE TRIGGER planted AFTER INSERT OR UPDATE OR DELETE ON pgw_all.shards FOR EACH STATEMENT EXECUTE FUNCTION mine.run()', 'CREATE TABLE mine.refers (server text REFERENCES pgw_all.shards)')
	{
		$report->("SET ROLE stranger; $what");
		$refused->($_, qr/PW422: in schema pgw_all stands what was not made by.*HINT:  pgw_all\.shards has the trigger/s, "what a stranger may have do others' work: $what") for 'SELECT * FROM pgw.global_health()', "SELECT * FROM pgw.global_views('{a,b}')";
		$report->('DROP TRIGGER IF EXISTS planted ON pgw_all.shards; DROP TABLE IF EXISTS mine.refers');
	}
	is($report->("SELECT to_regclass('mine.ran') IS NULL"), 't', '... nothing of it has run');
	$report->('REVOKE TRIGGER, REFERENCES ON pgw_all.shards FROM stranger; DROP SCHEMA mine CASCADE');
	is($report->('SELECT count(*) FROM pgw_all.health WHERE status IS NULL'), 0, '... and when it is gone they are asked again');
	# somebody is faster with a name that is just being made
	$report->(q{CREATE SCHEMA kept; CREATE FUNCTION kept.plant() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN IF to_regclass('pgw_all."health@a"') IS NULL THEN
		CREATE VIEW pgw_all."health@a" AS SELECT 'x'::text AS check_name, 'ok'::text AS status, ''::text AS advice, '{}'::jsonb AS details; ALTER VIEW pgw_all."health@a" OWNER TO stranger; END IF; END $$;
		DROP VIEW pgw_all.health; DROP FOREIGN TABLE pgw_all."health@a"; CREATE EVENT TRIGGER faster ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'COMMENT') EXECUTE FUNCTION kept.plant()});
	$refused->("SELECT * FROM pgw.global_views('{a,b}')", qr/PW422: in schema pgw_all stands what was not made by.*HINT:  view pgw_all\."health\@a" is the property of "stranger"/s, 'what is planted while the views are made');
	$report->('DROP EVENT TRIGGER faster; DROP SCHEMA kept CASCADE');
	$views->('{a,b}');
});

# What routing must never do.
part($a, 'broken', sub {
	$b->safe_psql('postgres', "SELECT pgw.claim_slots('{[1,2]}')");
	$pay->($b, 's1.a');
	is($report->("SELECT invariant, servers, details - 'payments' FROM pgw_all.broken_invariants ORDER BY 1"),
		"request_paid_twice|{a,b}|{\"merchant\": \"default\", \"client_request_id\": \"s1.a\"}\nslots_at_home_twice|{a,b}|{\"slots\": \"{[1,3)}\", \"shards\": [\"a\", \"b\"]}", 'a slot that two have, and a request that is paid twice');
	$report->("CREATE SERVER again FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '" . $b->host . "', port '" . $b->port . "', dbname 'postgres'); CREATE USER MAPPING FOR postgres SERVER again");
	$refused->("SELECT * FROM pgw.global_views('{a,b,again}')", qr/PW400.*"servers".*b and again lead to one database/s, 'one shard by two names is refused');
	$report->("ALTER SERVER again OPTIONS (SET port '1')");
	like($views->('{a,b,again}'), qr/^again\|\|\|t$/m, '... where that can be seen');
	$report->("ALTER SERVER again OPTIONS (SET port '" . $b->port . "')");
	is($report->("SELECT servers FROM pgw_all.broken_invariants WHERE invariant = 'servers_of_one_shard'"), '{again,b}', 'one shard by two names');
	is($report->("SELECT count(*) FROM pgw_all.broken_invariants WHERE invariant = 'payment_at_home_twice'"), 3, '... all of whose payments are there twice');
	$views->('{a,b}');
	is($report->("SELECT count(*) FROM pg_class WHERE relnamespace = 'pgw_all'::regnamespace AND relname LIKE '%\@again'"), 0, 'what is taken out is gone');
});

part($a, 'down', sub {
	$b->stop('fast');
	is($report->("SELECT server, check_name, status, details->>'sqlstate' FROM pgw_all.health WHERE server = 'b'"), 'b|reachable|error|08001', 'one is down: health says so');
	is($report->("SELECT count(*) > 5 FROM pgw_all.health WHERE server = 'a'"), 't', '... and how the other one is');
	is($report->('SELECT invariant, servers FROM pgw_all.broken_invariants'), 'shard_unreachable|{b}', 'it is no all-clear, and nothing is said of its slots');
	$refused->('SELECT count(*) FROM pgw_all.payments', qr/08001.*"b"/s, 'who asks for all of it gets an error');
	is($report->("SELECT status FROM pgw.global_payment('$id{a}')"), 'captured', '... and who gives the id of one that is there gets that');
	like($views->('{a,b}'), qr/^a\|a\|.*\|f\nb\|\|\|t$/s, 'it can be built without it');
	$b->start;
	is($report->('SELECT count(*) FROM pgw_all.payments'), 4, 'it is there again');
});

part($a, 'dump', sub {
	my $dump = $a->basedir . '/report.sql';
	$a->command_ok([ 'pg_dump', '-f', $dump, $a->connstr('report') ], 'a dump of the report database');
	$a->safe_psql('postgres', 'CREATE DATABASE restored');
	$a->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $a->connstr('restored') ], '... is restored');
	is($a->safe_psql('restored', 'SELECT count(*) FROM pgw_all.payments'), 4, '... with its views');
	$refused->('DROP EXTENSION pgw', qr/pgw_all\.health depends/, 'the extension does not go while they are there');
});

done_testing();
