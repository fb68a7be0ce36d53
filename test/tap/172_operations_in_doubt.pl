# Capture, void and refund when the bank does not say whether it has done them: that is found out, by look-ups, the same key again, or a person, and
# each of them is done once or not at all.
use strict;
use warnings;
use lib 'test/lib';
use PgwOperations;
use PgwReviews qw(pay_and_roll_back);
use PgwTest;
use Test::More;

my ($node, $bank) = operations_cluster('operations_in_doubt');
sub sql { return $node->safe_psql('postgres', $_[0]) }

my $IN_DOUBT = qr/^TransactionStarted,BankProcessingStarted,BankOutcomeUnknown,(BankStatusChecked,)*BankProcessingCompleted,PaymentDataSaveStarted,PaymentDataSaveCompleted,TransactionCompleted$/;

# No answer: looked up; and done once
for my $case ([ 'capture', 'tok_capture_timeout_after', { capture => 'manual' } ], [ 'void', 'tok_void_timeout_after', { capture => 'manual' } ], [ 'refund', 'tok_refund_timeout_after', {} ])
{
	my ($kind, $token, $payment) = @$case;
	part($node, $token, sub {
		my $args = $OPERATIONS{$kind}{args};
		my $id = "$kind, $token";
		pay($node, $id, token => $token, %$payment);
		request_operation($node, $kind, $id, "$id x", @$args);
		is(how_payment_stands($node, $id), $OPERATIONS{$kind}{stands}, "$token: found out");
		is(done_by_bank($node, $bank, $id), $OPERATIONS{$kind}{done}, "$token: done once");
		like(events($node, "$id x"), $IN_DOUBT, "$token: its events");
		is_sound($node, $bank, "$token: sound");
	});
}

# In doubt, then not processed when it is sent again: that is no refusal
part($node, 'not processed', sub {
	my $reasons = "SELECT string_agg(e.event_type || coalesce(' ' || (e.event_data->>'reason'), ''), ',' ORDER BY e.step_order) FROM pgw.transaction_events e
		JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = 'unprocessed-c'";
	pay($node, 'unprocessed', capture => 'manual');
	bank_control($bank, 'faults', { operations => ['capture'], probabilities => { '500_before' => 1 } });
	request_operation($node, 'capture', 'unprocessed', 'unprocessed-c', '1000');
	ok(wait_until(sub { sql($reasons) =~ /BankOutcomeUnknown/ }, 10), 'not processed: first in doubt');
	bank_control($bank, 'faults', { operations => ['capture'], probabilities => { 503 => 1 } });
	ok(wait_until(sub { sql($reasons) =~ /not_processed/ }, 20), 'not processed: the bank says so when it comes again');
	bank_control($bank, 'faults', {});
	is(how_payment_stands($node, 'unprocessed'), 'captured 1000/0/0', 'not processed: done in the end') or diag(sql($reasons));
	is_sound($node, $bank, 'not processed: sound');
});

# By chance, whatever the bank can do wrong before and after it has done the work
part($node, 'faults by chance', sub {
	bank_control($bank, 'faults', { seed => 3, operations => [qw(capture void refund lookup)], probabilities => {
		'500_before' => 0.1, '500_after' => 0.1, timeout_before => 0.03, timeout_after => 0.05, reset_before => 0.1, reset_after => 0.1, truncated => 0.05, empty => 0.05, 503 => 0.1 } });
	for my $i (1 .. 12)
	{
		pay($node, "chance$i", capture => 'manual');
		request_operation($node, 'capture', "chance$i", "chance$i-c", $i % 3 == 0 ? '700' : '1000') if $i % 4;
		request_operation($node, 'void', "chance$i", "chance$i-v") if $i % 4 == 0;
	}
	wait_rest($node, $bank, seconds => 60);
	for my $i (grep { $_ % 4 } 1 .. 12)
	{
		request_operation($node, 'refund', "chance$i", "chance$i-r$_", 100) for 1 .. 2;
	}
	wait_rest($node, $bank, seconds => 60);
	bank_control($bank, 'faults', {});
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE kind <> 'payment' AND client_request_id ~ '^chance' AND status <> 'Completed'"), 0, 'all are done in the end');
	is_sound($node, $bank, 'faults by chance: sound');
});

# An error that the bank has stored under the key: once more with that key, then, as look-ups show that nothing was done, with another
part($node, 'a stored error', sub {
	for my $kind ('capture', 'on_commit')
	{
		my $id = "stored $kind";
		bank_control($bank, 'faults', { seed => 1, operations => ['capture'], probabilities => { '500_after' => 1 } });
		pay($node, $id, token => 'tok_capture_fail', capture => $kind eq 'capture' ? 'manual' : 'on_commit');
		request_operation($node, 'capture', $id, "$id-c") if $kind eq 'capture';
		my $charge = (charges_of($node, $bank, $id))[0];
		my $captures = sub { grep { $_->{operation} eq 'capture' && $_->{path} =~ /\Q$charge->{id}\E/ } @{ bank_log($bank, 200) } };
		ok(wait_until(sub { grep { $_->{status} == 500 } $captures->() }, 10), "$id: answered with an error");
		bank_control($bank, 'faults', {});
		is(how_payment_stands($node, $id), $kind eq 'capture' ? 'authorized 0/0/0' : 'failed 0/0/0', "$id: comes to an end");
		my %keys;
		$keys{ $_->{idempotency_key} }++ for $captures->();
		is(scalar keys %keys, 2, "$id: two keys");
		is(scalar(grep { $_ == 2 } values %keys), 1, "$id: of them one twice");
	}
	is(request_operation($node, 'capture', 'stored capture', 'stored capture-c'), 'Failed', 'refused in the end');
	is_sound($node, $bank, 'a stored error: sound');
});

