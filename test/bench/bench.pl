# bench.pl - pgw beside what the database can do, and beside an app server: contestants alternate in one run, medians and ratios at the end.
#
#   make bench [ROUNDS=3] [WARMUP=8] [SECONDS_EACH=10] [ONLY=name,...] [BACKLOG=100000] [OUT=file.json] [SVG=file.svg]
#
# ONLY takes names, name@clients, and name@clients@ms with the bank's delay, which need not be in the list below.
# beside: process, while so many submitted payments wait for another bank, which is slow.  notified, forged: process, while a bank sends a thousand notifications a second, or somebody else does.
# told, deaf: process, while an endpoint of webhooks takes a message for each payment, or two take none.
use strict;
use warnings;
use BenchContestants;
use BenchHooks;
use BenchNotices;
use BenchPlot;
use BenchRun;
use BenchStage;
use BenchWanted;
use JSON::PP;
use List::Util 'max';

$| = 1;
my %p = %{ parameters({ rounds => 3, warmup => 8, seconds => 10, only => '', out => '', svg => '', smoke => 0, backlog => 100_000 }, @ARGV) };

# name, clients, the bank's delay.  What is compared with each other runs side by side: tables grow by hundreds of thousands of payments on the way.
my @contestants = (
	[ limit2 => 1, 0 ], [ peer => 1, 0 ], [ process => 1, 0 ],
	[ limit2 => 8, 0 ], [ peer => 8, 0 ], [ process => 8, 0 ], [ submit => 8, 0 ],
	[ limit100 => 8, 0 ], [ peer100 => 8, 0 ], [ submit100 => 8, 0 ], [ process100 => 8, 0 ],
	[ limit2 => 64, 0 ], [ peer => 64, 0 ], [ process => 64, 0 ], [ submit => 64, 0 ], [ beside => 64, 0 ], [ notified => 64, 0 ], [ forged => 64, 0 ], [ told => 64, 0 ], [ deaf => 64, 0 ],
	[ peer => 64, 50 ], [ process => 64, 50 ], [ submit => 64, 50 ],
	[ limit2 => 256, 0 ], [ peer => 256, 0 ], [ process => 256, 0 ],
	[ peer => 256, 50 ], [ process => 256, 50 ],
	[ select => 16, 0 ], [ replay => 16, 0 ]);

# Those of the list that a word of ONLY names.
sub named
{
	my ($name, $clients, $delay) = split /@/, $_[0];
	my @named = grep { $_->[0] eq $name && (!defined $clients || $_->[1] == $clients) && (!defined $delay || $_->[2] == $delay) } @contestants;
	return @named if @named;
	return [ $name, $clients, $delay ] if defined $delay && contestant($name);
	print "# $_[0] names nobody\n";
	return;
}
if ($p{only})
{
	my %seen;
	@contestants = grep { !$seen{"@$_"}++ } map { named($_) } split /,/, $p{only};
}

# ---------------------------------------------------------------- the run

