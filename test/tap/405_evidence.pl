# A bank that can be asked nothing, and says by itself what became of an order: its signed word is taken as its answer, once, by what the signature
# covers, in whatever order it comes, and whoever is killed meanwhile.
use strict;
use warnings;
use lib 'test/lib';
use Digest::SHA qw(hmac_sha256_hex);
use JSON::PP;
use PgwOperations;
use PgwSession;
use PgwTest;
use Test::More;

my $KEY = 'hook-secret';
my ($node, $bank) = operations_cluster('evidence', debug => 1);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub attempt { return sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = '$_[0]' ORDER BY transaction_id DESC LIMIT 1") }
sub amounts { return sql("SELECT concat_ws(' ', status, captured_amount, capture_pending_amount, reserved_amount, refunded_amount, refund_pending_amount) FROM pgw.payments WHERE client_request_id = '$_[0]'") }
sub becomes { my ($id, $status, $name) = @_; wait_until(sub { attempt($id) eq $status }, 120); return is(attempt($id), $status, $name) }
sub evidence { return sql("SELECT coalesce(string_agg(evidence, ',' ORDER BY notification_id), '') FROM pgw.notifications JOIN pgw.payment_transactions USING (transaction_id) WHERE client_request_id = '$_[0]'") }
sub evidence_is { my ($id, $wanted, $name) = @_; wait_until(sub { evidence($id) eq $wanted }, 60); return is(evidence($id), $wanted, $name) }
sub is_accepted { my ($id, $name) = @_; return ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = '$id' AND status = 'Saved' AND accepted_at IS NOT NULL") eq 1 }, 120), $name) }
sub key { return sql("SELECT coalesce(bank_key, replace(transaction_id::text, '-', '')) FROM pgw.payment_transactions WHERE client_request_id = '$_[0]' ORDER BY transaction_id DESC LIMIT 1") }
sub settle { return bank_control($bank, 'settle', { reference => key($_[0]), to => $_[1] }) }
sub orders { return bank_ledger($bank)->{requests_by_operation}{ $_[0] } // 0 }

# Such a bank, as Adyen is: it accepts orders, has no look-up, and signs fields of what it says.
my $NOTIFICATIONS = q({"signature": {"scheme": "hmac_fields", "at": "/hmac", "fields": ["/id", "/original", "/reference", "/value", "/currency", "/code", "/success"],
	"separator": ":", "as": "hex"}, "identity": ["/id", "/code", "/success"], "type": "/code",
	"fields": {"reference": "/reference", "bank_reference": [{"when": {"/code": "AUTHORISATION"}, "from": "/id"}, "/original"], "amount": "/value", "currency": "/currency",
		"livemode": {"at": "/live", "live": "true", "test": "false"}},
	"evidence": [{"when": {"/code": "AUTHORISATION", "/success": "true"}, "about": "charge", "outcome": "approved"},
		{"when": {"/code": "AUTHORISATION", "/success": "false"}, "about": "charge", "outcome": "declined"},
		{"when": {"/code": "CAPTURE", "/success": "true"}, "about": "capture", "outcome": "approved"},
		{"when": {"/code": "CAPTURE", "/success": "false"}, "about": "capture", "outcome": "declined"},
		{"when": {"/code": "REFUND", "/success": "true"}, "about": "refund", "outcome": "approved"},
		{"when": {"/code": "REFUND", "/success": "false"}, "about": "refund", "outcome": "declined"},
		{"when": {"/code": "REFUND_FAILED"}, "about": "refund", "outcome": "declined"}]});
sql(qq(INSERT INTO pgw.connectors (name, definition) SELECT 'told', jsonb_set(jsonb_set(definition::jsonb, '{operations,refund,answer,rules,1,outcome}', '"accepted"'),
		'{operations,capture,answer,rules,1,outcome}', '"accepted"') #- '{operations,lookup_charge}' #- '{operations,lookup_refund}'
		#- '{capabilities,lookup_consistent_after_seconds}' || jsonb_build_object('notifications', '$NOTIFICATIONS'::jsonb) FROM pgw.connectors WHERE name = 'quick';
	INSERT INTO pgw.banks (name, connector, base_url, secret, notification_secret, livemode, priority, request_timeout)
		VALUES ('told', 'told', '$bank->{url}', 'bank', 'hooks', false, 900, '5s');
	SELECT pgw.grant_access('postgres', 'operator')));
bank_control($bank, 'settings', { accepts => [qw(capture refund)] });
secret_file($node, 'hooks', $KEY);

my $count = 0;

# What the bank says of an operation, as a call of the function: its code and success, the operation's id and amount, and what is to be otherwise.
sub word
{
	my ($code, $success, $id, $value, %o) = @_;
	my $charge = $o{charge} // sql("SELECT p.bank_reference FROM pgw.payments p JOIN pgw.payment_transactions t USING (payment_id) WHERE t.client_request_id = '$id'");
	my %item = (id => $o{id} // 'n' . ++$count, original => $charge, reference => $o{reference} // key($id), value => $value, currency => $o{currency} // 'EUR', code => $code, success => $success);
	$item{hmac} = hmac_sha256_hex(join(':', @item{qw(id original reference value currency code success)}), $o{key} // $KEY);
	my $body = JSON::PP->new->canonical->encode({ %item, live => $o{live} // 'false', %{ $o{after} // {} } });
	return "SELECT verdict FROM pgw.receive_notification('told', '{}', decode('" . unpack('H*', $body) . "', 'hex'))";
}
sub says { return sql(word(@_)) }

sub resolve
{
	my ($id, $action) = @_;
	return sql("SELECT pgw.resolve_review(transaction_id, '$action', 'as the bank says') FROM pgw.payment_transactions WHERE client_request_id = '$id'");
}

# A refund that the bank has accepted.
sub refund
{
	my ($id, $amount) = @_;
	pay($node, $id, bank => 'told');
	request_operation($node, 'refund', $id, "$id-r", $amount // 400);
	return is_accepted("$id-r", "$id: accepted");
}

part($node, 'a refund', sub {
	refund('a');
	my $before = orders('refund');
	settle('a-r', 'succeeded');
	is(says('REFUND', 'true', 'a-r', 400, id => 'once'), 'accepted', 'the bank says that it is done');
	becomes('a-r', 'Completed', 'and it is');
	is(amounts('a'), 'partially_refunded 1000 0 0 400 0', 'refunded');
	evidence_is('a-r', 'used', 'by its word');
	is(says('REFUND', 'true', 'a-r', 400, id => 'once'), 'repeated', 'the same again');
	is(says('REFUND', 'true', 'a-r', 400), 'accepted', 'the same under another id');
	evidence_is('a-r', 'used,contradicts', 'changes nothing');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'notification_contradicts'") == 1 }, 60), 'but people are told: it may be two');
	is(amounts('a'), 'partially_refunded 1000 0 0 400 0', 'and nothing is refunded twice');
	is(orders('refund'), $before, 'nor ordered');
	is_sound($node, $bank, 'a refund: sound');
});

# Whether the second comes when the first has been taken, as above, or with it, in either order.
part($node, 'two at once', sub {
	for my $order ([ 0, 1 ], [ 1, 0 ])
	{
		my $id = "s$order->[0]";
		refund($id);
		settle("$id-r", 'succeeded');
		my @words = map { word('REFUND', 'true', "$id-r", 400, id => "$id-$_") } 1, 2;
		sql("BEGIN; $words[$order->[0]]; $words[$order->[1]]; COMMIT");
		becomes("$id-r", 'Completed', 'two successes of the same, at once: done');
		ok(wait_until(sub { join(',', sort split /,/, evidence("$id-r")) eq 'contradicts,used' }, 60), 'by one of them; of the other people are told') or diag(evidence("$id-r"));
		is(amounts($id), 'partially_refunded 1000 0 0 400 0', 'refunded once');
	}
});

part($node, 'a refund that fails', sub {
	refund('f');
	settle('f-r', 'failed');
	is(says('REFUND', 'false', 'f-r', 400), 'accepted', 'the bank says that it has failed');
	becomes('f-r', 'Failed', 'and it has');
	is(amounts('f'), 'captured 1000 0 0 0 0', 'its amount is free again');
	is(says('REFUND', 'true', 'f-r', 400), 'accepted', 'and then that it is done after all');
	becomes('f-r', 'RequiresManualReview', 'which is no proof: a person has to look');
	evidence_is('f-r', 'used,contradicts', 'and it is not looked at again');
	is(amounts('f'), 'captured 1000 0 0 0 400', 'it is claimed again meanwhile');
	like(events($node, 'f-r'), qr/TransactionFailed,LateApprovalReceived,ManualReviewRequired$/, 'its events');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'sound');
	resolve('f-r', 'mark_not_charged');
	becomes('f-r', 'Failed', 'it was not done');
	is(amounts('f'), 'captured 1000 0 0 0 0', 'and its amount is free');
	is_sound($node, $bank, 'a refund that fails: sound');
});

part($node, 'before the answer', sub {
	pay($node, 'e', bank => 'told');
	debug_arm($node, 'operation_answered', 'stop');
	request_operation($node, 'refund', 'e', 'e-r', 400);
	debug_wait($node, 'operation_answered');
	settle('e-r', 'succeeded');
	is(says('REFUND', 'true', 'e-r', 400), 'accepted', 'it comes before the answer to the order');
	debug_release($node, 'operation_answered');
	becomes('e-r', 'Completed', 'and is taken when that is there');
	is_sound($node, $bank, 'before the answer: sound');
});

part($node, 'a charge that pends', sub {
	for my $end ('done', 'fail')
	{
		sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => "p-$end", bank => 'told', amount => 1000, token => "tok_charge_pending_${end}_1"));
		becomes("p-$end", 'BankUnknown', "$end: the bank has not decided");
		ok(wait_until(sub { sql("SELECT next_step_at > clock_timestamp() + interval '30 min' FROM pgw.payment_transactions WHERE client_request_id = 'p-$end'") eq 't' }, 60), 'it is waited for');
	}
	my ($charge) = charges_of($node, $bank, 'p-done');
	says('AUTHORISATION', 'true', 'p-done', 1000, id => $charge->{id}, charge => '', reference => $charge->{reference});
	becomes('p-done', 'Completed', 'the bank says yes');
	is(amounts('p-done'), 'captured 1000 0 0 0 0', 'captured');
	says('AUTHORISATION', 'false', 'p-fail', 1000, id => 'nothing', charge => '');
	becomes('p-fail', 'Failed', 'the bank says no');
	is(sql("SELECT status FROM pgw.payments WHERE client_request_id = 'p-fail'"), 'declined', 'declined');
	says('AUTHORISATION', 'true', 'p-fail', 1000, id => 'something', charge => '');
	becomes('p-fail', 'RequiresManualReview', 'and yes after all: a person has to look');
	is(sql("SELECT event_data->>'reason' FROM pgw.transaction_events JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = 'p-fail' AND event_type = 'ManualReviewRequired'"),
		'success_after_failure', 'with its reason');
	is(sql("SELECT count(*) FROM pgw.bank_references r JOIN pgw.payment_transactions t USING (transaction_id, bank_reference) WHERE t.client_request_id = 'p-fail' AND bank_reference = 'something'"), 1, 'its charge is nobody else\'s meanwhile');
	is(sql("SELECT count(*) FROM pgw.check_consistency()"), 0, 'and nothing contradicts that');
	resolve('p-fail', 'mark_not_charged');
	is_sound($node, $bank, 'a charge that pends: sound');
});

# The endpoint's row is committed; its word is being taken.
for my $how (@LOSSES)
{
	part($node, $how, sub {
		my $id = $how =~ s/\W//gr;
		refund($id);
		settle("$id-r", 'succeeded');
		debug_arm($node, 'accepted_end', 'stop');
		says('REFUND', 'true', "$id-r", 400);
		lose_process($node, $how, debug_wait($node, 'accepted_end'));
		becomes("$id-r", 'Completed', "$how: done");
		evidence_is("$id-r", 'used', 'by its word');
		is(amounts($id), 'partially_refunded 1000 0 0 400 0', 'once');
		is_sound($node, $bank, "$how: sound");
	});
}

# From here on something is left to a person.
part($node, 'captures', sub {
	pay($node, "c$_", bank => 'told', capture => 'manual'), request_operation($node, 'capture', "c$_", "c$_-c", 600) for 1, 2;
	is_accepted("c$_-c", "c$_: accepted") for 1, 2;
	settle('c1-c', 'succeeded');
	says('CAPTURE', 'true', 'c1-c', 600);
	becomes('c1-c', 'Completed', 'one is done');
	is(amounts('c1'), 'captured 600 0 0 0 0', 'captured');
	says('CAPTURE', 'false', 'c2-c', 600);
	becomes('c2-c', 'RequiresManualReview', 'one has failed: a person has to look');
	like(events($node, 'c2-c'), qr/CaptureReversed,ManualReviewRequired$/, 'its events');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'sound');
});

part($node, 'another amount', sub {
	refund('w');
	is(says('REFUND', 'true', 'w-r', 401), 'accepted', 'another amount than was asked for');
	becomes('w-r', 'RequiresManualReview', 'is not what was asked for: a person has to look');
	is(amounts('w'), 'captured 1000 0 0 0 400', 'its claim stands');
	refund("else-$_"), says('REFUND', $_, "else-$_-r", 400, charge => 'of another shop') for qw(true false);
	becomes("else-$_-r", 'RequiresManualReview', "$_: the bank's word has our reference, and another charge: a person has to look") for qw(true false);
});

part($node, 'no amount', sub {
	my %unsaid = (none => [''], unreadable => ['12.5'], currency => [400, currency => 'XXY']);
	for my $how (sort keys %unsaid)
	{
		my ($value, @other) = @{ $unsaid{$how} };
		refund($how);
		is(says('REFUND', 'true', "$how-r", $value, @other), 'accepted', "$how: done, and nobody can read how much");
		becomes("$how-r", 'RequiresManualReview', "$how: a person has to look");
		is(amounts($how), 'captured 1000 0 0 0 400', "$how: its claim stands");
	}
});

part($node, 'refunded twice', sub {
	refund('d', 1000);
	settle('d-r', 'failed');
	says('REFUND', 'false', 'd-r', 1000);
	becomes('d-r', 'Failed', 'the bank says that it has failed');
	request_operation($node, 'refund', 'd', 'd-again', 1000);
	is_accepted('d-again', 'it is asked for again');
	says('REFUND', 'true', 'd-r', 1000);
	becomes('d-r', 'RequiresManualReview', 'the first is done after all: a person has to look');
	is(amounts('d'), 'captured 1000 0 0 0 1000', 'the claim is the second one\'s');
	is(sql("SELECT string_agg(check_name, ',' ORDER BY check_name) FROM pgw.check_consistency() c JOIN pgw.payments p USING (payment_id) WHERE p.client_request_id = 'd'"), 'payment_differs,refunds_differ', 'which is shown');
	resolve('d-r', 'mark_not_charged');
	is(join('|', attempt('d-r'), amounts('d')), 'Failed|captured 1000 0 0 0 1000', 'it ends without a claim');
});

# As if the payment had gone from that bank to this one since.
sub of_former_bank
{
	my ($id, $says) = @_;
	return sql("INSERT INTO pgw.notifications (notification_id, bank, livemode, digest, amount, currency, payment_id, transaction_id, outcome, about, says, request_key, evidence, received_at)
		SELECT gen_random_uuid(), 'former', false, '', 400, 'EUR', payment_id, transaction_id, 'evidence', 'refund', '$says', '" . key($id) . "', 'waiting', clock_timestamp()
		FROM pgw.payment_transactions WHERE client_request_id = '$id'");
}

part($node, 'the former bank', sub {
	refund('o');
	of_former_bank('o-r', 'declined');
	evidence_is('o-r', 'superseded', 'its no is not this bank\'s');
	is(attempt('o-r'), 'Saved', 'and ends nothing');
	of_former_bank('o-r', 'approved');
	becomes('o-r', 'RequiresManualReview', 'its yes is for a person');
	is(amounts('o'), 'captured 1000 0 0 0 400', 'its claim stands');
});

part($node, 'both at once', sub {
	refund('b');
	sql('BEGIN; ' . word('REFUND', 'true', 'b-r', 400) . '; ' . word('REFUND', 'false', 'b-r', 400) . '; COMMIT');
	becomes('b-r', 'RequiresManualReview', 'done and failed, in whatever order: a person has to look');
	is(amounts('b'), 'captured 1000 0 0 0 400', 'its claim stands');
	unlike(events($node, 'b-r'), qr/TransactionCompleted/, 'and it never counted as done');
	evidence_is('b-r', 'used,used', 'neither is looked at again');
});

part($node, 'not the bank', sub {
	refund('x');
	is(says('REFUND', 'true', 'x-r', 400, key => 'guess'), 'wrong_signature', 'signed by somebody else');
	is(says('REFUND', 'false', 'x-r', 400, after => { success => 'true' }), 'wrong_signature', 'changed on its way');
	is(says('REFUND', 'true', 'x-r', 400, live => 'true'), 'other_mode', 'of real money');
	is(says('REFUND', 'true', 'x-r', 400, reference => 'f' x 32), 'accepted', 'of an order that pgw has not made');
	is(says('REFUND', 'true', 'x-r', 400, reference => key('x')), 'accepted', 'of the payment, as one made at the bank itself');
	is(says('REFUND', 'true', 'x-r', 400, reference => 'order ' . key('x-r')), 'accepted', 'with something around the reference');
	is(says('REPORT', 'true', 'x-r', 400), 'accepted', 'of something else');
	sql('SELECT pgw.run_recovery()');
	is(join('|', attempt('x-r'), evidence('x-r')), 'Saved|', 'nothing is taken');
	is(sql(q(SELECT message FROM pgw.connectors c, pgw.check_connector(jsonb_set(c.definition::jsonb, '{notifications,evidence,0,when}', '{"/live": "false"}')::json) m
		WHERE c.name = 'told' AND severity = 'error')), 'the signature does not cover all of it, so that it is anybody\'s word', 'what no signature covers is no evidence');
});

part($node, 'taken back later', sub {
	refund('t');
	settle('t-r', 'succeeded');
	says('REFUND', 'true', 't-r', 400);
	becomes('t-r', 'Completed', 'a refund is done');
	is(says('REFUND_FAILED', 'true', 't-r', 400), 'accepted', 'it is taken back later');
	becomes('t-r', 'RequiresManualReview', 'which is for a person');
	is(amounts('t'), 'captured 1000 0 0 0 400', 'not refunded any more, and its claim stands');
	like(events($node, 't-r'), qr/RefundReversed,ManualReviewRequired$/, 'its events');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'sound');
	pay($node, "t$_", bank => 'told', capture => 'manual'), request_operation($node, 'capture', "t$_", "t$_-c", 600) for 1, 2;
	is_accepted("t$_-c", "t$_: accepted"), settle("t$_-c", 'succeeded'), says('CAPTURE', 'true', "t$_-c", 600), becomes("t$_-c", 'Completed', "t$_: a capture is done") for 1, 2;
	is(says('CAPTURE', 'false', 't1-c', 600), 'accepted', 'it is taken back later');
	becomes('t1-c', 'RequiresManualReview', 'which is for a person');
	is(amounts('t1'), 'authorized 0 0 600 0 0', 'not captured any more, and its claim stands');
	like(events($node, 't1-c'), qr/CaptureReversed,ManualReviewRequired$/, 'its events');
	request_operation($node, 'refund', 't2', 't2-r', 400);
	is_accepted('t2-r', 'a refund counts on a capture');
	is(says('CAPTURE', 'false', 't2-c', 600), 'accepted', 'which is taken back');
	evidence_is('t2-c', 'used,contradicts', 'people are told');
	is(join('|', attempt('t2-c'), amounts('t2')), 'Completed|captured 600 0 0 0 400', 'as no amounts could say that');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'sound');
	resolve('t1-c', 'mark_not_charged');
	is(join('|', attempt('t1-c'), amounts('t1')), 'Failed|authorized 0 0 0 0 0', 'what is held can be captured again, or voided');
});

$node->stop('fast');
done_testing();
