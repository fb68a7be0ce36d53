# The connector for Mollie: a card by a customer's mandate, amounts as decimal text, refunds that are queued and can still fail, its unsigned webhook that makes pgw ask, and answers that are lost.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use Test::More;

my $bank = bank_start();
my $node = pgw_node('mollie', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\npgw.retry_budget = 100\n");
pgw_setup($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sql("INSERT INTO pgw.banks (name, connector, base_url, secret, livemode, request_timeout, settings)
	VALUES ('mollie', 'mollie', '$bank->{url}/mollie', 'bank', false, '2s', '{\"webhook_url\": \"https://shop.example/hooks/mollie\"}')");
bank_control($bank, 'settings', { accepts => ['refund'] });

sub pay
{
	my ($id, %o) = @_;
	return sql("SELECT concat_ws(' ', status, error_code) FROM " . pay_sql('process_payment', client_request_id => $id, bank => 'mollie', amount => 1999, timeout => '20s', bank_fields => '{"customer": "cst_1"}', %o));
}
sub attempt { return sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }
sub key { return sql("SELECT coalesce(bank_key, replace(transaction_id::text, '-', '')) FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }
sub amounts { return sql("SELECT concat_ws(' ', status, captured_amount, refunded_amount, refund_pending_amount) FROM pgw.payments WHERE client_request_id = '$_[0]'") }
sub stands { my ($id) = @_; return join ', ', map { "$_->{amount} $_->{captured}/$_->{refunded}" } charges_of($node, $bank, $id) }
sub settle { return bank_control($bank, 'settle', { reference => key($_[0]), to => $_[1] }) }
sub webhook { return sql("SELECT verdict || ' ' || http_status FROM pgw.receive_notification('mollie', '{}', convert_to('id=' || '$_[0]', 'UTF8'))") }

sub refund
{
	my ($id, $amount) = @_;
	sql("SELECT o.status FROM pgw.find_payment('$id') f, pgw.refund_payment(f.payment_id, '$id-refund', $amount) o");
	return ok(wait_until(sub { sql("SELECT accepted_at IS NOT NULL FROM pgw.payment_transactions WHERE client_request_id = '$id-refund'") eq 't' }, 60), "$id: the refund is queued");
}

part($node, 'paid', sub {
	is(pay('paid'), 'captured', 'a card by its mandate');
	is(stands('paid'), '1999 1999/0', 'for the amount that it says as text');
	is(pay('yen', currency => 'JPY', amount => 500), 'captured', 'a currency without decimals');
	is(stands('yen'), '500 500/0', 'as its text has it');
	is(pay('no', token => 'tok_decline_insufficient_funds'), 'declined insufficient_funds', 'a refusal, with its reason');
});

part($node, 'refunded', sub {
	refund('paid', 500);
	is(amounts('paid'), 'captured 1999 0 500', 'which is none yet');
	settle('paid-refund', 'succeeded');
	is(webhook((charges_of($node, $bank, 'paid'))[0]{id}), 'hint 200', 'the webhook is a hint');
	ok(comes_to($node, 'paid-refund', 'Completed'), 'by which the refund is looked up');
	is(join('|', amounts('paid'), stands('paid')), 'partially_refunded 1999 500 0|1999 1999/500', 'and done');
	is(webhook('tr_nobody'), 'hint 200', 'one of a payment that is not here says nothing');
	pay('fails');
	refund('fails', 1999);
	settle('fails-refund', 'failed');
	webhook((charges_of($node, $bank, 'fails'))[0]{id});
	ok(comes_to($node, 'fails-refund', 'Failed'), 'one that was cancelled while it was queued has failed');
	is(amounts('fails'), 'captured 1999 0 0', 'and its amount is free');
});

part($node, 'rolled back', sub {
	sql('BEGIN; SELECT FROM ' . pay_sql('process_payment', client_request_id => 'back', bank => 'mollie', amount => 1999) . '; ROLLBACK');
	ok(wait_until(sub { eval { bank_control($bank, 'settle', { to => 'succeeded' }) }; attempt('back') eq 'Refunded' }, 90), 'given back')
	  or diag(events($node, 'back'));
	is(stands('back'), '1999 1999/1999', 'once');
});

part($node, 'lost answers', sub {
	bank_control($bank, 'faults', { probabilities => { reset_after => 1 }, operations => [ 'charge', 'refund' ], times => 2 });
	is(pay('lost'), 'captured', 'asked again under its key');
	refund('lost', 1999);
	settle('lost-refund', 'succeeded');
	ok(comes_to($node, 'lost-refund', 'Completed'), 'and a refund is found by its reference');
	is(stands('lost'), '1999 1999/1999', 'each was done once');
});

part($node, 'pending', sub {
	sql('SELECT FROM ' . pay_sql('submit_payment', client_request_id => 'later', bank => 'mollie', amount => 1999, token => 'tok_charge_pending_done_500'));
	ok(comes_to($node, 'later', 'Completed'), 'what is pending is looked up until it is paid');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'sound');
});

$node->stop('fast');
done_testing();
