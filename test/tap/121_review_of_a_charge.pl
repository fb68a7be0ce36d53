# A charge of which nobody knows whether it was made, in manual review: whatever an operator says, nobody pays twice, and ledger and tables agree
# afterwards.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwReviews;
use PgwTest;
use Test::More;

my ($node, $bank) = reviews_cluster('review_of_a_charge');
sub sql { return $node->safe_psql('postgres', $_[0]) }

# ---------------------------------------------------------------- a charge in doubt, at a bank that cannot tell

part($node, 'in doubt, the caller has committed', sub {
	is(pay($node, 'charged', bank => 'form', token => 'tok_500_after'), 'in_review', 'in doubt: in review at once');
	is(open_review($node, 'charged'), 'BankUnknown|no_way_to_find_out|{retry,mark_charged,mark_not_charged}', 'the view says why, and what can be done');
	is(sql("SELECT jsonb_array_length(context), amount, currency, bank, age < '1 minute' FROM pgw.manual_reviews WHERE client_request_id = 'charged'"),
		sql("SELECT step_order, 1234, 'EUR', 'form', 't' FROM pgw.payment_transactions WHERE client_request_id = 'charged'"), 'with all that is known');
	like(refusal($node, 'charged', 'refund'), qr/PW422.*mark_charged/s, 'refund: not a proven charge, the hint names mark_charged');
	like(refusal($node, 'charged', 'mark_refunded', 'x'), qr/PW422.*mark_not_charged/s, 'mark_refunded: neither');
	like(refusal($node, 'charged', 'mark_charged'), qr/PW400.*evidence_required/s, 'mark_charged wants evidence');
	# of both ranges: what a terminal or a log viewer would obey
	for my $control (27, 127, 128, 155, 159)
	{
		like(refusal($node, 'charged', 'mark_charged', 'ch' . chr $control), qr/PW400.*"field": "evidence", "code": "control_characters"/s, "a reference with character $control is refused");
		my $note = "'because' || chr($control)";
		my (undef, undef, $err) = $node->psql('postgres', "SELECT pgw.resolve_review('" . newest_attempt($node, 'charged') . "', 'retry', $note, '{}')", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
		like($err, qr/PW400.*"field": "note", "code": "control_characters"/s, 'and so is a note');
	}

	my $charges = requests_of($bank, 'charge');
	is(resolve($node, 'charged', 'retry'), 'BankUnknown', 'retry: in doubt again');
	attempt_becomes($node, 'charged', 'RequiresManualReview', 'and in review again, because nothing can tell');
	is(requests_of($bank, 'charge'), $charges, 'the bank was not asked to charge again');
	is(payment_status($node, 'charged'), 'in_review', 'the payments row says so all along');

	is(resolve($node, 'charged', 'mark_charged', charge_id($node, $bank, 'charged')), 'BankApproved', 'mark_charged: the vote decides');
	attempt_becomes($node, 'charged', 'Completed', 'the row is there: saved');
	is(sql("SELECT status, captured_amount, bank_reference FROM pgw.find_payment('charged')"), 'captured|1234|' . charge_id($node, $bank, 'charged'), 'with the amount and the reference');
	is(charges_made_and_kept($node, $bank, 'charged'), '1 1', 'one charge, kept');
	like(refusal($node, 'charged', 'retry'), qr/PW422.*manual_reviews/s, 'it is not in review any more');

	is(pay($node, 'not', bank => 'form', token => 'tok_500_before'), 'in_review', 'another in doubt, which the bank did not do');
	is(resolve($node, 'not', 'mark_not_charged'), 'Failed', 'mark_not_charged');
	payment_becomes($node, 'not', 'failed', 'the payments row says failed');
	is(sql("SELECT error_code FROM pgw.find_payment('not')"), 'not_processed', 'with the reason');
	wait_until(sub { sql("SELECT next_step_at IS NULL AND watch_until IS NULL FROM pgw.payment_transactions WHERE client_request_id = 'not'") eq 't' });
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'not' AND next_step_at IS NULL AND watch_until IS NULL"), 1, 'a bank without look-up is not watched');
	is_sound($node, $bank, 'in doubt: tables and ledger are sound');
});

part($node, 'in doubt, the caller has rolled back', sub {
	pay_and_roll_back($node, 'gone', bank => 'form', token => 'tok_500_after');
	attempt_becomes($node, 'gone', 'RequiresManualReview', 'rolled back: in review all the same');
	is(resolve($node, 'gone', 'mark_charged', charge_id($node, $bank, 'gone')), 'BankApproved', 'mark_charged: the vote decides');
	attempt_becomes($node, 'gone', 'Refunded', 'no row: given back');
	is(charges_made_and_kept($node, $bank, 'gone'), '1 0', 'one charge, given back');

	pay_and_roll_back($node, 'free', bank => 'form', token => 'tok_500_before');
	attempt_becomes($node, 'free', 'RequiresManualReview', 'rolled back, and the bank did nothing');
	is(pay($node, 'free', bank => 'form', token => 'tok_500_before'), 'in_review', 'while in review the same id tells so');
	is(resolve($node, 'free', 'mark_not_charged'), 'Failed', 'mark_not_charged');
	payment_becomes($node, 'free', 'failed', 'the row that came later votes no more');
	is_sound($node, $bank, 'rolled back: tables and ledger are sound');
});

part($node, 'another payment\'s charge', sub {
	is(pay($node, 'mine', bank => 'form', token => 'tok_500_after'), 'in_review', 'in doubt');
	like(refusal($node, 'mine', 'mark_charged', charge_id($node, $bank, 'charged')), qr/PW422.*Another payment/s, 'the charge of another payment is refused as evidence');
	is(resolve($node, 'mine', 'mark_charged', charge_id($node, $bank, 'mine')), 'BankApproved', 'its own is taken');
	attempt_becomes($node, 'mine', 'Completed', 'and saved');
	is_sound($node, $bank, 'another payment\'s charge: tables and ledger are sound');
});

# ---------------------------------------------------------------- a charge in doubt, at a bank that did not tell in time

sub review_after_deadline
{
	my ($id, $pay, $token) = @_;
	bank_control($bank, 'settings', { lookup => JSON::PP::false });
	$pay->($node, $id, token => $token // 'tok_500_after');
	attempt_becomes($node, $id, 'RequiresManualReview', "$id: the bank does not tell: in review") or diag(events($node, $id));
	is(open_review($node, $id), 'BankUnknown|deadline|{retry,mark_charged,mark_not_charged}', "$id: after the deadline");
}

part($node, 'late look-up', sub {
	review_after_deadline('later', \&pay);
	payment_becomes($node, 'later', 'in_review', 'the payments row says so');
	my $charges = requests_of($bank, 'charge');
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	is(resolve($node, 'later', 'retry'), 'BankUnknown', 'retry, after the deadline');
	attempt_becomes($node, 'later', 'Completed', 'looks once more, and finds it');
	payment_becomes($node, 'later', 'captured', 'the row goes from in_review to captured');
	is(requests_of($bank, 'charge'), $charges, 'nothing was charged');

	review_after_deadline('lie', \&pay);
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	is(resolve($node, 'lie', 'mark_not_charged'), 'Failed', 'an operator is wrong: there is a charge');
	attempt_becomes($node, 'lie', 'Refunded', 'it turns up, and is given back');
	payment_becomes($node, 'lie', 'failed', 'as the payments row says');
	is(charges_made_and_kept($node, $bank, 'lie'), '1 0', 'nobody pays');
	like(events($node, 'lie'), qr/ManualReviewRequired,ManualReviewResolved,LateApprovalReceived,CompensationStarted,RefundStarted,RefundCompleted$/, 'with its events');

	review_after_deadline('twice', \&pay_and_roll_back);
	is(resolve($node, 'twice', 'mark_not_charged'), 'Failed', 'wrong again, and the bank cannot be asked just now');
	is(pay($node, 'twice'), 'captured', 'the same id pays anew');
	is(charges_made_and_kept($node, $bank, 'twice'), '2 2', 'for a moment there are two charges');
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	wait_until(sub { charges_made_and_kept($node, $bank, 'twice') eq '2 1' });
	is(charges_made_and_kept($node, $bank, 'twice'), '2 1', 'the one that was said not to be is given back');
	is(payment_status($node, 'twice'), 'captured', 'the other is kept');
	wait_until(sub { status_of($node, 'twice') eq 'Refunded,Completed' });
	is(status_of($node, 'twice'), 'Refunded,Completed', 'as the attempts say');
	is_sound($node, $bank, 'late look-up: tables and ledger are sound');
});

# Never past the key's lifetime: a retry may look, and send only what the bank surely remembers.
part($node, 'keys', sub {
	for my $id (qw(young old))
	{
		review_after_deadline($id, sub { pay(@_, bank => 'hasty') }, 'tok_timeout_before_1');
		wait_until(sub { sql("SELECT bank_asked_at < clock_timestamp() - interval '2 s' FROM pgw.payment_transactions WHERE client_request_id = '$id'") eq 't' });
	}
	sql("UPDATE pgw.payment_transactions SET bank_key_used_at = bank_key_used_at - interval '1 day' WHERE client_request_id = 'old'");
	my $charges = requests_of($bank, 'charge');
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	is(resolve($node, 'young', 'retry'), 'BankUnknown', 'retry of what the bank did not do');
	attempt_becomes($node, 'young', 'Completed', 'looked up, and sent again while the bank remembers the key');
	payment_becomes($node, 'young', 'captured', 'as the row says');
	my %keys = map { ($_->{reference} // '') . ' ' . ($_->{idempotency_key} // '') => 1 } grep { $_->{operation} eq 'charge' } @{ bank_log($bank, 20) };
	is(scalar(grep { /\Q@{[ newest_attempt($node, 'young') =~ tr,-,,dr ]}\E/ } keys %keys), 1, 'with the key that it had');
	is(requests_of($bank, 'charge'), $charges + 1, 'once');
	is(resolve($node, 'old', 'retry'), 'BankUnknown', 'the same with a key that is a day old');
	attempt_becomes($node, 'old', 'Failed', 'looked up, not sent');
	payment_becomes($node, 'old', 'failed', 'the row goes from in_review to failed');
	is(requests_of($bank, 'charge'), $charges + 1, 'no charge left');
	is_sound($node, $bank, 'keys: tables and ledger are sound');
});

part($node, 'submitted', sub {
	my %end = (mark_charged => 'captured', mark_not_charged => 'failed');
	for my $action (sort keys %end)
	{
		my $id = "submitted-$action";
		sql('SELECT ' . pay_sql('submit_payment', client_request_id => $id, bank => 'form', token => $action eq 'mark_charged' ? 'tok_500_after' : 'tok_500_before'));
		payment_becomes($node, $id, 'in_review', "$id: in review");
		resolve($node, $id, $action, $action eq 'mark_charged' ? charge_id($node, $bank, $id) : undef);
		payment_becomes($node, $id, $end{$action}, "$id: $end{$action}");
	}
	bank_control($bank, 'settings', { lookup => JSON::PP::false });
	sql('SELECT ' . pay_sql('submit_payment', client_request_id => 'submitted-retry', token => 'tok_500_after'));
	payment_becomes($node, 'submitted-retry', 'in_review', 'in review after the deadline');
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	is(resolve($node, 'submitted-retry', 'retry'), 'BankUnknown', 'retry');
	payment_becomes($node, 'submitted-retry', 'captured', 'found, and saved');
	is_sound($node, $bank, 'submitted: tables and ledger are sound');
});

$node->stop('fast');
done_testing();
