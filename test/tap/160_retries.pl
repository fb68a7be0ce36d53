# Tries again: what provably never reached the bank, or was refused by it, is tried again at the planned times and no longer than somebody wants
# it. The plan is pgw.retry_base_delay * 2^n within a fifth; where it takes minutes the worker's clock is moved.
use strict;
use warnings;
use lib 'test/lib';
use HTTP::Tiny;
use JSON::PP;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $BASE = 60;         # seconds, where the clock is moved
my $SHORT = 0.1;       # where a caller waits
my $LONGEST = 300;     # pgw.retry_max_delay
my $SLACK = 2;         # between a step and its being written down

my $node = pgw_node('retries', debug => 1, conf => "fsync = off\npgw.compensation_delay = '20ms'\npgw.retry_base_delay = '${BASE}s'\n"
	  . "pgw.retry_max_delay = '${LONGEST}s'\npgw.refund_max_attempts = 3\n");
my $bank = bank_start();
my $away = bank_start();    # not there until somebody starts it
my $port = $away->{port};
bank_stop($away);
pgw_setup($node, $bank);
$node->safe_psql('postgres', "INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('away', 'json', 'http://127.0.0.1:$port', 'bank', 200);
	SELECT pgw.grant_access('postgres', 'operator')");

my $control = PgwSession->new($node);
my $now = 0;                # pgw.debug_clock_offset

sub sql { return $node->safe_psql('postgres', $_[0]) }
# The worker's clock is moved, and everything that is due then has been done.
sub advance_clock_to
{
	($now) = @_;
	change_settings($node, 'pgw.debug_clock_offset' => int $now);
	$control->query('SELECT complete FROM pgw.run_recovery()') eq 't' or die 'the scan did not end';
}

sub pay
{
	my ($id, %a) = @_;
	return 'SELECT status, error_code, http_status FROM ' . pay_sql('process_payment', client_request_id => $id, %a);
}

sub submit { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, %a) }

sub newest_attempt
{
	return sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = '$_[0]' ORDER BY transaction_id DESC LIMIT 1");
}

