# extremes.pl - pgw where it gets large: thousands of calls in flight, millions of stored payments, a long load, a snapshot that nobody ends
#
#   make bench-extremes [FLIGHT=4000] [STORED=10000000] [LOAD=240] [ONLY=flight,load,snapshot,stored]
#
# Prints what was measured beside what is wanted, and decides nothing: a noisy machine is no failure.  Only a payment that is lost is one.
use strict;
use warnings;
use BenchCost;
use BenchRun;
use BenchStage;
use List::Util 'max';
use Time::HiRes qw(time usleep);

$| = 1;
my %p = %{ parameters({ flight => 4000, stored => 10_000_000, load => 240, only => '' }, @ARGV) };
my %only = map { $_ => 1 } split /,/, $p{only};

sub wanted { my ($name) = @_; return !%only || $only{$name} }
sub told { my ($what, $measured, $reach) = @_; return printf "| %s | %s | %s |\n", $what, $measured, $reach }

# The worker's look for what is due, with nothing due, asked for and waited for.  Milliseconds, the median of nine.
sub scan_ms
{
	return median(map { sql('DO $$ DECLARE began timestamptz := clock_timestamp(); BEGIN PERFORM pgw.run_recovery(); PERFORM set_config(\'bench.ms\', (extract(epoch FROM clock_timestamp() - began) * 1000)::text, false); END $$; SELECT current_setting(\'bench.ms\')') } 1 .. 9);
}

sub submit_many
{
	my ($prefix, $n) = @_;
	sql("SELECT count(pgw.submit_payment('$prefix' || n, 1234, 'EUR', 'tok_ok')) FROM generate_series(1, $n) n");
	return;
}

