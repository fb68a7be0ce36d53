# The bank inside the worker: a payment right after CREATE EXTENSION, with nothing but the server; what a bank can do, and lose.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

# What is flushed is what pgw flushes: see 101_crash.pl.
my $node = pgw_node('inside', debug => 1, conf => "restart_after_crash = on\nfsync = off\nwal_writer_delay = 10s\nmax_prepared_transactions = 5\n"
	  . "pgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '1s'\n");
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return pay_sql('process_payment', client_request_id => $id, %a) }
sub status { return sql('SELECT status FROM ' . pay(@_)) }

# Of a request's attempts: what the bank's ledger holds.
sub booked
{
	my ($id) = @_;
	return sql("SELECT string_agg(concat_ws(' ', l.kind, l.status, l.captured, l.refunded, l.voided), ',' ORDER BY l.created_at, l.id)
		FROM pgw.test_bank_ledger l JOIN pgw.payment_transactions t ON l.reference = replace(t.transaction_id::text, '-', '') WHERE t.client_request_id = '$id'");
}
sub at_rest { return wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE status NOT IN ('Completed', 'Failed', 'Refunded', 'RequiresManualReview')") == 0 }, 30) }

sub is_sound_inside
{
	my ($what) = @_;
	ok(at_rest(), "$what: at rest");
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', "$what: sound");
	is(sql("SELECT l.id FROM pgw.test_bank_ledger l LEFT JOIN pgw.payments p ON l.reference = replace(p.transaction_id::text, '-', '')
		AND (l.amount, l.captured, l.refunded) = (p.amount, p.captured_amount, p.refunded_amount)
		WHERE l.status = 'approved' AND l.kind IN ('charge', 'authorization') AND NOT l.voided AND (l.captured = 0 OR l.refunded < l.captured) AND p.payment_id IS NULL"),
		'', "$what: every charge that was kept has its payment");
}

sql('CREATE EXTENSION pgw');
spelt($node);

part($node, 'at once', sub {
	is(status('first'), 'captured', 'a payment right after CREATE EXTENSION');
	is(events($node, 'first'), $SUCCESS_FLOW, 'by the same steps as any');
	is(booked('first'), 'charge approved 1234 0 f', 'and the bank has it');
	is(sql('SELECT count(*) FROM pgw.transaction_events_default'), 0, 'its events are in the partition of their month');
	is(sql("SELECT bank || bank_reference FROM pgw.payments WHERE client_request_id = 'first'"), 'test' . sql('SELECT id FROM pgw.test_bank_ledger'), 'it is named as the bank names it');
	is(sql('SELECT replayed FROM ' . pay('first')), 't', 'the same again is the same payment');
	is(status('card', token => undef, card_number => $CARD, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => '123'), 'captured', 'a card');
	is(sql("SELECT token || l.card_brand || l.card_last4 FROM pgw.test_bank_ledger l JOIN pgw.payments p ON p.bank_reference = l.id WHERE client_request_id = 'card'"),
		'tok_okvisa4242', 'of which the ledger has what payments have');
});

part($node, 'declines', sub {
	for my $why (qw(insufficient_funds do_not_honor lost_card expired_card fraud))
	{
		is(status("no $why", token => "tok_decline_$why"), 'declined', "declined: $why");
		is(events($node, "no $why"), $DECLINE_FLOW, "$why: its events");
	}
	like(sql('SELECT error_message FROM ' . pay('typo', token => 'tok_okay')), qr/\S/, 'an unknown token is no payment');
	is(status('action', token => 'tok_auth_required'), 'declined', 'authentication asked for, as pgw has it today');
	ok(wait_until(sub { sql("SELECT status || ' ' || code FROM pgw.test_bank_ledger WHERE kind = 'charge' AND token = 'tok_auth_required'") eq 'declined cancelled' }, 20),
		'and cancelled at the bank');
});

part($node, 'rollback', sub {
	sql("BEGIN; SELECT " . pay('back') . "; ROLLBACK");
	ok(at_rest(), 'at rest');
	is(events($node, 'back'), $ROLLBACK_FLOW, 'given back');
	is(booked('back'), 'charge approved 1234 1234 f', 'at the bank, too');
});

part($node, 'operations', sub {
	my $id = sql('SELECT payment_id FROM ' . pay('hold', capture => 'manual'));
	is(booked('hold'), 'authorization approved 0 0 f', 'authorized');
	sql("SELECT pgw.capture_payment('$id', 'c1', 1000)");
	ok(at_rest(), 'captured');
	sql("SELECT pgw.refund_payment('$id', 'r1', 300)");
	ok(at_rest(), 'refunded');
	is(sql("SELECT status, captured_amount, refunded_amount FROM pgw.get_payment('$id')"), 'partially_refunded|1000|300', 'a part captured, a part of it refunded');
	is(booked('hold'), 'authorization approved 1000 300 f', 'so the ledger says');
	$id = sql('SELECT payment_id FROM ' . pay('drop', capture => 'manual'));
	sql("SELECT pgw.void_payment('$id', 'v1')");
	ok(at_rest(), 'voided');
	is(booked('drop'), 'authorization approved 0 0 t', 'given up');
	is(status('commit', capture => 'on_commit'), 'authorized', 'capture on commit');
	ok(wait_until(sub { booked('commit') eq 'authorization approved 1234 0 f' }, 10), 'captured after it');
	is(sql("SELECT status FROM pgw.submit_payment(client_request_id => 'later', amount => 5, currency => 'JPY', token => 'tok_ok')"), 'pending', 'submitted');
	ok(at_rest(), 'done');
	is(booked('later'), 'charge approved 5 0 f', 'charged after the commit');
	$id = sql('SELECT payment_id FROM ' . pay('slowly back', token => 'tok_refund_pending_done_300'));
	sql("SELECT pgw.refund_payment('$id', 'r2')");
	ok(wait_until(sub { sql("SELECT status FROM pgw.get_payment('$id')") eq 'refunded' }, 20), 'a refund that is pending at first');
	is_sound_inside('operations');
});

part($node, 'answers that do not come', sub {
	sql("UPDATE pgw.banks SET request_timeout = '300ms' WHERE name = 'test'");
	for my $how (qw(timeout_after reset_after 500_after not_json truncated wrong_amount no_ids double_keys other_answer))
	{
		my $s = status("lost $how", token => "tok_$how", timeout => '20s');
		like($s, $how eq 'wrong_amount' ? qr/^(failed|declined)$/ : qr/^captured$/, "$how: found out");
	}
	is(status('tried twice', token => 'tok_timeout_before_1', timeout => '20s'), 'captured', 'never charged, never answered: looked up, and tried again');
	is(status('busy', token => 'tok_503_2', timeout => '20s'), 'captured', 'tried until it is taken');
	is(sql("SELECT count(*) FROM pgw.test_bank_ledger WHERE kind = 'try' AND token = 'tok_503_2'"), 2, 'as often as the token says');
	is(status('decided later', token => 'tok_charge_pending_done_200', timeout => '20s'), 'captured', 'pending, then approved');
	is(status('slow', token => 'tok_slow_100'), 'captured', 'slow');
	is_sound_inside('lost answers');
});

part($node, 'flushed', sub {
	my $caller = PgwSession->new($node);
	debug_arm($node, 'answer_arrived', 'stop');
	$caller->send('SELECT status FROM ' . pay('killed'));
	my $pid = debug_wait($node, 'answer_arrived');
	crash($node, $pid);
	wait_worker($node);
	is(sql("SELECT count(*) FROM pgw.test_bank_ledger WHERE reference = (SELECT replace(transaction_id::text, '-', '')
		FROM pgw.payment_transactions WHERE client_request_id = 'killed')"), 1, 'an answer that was taken is in the ledger after kill -9');
	is(status('killed', timeout => '20s'), 'captured', 'and the same call again pays');
	is_sound_inside('killed');
	is(sql("SELECT count(*) FROM pgw.test_bank_ledger l WHERE kind = 'charge' AND captured > refunded AND reference IN
		(SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE client_request_id = 'killed')"), 1, 'once');
});

part($node, 'between ledger and result', sub {
	my $caller = PgwSession->new($node);
	debug_arm($node, 'test_bank_booked', 'stop');
	$caller->send('SELECT status FROM ' . pay('booked'));
	crash($node, debug_wait($node, 'test_bank_booked'));
	wait_worker($node);
	ok(at_rest(), 'at rest after kill -9');
	is(booked('booked'), 'charge approved 1234 1234 f', 'charged, and given back: its caller has gone');
	is_sound_inside('booked');
});

part($node, 'restart', sub {
	my $id = sql("SELECT payment_id FROM pgw.find_payment('first')");
	$node->restart;
	wait_worker($node);
	sql("SELECT pgw.refund_payment('$id', 'after restart')");
	ok(at_rest(), 'at rest');
	is(booked('first'), 'charge approved 1234 1234 f', 'what was charged before a restart is refunded after it');
});

part($node, 'locked', sub {
	sql("UPDATE pgw.banks SET request_timeout = '20s' WHERE name = 'test'");
	my $lock = PgwSession->new($node);
	$lock->run('BEGIN; LOCK pgw.test_bank_ledger');
	my $caller = PgwSession->new($node);
	$caller->send('SELECT status FROM ' . pay('waits'));
	ok(wait_until(sub { events($node, 'waits') eq 'TransactionStarted,BankProcessingStarted' }, 10), 'a locked ledger: the request is out');
	$lock->run('COMMIT');
	$caller->wait;
	is(sql('SELECT status FROM ' . pay('waits')), 'captured', 'and answered when the lock is gone');
	is_sound_inside('locked');
});

part($node, 'a ledger that takes no rows', sub {
	sql("UPDATE pgw.banks SET request_timeout = '3s' WHERE name = 'test'");
	sql('ALTER TABLE pgw.test_bank_ledger ADD note text NOT NULL DEFAULT 0; ALTER TABLE pgw.test_bank_ledger ALTER note DROP DEFAULT');
	my $before = length slurp_file($node->logfile);
	sql("SELECT pgw.submit_payment('no rows ' || i, 100, 'EUR', 'tok_ok') FROM generate_series(1, 40) i");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id LIKE 'no rows %' AND requests_sent > 0
		AND next_step_at IS NOT NULL AND bank_asked_at < clock_timestamp() - interval '3 seconds'") > 0 }, 20), 'a request has had its time');
	my $errors = () = substr(slurp_file($node->logfile), $before) =~ /ERROR:  null value in column "note"/g;
	cmp_ok($errors, '<', 400, 'each is tried less and less often');
	sql('ALTER TABLE pgw.test_bank_ledger DROP note');
	ok(at_rest(), 'at rest when it takes rows again');
	is_sound_inside('a ledger that takes no rows');
});

part($node, 'a ledger that grows', sub {
	my $figures = sub { return split /\|/, sql("SELECT seq_scan, n_tup_ins FROM pg_stat_all_tables WHERE relid = 'pgw.test_bank_ledger'::regclass") };
	my ($scans, $rows) = $figures->();
	is(status('into a large ledger'), 'captured', 'a payment');
	ok(wait_until(sub { ($figures->())[1] > $rows }, 20), 'stands in the ledger');
	is(($figures->())[0], $scans, 'which is not looked through for it');
});

part($node, 'left to themselves', sub {
	sql("UPDATE pgw.banks SET request_timeout = '100ms' WHERE name = 'test'");
	sql("SELECT pgw.submit_payment('late ' || i, 100, 'EUR', 'tok_late_99999999') FROM generate_series(1, 1010) i");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.test_bank_ledger WHERE kind = 'charge' AND token = 'tok_late_99999999'") == 10 }, 60),
		'a thousand may be late, whoever comes then is not');
});

$node->stop('fast');
done_testing();
