# BenchRun.pm - one measured run of a contestant
#
# What counts are payments Completed, not calls accepted: a run ends when the last one is Completed, and that time counts.  What is over before the
# warm-up ends does not.  Afterwards the rows of every payment are looked at: a contestant that has left something out ends the benchmark.
package BenchRun;
use strict;
use warnings;
use BenchContestants;
use BenchCost;
use BenchStage;
use Exporter 'import';
use List::Util qw(max min);
use Time::HiRes qw(time usleep);

our @EXPORT = qw(measure median worker_pid completed);

sub worker_pid { return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'") }

# pgw's payments that are Completed, by its own counter, which costs nothing to read.
sub completed { return sql("SELECT coalesce(sum(value), 0)::bigint FROM pgw.metrics WHERE name = 'pgw_transactions_total' AND labels->>'outcome' = 'captured'") }

sub median { my @v = sort { $a <=> $b } grep { defined } @_; return @v ? $v[ int(@v / 2) ] : undef }

sub percentiles
{
	my @v = sort { $a <=> $b } @_;
	return map { @v ? $v[ min($#v, int($_ * @v)) ] : undef } 0.5, 0.95, 0.99;
}

# The command as a process of its own; libpq's environment names the cluster.
sub begin
{
	my ($lean, @command) = @_;
	my $pid = fork // die $!;
	return $pid if $pid;
	open STDOUT, '>', "$dir/contestant.out";
	open STDERR, '>&', \*STDOUT;
	@ENV{qw(PGHOST PGDATABASE)} = ($dir, 'postgres');
	# A plan that is made while a table is empty reads all of it, and is kept while the table grows: only plans by index are wanted
	$ENV{PGOPTIONS} = '-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off' if $lean;
	exec @command;
	die "exec $command[0]: $!";
}

# The logs' lines: how many in all, how many since $warm, and their milliseconds.
sub read_logs
{
	my ($warm) = @_;
	my ($all, @latency) = (0);
	for my $log (glob "$dir/log.*")
	{
		open my $l, '<', $log or die $!;
		while (my $line = <$l>)
		{
			my (undef, undef, $us, undef, $sec, $usec) = split ' ', $line;
			$all++;
			push @latency, $us / 1000 if $sec + $usec / 1e6 >= $warm;
		}
	}
	return ($all, \@latency);
}

# From the call to Completed, where the call returns before.
sub percentiles_of_submitted
{
	my ($since) = @_;
	return map { $_ eq '' ? undef : $_ + 0 } split /\|/, sql('SELECT ' . join(', ', map { "round(extract(epoch FROM percentile_disc($_) WITHIN GROUP (ORDER BY d)) * 1000, 3)" } 0.5, 0.95, 0.99)
		  . " FROM (SELECT updated_at - created_at AS d FROM pgw.payment_transactions WHERE created_at >= '$since' AND status = 'Completed') x"), -1;
}

# CPU seconds of the programs that have ended, as far as this process has waited for them.
sub programs_cpu { my (undef, undef, $user, $system) = times; return $user + $system }

my $run = 0;

sub measure
{
	my ($name, $clients, $delay, $warmup, $measured) = @_;
	my $c = contestant($name);
	my $pgw = writes_pgw($c);
	$run++;
	bank('/control/settings', { delay_ms => $delay + 0 });
	unlink glob "$dir/log.*";

	my $worker = worker_pid();
	my $since = sql('SELECT clock_timestamp()');
	my $before = $pgw ? completed() : 0;
	my $rows = rows_before($c);
	my $tables = tables_before($c->{lean} ? 'b' : 'pgw');
	my $seconds = $warmup + $measured;

	# the smoke run counts calls, not seconds: a loaded machine takes its time
	my $calls = 1 + int(600 / ($clients * $c->{per_call}));
	sql('CHECKPOINT');
	my ($wal, $flushes) = (wal_position(), flushes());
	my $began = time;
	my $pid = begin($c->{lean}, command($name, $run, $clients, $seconds, $calls));
	usleep(100_000) while time < $began + $warmup;
	my $warm = $seconds > 0 ? time : $began - 1;    # of the smoke run everything counts, also what a coarse clock puts before its beginning
	my $at_warm = !$pgw ? 0 : $seconds > 0 ? completed() : $before;
	($wal, $flushes) = (wal_position(), flushes()) if $warmup > 0;
	my @cpu = (machine_cpu(), cpu($worker), cpu($bank_pid));
	my $server = server_cpu();
	my $program = programs_cpu();
	waitpid $pid, 0;
	$program = programs_cpu() - $program;
	die "$name failed:\n" . `cat $dir/contestant.out` if $?;
	my @cpu_end = (machine_cpu(), cpu($worker), cpu($bank_pid));
	my $called = time;
	my ($lines, $latency) = read_logs($warm);
	my $all = $lines * $c->{per_line};
	die "$name: $all payments, not " . $clients * $c->{per_call} * $calls . "\n" if $seconds == 0 && $all != $clients * $c->{per_call} * $calls;
	my $payments = @$latency * $c->{per_line};
	my $ended = $called;
	if ($pgw)
	{
		my $end = time + 300;
		while ((my $n = completed() - $before) < $all) { die "$name: $n of $all payments are Completed\n" if time > $end; usleep(20_000) }
		$ended = time;
		$payments = $before + $all - $at_warm;
		die "$name: more payments than calls\n" if completed() > $before + $all;
	}
	$server = server_cpu() - $server;
	my ($wal_end, $flushes_end) = (wal_position(), flushes());
	check_rows($name, $run, $all, $rows) if $c->{letter};

	my $each = max(1, $payments);
	my %r = (
		name => $name, concurrency => $clients + 0, bank_ms => $delay + 0, payments => $payments, throughput => $payments / ($ended - $warm),
		flushes => ($flushes_end - $flushes) / $each, drain_s => $ended - $called, worker_kb => anon_kb($worker),
		server_us => 1e6 * $server / $each, program_us => 1e6 * $program / max(1, $all),
		cpu_worker => ($cpu_end[1] - $cpu[1]) / ($called - $warm), cpu_bank => ($cpu_end[2] - $cpu[2]) / ($called - $warm), cpu_all => ($cpu_end[0] - $cpu[0]) / ($called - $warm));
	@r{qw(p50_ms p95_ms p99_ms)} = $name =~ /^submit/ ? percentiles_of_submitted($since) : percentiles(@$latency);
	my $written = $c->{letter} ? wal_between($wal, $wal_end) : {};
	$r{$_} = $written->{$_} / $each for keys %$written;
	%r = (%r, %{ tables_since($tables, $all) }) if $c->{letter};
	return \%r;
}

1;
