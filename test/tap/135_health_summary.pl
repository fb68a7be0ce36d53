# pgw.health_summary(): each fault is made, and the row names it; it is answered from shared memory while every table of pgw is locked, in read-only mode and
# on a standby, for every level of access. What the worker leaves there is in pgw.health(), too.
use strict;
use warnings;
use lib 'test/lib';
use PgwMonitoring;
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = pgw_node('summary', conf => "fsync = off\npgw.fencing_delay = 0\npgw.max_waiting = 5\npgw.retry_base_delay = '100ms'\n", init => { allows_streaming => 1 });
my $bank = bank_start();
pgw_setup($node, $bank);

my $summary = q(SELECT live, ready, degraded, split_part(reason, ':', 1) FROM pgw.health_summary());
my $sound = 't|t|f|';

sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

# A row comes to be this one.
sub becomes
{
	my ($want, $name, $on) = @_;
	my $is = '';
	ok(wait_until(sub { ($is = ($on // $node)->safe_psql('postgres', $summary)) eq $want }, 30), $name) or diag("it is $is");
}

sub tables { return $node->safe_psql('postgres', q(SELECT string_agg(oid::regclass::text, ', ') FROM pg_class WHERE relnamespace = 'pgw'::regnamespace AND relkind IN ('r', 'p'))) }
sub worker { return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'") }

is($node->safe_psql('postgres', pay('first')), 'captured', 'a payment');
becomes($sound, 'a sound system');
ok(health($node, 'worker', 'last_turn_age_seconds') =~ /^ok\|-\|\d/, "health(): the worker's last turn") or diag(health($node, 'worker', 'last_turn_age_seconds'));
like(health($node, 'worker', 'last_commit_age_seconds'), qr/^ok\|-\|\d/, '... and its last commit');

part($node, 'access', sub {
	$node->safe_psql('postgres', "CREATE ROLE $_; SELECT pgw.grant_access('$_', '$_')") for qw(client auditor operator monitor);
	$node->safe_psql('postgres', 'CREATE ROLE stranger; GRANT USAGE ON SCHEMA pgw TO stranger');
	my $s = PgwSession->new($node);
	for my $role (qw(client auditor operator monitor stranger))
	{
		$s->run("SET ROLE $role; BEGIN READ ONLY");
		$s->run($summary);
		is($s->state, $role eq 'stranger' ? '42501' : '00000', "in read-only mode: $role");
		$s->run('ROLLBACK; RESET ROLE');
	}
	$node->safe_psql('postgres', 'REVOKE USAGE ON SCHEMA pgw FROM stranger');
});

part($node, 'locked', sub {
	# the bank's answer comes while the worker can write nothing
	$node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'submitted', token => 'tok_slow_10000'));
	ok(wait_until(sub { events($node, 'submitted') =~ /BankProcessingStarted/ }, 30), 'a bank is called');
	my $s = PgwSession->new($node);
	$s->run('BEGIN; LOCK TABLE ' . tables() . ' IN ACCESS EXCLUSIVE MODE');
	is($s->state, '00000', 'every table of pgw is locked') or diag($s->err);
	my $took = $node->safe_psql('postgres', "SET statement_timeout = '20s'; " . join('; ',
			map { "SELECT clock_timestamp() AS t \\gset\n$summary \\g /dev/null\nSELECT extract(epoch FROM clock_timestamp() - :'t'::timestamptz) * 1000;" } 1 .. 20));
	my ($best) = sort { $a <=> $b } split /\n/, $took;
	cmp_ok($best, '<', 50, 'answered within 50 ms');
	note("the fastest of 20: $best ms");
	becomes('t|f|t|tables_locked', 'the worker is kept from its work, and nothing is committed');
	$s->run('ROLLBACK');
	becomes($sound, 'no longer');
});

# A lock that waits for a reader, at each table in turn: the summary is not behind it.
part($node, 'queued', sub {
	for my $table (split /, /, tables())
	{
		my $reader = PgwSession->new($node);
		$reader->run("BEGIN; LOCK TABLE $table IN ACCESS SHARE MODE");
		my $ddl = PgwSession->new($node)->send("BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE; ROLLBACK");
		$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND pid = ' . $ddl->backend) or die "nothing waits for $table";
		my ($rc) = $node->psql('postgres', "SET statement_timeout = '20s'; $summary");
		is($rc, 0, "answered while DDL is queued on $table");
		$reader->run('ROLLBACK');
		$ddl->wait;
	}
	becomes($sound, 'no longer');
});

part($node, 'modes', sub {
	change_settings($node, 'pgw.worker_mode' => 'paused');
	becomes('t|f|f|paused_by_setting', 'paused: nobody is needed');
	like(health($node, 'worker', 'state'), qr/^warning\|Set pgw\.worker_mode to "on".*\|paused$/, "health(): the pause's own advice");
	change_settings($node, 'pgw.worker_mode' => 'draining');
	becomes('t|f|f|draining', 'draining');
	change_settings($node, 'pgw.worker_mode' => undef);
	becomes($sound, 'on again');
});

part($node, 'worker', sub {
	my $pid = worker();
	kill STOP => $pid;
	becomes('t|f|t|worker_late', 'a worker that makes no turns');
	like(health($node, 'worker'), qr/^error\|The worker makes no turns/, 'health() says so, too');
	kill CONT => $pid;
	becomes($sound, 'it goes on');
});

part($node, 'slots', sub {
	my @running = map { psql_start($node, pay("busy$_", token => 'tok_slow_10000')) } 1 .. 4;
	becomes('t|t|t|slots', 'four of five slots are used');
	push @running, psql_start($node, pay('busy5', token => 'tok_slow_10000'));
	becomes('t|f|t|slots', 'all of them');
	$_->{h}->finish for @running;
	becomes($sound, 'none');
});

part($node, 'disk full', sub {
	# What the worker writes of a call. Were payments among them, the caller's own claim would fail, and the worker hear of nothing: it would only err
	# while there was a mark of open work to move on.
	my @written = map { "pgw.$_" } qw(payment_transactions open_work open_work_mark);
	$node->safe_psql('postgres', "CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS
		\$\$BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END\$\$");
	$node->safe_psql('postgres', "CREATE TRIGGER full_up BEFORE INSERT OR UPDATE ON $_ FOR EACH ROW EXECUTE FUNCTION public.full()") for @written;
	my $n = 0;
	ok(wait_until(sub {
		$node->psql('postgres', pay('full' . ++$n, timeout => '1s'));
		return $node->safe_psql('postgres', $summary) eq 't|f|t|cannot_write';
	}, 30), 'nothing can be written');
	is(health($node, 'worker', 'last_error'), 'ok|-|53100', "health(): the worker's last error");
	$node->safe_psql('postgres', "DROP TRIGGER full_up ON $_") for @written;
	is($node->safe_psql('postgres', pay('room')), 'captured', 'there is room again');
	becomes('t|t|t|worker_error', 'the error is told of for a while');
});

part($node, 'standby', sub {
	$node->backup('standby');
	my $standby = PostgreSQL::Test::Cluster->new('summary_standby');
	$standby->init_from_backup($node, 'standby', has_streaming => 1);
	$standby->start;
	my $s = PgwSession->new($node);
	$s->run('BEGIN; LOCK TABLE ' . tables() . ' IN ACCESS EXCLUSIVE MODE');
	flush_wal($node);
	ok($standby->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'pgw.payments'::regclass"), 'the lock is held on the standby');
	becomes('t|f|f|standby', 'a standby', $standby);
	$s->run('ROLLBACK');
	$standby->stop('fast');

	$node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
	$node->reload;
	becomes('t|f|t|standby_away', 'a synchronous standby that is away');
	my $waiting = PgwSession->new($node)->send(pay('waits', timeout => '120s'));
	ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT reason FROM pgw.health_summary()') =~ /^standby_away: the worker has waited/ }, 30), 'the worker waits for it');
	like(health($node, 'worker', 'waits_for'), qr/^error\|The worker waits for a synchronous standby.*\|SyncRep$/, 'health() says so, too');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
	$node->reload;
	is($waiting->wait, 'captured', 'it is waited for no longer');
	ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT ready FROM pgw.health_summary()') eq 't' }, 30), 'ready again');
});

part($node, 'no worker', sub {
	$node->append_conf('postgresql.conf', "max_worker_processes = 2\n");
	$node->restart;
	becomes('t|f|t|no_worker', 'no worker slot');
	like($node->safe_psql('postgres', 'SELECT reason FROM pgw.health_summary()'), qr/max_worker_processes/, 'the reason names the setting');
	$node->append_conf('postgresql.conf', "max_worker_processes = 8\nshared_preload_libraries = ''\n");
	$node->restart;
	becomes('f|f|t|not_preloaded', 'not preloaded');
});

$node->stop('fast');
done_testing();
