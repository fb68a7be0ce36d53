# What a bank has accepted and may still fail: the amount counts at once, nothing is sent again, and only the bank's word ends it, or the time that the
# connector names where nothing could tell.
use strict;
use warnings;
use lib 'test/lib';
use Digest::SHA qw(hmac_sha256_hex);
use HTTP::Tiny;
use JSON::PP;
use PgwOperations;
use PgwReviews qw(pay_and_roll_back);
use PgwSession;
use PgwTest;
use Test::More;

my ($node, $bank) = operations_cluster('accepted', debug => 1);
sub sql { return $node->safe_psql('postgres', $_[0]) }

# The reference bank, as one that accepts; "blind" can be asked nothing of it.
sql(q{
	CREATE FUNCTION accepting(d jsonb) RETURNS jsonb LANGUAGE sql AS $$
		SELECT jsonb_set(jsonb_set(jsonb_set(d, '{operations,refund,answer,rules,1,outcome}', '"accepted"'), '{operations,capture,answer,rules,1,outcome}', '"accepted"'),
			'{operations,void,answer,rules,1}', '{"status": [200, 201], "when": {"/voided": false}, "outcome": "accepted"}') $$;
	INSERT INTO pgw.connectors (name, definition) SELECT 'accepting', accepting(definition::jsonb) FROM pgw.connectors WHERE name = 'quick';
	INSERT INTO pgw.connectors (name, definition) SELECT 'blind', jsonb_set(accepting(definition::jsonb) #- '{operations,lookup_charge}' #- '{operations,lookup_refund}'
		#- '{capabilities,lookup_consistent_after_seconds}', '{capabilities,accepted_final_after_seconds}', '2') FROM pgw.connectors WHERE name = 'quick';
	INSERT INTO pgw.connectors (name, definition) SELECT 'unkeyed', jsonb_set(accepting(definition::jsonb), '{operations,capture,idempotency}', 'false')
		FROM pgw.connectors WHERE name = 'quick';
	UPDATE pgw.banks SET connector = 'accepting' WHERE name = 'bank'});
sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) SELECT c, c, '$bank->{url}', 'bank', 900 FROM unnest('{blind,unkeyed}'::text[]) c");
bank_control($bank, 'settings', { accepts => [qw(capture void refund)] });

