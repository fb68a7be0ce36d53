# The clock goes back by as little as NTP and virtual machines correct it all the time: nobody reads all that waits for that.  Steps that add up to more than a
# second are noticed.
use strict;
use warnings;
use lib 'test/lib';
use Cwd;
use Fcntl;
use PgwTest;
use Test::More;

my $node = pgw_node('clock_step', debug => 1, start => 0, conf => "fsync = off\n");
my $clock = $node->basedir . '/clock';
my $bank = bank_start();

sub set_clock
{
	my ($ms) = @_;
	sysopen my $f, $clock, O_RDWR | O_CREAT or die $!;
	syswrite $f, pack 'qq', int($ms / 1000), ($ms % 1000) * 1_000_000;    # in its place: processes have it mapped
	close $f;
	return;
}

my $n = 0;
sub pay { return $node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'p' . ++$n)) }
sub looked { return -s $node->debug_dir . '/clock_look.pid' ? 1 : 0 }

set_clock(3000);
{
	local %ENV = (%ENV, LD_PRELOAD => getcwd() . '/test/clock/clock.so', PGW_CLOCK => $clock);
	$node->start;
}
pgw_setup($node, $bank);
is(pay(), 'captured', 'a payment');
debug_arm($node, 'clock_look', 'error');
for my $ms (2999, 2800, 2400, 2900, 2200)
{
	set_clock($ms);
	is(pay(), 'captured', "the clock is $ms ms ahead, and payments go on");
	is(looked(), 0, 'nobody looks for what that may have put off');
}
set_clock(500);
debug_wait($node, 'clock_look');
is(looked(), 1, 'a step that matters is noticed');
is(pay(), 'captured', 'and payments go on');
debug_arm($node, 'clock_look', 'error');
set_clock(0);
is(pay(), 'captured', 'half a second less');
is(looked(), 0, 'is not noticed');
is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
