# Capture, void and refund on request, and the capture after the commit: whatever the bank does and whatever is killed, the bank has done each of them
# once or not at all, and the payment says which.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('operations', debug => 1, conf => "restart_after_crash = on\nfsync = off\nwal_writer_delay = 10s\n"
	  . "pgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\nautovacuum = off\n");
my $bank = bank_start();
pgw_setup($node, $bank);

# The same bank, but "not found" counts after one second instead of two; and one that can be asked nothing.
$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition)
	SELECT 'quick', jsonb_set(definition || '{\"name\": \"quick\"}', '{capabilities,lookup_consistent_after_seconds}', '1') FROM pgw.connectors WHERE name = 'json';
	UPDATE pgw.banks SET connector = 'quick', request_timeout = '1s'");
my $formbank = slurp_file('test/connectors/formbank.json');
$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition) VALUES ('formbank', \$json\$$formbank\$json\$);
	INSERT INTO pgw.banks (name, connector, base_url, secret, priority, request_timeout) VALUES ('form', 'formbank', '$bank->{url}', 'bank', 900, '1s')");

my $IN_DOUBT = qr/^TransactionStarted,BankProcessingStarted,BankOutcomeUnknown,(BankStatusChecked,)*BankProcessingCompleted,PaymentDataSaveStarted,PaymentDataSaveCompleted,TransactionCompleted$/;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, amount => 1000, %a) }
sub paid { my ($id, %a) = @_; return sql(pay($id, %a)) }

# An operation's call as SQL; its state.
sub op
{
	my ($kind, $id, $operation, @args) = @_;
	return "SELECT o.transaction_status FROM pgw.find_payment('$id') f, pgw.${kind}_payment(" . join(', ', 'f.payment_id', "'$operation'", @args) . ') o';
}

sub stands
{
	my ($id) = @_;
	return sql("SELECT format('%s %s/%s/%s', w.status, w.captured_amount, w.refunded_amount, w.refund_pending_amount) FROM pgw.find_payment('$id') f, pgw.wait_for_payment(f.payment_id, '20s') w");
}

