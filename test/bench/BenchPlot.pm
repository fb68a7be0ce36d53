# BenchPlot.pm - throughput and p99 over concurrency, as an SVG file that needs nothing else
package BenchPlot;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(max min);

our @EXPORT = qw(plot);

my ($width, $height, $left, $bottom, $gap) = (420, 300, 70, 60, 60);
my @colors = ('#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#ff7f0e', '#8c564b', '#17becf', '#7f7f7f');

sub log2 { return log($_[0]) / log(2) }

sub line { my ($x1, $y1, $x2, $y2, $color) = @_; return sprintf qq(<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>\n), $x1, $y1, $x2, $y2, $color }
sub text { my ($x, $y, $anchor, $text) = @_; return sprintf qq(<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>\n), $x, $y, $anchor, $text }

sub label { my ($row) = @_; return "$row->{name}, bank $row->{bank_ms} ms" }

# One diagram; x is logarithmic, y too where asked for.
sub panel
{
	my ($x0, $title, $field, $logarithmic, $rows, $color) = @_;
	my @xs = map { $_->{concurrency} } @$rows;
	my @ys = grep { defined && $_ > 0 } map { $_->{$field} } @$rows;
	my ($x_min, $x_max) = (min(@xs), max(@xs));
	my $top = max(@ys) * 1.05;
	my $low = $logarithmic ? 10**int(log(min(@ys)) / log(10) - 1) : 0;
	my $x = sub { return $x0 + ($x_max > $x_min ? log2($_[0] / $x_min) / log2($x_max / $x_min) : 0.5) * $width };
	my $y = sub { return 40 + $height - ($logarithmic ? log($_[0] / $low) / log($top / $low) : $_[0] / $top) * $height };
	my $out = text($x0, 25, 'start', $title) . line($x0, 40 + $height, $x0 + $width, 40 + $height, '#333') . line($x0, 40, $x0, 40 + $height, '#333');
	my %seen;

	$out .= line($x->($_), 40 + $height, $x->($_), 45 + $height, '#333') . text($x->($_), 60 + $height, 'middle', $_) for grep { !$seen{$_}++ } @xs;
	$out .= text($x0 + $width / 2, 80 + $height, 'middle', 'clients');
	my $step = 10**int(log($top) / log(10));
	$step /= 2 if $top / $step < 3;
	my @marks = $logarithmic ? grep { $_ <= $top } map { $low * 10**$_ } 0 .. 12 : map { $_ * $step } 0 .. int($top / $step);
	$out .= line($x0, $y->($_), $x0 + $width, $y->($_), '#ddd') . text($x0 - 6, $y->($_) + 4, 'end', $_ + 0) for @marks;
	my %line;
	push @{ $line{ label($_) } }, $_ for grep { defined $_->{$field} && $_->{$field} > 0 } @$rows;
	for my $name (sort keys %line)
	{
		my @points = map { [ $x->($_->{concurrency}), $y->($_->{$field}) ] } sort { $a->{concurrency} <=> $b->{concurrency} } @{ $line{$name} };
		$out .= sprintf qq(<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>\n), $color->{$name}, join ' ', map { sprintf '%.1f,%.1f', @$_ } @points;
		$out .= sprintf qq(<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>\n), @$_, $color->{$name} for @points;
	}
	return $out;
}

# The rows of bench.pl; those with one payment per transaction, which concurrency is about.
sub plot
{
	my @rows = grep { $_->{name} =~ /^(limit2|peer|submit|process)$/ } @_;
	return '' unless @rows;
	my %names = map { label($_) => 1 } @rows;
	my %color;
	my $legend = '';
	my $n = 0;
	for my $name (sort keys %names)
	{
		$color{$name} = $colors[ $n % @colors ];
		$legend .= sprintf(qq(<rect x="%.1f" y="%.1f" width="12" height="12" fill="%s"/>\n), $left + ($n % 4) * 220, $height + $bottom + 50 + 20 * int($n / 4), $color{$name})
		  . text($left + 18 + ($n % 4) * 220, $height + $bottom + 61 + 20 * int($n / 4), 'start', $name);
		$n++;
	}
	my $w = 2 * ($left + $width) + $gap;
	my $h = $height + $bottom + 100;
	return qq(<svg xmlns="http://www.w3.org/2000/svg" width="$w" height="$h" font-family="sans-serif" font-size="12">\n<rect width="$w" height="$h" fill="white"/>\n)
	  . panel($left, 'payments per second', 'throughput', 0, \@rows, \%color)
	  . panel($left + $width + $gap + $left - 30, 'p99 from the call to Completed, ms', 'p99_ms', 1, \@rows, \%color) . $legend . "</svg>\n";
}

1;
