# The connector for Adyen: what it sends is what the vendor has published, what is only accepted ends by the bank's signed word, since it can be asked nothing, an answer
# that is lost comes again under its key, and the card's number is nowhere on disk.
use strict;
use warnings;
use lib 'test/lib';
use PgwAdyen;
use PgwBound;
use PgwBytes;
use PgwTest;
use Test::More;

my $NUMBER = join '', '4111', ('1111') x 3;
my $bank = bank_start();
my $node = pgw_node('adyen', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\npgw.retry_budget = 100\nlog_parameter_max_length = 0\n");
pgw_setup($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }
my %row = (name => 'adyen', connector => 'adyen', secret => 'bank', livemode => 'false', request_timeout => '2s', adyen_row($node, $bank));
sql('INSERT INTO pgw.banks (' . join(', ', sort keys %row) . ') VALUES (' . join(', ', map { "'$row{$_}'" } sort keys %row) . ')');

sub pay { my ($id, %o) = @_; return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, bank => 'adyen', amount => 1000, timeout => '20s', %o)) }
sub attempt { return sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }
sub key { return sql("SELECT coalesce(bank_key, replace(transaction_id::text, '-', '')) FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }
sub accepted { my ($id) = @_; return wait_until(sub { sql("SELECT accepted_at IS NOT NULL FROM pgw.payment_transactions WHERE client_request_id = '$id'") eq 't' }, 60) }
sub order { my ($what, $id, @args) = @_; sql("SELECT o.status FROM pgw.find_payment('$id') f, pgw.${what}_payment(f.payment_id, '$id-$what'" . join('', map { ", $_" } @args) . ') o'); return accepted("$id-$what") }
sub amounts { return sql("SELECT concat_ws(' ', status, captured_amount, capture_pending_amount, refunded_amount, refund_pending_amount) FROM pgw.payments WHERE client_request_id = '$_[0]'") }
sub stands { my ($id) = @_; return join ', ', map { "$_->{captured}/$_->{refunded}" . ($_->{voided} ? ' voided' : '') } charges_of($node, $bank, $id) }
sub spoken { return adyen_tell($node, 'adyen', $bank) }

# Adyen fails later what it has said to be done: of the request with this reference.
my $events = 0;

sub taken_back
{
	my ($event, $reference, $charge, $amount) = @_;
	return adyen_says($node, 'adyen', $event, pspReference => 'TAKENBACK' . ++$events, merchantReference => $reference, amount => { value => $amount, currency => 'EUR' }, originalReference => (charges_of($node, $bank, $charge))[0]{id});
}

part($node, 'charged, and a part refunded', sub {
	is(pay('charge'), 'captured', 'what is authorised is captured at once');
	ok(order('refund', 'charge', 400), 'a refund is accepted');
	is(amounts('charge'), 'captured 1000 0 0 400', 'and not done');
	spoken();
	ok(comes_to($node, 'charge-refund', 'Completed'), 'until Adyen says so');
	is(join('|', amounts('charge'), stands('charge')), 'partially_refunded 1000 0 400 0|1000/400', 'once');
	is(taken_back('REFUND_FAILED', key('charge-refund'), 'charge', 400), 'accepted', 'it is rejected by the scheme later');
	ok(comes_to($node, 'charge-refund', 'RequiresManualReview'), 'which is for a person');
});

part($node, 'captured with the charge', sub {
	is(pay('direct'), 'captured', 'what is authorised is captured at once');
	is(taken_back('CAPTURE_FAILED', key('direct'), 'direct', 1000), 'accepted', 'and that fails later');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'notification_contradicts'") == 1 }, 60), 'people are told');
	is(join('|', attempt('direct'), amounts('direct')), 'Completed|captured 1000 0 0 0', 'the charge stands as it is');
});

part($node, 'authorized', sub {
	is(pay("hold-$_", capture => 'manual'), 'authorized', 'a reservation') for 1, 2;
	ok(order('capture', 'hold-1', 600), 'the capture of a part is accepted');
	ok(order('void', 'hold-2'), 'and a cancellation');
	spoken();
	ok(comes_to($node, 'hold-1-capture', 'Completed'), 'captured');
	ok(comes_to($node, 'hold-2-void', 'Completed'), 'cancelled');
	is(join('|', stands('hold-1'), stands('hold-2')), '600/0|0/0 voided', 'so it stands there');
	is(taken_back('CAPTURE_FAILED', key('hold-1-capture'), 'hold-1', 600), 'accepted', 'the capture fails later');
	ok(comes_to($node, 'hold-1-capture', 'RequiresManualReview'), 'which is for a person');
	is(amounts('hold-1'), 'authorized 0 0 0 0', 'and not captured any more');
	is(pay('hold-3', capture => 'on_commit'), 'authorized', 'a reservation that is captured with the commit');
	ok(wait_until(sub { spoken(); attempt('hold-3') eq 'Completed' }, 60), 'is captured when Adyen says so');
});

part($node, 'rolled back', sub {
	sql('BEGIN; SELECT FROM ' . pay_sql('process_payment', client_request_id => "back-$_", bank => 'adyen', amount => 1000, capture => $_) . '; ROLLBACK') for 'immediate', 'manual';
	for ('immediate', 'manual')
	{
		ok(wait_until(sub { spoken(); attempt("back-$_") eq 'Refunded' }, 60), "$_: reversed") or diag(events($node, "back-$_"));
	}
	is(join('|', stands('back-immediate'), stands('back-manual')), '1000/1000|0/0 voided', 'the one is refunded, the other cancelled');
	is(taken_back('REFUND_FAILED', sql("SELECT refund_key FROM pgw.payment_transactions WHERE client_request_id = 'back-immediate'"), 'back-immediate', 1000), 'accepted', 'the reversal was a refund, and is rejected by the scheme later');
	ok(comes_to($node, 'back-immediate', 'RequiresManualReview'), 'which is for a person');
});

part($node, 'lost answers', sub {
	bank_control($bank, 'faults', { probabilities => { reset_after => 1 }, operations => [ 'charge', 'refund' ], times => 2 });
	is(pay('lost'), 'captured', 'asked again under its key');
	order('refund', 'lost', 1000);
	spoken();
	ok(comes_to($node, 'lost-refund', 'Completed'), 'and so is a refund');
	is(stands('lost'), '1000/1000', 'each was done once');
	bank_control($bank, 'faults', { probabilities => { '500_after' => 1 }, operations => ['charge'], times => 1 });
	sql('SELECT FROM ' . pay_sql('submit_payment', client_request_id => 'error', bank => 'adyen', amount => 1000, token => 'tok_ok'));
	ok(wait_until(sub { spoken(); attempt('error') eq 'Completed' }, 60), 'a charge that was answered with an error is settled by AUTHORISATION');
	is(stands('error'), '1000/0', 'and was made once');
});

part($node, 'refused', sub {
	is(sql("SELECT concat_ws(' ', status, error_code) FROM " . pay_sql('process_payment', client_request_id => 'no', bank => 'adyen', amount => 1000, token => 'tok_decline_insufficient_funds')), 'declined insufficient_funds', 'a refusal, with its reason');
	is(pay('other', currency => 'ISK', amount => 1000), 'captured', 'a currency that Adyen counts otherwise');
	is((charges_of($node, $bank, 'other'))[0]{amount}, 100000, 'is sent as it counts');
});

part($node, 'success after failure', sub {
	is(pay('after'), 'captured', 'charged');
	order('refund', 'after', 500);
	my @word = (merchantReference => key('after-refund'), amount => { value => 500, currency => 'EUR' }, originalReference => (charges_of($node, $bank, 'after'))[0]{id});
	is(adyen_says($node, 'adyen', 'REFUND', @word, success => 'false'), 'accepted', 'a refund has failed');
	ok(comes_to($node, 'after-refund', 'Failed'), 'its amount is free');
	is(adyen_says($node, 'adyen', 'REFUND', @word, success => 'true'), 'accepted', 'and is done after all');
	ok(comes_to($node, 'after-refund', 'RequiresManualReview'), 'which nothing proves: a person has to look');
});

part($node, 'by card', sub {
	my $year = (localtime)[5] + 1902;
	my $error = run_bound($node, "SELECT FROM pgw.process_payment('card', 1000, 'EUR', bank => 'adyen', card_number => :number, card_expiry_month => 12, card_expiry_year => $year, card_cvv => :cvv, card_holder => :holder, timeout => '20s');",
		{ number => $NUMBER, cvv => '737', holder => 'ADYENHOLDER' });
	unlike($error, qr/ERROR/, 'no error') or diag($error);
	is(amounts('card'), 'captured 1000 0 0 0', 'a card that the shop has');
	$error = run_bound($node, "SELECT FROM pgw.process_payment('fields', 1000, 'EUR', bank => 'adyen', token => :token, timeout => '20s');",
		{ token => '{"encryptedCardNumber": "test_' . $NUMBER . '", "encryptedExpiryMonth": "test_03", "encryptedExpiryYear": "test_2030", "encryptedSecurityCode": "test_737"}' });
	unlike($error, qr/ERROR/, 'no error') or diag($error);
	is(amounts('fields'), 'captured 1000 0 0 0', 'and one that Adyen\'s fields have encrypted');
});

$node->stop('fast');
my %found = PgwBytes->new(number => $NUMBER, holder => 'ADYENHOLDER', event => 'BankProcessingStarted')->found_in($node->data_dir, $node->logfile);
ok(!$found{$_}, "the $_ is nowhere on disk") or diag(join ', ', @{ $found{$_} }) for 'number', 'holder';
ok($found{event}, 'where the search finds what is there');
done_testing();