# Nor does it hold a give-back, until the bank forgets the key a day later
part($node, 'a stored error of a give-back', sub {
	bank_control($bank, 'faults', { seed => 1, operations => ['refund'], probabilities => { '500_after' => 1 } });
	pay_and_roll_back($node, 'stored give-back', token => 'tok_refund_fail_1');
	ok(wait_until(sub { grep { $_->{operation} eq 'refund' && $_->{status} == 500 } @{ bank_log($bank, 200) } }, 60), 'answered with an error');
	bank_control($bank, 'faults', {});
	ok(comes_to($node, 'stored give-back', 'Refunded'), 'given back with another key');
	is_sound($node, $bank, 'a stored error of a give-back: sound');
});

# ---------------------------------------------------------------- a bank that can be asked nothing

part($node, 'form', sub {
	sql("SELECT pgw.grant_access('postgres', 'operator')");
	my $listener = listener($node);
	for my $case (
		[ 'refund', 'tok_refund_timeout_after', {}, 'mark_refunded', 'partially_refunded 1000/400/0' ],
		[ 'refund', 'tok_refund_timeout_after', {}, 'mark_not_charged', 'captured 1000/0/0' ],
		[ 'capture', 'tok_capture_timeout_after', { capture => 'manual' }, 'mark_charged', 'captured 600/0/0' ],
		[ 'void', 'tok_void_timeout_after', { capture => 'manual' }, 'mark_refunded', 'voided 0/0/0' ])
	{
		my ($kind, $token, $payment, $action, $stands) = @$case;
		my $id = "form $kind $action";
		pay($node, $id, bank => 'form', token => $token, %$payment);
		request_operation($node, $kind, $id, $id, @{ $OPERATIONS{$kind}{args} });
		ok(wait_until(sub { sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = '$id' AND kind = '$kind'") eq 'RequiresManualReview' }, 20),
			"$id: no answer, and no way to find out: review");
		is(sql("SELECT array_to_string(possible_actions, ',') FROM pgw.manual_reviews WHERE client_request_id = '$id'"),
			$kind eq 'capture' ? 'retry,mark_charged,mark_not_charged' : 'retry,mark_not_charged,mark_refunded', "$id: what can be done");
		my ($claims) = sql("SELECT reserved_amount + refund_pending_amount FROM pgw.payments WHERE client_request_id = '$id'");
		cmp_ok($claims, '>', 0, "$id: its claim stands");
		if ($kind ne 'refund')
		{
			my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . operation_sql($kind, $id, "$id 2", @{ $OPERATIONS{$kind}{args} }));
			like($err, qr/PW422.*operation_not_allowed/s, "$id: and nothing can be asked for beside it");
		}
		sql("SELECT pgw.resolve_review(transaction_id, '$action', 'the bank says so', '{\"bank_reference\": \"x\"}')
			FROM pgw.payment_transactions WHERE client_request_id = '$id' AND kind = '$kind'");
		is(how_payment_stands($node, $id), $stands, "$id: $stands");
		my $first = $payment->{capture} ? 'authorized' : 'captured';
		my $last = $action eq 'mark_not_charged' ? 'failed' : 'completed';
		is_heard($node, $listener, $id, "payment $first,$kind in_review,$kind $last", "$id: listeners hear of review and decision");
	}
	# the capture after the commit, in doubt: the payment stays authorized until a person decides
	pay($node, 'form oc', bank => 'form', token => 'tok_capture_timeout_after', capture => 'on_commit');
	ok(wait_until(sub { status_of($node, 'form oc') eq 'RequiresManualReview' }, 20), 'a capture after the commit that nobody can tell of: review');
	is(sql("SELECT status FROM pgw.find_payment('form oc')"), 'authorized', 'that it is authorized is certain');
	sql("SELECT pgw.resolve_review(transaction_id, 'mark_charged', 'the bank says so', '{\"bank_reference\": \"x\"}') FROM pgw.payment_transactions WHERE client_request_id = 'form oc'");
	is(how_payment_stands($node, 'form oc'), 'captured 1000/0/0', 'an operator has found out');
	is(scalar(grep { $_ !~ /void_differs/ } split /\n/, sql('SELECT c FROM pgw.check_consistency() c')), 0, 'the records agree with themselves');
});

$node->stop('fast');
done_testing();
