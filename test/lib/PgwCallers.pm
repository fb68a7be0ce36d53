# PgwCallers - several callers at once, on a node made with debug => 1.
package PgwCallers;

use strict;
use warnings;
use Exporter 'import';
use PgwSession;
use PgwTest;

our @EXPORT = qw(taken_together);

# One caller and so many more, whose requests the worker takes in one go; their client_request_ids are the name and a number from 0.  What is to happen then
# is armed when all of them wait.  Their answers, or SQLSTATEs.
sub taken_together
{
	my ($node, $name, $more, $arm) = @_;
	my $call = sub { return PgwSession->new($node)->send('SELECT status FROM ' . pay_sql('process_payment', client_request_id => "$name $_[0]", timeout => '60s')) };
	debug_arm($node, 'taken', 'stop');
	my @callers = ($call->(0));
	debug_wait($node, 'taken');
	push @callers, map { $call->($_) } 1 .. $more;
	$node->poll_query_until('postgres', "SELECT count(*) > $more FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND backend_type = 'client backend'") or die;
	$arm->();
	debug_release($node, 'taken');
	return map { my $answer = $_->wait(90); $_->state eq '00000' ? $answer : $_->state } @callers;
}

1;
