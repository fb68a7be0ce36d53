# A clock that is set: an hour back, three days forward. Nothing storms, nothing is given up unasked, nothing is stuck.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $DAY = 86400;
my $EACH = 20;
my $node = pgw_node('clock', debug => 1, conf => "fsync = off\npgw.compensation_delay = '60s'\npgw.retry_base_delay = '30s'\npgw.retry_max_delay = '120s'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my $control = PgwSession->new($node);
my $now = 0;                # pgw.debug_clock_offset

sub sql { return $node->safe_psql('postgres', $_[0]) }
# The worker's clock is moved, and everything that is due then has been done.
sub advance_clock_to
{
	($now) = @_;
	$control->query("ALTER SYSTEM SET pgw.debug_clock_offset = '$now'");
	$control->query('SELECT pg_reload_conf()');
	wait_until(sub { $control->query("SELECT setting = '$now' FROM pg_settings WHERE name = 'pgw.debug_clock_offset'") eq 't' }, 20) or die "the clock did not become $now";
	$control->query('SELECT complete FROM pgw.run_recovery()') eq 't' or die 'the scan did not end';
}
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

sub bank_faults
{
	my ($what, @operations) = @_;
	return bank_control($bank, 'faults', { probabilities => $what ? { $what => 1 } : {}, operations => \@operations });
}

sub requests { return bank_ledger($bank)->{requests} }

sub count_attempts
{
	my ($status, $name) = @_;
	return sql("SELECT count(*) FROM pgw.payment_transactions WHERE status IN ('" . join("', '", @$status) . "') AND client_request_id ~ '^$name'");
}

sub bank_is_idle { return wait_until(sub { !grep { !$_->{finished} } @{ bank_log($bank) } }, 30) }

# Attempts of each kind that waits for a time: in doubt, refused before anything was done, to be given back, being given back.
sub open_attempts
{
	my ($name, $planned) = @_;
	$planned //= $EACH;
	bank_faults('500_before', 'lookup');
	$control->query(pay("$name-doubt$_", token => 'tok_empty', timeout => '500ms')) for 1 .. $EACH;
	$control->query('BEGIN; ' . pay("$name-undone$_")) && $control->query('ROLLBACK') for 1 .. $EACH;
	$control->query('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => "$name-planned$_", token => 'tok_503_1')) for 1 .. $planned;
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id ~ '^$name-planned' AND status = 'Created' AND live AND next_step_at IS NOT NULL") == $planned }, 30), "$name: some are to be tried again");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id ~ '^$name-doubt' AND status = 'BankUnknown' AND next_step_at > clock_timestamp()") == $EACH }, 30), "$name: some are in doubt");
	is(count_attempts([ 'BankApproved' ], "$name-undone"), $EACH, "$name: some are to be given back");
	return;
}

sub comes_to_rest
{
	my ($name) = @_;
	my $steps = 0;
	while (count_attempts([ qw(Created BankApproved Saved Refunding BankUnknown) ], $name) && $steps++ < 40)
	{
		advance_clock_to($now + 60);
		bank_is_idle();
	}
	is(count_attempts([ 'Completed' ], "$name-doubt"), $EACH, "$name: what was in doubt is found out, none given up");
	is(count_attempts([ 'Refunded' ], "$name-undone"), $EACH, "$name: what was rolled back is given back");
	is(count_attempts([ 'Created', 'RequiresManualReview' ], "$name-planned"), 0, "$name: what was to be tried again is decided");
	return $steps;
}

part($node, 'back', sub {
	advance_clock_to(7200);
	open_attempts('back');
	bank_faults(0);
	my $before = requests();
	advance_clock_to(3600);
	bank_is_idle();
	cmp_ok(requests() - $before, '<=', 3 * $EACH, 'an hour back: no storm');
	is($control->query(pay('back-new')), 'captured', 'a payment goes through at once');
	$control->query('BEGIN; ' . pay('later')) && $control->query('ROLLBACK');
	wait_until(sub { sql("SELECT next_step_at IS NOT NULL FROM pgw.payment_transactions WHERE client_request_id = 'later'") eq 't' }, 20);
	advance_clock_to($now + 61);
	ok(wait_until(sub { status_of($node, 'later') eq 'Refunded' }, 20), 'a rollback is given back after its delay, not an hour later') or diag(status_of($node, 'later'));
	advance_clock_to(7200);
	comes_to_rest('back');
	is(count_attempts([ 'Completed' ], 'back-planned'), $EACH, 'and when the hour has passed again, what was to be tried again is done');
});

part($node, 'forward', sub {
	open_attempts('forward');
	bank_faults(0);
	my $before = requests();
	advance_clock_to($now + 3 * $DAY);
	bank_is_idle();
	cmp_ok(requests() - $before, '<=', 5 * $EACH, 'three days forward: no more than what is due');
	comes_to_rest('forward');
	is($control->query(pay('forward-new')), 'captured', 'and the next one pays');
});

part($node, 'forward, the bank is away', sub {
	open_attempts('away', 0);
	bank_control($bank, 'settings', { down => JSON::PP::true });
	my $before = requests();
	advance_clock_to($now + 3 * $DAY);
	bank_is_idle();
	cmp_ok(requests() - $before, '<=', 3 * $EACH, 'three days forward, the bank is away: a try for each, or what the budget allows');
	is(count_attempts([ 'RequiresManualReview' ], 'away'), 0, 'and nobody has to look: it is asked again');
	bank_control($bank, 'settings', { down => JSON::PP::false });
	bank_faults(0);
	comes_to_rest('away');
});

is_sound($node, $bank, 'at the end: sound');
$node->stop('fast');
done_testing();
