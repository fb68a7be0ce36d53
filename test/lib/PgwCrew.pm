# PgwCrew - clients that pay by a list of servers: each makes payment after payment, and where it does not get to know what came of one it makes the same call again,
# with the same id, at whichever server takes it then.
#
#	my $crew = PgwCrew->new([ [ @nodes ], [ reverse @nodes ] ], prefix => 'p');    # one client for each list
#	$crew->work(sub { ... });        # until that is true
#	$crew->finish;                   # until each has an answer to its last one; false: not in time
#	$crew->{told}                    # id => { status, port, at }: what each payment came to, where and when
package PgwCrew;

use strict;
use warnings;
use PgwPatroni;
use PgwSession;
use PgwTest;
use Time::HiRes qw(time usleep);

my $PAUSE = 0.1;    # between two tries to connect

# The servers of a DSN, as PgwSession asks for them.
package PgwCrew::List
{
	sub host { return join ',', map { '127.0.0.1' } @{ $_[0] } }
	sub port { return join ',', map { $_->port } @{ $_[0] } }
}

sub new
{
	my ($class, $lists, %o) = @_;
	my $self = bless { n => 0, prefix => $o{prefix}, told => {}, asked => {} }, $class;
	$self->{clients} = [ map { { list => bless([@$_], 'PgwCrew::List'), due => 0 } } @$lists ];
	return $self;
}

sub connect
{
	my ($client) = @_;
	local %ENV = (%ENV, PGUSER => $PgwPatroni::CLIENT, PGPASSWORD => $PgwPatroni::CLIENT_PASSWORD, PGTARGETSESSIONATTRS => 'read-write', PGCONNECT_TIMEOUT => 3);
	$client->{session} = PgwSession->new($client->{list});
	return 1 if $client->{session}->state eq '00000';
	drop($client);
	return 0;
}

sub drop
{
	my ($client) = @_;
	delete $client->{session};
	$client->{due} = time + $PAUSE;
}

# Every fifth is rolled back, and some take the bank a while.
sub rolls_back { return $_[0] =~ /[05]$/ }
sub call
{
	my ($id) = @_;
	my $call = 'SELECT status, inet_server_port() FROM ' . pay_sql('process_payment', client_request_id => $id, token => $id =~ /3$/ ? 'tok_slow_100' : 'tok_ok', timeout => '3s');
	return rolls_back($id) ? "BEGIN; $call; ROLLBACK" : $call;
}

sub send_next
{
	my ($self, $client) = @_;
	return if time < $client->{due};
	return unless $client->{session} || &connect($client);
	if (!defined $client->{id})
	{
		return if $self->{finishing};
		$client->{id} = $self->{prefix} . ++$self->{n};
		$self->{asked}{ $client->{id} } = 1;
	}
	$client->{session}->send(call($client->{id}));
	$client->{busy} = 1;
}

sub take
{
	my ($self, $client) = @_;
	my $session = $client->{session};
	$client->{busy} = 0;
	my ($status, $port) = $session->{out} =~ /^(\w+)\|(\d+)$/m;
	if ($session->state eq '00000' && defined $status && $status ne 'pending')
	{
		$self->{told}{ $client->{id} } = { status => $status, port => $port, at => time };
		delete $client->{id};
		return;
	}
	$self->{repeated}{ $client->{id} } = $session->err;
	drop($client);
}

sub work
{
	my ($self, $until, $seconds) = @_;
	return wait_until(sub {
		for my $client (@{ $self->{clients} }) { $self->send_next($client) unless $client->{busy} }
		my @busy = grep { $_->{busy} } @{ $self->{clients} };
		if (@busy) { PgwSession::wait_any(0.02, map { $_->{session} } @busy) }
		for my $client (@busy) { $self->take($client) if $client->{session}->done }
		return $until->();
	}, $seconds // 60);
}

sub finish
{
	my ($self, $seconds) = @_;
	$self->{finishing} = 1;
	my $all = $self->work(sub { !grep { defined $_->{id} } @{ $self->{clients} } }, $seconds);
	delete $_->{session} for @{ $self->{clients} };
	return $all;
}

# How long it was from the last answer that came from elsewhere to the first of this server's after a moment.
sub gap_before
{
	my ($self, $moment, $node) = @_;
	my $first = $moment + $self->first_after($moment, $node->port);
	my ($last) = sort { $b <=> $a } map { $_->{at} } grep { $_->{port} != $node->port && $_->{at} < $first } values %{ $self->{told} };
	return $first - $last;
}

# The first answer that came after a moment, in seconds after it; undef: none yet.
sub first_after
{
	my ($self, $moment, $port) = @_;
	my ($first) = sort { $a <=> $b } map { $_->{at} - $moment } grep { $_->{at} > $moment && (!$port || $_->{port} == $port) } values %{ $self->{told} };
	return $first;
}

1;
