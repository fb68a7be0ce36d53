# What stops payments, or soon will, is made here, one after the other, and pgw.health() names it within five seconds. What
# else each row says is in 130_health and the tests of its subject.
use strict;
use warnings;
use lib 'test/lib';
use PgwMonitoring;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('blind_spots', debug => 1, start => 0, allows_streaming => 1, conf => "fsync = off\npgw.fencing_delay = 0\nmax_files_per_process = 100\nmax_connections = 40\npgw.max_waiting = 60\n");
$node->append_conf('postgresql.conf', "wal_level = replica\nmax_wal_senders = 4\nautovacuum = off\n");
$node->start;
my $bank = bank_start();
pgw_setup($node, $bank);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

# Since the fault was made: the row says so in time.  Each look counts, as it takes its time, too.
sub is_named
{
	my ($check, $pattern, $what, $on) = @_;
	my $began = time;
	my $said = '';
	my $named = wait_until(sub { $said = ($on // $node)->safe_psql('postgres', "SELECT status || ' ' || coalesce(advice, '') || ' ' || details FROM pgw.health() WHERE check_name = '$check'"); $said =~ $pattern }, 30);
	my $took = time - $began;
	ok($named, $what) or diag($said);
	return in_time($took, 5, sprintf('... within five seconds: %.1f', $took));
}
sub is_ok { my ($check) = @_; return ok(health_becomes($node, $check, qr/^ok/), "$check: over") }

is(sql(pay('first')), 'captured', 'a payment');

part($node, 'a full tablespace', sub {
	# as the server says it of a device without room
	sql(q{CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END$$});
	sql("CREATE TRIGGER full_up BEFORE INSERT OR UPDATE ON pgw.payment_transactions FOR EACH ROW EXECUTE FUNCTION public.full()");
	$node->psql('postgres', pay("full $_", timeout => '1s')) for 1 .. 3;
	is_named('writes', qr/^error .*53100/, 'writes fail, with the SQLSTATE');
	sql('DROP TRIGGER full_up ON pgw.payment_transactions');
	is(sql(pay('room')), 'captured', 'there is room again');
});

part($node, 'a standby that is away', sub {
	sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
	$node->reload;
	my $waiting = PgwSession->new($node)->send(pay('waits', timeout => '120s'));
	is_named('worker', qr/^error The worker waits for a synchronous standby.*SyncRep/, 'the worker waits for it');
	sql('ALTER SYSTEM RESET synchronous_standby_names');
	$node->reload;
	is($waiting->wait, 'captured', 'no longer');
	is_ok('worker');
});

part($node, 'DDL that waits', sub {
	my $reader = PgwSession->new($node);
	$reader->run('BEGIN; SELECT count(*) FROM pgw.payments');
	my $ddl = PgwSession->new($node)->send('ALTER TABLE pgw.payments ADD COLUMN mine int');
	is_named('table_locks', qr/^(?:warning|error) .*"payments"/, 'who is waited for');
	$reader->run('ROLLBACK');
	$ddl->wait;
	is_ok('table_locks');
});

part($node, 'a key that the bank refuses', sub {
	secret_file($node, 'revoked', 'revoked');
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) SELECT 'revoked', connector, base_url, 'revoked', 500 FROM pgw.banks WHERE name = 'bank'");
	is(sql(pay('refused', bank => 'revoked')), 'failed', 'a payment that meets it');
	is_named('bank:revoked', qr/^error The bank refuses its key/, 'the bank refuses its key');
	sql("UPDATE pgw.banks SET enabled = false WHERE name = 'revoked'");
});

part($node, 'a detached partition', sub {
	my $month = sql("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'pgw.transaction_events'::regclass AND inhrelid::regclass::text LIKE '%' || to_char(now() AT TIME ZONE 'UTC', 'YYYY') || '%' || to_char(now() AT TIME ZONE 'UTC', 'MM')");
	my $bounds = sql("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = '$month'::regclass");
	sql("ALTER TABLE pgw.transaction_events DETACH PARTITION $month");
	is_named('partitions', qr/^warning .*"this_month": false/, "this month's is missing");
	sql("ALTER TABLE pgw.transaction_events ATTACH PARTITION $month $bounds");
	is_ok('partitions');
});

part($node, 'a disabled trigger', sub {
	sql('ALTER EVENT TRIGGER pgw_keep_baseline DISABLE; ALTER TABLE pgw.transaction_events DISABLE TRIGGER ALL');
	is_named('baseline', qr/^warning .*pgw_keep_baseline/, 'first what guards it');
	sql('ALTER EVENT TRIGGER pgw_keep_baseline ENABLE ALWAYS');
	is_named('baseline', qr/^warning .*transaction_events/, 'and when it is on again, what was switched off meanwhile');
	sql('ALTER TABLE pgw.transaction_events ENABLE ALWAYS TRIGGER ' . sql("SELECT string_agg(quote_ident(tgname), '; ALTER TABLE pgw.transaction_events ENABLE ALWAYS TRIGGER ') FROM pg_trigger WHERE tgrelid = 'pgw.transaction_events'::regclass AND NOT tgisinternal"));
	is_ok('baseline');
});

part($node, 'descriptors', sub {
	my $capacity = sql("SELECT details->>'capacity' FROM pgw.health() WHERE check_name = 'connections'");
	my $n = int($capacity * 4 / 5) + 1;
	my $calls = PgwSession->new($node)->send("SELECT count(*) FROM pgw.process_payments((SELECT jsonb_agg(jsonb_build_object('client_request_id', 'many ' || i, 'amount', 1, 'currency', 'EUR', 'token', 'tok_slow_3000'))
		FROM generate_series(1, $n) i), atomic => false)");
	is_named('connections', qr/^warning .*max_files_per_process/, "$n calls of $capacity that there is room for");
	is($calls->wait, $n, 'they end');
	is_ok('connections');
});

part($node, 'a paused copy', sub {
	$node->backup('copy');
	my $copy = PostgreSQL::Test::Cluster->new('blind_copy');
	$copy->init_from_backup($node, 'copy');
	$copy->start;
	is_named('restored', qr/^error .*pgw\.resume_after_restore.*base_backup/s, 'it is a copy', $copy);
	$copy->stop('fast');
});

# Transaction ids are used up by the tool that can, and its segment of the commit log is made as the server would have made it.
part($node, 'transaction ids', sub {
	ok(wait_rest($node, $bank), 'at rest');
	$node->stop('fast');
	my $xid = 1_100_000_512 & ~(32768 * 32 - 1);
	command_ok([ 'pg_resetwal', '-x', $xid, $node->data_dir ], 'a thousand million ids later');
	my $segment = sprintf '%s/pg_xact/%04X', $node->data_dir, $xid / (32768 * 32);
	open my $f, '>', $segment or die "$segment: $!";
	print $f "\0" x 262144;
	close $f;
	$node->start;
	is_named('transaction_ids', qr/^warning .*"age": 1\d{9}/, 'the oldest is old');
});

$node->stop('fast');
done_testing();