# What the bank has done with the charge of this id: captures, voids, refunds that stand.
sub done
{
	my ($id) = @_;
	my $ref = sql("SELECT replace(transaction_id::text, '-', '') FROM pgw.find_payment('$id')");
	my $ledger = bank_ledger($bank);
	my %charge = map { $_->{id} => 1 } grep { $_->{reference} eq $ref } @{ $ledger->{charges} };
	return join ' ', map { my $what = $_; scalar(grep { $charge{ $_->{charge} } && ($_->{status} // 'succeeded') eq 'succeeded' } @{ $ledger->{$what} }) . " $what" } qw(captures voids refunds);
}

# Who listens, and what was heard of a payment so far: each operation and its outcome.
sub listener
{
	my $s = PgwSession->new($node);
	$s->run('LISTEN pgw_payments');
	return { session => $s, heard => [] };
}

sub hears
{
	my ($l, $id, $want, $name) = @_;
	my $payment = sql("SELECT payment_id FROM pgw.find_payment('$id')");
	my $last = '';
	my $heard = sub {
		my $out = $l->{session}->run('SELECT 1');
		push @{ $l->{heard} }, decode_json($1) while $out =~ /payload "(\{.*\})" received/g;
		return $last = join ',', map { "$_->{kind} $_->{outcome}" } grep { $_->{payment_id} eq $payment } @{ $l->{heard} };
	};
	ok(wait_until(sub { $heard->() eq $want }, 20), $name) or diag $last;
}

sub worker { return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND datname = 'postgres'") }

sub set
{
	my ($name, $value) = @_;
	sql("ALTER SYSTEM SET $name = '$value'");
	$node->reload;
	wait_until(sub { sql("SELECT setting = '$value' FROM pg_settings WHERE name = '$name'") eq 't' }, 20) or die "$name did not become $value";
	return;
}

# The worker's clock is moved, and everything that is due then has been done.
sub clock { set('pgw.debug_clock_offset', $_[0]); my $r = sql('SELECT * FROM pgw.run_recovery()'); $r =~ /t$/ or die "the scan did not end: $r"; return }

# ---------------------------------------------------------------- on_commit

my $CAPTURED = 'TransactionStarted,BankProcessingStarted,BankProcessingCompleted,PaymentDataSaveStarted,PaymentDataSaveCompleted,CaptureStarted,CaptureCompleted,TransactionCompleted';
my $CAPTURED_LATER = qr/^TransactionStarted,BankProcessingStarted,BankProcessingCompleted,PaymentDataSaveStarted,PaymentDataSaveCompleted,CaptureStarted,(CaptureRetryScheduled,|CaptureStarted,)*CaptureCompleted,TransactionCompleted$/;

part($node, 'on_commit', sub {
	my $s = PgwSession->new($node);
	$s->run('BEGIN');
	is($s->run(pay('oc', capture => 'on_commit')), 'authorized', 'authorized in the transaction');
	scan($node) for 1 .. 2;
	is(done('oc'), '0 captures 0 voids 0 refunds', 'nothing is captured before the commit');
	$s->run('COMMIT');
	is(stands('oc'), 'captured 1000/0/0', 'and all of it after it');
	is(done('oc'), '1 captures 0 voids 0 refunds', 'once');
	is(events($node, 'oc'), $CAPTURED, 'with these events');

	$s->run('BEGIN');
	$s->run(pay('oc-back', capture => 'on_commit'));
	$s->run('ROLLBACK');
	ok(wait_until(sub { status_of($node, 'oc-back') eq 'Refunded' }, 20), 'a rollback gives it back');
	is(done('oc-back'), '0 captures 1 voids 0 refunds', 'by a void: no money has moved');
	is(events($node, 'oc-back'), $ROLLBACK_FLOW, 'with the rollback flow');

	$s->run('BEGIN; ' . pay('oc-2pc', capture => 'on_commit') . "; PREPARE TRANSACTION 'oc'");
	scan($node) for 1 .. 2;
	is(done('oc-2pc'), '0 captures 0 voids 0 refunds', 'prepared: nothing is captured');
	$s->run("COMMIT PREPARED 'oc'");
	is(stands('oc-2pc'), 'captured 1000/0/0', 'after COMMIT PREPARED it is');

	sql("UPDATE pgw.banks SET request_timeout = '10s' WHERE name = 'bank'");
	is($s->run(pay('oc-late', capture => 'on_commit', token => 'tok_slow_1500', timeout => '1s')), 'pending', 'a caller that does not wait');
	is(stands('oc-late'), 'captured 1000/0/0', 'the worker counts its vote, and captures');
	is(events($node, 'oc-late'), $CAPTURED, 'with the same events');
	sql("UPDATE pgw.banks SET request_timeout = '1s' WHERE name = 'bank'");

	set('pgw.compensation_delay', 5000);	# there is time to take it over, on a busy machine, too
	$s->run('BEGIN; ' . pay('oc-adopted', capture => 'on_commit') . '; ROLLBACK');
	is(sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'oc-adopted', amount => 1000, capture => 'on_commit')), 'pending', 'a submit takes an authorization over');
	is(stands('oc-adopted'), 'captured 1000/0/0', 'which is then captured');
	is(done('oc-adopted'), '1 captures 0 voids 0 refunds', 'and not taken for a charge');
	set('pgw.compensation_delay', 50);
	is_sound($node, $bank, 'on_commit: sound');
});

part($node, 'on_commit, a bank in trouble', sub {
	for my $case ([ 'tok_capture_timeout_after', 'captured 1000/0/0', '1 captures 0 voids 0 refunds' ], [ 'tok_capture_fail', 'failed 0/0/0', '0 captures 1 voids 0 refunds' ],
		[ 'tok_auth_expires_100', 'failed 0/0/0', '0 captures 0 voids 0 refunds' ])
	{
		my ($token, $stands, $done) = @$case;
		my $s = PgwSession->new($node);
		$s->run('BEGIN; ' . pay($token, capture => 'on_commit', token => $token));
		$s->run('SELECT pg_sleep(0.2)');    # longer than the authorization that expires
		$s->run('COMMIT');
		is(stands($token), $stands, "$token: $stands");
		is(done($token), $done, "$token: $done");
	}
	is(sql("SELECT string_agg(w.error_code, ',' ORDER BY w.error_code) FROM unnest('{tok_capture_fail,tok_auth_expires_100}'::text[]) i, pgw.find_payment(i) w"), 'authorization_expired,capture_refused', 'and why');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'capture_refused'") eq 2 }, 20), 'people are told');
	like(events($node, 'tok_capture_fail'), qr/PaymentDataSaveCompleted,CaptureStarted,(CaptureRetryScheduled,)*CaptureFailed,CompensationStarted,RefundStarted,RefundCompleted$/, 'the events of a refused capture');

	# down at the commit, and back later
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . pay('down', capture => 'on_commit'));
	bank_control($bank, 'settings', { down => JSON::PP::true });
	$s->run('COMMIT');
	ok(wait_until(sub { events($node, 'down') =~ /(CaptureStarted,CaptureRetryScheduled,?){2}/ }, 20), 'a bank that does nothing is asked again');
	bank_control($bank, 'settings', { down => JSON::PP::false });
	is(stands('down'), 'captured 1000/0/0', 'until it does');
	is(sql("SELECT count(DISTINCT capture_key) FROM pgw.payment_transactions WHERE client_request_id = 'down'"), 1, 'with one key');
	is_sound($node, $bank, 'a bank in trouble: sound');
});

my %loss = (
	'kill -9' => sub { crash($node, $_[0]) },
	'immediate stop' => sub { $node->stop('immediate'); debug_clear($node); $node->start });

# The worker, lost at a point of the capture; and the caller, lost before its commit.
for my $how (sort keys %loss)
{
	for my $point ('capture_apply', 'capture_sent', 'capture_answered', 'capture_result')
	{
		my $id = "$how, $point";
		part($node, $id, sub {
			debug_arm($node, $point, 'stop');
			is(paid($id, capture => 'on_commit'), 'authorized', "$id: the caller has committed");
			my $pid = debug_wait($node, $point);
			$loss{$how}->($pid);
			is(stands($id), 'captured 1000/0/0', "$id: captured all the same");
			is(done($id), '1 captures 0 voids 0 refunds', "$id: once");
			like(events($node, $id), $CAPTURED_LATER, "$id: its events");
			is_sound($node, $bank, "$id: sound");
		});
	}
	part($node, "$how, on_commit before the commit", sub {
		my $id = "$how, before";
		my $s = PgwSession->new($node);
		$s->run('BEGIN; ' . pay($id, capture => 'on_commit'));
		$loss{$how}->($s->backend);
		ok(wait_until(sub { status_of($node, $id) eq 'Refunded' }, 20), "$id: given back");
		is(done($id), '0 captures 1 voids 0 refunds', "$id: an authorization and a void, no capture");
		is_sound($node, $bank, "$id: sound");
	});
}

# ---------------------------------------------------------------- capture, void, refund

# kind => payment, the operation's arguments, what the bank has then, how the payment stands
my %kinds = (
	capture => [ { capture => 'manual' }, ['600'], '1 captures 0 voids 0 refunds', 'captured 600/0/0' ],
	void => [ { capture => 'manual' }, [], '0 captures 1 voids 0 refunds', 'voided 0/0/0' ],
	refund => [ {}, ['400'], '0 captures 0 voids 1 refunds', 'partially_refunded 1000/400/0' ]);

for my $kind (sort keys %kinds)
{
	my ($payment, $args, $done, $stands) = @{ $kinds{$kind} };
	for my $how (sort keys %loss)
	{
		for my $point ('operation_sent', 'operation_answered', 'operation_result')
		{
			my $id = "$how, $kind, $point";
			part($node, $id, sub {
				paid($id, %$payment);
				debug_arm($node, $point, 'stop');
				is(sql(op($kind, $id, $id, @$args)), 'Created', "$id: recorded");
				$loss{$how}->(debug_wait($node, $point));
				is(stands($id), $stands, "$id: $stands");
				is(done($id), $done, "$id: once");
				is(sql(op($kind, $id, $id, @$args)), 'Completed', "$id: a replay tells so");
				is_sound($node, $bank, "$id: sound");
			});
		}
	}

	# what the client's side does
	part($node, "$kind, the caller", sub {
		my $s = PgwSession->new($node);
		paid("$kind caller", %$payment);
		$s->run('BEGIN');
		is($s->run(op($kind, "$kind caller", 'x', @$args)), 'Created', "$kind: recorded in a transaction");
		scan($node) for 1 .. 2;
		is(done("$kind caller"), '0 captures 0 voids 0 refunds', "$kind: the bank has not heard of it");
		crash($node, $s->backend);
		is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'x' AND kind = '$kind'"), 0, "$kind: a crash leaves nothing of it");
		$s = PgwSession->new($node);
		$s->run('BEGIN; ' . op($kind, "$kind caller", 'x', @$args) . "; PREPARE TRANSACTION 'op'");
		is($s->state, '00000', "$kind: prepared");
		scan($node) for 1 .. 2;
		is(done("$kind caller"), '0 captures 0 voids 0 refunds', "$kind: nothing is done");
		$s->run("COMMIT PREPARED 'op'");
		is(stands("$kind caller"), $stands, "$kind: done after COMMIT PREPARED");
		is_sound($node, $bank, "$kind, the caller: sound");
	});
}

# No answer: looked up; and done once
for my $case ([ 'capture', 'tok_capture_timeout_after', { capture => 'manual' } ], [ 'void', 'tok_void_timeout_after', { capture => 'manual' } ], [ 'refund', 'tok_refund_timeout_after', {} ])
{
	my ($kind, $token, $payment) = @$case;
	part($node, $token, sub {
		my $args = $kinds{$kind}[1];
		my $id = "$kind, $token";
		paid($id, token => $token, %$payment);
		sql(op($kind, $id, "$id x", @$args));
		is(stands($id), $kinds{$kind}[3], "$token: found out");
		is(done($id), $kinds{$kind}[2], "$token: done once");
		like(events($node, "$id x"), $IN_DOUBT, "$token: its events");
		is_sound($node, $bank, "$token: sound");
	});
}

# Listeners hear of each outcome once, from the worker: what was done and how it ended, and nothing that is worth stealing
part($node, 'listeners', sub {
	my $l = listener();
	paid('heard', capture => 'on_commit');
	stands('heard');
	hears($l, 'heard', 'payment authorized,payment captured', 'authorized, then captured');
	sql(op('refund', 'heard', 'heard-r1', 300));
	stands('heard');
	sql(op('refund', 'heard', 'heard-r2'));
	stands('heard');
	hears($l, 'heard', 'payment authorized,payment captured,refund completed,refund completed', 'two refunds');
	paid('heard-no', token => 'tok_refund_fail');
	sql(op('refund', 'heard-no', 'heard-no-r'));
	stands('heard-no');
	hears($l, 'heard-no', 'payment captured,refund failed', 'a refund that failed is not told as captured');
	paid('heard-auth', capture => 'manual');
	sql(op('void', 'heard-auth', 'heard-auth-v'));
	stands('heard-auth');
	hears($l, 'heard-auth', 'payment authorized,void completed', 'an authorization and its end');
	sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'heard-sub', token => 'tok_decline_fraud'));
	stands('heard-sub');
	hears($l, 'heard-sub', 'payment declined', 'what was submitted, once it is known');
	sql('BEGIN; ' . pay('heard-gone') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'heard-gone') eq 'Refunded' }, 20), 'one that is given back');
	sql('SELECT pgw.run_recovery()');
	hears($l, 'heard-gone', '', 'was never heard of');
	is(scalar(grep { join(',', sort keys %$_) ne 'kind,outcome,payment_id' } @{ $l->{heard} }), 0, 'three members, whoever listens');
});

