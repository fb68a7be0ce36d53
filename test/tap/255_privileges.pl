# Nobody has a privilege on pgw's objects but by pgw.grant_access(): neither by default privileges nor by a GRANT of which nobody is told. And what a client may do with his own
# (a foreign key) is seen. Statements for which no event trigger fires do not stop everybody else's DDL.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('privileges');
my $bank = bank_start();

# What a housekeeping administrator has said long before pgw came
my $defaults = <<'SQL';
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO app WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO app;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO app;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO app;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO app, PUBLIC;
SQL
$node->safe_psql('postgres', "CREATE ROLE app LOGIN; CREATE ROLE other LOGIN; $defaults");
pgw_setup($node, $bank);
$node->safe_psql('postgres', "INSERT INTO pgw.merchants (merchant) VALUES ('acme')");
sub sql { return $node->safe_psql('postgres', $_[0]) }

sub error_of
{
	my ($role, $sql) = @_;
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", extra_params => [ '-U', $role ]);
	return $err =~ /ERROR:  (\w+)/ ? $1 : '';
}

sub health
{
	return $node->safe_psql($_[1] // 'postgres', "SELECT status || ' ' || details FROM pgw.health() WHERE check_name = '$_[0]'");
}

# Every entry in the catalogs, told by another query than pgw's own: of whatever lies in schema pgw, whose grantee is not its owner
my $entries = <<'SQL';
SELECT array_to_string(ARRAY(SELECT DISTINCT format('%s %s %s', what, grantee::regrole, privilege_type) FROM (
	SELECT oid::regclass::text AS what, (aclexplode(coalesce(relacl, acldefault('r', relowner)))).*, relowner AS owner FROM pg_class WHERE relnamespace = 'pgw'::regnamespace AND relkind NOT IN ('i', 'I', 'c')
	UNION ALL SELECT oid::regprocedure::text, (aclexplode(coalesce(proacl, acldefault('f', proowner)))).*, proowner FROM pg_proc WHERE pronamespace = 'pgw'::regnamespace
	UNION ALL SELECT oid::regtype::text, (aclexplode(coalesce(typacl, acldefault('T', typowner)))).*, typowner FROM pg_type WHERE typnamespace = 'pgw'::regnamespace AND typtype <> 'c' AND typelem = 0
	UNION ALL SELECT nspname::text, (aclexplode(coalesce(nspacl, acldefault('n', nspowner)))).*, nspowner FROM pg_namespace WHERE nspname = 'pgw'
	UNION ALL SELECT attrelid::regclass || '.' || attname, (aclexplode(attacl)).*, relowner FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'pgw'::regnamespace
) e WHERE grantee <> owner ORDER BY 1), E'\n')
SQL

# without the monthly partitions
sub without_months { return join "\n", grep { !/transaction_events_y/ } split /\n/, $_[0] }

part($node, 'default privileges', sub {
	is(sql($entries), '', 'default privileges give nobody anything: tables, partitions, functions, types, the schema');
	is(sql("SELECT count(*) FROM pg_inherits WHERE inhparent = 'pgw.transaction_events'::regclass"), 4, 'the partitions are among them');
	is(sql('SELECT pgw.ensure_event_partitions(4)'), 2, 'partitions that are made later');
	is(sql($entries), '', 'are nobody\'s, too');
	is(error_of('app', "UPDATE pgw.banks SET base_url = 'http://127.0.0.1:1'"), '42501', 'a bank is not sent elsewhere');
	like(health('privileges'), qr/^ok /, 'health() finds nothing');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'neither does check_consistency()');
});

part($node, 'granted', sub {
	sql("SELECT pgw.grant_access('app', 'client', 'acme'); SELECT pgw.grant_access('other', 'operator'); SELECT pgw.grant_access('other', 'auditor')");
	is(error_of('app', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'granted', merchant => 'acme')), '', 'what grant_access() gives is there');
	like(health('privileges'), qr/^ok /, 'and explained');
	is(sql('SELECT pgw.revoke_unexplained_privileges()'), 0, 'and kept');
	is(error_of('app', 'SELECT pgw.find_payment(\'granted\', \'acme\')'), '', 'still');
	like(sql($entries), qr/^pgw\.payments\.payment_id app REFERENCES$/m, 'with the foreign key that a client may make');
	sql("SELECT pgw.revoke_access('other', 'operator'); SELECT pgw.revoke_access('other', 'auditor')");
	unlike(sql($entries), qr/ other /, 'revoke_access() takes all of it');
});

