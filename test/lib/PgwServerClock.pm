# PgwServerClock - a server whose wall clock is moved while it runs (docs/examples/testing/clock.c); the test and its banks keep the real one.
package PgwServerClock;

use strict;
use warnings;
use Cwd;
use Exporter 'import';
use Fcntl;

our @EXPORT = qw(set_server_clock start_with_clock);

sub clock_file { my ($node) = @_; return $node->basedir . '/clock' }

# By how many seconds the clock is ahead, before the start and whenever it runs.
sub set_server_clock
{
	my ($node, $seconds) = @_;
	sysopen my $file, clock_file($node), O_RDWR | O_CREAT or die $!;
	# written in its place: processes have it mapped
	syswrite $file, pack 'qq', int $seconds, int(($seconds - int $seconds) * 1_000_000_000 + 0.5);
	close $file;
	return;
}

# pg_ctl and all that it starts have the moved clock.
sub start_with_clock
{
	my ($node) = @_;
	local %ENV = (%ENV, LD_PRELOAD => getcwd() . '/test/lib/clock.so', PGW_CLOCK => clock_file($node));
	$node->start;
	return;
}

1;