# In doubt, then not processed when it is sent again: that is no refusal
part($node, 'not processed', sub {
	my $reasons = "SELECT string_agg(e.event_type || coalesce(' ' || (e.event_data->>'reason'), ''), ',' ORDER BY e.step_order) FROM pgw.transaction_events e
		JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = 'unprocessed-c'";
	paid('unprocessed', capture => 'manual');
	bank_control($bank, 'faults', { operations => ['capture'], probabilities => { '500_before' => 1 } });
	sql(op('capture', 'unprocessed', 'unprocessed-c', '1000'));
	ok(wait_until(sub { sql($reasons) =~ /BankOutcomeUnknown/ }, 10), 'not processed: first in doubt');
	bank_control($bank, 'faults', { operations => ['capture'], probabilities => { 503 => 1 } });
	ok(wait_until(sub { sql($reasons) =~ /not_processed/ }, 20), 'not processed: the bank says so when it comes again');
	bank_control($bank, 'faults', {});
	is(stands('unprocessed'), 'captured 1000/0/0', 'not processed: done in the end') or diag(sql($reasons));
	is_sound($node, $bank, 'not processed: sound');
});

# By chance, whatever the bank can do wrong before and after it has done the work
part($node, 'faults by chance', sub {
	bank_control($bank, 'faults', { seed => 3, operations => [qw(capture void refund lookup)], probabilities => {
		'500_before' => 0.1, '500_after' => 0.1, timeout_before => 0.03, timeout_after => 0.05, reset_before => 0.1, reset_after => 0.1, truncated => 0.05, empty => 0.05, 503 => 0.1 } });
	for my $i (1 .. 12)
	{
		paid("chance$i", capture => 'manual');
		sql(op('capture', "chance$i", "chance$i-c", $i % 3 == 0 ? '700' : '1000')) if $i % 4;
		sql(op('void', "chance$i", "chance$i-v")) if $i % 4 == 0;
	}
	wait_rest($node, $bank, seconds => 60);
	for my $i (grep { $_ % 4 } 1 .. 12)
	{
		sql(op('refund', "chance$i", "chance$i-r$_", 100)) for 1 .. 2;
	}
	wait_rest($node, $bank, seconds => 60);
	bank_control($bank, 'faults', {});
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE kind <> 'payment' AND client_request_id ~ '^chance' AND status <> 'Completed'"), 0, 'all are done in the end');
	is_sound($node, $bank, 'faults by chance: sound');
});

