# Capture, void and refund on request: whatever is lost on the way, worker or caller, the bank has done each of them once or not at all, and the
# payment says which.
use strict;
use warnings;
use lib 'test/lib';
use PgwOperations;
use PgwSession;
use PgwTest;
use Test::More;

my ($node, $bank) = operations_cluster('operations_and_crashes', debug => 1);
sub sql { return $node->safe_psql('postgres', $_[0]) }

# The worker, lost at a point of the operation; then what the caller does.
for my $kind (sort keys %OPERATIONS)
{
	my ($payment, $args, $done, $stands) = @{ $OPERATIONS{$kind} }{qw(payment args done stands)};
	for my $how (@LOSSES)
	{
		for my $point ('operation_sent', 'operation_answered', 'operation_result')
		{
			my $id = "$how, $kind, $point";
			part($node, $id, sub {
				pay($node, $id, %$payment);
				debug_arm($node, $point, 'stop');
				is(request_operation($node, $kind, $id, $id, @$args), 'Created', "$id: recorded");
				lose_process($node, $how, debug_wait($node, $point));
				is(how_payment_stands($node, $id), $stands, "$id: $stands");
				is(done_by_bank($node, $bank, $id), $done, "$id: once");
				is(request_operation($node, $kind, $id, $id, @$args), 'Completed', "$id: a replay tells so");
				is_sound($node, $bank, "$id: sound");
			});
		}
	}

	# what the client's side does
	part($node, "$kind, the caller", sub {
		my $s = PgwSession->new($node);
		pay($node, "$kind caller", %$payment);
		$s->run('BEGIN');
		is($s->run(operation_sql($kind, "$kind caller", 'x', @$args)), 'Created', "$kind: recorded in a transaction");
		scan($node) for 1 .. 2;
		is(done_by_bank($node, $bank, "$kind caller"), '0 captures 0 voids 0 refunds', "$kind: the bank has not heard of it");
		crash($node, $s->backend);
		is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'x' AND kind = '$kind'"), 0, "$kind: a crash leaves nothing of it");
		$s = PgwSession->new($node);
		$s->run('BEGIN; ' . operation_sql($kind, "$kind caller", 'x', @$args) . "; PREPARE TRANSACTION 'op'");
		is($s->state, '00000', "$kind: prepared");
		scan($node) for 1 .. 2;
		is(done_by_bank($node, $bank, "$kind caller"), '0 captures 0 voids 0 refunds', "$kind: nothing is done");
		$s->run("COMMIT PREPARED 'op'");
		is(how_payment_stands($node, "$kind caller"), $stands, "$kind: done after COMMIT PREPARED");
		is_sound($node, $bank, "$kind, the caller: sound");
	});
}

$node->stop('fast');
done_testing();
