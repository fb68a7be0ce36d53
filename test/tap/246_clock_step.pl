# The clock goes back by as little as NTP and virtual machines correct it all the time: nobody reads all that waits for that.  Steps that add up to more than a
# second are noticed.
use strict;
use warnings;
use lib 'test/lib';
use PgwServerClock;
use PgwTest;
use Test::More;

my $node = pgw_node('clock_step', debug => 1, start => 0, conf => "fsync = off\n");
my $bank = bank_start();

my $n = 0;

sub pay
{
	return $node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'p' . ++$n));
}

sub has_looked { return -s $node->debug_dir . '/clock_look.pid' ? 1 : 0 }

set_server_clock($node, 3);
start_with_clock($node);
pgw_setup($node, $bank);
is(pay(), 'captured', 'a payment');
debug_arm($node, 'clock_look', 'error');
for my $ms (2999, 2800, 2400, 2900, 2200)
{
	set_server_clock($node, $ms / 1000);
	is(pay(), 'captured', "the clock is $ms ms ahead, and payments go on");
	is(has_looked(), 0, 'nobody looks for what that may have put off');
}
set_server_clock($node, 0.5);
debug_wait($node, 'clock_look');
is(has_looked(), 1, 'a step that matters is noticed');
is(pay(), 'captured', 'and payments go on');
debug_arm($node, 'clock_look', 'error');
set_server_clock($node, 0);
is(pay(), 'captured', 'half a second less');
is(has_looked(), 0, 'is not noticed');
is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
