# BenchRun.pm - what the benchmarks share: a private cluster and the simulator, the contestants' scripts, one measured run.
#
# Baselines write exactly the rows that pgw leaves behind for a successful payment, into copies of pgw's own tables (same columns and indexes, no
# triggers), with plain prepared statements: limit2 in two transactions per payment (intent, result), limit100 for 100 payments at a time.
#
# What counts are payments Completed, not calls accepted: a run ends when the last one is Completed, and that time counts.  What is over before the
# warm-up ends does not.
package BenchRun;
use strict;
use warnings;
use Exporter 'import';
use File::Path 'make_path';
use HTTP::Tiny;
use JSON::PP;
use List::Util qw(max min sum);
use POSIX ();
use Time::HiRes qw(time usleep);

our @EXPORT = qw(stage_up bank backlog_up backlog_down sql psql_start measure median worker_pid completed anon_kb parameters);

my $dir = "$ENV{PGW_WORK}/bench";

# name=value of the command line over the defaults
sub parameters
{
	my ($p, @args) = @_;
	for (@args)
	{
		my ($k, $v) = /^(\w+)=(.*)$/ or die "not understood: $_\n";
		die "unknown parameter $k\n" unless exists $p->{$k};
		$p->{$k} = $v if $v ne '';
	}
	return $p;
}

# ---------------------------------------------------------------- the stage

my ($bank_pid, $bank_url, $slow_pid, $slow_url, $node_up);
my $data = "$dir/data";
my $main = $$;
my $run_of_backlog = 1;
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
END
{
	if ($main && $$ == $main)
	{
		my $status = $?;
		system("pg_ctl -D '$data' -m immediate stop >/dev/null 2>&1") if $node_up;
		kill 'TERM', grep { $_ } $bank_pid, $slow_pid;
		$? = $status;
	}
}

# A simulator: pid, url.
sub start_bank
{
	my ($name) = @_;
	my $portfile = "$dir/$name.port";
	my $pid = fork // die $!;
	if (!$pid)
	{
		open STDOUT, '>', "$dir/$name.log";
		open STDERR, '>&', \*STDOUT;
		exec 'test/bank/pgw-bank', '--port', 0, '--port-file', $portfile, '--secret', 'test-secret';
		die "exec: $!";
	}
	my $end = time + 20;
	while (!-s $portfile) { die 'the bank simulator did not start' if time > $end; usleep(10_000) }
	open my $f, '<', $portfile or die $!;
	return ($pid, 'http://127.0.0.1:' . (<$f> + 0));
}

