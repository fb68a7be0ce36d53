# Manual review, resolved by each action: whatever an operator says, nobody pays twice, and ledger and tables agree afterwards.
use strict;
use warnings;
use lib 'test/lib';
use HTTP::Tiny;
use JSON::PP;
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('review', conf => "fsync = off\npgw.compensation_delay = '20ms'\npgw.retry_base_delay = '20ms'\npgw.retry_max_delay = '200ms'\n"
	  . "pgw.refund_max_attempts = 2\npgw.unknown_deadline = '1s'\npgw.breaker_failures = 10000\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my $definition = slurp_file('test/connectors/formbank.json');
# The same bank by a connector that knows no void and no refund, or with them.
sub oneway
{
	my ($and_back) = @_;
	my $d = decode_json($definition);
	$d->{name} = 'oneway';
	delete @{ $d->{operations} }{qw(void refund)} unless $and_back;
	delete $d->{capabilities}{partial_refund} unless $and_back;
	return encode_json($d);
}
$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition) VALUES ('formbank', \$json\$$definition\$json\$), ('oneway', \$json\$" . oneway() . "\$json\$);
	INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('form', 'formbank', '$bank->{url}', 'bank', 200), ('oneway', 'oneway', '$bank->{url}', 'bank', 200);
	INSERT INTO pgw.banks (name, connector, base_url, secret, priority, request_timeout) VALUES ('hasty', 'json', '$bank->{url}', 'bank', 200, '300ms')");