# Connections to the bank, by the worker's descriptors.
sub sockets { my ($pid) = @_; return scalar grep { (readlink($_) // '') =~ /^socket:/ } glob "/proc/$pid/fd/*" }

sub rate { my ($name, $clients) = @_; return measure($name, $clients, 0, 3, 10)->{throughput} }

# ---------------------------------------------------------------- calls in flight

sub flight
{
	my $worker = worker_pid();
	my $n = 3 * $p{flight};
	my ($most, $memory) = (0, 0);
	sql("UPDATE pgw.banks SET max_in_flight = $p{flight}");
	bank('/control/settings', { delay_ms => 2000 });
	my $before = completed();
	submit_many('flight ', $n);
	my $end = time + 300;
	while (completed() < $before + $n)
	{
		die "not all of $n payments are Completed\n" if time > $end;
		$most = max($most, sockets($worker));
		$memory = max($memory, anon_kb($worker));
		usleep(50_000);
	}
	bank('/control/settings', { delay_ms => 0 });
	my $failed = sql("SELECT count(*) FROM pgw.payment_transactions WHERE status <> 'Completed'");
	told("calls in flight at the same time, bank 2 s", $most, $p{flight});
	told("worker's memory with them", sprintf('%.0f MB', $memory / 1024), 'at most 100 MB');
	told('of them failed', $failed, 0);
	return;
}

# ---------------------------------------------------------------- a long load, and a snapshot that is held

sub dead { return split /\|/, sql("SELECT n_dead_tup, pg_total_relation_size('pgw.payment_transactions') FROM pg_stat_user_tables WHERE relid = 'pgw.payment_transactions'::regclass") }

# Fifteen times as fast as an hour would be: in 240 s what comes in an hour at a fifteenth of the rate, and autovacuum looks every 4 s instead of
# every minute.
sub load
{
	sql("ALTER SYSTEM SET autovacuum_naptime = '4s'");
	sql('SELECT pg_reload_conf()');
	my $payments = 0;
	my @seen;
	for (1 .. int($p{load} / 10))
	{
		my $r = measure('process', 64, 0, 0, 10);
		$payments = sql('SELECT count(*) FROM pgw.payments');
		my ($dead, $size) = dead();
		push @seen, sprintf('%d payments: %d dead rows, %.0f bytes per payment', $payments, $dead, $size / $payments);
		print "# $seen[-1]\n";
	}
	told("after a load of $payments payments", $seen[-1], 'dead rows and size per payment level off');
	return;
}

sub snapshot
{
	my $free = rate('submit', 64);
	my $session = psql_start("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pgw.payments; SELECT pg_sleep(600)");
	my $end = time + 20;
	while (sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()") eq '0')
	{
		die "no snapshot\n" if time > $end;
		usleep(50_000);
	}
	my $held = rate('submit', 64);
	sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()");
	close $session;
	told('submit, 64 clients, beside a snapshot that is held', sprintf('%.0f of %.0f/s: %.0f %%', $held, $free, 100 * $held / $free), 'at least 70 %');
	return;
}

# ---------------------------------------------------------------- millions of payments

# Copies of one finished payment with its attempt and events, ids spread over the last month as real ones are.
sub store
{
	my ($n) = @_;
	my $id = q(lpad(to_hex((extract(epoch FROM now() - interval '20 days') * 1000)::bigint + n * 172), 12, '0') || '7000800' || %s || lpad(to_hex(n), 12, '0'));
	my ($payment, $attempt) = map { sprintf("($id)::uuid", "'$_'") } 1, 2;
	my $copy = sub {
		my ($table, $from, %value) = @_;
		my @names = split /\n/, sql("SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = '$table'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum");
		return "INSERT INTO $table (" . join(', ', @names) . ') SELECT ' . join(', ', map { $value{$_} // "m.$_" } @names) . " FROM $from";
	};
	sql("SELECT status FROM pgw.process_payment('model', 1234, 'EUR', 'tok_ok')");
	for (my $done = 0; $done < $n; $done += 500_000)
	{
		my $range = sprintf('generate_series(%d, %d) n', $done + 1, $done + 500_000 < $n ? $done + 500_000 : $n);
		sql($copy->('pgw.payments', "(SELECT * FROM pgw.payments WHERE client_request_id = 'model') m, $range", payment_id => $payment, transaction_id => $attempt,
				client_request_id => "'stored ' || n"));
		sql($copy->('pgw.payment_transactions', "(SELECT * FROM pgw.payment_transactions WHERE client_request_id = 'model') m, $range", payment_id => $payment,
				transaction_id => $attempt, client_request_id => "'stored ' || n") . '; DELETE FROM pgw.restore_pending');
		sql($copy->('pgw.transaction_events', "(SELECT e.* FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = 'model') m, $range",
				transaction_id => $attempt, event_id => 'gen_random_uuid()'));
		printf "# %d of %d stored\n", $done + 500_000 < $n ? $done + 500_000 : $n, $n;
	}
	sql('VACUUM ANALYZE pgw.payments, pgw.payment_transactions, pgw.transaction_events');
	sql('CHECKPOINT');    # the load's dirty pages are not the payments' affair
	return;
}

sub stored
{
	sql("SELECT count(pgw.process_payment('known' || n, 1234, 'EUR', 'tok_ok')) FROM generate_series(1, 1000) n");
	my %before = map { $_->[0] => rate(@$_) } [ submit => 64 ], [ process => 64 ], [ replay => 16 ];
	my $scan = scan_ms();
	store($p{stored});
	for my $c ([ submit => 64 ], [ process => 64 ], [ replay => 16 ])
	{
		my $now = rate(@$c);
		told("$c->[0], $c->[1] clients, with $p{stored} payments stored", sprintf('%.0f of %.0f/s: %.0f %%', $now, $before{ $c->[0] }, 100 * $now / $before{ $c->[0] }), 'at least 85 %');
	}
	told('a recovery scan, asked for and waited for', sprintf('%.1f ms (before: %.1f)', scan_ms(), $scan), 'at most 50 ms');
	told('on disk', sql("SELECT pg_size_pretty(pg_database_size('postgres'))"), '-');
	return;
}

stage_up();
print "| what | measured | wanted |\n|---|---|---|\n";
flight() if wanted('flight');
snapshot() if wanted('snapshot');
load() if wanted('load');
stored() if wanted('stored');
