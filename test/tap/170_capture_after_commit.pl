# The capture after the commit: whatever the bank does and whatever is lost, the bank has captured once what was committed, and not at all what was
# not, and the payment says which.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwOperations;
use PgwSession;
use PgwTest;
use Test::More;

my ($node, $bank) = operations_cluster('capture_after_commit', debug => 1);
sub sql { return $node->safe_psql('postgres', $_[0]) }

my $AUTHORIZED = 'TransactionStarted,BankProcessingStarted,BankProcessingCompleted,PaymentDataSaveStarted,PaymentDataSaveCompleted';
my $CAPTURED = "$AUTHORIZED,CaptureStarted,CaptureCompleted,TransactionCompleted";
my $CAPTURED_LATER = qr/^$AUTHORIZED,CaptureStarted,(CaptureRetryScheduled,|CaptureStarted,)*CaptureCompleted,TransactionCompleted$/;

part($node, 'on_commit', sub {
	my $s = PgwSession->new($node);
	$s->run('BEGIN');
	is($s->run(payment_sql('oc', capture => 'on_commit')), 'authorized', 'authorized in the transaction');
	scan($node) for 1 .. 2;
	is(done_by_bank($node, $bank, 'oc'), '0 captures 0 voids 0 refunds', 'nothing is captured before the commit');
	$s->run('COMMIT');
	is(how_payment_stands($node, 'oc'), 'captured 1000/0/0', 'and all of it after it');
	is(done_by_bank($node, $bank, 'oc'), '1 captures 0 voids 0 refunds', 'once');
	is(events($node, 'oc'), $CAPTURED, 'with these events');

	$s->run('BEGIN');
	$s->run(payment_sql('oc-back', capture => 'on_commit'));
	$s->run('ROLLBACK');
	ok(wait_until(sub { status_of($node, 'oc-back') eq 'Refunded' }, 20), 'a rollback gives it back');
	is(done_by_bank($node, $bank, 'oc-back'), '0 captures 1 voids 0 refunds', 'by a void: no money has moved');
	is(events($node, 'oc-back'), $ROLLBACK_FLOW, 'with the rollback flow');

	$s->run('BEGIN; ' . payment_sql('oc-2pc', capture => 'on_commit') . "; PREPARE TRANSACTION 'oc'");
	scan($node) for 1 .. 2;
	is(done_by_bank($node, $bank, 'oc-2pc'), '0 captures 0 voids 0 refunds', 'prepared: nothing is captured');
	$s->run("COMMIT PREPARED 'oc'");
	is(how_payment_stands($node, 'oc-2pc'), 'captured 1000/0/0', 'after COMMIT PREPARED it is');

	sql("UPDATE pgw.banks SET request_timeout = '10s' WHERE name = 'bank'");
	is($s->run(payment_sql('oc-late', capture => 'on_commit', token => 'tok_slow_1500', timeout => '1s')), 'pending', 'a caller that does not wait');
	is(how_payment_stands($node, 'oc-late'), 'captured 1000/0/0', 'the worker counts its vote, and captures');
	is(events($node, 'oc-late'), $CAPTURED, 'with the same events');
	sql("UPDATE pgw.banks SET request_timeout = '1s' WHERE name = 'bank'");

	change_settings($node, 'pgw.compensation_delay' => 5000);	# there is time to take it over, on a busy machine, too
	$s->run('BEGIN; ' . payment_sql('oc-adopted', capture => 'on_commit') . '; ROLLBACK');
	is(sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'oc-adopted', amount => 1000, capture => 'on_commit')), 'pending', 'a submit takes an authorization over');
	is(how_payment_stands($node, 'oc-adopted'), 'captured 1000/0/0', 'which is then captured');
	is(done_by_bank($node, $bank, 'oc-adopted'), '1 captures 0 voids 0 refunds', 'and not taken for a charge');
	change_settings($node, 'pgw.compensation_delay' => 50);
	is_sound($node, $bank, 'on_commit: sound');
});

