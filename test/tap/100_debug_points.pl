# The debug points themselves: what the other 10x tests rely on, and that no other build has them.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

chomp(my $libraries = qx('$ENV{PGW_PG_CONFIG}' --pkglibdir));
sub symbols { return scalar qx(nm '$_[0]$libraries/pgw.so') }
like(symbols($ENV{PGW_DEBUG_INST}), qr/ pgw_debug_point$/m, 'the build for tests has debug points');
my $production = symbols($ENV{PGW_INST});
like($production, qr/ pgw_process_payment_1_0$/m, 'the ordinary build is one of pgw');
unlike($production, qr/pgw_debug|tell_pid|stop_until_released/, 'and has none');

my $node = pgw_node('points', debug => 1, conf => "restart_after_crash = on\npgw.compensation_delay = '50ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

# stop: the process is where it says, and goes on when told; one process for one arming
debug_arm($node, 'claimed', 'stop');
my $stopped = PgwSession->new($node)->send('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'stopped'));
my $pid = debug_wait($node, 'claimed');
is($pid, $stopped->backend, 'the process that stopped is the one that pays');
is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'passing')), 'captured', 'others pass');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
ok(!$stopped->done, 'a cancel does not move it');
debug_release($node, 'claimed');
$stopped->wait;
is($stopped->state, '57014', 'released, it goes on to what was waiting for it');

# error: thrown once
debug_arm($node, 'claimed', 'error');
my (undef, undef, $err) = $node->psql('postgres', 'SELECT ' . pay_sql('process_payment', client_request_id => 'failed'));
like($err, qr/debug point "claimed"/, 'an error is thrown');
is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'failed')), 'captured', 'once');
debug_clear($node);

# kill: the whole cluster restarts
debug_arm($node, 'claimed', 'kill');
my $seen = -s $node->logfile;
my $killed = PgwSession->new($node);
$killed->run('SELECT ' . pay_sql('process_payment', client_request_id => 'killed'));
is($killed->state, '08006', 'a kill takes the connection');
is(debug_wait($node, 'claimed'), $killed->backend, 'of the process that says so');
ok(wait_until(sub { slurp_file($node->logfile, $seen) =~ /database system is ready/ }, 60), 'and the cluster restarts');
ok(wait_worker($node), 'with its worker');
is_sound($node, $bank, 'tables and ledger agree');

$node->stop('fast');
done_testing();
