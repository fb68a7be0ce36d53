# PgwLogs - what a cluster has written to its logs, in all three formats, and whether card data is in it.
package PgwLogs;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Utils;
use PgwTest;

our @EXPORT = qw(logs_conf logs_size logs_since leaks $CVV $HOLDER);

# Three digits occur everywhere; they are found where they stand as a value.
our ($CVV, $HOLDER) = ('737', 'CARLA HOLDERSECRET');

# The setting of a node that writes them all.
sub logs_conf
{
	return "logging_collector = on\nlog_destination = 'stderr,csvlog,jsonlog'\nlog_directory = 'log'\nlog_filename = 'all.log'\nlog_rotation_size = 0\nlog_rotation_age = 0\n";
}

sub files { my ($node) = @_; return map { $node->data_dir . "/log/$_" } qw(all.log all.csv all.json) }

sub logs_size { my ($node) = @_; return { map { $_ => -s $_ // 0 } files($node) } }

# What was written since then, when the collector has written all that was said before: a line of our own comes last in each file.
my $marks = 0;

sub logs_since
{
	my ($node, $since) = @_;
	my $mark = 'mark ' . ++$marks . ' of the test';
	my $log;
	$node->safe_psql('postgres', "SET log_min_messages = warning; DO \$\$ BEGIN RAISE LOG '%', '$mark'; END \$\$");
	wait_until(sub {
		my @texts = map { -e $_ ? slurp_file($_, $since->{$_} // 0) : '' } files($node);
		$log = join "\n", @texts;
		return 3 == grep { /\Q$mark\E/ } @texts;
	}, 30) or die 'the logs do not get there';
	return $log;
}

# Which of number, CVV and holder a text holds: as it is, and as the bytes that the server's trees show.
sub leaks
{
	my ($text, $card) = @_;
	$card //= $CARD;
	my %what = (number => $card, CVV => $CVV, holder => $HOLDER);
	my $flat = $text =~ s/\s|\\[nt]//gr;    # trees are broken into lines anywhere
	my @found;
	for my $name ('number', 'CVV', 'holder')
	{
		my $value = $what{$name};
		my $bytes = join '', map { ord } split //, $value;
		my $plain = $name eq 'CVV' ? qr/['"]+\\?737\\?['"]|= 737\b|\Q$card\E\W{1,4}737\b/ : qr/\Q$value\E/;
		push @found, $name if $text =~ $plain || $flat =~ /000$bytes\]/;
	}
	return @found;
}

1;