sub attempt { return sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = '$_[0]' ORDER BY transaction_id DESC LIMIT 1") }
sub amounts { return sql("SELECT concat_ws(' ', status, captured_amount, capture_pending_amount, reserved_amount, refunded_amount, refund_pending_amount) FROM pgw.payments WHERE client_request_id = '$_[0]'") }
sub becomes { my ($id, $status, $name) = @_; wait_until(sub { attempt($id) eq $status }, 60); return is(attempt($id), $status, $name) }
sub is_accepted { my ($id, $name) = @_; return ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = '$id' AND status IN ('Saved', 'Refunding') AND accepted_at IS NOT NULL") eq 1 }, 60), $name) }
# our reference of an operation, of a capture after the commit, or of a give-back
sub reference { my ($id, $column) = @_; return sql("SELECT coalesce(" . ($column // 'bank_key') . ", replace(transaction_id::text, '-', '')) FROM pgw.payment_transactions WHERE client_request_id = '$id' ORDER BY transaction_id DESC LIMIT 1") }
sub settle { my ($reference, $to) = @_; return bank_control($bank, 'settle', { reference => $reference, to => $to }) }
sub looks { return bank_ledger($bank)->{requests_by_operation}{lookup} // 0 }
# So many look-ups have been answered since.
sub looked { my ($n) = @_; my $before = looks(); return wait_until(sub { looks() >= $before + $n }, 60) }
sub orders { my ($op) = @_; return bank_ledger($bank)->{requests_by_operation}{$op} // 0 }

# Somebody voids the charge of this payment in the bank's dashboard.
sub void_at_the_bank
{
	my ($id) = @_;
	my ($charge) = charges_of($node, $bank, $id);
	bank_control($bank, 'settings', { accepts => [qw(capture refund)] });
	my $r = HTTP::Tiny->new->post("$bank->{url}/v1/charges/$charge->{id}/void", { headers => { Authorization => 'Bearer test-secret', 'Content-Type' => 'application/json' }, content => '{}' });
	bank_control($bank, 'settings', { accepts => [qw(capture void refund)] });
	return ok($r->{success}, "$id: voided at the bank itself") || diag $r->{content};
}

my $SAVED = 'TransactionStarted,BankProcessingStarted,BankProcessingCompleted,PaymentDataSaveStarted,PaymentDataSaveCompleted,BankAccepted';

part($node, 'two refunds, and one that fails', sub {
	pay($node, 'r');
	my $before = orders('refund');
	request_operation($node, 'refund', 'r', 'r1', 400);
	request_operation($node, 'refund', 'r', 'r2', 500);
	is_accepted($_, "$_: accepted") for 'r1', 'r2';
	is(sql("SELECT status || ' ' || (details->>'count') FROM pgw.health() WHERE check_name = 'accepted'"), 'ok 2', 'health() counts them');
	is(amounts('r'), 'captured 1000 0 0 0 900', 'both count, and neither is done');
	my (undef, undef, $err) = $node->psql('postgres', operation_sql('refund', 'r', 'r3', 101));
	like($err, qr/"left": *100/, 'more than what is left is refused');
	ok(looked(4), 'the bank is asked about them');
	is(orders('refund') - $before, 2, 'and sent nothing again');
	is(request_operation($node, 'refund', 'r', 'r1', 400), 'Saved', 'a replay says how it stands');
	is(events($node, 'r1'), $SAVED, 'looks that tell nothing leave no event');
	settle(reference('r1'), 'failed');
	becomes('r1', 'Failed', 'the bank fails one');
	is(amounts('r'), 'captured 1000 0 0 0 500', 'its amount is free again');
	is(events($node, 'r1'), "$SAVED,BankProcessingFailed,TransactionFailed", 'its events');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'accepted_failed'") == 1 }, 60), 'and people are told');
	settle(reference('r2'), 'succeeded');
	becomes('r2', 'Completed', 'the other is done');
	is(amounts('r'), 'partially_refunded 1000 0 0 500 0', 'its amount is refunded');
	is(events($node, 'r2'), "$SAVED,TransactionCompleted", 'its events');
	request_operation($node, 'refund', 'r', 'r4', 500);
	is_accepted('r4', 'what is free is asked for again');
	settle(reference('r4'), 'succeeded');
	becomes('r4', 'Completed', 'and done');
	is_sound($node, $bank, 'refunds: sound');
});

part($node, 'captures', sub {
	pay($node, 'c', capture => 'manual');
	request_operation($node, 'capture', 'c', 'c1', 600, 'false');
	is_accepted('c1', 'accepted');
	is(amounts('c'), 'authorized 0 600 0 0 0', 'the amount is pending');
	my (undef, undef, $err) = $node->psql('postgres', operation_sql('void', 'c', 'c-v'));
	like($err, qr/operation_not_allowed/, 'no void beside it');
	settle(reference('c1'), 'succeeded');
	becomes('c1', 'Completed', 'done');
	is(amounts('c'), 'partially_captured 600 0 0 0 0', 'captured');
	pay($node, 'v', capture => 'manual');
	request_operation($node, 'void', 'v', 'v1');
	is_accepted('v1', 'a void is accepted');
	is(amounts('v'), 'authorized 0 0 1000 0 0', 'and nothing is voided yet');
	settle(reference('v1'), 'failed');
	ok(looked(3), 'that it has failed no look-up shows');
	is(attempt('v1'), 'Saved', 'and what is not shown is no failure');
	void_at_the_bank('v');
	becomes('v1', 'Completed', 'what the charge shows ends it');
	is(amounts('v'), 'voided 0 0 0 0 0', 'voided');
	is_sound($node, $bank, 'captures: sound');
});

part($node, 'after the commit', sub {
	pay($node, 'o', capture => 'on_commit');
	is_accepted('o', 'the capture after the commit is accepted');
	is(amounts('o'), 'authorized 0 1000 0 0 0', 'the amount is pending');
	settle(reference('o', 'capture_key'), 'succeeded');
	becomes('o', 'Completed', 'done');
	is(amounts('o'), 'captured 1000 0 0 0 0', 'captured');
	is_sound($node, $bank, 'after the commit: sound');
});

part($node, 'a give-back', sub {
	pay_and_roll_back($node, 'g', amount => 1000);
	is_accepted('g', 'the refund is accepted');
	my $first = reference('g', 'refund_key');
	ok(looked(3), 'the bank is asked');
	is(reference('g', 'refund_key'), $first, 'and nothing is sent');
	settle($first, 'failed');
	ok(wait_until(sub { my $key = reference('g', 'refund_key'); $key ne $first && sql("SELECT accepted_at IS NOT NULL FROM pgw.payment_transactions WHERE client_request_id = 'g'") eq 't' }, 60), 'failed: again, with another key');
	settle(reference('g', 'refund_key'), 'succeeded');
	becomes('g', 'Refunded', 'given back');
	my ($charge) = charges_of($node, $bank, 'g');
	is(scalar(grep { $_->{charge} eq $charge->{id} && $_->{status} eq 'succeeded' } @{ bank_ledger($bank)->{refunds} }), 1, 'once');
	is_sound($node, $bank, 'a give-back: sound');
});

part($node, 'a look-up that lags behind', sub {
	pay($node, 'l');
	bank_control($bank, 'settings', { lookup_lag_ms => 3600000 });
	request_operation($node, 'refund', 'l', 'l1', 400);
	is_accepted('l1', 'accepted');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'l1' AND accepted_at < clock_timestamp() - interval '2s'") eq 1 }, 60) && looked(3),
		'looked up after what a look-up does not find counts, and not found');
	bank_control($bank, 'settings', { lookup_lag_ms => 0 });
	is(amounts('l'), 'captured 1000 0 0 0 400', 'it stands as it was');
	settle(reference('l1'), 'succeeded');
	becomes('l1', 'Completed', 'until the bank shows it');
	is_sound($node, $bank, 'lag: sound');
});

part($node, 'the payments row is busy', sub {
	pay($node, 'w', capture => 'manual');
	debug_arm($node, 'operation_answered', 'stop');
	request_operation($node, 'capture', 'w', 'w1', 600);
	debug_wait($node, 'operation_answered');
	my $s = PgwSession->new($node);
	$s->run("BEGIN; SELECT FROM pgw.payments WHERE client_request_id = 'w' FOR UPDATE");
	debug_release($node, 'operation_answered');
	becomes('w1', 'BankApproved', 'the answer is kept');
	is(amounts('w'), 'authorized 0 0 600 0 0', 'and the amount is claimed as before');
	$s->run('COMMIT');
	is_accepted('w1', 'then it is accepted');
	is(amounts('w'), 'authorized 0 600 0 0 0', 'and pending');
	settle(reference('w1'), 'succeeded');
	becomes('w1', 'Completed', 'done');
	is_sound($node, $bank, 'the payments row is busy: sound');
});

# What is planned comes in an hour or later: what becomes known has been asked for.
part($node, 'a notification', sub {
	secret_file($node, 'hooks', 'hook-secret');
	sql(q{UPDATE pgw.connectors SET definition = definition::jsonb || '{"notifications": {"signature": {"scheme": "hmac_body", "header": "X-Signature", "as": "hex"},
			"identity": "/id", "type": "/type", "fields": {"reference": "/reference"}}}' WHERE name = 'accepting';
		UPDATE pgw.banks SET notification_secret = 'hooks' WHERE name = 'bank'});
	change_settings($node, 'pgw.retry_base_delay' => '1h', 'pgw.retry_max_delay' => '1d');
	pay($node, 'n');
	request_operation($node, 'refund', 'n', 'n1', 400);
	is_accepted('n1', 'accepted');
	my $receive = sub {
		my $body = encode_json({ id => $_[0], type => 'refund', reference => sql("SELECT replace(transaction_id::text, '-', '') FROM pgw.find_payment('n')") });
		return sql("SELECT verdict FROM pgw.receive_notification('bank', '{\"x-signature\": \"" . hmac_sha256_hex($body, 'hook-secret') . "\"}', decode('" . unpack('H*', $body) . "', 'hex'))");
	};
	my $before = looks();
	is($receive->('early'), 'accepted', 'a notification while the bank has not done it');
	ok(wait_until(sub { looks() == $before + 1 }, 60), 'has the bank asked');
	is(attempt('n1'), 'Saved', 'which changes nothing');
	settle(reference('n1'), 'succeeded');
	is($receive->('late'), 'accepted', 'one after it has');
	becomes('n1', 'Completed', 'ends it');
	change_settings($node, 'pgw.retry_base_delay' => '100ms', 'pgw.retry_max_delay' => '500ms');
	is_sound($node, $bank, 'a notification: sound');
});

part($node, 'nothing can be asked', sub {
	pay($node, 'b', bank => 'blind');
	request_operation($node, 'refund', 'b', 'b1', 400);
	is_accepted('b1', 'accepted');
	is(amounts('b'), 'captured 1000 0 0 0 400', 'pending');
	becomes('b1', 'Completed', 'and done when its time is over');
	is(amounts('b'), 'partially_refunded 1000 0 0 400 0', 'refunded');
	is(sql("SELECT o.details FROM pgw.find_payment('b') f, pgw.refund_payment(f.payment_id, 'b1', 400) o"), '{"kind": "refund", "confirmed": false}', 'as nobody has confirmed it, the details say');
	settle(reference('b1'), 'succeeded');
	is_sound($node, $bank, 'nothing can be asked: sound');
});

for my $how (@LOSSES)
{
	# before and after the acceptance is durable, and before and after its end is
	for my $point ('operation_answered', 'operation_result', 'accepted_end')
	{
		my $id = "$how, $point";
		part($node, $id, sub {
			pay($node, $id);
			debug_arm($node, $point, 'stop');
			request_operation($node, 'refund', $id, $id, 400);
			if ($point eq 'accepted_end')
			{
				is_accepted($id, "$id: accepted");
				settle(reference($id), 'succeeded');
			}
			lose_process($node, $how, debug_wait($node, $point));
			# a request in doubt is looked up, and found as pending, or sent again with its key
			ok(wait_until(sub { attempt($id) =~ /Saved|BankUnknown|Completed/ }, 60), "$id: goes on");
			settle(reference($id), 'succeeded') if $point ne 'accepted_end';
			becomes($id, 'Completed', "$id: done");
			is(done_by_bank($node, $bank, $id), '0 captures 0 voids 1 refunds', "$id: once");
			is_sound($node, $bank, "$id: sound");
		});
	}
}

# The bank has the order, and shows it no sooner than it is done: a second one would be taken, too.
part($node, 'no key, and the answer is lost', sub {
	pay($node, 'u', bank => 'unkeyed', capture => 'manual');
	my $before = orders('capture');
	debug_arm($node, 'operation_answered', 'stop');
	request_operation($node, 'capture', 'u', 'u1', 400, 'false');
	lose_process($node, 'kill -9', debug_wait($node, 'operation_answered'));
	my $checked = q{SELECT count(*) FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = 'u1'
		AND e.event_type = 'BankStatusChecked' AND e.occurred_at > (SELECT min(o.occurred_at) + interval '2s' FROM pgw.transaction_events o
			WHERE o.transaction_id = e.transaction_id AND o.event_type = 'BankOutcomeUnknown')};
	ok(wait_until(sub { sql($checked) > 0 }, 60), 'looked up after what a look-up does not show counts');
	is(orders('capture') - $before, 1, 'and not ordered once more');
	is(attempt('u1'), 'BankUnknown', 'it is in doubt');
	settle(reference('u1'), 'succeeded');
	becomes('u1', 'Completed', 'until the bank shows it');
	is(done_by_bank($node, $bank, 'u'), '1 captures 0 voids 0 refunds', 'once');
	is_sound($node, $bank, 'no key: sound');
});

part($node, 'a capture that fails', sub {
	sql("SELECT pgw.grant_access('postgres', 'operator')");
	pay($node, 'x', capture => 'manual');
	request_operation($node, 'capture', 'x', 'x1', 600);
	is_accepted('x1', 'accepted');
	# the bank has undone the authorization: what it has accepted can never be done
	settle(reference('x1'), 'failed');
	void_at_the_bank('x');
	becomes('x1', 'RequiresManualReview', 'a person has to look');
	is(events($node, 'x1'), "$SAVED,CaptureReversed,ManualReviewRequired", 'its events');
	is(amounts('x'), 'authorized 0 600 0 0 0', 'its claim stands');
	is(sql("SELECT array_to_string(possible_actions, ',') FROM pgw.manual_reviews WHERE client_request_id = 'x1'"), 'retry,mark_charged,mark_not_charged', 'what can be done');
	sql("SELECT pgw.resolve_review(transaction_id, 'mark_not_charged', 'the bank has failed it') FROM pgw.manual_reviews WHERE client_request_id = 'x1'");
	is(amounts('x'), 'authorized 0 0 0 0 0', 'nothing is claimed any more');
	is(sql("SELECT count(*) FROM pgw.check_consistency()"), 0, 'sound');
});

# A month later: the bank's key is forgotten, and its look-ups show nothing of the order that it has.
part($node, 'an operator says retry', sub {
	sql("SELECT pgw.grant_access('postgres', 'operator')");
	pay($node, 'y');
	request_operation($node, 'refund', 'y', 'y1', 400);
	pay_and_roll_back($node, 'y2', amount => 1000);
	is_accepted($_, "$_: accepted") for 'y1', 'y2';
	bank_control($bank, 'settings', { lookup_lag_ms => 3600000 });
	# the first look comes too late, as after an outage, and the bank has another day
	move_clock($node, 31 * 86400);
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id IN ('y1', 'y2') AND next_step_at > clock_timestamp() + interval '30 days'") eq 2 }, 60), 'not shown');
	move_clock($node, 33 * 86400);
	becomes($_, 'RequiresManualReview', "$_: a person has to look") for 'y1', 'y2';
	my $before = orders('refund');
	sql("SELECT pgw.resolve_review(transaction_id, 'retry', 'ask the bank again') FROM pgw.manual_reviews WHERE client_request_id IN ('y1', 'y2')");
	ok(looked(4), 'the bank is asked again');
	is(orders('refund') - $before, 0, 'and nothing is ordered once more');
	bank_control($bank, 'settings', { lookup_lag_ms => 0 });
	settle(reference('y1'), 'succeeded');
	settle(reference('y2', 'refund_key'), 'succeeded');
	move_clock($node, 33 * 86400 + 2 * 3600);
	becomes('y1', 'Completed', 'the refund is done');
	becomes('y2', 'Refunded', 'and the give-back');
	move_clock($node, 0);
	is(done_by_bank($node, $bank, 'y'), '0 captures 0 voids 1 refunds', 'once');
	is_sound($node, $bank, 'an operator says retry: sound');
});

$node->stop('fast');
done_testing();
