# pgw.worker_mode = draining: what is under way is finished, and no new charge is begun.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('draining', debug => 1, conf => "pgw.compensation_delay = '50ms'\npgw.retry_base_delay = '200ms'\npgw.retry_max_delay = '1s'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub pay
{
	my ($id, %a) = @_;
	return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, timeout => '60s', %a);
}

sub submit
{
	my ($id, %a) = @_;
	return sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, %a));
}

sub worker_mode_detail
{
	my ($member) = @_;
	return sql("SELECT details->>'$member' FROM pgw.health() WHERE check_name = 'worker_mode'");
}

sub set_mode_logged
{
	my ($mode) = @_;
	my $seen = -s $node->logfile;
	my $line = { draining => 'worker draining', on => 'worker goes on' }->{$mode};
	sql("ALTER SYSTEM SET pgw.worker_mode = '$mode'");
	$node->reload;
	ok(wait_until(sub { slurp_file($node->logfile, $seen) =~ /LOG:  pgw: $line for database/ }, 60), "$mode: a line in the log");
}

part($node, 'finished', sub {
	sql(pay('to-refund') . '; ' . pay('to-capture', capture => 'manual'));
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . pay('rolled-back'));
	bank_control($bank, 'settings', { delay_ms => 3000 });
	my $caller = psql_start($node, pay('called'));
	ok(wait_until(sub { status_of($node, 'called') eq 'Created' }, 60), 'a call is under way');
	set_mode_logged('draining');
	bank_control($bank, 'settings', { delay_ms => 0 });
	$caller->{h}->finish;
	is($caller->{out}, "captured\n", 'it has its answer') or diag($caller->{err});
	$s->run('ROLLBACK');
	ok(wait_until(sub { status_of($node, 'rolled-back') eq 'Refunded' }, 60), 'what is rolled back now is given back');
	sql("SELECT FROM pgw.find_payment('to-refund') f, pgw.refund_payment(f.payment_id, 'refund') r");
	sql("SELECT FROM pgw.find_payment('to-capture') f, pgw.capture_payment(f.payment_id, 'capture') r");
	ok(wait_until(sub { status_of($node, 'refund') eq 'Completed' && status_of($node, 'capture') eq 'Completed' }, 60), 'refunds and captures that are asked for are done');
	is(sql("SELECT status || ' ' || (details->>'state') FROM pgw.health() WHERE check_name = 'worker'"), 'warning draining', 'the worker says what it does');
	ok(wait_until(sub { worker_mode_detail('under_way') eq '0' }, 60), 'until nothing is left');
	set_mode_logged('on');
});

part($node, 'held back', sub {
	set_mode_logged('draining');
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . pay('refused'));
	like($err, qr/PW500.*"code": "worker_paused".*HINT: .*what is under way is finished/s, 'a new payment is refused, and the hint says why');
	is(submit('queued'), 'pending', 'a submitted one is accepted');
	is(submit('expires', expires_at => sql("SELECT clock_timestamp() + '2s'")), 'pending', 'one with an end, too');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payments WHERE client_request_id = 'expires'") eq 'failed' }, 90), 'which comes');
	sql('SELECT pgw.run_recovery()');
	is(worker_mode_detail('held_back') . ' ' . worker_mode_detail('under_way'), '1 0', 'the other waits, and is counted');
	is(charges_of($node, $bank, 'queued'), 0, 'the bank has not heard of it');
	$node->restart;
	ok(wait_worker($node, 'postgres'), 'the server is started again');
	ok(wait_until(sub { sql("SELECT details->>'state' FROM pgw.health() WHERE check_name = 'worker'") eq 'draining' }, 60), 'and drains');
	sql('SELECT pgw.run_recovery()');
	is(worker_mode_detail('held_back'), '1', 'still');
	set_mode_logged('on');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payments WHERE client_request_id = 'queued'") eq 'captured' }, 60), 'when the mode is on again, it is made');
	is(sql(pay('refused')), 'captured', 'and new ones are');
});
is_reconciled($node, $bank);
done_testing();
