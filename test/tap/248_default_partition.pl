# The default partition of the events has become large, or holds events of a month whose partition is to be made: nothing is lost, nobody is stopped, and
# people are told.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('default_partition', conf => "fsync = off\nautovacuum = off\nmax_wal_size = '2GB'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $_[0])) }

sub partition_name
{
	return sql("SELECT 'transaction_events_y' || to_char(date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + interval '$_[0] months', 'YYYY\"m\"MM')");
}

sub is_attached
{
	return sql("SELECT count(*) FROM pg_inherits WHERE inhparent = 'pgw.transaction_events'::regclass AND inhrelid = to_regclass('pgw.$_[0]')");
}

sub health { return sql("SELECT status || ' ' || details FROM pgw.health() WHERE check_name = 'partitions'") }

# The next worker looks at once.
sub new_worker
{
	my $pid = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
	sql("SELECT pg_terminate_backend($pid, 20000)");
	return $node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND pid <> $pid");
}

# An event of a transaction so many months from now.
my $event = "INSERT INTO pgw.transaction_events_default (event_id, transaction_id, event_type, to_status, occurred_at, event_data, error_details, step_order, txid)
	SELECT gen_random_uuid(), (rpad(lpad(to_hex((extract(epoch FROM date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + interval '%s months 3 days') * 1000)::bigint + i), 12, '0'), 32, '7'))::uuid,
		'TransactionStarted', 'Created', clock_timestamp(), '{}', %s, 1, '1' FROM generate_series(1, %d) i";

is(pay('before'), 'captured', 'a payment');
my $next = partition_name(1);
my $later = partition_name(2);
is(is_attached($_), 1, "$_ was made ahead") for $next, $later;

part($node, 'strays', sub {
	sql("ALTER TABLE pgw.transaction_events DETACH PARTITION pgw.$later; DROP TABLE pgw.$later");
	sql(sprintf $event, 2, "'stray'", 1);
	my $seen = -s $node->logfile;
	ok(new_worker(), 'strays: a new worker');
	ok(wait_until(sub { slurp_file($node->logfile, $seen) =~ /stay in the default partition, which already holds some of that month/ }, 30), 'strays: it says what is in the way');
	is(is_attached($later), 0, 'strays: that month has no partition');
	is(sql("SELECT count(*) FROM pgw.transaction_events WHERE error_details = 'stray'"), 1, 'strays: nothing is lost');
	like(health(), qr/^warning.*"default_partition_in_use": true/, 'strays: health() says so');
	is(pay('beside strays'), 'captured', 'strays: payments go on');
});

part($node, 'large', sub {
	sql("ALTER TABLE pgw.transaction_events DETACH PARTITION pgw.$next; DROP TABLE pgw.$next");
	sql(sprintf $event, -24, "repeat(md5(i::text), 60)", 80_000);
	cmp_ok(sql("SELECT pg_relation_size('pgw.transaction_events_default') / 1048576"), '>=', 129, 'large: the default partition');
	my $seen = -s $node->logfile;
	ok(new_worker(), 'large: a new worker');
	ok(wait_until(sub { slurp_file($node->logfile, $seen) =~ /WARNING:  pgw: the events' partition of this month or a coming one is missing/ }, 30), 'large: it says that it does not look through that');
	is(is_attached($next), 0, 'large: and does not');
	like(health(), qr/^warning.*"next_month": false.*"default_partition_bytes": \d{9}/, 'large: health() says so, too');
	is(pay('beside much'), 'captured', 'large: payments go on');
	is(sql('SELECT pgw.ensure_event_partitions()'), 1, 'large: the owner can have it made');
	is(is_attached($next), 1, 'large: it is there');
	like(health(), qr/"next_month": true/, 'large: health() sees it');
});

$node->stop('fast');
done_testing();
