# bench.pl - pgw beside what the database can do: contestants alternate in one run, medians and ratios at the end.
#
#   make bench [ROUNDS=3] [WARMUP=8] [SECONDS_EACH=10] [ONLY=name,...] [BACKLOG=100000] [OUT=file.json] [SVG=file.svg]
#
# beside: process, while so many submitted payments wait for another bank, which is slow.
use strict;
use warnings;
use BenchPlot;
use BenchRun;
use JSON::PP;
use List::Util 'max';

$| = 1;
my %p = %{ parameters({ rounds => 3, warmup => 8, seconds => 10, only => '', out => '', svg => '', smoke => 0, backlog => 100_000 }, @ARGV) };

# name, clients, the bank's delay.  What is compared with each other runs side by side: tables grow by hundreds of thousands of payments on the way.
my @contestants = (
	[ limit2 => 1, 0 ], [ limit2 => 8, 0 ], [ limit2 => 64, 0 ], [ limit100 => 8, 0 ],
	[ submit => 64, 0 ], [ submit => 64, 50 ], [ submit => 8, 0 ], [ submit100 => 8, 0 ], [ process => 1, 0 ], [ process => 8, 0 ], [ process => 64, 0 ],
	[ beside => 64, 0 ],
	[ process => 256, 50 ], [ select => 16, 0 ], [ replay => 16, 0 ]);
if ($p{only})
{
	my %only = map { $_ => 1 } split /,/, $p{only};
	@contestants = grep { $only{ $_->[0] } || $only{"$_->[0]\@$_->[1]"} } @contestants;
}

# ---------------------------------------------------------------- the run

stage_up();
sql("SELECT count(pgw.process_payment('known' || n, 1234, 'EUR', 'tok_ok')) FROM generate_series(1, 1000) n") if grep { $_->[0] =~ /^(replay|select)$/ } @contestants;
sql('VACUUM ANALYZE');
my %results;
for my $round (1 .. $p{rounds})
{
	for my $c (@contestants)
	{
		backlog_up($p{backlog}) if $c->[0] eq 'beside';
		my $r = measure(@$c, $p{warmup}, $p{seconds});
		backlog_down() if $c->[0] eq 'beside';
		push @{ $results{"@$c"} }, $r;
		printf "round %d  %-10s %4d clients, bank %2d ms: %8.0f/s  p50 %7.2f  p99 %8.2f ms  drain %4.1f s\n", $round, @$c, @$r{qw(throughput p50_ms p99_ms drain_s)};
	}
}

my @rows;
for my $c (@contestants)
{
	my @r = @{ $results{"@$c"} };
	my %m = (name => $c->[0], concurrency => $c->[1] + 0, bank_ms => $c->[2] + 0);
	for my $k (qw(throughput p50_ms p95_ms p99_ms wal_bytes flushes cpu_worker cpu_bank cpu_all drain_s worker_kb)) { $m{$k} = median(map { $_->{$k} } @r) }

	# against the same round's baseline: what the machine does at the moment weighs on both
	if ($results{'limit2 64 0'}) { $m{ratio_to_limit2} = median(map { $r[$_]{throughput} / $results{'limit2 64 0'}[$_]{throughput} } 0 .. $#r) }
	# what a backlog at another bank costs: against the same payments of the same round without one
	if ($c->[0] eq 'beside' && $results{'process 64 0'}) { $m{ratio_to_alone} = median(map { $r[$_]{throughput} / $results{'process 64 0'}[$_]{throughput} } 0 .. $#r) }
	push @rows, \%m;
}
print "\n| contestant | clients | bank | payments/s | to limit2@64 | p50 ms | p95 ms | p99 ms | WAL B | flushes | CPU: all | worker | bank |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
printf "| %s | %d | %d ms | %.0f | %s | %.2f | %.2f | %.2f | %.0f | %.3f | %.2f | %.2f | %.2f |\n", @$_{qw(name concurrency bank_ms throughput)},
  defined $_->{ratio_to_limit2} ? sprintf('%.2f', $_->{ratio_to_limit2}) : '-', @$_{qw(p50_ms p95_ms p99_ms wal_bytes flushes cpu_all cpu_worker cpu_bank)} for @rows;
for (@rows) { printf "\nbeside %d submitted payments that wait for a slow bank: %.2f of the throughput without them\n", $p{backlog}, $_->{ratio_to_alone} if defined $_->{ratio_to_alone} }
printf "\nworker's peak memory: %.1f MB\n", max(map { $_->{worker_kb} } @rows) / 1024;
my $wrong = sql(q(SELECT coalesce(string_agg(check_name || ' ' || n || ', e.g. ' || d, E'\n'), '0') FROM (SELECT check_name, count(*) AS n, min(details::text) AS d FROM pgw.check_consistency() GROUP BY 1) x));
print "check_consistency: $wrong\n";
if ($p{out})
{
	open my $f, '>', $p{out} or die "$p{out}: $!";
	print $f JSON::PP->new->canonical->pretty->encode(\@rows);
	close $f;
}
if ($p{svg})
{
	open my $f, '>', $p{svg} or die "$p{svg}: $!";
	print $f plot(@rows);
	close $f;
}
if ($p{smoke})
{
	my $n = 0;
	for (@rows) { printf "%s %d - bench: %s, %d clients, bank %d ms: %.0f payments\n", $_->{throughput} > 0 ? 'ok' : 'not ok', ++$n, @$_{qw(name concurrency bank_ms throughput)} }
	printf "%s %d - bench: the records are sound\n", $wrong eq '0' ? 'ok' : 'not ok', ++$n;
	print "1..$n\n";
}
exit($wrong ne '0');
