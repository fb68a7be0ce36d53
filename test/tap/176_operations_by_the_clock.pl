# What becomes of payments and operations in hours and days: an authorization lapses, and a refund that the bank takes back later needs a person.
use strict;
use warnings;
use lib 'test/lib';
use PgwOperations;
use PgwSession;
use PgwTest;
use Test::More;

my ($node, $bank) = operations_cluster('operations_by_the_clock', debug => 1);
sub sql { return $node->safe_psql('postgres', $_[0]) }

# The worker's clock is moved, and everything that is due then has been done.
sub move_worker_clock
{
	my ($seconds) = @_;
	move_clock($node, $seconds);
	my $scan = sql('SELECT * FROM pgw.run_recovery()');
	$scan =~ /t$/ or die "the scan did not end: $scan";
}

part($node, 'by the clock', sub {
	my $listener = listener($node);
	pay($node, 'lapses', capture => 'manual');
	pay($node, 'lapses in part', capture => 'manual');
	request_operation($node, 'capture', 'lapses in part', 'part-c', 300, 'false');
	how_payment_stands($node, 'lapses in part');
	pay($node, 'reversed', token => 'tok_refund_later_reversed_200');
	request_operation($node, 'refund', 'reversed', 'reversed-r', 400);
	is(how_payment_stands($node, 'reversed'), 'partially_refunded 1000/400/0', 'a refund is done');
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . payment_sql('given back', token => 'tok_refund_later_reversed_200') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'given back') eq 'Refunded' }, 20), 'and a charge given back by refund');
	is(pay($node, 'given back', token => 'tok_refund_later_reversed_200'), 'captured', 'whose caller comes again, and pays anew');
	sql('SELECT pg_sleep(0.3)');

	move_worker_clock(2 * 3600);
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id IN ('reversed-r', 'given back') AND status = 'RequiresManualReview'") eq 2 }, 20),
		'two hours later: the bank has taken both back, which needs a person');
	is(sql("SELECT status || ' ' || refunded_amount || '/' || refund_pending_amount FROM pgw.payments WHERE client_request_id = 'reversed'"), 'captured 0/400', 'the amount is in doubt again');
	is(sql("SELECT string_agg(e.event_data->>'reason' || ' ' || e.from_status, ',' ORDER BY t.kind)
		FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE e.event_type = 'RefundReversed'"),
		'refund_reversed Refunded,refund_reversed Completed', 'RefundReversed is on record')
	  or diag sql("SELECT client_request_id, kind, status FROM pgw.payment_transactions WHERE client_request_id ~ 'revers|given'");
	# The alert of the review itself: rows keep the server's own time, so that the worker's moved clock may also find them to have waited for hours.
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'review_required' AND subject IN
		(SELECT transaction_id::text FROM pgw.payment_transactions WHERE client_request_id IN ('reversed-r', 'given back'))") eq 2 }, 20), 'alerts are out');
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'the records agree with themselves');
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . operation_sql('refund', 'reversed', 'reversed-r2', 700));
	like($err, qr/PW422.*"left": 600/s, 'it cannot be refunded twice');
	sql("SELECT pgw.resolve_review(transaction_id, 'mark_not_charged', 'the account is closed') FROM pgw.payment_transactions WHERE client_request_id = 'reversed-r'");
	is(sql("SELECT status || ' ' || refunded_amount || '/' || refund_pending_amount FROM pgw.payments WHERE client_request_id = 'reversed'"), 'captured 0/0',
		'an operator closes it: nothing is refunded');

	is_heard($node, $listener, 'reversed', 'payment captured,refund completed,refund reversed,refund failed', 'listeners hear of each');

	is(how_payment_stands($node, 'lapses'), 'authorized 0/0/0', 'an authorization holds');
	move_worker_clock(7 * 86400 + 3600);
	ok(wait_until(sub { how_payment_stands($node, 'lapses') eq 'expired 0/0/0' }, 20), 'for a week: then it has expired') or diag how_payment_stands($node, 'lapses');
	ok(wait_until(sub { how_payment_stands($node, 'lapses in part') eq 'captured 300/0/0' }, 20), 'what was captured stays') or diag how_payment_stands($node, 'lapses in part');
	like(events($node, 'lapses'), qr/TransactionCompleted,AuthorizationExpired$/, 'AuthorizationExpired');
	is_heard($node, $listener, 'lapses', 'payment authorized,payment expired', 'listeners hear of it');
	(undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . operation_sql('capture', 'lapses', 'lapses-c'));
	like($err, qr/PW422.*operation_not_allowed.*expired/s, 'and cannot be captured');
	move_worker_clock(0);
});

$node->stop('fast');
done_testing();