# ---------------------------------------------------------------- the bank refuses, later or at once

part($node, 'refusals', sub {
	paid('later', token => 'tok_refund_pending_fail_300');
	sql(op('refund', 'later', 'later-r', 400));
	ok(wait_until(sub { sql("SELECT transaction_status FROM pgw.get_payment('00000000-0000-7000-8000-000000000000') UNION ALL SELECT status FROM pgw.payment_transactions WHERE client_request_id = 'later-r'") eq 'BankUnknown' }, 10), 'accepted, pending at the bank');
	is(stands('later'), 'captured 1000/0/0', 'refused later: nothing is refunded, nothing pending');
	is(sql(op('refund', 'later', 'later-r', 400)), 'Failed', 'and the refund has failed');

	paid('gone', capture => 'manual', token => 'tok_auth_expires_50');
	sql('SELECT pg_sleep(0.1)');
	sql(op('void', 'gone', 'gone-v'));
	is(stands('gone'), 'expired 0/0/0', 'a void that comes too late: expired');
	is(sql(op('void', 'gone', 'gone-v')), 'Completed', 'the void is done: nothing is held any more');
	like(events($node, 'gone'), qr/TransactionCompleted,AuthorizationExpired$/, 'AuthorizationExpired stands with the payment');
	paid('gone2', capture => 'manual', token => 'tok_auth_expires_50');
	sql('SELECT pg_sleep(0.1)');
	sql(op('capture', 'gone2', 'gone2-c'));
	is(stands('gone2'), 'expired 0/0/0', 'a capture that comes too late: expired');
	is(sql("SELECT o.transaction_status, o.error_code FROM pgw.find_payment('gone2') f, pgw.capture_payment(f.payment_id, 'gone2-c') o"), 'Failed|authorization_expired', 'the capture has failed');
});

