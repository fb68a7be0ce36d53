# A charge that is to be given back and cannot be, in manual review: whatever an operator says, it is given back once, or kept by the payment that
# wants it, and ledger and tables agree afterwards.
use strict;
use warnings;
use lib 'test/lib';
use HTTP::Tiny;
use JSON::PP;
use PgwReviews;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($node, $bank) = reviews_cluster('review_of_a_give_back');
sub sql { return $node->safe_psql('postgres', $_[0]) }

# What was refused is looked up before it is tried again, and the look-up counts at once: the deadline is a second here.
sql("INSERT INTO pgw.connectors (name, definition) SELECT 'quick', jsonb_set(definition::jsonb || '{\"name\": \"quick\"}', '{capabilities,lookup_consistent_after_seconds}', '0')
	FROM pgw.connectors WHERE name = 'json';
	UPDATE pgw.banks SET connector = 'quick' WHERE name = 'bank'");

# The same bank by a connector that knows no void and no refund, or with them.
sub oneway_connector
{
	my (%o) = @_;
	my $definition = decode_json(slurp_file('test/connectors/formbank.json'));
	$definition->{name} = 'oneway';
	if (!$o{gives_back})
	{
		delete @{ $definition->{operations} }{qw(void refund)};
		delete $definition->{capabilities}{partial_refund};
	}
	return encode_json($definition);
}

sql("INSERT INTO pgw.connectors (name, definition) VALUES ('oneway', \$json\$" . oneway_connector() . "\$json\$);
	INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('oneway', 'oneway', '$bank->{url}', 'bank', 200)");

# Somebody at the bank gives it back.
sub refund_by_hand
{
	my ($id) = @_;
	my $r = HTTP::Tiny->new->post("$bank->{url}/v1/charges/" . charge_id($node, $bank, $id) . '/refunds', { content => encode_json({ amount => 1234, currency => 'EUR', reference => "hand-$id" }),
			headers => { 'Content-Type' => 'application/json', Authorization => 'Bearer test-secret', 'Idempotency-Key' => "hand-$id" } });
	return decode_json($r->{content});
}

# The bank gets a new version; returns the number of the one before.
sub change_oneway
{
	my ($definition) = @_;
	my $newest = "SELECT max(version) FROM pgw.bank_versions WHERE bank = 'oneway'";
	my $old = sql($newest);
	sql("UPDATE pgw.connectors SET definition = \$json\$$definition\$json\$::jsonb || jsonb_build_object('description', 'after version $old') WHERE name = 'oneway'");
	wait_until(sub { sql($newest) > $old }) or die 'the bank has no new version';
	return $old;
}

sub oneway_forgets_to_give_back
{
	change_oneway(oneway_connector());
}

# What went by the old version goes by the new one, too.
sub oneway_learns_to_give_back
{
	my $old = change_oneway(oneway_connector(gives_back => 1));
	sql("SELECT pgw.rebind_attempts($old, (SELECT max(version) FROM pgw.bank_versions WHERE bank = 'oneway'), 'it gives back now')");
}

# ---------------------------------------------------------------- a give-back that the bank refuses

sub review_of_refused_give_back
{
	my ($id, $token) = @_;
	pay_and_roll_back($node, $id, token => $token);
	attempt_becomes($node, $id, 'RequiresManualReview', "$id: refused twice: in review");
	is(open_review($node, $id), 'Refunding|refused|{retry,mark_not_charged,mark_refunded}', "$id: what can be done");
}

part($node, 'refused give-backs', sub {
	review_of_refused_give_back('again', 'tok_refund_fail_2');
	like(refusal($node, 'again', 'mark_charged', 'x'), qr/PW422.*retry gives it back/s, 'its caller is gone: it cannot be kept');
	like(refusal($node, 'again', 'refund'), qr/PW422.*retry goes on/s, 'nor given back beside the give-back');
	is(resolve($node, 'again', 'retry'), 'Refunding', 'retry');
	attempt_becomes($node, 'again', 'Refunded', 'given back at last');
	is(charges_made_and_kept($node, $bank, 'again'), '1 0', 'once');
	my @refunds = refunds_of($bank, charges_of($node, $bank, 'again'));
	my %keys = map { $_->{idempotency_key} => 1 } @refunds;
	is(scalar(keys %keys), scalar(@refunds), 'each refused refund had a key of its own');
	is(scalar(grep { $_->{status} eq 'succeeded' } @refunds), 1, 'one succeeded');

	review_of_refused_give_back('hand', 'tok_refund_fail_2');
	my $by_hand = refund_by_hand('hand');
	is($by_hand->{status}, 'succeeded', 'an operator gives it back at the bank');
	like(refusal($node, 'hand', 'mark_refunded'), qr/PW400.*evidence_required/s, 'mark_refunded wants evidence');
	is(resolve($node, 'hand', 'mark_refunded', $by_hand->{id}), 'Refunded', 'mark_refunded');
	is(charges_made_and_kept($node, $bank, 'hand'), '1 0', 'given back once');

	review_of_refused_give_back('both', 'tok_refund_fail_2');
	refund_by_hand('both');
	my $tries = requests_of($bank, 'refund');
	is(resolve($node, 'both', 'retry'), 'Refunding', 'given back at the bank, and retried all the same');
	attempt_becomes($node, 'both', 'Refunded', 'the worker looks first');
	is(requests_of($bank, 'refund'), $tries, 'and refunds no second time');

	review_of_refused_give_back('denied', 'tok_refund_fail_2');
	is(resolve($node, 'denied', 'mark_not_charged'), 'Failed', 'an operator denies a charge that stands');
	attempt_becomes($node, 'denied', 'Refunded', 'it turns up, and is given back');
	is(charges_made_and_kept($node, $bank, 'denied'), '1 0', 'once');

	# in doubt: done, but the bank neither answers nor can be asked
	bank_control($bank, 'settings', { lookup => JSON::PP::false });
	pay_and_roll_back($node, 'doubt', bank => 'hasty', token => 'tok_refund_timeout_after');
	attempt_becomes($node, 'doubt', 'RequiresManualReview', 'a give-back in doubt: in review');
	is(open_review($node, 'doubt'), 'Refunding|deadline|{retry,mark_not_charged,mark_refunded}', 'after the deadline');
	my $key = sql("SELECT refund_key FROM pgw.payment_transactions WHERE client_request_id = 'doubt'");
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	is(resolve($node, 'doubt', 'retry'), 'Refunding', 'retry');
	attempt_becomes($node, 'doubt', 'Refunded', 'looked up: it was given back');
	is(sql("SELECT refund_key FROM pgw.payment_transactions WHERE client_request_id = 'doubt'"), $key, 'under the key that it had');
	is(scalar(@{[ refunds_of($bank, charges_of($node, $bank, 'doubt')) ]}), 1, 'one refund');

	review_of_refused_give_back('never', 'tok_refund_fail');
	is(resolve($node, 'never', 'retry'), 'Refunding', 'a bank that refuses for ever: retry');
	attempt_becomes($node, 'never', 'RequiresManualReview', 'is in review again');
	is(sql("SELECT count(*) FROM pgw.transaction_events e JOIN pgw.payment_transactions USING (transaction_id) WHERE client_request_id = 'never' AND event_type = 'RefundFailed'"),
		4, 'after as many more attempts as the first time');
	is_sound($node, $bank, 'refused give-backs: tables and ledger are sound', reviews => 1);
});

# ---------------------------------------------------------------- an approval that cannot be given back

part($node, 'a bank that offers no way', sub {
	for my $id (qw(kept given))
	{
		pay_and_roll_back($node, $id, bank => 'oneway');
		attempt_becomes($node, $id, 'RequiresManualReview', "$id: approved, rolled back, and no way to give it back");
		is(open_review($node, $id), 'BankApproved|bank_cannot_give_back|{retry,mark_charged,mark_refunded,refund}', "$id: what can be done");
	}
	like(refusal($node, 'kept', 'mark_not_charged'), qr/PW422.*refund gives it back/s, 'what the bank said yes to cannot be denied');
	is(resolve($node, 'kept', 'mark_charged', charge_id($node, $bank, 'kept')), 'BankApproved', 'mark_charged without a row');
	attempt_becomes($node, 'kept', 'RequiresManualReview', 'is in review again, kept for nobody');
	is(resolve($node, 'kept', 'retry'), 'BankApproved', 'retry');
	attempt_becomes($node, 'kept', 'RequiresManualReview', 'changes nothing');
	is(pay($node, 'kept', bank => 'oneway'), 'in_review', 'the same id again, committed: it has a row now');
	is(resolve($node, 'kept', 'mark_charged', charge_id($node, $bank, 'kept')), 'BankApproved', 'mark_charged with a row');
	attempt_becomes($node, 'kept', 'Completed', 'is saved');
	payment_becomes($node, 'kept', 'captured', 'as the row says');
	is(charges_made_and_kept($node, $bank, 'kept'), '1 1', 'one charge, kept');

	is(resolve($node, 'given', 'refund'), 'Refunding', 'refund');
	attempt_becomes($node, 'given', 'RequiresManualReview', 'there is still no way');
	is(open_review($node, 'given'), 'Refunding|bank_cannot_give_back|{retry,mark_not_charged,mark_refunded}', 'and it is a give-back now');
	oneway_learns_to_give_back();
	is(resolve($node, 'given', 'retry'), 'Refunding', 'retry, with a way');
	attempt_becomes($node, 'given', 'Refunded', 'given back');
	is(charges_made_and_kept($node, $bank, 'given'), '1 0', 'once');
	like(events($node, 'given'), qr/ManualReviewResolved,RefundStarted,RefundCompleted$/, 'with its events');
	is_sound($node, $bank, 'no way back: tables and ledger are sound', reviews => 1);
});

part($node, 'refund of a kept approval', sub {
	oneway_forgets_to_give_back();
	pay_and_roll_back($node, 'changed', bank => 'oneway');
	attempt_becomes($node, 'changed', 'RequiresManualReview', 'in review');
	is(pay($node, 'changed', bank => 'oneway'), 'in_review', 'it has a row');
	oneway_learns_to_give_back();
	is(resolve($node, 'changed', 'refund'), 'Refunding', 'refund all the same');
	attempt_becomes($node, 'changed', 'Refunded', 'given back');
	payment_becomes($node, 'changed', 'failed', 'the row goes from in_review to failed');
	is(charges_made_and_kept($node, $bank, 'changed'), '1 0', 'once');
	is_sound($node, $bank, 'refund of a kept approval: tables and ledger are sound', reviews => 1);
});

part($node, 'restored', sub {
	oneway_forgets_to_give_back();
	pay_and_roll_back($node, 'restored', bank => 'oneway');
	attempt_becomes($node, 'restored', 'RequiresManualReview', 'in review');
	sql("UPDATE pgw.payment_transactions SET caller_xid = NULL, caller_subxid = NULL WHERE client_request_id = 'restored'");
	oneway_learns_to_give_back();
	is(resolve($node, 'restored', 'retry'), 'BankApproved', 'retry, when nobody knows any more who called');
	attempt_becomes($node, 'restored', 'RequiresManualReview', 'is in review again: never given back by itself');
	is(open_review($node, 'restored'), 'BankApproved|restored_without_payment|{retry,mark_charged,mark_refunded,refund}', 'as the view says');
	is(resolve($node, 'restored', 'refund'), 'Refunding', 'refund');
	attempt_becomes($node, 'restored', 'Refunded', 'given back');
	is(charges_made_and_kept($node, $bank, 'restored'), '1 0', 'once');
	is_sound($node, $bank, 'restored: tables and ledger are sound', reviews => 1);
});

$node->stop('fast');
done_testing();
