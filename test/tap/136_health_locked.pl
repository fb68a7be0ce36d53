# pgw.health() while somebody has, or waits for, ACCESS EXCLUSIVE: it waits for nobody, and the rows that it could not look at say who is in the way. On a
# standby that replays such a lock, too.
use strict;
use warnings;
use lib 'test/lib';
use PgwMonitoring;
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = pgw_node('locked', conf => "fsync = off\n", init => { allows_streaming => 1 });
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub tables { return split /\n/, sql(q(SELECT oid::regclass FROM pg_class WHERE relnamespace = 'pgw'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1)) }

# Every row but those that are about each bank, which are not known while the banks are not.
my $names = q(SELECT string_agg(check_name, ',' ORDER BY check_name) FROM pgw.health() WHERE check_name NOT LIKE 'bank:%');
my $locked = q(SELECT string_agg(check_name, ',' ORDER BY check_name) FROM pgw.health() WHERE status = 'locked');
# those that anybody's lock on one table keeps from being looked at
my %hidden = ('pgw.banks' => 'banks', 'pgw.open_work' => 'queue', 'pgw.payments' => 'partitions', 'pgw.bank_versions' => 'bank_versions', 'pgw.baseline' => 'baseline');

is(sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'first')), 'captured', 'a payment');
my $all = sql($names);
is(sql($locked), '', 'nothing is locked');

# What health() says meanwhile, which it must do by itself: the statement's time limit is far off.
sub told
{
	my ($query, $name, $on) = @_;
	my ($rc, $out, $err) = ($on // $node)->psql('postgres', "SET statement_timeout = '60s'; $query");
	is($rc, 0, "$name: answered") or diag($err);
	return $out // '';
}

part($node, 'queued', sub {
	for my $table (tables())
	{
		my $reader = PgwSession->new($node);
		$reader->run("BEGIN; LOCK TABLE $table IN ACCESS SHARE MODE");
		my $ddl = PgwSession->new($node)->send("BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE; ROLLBACK");
		$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND pid = ' . $ddl->backend) or die "nothing waits for $table";
		is(told($names, $table), $all, 'every row');
		if (my $check = $hidden{$table})
		{
			is(told("SELECT status FROM pgw.health() WHERE check_name = '$check'", $table), 'locked', "$check says so");
			is(told("SELECT s->>'waits_for' FROM pgw.health(), jsonb_array_elements(details->'sessions') s WHERE check_name = '$check' AND s->>'table' = '$table' AND s->>'pid' = '"
					  . $ddl->backend . "'", $table), '[' . $reader->backend . ']', 'who waits, and for whom');
		}
		$reader->run('ROLLBACK');
		$ddl->wait;
	}
	is(sql($locked), '', 'no longer');
});

part($node, 'granted', sub {
	my $s = PgwSession->new($node);
	$s->run('BEGIN; LOCK TABLE ' . join(', ', tables()) . ' IN ACCESS EXCLUSIVE MODE');
	is(told($names, 'all tables'), $all, 'every row');
	like(told($locked, 'all tables'), qr/\baccepted\b.*\bbanks\b.*\bpartitions\b.*\breviews\b/, 'those that read tables are locked');
	is(told("SELECT count(*) FROM pgw.health() WHERE status = 'locked' AND NOT details->'sessions' \@> '[{\"pid\": " . $s->backend . ", \"granted\": true}]'", 'all tables'), 0, 'and name the session');
	is(told("SELECT status FROM pgw.health() WHERE check_name = 'worker_mode'", 'all tables'), 'ok', 'the others are looked at');
	is(told("SELECT string_agg(DISTINCT value::text, ',') FROM pgw.metrics WHERE name IN ('pgw_worker_up', 'pgw_queue') OR name = 'pgw_health_status' AND labels->>'check' = 'banks'", 'all tables'),
		'1,3', 'the figures wait for nobody either: what stands in tables is left out, and the status says so');
	is(told(q(SELECT status FROM pgw.health() WHERE check_name = 'launcher'; SHOW lock_timeout), 'all tables'), "ok\n0", "the session's own lock_timeout stays");

	$s->run('ROLLBACK');
	sql("CREATE ROLE eye; SELECT pgw.grant_access('eye', 'monitor')");
	$s->run('BEGIN; LOCK TABLE pgw.access_grants IN ACCESS EXCLUSIVE MODE');
	my $asking = PgwSession->new($node);
	$asking->run("SET ROLE eye; SELECT count(*) FROM pgw.health()");
	is($asking->state, '55P03', 'who needs a grant does not wait for the grants');
	like($asking->err, qr/pgw cannot see who may ask this.*HINT:.*health_summary/s, 'and is told what to do');
	$s->run('ROLLBACK');
	$asking->run('SELECT count(*) FROM pgw.health()');
	is($asking->state, '00000', 'then it may');

	$s->run('BEGIN; LOCK TABLE pg_catalog.pg_extension IN ACCESS EXCLUSIVE MODE');
	$asking->run("SELECT status FROM pgw.health() WHERE check_name = 'version'");
	is($asking->state . ' ' . $asking->{out}, '00000 locked', 'a catalog that is locked is told of, too, whoever asks');
	$s->run('ROLLBACK');
});

part($node, 'one transaction', sub {
	my $s = PgwSession->new($node);
	$s->run('BEGIN; LOCK TABLE pgw.banks IN ACCESS EXCLUSIVE MODE');
	my $asking = PgwSession->new($node);
	$asking->run("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY; SELECT status FROM pgw.health() WHERE check_name = 'banks'");
	is($asking->run("SELECT status FROM pgw.health() WHERE check_name = 'banks'"), 'locked', 'locked');
	$s->run('ROLLBACK');
	is($asking->run("SELECT status FROM pgw.health() WHERE check_name = 'banks'"), 'ok', 'and in the same transaction, later, it is not: nothing is left behind');
	is($asking->run('SELECT 1; COMMIT'), 1, 'which goes on');
});

part($node, 'standby', sub {
	$node->backup('standby');
	my $standby = PostgreSQL::Test::Cluster->new('locked_standby');
	$standby->init_from_backup($node, 'standby', has_streaming => 1);
	$standby->start;
	my $s = PgwSession->new($node);
	$s->run('BEGIN; LOCK TABLE ' . join(', ', tables()) . ' IN ACCESS EXCLUSIVE MODE');
	flush_wal($node);
	ok($standby->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'pgw.payments'::regclass"), 'the lock is held on the standby');
	like(told($locked, 'standby', $standby), qr/\bbanks\b.*\breviews\b/, 'locked there');
	is(told("SELECT string_agg(status, ',') FROM pgw.health() WHERE check_name IN ('launcher', 'worker')", 'standby', $standby), 'ok,ok', 'that no worker runs there is no fault');
	my ($rc, undef, $err) = $standby->psql('postgres', 'SELECT pgw.run_recovery()');
	like($err, qr/HINT:  This server is a standby/, 'and who asks for its work is told why');
	is(told("SELECT DISTINCT s->>'process' FROM pgw.health(), jsonb_array_elements(details->'sessions') s WHERE check_name = 'banks'", 'standby', $standby), 'startup', 'by the primary');
	$s->run('ROLLBACK');
	$standby->stop('fast');
});

$node->stop('fast');
done_testing();
