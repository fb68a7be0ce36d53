# Every process killed at every point: what had happened by then decides, and the same call again pays once.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

# What is flushed is what pgw flushes: the WAL writer would hide a missing flush, and a real disk adds nothing to kill -9.
my $node = pgw_node('crash', debug => 1, conf => "restart_after_crash = on\nfsync = off\nwal_writer_delay = 10s\n"
	  . "pgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

# The same bank, but "not found" counts after one second instead of two.
$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition)
	SELECT 'quick', jsonb_set(definition::jsonb || '{\"name\": \"quick\"}', '{capabilities,lookup_consistent_after_seconds}', '1') FROM pgw.connectors WHERE name = 'json';
	UPDATE pgw.banks SET connector = 'quick' WHERE name = 'bank'");

my $given_back = qr/PaymentDataSaveFailed,CompensationStarted,RefundStarted,(RefundOutcomeUnknown,|RefundRetryScheduled,|RefundStarted,)*RefundCompleted$/;
my $looked_up = qr/^TransactionStarted,BankProcessingStarted,BankOutcomeUnknown,(BankStatusChecked,)*BankProcessingCompleted,PaymentDataSaveStarted,$given_back/;
my $not_sent = qr/^TransactionStarted,BankProcessingStarted,BankOutcomeUnknown,(BankStatusChecked,)*(BankProcessingFailed,TransactionFailed$|.*$given_back)/;
my $n = 0;

sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

# Three ways to lose everything that only lived in memory.
my %loss = (
	'kill -9' => sub { crash($node, $_[0]) },
	'immediate stop' => sub { $node->stop('immediate'); debug_clear($node); $node->start },
	'kill -9 of the postmaster' => sub {
		my ($pid) = @_;
		$node->kill9;
		wait_until(sub { !kill 0, $pid }, 10) or die 'a child outlives its postmaster';
		debug_clear($node);
		wait_until(sub { $node->start(fail_ok => 1) }, 10) or die 'the cluster did not start';
	});

# At rest, with these events; and the client, who knows nothing, calls again.
sub is_paid_once
{
	my ($id, $what, $flow) = @_;
	is_sound($node, $bank, "$what: sound");
	ref $flow ? like(events($node, $id), $flow, "$what: its events") : is(events($node, $id), $flow, "$what: its events");
	is($node->safe_psql('postgres', pay($id)), 'captured', "$what: the same call again pays");
	is(scalar kept_charges($node, $bank, $id), 1, "$what: one charge stands");
}

# How many charges the bank has answered, all in all.
sub answered { return scalar grep { $_->{operation} eq 'charge' && $_->{finished} } @{ bank_log($bank, 5000) } }

# The process that has come to a point with the answer of a charge that was not answered before.  Whatever else comes there is said, and goes on.
sub wait_with_answer
{
	my ($point, $before) = @_;
	my $pid = debug_wait($node, $point);
	for (1 .. 5)
	{
		last if $point !~ /^(answer_arrived|result_apply|result_committed)$/ || answered() > $before;
		diag("$point, but not by this charge; the bank's last requests: " . join '; ', map { my $r = $_; join ' ', map { "$_=$r->{$_}" } sort keys %$r } (@{ bank_log($bank, 3) })[ 0 .. 2 ]);
		debug_arm($node, $point, 'stop');
		$pid = debug_wait($node, $point);
	}
	return $pid;
}

