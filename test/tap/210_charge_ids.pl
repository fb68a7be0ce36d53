# A charge's id belongs to one payment: what a bank says of another one's charge is not believed, and that charge is never touched.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('ids', debug => 1, conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub pay
{
	return 'SELECT status, transaction_status, error_code FROM ' . pay_sql('process_payment', client_request_id => @_);
}

sub charge_of { my ($id) = @_; my @c = charges_of($node, $bank, $id); return $c[0] }

sub newest_attempt
{
	my ($id) = @_;
	return sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = '$id' ORDER BY transaction_id DESC LIMIT 1");
}

sub review_reason
{
	my ($id, $reason) = @_;
	return sql("SELECT event_data->>'reason', event_data->>'error_code' FROM pgw.transaction_events WHERE transaction_id = '" . newest_attempt($id) . "'
		AND event_type = 'ManualReviewRequired' ORDER BY step_order DESC LIMIT 1");
}

# Nothing has been done to it at the bank.
sub is_untouched
{
	my ($c, $name) = @_;
	my ($now) = grep { $_->{id} eq $c->{id} } @{ bank_ledger($bank)->{charges} };
	is(canonical_json($now), canonical_json($c), $name);
}
sub canonical_json { return JSON::PP->new->canonical->encode($_[0]) }

# A bank whose look-ups ignore our reference: they show the charge that the settings name.  And one that calls every charge by its currency.
sql(<<"SQL");
INSERT INTO pgw.connectors (name, definition)
	SELECT 'stranger', jsonb_set(jsonb_set(jsonb_set(definition::jsonb || '{"name": "stranger"}', '{capabilities,lookup_consistent_after_seconds}', '1'),
		'{operations,lookup_charge,path}', '"/v1/charges/{{settings.charge}}?reference={{original_ref}}"'),
		'{operations,lookup_charge,answer,reference_echoed}', 'false') #- '{operations,lookup_charge,answer,fields,reference}' FROM pgw.connectors WHERE name = 'json'
	UNION ALL
	SELECT 'same', jsonb_set(jsonb_set(definition::jsonb || '{"name": "same"}', '{operations,charge,answer,fields,bank_reference}', '"/currency"'),
		'{operations,authorize,answer,fields,bank_reference}', '"/currency"') FROM pgw.connectors WHERE name = 'json';
SQL

# A row of pgw.banks that talks to the same simulator, and so shares its ledger.
sub add_bank
{
	my ($name, $connector, %o) = @_;
	my $account = $o{account} // 'the ledger';
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority, account, request_timeout, settings) VALUES ('$name', '$connector', '$bank->{url}', 'bank', 200,
		'$account', '" . ($o{timeout} // '1s') . "', '" . canonical_json($o{settings} // {}) . "')");
}
sql("UPDATE pgw.banks SET account = 'the ledger' WHERE name = 'bank'");
is(sql(pay('a')), 'captured|Completed|', 'A is charged');
my $a = charge_of('a');
is(sql("SELECT account, bank_reference, transaction_id = '" . newest_attempt('a') . "' FROM pgw.bank_references"), "the ledger|$a->{id}|t", 'and its id is claimed in the account of its bank');
add_bank('stranger', 'stranger', settings => { charge => $a->{id} });

# ---------------------------------------------------------------- a look-up

part($node, 'look-up', sub {
	is(sql(pay('b', token => 'tok_500_after', bank => 'stranger')), 'in_review|RequiresManualReview|bank_reference_taken', "B's look-up shows A's charge: in review");
	is(review_reason('b'), 'charge_of_another_payment|bank_reference_taken', 'with the reason');
	is_untouched($a, "A's charge is as it was");
	is(sql("SELECT coalesce(bank_reference, 'none') FROM pgw.payment_transactions WHERE client_request_id = 'b'"), 'none', "B's attempt does not keep the id");
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgw.alert_state WHERE kind = 'review_required' AND transaction_id = '" . newest_attempt('b') . "'"), 'people are told');
	is(sql("SELECT count(*) FROM pgw.payments WHERE bank_reference = '$a->{id}'"), 1, 'one payment has the charge');
});

