# The exchange between callers and worker: slots used up, waits cut short, the answer's own pace.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('exchange', conf => "pgw.max_waiting = 4\n");
my $bank = bank_start();
pgw_setup($node, $bank);

# Four callers take all slots; a fifth is told, and nothing of it stays.
my @running = map { psql_start($node, 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => "slow$_", token => 'tok_slow_3000')) } 1 .. 4;
ok(wait_until(sub { @{ bank_ledger($bank)->{charges} } >= 4 }, 20), 'four calls are in flight');
my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT " . pay_sql('process_payment', client_request_id => 'fifth'));
like($err, qr/PW500.*pgw\.max_waiting/s, 'slots used up: a clear error that names the setting');
is($node->safe_psql('postgres', "SELECT count(*) FROM pgw.find_payment('fifth')"), 0, 'and nothing stays');
is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'sub')), 'pending', 'a submit needs no slot');
ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'sub'"), 'and is paid meanwhile');
$_->{h}->finish for @running;
is(join(',', map { $_->{out} =~ s/\n//r } @running), 'captured,captured,captured,captured', 'the four are answered');
is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'fifth')), 'captured', 'the slots are free again');

# The wait is interruptible, and the worker goes on.
my $t = time;
(undef, undef, $err) = $node->psql('postgres', "SET statement_timeout = '300ms'; SELECT " . pay_sql('process_payment', client_request_id => 'cut', token => 'tok_slow_2000'));
like($err, qr/statement timeout/, 'statement_timeout ends the wait');
in_time(time - $t, 1.5, 'at once');
is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'next')), 'captured', 'others pay meanwhile');
ok($node->poll_query_until('postgres', "SELECT status = 'BankApproved' FROM pgw.payment_transactions WHERE client_request_id = 'cut'"), 'the outcome is recorded without its caller');

# A submit is taken at commit, not at a poll.
my @ms;
for my $n (1 .. 20)
{
	my $wait = $node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => "quick$n") . ";
		SELECT status FROM pgw.find_payment('quick$n') f, LATERAL (SELECT pg_sleep(0)) s;
		SELECT status FROM pgw.wait_for_payment((SELECT payment_id FROM pgw.find_payment('quick$n')), '10s')");
	my $taken = $node->safe_psql('postgres', "SELECT round(extract(epoch FROM max(occurred_at) FILTER (WHERE event_type = 'BankProcessingStarted')
		- max(occurred_at) FILTER (WHERE event_type = 'TransactionStarted')) * 1000, 1) FROM pgw.payment_history((SELECT payment_id FROM pgw.find_payment('quick$n')))");
	push @ms, $taken;
}
my $median = (sort { $a <=> $b } @ms)[10];
in_time($median, 50, "a submitted payment is taken within milliseconds (median $median ms)");

# NOTIFY: one per change of state, by the worker, without secrets.
my $notes = $node->safe_psql('postgres', 'LISTEN pgw_payments; SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'noted') . '; SELECT pg_sleep(0.5); SELECT 1');
my $noted = $node->safe_psql('postgres', "SELECT payment_id FROM pgw.find_payment('noted')");
like($notes, qr/Asynchronous notification "pgw_payments" with payload "\{"payment_id": "\Q$noted\E", "kind": "payment", "outcome": "captured"\}"/, 'NOTIFY tells payment, kind and outcome');

# DROP EXTENSION does not hang with a waiting caller, of whom the bank knows nothing yet; with one of whom it does it is refused (261_drop.pl).
wait_rest($node, $bank);
my $worker = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
kill 'STOP', $worker;
my $waiting = psql_start($node, 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'dropped'));
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND backend_type = 'client backend'"), 'a caller waits');
my $dropper = psql_start($node, 'SET pgw.allow_drop = on; DROP EXTENSION pgw');
$waiting->{h}->finish;
like($waiting->{err}, qr/PW500.*extension_dropped/s, 'DROP EXTENSION: the caller is told with PW500');
kill 'CONT', $worker;
$dropper->{h}->finish;
is($dropper->{err}, '', 'and DROP EXTENSION goes through');

$node->stop('fast');
done_testing();
