# There is no worker: the hint says why, from what is known, and what comes next; pgw.health() says the same.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use Test::More;
use Time::HiRes qw(time);

sub worker_pid
{
	my ($node) = @_;
	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
}

sub refusal
{
	my ($node, $id) = @_;
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT status FROM " . pay_sql('process_payment', client_request_id => $id));
	return $err;
}

sub advice
{
	my ($node) = @_;
	return $node->safe_psql('postgres', "SELECT status, advice FROM pgw.health() WHERE check_name = 'worker'");
}

my $node = pgw_node('no_worker', conf => "fsync = off\n");
my $bank = bank_start();
pgw_setup($node, $bank);

# Terminated again and again, which is no failure of the worker's: it is there again after a second, however often, and nobody is refused meanwhile.
part($node, 'terminated', sub {
	for my $n (1 .. 6)
	{
		ok(wait_until(sub { worker_pid($node) ne '' }, 60), "terminated: a worker is there to be terminated ($n)");
		my $pid = worker_pid($node);
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 20000)");
	}
	is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'not refused')), 'captured', 'terminated: nobody is refused');
	is($node->safe_psql('postgres', "SELECT details->>'failures' FROM pgw.health() WHERE check_name = 'worker'"), 0, 'terminated: no failure is counted');

	# while the launcher cannot start another
	my $launcher = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw launcher'");
	kill STOP => $launcher;
	$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . worker_pid($node) . ', 20000)');
	like(advice($node), qr/^error\|The worker was terminated by a signal \(SIGTERM, pg_terminate_backend\)\. It is started again (now|in \d s)\.$/, 'terminated: health() says so');
	kill CONT => $launcher;
	ok(wait_until(sub { worker_pid($node) ne '' }, 60), 'terminated: it is started again');
	is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'again')), 'captured', 'terminated: and pays');
});

# The launcher of logical replication and pgw's own: nothing is left for a worker.
part($node, 'no slot', sub {
	$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
	$node->restart;
	my $err;
	ok(wait_until(sub { ($err = refusal($node, 'no slot')) =~ /PW500.*worker_not_running/s }, 60), 'no slot: refused');
	like($err, qr/HINT:.*raise max_worker_processes \(now 2;/, 'no slot: the hint says so');
	like(advice($node), qr/^error\|No background worker slot is free: raise max_worker_processes/, 'no slot: health() says the same');
	$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
	$node->restart;
	ok(wait_until(sub { worker_pid($node) ne '' }, 60), 'no slot: there is one after the change');
});

# A dozen databases: few workers start at a time, and the next ones when those have begun, not when the launcher looks again, which is every ten seconds.
part($node, 'many databases', sub {
	$node->append_conf('postgresql.conf', 'max_worker_processes = 24');
	$node->safe_psql('postgres', 'CREATE DATABASE many0');
	$node->safe_psql('many0', 'CREATE EXTENSION pgw');
	$node->safe_psql('postgres', "CREATE DATABASE many$_ TEMPLATE many0") for 1 .. 11;
	$node->restart;
	my $began = time;
	ok(wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pgw worker'") == 13 }, 120), 'each has its worker');
	in_time(time - $began, 8, 'without waiting for the launcher to look again');
	$node->safe_psql('postgres', "DROP DATABASE many$_") for 0 .. 11;
});

is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