sub payment_row { return sql("SELECT status, error_code FROM pgw.find_payment('$_[0]')") }
sub count_of { my ($id, $type) = @_; return scalar grep { $_ eq $type } split /,/, events($node, $id) }
# How long after its last event the next step is planned, and when that is by pgw.debug_clock_offset.
sub planned_step
{
	my ($id) = @_;
	return split /\|/, sql("SELECT extract(epoch FROM t.next_step_at - e.last) - $now, ceil(extract(epoch FROM t.next_step_at - clock_timestamp()))
		FROM pgw.payment_transactions t, LATERAL (SELECT max(occurred_at) AS last FROM pgw.transaction_events e WHERE e.transaction_id = t.transaction_id) e
		WHERE t.client_request_id = '$id'");
}
# Seconds from each event of the first type to the next one of the second.
sub gaps_between
{
	my ($id, $from, $to) = @_;
	my (@gaps, $start);
	for (split /\n/, sql("SELECT event_type, extract(epoch FROM occurred_at) FROM pgw.transaction_events WHERE transaction_id = '" . newest_attempt($id) . "' ORDER BY step_order"))
	{
		my ($type, $at) = split /\|/;
		push @gaps, $at - $start and undef $start if $type eq $to && defined $start;
		$start = $at if $type eq $from;
	}
	return @gaps;
}
sub is_planned_delay
{
	my ($seconds, $n, $base, $name) = @_;
	my $delay = $base * 2**$n;
	$delay = $LONGEST if $delay > $LONGEST;
	return ok($seconds >= 0.8 * $delay - 0.001 && $seconds <= 1.2 * $delay + $SLACK, $name) || diag("$seconds s, planned $delay s");
}

# ---------------------------------------------------------------- a caller who waits

part($node, 'never sent, the caller waits', sub {
	change_settings($node, 'pgw.retry_base_delay' => 1000 * $SHORT);
	is(sql(pay('refused', bank => 'away', timeout => '3s')), 'failed|bank_unavailable|502', 'nobody listens at the bank: failed, bank_unavailable');
	my $took = sql("SELECT extract(epoch FROM max(occurred_at) - min(occurred_at)) FROM pgw.transaction_events WHERE transaction_id = '" . newest_attempt('refused') . "'");
	in_time($took, 3, 'before the wait is over');
	my @gaps = gaps_between('refused', 'BankRetryScheduled', 'BankProcessingStarted');
	cmp_ok(scalar @gaps, '>=', 3, 'after several tries');
	is_planned_delay($gaps[$_], $_, $SHORT, "retry $_ at the planned time") for 0 .. $#gaps;
	cmp_ok($took + 1.2 * $SHORT * 2**@gaps, '>', 2.8, 'as long as another try fits');
	# what would have come next no longer fits when the last one has failed, or when its turn comes
	my $tries = @gaps;
	like(events($node, 'refused'), qr/^TransactionStarted(?:,BankProcessingStarted,BankRetryScheduled){$tries},BankProcessingStarted,(?:BankProcessingFailed|BankRetryScheduled),TransactionFailed$/,
		'each try is an event');
	is(payment_row('refused'), 'failed|bank_unavailable', 'and the payment says so');
});

part($node, 'never sent, the bank comes up', sub {
	my $caller = PgwSession->new($node);
	$caller->send(pay('up', bank => 'away', timeout => '30s'));
	ok(wait_until(sub { count_of('up', 'BankRetryScheduled') >= 2 }, 20), 'the bank is not there, twice');
	$away = bank_start('--port', $port);
	is($caller->wait, 'captured||201', 'it comes up while the caller waits: captured') or diag($caller->err);
	is(scalar(my @c = charges_of($node, $away, 'up')), 1, 'one charge');
	is(scalar(grep { $_->{operation} eq 'charge' } @{ bank_log($away) }), 1, 'one request');
	bank_stop($away);
});

part($node, 'not processed', sub {
	is(sql(pay('n503', bank => 'bank', token => 'tok_503_2')), 'captured||201', '503 not_processed, twice: captured');
	my @gaps = gaps_between('n503', 'BankRetryScheduled', 'BankProcessingStarted');
	is(scalar @gaps, 2, 'at the third try');
	is_planned_delay($gaps[$_], $_, $SHORT, "retry $_ at the planned time") for 0 .. $#gaps;
	my %keys = map { $_->{idempotency_key} => 1 } grep { $_->{reference} eq newest_attempt('n503') =~ s/-//gr } @{ bank_log($bank) };
	is(scalar keys %keys, 1, 'with one key');
	is(scalar(my @c = charges_of($node, $bank, 'n503')), 1, 'one charge');

	is(sql(pay('n429', bank => 'bank', token => 'tok_429_2')), 'captured||201', '429, twice: captured');
	@gaps = gaps_between('n429', 'BankRetryScheduled', 'BankProcessingStarted');
	is(scalar(grep { $_ >= 1 } @gaps), 2, "no sooner than the bank's Retry-After of a second") or diag("@gaps");

	is(sql(pay('always', bank => 'bank', token => 'tok_503', timeout => '1s')), 'failed|not_processed|502', '503 for as long as the caller waits: failed');
	is(scalar(my @none = charges_of($node, $bank, 'always')), 0, 'and no charge');
});

part($node, 'a card', sub {
	my %card = (token => undef, card_number => $CARD, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => '123', timeout => '5s');
	is(sql(pay('card', bank => 'away', %card)), 'failed|bank_unavailable|502', 'nobody listens at the bank: failed');
	is(events($node, 'card'), 'TransactionStarted,BankProcessingStarted,BankProcessingFailed,TransactionFailed', 'at once: a card is not kept for another try');
});

# ---------------------------------------------------------------- submitted

part($node, 'submitted, until it expires', sub {
	change_settings($node, 'pgw.retry_base_delay' => 1000 * $BASE);
	is(sql(submit('expires', bank => 'away', expires_at => sql("SELECT now() + interval '12 minutes'"))), 'pending', 'submitted, to be sent within twelve minutes');
	ok(wait_until(sub { count_of('expires', 'BankRetryScheduled') == 1 }, 20), 'nobody listens at the bank');
	for (my $n = 0; status_of($node, 'expires') eq 'Created' && $n < 10; $n++)
	{
		my ($delay, $due) = planned_step('expires');
		is_planned_delay($delay, $n, $BASE, "retry $n is planned in time");
		if ($n == 1)
		{
			$node->restart;
			wait_worker($node);
			$control = PgwSession->new($node);
			is((planned_step('expires'))[1] <= $due ? 1 : 0, 1, 'a restart changes nothing about that');
		}
		advance_clock_to($due - 15);
		is(count_of('expires', 'BankProcessingStarted'), $n + 1, 'not before that time');
		advance_clock_to($due);
		is(count_of('expires', 'BankProcessingStarted'), $n + 2, 'but then');
	}
	is(status_of($node, 'expires'), 'Failed', 'failed when no further try fits before it expires');
	is(payment_row('expires'), 'failed|bank_unavailable', 'and the payment says so');
	cmp_ok($now, '<', 720, 'before it expired');
	cmp_ok($now + 1.2 * $LONGEST, '>=', 720, 'and not long before');
	advance_clock_to(0);
});

part($node, 'submitted, the bank comes up', sub {
	is(sql(submit('later', bank => 'away')), 'pending', 'submitted');
	ok(wait_until(sub { count_of('later', 'BankRetryScheduled') == 1 }, 20), 'nobody listens at the bank');
	$away = bank_start('--port', $port, '--seed', 2);
	advance_clock_to((planned_step('later'))[1]);
	is(payment_row('later'), 'captured|', 'captured at the next try');
	is(scalar(my @c = charges_of($node, $away, 'later')), 1, 'one charge');
	bank_stop($away);
	advance_clock_to(0);
});

# ---------------------------------------------------------------- giving back

# Refused $times times, each planned in time; then whatever comes next has been done.
sub is_refused_so_often
{
	my ($id, $times) = @_;
	ok(wait_until(sub { count_of($id, 'RefundFailed') == 1 }, 20), 'refused');
	for my $n (0 .. $times - 2)
	{
		my ($delay, $due) = planned_step($id);
		is_planned_delay($delay, $n, $BASE, "refund $n is planned again in time");
		advance_clock_to($due - 15);
		is(count_of($id, 'RefundFailed'), $n + 1, 'not before that time');
		advance_clock_to($due);
		is(count_of($id, 'RefundFailed'), $n + 2, 'but then');
	}
}

sub review_alerts
{
	return sql("SELECT count(*) FROM pgw.alerts WHERE kind = 'review_required' AND transaction_id = '" . newest_attempt($_[0]) . "'");
}

sub review_row
{
	return sql("SELECT came_from, reason, possible_actions FROM pgw.manual_reviews WHERE client_request_id = '$_[0]'");
}

sub resolve
{
	my ($id, $action, $evidence) = @_;
	return sql(sprintf "SELECT pgw.resolve_review('%s', '%s', 'a test', '%s')", newest_attempt($id), $action, encode_json($evidence // {}));
}

sub attempt_becomes
{
	my ($id, $status, $name) = @_;
	wait_until(sub { status_of($node, $id) eq $status }, 20);
	return is(status_of($node, $id), $status, $name);
}

part($node, 'a refund refused three times', sub {
	change_settings($node, 'pgw.refund_max_attempts' => 4);
	sql('BEGIN; ' . pay('three', bank => 'bank', token => 'tok_refund_fail_3') . '; ROLLBACK');
	is_refused_so_often('three', 3);
	my ($delay, $due) = planned_step('three');
	is_planned_delay($delay, 2, $BASE, 'and once more');
	advance_clock_to($due);
	is(status_of($node, 'three'), 'Refunded', 'done at the fourth attempt');
	my @refunds = refunds_of($bank, charges_of($node, $bank, 'three'));
	is(join(',', map { $_->{status} } @refunds), 'failed,failed,failed,succeeded', 'three failed and one succeeded at the bank');
	my %keys = map { $_->{idempotency_key} => 1 } @refunds;
	is(scalar keys %keys, 4, 'each with a key of its own');
	advance_clock_to(0);
});

part($node, 'a refund refused for good, given back by hand', sub {
	change_settings($node, 'pgw.refund_max_attempts' => 3);
	sql('BEGIN; ' . pay('hand', bank => 'bank', token => 'tok_refund_fail_3') . '; ROLLBACK');
	is_refused_so_often('hand', 3);
	attempt_becomes('hand', 'RequiresManualReview', 'refused three times: manual review');
	ok(wait_until(sub { review_alerts('hand') == 1 }, 10), 'an alert');
	like(review_row('hand'), qr/^Refunding\|refused\|\{.*mark_refunded.*\}$/, 'pgw.manual_reviews says why and what can be done');
	my $correlation = sql("SELECT correlation_id FROM pgw.payment_transactions WHERE client_request_id = 'hand'");
	my $asked = sub { return scalar grep { $_->{correlation_id} eq $correlation } @{ bank_log($bank, 1000) } };
	my $before = $asked->();
	advance_clock_to($now + 7200);
	is($asked->(), $before, 'pgw leaves it alone from then on');    # what was given back earlier is looked at now and then
	cmp_ok($before, '>=', 4, 'which is after the charge and three refunds');

	my ($charge) = charges_of($node, $bank, 'hand');
	my $r = decode_json(HTTP::Tiny->new->post("$bank->{url}/v1/charges/$charge->{id}/refunds", { content => encode_json({ amount => 1234, currency => 'EUR', reference => 'hand' }),
			headers => { 'Content-Type' => 'application/json', Authorization => 'Bearer test-secret', 'Idempotency-Key' => 'hand' } })->{content});
	is($r->{status}, 'succeeded', 'given back at the bank');
	is(resolve('hand', 'mark_refunded', { bank_reference => $r->{id} }), 'Refunded', 'mark_refunded ends it');
	is(review_row('hand'), '', 'and the view has it no more');
	advance_clock_to(0);
});

part($node, 'a refund refused for good, tried again', sub {
	sql('BEGIN; ' . pay('again', bank => 'bank', token => 'tok_refund_fail_4') . '; ROLLBACK');
	is_refused_so_often('again', 3);
	attempt_becomes('again', 'RequiresManualReview', 'refused three times: manual review');
	is(resolve('again', 'retry'), 'Refunding', 'retry');
	ok(wait_until(sub { count_of('again', 'RefundFailed') == 4 }, 20), 'tried at once, and refused again');
	attempt_becomes('again', 'Refunding', 'the retries count anew');
	my ($delay, $due) = planned_step('again');
	is_planned_delay($delay, 0, $BASE, 'and so do the delays');
	advance_clock_to($due);
	is(status_of($node, 'again'), 'Refunded', 'given back at the next attempt');
	advance_clock_to(0);
});

part($node, 'a refund that is never sent', sub {
	$away = bank_start('--port', $port, '--seed', 3);
	my $caller = PgwSession->new($node);
	$caller->run('BEGIN');
	is($caller->run(pay('unsent', bank => 'away')), 'captured||201', 'a charge');
	bank_stop($away);
	$caller->run('ROLLBACK');
	ok(wait_until(sub { count_of('unsent', 'RefundRetryScheduled') == 1 }, 20), 'rolled back, and the bank is not there');
	for my $n (0 .. 3)
	{
		my ($delay, $due) = planned_step('unsent');
		is_planned_delay($delay, $n, $BASE, "retry $n is planned in time");
		advance_clock_to($due);
		is(count_of('unsent', 'RefundRetryScheduled'), $n + 2, 'and made then');
	}
	is(status_of($node, 'unsent'), 'Refunding', 'more often than a bank may refuse: nothing was refused');
	advance_clock_to(0);
});

part($node, 'at the end', sub {
	my @diff = reconcile($node, $bank);
	@diff = grep { !/has no charge/ } @diff;    # the charges of the bank that was away
	is(join(',', @diff), '', 'ledger and tables agree');
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'and the tables with themselves')
	  or diag(sql('SELECT transaction_id, payment_id, client_request_id, status, live FROM pgw.payment_transactions ORDER BY 1'));
});

$node->stop('fast');
done_testing();