# An error that the bank has stored under the key: once more with that key, then, as look-ups show that nothing was done, with another
part($node, 'a stored error', sub {
	for my $kind ('capture', 'on_commit')
	{
		my $id = "stored $kind";
		bank_control($bank, 'faults', { seed => 1, operations => ['capture'], probabilities => { '500_after' => 1 } });
		paid($id, token => 'tok_capture_fail', capture => $kind eq 'capture' ? 'manual' : 'on_commit');
		sql(op('capture', $id, "$id-c")) if $kind eq 'capture';
		ok(wait_until(sub { grep { $_->{operation} eq 'capture' && $_->{status} == 500 } @{ bank_log($bank, 50) } }, 10), "$id: answered with an error");
		bank_control($bank, 'faults', {});
		is(stands($id), $kind eq 'capture' ? 'authorized 0/0/0' : 'failed 0/0/0', "$id: comes to an end");
		my $charge = (charges_of($node, $bank, $id))[0];
		my %keys;
		$keys{ $_->{idempotency_key} }++ for grep { $_->{operation} eq 'capture' && $_->{path} =~ /\Q$charge->{id}\E/ } @{ bank_log($bank, 200) };
		is(scalar keys %keys, 2, "$id: two keys");
		is(scalar(grep { $_ == 2 } values %keys), 1, "$id: of them one twice");
	}
	is(sql(op('capture', 'stored capture', 'stored capture-c')), 'Failed', 'refused in the end');
	is_sound($node, $bank, 'a stored error: sound');
});

