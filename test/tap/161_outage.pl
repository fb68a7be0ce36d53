# A bank that fails: the breaker leaves it alone, other banks and other operations go on, and when it is back nothing is lost and nobody tramples
# on it. An hour passes by moving the worker's clock in steps.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use List::Util qw(max sum);
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $COOLDOWN = 300;
my $node = pgw_node('outage', debug => 1, conf => "fsync = off\npgw.compensation_delay = '60s'\npgw.breaker_failures = 3\npgw.breaker_cooldown = '${COOLDOWN}s'\n"
	  . "pgw.retry_base_delay = '10s'\n");
my ($bank, $second, $third) = map { bank_start() } 1 .. 3;
pgw_setup($node, $bank);
# by priority: bank, third (other tokens), second (the same tokens)
$node->safe_psql('postgres', "UPDATE pgw.banks SET token_scope = 'vault', priority = 10;
	INSERT INTO pgw.banks (name, connector, base_url, secret, priority, token_scope) VALUES
		('third', 'json', '$third->{url}', 'bank', 20, 'other'), ('second', 'json', '$second->{url}', 'bank', 30, 'vault');
	SELECT pgw.grant_access('postgres', 'operator')");
my $control = PgwSession->new($node);
my $now = 0;                # pgw.debug_clock_offset

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub run_recovery
{
	return $control->query('SELECT complete FROM pgw.run_recovery()') eq 't' || die 'the scan did not end';
}

# The worker's clock is moved, and everything that is due then has been done.
sub advance_clock_to
{
	($now) = @_;
	change_settings($node, 'pgw.debug_clock_offset' => $now);
	run_recovery();
}
# No retry fits into the wait, so that each payment is one call.
sub pay
{
	my ($id, %a) = @_;
	return 'SELECT status, error_code, http_status, bank FROM ' . pay_sql('process_payment', client_request_id => $id, timeout => '7s', %a);
}

sub breaker_state
{
	my ($group, $name) = @_;
	return sql("SELECT state || ' ' || openings FROM pgw.bank_states WHERE bank = '" . ($name // 'bank') . "' AND operation_group = '" . ($group // 'charges') . "'");
}

sub breaker_becomes
{
	my ($state, $name) = @_;
	wait_until(sub { breaker_state() eq $state }, 20);
	return is(breaker_state(), $state, $name);
}

sub alert_count { return sql("SELECT coalesce(sum(count), 0) FROM pgw.alerts WHERE kind = '$_[0]' AND bank = 'bank'") }
sub requests_of { my ($b, $op) = @_; return bank_ledger($b)->{requests_by_operation}{$op} // 0 }
sub requests { return bank_ledger($_[0] // $bank)->{requests} }

sub make_charges_fail
{
	return bank_control($bank, 'faults', { probabilities => $_[0] ? { 503 => 1 } : {}, operations => ['charge'] });
}

# The answer, and how long it took.
sub run_timed { my ($sql) = @_; my $from = time; my $answer = sql($sql); return ($answer, time - $from) }

# ---------------------------------------------------------------- another bank

part($node, 'another bank', sub {
	is(sql(pay('first')), 'captured||201|bank', 'the first bank by priority');
	make_charges_fail(1);
	is(sql(pay('switched')), 'captured||201|second', 'it does not process: the next bank that knows the token');
	is(events($node, 'switched'), 'TransactionStarted,BankProcessingStarted,BankSwitched,BankProcessingStarted,BankProcessingCompleted,PaymentDataSaveStarted,'
		  . 'PaymentDataSaveCompleted,TransactionCompleted', 'the switch is an event');
	is(sql("SELECT event_data->>'from_bank', event_data->>'bank' FROM pgw.events_in_full e JOIN pgw.payment_transactions USING (transaction_id)
		WHERE client_request_id = 'switched' AND event_type = 'BankSwitched'"), 'bank|second', 'which says from where to where');
	is(requests($third), 0, 'a bank of another token_scope is not asked');
	is(sql(pay('named', bank => 'bank')), 'failed|not_processed|502|bank', 'a bank that the caller named is not left');

	make_charges_fail(0);
	my $asked = requests($second);
	is(sql(pay('declined', token => 'tok_decline_do_not_honor')) =~ s/\|.*\|/|/r, 'declined|bank', 'declined');
	is(sql(pay('unknown', token => 'tok_500_before_1', timeout => '30s')), 'failed|not_processed|502|bank',
		'an error that the bank might repeat under its key: a look-up says that nothing was charged, and it is not sent again');
	like(events($node, 'unknown'), qr/BankOutcomeUnknown/, 'it was in doubt');
	is(requests($second), $asked, 'neither sends it to another bank');
	is(sql("SELECT count(*) FROM pgw.transaction_events e JOIN pgw.payment_transactions USING (transaction_id)
		WHERE client_request_id IN ('declined', 'unknown', 'named') AND event_type = 'BankSwitched'"), 0, 'so there is no such event');
	is(sql(pay('closes')), 'captured||201|bank', 'the first bank is well again');
});

# ---------------------------------------------------------------- the breaker

part($node, 'the breaker opens', sub {
	# two that will have to be given back while charges fail
	sql('BEGIN; ' . pay("back$_") . '; ROLLBACK') for 1, 2;
	make_charges_fail(1);
	for my $n (1 .. 3)
	{
		isnt(breaker_state(), 'open 1', "closed before failure $n");
		is(sql(pay("fails$n", bank => 'bank')), "failed|not_processed|502|bank", "failure $n");
	}
	breaker_becomes('open 1', 'three in a row: open');
	ok(wait_until(sub { alert_count('breaker_open') == 1 }, 10), 'an alert');
	like(sql("SELECT message FROM pgw.alerts WHERE kind = 'breaker_open'"), qr/"bank".*charges/, 'which names bank and operations');

	my $asked = requests_of($bank, 'charge');
	my ($answer, $took) = run_timed(pay('refused', bank => 'bank', timeout => '30s'));
	is($answer, 'failed|bank_unavailable|502|bank', 'open: refused');
	in_time($took, 5, 'at once');
	is(events($node, 'refused'), 'TransactionStarted,TransactionFailed', 'never started');
	is(sql(pay('elsewhere')), 'captured||201|second', 'where the caller named no bank, the next one takes it');
	like(events($node, 'elsewhere'), qr/^TransactionStarted,BankSwitched,BankProcessingStarted,/, 'the switch is an event');
	sql("UPDATE pgw.banks SET token_scope = 'another' WHERE name = 'second'");
	is(sql(pay('nowhere')), 'failed|bank_unavailable|502|bank', 'but not a bank of another token_scope');
	sql("UPDATE pgw.banks SET token_scope = 'vault' WHERE name = 'second'");
	is(requests_of($bank, 'charge'), $asked, 'the bank is left alone');
});

part($node, 'giving back goes on', sub {
	is(status_of($node, 'back1') . status_of($node, 'back2'), 'BankApproved' x 2, 'two to be given back');
	advance_clock_to(60);
	is(status_of($node, 'back1') . status_of($node, 'back2'), 'Refunded' x 2, 'given back while the breaker of charges is open');
	is(breaker_state(), 'open 1', 'which it still is');
	is(requests_of($bank, 'ping'), 0, 'and before the cooldown is over nothing asks the bank how it is');
});

part($node, 'over a restart', sub {
	$node->restart;
	wait_worker($node);
	$control = PgwSession->new($node);
	my $asked = requests_of($bank, 'charge');
	is(sql(pay('after restart', bank => 'bank')), 'failed|bank_unavailable|502|bank', 'still open after a restart');
	is(requests_of($bank, 'charge'), $asked, 'and the bank is not asked');
});

part($node, 'half open', sub {
	advance_clock_to(60 + $COOLDOWN);
	ok(wait_until(sub { requests_of($bank, 'ping') == 1 }, 10), 'the cooldown is over: a ping');
	is((grep { $_->{operation} eq 'ping' } @{ bank_log($bank) })[0]{path}, '/v1/ping', 'GET /v1/ping');
	breaker_becomes('closed 1', 'which is answered: closed, on trial');
	my $asked = requests_of($bank, 'charge');
	is(sql(pay('trial', bank => 'bank')), 'failed|not_processed|502|bank', 'but charges fail');
	is(requests_of($bank, 'charge'), $asked + 1, 'the bank is asked once');
	breaker_becomes('open 2', 'and left alone again');
	advance_clock_to(60 + 2 * $COOLDOWN + 10);
	is(requests_of($bank, 'ping'), 1, 'for twice as long');
	make_charges_fail(0);
	advance_clock_to(60 + 3 * $COOLDOWN + 30);
	ok(wait_until(sub { requests_of($bank, 'ping') == 2 }, 10), 'then a ping');
	breaker_becomes('closed 2', 'closed, on trial');
	is(sql(pay('well')), 'captured||201|bank', 'charges are well again');
	ok(wait_until(sub { alert_count('breaker_closed') >= 1 }, 10), 'an alert says so');
	make_charges_fail(1);
	is(sql(pay("once$_", bank => 'bank')), 'failed|not_processed|502|bank', "the trial is over: failure $_ of three") for 1 .. 2;
	is(sql(pay('not refused', bank => 'bank')), 'failed|not_processed|502|bank', 'still called');
	breaker_becomes('open 1', 'and open after three, for one cooldown');
	make_charges_fail(0);
	advance_clock_to($now + $COOLDOWN);
	ok(wait_until(sub { requests_of($bank, 'ping') == 3 }, 10), 'a ping closes it');
	is(sql(pay('well again')), 'captured||201|bank', 'and charges go on');
});

# ---------------------------------------------------------------- an hour's outage

my $STEP = 30;
my ($SUBMITTED, $ROLLED_BACK) = (200, 10);

# Move the clock by steps until it has moved so far, or until there is nothing left to do. Of each minute: the requests at the bank, and the seconds by
# the worker's clock, which goes on while the machine is busy.
sub let_time_pass
{
	my ($seconds, $step, $until) = @_;
	my $end = $now + $seconds;
	my (@minutes, $done);
	my ($before, $from) = (requests(), $now + time);
	my $minute = $now + 60;
	until ($done)
	{
		advance_clock_to($now + $step);
		recover_until_quiet();
		$done = $now >= $end || ($until && $until->());
		next if $now < $minute && !$done;
		$minute += 60;
		my ($after, $till) = (requests(), $now + time);
		push @minutes, { requests => $after - $before, seconds => $till - $from };
		($before, $from) = ($after, $till);
	}
	return @minutes;
}
# What a scan has led to is asked of the bank in this minute, not in the next.
sub recover_until_quiet
{
	my $asked;
	do
	{
		$asked = requests();
		run_recovery();
	} until requests() == $asked;
	return;
}

sub show_minutes
{
	my ($what, @minutes) = @_;
	return diag("requests per simulated minute, $what: " . join(' ', map { sprintf '%d (%.0f s)', @$_{qw(requests seconds)} } @minutes));
}

# Of the minutes that passed, those in which there were more requests than the budget allows: $steps for each retry, of which there are ten and one a second
# and, if $successes, a tenth of the requests themselves, those that are no retries ($extra) included.
sub minutes_over
{
	my ($steps, $successes, $extra, @minutes) = @_;
	my $share = $successes ? 1 - $steps * 0.1 : 1;
	return join ' ', map { $_->{requests} } grep { $_->{requests} > ($steps * (11 + $_->{seconds}) + $extra) / $share } @minutes;
}

sub open_attempts
{
	return sql("SELECT count(*) FROM pgw.payment_transactions WHERE status IN ('Created', 'BankApproved', 'Saved', 'Refunding', 'BankUnknown')");
}

sub submit_many
{
	my ($name, $n) = @_;
	sql("SELECT count(pgw.submit_payment('$name' || i, 1000 + i, 'EUR', 'tok_ok', bank => 'bank')) FROM generate_series(1, $n) i");
}
sub are_all_captured
{
	my ($name, $n) = @_;
	is(sql("SELECT status, count(*) FROM pgw.payments WHERE client_request_id ~ '^${name}[0-9]' GROUP BY 1"), "captured|$n", "all $n are captured");
	is(scalar(grep { !$_->{voided} && $_->{refunded} == 0 } map { charges_of($node, $bank, $_) } "${name}1", "${name}$n"), 2, 'with a charge each');
}

part($node, 'an hour', sub {
	change_settings($node, 'pgw.breaker_failures' => 5);
	change_settings($node, 'pgw.breaker_cooldown' => 30);
	change_settings($node, 'pgw.retry_base_delay' => 1000);
	sql('BEGIN; ' . pay("gone$_", bank => 'bank') . '; ROLLBACK') for 1 .. $ROLLED_BACK;

	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id ~ '^gone[0-9]' AND status = 'BankApproved'"), $ROLLED_BACK, 'some wait for their give-back');

	# half an hour without an answer, half an hour of "not now"
	bank_control($bank, 'settings', { drop => JSON::PP::true });
	submit_many('hour', $SUBMITTED);
	my @silent = let_time_pass(1800, $STEP);
	bank_control($bank, 'settings', { drop => JSON::PP::false, down => JSON::PP::true });
	my @refusing = let_time_pass(1800, $STEP);
	cmp_ok(open_attempts(), '>=', $SUBMITTED, 'the hour is over, and nothing is decided');
	show_minutes('no answer', @silent);
	show_minutes('not processed', @refusing);
	cmp_ok($silent[0]{requests}, '<=', 2 * ($SUBMITTED + $ROLLED_BACK) + 70, 'the first minute: one try and one look each, and the budget');
	cmp_ok(max(map { $_->{requests} } @silent[ 1 .. $#silent ], @refusing), '<=', 12, 'every later minute: what the breakers let through');

	my $unsent = sql("SELECT count(*) FROM pgw.payment_transactions WHERE status = 'Created' AND requests_sent = 0");
	bank_control($bank, 'settings', { down => JSON::PP::false });
	my $from = $now;
	my @after = let_time_pass(1800, 10, sub { open_attempts() == 0 });
	show_minutes('after it', @after);
	diag('at rest after ' . ($now - $from) . " s; $unsent had not been sent");
	is(open_attempts(), 0, 'the bank is back: nothing is left undecided');
	is(minutes_over(2, 1, $unsent + $ROLLED_BACK, @after), '', 'no storm: a look and a step for each retry that the budget allows');
	are_all_captured('hour', $SUBMITTED);
	is(sql("SELECT string_agg(DISTINCT status::text, ',') FROM pgw.payment_transactions WHERE client_request_id ~ '^gone[0-9]'"), 'Refunded', 'what was rolled back is given back');
});

part($node, 'without the breaker', sub {
	change_settings($node, 'pgw.breaker_failures' => 10000);
	bank_control($bank, 'settings', { down => JSON::PP::true });
	submit_many('budget', 100);
	my $before = requests();
	my @minutes = let_time_pass(300, 5);
	show_minutes('the budget alone', @minutes);
	my $retries = requests() - $before - 100;
	is(minutes_over(1, 0, 0, @minutes[ 1 .. $#minutes ]), '', 'one a second and a burst: what the budget allows');
	cmp_ok($retries, '<=', (my $seconds = sum(map { $_->{seconds} } @minutes)) + 10, 'the retries altogether');
	cmp_ok($retries, '>=', $seconds / 4, 'and it is used');
	bank_control($bank, 'settings', { down => JSON::PP::false });
	my @after = let_time_pass(1800, 5, sub { open_attempts() == 0 });
	show_minutes('after it', @after);
	is(minutes_over(1, 1, 0, @after), '', 'the bank is back: within the budget, and a tenth of the successes');
	are_all_captured('budget', 100);
});

part($node, 'at the end', sub {
	my %ours = map { $_ => 1 } split /\n/, sql("SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE bank = 'second'");
	is(scalar(grep { !/^payment with reference (\S+) has no charge/ || !$ours{$1} } reconcile($node, $bank)), 0, 'ledger and tables agree');
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'and the tables with themselves');
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE status = 'RequiresManualReview'"), 0, 'nobody has to look');
});

$node->stop('fast');
done_testing();