part($node, 'on_commit, a bank in trouble', sub {
	for my $case ([ 'tok_capture_timeout_after', 'captured 1000/0/0', '1 captures 0 voids 0 refunds' ], [ 'tok_capture_fail', 'failed 0/0/0', '0 captures 1 voids 0 refunds' ],
		[ 'tok_auth_expires_100', 'failed 0/0/0', '0 captures 0 voids 0 refunds' ])
	{
		my ($token, $stands, $done) = @$case;
		my $s = PgwSession->new($node);
		$s->run('BEGIN; ' . payment_sql($token, capture => 'on_commit', token => $token));
		$s->run('SELECT pg_sleep(0.2)');    # longer than the authorization that expires
		$s->run('COMMIT');
		is(how_payment_stands($node, $token), $stands, "$token: $stands");
		is(done_by_bank($node, $bank, $token), $done, "$token: $done");
	}
	is(sql("SELECT string_agg(w.error_code, ',' ORDER BY w.error_code) FROM unnest('{tok_capture_fail,tok_auth_expires_100}'::text[]) i, pgw.find_payment(i) w"),
		'authorization_expired,capture_refused', 'and why');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'capture_refused'") eq 2 }, 20), 'people are told');
	like(events($node, 'tok_capture_fail'), qr/PaymentDataSaveCompleted,CaptureStarted,(CaptureRetryScheduled,)*CaptureFailed,CompensationStarted,RefundStarted,RefundCompleted$/,
		'the events of a refused capture');

	# down at the commit, and back later
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . payment_sql('down', capture => 'on_commit'));
	bank_control($bank, 'settings', { down => JSON::PP::true });
	$s->run('COMMIT');
	ok(wait_until(sub { events($node, 'down') =~ /(CaptureStarted,CaptureRetryScheduled,?){2}/ }, 20), 'a bank that does nothing is asked again');
	bank_control($bank, 'settings', { down => JSON::PP::false });
	is(how_payment_stands($node, 'down'), 'captured 1000/0/0', 'until it does');
	is(sql("SELECT count(DISTINCT capture_key) FROM pgw.payment_transactions WHERE client_request_id = 'down'"), 1, 'with one key');
	is(sql("SELECT capture_asked_at >= capture_key_used_at AND bank_asked_at < capture_key_used_at FROM pgw.payment_transactions WHERE client_request_id = 'down'"), 't',
		'when it was asked last is its own, and the charge keeps its time');
	is_sound($node, $bank, 'a bank in trouble: sound');
});

# The worker, lost at a point of the capture; and the caller, lost before its commit.
for my $how (@LOSSES)
{
	for my $point ('capture_apply', 'capture_sent', 'capture_answered', 'capture_result')
	{
		my $id = "$how, $point";
		part($node, $id, sub {
			debug_arm($node, $point, 'stop');
			is(pay($node, $id, capture => 'on_commit'), 'authorized', "$id: the caller has committed");
			lose_process($node, $how, debug_wait($node, $point));
			is(how_payment_stands($node, $id), 'captured 1000/0/0', "$id: captured all the same");
			is(done_by_bank($node, $bank, $id), '1 captures 0 voids 0 refunds', "$id: once");
			like(events($node, $id), $CAPTURED_LATER, "$id: its events");
			is_sound($node, $bank, "$id: sound");
		});
	}
	part($node, "$how, on_commit before the commit", sub {
		my $id = "$how, before";
		my $s = PgwSession->new($node);
		$s->run('BEGIN; ' . payment_sql($id, capture => 'on_commit'));
		lose_process($node, $how, $s->backend);
		ok(wait_until(sub { status_of($node, $id) eq 'Refunded' }, 20), "$id: given back");
		is(done_by_bank($node, $bank, $id), '0 captures 1 voids 0 refunds', "$id: an authorization and a void, no capture");
		is_sound($node, $bank, "$id: sound");
	});
}

$node->stop('fast');
done_testing();
