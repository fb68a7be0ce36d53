# The look for times of a former clock takes longer than the worker's transactions may: payments go on, and it is not repeated at every turn.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('slow_look', debug => 1, conf => "fsync = off\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub pay
{
	return $node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $_[0], timeout => '60s'));
}

is(pay('before'), 'captured', 'a payment');
debug_flag($node, 'clock_look_slow', 1);
$node->restart;
is(pay('first'), 'captured', 'after the restart the first one waits for the look to be given up');
my $t = time;
is(pay($_), 'captured', "payment $_") for 1 .. 3;
in_time(time - $t, 4, 'the others do not wait for another look');
debug_flag($node, 'clock_look_slow', 0);
is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
