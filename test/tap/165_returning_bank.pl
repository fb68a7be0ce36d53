# A bank that is back after answers were lost is not trampled on: a look-up that had to wait is a retry, and so is what a look-up allows, whether it waited
# or not. One lost answer at a bank that is well is found out and mended at once, and a give-back does not wait behind the look-ups.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $LOST = 100;
my $COOLDOWN = 300;
my $node = pgw_node('returning', debug => 1, conf => "fsync = off\npgw.compensation_delay = '1s'\npgw.breaker_cooldown = '${COOLDOWN}s'\npgw.retry_base_delay = '10s'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
# prompt: what its look-up does not find has not happened
$node->safe_psql('postgres', "SELECT pgw.grant_access('postgres', 'operator');
	INSERT INTO pgw.connectors (name, definition) SELECT 'prompt', jsonb_set(jsonb_set(definition::jsonb, '{name}', '\"prompt\"'), '{capabilities,lookup_consistent_after_seconds}', '0')
		FROM pgw.connectors WHERE name = 'json';
	INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('prompt', 'prompt', '$bank->{url}', 'bank'),
		('second', 'prompt', '$bank->{url}', 'bank');
	UPDATE pgw.banks SET request_timeout = '5s'");
my $control = PgwSession->new($node);
my $now = 0;                # pgw.debug_clock_offset

sub sql { return $node->safe_psql('postgres', $_[0]) }

# The worker's clock is moved, and everything that is due then has been done.
sub advance_clock
{
	$now += $_[0];
	change_settings($node, 'pgw.debug_clock_offset' => $now);
	return run_recovery();
}
sub run_recovery { return $control->query('SELECT complete FROM pgw.run_recovery()') eq 't' || die 'the scan did not end' }
sub requests_of { return bank_ledger($bank)->{requests_by_operation}{ $_[0] } // 0 }
sub requests { return bank_ledger($bank)->{requests} }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, timeout => '20s', %a) }

# The bank does not answer the first request of each, and has charged nothing.
sub submit_lost
{
	my ($name, $n) = @_;
	return sql("SELECT count(pgw.submit_payment('$name' || i, 1000 + i, 'EUR', 'tok_timeout_before_1', bank => '$name')) FROM generate_series(1, $n) i");
}
sub open_attempts { return sql("SELECT count(*) FROM pgw.payment_transactions WHERE status IN ('Created', 'BankUnknown') AND client_request_id ~ '^$_[0]\[0-9]'") }

# Retries that the budget allows within so many seconds: a burst and one a second, and a tenth of the successes, which are those of the retries
# themselves (a look-up and a charge each) and so many others.
sub budget { my ($seconds, $others) = @_; return (10 + $seconds + 0.1 * $others) / 0.8 + 1 }

sub comes_to_rest
{
	my ($name, $n) = @_;
	my @over;
	for my $step (1 .. 60)
	{
		last if open_attempts($name) == 0;
		my ($before, $from) = (requests(), time);
		advance_clock(10);
		my ($asked, $took) = (requests() - $before, time - $from);
		push @over, sprintf('%d in %.1f s', $asked, $took) if $asked > 2 * budget($took, 0);
	}
	is("@over", '', "$name: no storm until all is done");
	is(sql("SELECT status, count(*) FROM pgw.payments WHERE client_request_id ~ '^$name\[0-9]' GROUP BY 1"), "captured|$n", "$name: all are captured");
	return;
}

part($node, 'put off', sub {
	# a look-up that fails, and no charge that does: the breaker of look-ups alone opens
	bank_control($bank, 'faults', { probabilities => { '500_before' => 1 }, operations => ['lookup'] });
	change_settings($node, 'pgw.breaker_failures' => 1);
	sql('SELECT 1 FROM ' . pay_sql('submit_payment', client_request_id => 'opens', token => 'tok_charge_pending_done_100', bank => 'bank'));
	ok(wait_until(sub { sql("SELECT state FROM pgw.bank_states WHERE bank = 'bank' AND operation_group = 'lookups'") eq 'open' }, 30), 'the breaker of look-ups is open');
	change_settings($node, 'pgw.breaker_failures' => 10000);
	my $looks = requests_of('lookup');
	submit_lost('bank', $LOST);
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE status = 'BankUnknown' AND step_tries = 0 AND put_off_reason = 'bank_unavailable' AND client_request_id ~ '^bank'") == $LOST }, 60),
		'answers are lost, and nobody can look');
	is(requests_of('lookup'), $looks, 'nobody does');

	bank_control($bank, 'faults', { probabilities => {} });
	advance_clock($COOLDOWN + 1);
	ok(wait_until(sub { sql("SELECT state FROM pgw.bank_states WHERE bank = 'bank' AND operation_group = 'lookups'") eq 'closed' }, 30), 'the bank is back: one look says so');

	# those that were told to wait for that look
	my ($before, $from) = (requests(), time);
	advance_clock(120);
	run_recovery();
	my ($asked, $took) = (requests() - $before, time - $from);
	diag(sprintf '%d requests in %.1f s', $asked, $took);
	cmp_ok($asked, '<=', 2 * budget($took, 0), 'no storm: a look and a charge for each retry that the budget allows');
	cmp_ok($asked, '>=', 10, 'and it is used');

	comes_to_rest('bank', $LOST);
});

part($node, 'a look that waits for nothing', sub {
	my @before = map { requests_of($_) } qw(charge lookup);
	is(sql(pay('one', bank => 'prompt', token => 'tok_timeout_before_1')), 'captured', 'one lost answer');
	is(requests_of('charge') - $before[0] . ' ' . (requests_of('lookup') - $before[1]), '2 1', 'is looked up, and sent again at once');

	@before = map { requests_of($_) } qw(charge lookup);
	my $from = time;
	submit_lost('prompt', $LOST);
	ok(wait_until(sub { requests_of('lookup') - $before[1] >= $LOST }, 60), 'many: each is looked up at once');
	run_recovery();
	my ($again, $took) = (requests_of('charge') - $before[0] - $LOST, time - $from);
	diag(sprintf '%d sent again in %.1f s', $again, $took);
	cmp_ok($again, '<=', budget($took, $LOST), 'what was not found is sent again as the budget allows');
	cmp_ok($again, '>=', 10, 'and it is used');
	comes_to_rest('prompt', $LOST);
});

# What is found out about a give-back is a retry, too; it takes the last token, where all others come for one at the same moment.
part($node, 'give-backs', sub {
	my ($lost, $given_back) = (2 * $LOST, 6);
	submit_lost('second', $lost);
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE status = 'BankUnknown' AND put_off_since IS NOT NULL AND client_request_id ~ '^second'") > 0.6 * $lost }, 60),
		'many wait for a token');
	for (1 .. $given_back)
	{
		$control->query('BEGIN; ' . pay("given back $_", bank => 'second', token => 'tok_refund_timeout_after', amount => 500));
		$control->query('ROLLBACK');
	}
	my $refunded = "SELECT count(*) FROM pgw.payment_transactions WHERE status = 'Refunded' AND client_request_id ~ '^given back'";
	my $waiting;
	ok(wait_until(sub { my $n = sql($refunded); $waiting = open_attempts('second'); return $n == $given_back }, 90), 'all that was rolled back is given back');
	diag("$waiting of $lost were still in doubt then");
	cmp_ok($waiting, '>=', 0.5 * $lost, 'long before all that is in doubt is found out');
	comes_to_rest('second', $lost);
});

is_sound($node, $bank, 'at the end: sound');
$node->stop('fast');
done_testing();
