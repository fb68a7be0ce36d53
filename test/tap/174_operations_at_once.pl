# Operations of one payment at the same time: an approval waits while a caller holds the payments row, and of two calls with one id the second replays.
use strict;
use warnings;
use lib 'test/lib';
use PgwOperations;
use PgwSession;
use PgwTest;
use Test::More;

my ($node, $bank) = operations_cluster('operations_at_once', debug => 1);
sub sql { return $node->safe_psql('postgres', $_[0]) }

# A caller that holds the payments row when the answer comes: the approval is kept, and saved later
part($node, 'busy', sub {
	pay($node, 'busy');
	request_operation($node, 'refund', 'busy', 'busy-r1', 100);
	is(how_payment_stands($node, 'busy'), 'partially_refunded 1000/100/0', 'a first refund');
	debug_arm($node, 'operation_sent', 'stop');
	request_operation($node, 'refund', 'busy', 'busy-r2', 100);
	debug_wait($node, 'operation_sent');
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . operation_sql('refund', 'busy', 'busy-r3', 100));
	debug_release($node, 'operation_sent');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = 'busy-r2'") eq 'BankApproved' }, 10), 'approved while a caller holds the row');
	is(sql("SELECT refunded_amount || '/' || refund_pending_amount FROM pgw.payments WHERE client_request_id = 'busy'"), '100/100', 'the payment does not say so yet');
	$s->run('ROLLBACK');
	is(how_payment_stands($node, 'busy'), 'partially_refunded 1000/200/0', 'then it does');
});

# One call at once from two sessions, again and again, while the worker changes the very rows that they look for: the second replays
part($node, 'twice at once', sub {
	my @s = map { PgwSession->new($node) } 1, 2;
	my @wrong;
	for my $i (1 .. 60)
	{
		pay($node, "twice$i");
		$_->send(operation_sql('refund', "twice$i", "twice$i-r", 1000)) for @s;
		$_->wait for @s;
		push @wrong, map { $_->state . ' ' . $_->err } grep { $_->state ne '00000' } @s;
	}
	is(join(', ', @wrong), '', 'no second call is refused');
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id ~ '^twice.*-r'"), 60, 'each is one refund');
	is_sound($node, $bank, 'twice at once: sound');
});

$node->stop('fast');
done_testing();
