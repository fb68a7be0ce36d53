# A logical subscriber that takes payments beside its publisher would charge them twice: pgw.health() says so.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $bank = bank_start();
my $publisher = pgw_node('publisher', init => { allows_streaming => 'logical' }, conf => "fsync = off\n");
my $subscriber = pgw_node('subscriber', init => { allows_streaming => 'logical' }, conf => "fsync = off\n");
pgw_setup($_, $bank) for $publisher, $subscriber;

sub health
{
	return $subscriber->safe_psql('postgres', "SELECT concat_ws('|', status, details->'subscriptions'->0->>'subscription') FROM pgw.health() WHERE check_name = 'subscriptions'");
}

is(health(), 'ok', 'no subscription');
$publisher->safe_psql('postgres', 'CREATE TABLE orders (id int PRIMARY KEY); CREATE PUBLICATION orders FOR TABLE orders;
	CREATE PUBLICATION payments FOR TABLE pgw.payments, pgw.payment_transactions, pgw.transaction_events');
$subscriber->safe_psql('postgres', 'CREATE TABLE orders (id int PRIMARY KEY)');
my $connection = $publisher->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION orders CONNECTION '$connection' PUBLICATION orders");
is(health(), 'ok', 'a subscription to other tables');
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION payments CONNECTION '$connection' PUBLICATION payments WITH (copy_data = false)");
is(health(), 'error|payments', 'a subscription that writes pgw\'s tables, and a worker that pays');
like($subscriber->safe_psql('postgres', "SELECT advice FROM pgw.health() WHERE check_name = 'subscriptions'"), qr/charged twice.*pgw\.worker_mode = paused/, 'and what to do');
$subscriber->safe_psql('postgres', "ALTER SYSTEM SET pgw.worker_mode = 'paused'");
$subscriber->reload;
ok(wait_until(sub { health() eq 'warning|payments' }, 20), 'paused: a warning');
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION payments');
is(health(), 'ok', 'none any more');

# The initial copy pauses by itself.
$subscriber->safe_psql('postgres', "ALTER SYSTEM RESET pgw.worker_mode");
$subscriber->reload;
is($publisher->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'there')), 'captured', 'the publisher pays');
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION copied CONNECTION '$connection' PUBLICATION payments");
ok($subscriber->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgw.find_payment('there')"), 'the initial copy');
ok(wait_until(sub { health() eq 'warning|copied' }, 20), 'it is paused');
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION copied');

# All that pgw writes can be applied row by row, also by who publishes all tables. A claim on a bank's id that is there already, as once more when a pending charge is done, is
# no INSERT that is taken back; and the publisher's mark of open work is left out.
$publisher->safe_psql('postgres', 'CREATE PUBLICATION everything FOR ALL TABLES');
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION everything CONNECTION '$connection' PUBLICATION everything WITH (copy_data = false)");
my $mark = $subscriber->safe_psql('postgres', 'SELECT below FROM pgw.open_work_mark');
$publisher->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'pending first', token => 'tok_charge_pending_done_500'));
$publisher->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'before the mark'));
ok($publisher->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'pending first'"), 'a charge that the bank does a little later');
ok($publisher->poll_query_until('postgres', "SELECT below > (SELECT transaction_id FROM pgw.payments WHERE client_request_id = 'before the mark') FROM pgw.open_work_mark"), 'the mark is moved');
my $reached = $publisher->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
ok(wait_until(sub { $publisher->safe_psql('postgres', "SELECT coalesce(bool_and(confirmed_flush_lsn >= '$reached'), false) FROM pg_replication_slots WHERE slot_name = 'everything'") eq 't'
			|| $subscriber->safe_psql('postgres', "SELECT apply_error_count > 0 FROM pg_stat_subscription_stats WHERE subname = 'everything'") eq 't' }, 120), 'the subscriber has read it');
is($subscriber->safe_psql('postgres', "SELECT apply_error_count FROM pg_stat_subscription_stats WHERE subname = 'everything'"), 0, 'without an error');
is($subscriber->safe_psql('postgres', "SELECT status FROM pgw.payments WHERE client_request_id = 'pending first'"), 'captured', 'and has it');
is($subscriber->safe_psql('postgres', 'SELECT below FROM pgw.open_work_mark'), $mark, 'its mark is its own');
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION everything');

# Without an initial copy: the first attempt of the publisher that arrives pauses, also beside payments of the subscriber's own, older and newer ones. Until the
# worker has seen it, health() does not say that it is paused.
my ($alone, $other) = map { pgw_node($_, init => { allows_streaming => 'logical' }, conf => "fsync = off\npgw.recovery_interval = 1h\n") } 'alone', 'other';
pgw_setup($_, $bank) for $alone, $other;
sub health_rows { return $alone->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', check_name, status, details->>'state', details->>'paused'), ', ' ORDER BY check_name) FROM pgw.health()
	WHERE check_name IN ('worker', 'restored', 'subscriptions')") }
is($alone->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'older')), 'captured', 'a payment of its own');
$other->safe_psql('postgres', 'CREATE PUBLICATION payments FOR TABLE pgw.payments, pgw.payment_transactions, pgw.transaction_events');
my $from_other = $other->connstr . ' dbname=postgres';
$alone->safe_psql('postgres', "CREATE SUBSCRIPTION s CONNECTION '$from_other' PUBLICATION payments WITH (copy_data = false)");
is(health_rows(), 'restored ok false, subscriptions error, worker ok running', 'nothing has arrived yet');
my $worker = $alone->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND datname = 'postgres'");
kill 'STOP', $worker;
is($other->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'theirs')), 'captured', 'the publisher pays');
ok($alone->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pgw.restore_pending'), 'its attempt arrives, and leaves a mark');
is(health_rows(), 'restored error false, subscriptions error, worker ok running', 'the worker has not seen it yet: health() does not say that it is paused');
like($alone->safe_psql('postgres', "SELECT advice FROM pgw.health() WHERE check_name = 'restored'"), qr/its worker still pays/, 'and what to do');
kill 'CONT', $worker;
ok(wait_until(sub { health_rows() eq 'restored error true, subscriptions warning, worker warning paused' }, 20), 'it looks at once, and is paused') or diag(health_rows());
my (undef, undef, $err) = $alone->psql('postgres', 'SELECT ' . pay_sql('process_payment', client_request_id => 'newer'));
like($err, qr/paused/, 'nothing is paid here');
$alone->safe_psql('postgres', 'DROP SUBSCRIPTION s; SELECT pgw.resume_after_restore()');
ok(wait_until(sub { health_rows() eq 'restored ok false, subscriptions ok, worker ok running' }, 20), 'resumed') or diag(health_rows());
$_->stop('fast') for $alone, $other;
$_->stop('fast') for $subscriber, $publisher;
done_testing();
