# In which words the bank has refused: every event that tells of a refusal has the answer's HTTP status and the bank's own code, and nothing else of it.
use strict;
use warnings;
use lib 'test/lib';
use HTTP::Tiny;
use PgwOperations;
use PgwTest;
use Test::More;

my ($node, $bank) = operations_cluster('refusals_told');
sub sql { return $node->safe_psql('postgres', $_[0]) }

# The events of a request that have them: type, status, code.
sub told
{
	return sql("SELECT string_agg(concat_ws(' ', h.event_type, h.event_data->>'bank_status', h.event_data->>'bank_code'), ', ' ORDER BY t.created_at, h.step_order)
		FROM pgw.payment_transactions t JOIN pgw.transaction_events h USING (transaction_id) WHERE t.client_request_id = '$_[0]' AND h.event_data ? 'bank_status'");
}

part($node, 'refused at once', sub {
	pay($node, 'declined', token => 'tok_decline_insufficient_funds');
	is(told('declined'), 'BankProcessingFailed 200 insufficient_funds, TransactionFailed 200 insufficient_funds', 'a decline');
	is(sql("SELECT string_agg(DISTINCT k, ',' ORDER BY k) FROM pgw.payment_transactions t JOIN pgw.transaction_events USING (transaction_id), jsonb_object_keys(event_data) k WHERE t.client_request_id = 'declined' AND event_type = 'BankProcessingFailed'"),
		'bank_code,bank_reference,bank_status,error_code', 'and nothing else of the answer');
	pay($node, 'approved');
	is(told('approved'), '', 'a yes needs no words');
	pay($node, 'busy', token => 'tok_503_1');
	is(status_of($node, 'busy'), 'Completed', 'a charge that was not done at first, and then was');
	like(told('busy'), qr/^BankRetryScheduled 503 not_processed$/, 'says why it was tried again');
});

part($node, 'operations', sub {
	pay($node, 'captured', capture => 'on_commit', token => 'tok_capture_fail');
	is(how_payment_stands($node, 'captured'), 'failed 0/0/0', 'a capture after the commit that is refused');
	like(told('captured'), qr/^CaptureRetryScheduled 409 capture_refused, .*CaptureFailed 200/, 'says so, and that the look-ups after it had an answer');
	pay($node, 'manual', capture => 'manual', token => 'tok_capture_fail');
	request_operation($node, 'capture', 'manual', 'manual-c');
	is(how_payment_stands($node, 'manual'), 'authorized 0/0/0', 'one that was asked for');
	like(told('manual-c'), qr/409 capture_refused/, 'says so');
	pay($node, 'void', capture => 'manual', token => 'tok_void_fail');
	request_operation($node, 'void', 'void', 'void-v');
	how_payment_stands($node, 'void');
	like(told('void-v'), qr/409 void_refused/, 'a void');
	pay($node, 'behind');
	my $charge = (charges_of($node, $bank, 'behind'))[0];
	HTTP::Tiny->new->request('POST', "$bank->{url}/v1/charges/$charge->{id}/refunds", { content => '{}', headers => { Authorization => 'Bearer test-secret' } });
	request_operation($node, 'refund', 'behind', 'behind-r');
	how_payment_stands($node, 'behind');
	like(told('behind-r'), qr/409 already_refunded/, 'a refund');
	like(told('behind-r'), qr/TransactionFailed 404 not_found$/, 'and the look-up that says no to it');
});

part($node, 'given back', sub {
	$node->psql('postgres', 'BEGIN; ' . payment_sql('back', token => 'tok_refund_fail_1') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'back') eq 'Refunded' }, 30), 'a give-back that is refused once');
	like(told('back'), qr/RefundFailed 20[01]|RefundFailed 409/, 'says so');
});

$node->stop('fast');
done_testing();