stage_up();
lean_tables();
sql("SELECT count(pgw.process_payment('known' || n, 1234, 'EUR', 'tok_ok')) FROM generate_series(1, 1000) n") if grep { $_->[0] =~ /^(replay|select)$/ } @contestants;
sql('VACUUM ANALYZE');
my %results;
for my $round (1 .. $p{rounds})
{
	for my $c (@contestants)
	{
		backlog_up($p{backlog}) if $c->[0] eq 'beside';
		my $notices = $c->[0] =~ /^(?:notified|forged)$/ ? notices_up($c->[0] eq 'forged', $p{warmup} + $p{seconds}) : undef;
		my $hooks = $c->[0] =~ /^(?:told|deaf)$/ ? hooks_up($c->[0] eq 'deaf') : undef;
		my $r = measure(@$c, $p{warmup}, $p{seconds});
		$r->{hooks} = hooks_down($hooks) if $hooks;
		$r->{notices} = notices_down($notices) if $notices;
		backlog_down() if $c->[0] eq 'beside';
		push @{ $results{"@$c"} }, $r;
		printf "round %d  %-10s %4d clients, bank %2d ms: %8.0f/s  p50 %7.2f  p99 %8.2f ms  drain %4.1f s  server %5.0f µs\n", $round, @$c, map { $_ // 0 } @$r{qw(throughput p50_ms p99_ms drain_s server_us)};
		printf "         %d notifications, %.0f/s, none lost: p50 %.2f  p99 %.2f ms\n", @{ $r->{notices} }{qw(sent rate p50_ms p99_ms)} if $r->{notices};
		printf "         webhooks: %d taken, %d not; %.0f/s once the payments were over\n", map { $_ // 0 } @{ $r->{hooks} }{qw(delivered waiting rate)} if $r->{hooks};
	}
}

# ---------------------------------------------------------------- the table

# Throughput against another contestant of the same round: what the machine does at the moment weighs on both.
sub ratio
{
	my ($c, $name, $clients, $delay) = @_;
	my ($r, $other) = ($results{"@$c"}, $results{"$name $clients $delay"});
	return $other ? median(map { $other->[$_]{throughput} > 0 ? $r->[$_]{throughput} / $other->[$_]{throughput} : undef } 0 .. $#$r) : undef;
}

my @numbers = qw(throughput p50_ms p95_ms p99_ms wal_bytes fpi_bytes wal_records leaf_inserts payments_updates payments_hot attempts_updates attempts_hot bytes flushes
  server_us program_us cpu_worker cpu_bank cpu_all drain_s worker_kb);
my @rows;
for my $c (@contestants)
{
	my ($name, $clients, $delay) = @$c;
	my @r = @{ $results{"@$c"} };
	my %m = (name => $name, concurrency => $clients + 0, bank_ms => $delay + 0, payments => median(map { $_->{payments} } @r));
	for my $k (@numbers) { $m{$k} = median(map { $_->{$k} } @r) }
	if (contestant($name)->{letter})
	{
		$m{ratio_to_peer} = ratio($c, $name =~ /100$/ ? 'peer100' : 'peer', $clients, $delay);
		$m{ratio_to_limit2} = ratio($c, 'limit2', $clients, 0);
		$m{ratio_to_limit100} = ratio($c, 'limit100', $clients, 0) if $name =~ /100$/;
	}
	# what a backlog at another bank costs
	$m{ratio_to_alone} = ratio($c, 'process', $clients, $delay) if $name =~ /^(?:beside|notified|forged|told|deaf)$/;
	$m{notices} = $r[0]{notices};
	push @rows, \%m;
}

sub shown { my ($format, $value) = @_; return defined $value ? sprintf($format, $value) : '-' }

my @columns = (
	[ 'contestant', '%s', 'name' ], [ 'clients', '%d', 'concurrency' ], [ 'bank', '%d ms', 'bank_ms' ], [ 'payments/s', '%.0f', 'throughput' ],
	[ 'to peer', '%.2f', 'ratio_to_peer' ], [ 'to limit2', '%.2f', 'ratio_to_limit2' ], [ 'p50 ms', '%.2f', 'p50_ms' ], [ 'p99 ms', '%.2f', 'p99_ms' ],
	[ 'WAL B', '%.0f', 'wal_bytes' ], [ 'images B', '%.0f', 'fpi_bytes' ], [ 'leaf inserts', '%.1f', 'leaf_inserts' ],
	[ 'updates of payments', '%.2f', 'payments_updates' ], [ 'HOT', '%.2f', 'payments_hot' ], [ 'of attempts', '%.2f', 'attempts_updates' ], [ 'HOT', '%.2f', 'attempts_hot' ],
	[ 'stored B', '%.0f', 'bytes' ], [ 'flushes', '%.3f', 'flushes' ], [ 'server µs', '%.0f', 'server_us' ], [ 'program µs', '%.0f', 'program_us' ],
  [ 'CPU: all', '%.2f', 'cpu_all' ], [ 'worker', '%.2f', 'cpu_worker' ], [ 'bank', '%.2f', 'cpu_bank' ]);
print "\n| " . join(' | ', map { $_->[0] } @columns) . " |\n" . '|---' x @columns . "|\n";
for my $row (@rows) { print '| ' . join(' | ', map { shown($_->[1], $row->{ $_->[2] }) } @columns) . " |\n" }
for (@rows)
{
	my $beside = $_->{name} eq 'told' ? 'an endpoint of webhooks' : $_->{name} eq 'deaf' ? 'two endpoints of webhooks that take nothing' : $_->{notices} ? ($_->{name} eq 'forged' ? 'forged' : 'signed') . ' notifications' : "$p{backlog} submitted payments that wait for a slow bank";
	printf "\nbeside %s: %.2f of the throughput without them\n", $beside, $_->{ratio_to_alone} if defined $_->{ratio_to_alone};
	printf "\n%s, %d clients: %.2f of limit100\n", @$_{qw(name concurrency ratio_to_limit100)} if defined $_->{ratio_to_limit100} && $_->{name} ne 'limit100';
}
print wanted_table(\%results, \&median);
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
	for (@rows) { printf "%s %d - bench: %s, %d clients, bank %d ms: %d payments\n", $_->{throughput} > 0 ? 'ok' : 'not ok', ++$n, @$_{qw(name concurrency bank_ms payments)} }
	for (grep { $_->{notices} } @rows) { printf "%s %d - bench: %s: each of 800 notifications has its row, or none\n", $_->{notices}{sent} == 800 ? 'ok' : 'not ok', ++$n, $_->{name} }
	my $unnoticed = eval { measure('unfinished', 8, 0, 0, 0); 1 };
	my $said = $@ =~ /^unfinished: 0 of (\d+) payments are sound, there should be \1$/;
	printf "%s %d - bench: a contestant that does not finish its payments is noticed\n", !$unnoticed && $said ? 'ok' : 'not ok', ++$n;
	my $counted = 5 == grep { ($_->{leaf_inserts} // 0) > 10 && ($_->{bytes} // 0) > 0 } grep { "@$_{qw(name concurrency bank_ms)}" =~ /^((limit2|peer|process|submit) 64|submit100 8) 0$/ } @rows;
	$counted &&= !grep { ($_->{server_us} // 0) <= 0 } @rows;
	printf "%s %d - bench: what payments write and cost is counted\n", $counted ? 'ok' : 'not ok', ++$n;
	printf "%s %d - bench: the records are sound\n", $wrong eq '0' ? 'ok' : 'not ok', ++$n;
	print "1..$n\n";
}
exit($wrong ne '0');