sub bank
{
	my ($path, $body, $url) = @_;
	my $r = HTTP::Tiny->new(timeout => 60)->request('POST', ($url // $bank_url) . $path, { content => encode_json($body // {}) });
	die "$path: $r->{status} $r->{content}" unless $r->{success};
	return;
}

# A session of its own that runs one statement; closing the handle waits for its end.
sub psql_start
{
	my ($sql) = @_;
	open my $f, '-|', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', $dir, '-d', 'postgres', '-c', $sql or die $!;
	return $f;
}

sub sql
{
	my ($sql) = @_;
	my $f = psql_start($sql);
	my $out = do { local $/; <$f> } // '';
	close $f or die "failed: $sql\n";
	chomp $out;
	return $out;
}

sub start_cluster
{
	system("initdb -D '$data' -E UTF8 -A trust -U postgres --no-sync >'$dir/initdb.log' 2>&1") == 0 or die 'initdb failed';
	open my $f, '>>', "$data/postgresql.conf" or die $!;
	print $f <<"CONF";
$ENV{PGW_CONF}
unix_socket_directories = '$dir'
fsync = on
synchronous_commit = on
shared_buffers = 1GB
max_wal_size = 4GB
max_connections = 400
max_files_per_process = 20000
log_parameter_max_length = 0
pgw.max_waiting = 1024
CONF
	close $f;
	# a connection to the bank for each call in flight: a shell's usual limit of 1,024 descriptors is enough for 250
	system("ulimit -n \$(ulimit -H -n); pg_ctl -D '$data' -l '$dir/server.log' -w start >/dev/null") == 0 or die 'the server did not start';
	$node_up = 1;
	$ENV{PGUSER} = 'postgres';
	sql('CREATE EXTENSION pgw');
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, max_in_flight) VALUES ('bank', 'json', '$bank_url', 'bank', 10000)");
	sql('CREATE SCHEMA b');
	for my $t (qw(payments payment_transactions))
	{
		sql("CREATE TABLE b.$t (LIKE pgw.$t INCLUDING ALL)");
		sql("ALTER TABLE b.$t SET (" . sql("SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = 'pgw.$t'::regclass") . ')');
	}
	sql('CREATE TABLE b.transaction_events (LIKE pgw.transaction_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (transaction_id, step_order))');
	my $end = time + 30;
	while (sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pgw worker'") eq '0') { die 'no worker' if time > $end; usleep(50_000) }
	return;
}

sub stage_up
{
	make_path($dir);
	($bank_pid, $bank_url) = start_bank('bank');
	start_cluster();
	return;
}

# So many submitted payments wait for a bank that takes five seconds for each and a hundred at a time, so that its own payments are 20 a second and what is
# measured is those that wait; and they are over.
sub backlog_up
{
	my ($n) = @_;
	if (!$slow_pid)
	{
		($slow_pid, $slow_url) = start_bank('slow');
		sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority, max_in_flight) VALUES ('slow', 'json', '$slow_url', 'bank', 1000, 100)");
	}
	sql("UPDATE pgw.banks SET max_in_flight = 100 WHERE name = 'slow'");
	bank('/control/settings', { delay_ms => 5000 }, $slow_url);
	my $batch = 500;
	my $run = $run_of_backlog++;
	my @jobs = map {
		my $job = $_;
		psql_start(join '; ', map { "SELECT count(pgw.submit_payment('backlog$run-' || n, 1234, 'EUR', 'tok_ok', bank => 'slow')) FROM generate_series($_, least($n, @{[ $_ + $batch - 1 ]})) n" }
		  grep { ($_ - 1) / $batch % 4 == $job } map { 1 + $batch * $_ } 0 .. ($n - 1) / $batch)
	} 0 .. 3;
	for my $job (@jobs) { 1 while <$job>; close $job or die 'the backlog could not be made' }
	return;
}

sub backlog_down
{
	sql("UPDATE pgw.banks SET max_in_flight = 1000 WHERE name = 'slow'");
	bank('/control/settings', { delay_ms => 0 }, $slow_url);
	my $end = time + 600;
	while (sql("SELECT EXISTS (SELECT FROM pgw.payment_transactions WHERE bank = 'slow' AND status NOT IN ('Completed', 'Failed', 'Refunded'))") eq 't')
	{
		die 'the backlog is not worked off' if time > $end;
		usleep(200_000);
	}
	return;
}

# ---------------------------------------------------------------- scripts

my $json = q('{"v": 1, "from": "Created", "to": "BankApproved", "requests_sent": 1, "operation": "charge", "bank": "bank", "correlation_id": "01a214b3-4040-70dd-bec1-cca842cea9e1"}');
my $id = q(lpad(to_hex(:id::bigint), 32, '0')::uuid);
my @success = qw(TransactionStarted BankProcessingStarted BankProcessingCompleted PaymentDataSaveStarted PaymentDataSaveCompleted TransactionCompleted);

# The columns that pgw fills, and with what.
sub payment_row { my ($i) = @_; return "$i, 'r' || :run::int || '-' || $_[1], 'default', $i, 'pending', 'immediate', 1234, 'EUR', 'bank', '{}'" }
my $payment_columns = 'payment_id, client_request_id, merchant, transaction_id, status, capture, amount, currency, bank, metadata';
my $transaction_columns = 'transaction_id, payment_id, client_request_id, merchant, kind, status, step_order, submitted, taken_by_worker, amount, currency, capture, token, bank, bank_fields, bank_key, '
  . 'bank_key_used_at, bank_asked_at, caller_xid, caller_subxid, system_identifier, database_oid, requests_sent, correlation_id';
sub transaction_row
{
	my ($i, $n) = @_;
	return "$i, $i, 'r' || :run::int || '-' || $n, 'default', 'payment', 'Created', 2, false, true, 1234, 'EUR', 'immediate', 'tok_ok', 'bank', '{}', replace(${i}::text, '-', ''), "
	  . "clock_timestamp(), clock_timestamp(), pg_current_xact_id(), pg_current_xact_id(), 7000000000000000000, 5, 1, gen_random_uuid()";
}
my $event_columns = 'event_id, transaction_id, event_type, event_data, step_order';
my $done = "status = 'Completed', step_order = 6, bank_reference = 'ch_89025cc100000000', authorization_code = 'A28519', card_last4 = '4242', card_brand = 'visa', updated_at = clock_timestamp()";
my $captured = "status = 'captured', authorized_amount = 1234, captured_amount = 1234, bank_reference = 'ch_89025cc100000000', authorization_code = 'A28519', card_last4 = '4242', "
  . "card_brand = 'visa', updated_at = clock_timestamp()";

sub events { my ($i, $from, $to) = @_; return join ', ', map { "(gen_random_uuid(), $i, '$success[$_ - 1]', $json, $_)" } $from .. $to }

my %script = (
	limit2 => "\\set i :i + 1\n\\set id (:run * 1000 + :client_id) * 100000000 + :i\n"
	  . "BEGIN;\nINSERT INTO b.payments ($payment_columns) VALUES (" . payment_row($id, ':id::bigint') . ");\n"
	  . "INSERT INTO b.payment_transactions ($transaction_columns) VALUES (" . transaction_row($id, ':id::bigint') . ");\n"
	  . "INSERT INTO b.transaction_events ($event_columns) VALUES " . events($id, 1, 2) . ";\nCOMMIT;\n"
	  . "BEGIN;\nUPDATE b.payment_transactions SET $done WHERE transaction_id = $id;\nUPDATE b.payments SET $captured WHERE payment_id = $id;\n"
	  . "INSERT INTO b.transaction_events ($event_columns) VALUES " . events($id, 3, 6) . ";\nCOMMIT;\n",
	limit100 => do {
		my $n = "lpad(to_hex(:id::bigint + n), 32, '0')::uuid";
		my $range = 'generate_series(0, 99) n';
		my $types = sub { join ', ', map { "('$success[$_ - 1]'::pgw.event_type, $_)" } @_ };
		"\\set i :i + 100\n\\set id (:run * 1000 + :client_id) * 100000000 + :i\n"
		  . "BEGIN;\nINSERT INTO b.payments ($payment_columns) SELECT " . payment_row($n, '(:id::bigint + n)') . " FROM $range;\n"
		  . "INSERT INTO b.payment_transactions ($transaction_columns) SELECT " . transaction_row($n, '(:id::bigint + n)') . " FROM $range;\n"
		  . "INSERT INTO b.transaction_events ($event_columns) SELECT gen_random_uuid(), $n, e, ${json}::jsonb, s FROM $range, (VALUES " . $types->(1, 2) . ") v (e, s);\nCOMMIT;\n"
		  . "BEGIN;\nUPDATE b.payment_transactions SET $done FROM $range WHERE transaction_id = $n;\nUPDATE b.payments SET $captured FROM $range WHERE payment_id = $n;\n"
		  . "INSERT INTO b.transaction_events ($event_columns) SELECT gen_random_uuid(), $n, e, ${json}::jsonb, s FROM $range, (VALUES " . $types->(3 .. 6) . ") v (e, s);\nCOMMIT;\n";
	},
	submit => "\\set i :i + 1\nSELECT pgw.submit_payment('s' || :run::int || '-' || :client_id::int || '-' || :i::int, 1234, 'EUR', 'tok_ok');\n",
	submit100 => "\\set i :i + 1\nSELECT count(pgw.submit_payment('s' || :run::int || '-' || :client_id::int || '-' || :i::int || '-' || n, 1234, 'EUR', 'tok_ok')) FROM generate_series(1, 100) n;\n",
	process => "\\set i :i + 1\nSELECT pgw.process_payment('p' || :run::int || '-' || :client_id::int || '-' || :i::int, 1234, 'EUR', 'tok_ok');\n",
	replay => "\\set i random(1, 1000)\nSELECT status, replayed FROM pgw.process_payment('known' || :i::int, 1234, 'EUR', 'tok_ok');\n",
	select => "\\set i random(1, 1000)\nSELECT payment_id, status, captured_amount FROM pgw.payments WHERE client_request_id = 'known' || :i::int AND merchant = 'default';\n");
$script{beside} = $script{process} =~ s/'p'/'b'/r;
my %per_call = (limit100 => 100, submit100 => 100);

# ---------------------------------------------------------------- measuring

# CPU seconds of a process so far, its children that are gone not counted; and its memory's peak in kB.
sub cpu
{
	my ($pid) = @_;
	open my $f, '<', "/proc/$pid/stat" or return 0;
	my @s = split ' ', (<$f> =~ s/^.*\) //r);
	return ($s[11] + $s[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}
sub anon_kb { my ($pid) = @_; open my $f, '<', "/proc/$pid/status" or return 0; my ($kb) = map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$f>; return $kb // 0 }
sub machine_cpu { open my $f, '<', '/proc/stat' or die $!; my @s = split ' ', <$f>; return (sum(@s[ 1 .. 3, 6 .. 8 ])) / POSIX::sysconf(POSIX::_SC_CLK_TCK()) }
sub worker_pid { return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'") }

# Payments that are Completed: pgw's own counter, which costs nothing to read; of the baselines, what pgbench has done.
sub completed { return sql("SELECT coalesce(sum(value), 0)::bigint FROM pgw.metrics WHERE name = 'pgw_transactions_total' AND labels->>'outcome' = 'captured'") }
sub wal { my @w = split /\|/, sql('SELECT wal_bytes, wal_sync FROM pg_stat_wal'); return @w }

sub percentiles
{
	my @v = sort { $a <=> $b } @_;
	return map { @v ? $v[ min($#v, int($_ * @v)) ] : undef } 0.5, 0.95, 0.99;
}

my $run = 0;

sub measure
{
	my ($name, $clients, $delay, $warmup, $measured) = @_;
	my $pgw = $name =~ /^(submit|process)/;
	$run++;
	bank('/control/settings', { delay_ms => $delay + 0 });
	my $file = "$dir/$name.sql";
	open my $f, '>', $file or die $!;
	print $f $script{$name};
	close $f;
	unlink glob "$dir/log.*";

	my $worker = worker_pid();
	my $since = sql('SELECT clock_timestamp()');
	my $before = $pgw ? completed() : 0;
	my $seconds = $warmup + $measured;

	# the smoke run counts calls, not seconds: a loaded machine takes its time
	my @how = $seconds > 0 ? ('-T', $seconds) : ('-t', 1 + int(600 / ($clients * ($per_call{$name} // 1))));
	sql('CHECKPOINT');
	my $began = time;
	my $pid = fork // die $!;
	if (!$pid)
	{
		open STDOUT, '>', "$dir/pgbench.out";
		open STDERR, '>&', \*STDOUT;
		chdir $dir;
		exec 'pgbench', '-n', '-M', 'prepared', '-h', $dir, '-f', $file, '-c', $clients, '-j', min(2, $clients), @how, '-D', "run=$run", '-D', 'i=0',
		  '-l', '--log-prefix=log', 'postgres';
		die "exec: $!";
	}
	usleep(100_000) while time < $began + $warmup;
	my $warm = $seconds > 0 ? time : $began - 1;    # of the smoke run everything counts, also what a coarse clock puts before its beginning
	my $at_warm = !$pgw ? 0 : $seconds > 0 ? completed() : $before;
	my @wal = wal();
	my @cpu = (machine_cpu(), cpu($worker), cpu($bank_pid));
	waitpid $pid, 0;
	die "pgbench failed:\n" . `cat $dir/pgbench.out` if $?;
	my @cpu_end = (machine_cpu(), cpu($worker), cpu($bank_pid));
	my $called = time;
	my (@latency, $calls);
	for my $log (glob "$dir/log.*")
	{
		open my $l, '<', $log or die $!;
		while (my $line = <$l>)
		{
			my (undef, undef, $us, undef, $sec, $usec) = split ' ', $line;
			$calls->{all}++;
			next if $sec + $usec / 1e6 < $warm;
			$calls->{warm}++;
			push @latency, $us / 1000;
		}
	}
	my $payments = ($calls->{warm} // 0) * ($per_call{$name} // 1);
	my $ended = $called;
	if ($pgw)
	{
		my $all = $before + ($calls->{all} // 0) * ($per_call{$name} // 1);
		my $end = time + 300;
		while ((my $n = completed()) < $all) { die "$name: $n of $all payments are Completed\n" if time > $end; usleep(20_000) }
		$ended = time;
		$payments = $all - $at_warm;
		die "$name: more payments than calls\n" if completed() > $all;
	}
	my @wal_end = wal();
	my %r = (
		name => $name, concurrency => $clients + 0, bank_ms => $delay + 0, payments => $payments, throughput => $payments / ($ended - $warm),
		wal_bytes => ($wal_end[0] - $wal[0]) / max(1, $payments), flushes => ($wal_end[1] - $wal[1]) / max(1, $payments),
		cpu_worker => ($cpu_end[1] - $cpu[1]) / ($called - $warm), cpu_bank => ($cpu_end[2] - $cpu[2]) / ($called - $warm), cpu_all => ($cpu_end[0] - $cpu[0]) / ($called - $warm),
		drain_s => $ended - $called, worker_kb => anon_kb($worker));
	@r{qw(p50_ms p95_ms p99_ms)} = percentiles(@latency);

	# from the call to Completed, where the call returns before
	@r{qw(p50_ms p95_ms p99_ms)} = split /\|/, sql("SELECT round(extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY d)) * 1000, 3), round(extract(epoch FROM percentile_disc(0.95) WITHIN GROUP (ORDER BY d)) * 1000, 3),
		round(extract(epoch FROM percentile_disc(0.99) WITHIN GROUP (ORDER BY d)) * 1000, 3) FROM (SELECT updated_at - created_at AS d FROM pgw.payment_transactions WHERE created_at >= '$since' AND status = 'Completed') x") if $name =~ /^submit/;
	$_ += 0 for grep { defined } @r{qw(p50_ms p95_ms p99_ms)};
	return \%r;
}

sub median { my @v = sort { $a <=> $b } grep { defined } @_; return @v ? $v[ int(@v / 2) ] : undef }

1;