# A caller that holds the payments row when the answer comes: the approval is kept, and saved later
part($node, 'busy', sub {
	paid('busy');
	sql(op('refund', 'busy', 'busy-r1', 100));
	is(stands('busy'), 'partially_refunded 1000/100/0', 'a first refund');
	debug_arm($node, 'operation_sent', 'stop');
	sql(op('refund', 'busy', 'busy-r2', 100));
	debug_wait($node, 'operation_sent');
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . op('refund', 'busy', 'busy-r3', 100));
	debug_release($node, 'operation_sent');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = 'busy-r2'") eq 'BankApproved' }, 10), 'approved while a caller holds the row');
	is(sql("SELECT refunded_amount || '/' || refund_pending_amount FROM pgw.payments WHERE client_request_id = 'busy'"), '100/100', 'the payment does not say so yet');
	$s->run('ROLLBACK');
	is(stands('busy'), 'partially_refunded 1000/200/0', 'then it does');
});

# One call at once from two sessions, again and again, while the worker changes the very rows that they look for: the second replays
part($node, 'twice at once', sub {
	my @s = map { PgwSession->new($node) } 1, 2;
	my @wrong;
	for my $i (1 .. 60)
	{
		paid("twice$i");
		$_->send(op('refund', "twice$i", "twice$i-r", 1000)) for @s;
		$_->wait for @s;
		push @wrong, map { $_->state . ' ' . $_->err } grep { $_->state ne '00000' } @s;
	}
	is(join(', ', @wrong), '', 'no second call is refused');
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id ~ '^twice.*-r'"), 60, 'each is one refund');
	is_sound($node, $bank, 'twice at once: sound');
});

# ---------------------------------------------------------------- by the clock