# With another amount it would be given back: A's.
part($node, 'look-up, another amount', sub {
	is(sql(pay('c', amount => 777, token => 'tok_500_after', bank => 'stranger')), 'in_review|RequiresManualReview|bank_reference_taken', 'another amount: in review');
	is_untouched($a, "A's charge is as it was");
	is(sql("SELECT status FROM pgw.payments WHERE client_request_id = 'a'"), 'captured', 'A is captured');
});

# The caller is gone, or there never was one: the worker writes the payments row.
part($node, 'look-up, nobody waits', sub {
	is(sql(pay('d', token => 'tok_timeout_after', bank => 'stranger', timeout => '200ms')) =~ s/\|.*//r, 'pending', 'a caller leaves');
	sql('SELECT FROM ' . pay_sql('submit_payment', client_request_id => 'e', token => 'tok_500_after', bank => 'stranger'));
	for my $id ('d', 'e')
	{
		ok($node->poll_query_until('postgres', "SELECT status = 'in_review' FROM pgw.payments WHERE client_request_id = '$id'"), "$id: the payment is in review");
		is(status_of($node, $id), 'RequiresManualReview', "$id: and its attempt");
	}
	PgwSession->new($node)->run('BEGIN; ' . pay('f', token => 'tok_500_after', bank => 'stranger') . '; ROLLBACK');
	is(status_of($node, 'f'), 'RequiresManualReview', 'a caller that rolled back: its attempt is in review');
	is_untouched($a, "A's charge is as it was");
});

# ---------------------------------------------------------------- the answer itself

part($node, 'direct answer', sub {
	add_bank('same', 'same', account => 'elsewhere');
	is(sql(pay('one', bank => 'same')), 'captured|Completed|', 'the first charge called EUR');
	is(sql(pay('two', bank => 'same')), 'in_review|RequiresManualReview|bank_reference_taken', 'the second one is not another charge');
	is(sql(pay('two', bank => 'same')), 'in_review|RequiresManualReview|bank_reference_taken', 'and is not charged again');
	is(sql(pay('three', bank => 'same', currency => 'USD')), 'captured|Completed|', 'USD is free');
	is(sql(pay('four', bank => 'same', currency => 'USD', capture => 'manual')) =~ s/\|.*//r, 'in_review', 'an authorization counts like a charge');

	# the same id in another account is another charge
	add_bank('apart', 'same', account => 'a third');
	is(sql(pay('five', bank => 'apart')), 'captured|Completed|', 'EUR of another account is free');
	add_bank('beside', 'same', account => 'a third');
	is(sql(pay('six', bank => 'beside')), 'in_review|RequiresManualReview|bank_reference_taken', 'two rows of one account share its ids');
});

# Both answers come at one moment and are written in one batch.
part($node, 'race', sub {
	add_bank('race', 'same', account => 'race', timeout => '30s');
	my @s = map { PgwSession->new($node)->send(pay("race $_", bank => 'race', token => 'tok_slow_2000', timeout => '1min')) } 1 .. 6;
	ok(wait_until(sub { 6 == grep { $_->{operation} eq 'charge' } @{ bank_log($bank, 6) } }, 20), 'six charges are at the bank');
	debug_arm($node, 'answer_arrived', 'stop');
	ok(wait_until(sub { 6 == grep { $_->{finished} } @{ bank_log($bank, 6) } }, 20), 'and answered, while the worker stands still');
	debug_release($node, 'answer_arrived');
	my @got = sort map { $_->wait =~ s/\|.*//r } @s;
	is("@got", 'captured in_review in_review in_review in_review in_review', 'one of six with the same id is paid');
});

# The same attempt sees its own id twice: pending at first, then looked up.
part($node, 'its own', sub {
	sql('SELECT FROM ' . pay_sql('submit_payment', client_request_id => 'pending', token => 'tok_charge_pending_done_700'));
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'pending'"), 'pending, then done: captured');
	is(sql("SELECT count(*) FROM pgw.bank_references WHERE transaction_id = '" . newest_attempt('pending') . "'"), 1, 'claimed once');
});

# A new attempt after the give-back of the first, at a bank that answers with the charge that it has given back: nothing was charged for it.
part($node, 'given back before', sub {
	sql("INSERT INTO pgw.connectors (name, definition) SELECT 'same by cancel', definition::jsonb || '{\"name\": \"same by cancel\"}' #- '{operations,void}' #- '{operations,refund}'
		#- '{operations,lookup_refund}' #- '{capabilities,partial_refund}' FROM pgw.connectors WHERE name = 'same'");
	add_bank('again', 'same by cancel', account => 'again');
	PgwSession->new($node)->run('BEGIN; ' . pay('again', bank => 'again') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'again') eq 'Refunded' }, 30), 'an attempt is given back');
	is(sql(pay('again', bank => 'again')), 'in_review|RequiresManualReview|bank_reference_taken', 'the next one is not paid with the charge of the first');
});

# ---------------------------------------------------------------- late success

# Failed, as the bank did not know it; then the charge that its look-up shows comes to be, and is another payment's.
part($node, 'late', sub {
	my $twin = bank_start();
	my $secret = { 'Authorization' => 'Bearer test-secret', 'Content-Type' => 'application/json' };
	my @ids = map {
		decode_json(HTTP::Tiny->new->post("$twin->{url}/v1/charges", { headers => $secret,
			content => encode_json({ amount => 1, currency => 'EUR', reference => "r$_", source => { token => 'tok_ok' } }) })->{content})->{id} } 1 .. 2;
	my $late = bank_start();
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority, account, settings) VALUES ('late', 'stranger', '$late->{url}', 'bank', 300, 'late', '"
		  . canonical_json({ charge => $ids[0] }) . "')");
	bank_control($late, 'faults', { probabilities => { "500_before" => 1 }, operations => ['charge'] });
	my $s = PgwSession->new($node)->send("SELECT status FROM pgw.process_payment('late', 1234, 'EUR', card_number => spelt('visa'), card_expiry_month => 12, card_expiry_year => 2039, bank => 'late')");
	is($s->wait, 'failed', 'the bank does not know it');
	bank_control($late, 'faults', { probabilities => {} });
	is(sql(pay('owner', bank => 'late')), 'captured|Completed|', 'another one is charged');
	is(bank_ledger($late)->{charges}[0]{id}, $ids[0], 'under the id that the look-up shows');
	ok($node->poll_query_until('postgres', "SELECT status = 'RequiresManualReview' FROM pgw.payment_transactions WHERE client_request_id = 'late'"), 'in review');
	like(events($node, 'late'), qr/TransactionFailed,LateApprovalReceived,ManualReviewRequired$/, 'with its events');
	is(review_reason('late'), 'charge_of_another_payment|bank_reference_taken', 'and the reason');
	is(bank_ledger($late)->{charges}[0]{refunded}, 0, "the other's charge is not given back");
	is(sql("SELECT status FROM pgw.payments WHERE client_request_id = 'late'"), 'failed', 'its payment has failed');
	is(sql("SELECT pgw.resolve_review('" . newest_attempt('late') . "', 'mark_not_charged', 'no charge of ours there')"), 'Failed', 'an operator ends it');
	is(sql("SELECT watch_until IS NULL FROM pgw.payment_transactions WHERE client_request_id = 'late'"), 't', 'and it is not looked for any more');
});

