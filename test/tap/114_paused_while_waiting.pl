# A caller whose request the worker has not taken yet when pgw.worker_mode = paused begins is told so, and nothing is sent.
use strict;
use warnings;
use lib 'test/lib';
use PgwRestore;
use PgwTest;
use Test::More;

my $bank = bank_start();
my $origin = scanning_node('origin');
pgw_setup($origin, $bank);

my $worker = $origin->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND datname = 'postgres'");
kill 'STOP', $worker;
my $caller = psql_start($origin, 'SELECT ' . pay_sql('process_payment', client_request_id => 'waiting'));
ok($origin->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND backend_type = 'client backend'"), 'a caller waits');
my $sent = requests_sent($bank);
change_settings($origin, 'pgw.worker_mode' => 'paused');
is($origin->safe_psql('postgres', 'SHOW pgw.worker_mode'), 'paused', 'the server has read its settings');
kill 'CONT', $worker;
$caller->{h}->finish;
like($caller->{err}, qr/PW500.*worker_paused.*pgw\.worker_mode/s, 'is told of the pause');
is(requests_sent($bank), $sent, 'and nothing is sent');

$origin->stop('fast');
done_testing();
