# What cannot be asked of a bank now is put off: a fact in the tables that health() counts, with an end.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('put_off', debug => 1, conf => "fsync = off\nrestart_after_crash = on\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => @_) }
sub submit { return sql('SELECT FROM ' . pay_sql('submit_payment', client_request_id => @_)) }

sub put_off_reasons
{
	my ($id, $kind) = @_;
	return sql("SELECT coalesce(string_agg(put_off_reason, ','), '') FROM pgw.payment_transactions WHERE client_request_id = '$id' AND put_off_since IS NOT NULL");
}

sub attempt_becomes
{
	my ($id, $status, $name) = @_;
	return ok(wait_until(sub { status_of($node, $id) =~ /$status$/ }, 40), $name) || diag(status_of($node, $id));
}

sub review_reason { my ($id) = @_; return sql("SELECT event_data->>'error_code', event_data->>'reason' FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
	WHERE client_request_id = '$id' AND event_type = 'ManualReviewRequired' ORDER BY e.step_order DESC LIMIT 1") }
sub is_alerted { my ($id) = @_; return $node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pgw.alert_state a JOIN pgw.payment_transactions t USING (transaction_id)
	WHERE a.kind = 'review_required' AND t.client_request_id = '$id')") }

sub health
{
	return sql("SELECT status, details->>'count', details->'reasons'->0->>'reason', details->'reasons'->0->>'bank' FROM pgw.health() WHERE check_name = 'put_off'");
}

# The deadline, taken up by the worker: the setting is the postmaster's to pass on, and a scan comes after it.
sub deadline
{
	my ($value) = @_;
	sql("ALTER SYSTEM SET pgw.unknown_deadline = '$value'");
	sql('SELECT pg_reload_conf()');
	$node->poll_query_until('postgres', "SELECT current_setting('pgw.unknown_deadline') = '$value'") or die "still not $value";
}
# What is put off looks again now.
sub run_put_off
{
	sql("UPDATE pgw.payment_transactions SET next_step_at = now() WHERE put_off_since IS NOT NULL");
	sql('SELECT pgw.run_recovery()');
}

# Its capture and refund name the merchant's own reference in the path: a payment without one cannot be captured, refunded or voided.
sql(<<"SQL");
INSERT INTO pgw.connectors (name, definition)
	SELECT 'needy', jsonb_set(jsonb_set(jsonb_set(definition::jsonb || '{"name": "needy"}', '{operations,refund,path}', '"/v1/charges/{{bank_reference}}/refunds?order={{reference}}"'),
		'{operations,capture,path}', '"/v1/charges/{{bank_reference}}/capture?order={{reference}}"'),
		'{operations,void,path}', '"/v1/charges/{{bank_reference}}/void?order={{reference}}"') FROM pgw.connectors WHERE name = 'json';
INSERT INTO pgw.banks (name, connector, base_url, secret, priority, account) VALUES ('needy', 'needy', '$bank->{url}', 'bank', 200, 'bank'), ('shut', 'json', '$bank->{url}', 'bank', 201, 'bank');
SQL

sub expect_put_off
{
	my ($id, $reason) = @_;
	return ok(wait_until(sub { put_off_reasons($id) eq $reason }, 30), "$id: put off, $reason") || diag(put_off_reasons($id));
}

is(health(), 'ok|0||', 'nothing is put off');

# ---------------------------------------------------------------- what a payment's reference is for

part($node, 'reference', sub {
	sql(pay('with', bank => 'needy', reference => 'order 17'));
	sql("SELECT FROM pgw.find_payment('with') f, pgw.refund_payment(f.payment_id, 'with-r') r");
	ok(wait_until(sub { status_of($node, 'with-r') eq 'Completed' }, 30), 'a refund knows the reference of its payment');
	PgwSession->new($node)->run('BEGIN; ' . pay('back', bank => 'needy', reference => 'order 18') . '; ROLLBACK');
	attempt_becomes('back', 'Refunded', 'a give-back, too');
});

# ---------------------------------------------------------------- a give-back, a capture after the commit, a refund that cannot be rendered

part($node, 'give-back', sub {
	deadline('5s');
	PgwSession->new($node)->run('BEGIN; ' . pay('rolled back', bank => 'needy') . '; ROLLBACK');
	expect_put_off('rolled back', 'connector_invalid');
	like(health(), qr/^warning\|1\|connector_invalid\|needy$/, 'health() counts it');
	is(sql("SELECT value FROM pgw.metrics WHERE name = 'pgw_put_off' AND (labels->>'livemode')::boolean"), 1, 'and so do the figures');
	attempt_becomes('rolled back', 'RequiresManualReview', 'at its end it is in review');
	is(review_reason('rolled back'), 'follow_up_impossible|connector_invalid', 'which says why');
	ok(is_alerted('rolled back'), 'and people are told');
	is(put_off_reasons('rolled back'), '', 'it is put off no longer');
	is(health(), 'ok|0||', 'and not counted');
});
part($node, 'capture after the commit', sub {
	deadline('3s');
	is(sql(pay('on commit', bank => 'needy', capture => 'on_commit')), 'authorized', 'authorized');
	attempt_becomes('on commit', 'RequiresManualReview', 'the capture that cannot be asked for ends in review');
	is(review_reason('on commit'), 'follow_up_impossible|connector_invalid', 'which says why');
	is(sql("SELECT status FROM pgw.payments WHERE client_request_id = 'on commit'"), 'authorized', 'the payment is authorized, as it is');
	ok(is_alerted('on commit'), 'people are told');
});
part($node, 'capture that is not processed', sub {
	deadline('5s');
	bank_control($bank, 'faults', { probabilities => { 503 => 1 }, operations => ['capture'] });
	is(sql(pay('no capture', capture => 'on_commit')), 'authorized', 'authorized');
	expect_put_off('no capture', 'not_processed');
	like(health(), qr/^warning\|1\|not_processed\|bank$/, 'a capture that the bank does nothing for is counted');
	attempt_becomes('no capture', 'RequiresManualReview', 'and ends in review');
	is(review_reason('no capture'), 'follow_up_impossible|not_processed', 'which says why');
	bank_control($bank, 'faults', { probabilities => {} });
	my $id = sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = 'no capture'");
	sql("SELECT pgw.resolve_review('$id', 'retry', 'the bank is well again')");
	attempt_becomes('no capture', 'Completed', 'an operator has it tried again');
	is(scalar(grep { $_->{captured} == 1234 } charges_of($node, $bank, 'no capture')), 1, 'captured once');
});
part($node, 'capture that is sent again, and lost', sub {
	deadline('5s');
	change_settings($node, 'pgw.breaker_failures' => 10000);    # or it is sent again only when the bank is not left alone any more
	bank_control($bank, 'faults', { probabilities => { 503 => 1 }, operations => ['capture'] });
	is(sql(pay('lost', capture => 'on_commit')), 'authorized', 'authorized');
	attempt_becomes('lost', 'RequiresManualReview', 'a capture for which the bank does nothing ends in review');
	like(review_reason('lost'), qr/^follow_up_impossible\|(not_processed|bank_unavailable)$/, 'which says why');
	deadline('1h');
	bank_control($bank, 'faults', { probabilities => { reset_before => 1 }, operations => ['capture'] });
	debug_arm($node, 'capture_answered', 'stop');
	my $id = sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = 'lost'");
	sql("SELECT pgw.resolve_review('$id', 'retry', 'the bank is well again')");
	crash($node, debug_wait($node, 'capture_answered', 60));
	bank_control($bank, 'faults', { probabilities => {} });
	attempt_becomes('lost', 'Completed', 'that a person had to look is no refusal of the bank: what it has not done is done');
	is(scalar(grep { $_->{captured} == 1234 } charges_of($node, $bank, 'lost')), 1, 'captured once');
	change_settings($node, 'pgw.breaker_failures' => undef);
});
part($node, 'refund', sub {
	deadline('3s');
	is(sql(pay('paid', bank => 'needy')), 'captured', 'paid');
	sql("SELECT FROM pgw.find_payment('paid') f, pgw.refund_payment(f.payment_id, 'paid-r') r");
	attempt_becomes('paid-r', 'Failed', 'a refund that was never sent fails');
	is(sql("SELECT status, refund_pending_amount, refunded_amount FROM pgw.find_payment('paid')"), 'captured|0|0', 'and claims nothing any more');
	is(sql("SELECT error_code FROM pgw.payment_transactions WHERE client_request_id = 'paid-r'"), 'bank_unavailable', 'with its error');
});

# ---------------------------------------------------------------- a bank that takes no charge

part($node, 'submitted', sub {
	deadline('1h');
	sql("UPDATE pgw.banks SET enabled = false WHERE name = 'shut'; INSERT INTO pgw.merchants (merchant) VALUES ('m')");
	sql("UPDATE pgw.banks SET enabled = true WHERE name = 'shut'");
	my $s = PgwSession->new($node);
	$s->run('BEGIN; SELECT FROM ' . pay_sql('submit_payment', client_request_id => $_, bank => 'shut') . '; UPDATE pgw.banks SET enabled = false WHERE name = \'shut\'; COMMIT') for 'wait';
	expect_put_off('wait', 'bank_disabled');
	sql("UPDATE pgw.banks SET enabled = true WHERE name = 'shut'");
	run_put_off();
	attempt_becomes('wait', 'Completed', 'cured in time, it goes on');
	is(put_off_reasons('wait'), '', 'and is put off no longer');

	deadline('2s');
	$s->run('BEGIN; SELECT FROM ' . pay_sql('submit_payment', client_request_id => 'give up', bank => 'shut') . '; UPDATE pgw.banks SET enabled = false WHERE name = \'shut\'; COMMIT');
	attempt_becomes('give up', 'Failed', 'what was never sent fails in the end');
	ok($node->poll_query_until('postgres', "SELECT status = 'failed' FROM pgw.payments WHERE client_request_id = 'give up'"), 'and so does the payment');
	is(events($node, 'give up'), 'TransactionStarted,TransactionFailed', 'with its events');
	is(scalar(charges_of($node, $bank, 'give up')), 0, 'nothing was charged');
});

# ---------------------------------------------------------------- a key that cannot be read

# In doubt, and the bank cannot be asked: never Failed.
part($node, 'in doubt', sub {
	deadline('1h');
	my $secret = $node->basedir . '/secrets/bank';
	bank_control($bank, 'settings', { lookup => JSON::PP::false });
	my $reload = sub { sql('SELECT pg_reload_conf()') };
	for my $id ('doubt', 'found')
	{
		is(sql(pay($id, token => 'tok_500_after', timeout => '300ms')), 'pending', "$id: in doubt");
	}
	rename $secret, "$secret.away" or die $!;
	$reload->();
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	expect_put_off($_, 'secret_missing') for 'doubt', 'found';
	like(health(), qr/^warning\|2\|secret_missing\|bank$/, 'health() counts both');

	# the first one's end comes; the other one's begins again, as nobody has looked for longer than that
	sql("UPDATE pgw.payment_transactions SET put_off_since = now() - interval '2 h', next_step_at = now() - interval '1 s' WHERE client_request_id = 'doubt'");
	sql("UPDATE pgw.payment_transactions SET put_off_since = now() - interval '3 h', next_step_at = now() - interval '150 min' WHERE client_request_id = 'found'");
	sql('SELECT pgw.run_recovery()');
	attempt_becomes('doubt', 'RequiresManualReview', 'in doubt at its end: in review');
	is(review_reason('doubt'), 'outcome_unknown|secret_missing', 'which says why');
	ok($node->poll_query_until('postgres', "SELECT status = 'in_review' FROM pgw.payments WHERE client_request_id = 'doubt'"), 'and so does its payment');
	is(status_of($node, 'found'), 'BankUnknown', 'where nobody has looked for so long the deadline begins again');
	ok(sql("SELECT put_off_since > now() - interval '1 min' FROM pgw.payment_transactions WHERE client_request_id = 'found'") eq 't', 'with that look');
	rename "$secret.away", $secret or die $!;
	$reload->();
	run_put_off();
	attempt_becomes('found', 'Completed', 'cured, it is found out');
	my $id = sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = 'doubt'");
	sql("SELECT pgw.resolve_review('$id', 'retry', 'the key is back')");
	attempt_becomes('doubt', 'Completed', 'and so is the other one, by an operator');
});

# ---------------------------------------------------------------- a submit behind an earlier attempt that is in review

part($node, 'blocked', sub {
	deadline('1h');
	PgwSession->new($node)->run('BEGIN; ' . pay('behind', bank => 'needy') . '; ROLLBACK');
	expect_put_off('behind', 'connector_invalid');
	sql("UPDATE pgw.payment_transactions SET put_off_since = now() - interval '2 h', next_step_at = now() - interval '1 s' WHERE client_request_id = 'behind'");
	sql('SELECT pgw.run_recovery()');
	attempt_becomes('behind', 'RequiresManualReview', 'an attempt is in review');
	sql('SELECT FROM ' . pay_sql('submit_payment', client_request_id => 'behind', amount => 7));
	ok(wait_until(sub { put_off_reasons('behind') eq 'request_in_flight' }, 30), 'another one with its id and another amount waits, and that is counted');
	deadline('1s');
	ok(wait_until(sub { status_of($node, 'behind') eq 'RequiresManualReview,Failed' }, 30), 'not for ever') || diag(status_of($node, 'behind'));
	ok($node->poll_query_until('postgres', "SELECT status = 'failed' FROM pgw.payments WHERE client_request_id = 'behind'"), 'its payment has failed');
});

# ---------------------------------------------------------------- an authorization whose bank cannot be asked

part($node, 'authorization', sub {
	deadline('1h');
	sql(pay('hold', capture => 'manual'));
	my $secret = $node->basedir . '/secrets/bank';
	rename $secret, "$secret.away" or die $!;
	sql('SELECT pg_reload_conf()');
	sql("UPDATE pgw.payment_transactions SET bank_asked_at = now() - interval '8 days', next_step_at = now() WHERE client_request_id = 'hold'");
	sql('SELECT pgw.run_recovery()');
	expect_put_off('hold', 'secret_missing');
	sql("UPDATE pgw.payment_transactions SET put_off_since = now() - interval '2 h', next_step_at = now() - interval '1 s' WHERE client_request_id = 'hold'");
	sql('SELECT pgw.run_recovery()');
	ok($node->poll_query_until('postgres', "SELECT status = 'expired' FROM pgw.payments WHERE client_request_id = 'hold'"), 'its lifetime is over and nobody can ask: expired');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgw.alert_state WHERE kind = 'watch_ended'"), 'and people are told');
	is(put_off_reasons('hold'), '', 'it is put off no longer');
	rename "$secret.away", $secret or die $!;
	sql('SELECT pg_reload_conf()');
});

# ---------------------------------------------------------------- somebody holds the row

part($node, 'row busy', sub {
	my $s = PgwSession->new($node);
	submit('held', token => 'tok_slow_1500');
	$s->run("BEGIN; SELECT FROM pgw.payments WHERE client_request_id = 'held' FOR UPDATE");
	ok($node->poll_query_until('postgres', "SELECT status = 'BankApproved' FROM pgw.payment_transactions WHERE client_request_id = 'held'"), 'approved, and the row is held');
	sql("ALTER SYSTEM SET pgw.debug_clock_offset = 400");
	sql('SELECT pg_reload_conf()');
	ok($node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pgw.alert_state a JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE a.kind = 'row_busy' AND t.client_request_id = 'held')"), 'after five minutes people are told');
	$s->run('COMMIT');
	attempt_becomes('held', 'Completed', 'then it goes on by itself');
});

is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'consistent');
is(sql("SELECT string_agg(client_request_id, ',' ORDER BY client_request_id) FROM pgw.payment_transactions WHERE status = 'RequiresManualReview'"), 'behind,on commit,rolled back',
	'three reviews') unless defined $ENV{PGW_PART};
$node->stop('fast');
done_testing();