part($node, 'by the clock', sub {
	my $l = listener();
	paid('lapses', capture => 'manual');
	paid('lapses in part', capture => 'manual');
	sql(op('capture', 'lapses in part', 'part-c', 300, 'false'));
	stands('lapses in part');
	paid('reversed', token => 'tok_refund_later_reversed_200');
	sql(op('refund', 'reversed', 'reversed-r', 400));
	is(stands('reversed'), 'partially_refunded 1000/400/0', 'a refund is done');
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . pay('given back', token => 'tok_refund_later_reversed_200') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'given back') eq 'Refunded' }, 20), 'and a charge given back by refund');
	is(paid('given back', token => 'tok_refund_later_reversed_200'), 'captured', 'whose caller comes again, and pays anew');
	sql('SELECT pg_sleep(0.3)');

	clock(2 * 3600);
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id IN ('reversed-r', 'given back') AND status = 'RequiresManualReview'") eq 2 }, 20), 'two hours later: the bank has taken both back, which needs a person');
	is(sql("SELECT status || ' ' || refunded_amount || '/' || refund_pending_amount FROM pgw.payments WHERE client_request_id = 'reversed'"), 'captured 0/400', 'the amount is in doubt again');
	is(sql("SELECT string_agg(reason || ' ' || came_from, ',' ORDER BY kind) FROM (SELECT r.* FROM pgw.payment_transactions t, LATERAL (SELECT e.event_data->>'reason' AS reason, e.event_data->>'from' AS came_from, t.kind FROM pgw.transaction_events e WHERE e.transaction_id = t.transaction_id AND event_type = 'RefundReversed') r) x"), 'refund_reversed Refunded,refund_reversed Completed', 'RefundReversed is on record')
	  or diag sql("SELECT client_request_id, kind, status FROM pgw.payment_transactions WHERE client_request_id ~ 'revers|given'");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'review_required' AND transaction_id IN (SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id IN ('reversed-r', 'given back'))") eq 2 }, 20), 'alerts are out');
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'the records agree with themselves');
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . op('refund', 'reversed', 'reversed-r2', 700));
	like($err, qr/PW422.*"left": 600/s, 'it cannot be refunded twice');
	sql("SELECT pgw.resolve_review(transaction_id, 'mark_not_charged', 'the account is closed') FROM pgw.payment_transactions WHERE client_request_id = 'reversed-r'");
	is(sql("SELECT status || ' ' || refunded_amount || '/' || refund_pending_amount FROM pgw.payments WHERE client_request_id = 'reversed'"), 'captured 0/0', 'an operator closes it: nothing is refunded');

	hears($l, 'reversed', 'payment captured,refund completed,refund reversed,refund failed', 'listeners hear of each');

	is(stands('lapses'), 'authorized 0/0/0', 'an authorization holds');
	clock(7 * 86400 + 3600);
	ok(wait_until(sub { stands('lapses') eq 'expired 0/0/0' }, 20), 'for a week: then it has expired') or diag stands('lapses');
	ok(wait_until(sub { stands('lapses in part') eq 'captured 300/0/0' }, 20), 'what was captured stays') or diag stands('lapses in part');
	like(events($node, 'lapses'), qr/TransactionCompleted,AuthorizationExpired$/, 'AuthorizationExpired');
	hears($l, 'lapses', 'payment authorized,payment expired', 'listeners hear of it');
	(undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . op('capture', 'lapses', 'lapses-c'));
	like($err, qr/PW422.*operation_not_allowed.*expired/s, 'and cannot be captured');
	clock(0);
});

# ---------------------------------------------------------------- a bank that can be asked nothing

