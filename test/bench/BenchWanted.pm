# BenchWanted.pm - what was measured beside what is wanted: ratios to an app server in Node, and sizes
package BenchWanted;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(wanted_table);

# What, the contestant, its number, the one that it is compared with (none: the number itself is what is wanted), how it is to be.
my @wanted = (
	[ 'process, 64 clients', 'process 64 0', 'throughput', 'node 64 0', at_least => 1.2 ],
	[ 'process, 64 clients, to limit2', 'process 64 0', 'throughput', 'limit2 64 0', at_least => 1.0 ],
	[ 'process, 256 clients', 'process 256 0', 'throughput', 'node 256 0', at_least => 1.0 ],
	[ 'process, 256 clients, bank 50 ms', 'process 256 50', 'throughput', 'node 256 50', at_least => 1.0 ],
	[ 'process, 1 client, p50 in ms', 'process 1 0', 'p50_ms', 'node 1 0', at_most => 1.1 ],
	[ 'submit, 64 clients', 'submit 64 0', 'throughput', 'node 64 0', at_least => 1.4 ],
	[ 'process100, 8 clients, to node with 64', 'process100 8 0', 'throughput', 'node 64 0', at_least => 2.5 ],
	[ 'process100, 8 clients, to limit100', 'process100 8 0', 'throughput', 'limit100 8 0', at_least => 0.35 ],
	[ 'submit100, 8 clients, to node with 64', 'submit100 8 0', 'throughput', 'node 64 0', at_least => 2.5 ],
	[ 'submit100, 8 clients, to limit100', 'submit100 8 0', 'throughput', 'limit100 8 0', at_least => 0.35 ],
	[ 'replay, 16 clients, to a bare SELECT', 'replay 16 0', 'throughput', 'select 16 0', at_least => 0.7 ],
	[ 'WAL per payment, images apart, bytes', 'process 64 0', 'wal_bytes', undef, at_most => 3300 ],
	[ 'leaf inserts per payment', 'process 64 0', 'leaf_inserts', undef, at_most => 10.5 ],
	[ 'bytes stored per payment', 'process 64 0', 'bytes', undef, at_most => 2700 ]);

sub shown { my ($n) = @_; return sprintf $n >= 100 ? '%.0f' : '%.2f', $n }

# The median of the rounds' ratios: what the machine does at the moment weighs on both of a round.  Nothing where one of the two was not measured.
sub measured
{
	my ($results, $median, $contestant, $number, $other) = @_;
	my @ours = map { $_->{$number} } @{ $results->{$contestant} // [] };
	return $median->(@ours) unless defined $other;
	my @theirs = map { $_->{$number} } @{ $results->{$other} // [] };
	return $median->(map { defined $ours[$_] && $theirs[$_] ? $ours[$_] / $theirs[$_] : undef } 0 .. $#ours);
}

sub row
{
	my ($results, $median, $what, $contestant, $number, $other, $how, $bound) = @_;
	my $is = measured($results, $median, $contestant, $number, $other);
	return unless defined $is;
	my $reached = $how eq 'at_least' ? $is >= $bound : $is <= $bound;
	my ($ours, $theirs) = map { defined $_ ? shown($median->(map { $_->{$number} } @{ $results->{$_} })) : '' } $contestant, $other;
	($ours, $theirs) = ('', '') unless defined $other;
	return "| $what | $ours | $theirs | " . shown($is) . ' | ' . ($how eq 'at_most' ? 'at most ' : '') . "$bound | " . ($reached ? 'reached' : 'missed') . " |\n";
}

# Of a run's results by "name clients delay", those rows that it has measured.
sub wanted_table
{
	my ($results, $median) = @_;
	my @rows = map { row($results, $median, @$_) } @wanted;
	return @rows ? join '', "\n| what | pgw | the other | ratio | wanted | |\n|---|---|---|---|---|---|\n", @rows : '';
}

1;
