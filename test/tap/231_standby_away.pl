# The synchronous standby is away: commits stand still, waits do not, and what nobody waits for any more is not sent when it is back.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('away', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\n", init => { allows_streaming => 1 });
my $bank = bank_start();
pgw_setup($node, $bank);
my $withdrawn = 'TransactionStarted,BankProcessingStarted,BankProcessingFailed,TransactionFailed';

sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

sub waiting_for_standby
{
	return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = '$_[0]'");
}

is($node->safe_psql('postgres', pay('before')), 'captured', 'with no standby configured');
$node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
$node->reload;
my $writer = PgwSession->new($node)->send('CREATE TABLE waits_for_the_standby ()');
ok(wait_until(sub { waiting_for_standby('client backend') == 1 }, 30), 'a standby that is not there is waited for');

my $t = time;
my $first = PgwSession->new($node)->send(pay('first', timeout => '3s'));
ok(wait_until(sub { waiting_for_standby('pgw worker') == 1 }, 30), 'the worker waits for it with an intent');
my $patient = PgwSession->new($node)->send(pay('patient', timeout => '120s'));
my $second = PgwSession->new($node)->send(pay('second', timeout => '3s'));
$_->wait for $first, $second;
cmp_ok(time - $t, '<', 20, 'both waits end at their time-outs');
is($first->state, 'PW500', 'whose intent stands still: nothing was sent') or diag($first->err);
is($second->state, 'PW500', 'whose request was not even taken: likewise') or diag($second->err);
is($node->safe_psql('postgres', "SELECT count(*) FROM pgw.payments WHERE client_request_id <> 'before'"), 0, 'neither has left a payment');
is(waiting_for_standby('pgw worker'), 1, 'the worker still waits');

# It comes.
my $archive = $node->basedir . '/received';
mkdir $archive;
my ($out, $err) = ('', '');
my $standby = IPC::Run::start([ 'pg_receivewal', '--synchronous', '-D', $archive, '-s', 1, '-d', $node->connstr('postgres') . ' application_name=nobody' ], '<', \undef, '>', \$out, '2>', \$err);
is($patient->wait, 'captured', 'it comes: who still waits is paid') or diag($patient->err, $err);
$writer->wait;
is($node->safe_psql('postgres', pay('after')), 'captured', 'and so is who comes now');
ok(wait_until(sub { wait_rest($node, $bank, seconds => 1) }, 30), 'all is at rest');
is(scalar(map { charges_of($node, $bank, $_) } 'first', 'second'), 0, 'the bank has never heard of the two who had gone');
is(events($node, 'first'), $withdrawn, 'whose intent became durable: failed, never sent');
is(events($node, 'second'), '', 'whose request was not taken: nothing is recorded');
is(scalar @{ bank_ledger($bank)->{charges} }, 3, 'three charges in all');
is($node->safe_psql('postgres', pay('first')), 'captured', 'the same call again pays');
is_sound($node, $bank, 'sound');

$standby->signal('INT');
$standby->finish;
$node->safe_psql('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
$node->stop('fast');
done_testing();
