# BenchStage.pm - what the benchmarks run on: a private cluster and the simulator
package BenchStage;
use strict;
use warnings;
use Exporter 'import';
use File::Path 'make_path';
use HTTP::Tiny;
use JSON::PP;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(parameters stage_up bank backlog_up backlog_down sql psql_start $dir $data $bank_pid $bank_url);

our $dir = "$ENV{PGW_WORK}/bench";

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

our ($bank_pid, $bank_url);
our $data = "$dir/data";
my ($slow_pid, $slow_url, $node_up);
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

1;
