# A physical copy and an upgraded cluster stay paused until told; a promoted standby pays at once. More in 260_copies.pl.
use strict;
use warnings;
use lib 'test/lib';
use PgwRestore;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $bank = bank_start();
my $origin = scanning_node('origin');
pgw_setup($origin, $bank);
is(paid($origin, 'postgres', 'done'), 'captured', 'a payment is done');

# --- A physical copy is paused, whatever else pauses it; a promoted standby is no copy.
set_worker_mode($origin, 'paused');
my $sent = requests_sent($bank);
$origin->backup('clone');
my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($origin, 'clone');
$clone->start;
ok(wait_worker($clone, 'postgres'), 'a physical copy, started with pgw.worker_mode = paused, has its worker');
is_refused($clone, 'postgres', 'cloned', 'pgw.resume_after_restore()', 'which is paused, and the hint says what to do');
change_settings($clone, 'pgw.worker_mode' => 'on');
is($clone->safe_psql('postgres', 'SHOW pgw.worker_mode'), 'on', 'the setting is changed');
is_refused($clone, 'postgres', 'cloned', 'pgw.resume_after_restore()', 'also with pgw.worker_mode = on');
ok(worker_looks($clone, 'postgres', 3), 'and only looks');
is(requests_sent($bank), $sent, 'and sends nothing');
$clone->stop('fast');

set_worker_mode($origin, 'on');
is(paid($origin, 'postgres', 'before the promotion'), 'captured', 'the origin pays again');
is($origin->safe_psql('postgres', "SELECT count(*) FROM pgw.payment_transactions WHERE status NOT IN ('Completed', 'Failed', 'Refunded')"), 0, 'and is at rest');
$origin->backup('standby');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($origin, 'standby', has_streaming => 1);
$standby->start;
# an event that is no webhook yet when the server is stopped
$origin->safe_psql('postgres', "INSERT INTO pgw.webhook_endpoints (endpoint, url, secret) VALUES ('shop', 'http://127.0.0.1:1/', 'bank')");
my $holder = PgwSession->new($origin);
$holder->query('BEGIN');
$holder->query('LOCK TABLE pgw.event_consumers');
is(paid($origin, 'postgres', 'told later'), 'captured', 'a payment whose event nobody reads');
$origin->wait_for_catchup($standby);
# What pg_upgrade loads to see whether it is there it does not look for beside the extension, from 18 on; nothing but a test has pgw elsewhere.
$origin->safe_psql('postgres', q{UPDATE pg_proc SET probin = 'pgw' WHERE probin = '$libdir/pgw'}) if $ENV{PGW_CONF} =~ /^extension_control_path/m;
$origin->stop('fast');
$standby->promote;
ok(wait_worker($standby, 'postgres'), 'a promoted standby has its worker');
is(paid($standby, 'postgres', 'promoted'), 'captured', 'and pays at once');
$standby->restart;
ok(wait_worker($standby, 'postgres'), 'a restart');
is(paid($standby, 'postgres', 'restarted'), 'captured', 'is no reason to pause');
$standby->stop('fast');

# --- pg_upgrade: new system identifier, the same files.
my $upgraded = scanning_node('upgraded', start => 0);
chdir $upgraded->basedir or die $!;
command_ok([ 'pg_upgrade', '--no-sync', '-d', $origin->data_dir, '-D', $upgraded->data_dir, '-b', $ENV{PGW_BIN}, '-B', $ENV{PGW_BIN},
	'-s', $upgraded->host, '-p', $origin->port, '-P', $upgraded->port ], 'pg_upgrade');
chdir "$ENV{PGW_WORK}/tree" or die $!;
$upgraded->start;
ok(wait_worker($upgraded, 'postgres'), 'the upgraded cluster has its worker');
stays_paused($upgraded, $bank, 'postgres', 'upgraded');
is_resumed($upgraded, 'postgres', 0, 'upgraded');
ok($upgraded->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgw.webhook_queue WHERE payload ~ 'told later'"), 'what was no webhook yet becomes one');

charged_once_each($bank);
$upgraded->stop('fast');
done_testing();