part($node, 'by hand', sub {
	my $before = sql($entries);
	my $n = 0;
	for my $grant (
		[ 'GRANT SELECT ON ALL TABLES IN SCHEMA pgw TO other', 'TABLE pgw.banks', undef, 'other', 'SELECT' ],
		[ 'GRANT UPDATE (base_url) ON pgw.banks TO app', 'TABLE pgw.banks', 'base_url', 'app', 'UPDATE' ],
		[ 'GRANT EXECUTE ON FUNCTION pgw.grant_access TO PUBLIC', 'FUNCTION pgw.grant_access(regrole,text,text)', undef, 'PUBLIC', 'EXECUTE' ],
		[ 'GRANT CREATE ON SCHEMA pgw TO app', 'SCHEMA pgw', undef, 'app', 'CREATE' ],
		[ 'GRANT USAGE ON TYPE pgw.capture_mode TO other', 'TYPE pgw.capture_mode', undef, 'other', 'USAGE' ],
		[ 'GRANT TRUNCATE ON pgw.transaction_events_default TO other', 'TABLE pgw.transaction_events_default', undef, 'other', 'TRUNCATE' ],
		[ 'GRANT SELECT ON pgw.my_payments TO app WITH GRANT OPTION; SET ROLE app; GRANT SELECT ON pgw.my_payments TO other', 'TABLE pgw.my_payments', undef, 'app', 'GRANT OPTION FOR SELECT' ])
	{
		my ($statement, $object, $column, $grantee, $privilege) = @$grant;
		my $row = join ' AND ', "details->>'object' = '$object'", defined $column ? "details->>'column' = '$column'" : "NOT details ? 'column'", "details->>'grantee' = '$grantee'", "details->>'privilege' = '$privilege'";
		sql($statement);
		is(sql("SELECT count(*) FROM pgw.check_consistency() WHERE check_name = 'privileges' AND $row"), 1, "check_consistency() finds $privilege on $object");
		is(sql("SELECT count(*) FROM pgw.health(), jsonb_array_elements(health.details->'unexplained') AS e (details) WHERE check_name = 'privileges' AND status = 'error' AND "
			. $row =~ s/details/e.details/gr), 1, 'so does health()');
		cmp_ok(sql('SELECT pgw.revoke_unexplained_privileges()'), '>', 0, 'it is taken back');
		is(sql($entries), $before, 'and nothing else');
	}
	like(health('privileges'), qr/^ok /, 'sound again');

	sql('GRANT pg_write_all_data TO other');
	like(health('privileges'), qr/^warning .*"write_all_data": \["other"\]/, 'who may write all tables is named');
	sql('REVOKE pg_write_all_data FROM other');
});