# ---------------------------------------------------------------- an operator

part($node, 'mark_charged', sub {
	my $resolve = sub { my ($id, $ref) = @_; return "SELECT pgw.resolve_review('" . newest_attempt($id) . "', 'mark_charged', 'by phone', '" . canonical_json({ bank_reference => $ref }) . "')" };
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . $resolve->('b', $a->{id}));
	like($err, qr/PW422.*operation_not_allowed.*Another payment at this bank has this reference/s, "A's charge is not B's");
	my $b = charge_of('b');

	# two operators at once: the second one waits, and hears of it
	my $one = PgwSession->new($node);
	$one->run('BEGIN; ' . $resolve->('b', $b->{id}));
	my $two = PgwSession->new($node)->send($resolve->('c', $b->{id}));
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%resolve_review%'"), 'a second operator with the same id waits');
	$one->run('COMMIT');
	$two->wait;
	like($two->err, qr/Another payment at this bank has this reference/, 'and is refused');
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'b'"), 'B is captured, with its own charge');
	is_untouched($a, "A's charge is as it was");
});

# The worker does not wait for an operator's transaction.
part($node, 'busy', sub {
	add_bank('busy', 'same', account => 'the ledger');
	my $one = PgwSession->new($node);
	$one->run("BEGIN; SELECT pgw.resolve_review('" . newest_attempt('c') . "', 'mark_charged', 'by phone', '" . canonical_json({ bank_reference => 'EUR' }) . "')");
	my $s = PgwSession->new($node)->send(pay('seven', bank => 'busy'));
	ok(wait_until(sub { grep { $_->{finished} } grep { $_->{reference} eq newest_attempt('seven') =~ s/-//gr } @{ bank_log($bank, 20) } }, 20), 'the bank has answered with an id that an operator is just giving to another');
	is(sql(pay('eight')), 'captured|Completed|', 'others are paid meanwhile');
	ok(!$s->done, 'its answer waits');
	$one->run('ROLLBACK');
	is($s->wait, 'captured|Completed|', 'until it is known whose it is');
});

# Nor for somebody's lock on the table: answers that claim nothing are written, the others when it is gone.
part($node, 'table locked', sub {
	my $dba = PgwSession->new($node);
	$dba->run('BEGIN; LOCK TABLE pgw.bank_references IN ACCESS EXCLUSIVE MODE');
	my $s = PgwSession->new($node)->send(pay('nine'));
	ok(wait_until(sub { grep { $_->{finished} } grep { $_->{reference} eq newest_attempt('nine') =~ s/-//gr } @{ bank_log($bank, 20) } }, 20), 'a charge is answered while the table is locked');
	is(sql(pay('ten', token => 'tok_decline_do_not_honor')), 'declined|Failed|do_not_honor', 'others have their answers');
	ok(!$s->done, 'its own waits');
	$dba->run('COMMIT');
	is($s->wait, 'captured|Completed|', 'until the lock is gone');
});

# ---------------------------------------------------------------- what follows a charge is looked up by our reference, too

part($node, 'give-back', sub {
	# The look-up shows A's charge, which is refunded: that says nothing of this one.
	sql("SELECT pgw.refund_payment(payment_id, 'a-r') FROM pgw.find_payment('a')");
	ok(wait_rest($node, $bank), 'A is refunded');
	my (undef, $out) = $node->psql('postgres', 'BEGIN; ' . pay('g', token => 'tok_refund_fail', bank => 'stranger') . '; ROLLBACK');
	like($out, qr/^captured/, 'charged, and rolled back; the bank refuses to give it back');
	change_settings($node, 'pgw.unknown_deadline' => '1s');    # it is looked up again until then
	ok(wait_until(sub { status_of($node, 'g') eq 'RequiresManualReview' }, 40), "a look-up that shows A's refunded charge does not say that G is given back: a person has to look");
	unlike(events($node, 'g'), qr/RefundCompleted/, 'it never was');
});

is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'consistent');
my ($rc, undef, $err) = $node->psql('postgres', 'DELETE FROM pgw.bank_references');
like($err, qr/bank_references/, 'what was claimed cannot be deleted');
$node->stop('fast');
done_testing();
