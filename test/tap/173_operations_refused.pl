# Capture, void and refund that the bank refuses, at once or later: nothing is captured or refunded, nothing stays pending, and the payment says why.
use strict;
use warnings;
use lib 'test/lib';
use HTTP::Tiny;
use PgwOperations;
use PgwTest;
use Test::More;

my ($node, $bank) = operations_cluster('operations_refused');
sub sql { return $node->safe_psql('postgres', $_[0]) }

part($node, 'refusals', sub {
	pay($node, 'later', token => 'tok_refund_pending_fail_300');
	request_operation($node, 'refund', 'later', 'later-r', 400);
	ok(wait_until(sub { status_of($node, 'later-r') eq 'BankUnknown' }, 10), 'accepted, pending at the bank');
	is(how_payment_stands($node, 'later'), 'captured 1000/0/0', 'refused later: nothing is refunded, nothing pending');
	is(request_operation($node, 'refund', 'later', 'later-r', 400), 'Failed', 'and the refund has failed');

	pay($node, 'gone', capture => 'manual', token => 'tok_auth_expires_50');
	sql('SELECT pg_sleep(0.1)');
	request_operation($node, 'void', 'gone', 'gone-v');
	is(how_payment_stands($node, 'gone'), 'expired 0/0/0', 'a void that comes too late: expired');
	is(request_operation($node, 'void', 'gone', 'gone-v'), 'Completed', 'the void is done: nothing is held any more');
	like(events($node, 'gone'), qr/TransactionCompleted,AuthorizationExpired$/, 'AuthorizationExpired stands with the payment');
	pay($node, 'gone2', capture => 'manual', token => 'tok_auth_expires_50');
	sql('SELECT pg_sleep(0.1)');
	request_operation($node, 'capture', 'gone2', 'gone2-c');
	is(how_payment_stands($node, 'gone2'), 'expired 0/0/0', 'a capture that comes too late: expired');
	is(sql("SELECT o.transaction_status, o.error_code FROM pgw.find_payment('gone2') f, pgw.capture_payment(f.payment_id, 'gone2-c') o"), 'Failed|authorization_expired', 'the capture has failed');
	is_sound($node, $bank, 'refusals: sound');
});

# What was done at the bank itself is looked up, and not sent to review. Last, because ledger and tables differ from here on.
part($node, 'behind our back', sub {
	pay($node, 'behind');
	my $charge = (charges_of($node, $bank, 'behind'))[0];
	my $answer = HTTP::Tiny->new->request('POST', "$bank->{url}/v1/charges/$charge->{id}/refunds", { content => '{}', headers => { Authorization => 'Bearer test-secret' } });
	is($answer->{status}, 201, 'somebody refunds at the bank itself');
	request_operation($node, 'refund', 'behind', 'behind-r');
	is(how_payment_stands($node, 'behind'), 'captured 1000/0/0', 'ours is refused: already refunded');
	is(sql("SELECT o.transaction_status, o.error_code FROM pgw.find_payment('behind') f, pgw.refund_payment(f.payment_id, 'behind-r') o"), 'Failed|refund_refused', 'and has failed, after a look-up');
	cmp_ok(scalar(grep { $_->{operation} eq 'lookup' } @{ bank_log($bank, 20) }), '>=', 1, 'the bank was asked');
});

$node->stop('fast');
done_testing();
