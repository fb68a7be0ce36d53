# PgwBytes - the byte search: what of this is in these files?  Every byte of every file is looked at, in pieces that overlap, for the value as it stands and as
# a program might have written it on its way: hex digits, base64 at each of its three offsets, UTF-16, backwards, percent-encoded.
#
#   my $b = PgwBytes->new(number => '4242…', marker => 'order 7');   # names and values; a reference to a pattern is taken as it is
#   my %found = $b->found_in($file_or_folder, …);    # name => [ "file (form)", … ]; names that were not found are not there
#   $b->{files}, $b->{bytes}                   # how much was looked at, altogether
package PgwBytes;

use strict;
use warnings;
use File::Find;
use MIME::Base64;

my $PIECE = 8 << 20;
my $OVERLAP = 4096;

sub new
{
	my ($class, %what) = @_;
	my (@texts, @folded, @patterns);
	for my $name (sort keys %what)
	{
		if (ref $what{$name})
		{
			push @patterns, [ $name, 'pattern', $what{$name} ];
			next;
		}
		my %forms = forms($what{$name});
		push @{ $_ =~ /hex|percent/ ? \@folded : \@texts }, map { my $form = $_; map { [ $name, $form, $_ ] } @{ $forms{$form} } } $_ for sort keys %forms;
	}
	return bless { texts => \@texts, folded => \@folded, patterns => \@patterns, files => 0, bytes => 0 }, $class;
}

# How a text can stand in a file; hex and percent-encoded in lower case, to be compared so.
sub forms
{
	my ($text) = @_;
	# what no neighbour changes: the characters of base64 that hold bits of the text alone
	my @base64 = map {
		my $encoded = encode_base64(('x' x $_) . $text, '');
		my ($first, $bits) = (int(($_ * 8 + 5) / 6), ($_ + length $text) * 8);
		substr $encoded, $first, int($bits / 6) - $first;
	} 0 .. 2;
	return (
		plain => [$text], hex => [ unpack 'H*', $text ], base64 => \@base64, utf16 => [ join "\0", split //, $text ], backwards => [ scalar reverse $text ],
		percent => [ join '', map { sprintf '%%%02x', ord } split //, $text ]);
}

sub found_in
{
	my ($self, @where) = @_;
	my %found;
	find({ no_chdir => 1, wanted => sub { -f $_ && $self->_file($_, \%found) } }, @where);
	return %found;
}

sub _file
{
	my ($self, $file, $found) = @_;
	my ($bytes, $n, %here) = ('');
	# a file that the server removes meanwhile is none
	open my $f, '<:raw', $file or return;
	$self->{files}++;
	while ($n = sysread $f, $bytes, $PIECE, length $bytes)
	{
		$self->{bytes} += $n;
		my $folded = lc $bytes;
		index($bytes, $_->[2]) >= 0 and $here{"$_->[0]\0$_->[1]"} = 1 for @{ $self->{texts} };
		index($folded, $_->[2]) >= 0 and $here{"$_->[0]\0$_->[1]"} = 1 for @{ $self->{folded} };
		$bytes =~ $_->[2] and $here{"$_->[0]\0$_->[1]"} = 1 for @{ $self->{patterns} };
		$bytes = substr $bytes, -$OVERLAP if length $bytes > $OVERLAP;
	}
	die "$file: $!" unless defined $n;
	for (sort keys %here)
	{
		my ($name, $form) = split /\0/;
		push @{ $found->{$name} }, "$file ($form)";
	}
}

1;
