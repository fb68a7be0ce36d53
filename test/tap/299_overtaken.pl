# A row of an attempt that nobody has is not locked before it is written: the update itself is the lock.  Somebody who changes the row between the look
# and the update loses nothing, the payment ends as it should, and the worker waits for nobody.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('overtaken', debug => 1, conf => "fsync = off\nlog_lock_waits = on\ndeadlock_timeout = 10ms");
my $bank = bank_start();
pgw_setup($node, $bank);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id) = @_; return psql_start($node, 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, timeout => '600s')) }
# A column that nothing on the way of a payment changes: were the row written over, it would be as before.
sub mark_sql { return "UPDATE pgw.payment_transactions SET refund_ruled_out = 7 WHERE client_request_id = '$_[0]'" }

sub ends_well
{
	my ($p, $id, $usual) = @_;
	$p->{h}->finish;
	is($p->{out}, "captured\n", "$id: captured") or diag $p->{err};
	is(sql("SELECT t.refund_ruled_out, t.status, p.captured_amount FROM pgw.payment_transactions t JOIN pgw.payments p USING (transaction_id)
		WHERE t.client_request_id = '$id'"), '7|Completed|1234', "$id: what the other one wrote is kept, and the payment's end");
	is(events($node, $id), $usual, "$id: its events, each once");
}

sub usual
{
	my ($id) = @_;
	my $p = pay($id);
	$p->{h}->finish;
	return events($node, $id);
}

# Another session with the row changed and not committed; commit() ends it.
sub holder
{
	my ($id) = @_;
	my $session = $node->background_psql('postgres');
	$session->query_safe('BEGIN');
	$session->query_safe(mark_sql($id));
	return $session;
}

part($node, 'caller', sub {
	my $usual = usual('usual 1');
	debug_arm($node, 'attempt_taken', 'stop');
	my $p = pay('changed');
	debug_wait($node, 'attempt_taken', 120);
	sql(mark_sql('changed'));
	debug_release($node, 'attempt_taken');
	ends_well($p, 'changed', $usual);

	debug_arm($node, 'attempt_taken', 'stop');
	$p = pay('being changed');
	my $pid = debug_wait($node, 'attempt_taken', 120);
	my $other = holder('being changed');
	debug_release($node, 'attempt_taken');
	ok(wait_until(sub { sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Lock'") eq '1' }, 120),
		'a caller waits for who is changing the row');
	$other->query_safe('COMMIT');
	$other->quit;
	ends_well($p, 'being changed', $usual);
	is_sound($node, $bank, 'caller: sound');
});

part($node, 'worker', sub {
	my $usual = usual('usual 2');
	debug_arm($node, 'result_taken', 'stop');
	my $p = pay('changed answer');
	debug_wait($node, 'result_taken', 120);
	sql(mark_sql('changed answer'));
	debug_release($node, 'result_taken');
	ends_well($p, 'changed answer', $usual);

	debug_arm($node, 'result_taken', 'stop');
	$p = pay('answer being changed');
	debug_wait($node, 'result_taken', 120);
	my $other = holder('answer being changed');
	my $seen = -s $node->logfile;
	debug_release($node, 'result_taken');
	my $another = pay('another');
	$another->{h}->finish;
	is($another->{out}, "captured\n", 'the worker waits for nobody: another payment goes on') or diag $another->{err};
	unlike(slurp_file($node->logfile, $seen), qr/still waiting for ShareLock on transaction/, 'not even as long as a lock may take');
	is(events($node, 'answer being changed'), 'TransactionStarted,BankProcessingStarted', 'the answer cannot be written yet');
	$other->query_safe('COMMIT');
	$other->quit;
	ends_well($p, 'answer being changed', $usual);
	is_sound($node, $bank, 'worker: sound');
});

$node->stop('fast');
done_testing();
