# The launcher and the workers: one worker in each database that has the extension, and nothing in its way.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('lifecycle', init => { allows_streaming => 1 },
	conf => "max_files_per_process = 4000\n");
my $bank = bank_start();

sub workers
{
	return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pgw worker'" . ($_[0] ? " AND datname = '$_[0]'" : ''));
}

sub run_timed
{
	my ($sql) = @_;
	my $t = time;
	my ($rc, $out, $err) = $node->psql('postgres', $sql);
	return (time - $t, $rc, $err);
}

is(workers(), 0, 'no worker without the extension');
# what the machine and its disk need for a database that has no worker
$node->safe_psql('postgres', 'CREATE DATABASE bare');
my ($bare) = run_timed('DROP DATABASE bare');
$node->safe_psql('postgres', 'CREATE EXTENSION pgw');
my $t = time;
ok(wait_until(sub { workers('postgres') == 1 }, 5), 'CREATE EXTENSION brings the worker');
in_time(time - $t - $bare, 1.5, 'within a second or so');

$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', 'CREATE EXTENSION pgw');
ok(wait_until(sub { workers('shop') == 1 }, 5), 'a database that gets the extension later gets its worker');

my ($secs, $rc, $err) = run_timed('ALTER DATABASE shop RENAME TO store');
is($rc, 0, 'RENAME while the worker runs') or diag($err);
ok(wait_until(sub { workers('store') == 1 }, 10), 'and the worker is back under the new name');

($secs, $rc, $err) = run_timed('CREATE DATABASE copy TEMPLATE store');
is($rc, 0, 'CREATE DATABASE TEMPLATE while the worker runs') or diag($err);
ok(wait_until(sub { workers('store') == 1 }, 10), 'the template has its worker again');
($secs, $rc, $err) = run_timed('DROP DATABASE copy');
is($rc, 0, 'DROP DATABASE of the copy') or diag($err);
($secs, $rc, $err) = run_timed('DROP DATABASE store');
is($rc, 0, 'DROP DATABASE of its own database') or diag($err);
in_time($secs - $bare, 2, 'within two seconds');

$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
ok(wait_until(sub { workers('postgres') == 1 }, 10), 'a terminated worker comes back');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw launcher'");
ok(wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pgw launcher'") == 1 }, 10),
	'a terminated launcher comes back');
is(workers('postgres'), 1, 'and leaves the worker alone');

$node->safe_psql('postgres', 'DROP EXTENSION pgw');
ok(wait_until(sub { workers() == 0 }, 10), 'DROP EXTENSION ends the worker');
pgw_setup($node, $bank);
is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'again')), 'captured', 'and a new CREATE EXTENSION pays');

# 500 slow calls in flight must be in nobody's way: neither of another database's end, nor of their own.
sub put_in_flight
{
	my ($db, $ids) = @_;
	my $charges = @{ bank_ledger($bank)->{charges} };
	$node->safe_psql($db, "SELECT count(pgw.submit_payment('$ids-' || n, 100, 'EUR', 'tok_slow_20000')) FROM generate_series(1, 500) n");
	ok(wait_until(sub { @{ bank_ledger($bank)->{charges} } >= $charges + 500 }, 30), "500 slow calls of database $db are in flight");
}
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('postgres', 'CREATE DATABASE busy');
$node->safe_psql('postgres', 'CREATE DATABASE plain');
pgw_setup($node, $bank, db => 'busy');
# what the machine and its disk need for it, with nothing in the way
my ($plain) = run_timed('DROP DATABASE plain');
cmp_ok($plain - $bare, '<', 5, 'DROP DATABASE beside idle workers');
put_in_flight('busy', 'busy');
($secs, $rc, $err) = run_timed('DROP DATABASE other');
is($rc, 0, 'DROP DATABASE of another database') or diag($err);
in_time($secs - $plain, 1, 'takes no second longer than with nothing in flight');
($secs, $rc, $err) = run_timed('DROP DATABASE busy');
is($rc, 0, 'DROP DATABASE of its own database') or diag($err);
in_time($secs - $plain, 2, 'takes no two seconds longer');
put_in_flight('postgres', 'slow');

# A standby has no worker; promoted, it has.
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pgw%'"), 0, 'no worker on a standby');
my (undef, undef, $stderr) = $standby->psql('postgres', '\set VERBOSITY verbose
SELECT ' . pay_sql('process_payment', client_request_id => 'on-standby'));
like($stderr, qr/25006/, 'a standby refuses payments');
$t = time;
$node->stop('fast');
in_time(time - $t, 2, 'a fast shutdown with 500 calls in flight takes less than two seconds');
$standby->promote;
ok(wait_worker($standby, 'postgres'), 'a promoted standby has its worker');
is($standby->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'promoted')), 'captured', 'and pays');
$standby->stop('fast');

done_testing();
