# There is no worker: the hint says why, from what is known, and what comes next; pgw.health() says the same.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use Test::More;

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

# Terminated again and again: the launcher waits 1, 2, 4, 8 s.
part($node, 'terminated', sub {
	for my $n (1 .. 4)
	{
		ok(wait_until(sub { worker_pid($node) ne '' }, 60), "terminated: a worker is there to be terminated ($n)");
		my $pid = worker_pid($node);
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 20000)");
	}
	my $err = refusal($node, 'refused');
	like($err, qr/PW500/, 'terminated: refused');
	like($err, qr/HINT:.*terminated by a signal.*4 times in a row\. It is started again in \d+ s/, 'terminated: the hint says why, and when it goes on');
	unlike($err, qr/max_worker_processes/, 'terminated: and nothing of what is not the case');
	like(advice($node), qr/^error\|The worker was terminated by a signal.*4 times in a row/, 'terminated: health() says the same');
	ok(wait_until(sub { worker_pid($node) ne '' }, 60), 'terminated: it is started again');
	is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'refused')), 'captured', 'terminated: and pays');
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

is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