$node->safe_psql('postgres', "CREATE ROLE $_ LOGIN; SELECT pgw.grant_access('$_', 'operator')") for qw(anna bert);
$node->safe_psql('postgres', "SELECT pgw.grant_access('postgres', 'operator')");

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a)) }
sub pay_and_roll_back { my ($id, %a) = @_; return sql('BEGIN; SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) . '; ROLLBACK') }
sub attempt { my ($id) = @_; return sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = '$id' ORDER BY transaction_id DESC LIMIT 1") }
sub row { my ($id) = @_; return sql("SELECT status FROM pgw.payments WHERE client_request_id = '$id'") }
sub newest { my ($id) = @_; return (split /,/, status_of($node, $id))[-1] }
sub becomes { my ($id, $status, $what) = @_; wait_until(sub { newest($id) eq $status }); return is(newest($id), $status, $what) }
sub row_becomes { my ($id, $status, $what) = @_; wait_until(sub { row($id) eq $status }); return is(row($id), $status, $what) }
sub review { my ($id) = @_; return sql("SELECT came_from, reason, possible_actions FROM pgw.manual_reviews WHERE client_request_id = '$id'") }
sub resolve_sql { my ($id, $action, $ref) = @_; return sprintf "SELECT pgw.resolve_review('%s', '%s', 'because of $id', '%s')", attempt($id), $action, defined $ref ? encode_json({ bank_reference => $ref }) : '{}' }
sub resolve { return sql(resolve_sql(@_)) }
sub refused { my ($id, $action, $ref) = @_; my (undef, undef, $err) = $node->psql('postgres', resolve_sql($id, $action, $ref), extra_params => [ '-v', 'VERBOSITY=verbose' ]); return $err }
sub charge { my ($id) = @_; my ($c) = charges_of($node, $bank, $id); return $c ? $c->{id} : 'ch_unknown' }
sub counts { my ($id) = @_; my @c = charges_of($node, $bank, $id); return scalar(@c) . ' ' . scalar(my @k = kept_charges($node, $bank, $id)) }
sub asked { my ($op) = @_; return bank_ledger($bank)->{requests_by_operation}{$op} // 0 }
# Somebody at the bank gives it back.
sub refund_by_hand
{
	my ($id) = @_;
	my $r = HTTP::Tiny->new->post("$bank->{url}/v1/charges/" . charge($id) . '/refunds', { content => encode_json({ amount => 1234, currency => 'EUR', reference => "hand-$id" }),
			headers => { 'Content-Type' => 'application/json', Authorization => 'Bearer test-secret', 'Idempotency-Key' => "hand-$id" } });
	return decode_json($r->{content});
}
sub sound { my ($reviews, $name) = @_; return is_sound($node, $bank, "$name: tables and ledger are sound", reviews => $reviews) }

# The bank learns to give back, or forgets it: a new version, and what went by the old one, too.
sub oneway_becomes
{
	my ($document, $follow) = @_;
	my $newest = "SELECT max(version) FROM pgw.bank_versions WHERE bank = 'oneway'";
	my $old = sql($newest);
	sql("UPDATE pgw.connectors SET definition = \$json\$$document\$json\$::jsonb || jsonb_build_object('description', 'after version $old') WHERE name = 'oneway'");
	wait_until(sub { sql($newest) > $old }) or die 'the bank has no new version';
	sql("SELECT pgw.rebind_attempts($old, ($newest), 'it gives back now')") if $follow;
}

# ---------------------------------------------------------------- a charge in doubt, at a bank that cannot tell

part($node, 'in doubt, the caller has committed', sub {
	is(pay('charged', bank => 'form', token => 'tok_500_after'), 'in_review', 'in doubt: in review at once');
	is(review('charged'), 'BankUnknown|no_way_to_find_out|{retry,mark_charged,mark_not_charged}', 'the view says why, and what can be done');
	is(sql("SELECT jsonb_array_length(context), amount, currency, bank, age < '1 minute' FROM pgw.manual_reviews WHERE client_request_id = 'charged'"),
		sql("SELECT step_order, 1234, 'EUR', 'form', 't' FROM pgw.payment_transactions WHERE client_request_id = 'charged'"), 'with all that is known');
	like(refused('charged', 'refund'), qr/PW422.*mark_charged/s, 'refund: not a proven charge, the hint names mark_charged');
	like(refused('charged', 'mark_refunded', 'x'), qr/PW422.*mark_not_charged/s, 'mark_refunded: neither');
	like(refused('charged', 'mark_charged'), qr/PW400.*evidence_required/s, 'mark_charged wants evidence');
	# of both ranges: what a terminal or a log viewer would obey
	for my $control (27, 127, 128, 155, 159)
	{
		like(refused('charged', 'mark_charged', 'ch' . chr $control), qr/PW400.*"field": "evidence", "code": "control_characters"/s, "a reference with character $control is refused");
		my $note = "'because' || chr($control)";
		my (undef, undef, $err) = $node->psql('postgres', "SELECT pgw.resolve_review('" . attempt('charged') . "', 'retry', $note, '{}')", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
		like($err, qr/PW400.*"field": "note", "code": "control_characters"/s, 'and so is a note');
	}

	my $charges = asked('charge');
	is(resolve('charged', 'retry'), 'BankUnknown', 'retry: in doubt again');
	becomes('charged', 'RequiresManualReview', 'and in review again, because nothing can tell');
	is(asked('charge'), $charges, 'the bank was not asked to charge again');
	is(row('charged'), 'in_review', 'the payments row says so all along');

	is(resolve('charged', 'mark_charged', charge('charged')), 'BankApproved', 'mark_charged: the vote decides');
	becomes('charged', 'Completed', 'the row is there: saved');
	is(sql("SELECT status, captured_amount, bank_reference FROM pgw.find_payment('charged')"), 'captured|1234|' . charge('charged'), 'with the amount and the reference');
	is(counts('charged'), '1 1', 'one charge, kept');
	like(refused('charged', 'retry'), qr/PW422.*manual_reviews/s, 'it is not in review any more');

	is(pay('not', bank => 'form', token => 'tok_500_before'), 'in_review', 'another in doubt, which the bank did not do');
	is(resolve('not', 'mark_not_charged'), 'Failed', 'mark_not_charged');
	row_becomes('not', 'failed', 'the payments row says failed');
	is(sql("SELECT error_code FROM pgw.find_payment('not')"), 'not_processed', 'with the reason');
	wait_until(sub { sql("SELECT next_step_at IS NULL AND watch_until IS NULL FROM pgw.payment_transactions WHERE client_request_id = 'not'") eq 't' });
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'not' AND next_step_at IS NULL AND watch_until IS NULL"), 1, 'a bank without look-up is not watched');
	sound(0, 'in doubt');
});

part($node, 'in doubt, the caller has rolled back', sub {
	pay_and_roll_back('gone', bank => 'form', token => 'tok_500_after');
	becomes('gone', 'RequiresManualReview', 'rolled back: in review all the same');
	is(resolve('gone', 'mark_charged', charge('gone')), 'BankApproved', 'mark_charged: the vote decides');
	becomes('gone', 'Refunded', 'no row: given back');
	is(counts('gone'), '1 0', 'one charge, given back');

	pay_and_roll_back('free', bank => 'form', token => 'tok_500_before');
	becomes('free', 'RequiresManualReview', 'rolled back, and the bank did nothing');
	is(pay('free', bank => 'form', token => 'tok_500_before'), 'in_review', 'while in review the same id tells so');
	is(resolve('free', 'mark_not_charged'), 'Failed', 'mark_not_charged');
	row_becomes('free', 'failed', 'the row that came later votes no more');
	sound(0, 'rolled back');
});

part($node, 'another payment\'s charge', sub {
	is(pay('mine', bank => 'form', token => 'tok_500_after'), 'in_review', 'in doubt');
	like(refused('mine', 'mark_charged', charge('charged')), qr/PW422.*Another payment/s, 'the charge of another payment is refused as evidence');
	is(resolve('mine', 'mark_charged', charge('mine')), 'BankApproved', 'its own is taken');
	becomes('mine', 'Completed', 'and saved');
	sound(0, 'another payment\'s charge');
});

# ---------------------------------------------------------------- a charge in doubt, at a bank that did not tell in time

sub undecided
{
	my ($id, $pay, $token) = @_;
	bank_control($bank, 'settings', { lookup => JSON::PP::false });
	$pay->($id, token => $token // 'tok_500_after');
	becomes($id, 'RequiresManualReview', "$id: the bank does not tell: in review") or diag(events($node, $id));
	is(review($id), 'BankUnknown|deadline|{retry,mark_charged,mark_not_charged}', "$id: after the deadline");
}

part($node, 'late look-up', sub {
	undecided('later', \&pay);
	row_becomes('later', 'in_review', 'the payments row says so');
	my $charges = asked('charge');
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	is(resolve('later', 'retry'), 'BankUnknown', 'retry, after the deadline');
	becomes('later', 'Completed', 'looks once more, and finds it');
	row_becomes('later', 'captured', 'the row goes from in_review to captured');
	is(asked('charge'), $charges, 'nothing was charged');

	undecided('lie', \&pay);
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	is(resolve('lie', 'mark_not_charged'), 'Failed', 'an operator is wrong: there is a charge');
	becomes('lie', 'Refunded', 'it turns up, and is given back');
	row_becomes('lie', 'failed', 'as the payments row says');
	is(counts('lie'), '1 0', 'nobody pays');
	like(events($node, 'lie'), qr/ManualReviewRequired,ManualReviewResolved,LateApprovalReceived,CompensationStarted,RefundStarted,RefundCompleted$/, 'with its events');

	undecided('twice', \&pay_and_roll_back);
	is(resolve('twice', 'mark_not_charged'), 'Failed', 'wrong again, and the bank cannot be asked just now');
	is(pay('twice'), 'captured', 'the same id pays anew');
	is(counts('twice'), '2 2', 'for a moment there are two charges');
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	wait_until(sub { counts('twice') eq '2 1' });
	is(counts('twice'), '2 1', 'the one that was said not to be is given back');
	is(row('twice'), 'captured', 'the other is kept');
	wait_until(sub { status_of($node, 'twice') eq 'Refunded,Completed' });
	is(status_of($node, 'twice'), 'Refunded,Completed', 'as the attempts say');
	sound(0, 'late look-up');
});

# Never past the key's lifetime: a retry may look, and send only what the bank surely remembers.
part($node, 'keys', sub {
	for my $id (qw(young old))
	{
		undecided($id, sub { my ($i, %a) = @_; pay($i, bank => 'hasty', %a) }, 'tok_timeout_before_1');
		wait_until(sub { sql("SELECT bank_asked_at < clock_timestamp() - interval '2 s' FROM pgw.payment_transactions WHERE client_request_id = '$id'") eq 't' });
	}
	sql("UPDATE pgw.payment_transactions SET bank_key_used_at = bank_key_used_at - interval '1 day' WHERE client_request_id = 'old'");
	my $charges = asked('charge');
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	is(resolve('young', 'retry'), 'BankUnknown', 'retry of what the bank did not do');
	becomes('young', 'Completed', 'looked up, and sent again while the bank remembers the key');
	row_becomes('young', 'captured', 'as the row says');
	my %keys = map { ($_->{reference} // '') . ' ' . ($_->{idempotency_key} // '') => 1 } grep { $_->{operation} eq 'charge' } @{ bank_log($bank, 20) };
	is(scalar(grep { /\Q@{[ attempt('young') =~ tr,-,,dr ]}\E/ } keys %keys), 1, 'with the key that it had');
	is(asked('charge'), $charges + 1, 'once');
	is(resolve('old', 'retry'), 'BankUnknown', 'the same with a key that is a day old');
	becomes('old', 'Failed', 'looked up, not sent');
	row_becomes('old', 'failed', 'the row goes from in_review to failed');
	is(asked('charge'), $charges + 1, 'no charge left');
	sound(0, 'keys');
});

part($node, 'submitted', sub {
	my %end = (mark_charged => 'captured', mark_not_charged => 'failed');
	for my $action (sort keys %end)
	{
		my $id = "submitted-$action";
		sql('SELECT ' . pay_sql('submit_payment', client_request_id => $id, bank => 'form', token => $action eq 'mark_charged' ? 'tok_500_after' : 'tok_500_before'));
		row_becomes($id, 'in_review', "$id: in review");
		resolve($id, $action, $action eq 'mark_charged' ? charge($id) : undef);
		row_becomes($id, $end{$action}, "$id: $end{$action}");
	}
	bank_control($bank, 'settings', { lookup => JSON::PP::false });
	sql('SELECT ' . pay_sql('submit_payment', client_request_id => 'submitted-retry', token => 'tok_500_after'));
	row_becomes('submitted-retry', 'in_review', 'in review after the deadline');
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	is(resolve('submitted-retry', 'retry'), 'BankUnknown', 'retry');
	row_becomes('submitted-retry', 'captured', 'found, and saved');
	sound(0, 'submitted');
});

# ---------------------------------------------------------------- a give-back that the bank refuses

sub not_taken_back
{
	my ($id, $token) = @_;
	pay_and_roll_back($id, token => $token);
	becomes($id, 'RequiresManualReview', "$id: refused twice: in review");
	is(review($id), 'Refunding|refused|{retry,mark_not_charged,mark_refunded}', "$id: what can be done");
}

part($node, 'refused give-backs', sub {
	not_taken_back('again', 'tok_refund_fail_2');
	like(refused('again', 'mark_charged', 'x'), qr/PW422.*retry gives it back/s, 'its caller is gone: it cannot be kept');
	like(refused('again', 'refund'), qr/PW422.*retry goes on/s, 'nor given back beside the give-back');
	is(resolve('again', 'retry'), 'Refunding', 'retry');
	becomes('again', 'Refunded', 'given back at last');
	is(counts('again'), '1 0', 'once');
	my @refunds = refunds_of($bank, charges_of($node, $bank, 'again'));
	my %keys = map { $_->{idempotency_key} => 1 } @refunds;
	is(scalar(keys %keys), scalar(@refunds), 'each refused refund had a key of its own');
	is(scalar(grep { $_->{status} eq 'succeeded' } @refunds), 1, 'one succeeded');

	not_taken_back('hand', 'tok_refund_fail_2');
	my $by_hand = refund_by_hand('hand');
	is($by_hand->{status}, 'succeeded', 'an operator gives it back at the bank');
	like(refused('hand', 'mark_refunded'), qr/PW400.*evidence_required/s, 'mark_refunded wants evidence');
	is(resolve('hand', 'mark_refunded', $by_hand->{id}), 'Refunded', 'mark_refunded');
	is(counts('hand'), '1 0', 'given back once');

	not_taken_back('both', 'tok_refund_fail_2');
	refund_by_hand('both');
	my $tries = asked('refund');
	is(resolve('both', 'retry'), 'Refunding', 'given back at the bank, and retried all the same');
	becomes('both', 'Refunded', 'the worker looks first');
	is(asked('refund'), $tries, 'and refunds no second time');

	not_taken_back('denied', 'tok_refund_fail_2');
	is(resolve('denied', 'mark_not_charged'), 'Failed', 'an operator denies a charge that stands');
	becomes('denied', 'Refunded', 'it turns up, and is given back');
	is(counts('denied'), '1 0', 'once');

	# in doubt: done, but the bank neither answers nor can be asked
	bank_control($bank, 'settings', { lookup => JSON::PP::false });
	pay_and_roll_back('doubt', bank => 'hasty', token => 'tok_refund_timeout_after');
	becomes('doubt', 'RequiresManualReview', 'a give-back in doubt: in review');
	is(review('doubt'), 'Refunding|deadline|{retry,mark_not_charged,mark_refunded}', 'after the deadline');
	my $key = sql("SELECT refund_key FROM pgw.payment_transactions WHERE client_request_id = 'doubt'");
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	is(resolve('doubt', 'retry'), 'Refunding', 'retry');
	becomes('doubt', 'Refunded', 'looked up: it was given back');
	is(sql("SELECT refund_key FROM pgw.payment_transactions WHERE client_request_id = 'doubt'"), $key, 'under the key that it had');
	is(scalar(@{[ refunds_of($bank, charges_of($node, $bank, 'doubt')) ]}), 1, 'one refund');

	not_taken_back('never', 'tok_refund_fail');
	is(resolve('never', 'retry'), 'Refunding', 'a bank that refuses for ever: retry');
	becomes('never', 'RequiresManualReview', 'is in review again');
	is(sql("SELECT count(*) FROM pgw.transaction_events e JOIN pgw.payment_transactions USING (transaction_id) WHERE client_request_id = 'never' AND event_type = 'RefundFailed'"),
		4, 'after as many more attempts as the first time');
	sound(1, 'refused give-backs');
});

# ---------------------------------------------------------------- an approval that cannot be given back

part($node, 'a bank that offers no way', sub {
	for my $id (qw(kept given))
	{
		pay_and_roll_back($id, bank => 'oneway');
		becomes($id, 'RequiresManualReview', "$id: approved, rolled back, and no way to give it back");
		is(review($id), 'BankApproved|bank_cannot_give_back|{retry,mark_charged,mark_refunded,refund}', "$id: what can be done");
	}
	like(refused('kept', 'mark_not_charged'), qr/PW422.*refund gives it back/s, 'what the bank said yes to cannot be denied');
	is(resolve('kept', 'mark_charged', charge('kept')), 'BankApproved', 'mark_charged without a row');
	becomes('kept', 'RequiresManualReview', 'is in review again, kept for nobody');
	is(resolve('kept', 'retry'), 'BankApproved', 'retry');
	becomes('kept', 'RequiresManualReview', 'changes nothing');
	is(pay('kept', bank => 'oneway'), 'in_review', 'the same id again, committed: it has a row now');
	is(resolve('kept', 'mark_charged', charge('kept')), 'BankApproved', 'mark_charged with a row');
	becomes('kept', 'Completed', 'is saved');
	row_becomes('kept', 'captured', 'as the row says');
	is(counts('kept'), '1 1', 'one charge, kept');

	is(resolve('given', 'refund'), 'Refunding', 'refund');
	becomes('given', 'RequiresManualReview', 'there is still no way');
	is(review('given'), 'Refunding|bank_cannot_give_back|{retry,mark_not_charged,mark_refunded}', 'and it is a give-back now');
	oneway_becomes(oneway('and back'), 'and what is open');
	is(resolve('given', 'retry'), 'Refunding', 'retry, with a way');
	becomes('given', 'Refunded', 'given back');
	is(counts('given'), '1 0', 'once');
	like(events($node, 'given'), qr/ManualReviewResolved,RefundStarted,RefundCompleted$/, 'with its events');
	sound(1, 'no way back');
});

part($node, 'refund of a kept approval', sub {
	oneway_becomes(oneway());
	pay_and_roll_back('changed', bank => 'oneway');
	becomes('changed', 'RequiresManualReview', 'in review');
	is(pay('changed', bank => 'oneway'), 'in_review', 'it has a row');
	oneway_becomes(oneway('and back'), 'and what is open');
	is(resolve('changed', 'refund'), 'Refunding', 'refund all the same');
	becomes('changed', 'Refunded', 'given back');
	row_becomes('changed', 'failed', 'the row goes from in_review to failed');
	is(counts('changed'), '1 0', 'once');
	sound(1, 'refund of a kept approval');
});

part($node, 'restored', sub {
	oneway_becomes(oneway());
	pay_and_roll_back('restored', bank => 'oneway');
	becomes('restored', 'RequiresManualReview', 'in review');
	sql("UPDATE pgw.payment_transactions SET caller_xid = NULL, caller_subxid = NULL WHERE client_request_id = 'restored'");
	oneway_becomes(oneway('and back'), 'and what is open');
	is(resolve('restored', 'retry'), 'BankApproved', 'retry, when nobody knows any more who called');
	becomes('restored', 'RequiresManualReview', 'is in review again: never given back by itself');
	is(review('restored'), 'BankApproved|restored_without_payment|{retry,mark_charged,mark_refunded,refund}', 'as the view says');
	is(resolve('restored', 'refund'), 'Refunding', 'refund');
	becomes('restored', 'Refunded', 'given back');
	is(counts('restored'), '1 0', 'once');
	sound(1, 'restored');
});

# ---------------------------------------------------------------- the operator's own transaction

part($node, 'transactions', sub {
	is(pay('tx', bank => 'form', token => 'tok_500_after'), 'in_review', 'in doubt');
	my ($a, $b) = map { PgwSession->new($node) } 1 .. 2;
	$a->run('BEGIN; ' . resolve_sql('tx', 'mark_not_charged') . '; ROLLBACK');
	is(newest('tx'), 'RequiresManualReview', 'rolled back: still in review');
	for my $level ('read committed', 'repeatable read', 'serializable')
	{
		my $id = "tx-$level";
		is(pay($id, bank => 'form', token => 'tok_500_after'), 'in_review', "$level: in doubt");
		my $ref = charge($id);
		$b->run("BEGIN ISOLATION LEVEL $level; SELECT 1");
		$a->run('BEGIN; ' . resolve_sql($id, 'mark_charged', $ref));
		$b->send(resolve_sql($id, 'mark_not_charged'));
		ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%mark_not_charged%'"),
			"$level: the second operator waits for the first");
		is(newest($id), 'RequiresManualReview', "$level: nothing moves before the commit");
		$a->run('COMMIT');
		$b->wait;
		is($b->state, 'PW422', "$level: and is told that it is done") or diag($b->err);
		$b->run('ROLLBACK');
		becomes($id, 'Completed', "$level: what the first said stands");
	}
	$a->run('BEGIN; ' . resolve_sql('tx', 'mark_charged', charge('tx')) . "; PREPARE TRANSACTION 'review'");
	is($a->state, '00000', 'it can be prepared') or diag($a->err);
	is(newest('tx'), 'RequiresManualReview', 'prepared: nothing has changed');
	$a->run("COMMIT PREPARED 'review'");
	becomes('tx', 'Completed', 'committed: the worker finds it');
	sound(1, 'transactions');
}) if $node->safe_psql('postgres', 'SHOW max_prepared_transactions') > 0;

# ---------------------------------------------------------------- who may, and with whom

part($node, 'two pairs of eyes', sub {
	is(pay('eyes', bank => 'form', token => 'tok_500_after'), 'in_review', 'in doubt');
	$node->append_conf('postgresql.conf', 'pgw.require_four_eyes = on');
	$node->reload;
	wait_until(sub { sql('SHOW pgw.require_four_eyes') eq 'on' });
	my $ref = charge('eyes');
	my $wants = resolve_sql('eyes', 'mark_charged', $ref);
	my ($anna, $bert) = map { PgwSession->new($node) } 1 .. 2;
	$anna->run('SET SESSION AUTHORIZATION anna');
	$bert->run('SET SESSION AUTHORIZATION bert');
	is($anna->run($wants), 'RequiresManualReview', 'the first call proposes');
	like($anna->err, qr/proposed/, 'and says so');
	is(sql("SELECT proposal->>'action', proposal->>'by', proposal->'evidence'->>'bank_reference' FROM pgw.manual_reviews WHERE client_request_id = 'eyes'"),
		"mark_charged|anna|$ref", 'the view shows it');
	$anna->run($wants);
	is($anna->state, 'PW422', 'the same role again');
	like($anna->err, qr/four_eyes_required/, 'is not a second pair of eyes');
	$anna->run('SET ROLE pg_monitor');
	is($bert->run(resolve_sql('eyes', 'mark_not_charged')), 'RequiresManualReview', 'another action is another proposal');
	is($anna->run('RESET ROLE; ' . $wants), 'RequiresManualReview', 'and so is the first one then');
	is($bert->run(resolve_sql('eyes', 'mark_charged', "$ref-other")), 'RequiresManualReview', 'or one with other evidence');
	is($anna->run($wants), 'RequiresManualReview', 'proposed again');
	is($bert->run($wants), 'BankApproved', 'the second role confirms');
	becomes('eyes', 'Completed', 'and it takes effect');
	is(sql("SELECT event_data->>'session_user', event_data->>'proposed_by' FROM pgw.transaction_events JOIN pgw.payment_transactions USING (transaction_id)
		WHERE client_request_id = 'eyes' AND event_type = 'ManualReviewResolved'"), 'bert|anna', 'the event names both');
	is(sql('SELECT count(*) FROM pgw.review_proposals'), 5, 'every proposal is kept');

	is(pay('moved', bank => 'form', token => 'tok_500_after'), 'in_review', 'another');
	$anna->run(resolve_sql('moved', 'retry'));
	is($bert->run(resolve_sql('moved', 'retry')), 'BankUnknown', 'confirmed: the attempt moves');
	becomes('moved', 'RequiresManualReview', 'and comes back');
	is($bert->run(resolve_sql('moved', 'retry')), 'RequiresManualReview', 'the old proposal is void');
	is(sql("SELECT proposal->>'by' FROM pgw.manual_reviews WHERE client_request_id = 'moved'"), 'bert', 'the new one counts');
	$node->append_conf('postgresql.conf', 'pgw.require_four_eyes = off');
	$node->reload;
	wait_until(sub { sql('SHOW pgw.require_four_eyes') eq 'off' });
	is(resolve('moved', 'mark_charged', charge('moved')), 'BankApproved', 'off again: one is enough');
	becomes('moved', 'Completed', 'at once');
	sound(1, 'two pairs of eyes');
});

part($node, 'who may', sub {
	sql("INSERT INTO pgw.merchants (merchant, name) VALUES ('acme', 'Acme'); CREATE ROLE acme LOGIN; SELECT pgw.grant_access('acme', 'operator', 'acme');
		CREATE ROLE auditor LOGIN; SELECT pgw.grant_access('auditor', 'auditor'); CREATE ROLE client LOGIN; SELECT pgw.grant_access('client', 'client')");
	is(pay('ours', bank => 'form', token => 'tok_500_after', merchant => 'acme'), 'in_review', 'a review of one merchant');
	my $s = PgwSession->new($node);
	my $never = resolve_sql('never', 'retry');
	my %state = (acme => 'PW404', auditor => '42501', client => '42501');
	for my $who (sort keys %state)
	{
		$s->run("SET SESSION AUTHORIZATION $who");
		$s->run($never);
		is($s->state, $state{$who}, "$who may not");
		is($s->run('SELECT string_agg(client_request_id, \',\' ORDER BY client_request_id) FROM pgw.manual_reviews'),
			{ acme => 'ours', auditor => 'never,ours', client => '' }->{$who}, "$who sees what is granted");
		$s->run('RESET SESSION AUTHORIZATION');
	}
	$s->run('SET SESSION AUTHORIZATION acme');
	is($s->run(resolve_sql('ours', 'mark_charged', charge('ours'))), 'BankApproved', 'but for its own merchant');
	becomes('ours', 'Completed', 'it counts');
	sound(1, 'who may');
});

part($node, 'dump', sub {
	my $before = sql('SELECT md5(string_agg(p::text, chr(10) ORDER BY p::text)), count(*) FROM pgw.review_proposals p');
	system_or_bail('pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', $node->basedir . '/dump', 'postgres');
	sql('CREATE DATABASE restored');
	system_or_bail('pg_restore', '-e', '-h', $node->host, '-p', $node->port, '-d', 'restored', $node->basedir . '/dump');
	is($node->safe_psql('restored', 'SELECT md5(string_agg(p::text, chr(10) ORDER BY p::text)), count(*) FROM pgw.review_proposals p'), $before, 'proposals are in dumps');
});
$node->stop('fast');
done_testing();
