# Nothing but the standby itself ends the worker's wait for it: no time limit of the worker's own, and no cancel.  Else an intent that no other machine has would be sent.
use strict;
use warnings;
use lib 'test/lib';
use PgwOperations;
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('fence', debug => 1, conf => "fsync = off\npgw.fencing_delay = 0\n", init => { allows_streaming => 1 });
my $bank = bank_start();
pgw_setup($node, $bank);
my $worker = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'pgw worker'";

sub query { return $node->safe_psql('postgres', $_[0]) }

$node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
$node->reload;
my $writer = PgwSession->new($node)->send('CREATE TABLE waits_for_the_standby ()');
ok(wait_until(sub { query("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'client backend'") == 1 }, 30), 'commits wait');

my $caller = PgwSession->new($node)->send('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'fenced', timeout => '120s'));
ok(wait_until(sub { query("SELECT count(*) $worker") == 1 }, 30), 'the worker waits with an intent');
ok(wait_until(sub { query("SELECT count(*) $worker AND clock_timestamp() - state_change > interval '7 s'") == 1 || @{ bank_ledger($bank)->{charges} } > 0 }, 60), 'for longer than its transactions may take');
is(scalar @{ bank_ledger($bank)->{charges} }, 0, 'the bank has not been asked');
is(query("SELECT count(pg_cancel_backend(pid)) $worker"), 1, 'somebody cancels it');
ok(wait_until(sub { query("SELECT count(*) $worker AND clock_timestamp() - state_change > interval '9 s'") == 1 || @{ bank_ledger($bank)->{charges} } > 0 }, 60), 'it waits on');
is(scalar @{ bank_ledger($bank)->{charges} }, 0, 'the bank has still not been asked');

$node->safe_psql('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
is($caller->wait, 'captured', 'the standby is given up: the call is paid') or diag($caller->err);
$writer->wait;
is(scalar @{ bank_ledger($bank)->{charges} }, 1, 'once');
ok(wait_until(sub { wait_rest($node, $bank, seconds => 1) }, 30), 'all is at rest');
# Of a commit whose wait has been ended nobody is told while another standby is waited for (266_seen_unreplicated.pl): of that here is nothing to be seen from now on.
$node->restart;

sub setting
{
	my ($name, $value) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET $name = '$value'");
	$node->reload;
	return wait_until(sub { query("SHOW $name") eq $value }, 30);
}

# What is only told waits for none: the payment is on the other machine already, and the message is nowhere but in memory.
my $listener = listener($node);
debug_arm($node, 'listing', 'stop');
is(query('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'told')), 'captured', 'another call is paid');
debug_wait($node, 'listing');
setting('synchronous_standby_names', 'nobody');
$writer = PgwSession->new($node)->send('CREATE TABLE waits_again ()');
ok(wait_until(sub { query("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'client backend'") == 1 }, 30), 'then the standby goes');
debug_release($node, 'listing');
is_heard($node, $listener, 'told', 'payment captured', 'listeners hear of it all the same');
setting('synchronous_standby_names', '');
$writer->wait;
$listener->{session}->quit;

# The postmaster dies: the server ends the wait, but what stands on this machine alone is not sent.
setting('pgw.worker_mode', 'paused');
ok(wait_until(sub { query("SELECT details->>'state' FROM pgw.health() WHERE check_name = 'worker'") eq 'paused' }, 30), 'the worker pauses');
is(query('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'orphan')), 'pending', 'a payment is submitted');
setting('synchronous_standby_names', 'nobody');
setting('pgw.worker_mode', 'on');
ok(wait_until(sub { query("SELECT count(*) $worker") == 1 }, 30), 'the worker waits with another intent');
my $pid = query("SELECT pid $worker");
$node->kill9;
ok(wait_until(sub { !kill 0, $pid }, 30), 'without a postmaster it ends');
is(scalar @{ bank_ledger($bank)->{charges} }, 2, 'and has not asked the bank');
$node->start;
setting('synchronous_standby_names', '');
ok(wait_until(sub { query("SELECT status FROM pgw.payments WHERE client_request_id = 'orphan'") eq 'captured' }, 60), 'after a restart, without the standby, it is paid');
is(scalar @{ bank_ledger($bank)->{charges} }, 3, 'once');
is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