# A call in a transaction of its own, or rolled back; the process that comes to the point, or its cluster, is lost there.
sub lose_process_at
{
	my ($point, $flow, %o) = @_;
	my $how = $o{how} // 'kill -9';
	my $id = 'crash' . ++$n;
	my $what = "$how, $point" . ($o{note} // '');
	part($node, $what, sub {
		my $caller = PgwSession->new($node);
		my $before = answered();
		debug_arm($node, $point, 'stop');
		$caller->run('BEGIN; ' . pay($id)) if $o{rollback};
		$caller->send($o{rollback} ? 'ROLLBACK' : pay($id));
		my $pid = wait_with_answer($point, $before);
		wait_until(sub { (status_of($node, $id) // '') eq $o{until} }, 10) or die "never $o{until}" if $o{until};
		flush_wal($node) unless $o{unflushed};
		$loss{$how}->($pid);
		is_paid_once($id, $what, $flow);
		is(scalar refunds_of($bank, charges_of($node, $bank, $id)), $o{refunds}, "$what: refunds") if defined $o{refunds};
	});
}

# The caller's backend
lose_process_at('claimed', '');
lose_process_at('requested', $ROLLBACK_FLOW, until => 'BankApproved');
lose_process_at('answered', $ROLLBACK_FLOW);
lose_process_at('saved', $ROLLBACK_FLOW, refunds => 1);
lose_process_at('answered', $ROLLBACK_FLOW, how => 'immediate stop');
lose_process_at('saved', qr/^(\Q$ROLLBACK_FLOW\E|$looked_up)$/, unflushed => 1, note => ', answer not flushed', refunds => 1);

# The worker, with a caller that waits
lose_process_at('taken', '');
lose_process_at('intent_apply', '');
lose_process_at('intent_committed', '', unflushed => 1);
lose_process_at('intent_flushed', $not_sent, unflushed => 1);
lose_process_at('sent', $not_sent, unflushed => 1);
lose_process_at('answer_arrived', $looked_up, unflushed => 1, refunds => 1);
lose_process_at('result_apply', $looked_up, unflushed => 1, refunds => 1);
lose_process_at('result_committed', $ROLLBACK_FLOW, refunds => 1);
lose_process_at('result_committed', qr/^(\Q$ROLLBACK_FLOW\E|$looked_up)$/, unflushed => 1, note => ', not flushed');
lose_process_at('answer_arrived', $looked_up, unflushed => 1, how => $_, refunds => 1) for 'immediate stop', 'kill -9 of the postmaster';

# The worker, giving back
lose_process_at('compensation_apply', $ROLLBACK_FLOW, rollback => 1, refunds => 1);
for my $how ('kill -9', 'immediate stop')
{
	lose_process_at('compensation_committed', $given_back, rollback => 1, how => $how, unflushed => 1, refunds => 1);
	lose_process_at('refund_answered', $given_back, rollback => 1, how => $how, unflushed => 1, refunds => 1);
}

# A call that the bank is still working on
part($node, 'in flight', sub {
	my $caller = PgwSession->new($node)->send(pay('flight', token => 'tok_slow_1500'));
	wait_until(sub { charges_of($node, $bank, 'flight') }, 10) or die 'never charged';
	crash($node, $caller->backend);
	is_sound($node, $bank, 'killed while the bank is called: sound');
	like(events($node, 'flight'), $looked_up, 'killed while the bank is called: its events');
	is($node->safe_psql('postgres', pay('flight', token => 'tok_slow_1500')), 'captured', 'and the same call again pays');
	is(scalar kept_charges($node, $bank, 'flight'), 1, 'once');
});

# What was told is kept, whatever the caller's synchronous_commit.  The worker is stopped, because its next flush would hide a missing one.
part($node, 'told', sub {
	my $caller = PgwSession->new($node);
	$caller->run('SET synchronous_commit = off; BEGIN');
	is($caller->run(pay('told')), 'captured', 'an asynchronous caller is told that it has paid');
	my $worker = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND datname = 'postgres'");
	kill 'STOP', $worker;
	$caller->run('COMMIT');
	is($caller->state, '00000', 'and commits');
	crash($node, $worker);
	is($node->safe_psql('postgres', "SELECT status FROM pgw.payments WHERE client_request_id = 'told'"), 'captured', 'after a crash right then it still has paid');
	is(events($node, 'told'), $SUCCESS_FLOW, 'with the success flow');
	is_sound($node, $bank, 'an asynchronous caller: sound');
});

# The decision of a caller that did not wait for the answer
part($node, 'caller decision', sub {
	debug_arm($node, 'caller_decision', 'stop');
	my $call = pay_sql('process_payment', client_request_id => 'late', token => 'tok_slow_2500', timeout => '1s');
	is($node->safe_psql('postgres', "SELECT status FROM $call"), 'pending', 'a caller that does not wait commits with a pending row');
	crash($node, debug_wait($node, 'caller_decision'));
	is_sound($node, $bank, 'killed between the two looks of the vote: sound');
	is($node->safe_psql('postgres', "SELECT status FROM pgw.payments WHERE client_request_id = 'late'"), 'captured', 'and the vote counts');
});

# A takeover, lost before or after its commit: it is given back, or adopted by the next
for my $point ('adoption_apply', 'adoption_committed')
{
	part($node, $point, sub {
		my $first = PgwSession->new($node)->send(pay($point, token => 'tok_slow_1500'));
		wait_until(sub { charges_of($node, $bank, $point) }, 10) or die 'never charged';
		$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $first->backend . ')');
		debug_arm($node, $point, 'stop');
		my $second = PgwSession->new($node)->send(pay($point, token => 'tok_slow_1500'));
		crash($node, debug_wait($node, $point));
		is($node->safe_psql('postgres', pay($point, token => 'tok_slow_1500')), 'captured', "kill -9, $point: a third call pays, at once");
		is_sound($node, $bank, "kill -9, $point: sound");
		is(scalar kept_charges($node, $bank, $point), 1, "kill -9, $point: one charge stands");
	});
}

# A submitted payment is not lost
for my $how ('kill -9', 'immediate stop')
{
	part($node, "submit, $how", sub {
		my $id = "submit $how";
		debug_arm($node, 'submit_committed', 'stop');
		is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id)), 'pending', 'submitted');
		$loss{$how}->(debug_wait($node, 'submit_committed'));
		is_sound($node, $bank, "$how, submit_committed: sound");
		is($node->safe_psql('postgres', "SELECT status FROM pgw.payments WHERE client_request_id = '$id'"), 'captured', "$how, submit_committed: paid all the same");
		is(scalar charges_of($node, $bank, $id), 1, "$how, submit_committed: once");
	});
}

$node->stop('fast');
done_testing();
