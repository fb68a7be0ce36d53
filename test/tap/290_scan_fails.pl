# A scan that fails because a DBA has locked or altered a table is repeated at intervals: not as fast as the processor and the disk of the log can go.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('scan_fails');
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $_[0])) }

my $worker = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
sub cpu_ticks { my @f = split ' ', slurp_file("/proc/$worker/stat") =~ s/.*\) //r; return $f[11] + $f[12] }

is(pay('before'), 'captured', 'a payment');

my $seen = -s $node->logfile;
sql('ALTER EVENT TRIGGER pgw_keep_baseline DISABLE');
sql('ALTER TABLE pgw.payment_transactions RENAME COLUMN next_step_at TO gone');
my $scan = psql_start($node, 'SELECT pgw.run_recovery()');
my $errors = sub { my @e = slurp_file($node->logfile, $seen) =~ /ERROR:  column t.next_step_at does not exist/g; return scalar @e };
my $began = time;
ok(wait_until(sub { $errors->() >= 3 }, 20), 'a scan without one of its columns fails, and is tried again');
cmp_ok($errors->(), '<=', 3 + 2 * (time - $began), 'twice a second at most');
my $busy = cpu_ticks();
$began = time;
ok(wait_until(sub { time - $began > 2 }, 10), 'two seconds later') or diag('the clock stands still');
cmp_ok($errors->(), '<', 30, 'the log has not been filled');
cmp_ok(cpu_ticks() - $busy, '<', 60, 'nor a processor taken');
sql('ALTER TABLE pgw.payment_transactions RENAME COLUMN gone TO next_step_at; ALTER EVENT TRIGGER pgw_keep_baseline ENABLE ALWAYS');
$scan->{h}->finish;
is($scan->{err}, '', 'the scan ends when the column is back');

my $lock = psql_start($node, 'BEGIN; LOCK TABLE pgw.payment_transactions; SELECT pg_sleep(4); COMMIT');
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE relation = 'pgw.payment_transactions'::regclass AND mode = 'AccessExclusiveLock' AND granted"),
	'a locked table');
$scan = psql_start($node, 'SELECT pgw.run_recovery()');
$busy = cpu_ticks();
$lock->{h}->finish;
my $taken = cpu_ticks() - $busy;
cmp_ok($taken, '<', 40, 'takes no processor');
$scan->{h}->finish;
is($scan->{err}, '', 'the scan ends when the lock is gone');
is(pay('after'), 'captured', 'a payment after it');
is_reconciled($node, $bank);
done_testing();
