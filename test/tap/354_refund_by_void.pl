# A refund that the bank carries out as a void is done, whatever its answer says, and never sent once more; one of a part is done, too, where somebody has voided
# the whole.  But what was voided may be the rest alone, where a part was captured: that is for a person.  Counted at the bank.
use strict;
use warnings;
use lib 'test/lib';
use HTTP::Tiny;
use JSON::PP;
use PgwOperations;
use PgwTest;
use Test::More;

my $node = pgw_node('byvoid', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\npgw.breaker_failures = 10000\npgw.retry_budget = 100\npgw.unknown_deadline = '5s'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
# It shows the charge, and no refund by its own reference.
$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition)
	SELECT 'plain', jsonb_set(definition::jsonb #- '{operations,lookup_refund}', '{capabilities,lookup_consistent_after_seconds}', '1') FROM pgw.connectors WHERE name = 'json';
	UPDATE pgw.banks SET connector = 'plain', request_timeout = '2s' WHERE name = 'bank'");

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub by_void { return bank_control($bank, 'settings', { refunds_by_void => $_[0] ? JSON::PP::true : JSON::PP::false }) }

# Somebody does it at the bank itself.
sub at_the_bank
{
	my ($path, $body) = @_;
	return HTTP::Tiny->new->request('POST', "$bank->{url}/v1/$path",
		{ content => encode_json($body), headers => { 'Content-Type' => 'application/json', 'Idempotency-Key' => $path, Authorization => 'Bearer test-secret' } })->{status};
}

# captured/refunded, and how often it was voided.
sub books
{
	my ($id) = @_;
	my ($charge) = charges_of($node, $bank, $id);
	my $voids = grep { $_->{charge} eq $charge->{id} } @{ bank_ledger($bank)->{voids} };
	return "$charge->{captured}/$charge->{refunded} voids $voids";
}

sub alerts { return sql("SELECT count(*) FROM pgw.alert_state a JOIN pgw.payment_transactions t ON t.transaction_id::text = a.subject WHERE client_request_id = '$_[0]' AND a.kind = 'bank_shows_more'") }

part($node, 'of the whole', sub {
	by_void(1);
	for my $fault (qw(none reset_after 500_after timeout_after))
	{
		pay($node, "whole $fault");
		bank_control($bank, 'faults', { probabilities => { $fault => 1 }, operations => ['refund'], times => 1 }) unless $fault eq 'none';
		request_operation($node, 'refund', "whole $fault", "whole $fault-r", 1000);
		ok(comes_to($node, "whole $fault-r", 'Completed'), "$fault: done");
		is(books("whole $fault"), '1000/0 voids 1', 'once');
		is(how_payment_stands($node, "whole $fault"), 'refunded 1000/1000/0', 'and so stands the payment');
		is(alerts("whole $fault-r"), 0, 'nobody is told');
		bank_control($bank, 'faults', {});
	}
	sql('BEGIN; ' . payment_sql('back') . '; ROLLBACK');
	ok(comes_to($node, 'back', 'Refunded'), 'a give-back');
	by_void(0);
});

part($node, 'voided by somebody', sub {
	pay($node, 'part');
	by_void(1);
	my ($charge) = charges_of($node, $bank, 'part');
	is(at_the_bank("charges/$charge->{id}/refunds", { amount => 1000 }), 201, 'the whole is undone at the bank itself');
	by_void(0);
	request_operation($node, 'refund', 'part', 'part-r', 400);
	ok(comes_to($node, 'part-r', 'Completed'), 'a refund of a part is refused, and the customer has the money');
	is(books('part'), '1000/0 voids 1', 'once');
	is(how_payment_stands($node, 'part'), 'partially_refunded 1000/400/0', 'as much as was asked for');
	is(alerts('part-r'), 1, 'that it was more is told');
});

part($node, 'the rest alone', sub {
	pay($node, 'rest', capture => 'manual', token => 'tok_refund_fail');
	request_operation($node, 'capture', 'rest', 'rest-c', 300);
	ok(comes_to($node, 'rest-c', 'Completed'), 'a part is captured');
	my ($charge) = charges_of($node, $bank, 'rest');
	is(at_the_bank('cancellations', { reference => $charge->{reference} }), 409, 'somebody cancels it, and what was captured is not given back');
	($charge) = charges_of($node, $bank, 'rest');
	ok($charge->{voided} && $charge->{captured} == 300 && $charge->{refunded} == 0, 'the rest is released at the bank, and the part is not back');
	request_operation($node, 'refund', 'rest', 'rest-r', 300);
	ok(comes_to($node, 'rest-r', 'RequiresManualReview'), 'the refund of that part is neither done nor failed');
	is(sql("SELECT refunded_amount || '/' || refund_pending_amount FROM pgw.payments WHERE client_request_id = 'rest'"), '0/300', 'and its amount stays claimed');
});

$node->stop('fast');
done_testing();