# A dump holds the grants; the tables of a restored partition are made by the dump, with the default privileges of the database that it is restored into.
part($node, 'restored', sub {
	my $file = $node->basedir . '/privileges.sql';
	my $before = sql($entries);
	system_or_bail('pg_dump', '-h', $node->host, '-p', $node->port, '-f', $file, 'postgres');
	$node->safe_psql('postgres', "CREATE DATABASE r$_") for 'plain', 'defaults';
	$node->safe_psql('rdefaults', $defaults);
	for my $name ('rplain', 'rdefaults')
	{
		$node->command_ok([ 'psql', '-q', '-X', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-f', $file, '-o', '/dev/null', $name ], "$name is restored");
		is(without_months($node->safe_psql($name, $entries)), without_months($before), 'what CREATE EXTENSION makes has the same privileges');
	}
	is($node->safe_psql('rplain', $entries), $before, 'so have the restored partitions');
	like(health('privileges', 'rplain'), qr/^ok /, 'all explained');
	like(health('privileges', 'rdefaults'), qr/^error .*transaction_events_y/, 'default privileges of the new database on restored partitions are found');
	$node->safe_psql('rdefaults', 'SELECT pgw.revoke_unexplained_privileges()');
	is($node->safe_psql('rdefaults', $entries), $before, 'and taken away');
});

# No event trigger fires for these: what they leave is health()'s to tell, and others' DDL goes on.
part($node, 'reassigned', sub {
	sql('CREATE ROLE dba SUPERUSER LOGIN; GRANT CREATE ON SCHEMA public TO app;
		CREATE FUNCTION public.sf() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
		CREATE TRIGGER sf AFTER INSERT ON pgw.payments FOR EACH ROW EXECUTE FUNCTION public.sf(); ALTER FUNCTION public.sf() OWNER TO dba');
	for my $way ('REASSIGN OWNED BY dba TO app', 'ALTER ROLE dba NOSUPERUSER')
	{
		sql($way);
		like(health('code_of_others'), qr/^error .*sf\(\)/, "$way: health() finds the function");
		is(sql("SELECT count(*) FROM pgw.check_consistency() WHERE check_name = 'code_of_others'"), 1, 'so does check_consistency()');
		for my $statement ('CREATE TEMP TABLE q (x int); ALTER TABLE q ADD y int CHECK (y > 0); CREATE INDEX ON q (x)', 'CREATE FUNCTION public.f9() RETURNS int LANGUAGE sql AS \'SELECT 1\'',
			'CREATE OR REPLACE FUNCTION public.f9() RETURNS int LANGUAGE sql AS \'SELECT 2\'', 'DROP FUNCTION public.f9()', 'CREATE TABLE public.refers (p uuid REFERENCES pgw.payments)', 'DROP TABLE public.refers')
		{
			is(error_of('app', $statement), '', "$statement is let through");
		}
		is(error_of('postgres', "BEGIN; SELECT pgw.ensure_event_partitions(6); ROLLBACK"), '', 'so are new partitions of the events');
		is(error_of('postgres', 'CREATE TRIGGER again AFTER INSERT ON pgw.payments FOR EACH ROW EXECUTE FUNCTION public.sf()'), 'PW422', 'the same function once more is refused');
		is(error_of('postgres', 'ALTER FUNCTION public.sf() COST 5'), 'PW422', 'and so is its next change');
		sql('ALTER ROLE dba SUPERUSER; ALTER FUNCTION public.sf() OWNER TO dba');
	}
	sql('DROP TRIGGER sf ON pgw.payments; DROP FUNCTION public.sf()');
	like(health('code_of_others'), qr/^ok /, 'sound again');
});

part($node, 'foreign key cast', sub {
	sql('CREATE DOMAIN public.id AS uuid; ALTER EVENT TRIGGER pgw_refuse_foreign_key_casts DISABLE;
		CREATE TABLE public.old (p public.id REFERENCES pgw.payments); ALTER EVENT TRIGGER pgw_refuse_foreign_key_casts ENABLE ALWAYS');
	like(health('foreign_keys'), qr/^error .*old/, 'what was made while the trigger was off is found');
	is(error_of('app', 'CREATE TEMP TABLE q (x int)'), '', 'others\' DDL goes on');
	is(error_of('postgres', 'ALTER TABLE public.old ADD x int'), 'PW422', 'its own table is not altered before it is mended');
	sql('DROP TABLE public.old; DROP DOMAIN public.id');
});

# CREATE TABLE ... REFERENCES takes SHARE ROW EXCLUSIVE on pgw.payments until its transaction ends: PostgreSQL's way. health() names who it is.
part($node, 'open foreign key', sub {
	my $s = PgwSession->new($node);
	my $pid;

	$s->query('SET ROLE app; BEGIN; CREATE TABLE public.fk (p uuid REFERENCES pgw.payments)');
	$pid = $s->query('SELECT pg_backend_pid()');
	my $p = psql_start($node, 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'waits', timeout => '60s'));
	ok(wait_until(sub { health('table_locks') =~ /^warning .*"pid": $pid\b/ }, 30), 'who keeps payments out is named') or diag(health('table_locks'));
	my $row = health('table_locks');
	like($row, qr/"role": "postgres"/, 'with the role that it has logged in as');
	like($row, qr/"state": "idle in transaction"/, 'with its state');
	like($row, qr/"table": "pgw.payments"/, 'the table');
	like($row, qr/"ShareRowExclusiveLock"/, 'and the lock');
	is(sql("SELECT pg_terminate_backend($pid)"), 't', 'the advice');
	$p->{h}->finish;
	is($p->{out}, "captured\n", 'helps: the payment goes on');
	ok(wait_until(sub { health('table_locks') =~ /^ok .*"sessions": \[\]/ }, 30), 'and health() is content');
});

is_sound($node, $bank, 'sound after all that', seconds => 60);
$node->stop('fast');
done_testing();
