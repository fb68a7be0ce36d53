# The clock was an hour ahead when a notification came, and was set back before the worker had used it: it is used now, not in an hour.
use strict;
use warnings;
use lib 'test/lib';
use PgwNotifying;
use PgwNotifyingBank;
use PgwPostman;
use PgwServerClock;
use PgwTest;
use Test::More;

my $node = pgw_node('clock_back_evidence', start => 0, conf => "fsync = off\n");
my $bank = bank_start();
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub attempt { return sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = 'o'") }

set_server_clock($node, 3600);
start_with_clock($node);
pgw_setup($node);
my $postman = notifying_bank($node, $bank, 'told', told_connector('told'), accepts => ['charge'], accepted_ms => 20);
# the bank's clock is the real one
sql(q(UPDATE pgw.connectors SET definition = jsonb_set(definition::jsonb, '{notifications,signature,tolerance_seconds}', '7200') WHERE name = 'told'));
sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'o', bank => 'told', amount => 1000));
ok(wait_until(sub { attempt() eq 'BankUnknown' }, 60), 'the charge pends');
change_settings($node, 'pgw.worker_mode' => 'paused');
ok(wait_until(sub { $postman->round(\&sql) }, 60), 'the bank says what became of it');
is(sql("SELECT evidence FROM pgw.notifications"), 'waiting', 'which waits');
$node->stop;
set_server_clock($node, 0);
start_with_clock($node);
change_settings($node, 'pgw.worker_mode' => 'on');
ok(wait_until(sub { attempt() eq 'Completed' }, 60), 'it is used within a minute, not in an hour')
  or diag(sql("SELECT evidence, recorded_at, clock_timestamp() FROM pgw.notifications"));
$node->stop;
done_testing();