part($node, 'form', sub {
	my $l = listener();
	for my $case ([ 'refund', 'tok_refund_timeout_after', {}, 'mark_refunded', 'partially_refunded 1000/400/0' ], [ 'refund', 'tok_refund_timeout_after', {}, 'mark_not_charged', 'captured 1000/0/0' ],
		[ 'capture', 'tok_capture_timeout_after', { capture => 'manual' }, 'mark_charged', 'captured 600/0/0' ], [ 'void', 'tok_void_timeout_after', { capture => 'manual' }, 'mark_refunded', 'voided 0/0/0' ])
	{
		my ($kind, $token, $payment, $action, $stands) = @$case;
		my $id = "form $kind $action";
		paid($id, bank => 'form', token => $token, %$payment);
		sql(op($kind, $id, $id, @{ $kinds{$kind}[1] }));
		ok(wait_until(sub { sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = '$id' AND kind = '$kind'") eq 'RequiresManualReview' }, 20), "$id: no answer, and no way to find out: review");
		is(sql("SELECT array_to_string(possible_actions, ',') FROM pgw.manual_reviews WHERE client_request_id = '$id'"), $kind eq 'capture' ? 'retry,mark_charged,mark_not_charged' : 'retry,mark_not_charged,mark_refunded', "$id: what can be done")
		  if sql("SELECT pgw.grant_access('postgres', 'operator')") || 1;
		my ($claims) = sql("SELECT reserved_amount + refund_pending_amount FROM pgw.payments WHERE client_request_id = '$id'");
		cmp_ok($claims, '>', 0, "$id: its claim stands");
		my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . op($kind, $id, "$id 2", @{ $kinds{$kind}[1] }, ())) if $kind ne 'refund';
		like($err, qr/PW422.*operation_not_allowed/s, "$id: and nothing can be asked for beside it") if $kind ne 'refund';
		sql("SELECT pgw.resolve_review(transaction_id, '$action', 'the bank says so', '{\"bank_reference\": \"x\"}') FROM pgw.payment_transactions WHERE client_request_id = '$id' AND kind = '$kind'");
		is(stands($id), $stands, "$id: $stands");
		hears($l, $id, join(',', 'payment ' . ($payment->{capture} ? 'authorized' : 'captured'), "$kind in_review", "$kind " . ($action eq 'mark_not_charged' ? 'failed' : 'completed')),
			"$id: listeners hear of review and decision");
	}
	# the capture after the commit, in doubt: the payment stays authorized until a person decides
	paid('form oc', bank => 'form', token => 'tok_capture_timeout_after', capture => 'on_commit');
	ok(wait_until(sub { status_of($node, 'form oc') eq 'RequiresManualReview' }, 20), 'a capture after the commit that nobody can tell of: review');
	is(sql("SELECT status FROM pgw.find_payment('form oc')"), 'authorized', 'that it is authorized is certain');
	sql("SELECT pgw.resolve_review(transaction_id, 'mark_charged', 'the bank says so', '{\"bank_reference\": \"x\"}') FROM pgw.payment_transactions WHERE client_request_id = 'form oc'");
	is(stands('form oc'), 'captured 1000/0/0', 'an operator has found out');
	is(scalar(grep { $_ !~ /void_differs/ } split /\n/, sql('SELECT c FROM pgw.check_consistency() c')), 0, 'the records agree with themselves');
});

# Last, because ledger and tables differ from here on
part($node, 'behind our back', sub {
	# done behind our back: what the bank says is looked up, and not sent to review
	paid('behind');
	my $charge = (charges_of($node, $bank, 'behind'))[0];
	my $answer = HTTP::Tiny->new->request('POST', "$bank->{url}/v1/charges/$charge->{id}/refunds", { content => '{}', headers => { Authorization => 'Bearer test-secret' } });
	is($answer->{status}, 201, 'somebody refunds at the bank itself');
	sql(op('refund', 'behind', 'behind-r'));
	is(stands('behind'), 'captured 1000/0/0', 'ours is refused: already refunded');
	is(sql("SELECT o.transaction_status, o.error_code FROM pgw.find_payment('behind') f, pgw.refund_payment(f.payment_id, 'behind-r') o"), 'Failed|refund_refused', 'and has failed, after a look-up');
	cmp_ok(scalar(grep { $_->{operation} eq 'lookup' } @{ bank_log($bank, 20) }), '>=', 1, 'the bank was asked');
});

# ---------------------------------------------------------------- a dump that is older than the operations

part($node, 'dump', sub {
	paid('dumped');
	paid('dumped oc', capture => 'manual');
	my $s = PgwSession->new($node);
	set('pgw.worker_mode', 'paused');
	sql(op('refund', 'dumped', 'dumped-r', 400));
	sql(op('capture', 'dumped oc', 'dumped-c', 600));
	my $file = $node->basedir . '/dump';
	system_or_bail('pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', $file, 'postgres');
	set('pgw.worker_mode', 'on');
	is(stands('dumped'), 'partially_refunded 1000/400/0', 'the original refunds');
	is(stands('dumped oc'), 'captured 600/0/0', 'and captures');
	sql('CREATE DATABASE copy');
	system_or_bail('pg_restore', '-h', $node->host, '-p', $node->port, '-d', 'copy', $file);
	$node->safe_psql('copy', 'SELECT pgw.resume_after_restore()');
	for my $case ([ 'dumped', 'partially_refunded 400' ], [ 'dumped oc', 'captured 0' ])
	{
		my ($id, $stands) = @$case;
		is($node->safe_psql('copy', "SELECT w.status || ' ' || w.refunded_amount FROM pgw.find_payment('$id') f, pgw.wait_for_payment(f.payment_id, '20s') w"), $stands, "the copy finds out: $id, $stands");
	}
	is(done('dumped'), '0 captures 0 voids 1 refunds', 'and the bank has refunded once');
	is(done('dumped oc'), '1 captures 0 voids 0 refunds', 'and captured once');
});

$node->stop('fast');
done_testing();
