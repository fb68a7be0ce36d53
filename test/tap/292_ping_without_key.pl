# A bank is left alone, and the ping that would find out how it is cannot be made for want of its key: the worker goes on, and pings once the key is back.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('pingless', conf => "fsync = off\npgw.breaker_failures = 2\npgw.breaker_cooldown = '1s'\npgw.retry_base_delay = '100ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my $port = $bank->{port};
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { return (split /\|/, sql('SELECT status, error_code FROM ' . pay_sql('process_payment', client_request_id => $_[0], timeout => '5s')))[0] }
sub bank_check { return sql("SELECT status FROM pgw.health() WHERE check_name = 'bank:bank'") }
my $secret = $node->basedir . '/secrets/bank';
my $worker = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'");

is(pay('before'), 'captured', 'a payment');
bank_stop($bank);
pay("down $_") for 1 .. 3;
ok(wait_until(sub { bank_check() eq 'error' }, 30), 'the bank is down, and is left alone');
rename $secret, "$secret.away" or die $!;

# So that a ping has been due several times: the breaker's time is told by the database's clock.
my $due = sql("SELECT clock_timestamp() + interval '5s'");
ok(wait_until(sub { my ($rc, $late) = $node->psql('postgres', "SELECT clock_timestamp() > '$due'"); $rc != 0 || $late eq 't' }, 60), 'pings have been due');
is(($node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'"))[1], $worker, 'the same worker is there');
unlike(slurp_file($node->logfile), qr/terminated by signal|exited with exit code/, 'nothing has crashed');

rename "$secret.away", $secret or die $!;
my $again = bank_start('--port', $port);
ok(wait_until(sub { bank_check() eq 'ok' }, 60), 'with its key, the ping finds the bank') or diag(sql('SELECT h FROM pgw.health() h'));

$node->stop('fast');
done_testing();
