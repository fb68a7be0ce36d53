# PgwPages - the code blocks of a page, from its text: what a reader copies is what is run. A comment of HTML before a block, which readers
# do not see, says what becomes of it:
#
#	<!-- run: sql -->                      psql takes it as it stands
#	<!-- run: sql, given: CREATE … -->     after statements that make what the page takes for granted
#	<!-- run: sql, until the result -->    again until it prints the block marked <!-- result -->: for what the worker does by and by
#	<!-- run: conf -->, <!-- run: shell -->
#	<!-- result -->                        what the block before has printed, but for ids and times
#	<!-- not run: why -->
#
# A block of SQL, of configuration or of the shell without such a comment is a fault: nobody would notice that it does not work.
package PgwPages;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(blocks_of printed);

# The blocks of a page's text: { line, mark, text }; mark is undef where there is none.
sub blocks_of
{
	my ($page) = @_;
	my (@blocks, $mark, $block, $fence);
	my ($n, $blank) = (0, 1);
	for my $line (split /\n/, $page)
	{
		$n++;
		if (defined $fence)
		{
			if ($line =~ /^```/) { undef $fence; undef $block }
			elsif ($block) { $block->{text} .= "$line\n" }
		}
		elsif ($line =~ /^```(\w*)/)
		{
			$fence = $1;
			push @blocks, $block = { line => $n, mark => $mark, text => '' } if $fence eq '' || $fence =~ /^(?:sql|sh|bash)$/;
			undef $mark;
		}
		elsif ($line =~ /^ {4}(.*)/ && ($block || $blank))
		{
			push @blocks, $block = { line => $n, mark => $mark, text => '' } unless $block;
			undef $mark;
			$block->{text} .= "$1\n";
		}
		elsif ($line =~ /^\s*$/) { $block->{text} .= "\n" if $block }
		else
		{
			undef $block;
			push @blocks, { line => $n, mark => 'a comment before no block', text => '' } if defined $mark;
			($mark) = $line =~ /^<!-- ((?:not )?run: .*|result) -->$/;
		}
		$blank = $line =~ /^\s*$/;
	}
	push @blocks, { line => $n, mark => 'a comment before no block', text => '' } if defined $mark;
	return @blocks;
}

# What psql has printed, without what is another each time and without the widths that come of it.
sub printed
{
	my ($text) = @_;
	$text =~ s/\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d(?::\d\d)?/time/g;
	$text =~ s/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/uuid/g;
	$text =~ s/-{2,}/--/g;
	$text =~ s/[ \t]+/ /g;
	return join "\n", grep { $_ ne '' } map { s/^ | $//gr } split /\n/, $text;
}

1;
