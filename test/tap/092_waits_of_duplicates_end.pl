# The wait of a duplicate for the first call's transaction ends when it should: of callers that cross one is given a deadlock error, and timeouts,
# cancels and terminations are obeyed at once; nobody pays twice for it.
use strict;
use warnings;
use lib 'test/lib';
use PgwDuplicates;
use PgwSession;
use PgwTest;
use Test::More;
use Time::HiRes qw(time);

my $DEADLOCK_TIMEOUT = 0.4;
my $node = pgw_node('waits_end', conf => "pgw.compensation_delay = '60s'\npgw.retry_base_delay = '50ms'\ndeadlock_timeout = '${\ ($DEADLOCK_TIMEOUT * 1000)}ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my ($one, $two, $look) = map { PgwSession->new($node, name => $_) } qw(one two look);

# ---------------------------------------------------------------- callers that cross

for my $functions ([qw(process process)], [qw(process submit)], [qw(submit submit)])
{
	my ($first, $second) = @$functions;
	my ($x, $y) = map { "cross-$first-$second-$_" } qw(x y);
	my $requests = charge_requests($bank);
	$_->run('BEGIN') for $one, $two;
	call($one, $first, $x);
	call($two, $second, $y);
	$one->send(call_sql($first, $y));
	is_waiting_for($node, $one, $two, "crossing $first and $second: the first waits");
	my $started = time;
	$two->send(call_sql($second, $x));
	PgwSession::wait_any(20, $one, $two);
	my $took = time - $started;
	in_time($took, $DEADLOCK_TIMEOUT + 1, sprintf "crossing %s and %s: broken after %.2f s", $first, $second, $took);
	$_->wait for $one, $two;
	is(join(' ', sort map { $_->state } $one, $two), '00000 40P01', "crossing $first and $second: exactly one deadlock error");
	my ($victim, $other) = $one->state eq '40P01' ? ($one, $two) : ($two, $one);
	$_->run('COMMIT') for $victim, $other;
	my ($again) = $victim == $one ? $first : $second;
	my @replays = map { call($victim, $again, $_) } $x, $y;
	is(join(' ', map { $_->{replayed} } @replays), 't t', "crossing $first and $second: the victim's retry finds both paid");
	for my $id ($x, $y)
	{
		$look->query("SELECT pgw.wait_for_payment(payment_id, '20s') FROM pgw.payments WHERE client_request_id = '$id'");
		is(join(',', map { "$_->{status} $_->{refunded}" } charges_by_reference($bank, $id)), 'approved 0', "crossing $first and $second: one charge");
	}
	is(charge_requests($bank) - $requests, 2, "crossing $first and $second: two requests");
}

# ---------------------------------------------------------------- a wait ends when it should

# The second call, while the first one's transaction is open: it ends with this state, and soon.
sub is_ended
{
	my ($name, $state, $before, %o) = @_;
	$two->run($before);
	my $started = time;
	$two->send(call_sql($o{function} // 'process', 'held', %{ $o{args} // {} }));
	$o{while}->() if $o{while};
	$two->wait;
	is($two->state, $state, "$name: $state") or diag($two->err);
	in_time(time - $started, 3, "$name: in time");
	$two->run('RESET ALL');
}

{
	my $requests = charge_requests($bank);
	$one->run('BEGIN');
	my $p = call($one, 'process', 'held');
	for my $function (qw(process submit))
	{
		is_ended("lock_timeout, $function", '55P03', "SET lock_timeout = '150ms'", function => $function);
		is_ended("statement_timeout, $function", '57014', "SET statement_timeout = '150ms'", function => $function);
		is_ended("cancel, $function", '57014', 'SELECT', function => $function, while => sub {
			is_waiting_for($node, $two, $one, "$function: waits");
			$look->query('SELECT pg_cancel_backend(' . $two->backend . ')');
		});
		is_ended("pgw.wait_timeout, $function", 'PW409', "SET pgw.wait_timeout = '150ms'", function => $function);
	}
	is_ended('timeout', 'PW409', 'SELECT', args => { timeout => '150 ms' });
	is_ended('timeout 0', 'PW409', 'SELECT', args => { timeout => '0' });
	is_ended('timeout shorter than lock_timeout', 'PW409', "SET lock_timeout = '30s'", args => { timeout => '150 ms' });
	is_ended('lock_timeout shorter than timeout', '55P03', "SET lock_timeout = '150ms'", args => { timeout => '30 s' });
	is_ended('other arguments', 'PW409', 'SELECT', args => { timeout => '150 ms', amount => 999 });

	$two->run("BEGIN; SET LOCAL lock_timeout = '7s'; SAVEPOINT s");
	call($two, 'process', 'held', timeout => '100 ms');
	$two->run('ROLLBACK TO s');
	is($two->run('SHOW lock_timeout'), '7s', 'after PW409 lock_timeout is as it was');
	$two->run('ROLLBACK');

	my $gone = PgwSession->new($node, name => 'gone');
	$gone->send(call_sql('process', 'held'));
	is_waiting_for($node, $gone, $one, 'a third waits');
	$look->query('SELECT pg_terminate_backend(' . $gone->backend . ')');
	$gone->wait;
	is($gone->state, '08006', 'and ends at once when it is terminated');

	$two->send(call_sql('process', 'held'));
	is_waiting_for($node, $two, $one, 'the duplicate waits again');
	$one->run('COMMIT');
	is(answer($two)->{payment}, $p->{payment}, 'and gets the payment');
	is_paid_once($node, $bank, 'held', $requests, 'after all these waits');
}

is_sound($node, $bank, 'tables and ledger agree at the end');
$node->stop('fast');
done_testing();
