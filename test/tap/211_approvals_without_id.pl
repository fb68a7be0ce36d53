# An approval that does not name the charge, where its capture, void or refund will need that: looked up, else cancelled, else reviewed; never captured and
# then out of reach.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use Test::More;

my $node = pgw_node('nameless', debug => 1, conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub pay
{
	return 'SELECT status, transaction_status, error_code FROM ' . pay_sql('process_payment', client_request_id => @_);
}

sub submit { return sql('SELECT FROM ' . pay_sql('submit_payment', client_request_id => @_)) }

# nameless: only its look-ups name the charge.  mute: nothing does, but it can be cancelled by our reference.  silent: the same, and no look-up.
# helpless: neither look-up nor cancellation.
my $nothing = '"/nothing"';
sql(<<"SQL");
CREATE FUNCTION nameless(name text) RETURNS jsonb LANGUAGE sql AS \$\$
	SELECT jsonb_set(jsonb_set(definition::jsonb || jsonb_build_object('name', name), '{operations,charge,answer,fields,bank_reference}', '$nothing'),
		'{operations,authorize,answer,fields,bank_reference}', '$nothing') FROM pgw.connectors WHERE name = 'json' \$\$;
CREATE FUNCTION blind(d jsonb) RETURNS jsonb LANGUAGE sql AS \$\$
	SELECT jsonb_set(d, '{capabilities,lookup_consistent_after_seconds}', 'null') #- '{operations,lookup_charge}' #- '{operations,lookup_refund}' \$\$;
INSERT INTO pgw.connectors (name, definition) VALUES
	('nameless', nameless('nameless')),
	('mute', jsonb_set(nameless('mute'), '{operations,lookup_charge,answer,fields,bank_reference}', '$nothing')),
	('silent', blind(nameless('silent'))),
	('helpless', blind(nameless('helpless')) #- '{operations,cancel}');
INSERT INTO pgw.banks (name, connector, base_url, secret, priority, account)
	SELECT name, name, '$bank->{url}', 'bank', 200, 'one' FROM pgw.connectors WHERE NOT builtin;
SQL

part($node, 'looked up', sub {
	is(sql(pay('looked up', bank => 'nameless')), 'captured|Completed|', 'the look-up names it: captured');
	is(events($node, 'looked up'), 'TransactionStarted,BankProcessingStarted,BankOutcomeUnknown,BankProcessingCompleted,PaymentDataSaveStarted,PaymentDataSaveCompleted,TransactionCompleted',
		'with its events');
	is(sql("SELECT event_data->>'reason', event_data->>'error_code' FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE client_request_id = 'looked up' AND event_type = 'BankOutcomeUnknown'"), 'approval_without_reference|approval_incomplete', 'which say why');
	is(scalar(my @c = charges_of($node, $bank, 'looked up')), 1, 'charged once');
	sql("SELECT FROM pgw.find_payment('looked up') f, pgw.refund_payment(f.payment_id, 'r', 234) r");
	ok(wait_rest($node, $bank), 'at rest');
	is(sql("SELECT status, refunded_amount FROM pgw.find_payment('looked up')"), 'partially_refunded|234', 'and can be refunded');
	submit('submitted', bank => 'nameless');
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'submitted'"), 'submitted: captured');
	is(sql(pay('on commit', bank => 'nameless', capture => 'on_commit')) =~ s/\|.*//r, 'authorized', 'on commit: authorized');
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'on commit'"), 'and captured');
	is_sound($node, $bank, 'sound');
});

part($node, 'rolled back', sub {
	PgwSession->new($node)->run('BEGIN; ' . pay('rolled back', bank => 'nameless') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'rolled back') eq 'Refunded' }, 30), 'rolled back: given back');
	PgwSession->new($node)->run('BEGIN; ' . pay('hold', bank => 'nameless', capture => 'manual') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'hold') eq 'Refunded' }, 30), 'an authorization, too');
	is(scalar(kept_charges($node, $bank, $_)), 0, "$_: nothing stands at the bank") for 'rolled back', 'hold';
	is_sound($node, $bank, 'sound');
});

# Nobody names it: what cannot be taken hold of by its id is cancelled by ours.
part($node, 'cancelled', sub {
	for my $of ('mute', 'silent')
	{
		like(sql(pay($of, bank => $of)), qr/^failed\|Refund(ing|ed)\|outcome_unacceptable$/, "$of: not paid");
		submit("$of submitted", bank => $of, capture => 'manual');
		for my $id ($of, "$of submitted")
		{
			ok(wait_until(sub { status_of($node, $id) eq 'Refunded' }, 30), "$id: cancelled");
			is(scalar(charges_of($node, $bank, $id)) . ' ' . kept_charges($node, $bank, $id), '1 0', "$id: one charge, which is given back");
			is(sql("SELECT status FROM pgw.payments WHERE client_request_id = '$id'"), 'failed', "$id: failed");
		}
	}
	is_sound($node, $bank, 'sound');
});

# It cannot be cancelled either: a person.
part($node, 'reviewed', sub {
	is(sql(pay('helpless', bank => 'helpless')), 'in_review|RequiresManualReview|approval_incomplete', 'in review');
	submit('helpless submitted', bank => 'helpless');
	ok($node->poll_query_until('postgres', "SELECT status = 'in_review' FROM pgw.payments WHERE client_request_id = 'helpless submitted'"), 'submitted: in review');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 2 FROM pgw.alert_state WHERE kind = 'review_required'"), 'people are told of both');
	my ($c) = charges_of($node, $bank, 'helpless');
	my $id = sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = 'helpless'");
	sql("SELECT pgw.resolve_review('$id', 'mark_charged', 'found by our reference', '{\"bank_reference\": \"$c->{id}\"}')");
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'helpless'"), 'an operator names it: captured');
	is_sound($node, $bank, 'sound, but for one review', reviews => 1);
});

$node->stop('fast');
done_testing();
