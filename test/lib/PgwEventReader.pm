# PgwEventReader - a consumer of events as an application would write one, that remembers what it was given and holds it against the table.
#
#   my $r = PgwEventReader->new($node, 'name');     # since => '...', create => 0
#   my @rows = $r->read(100);                       # the next ones, each a hash; nothing is committed
#   $r->commit;                                     # what was read last
#   $r->drain;                                      # read and commit until nothing comes
#   $r->faults                                      # what is missing, came in another order than its attempt's steps, or came twice; '' if nothing
package PgwEventReader;

use strict;
use warnings;

use constant COLUMNS => qw(cursor event_id transaction_id step_order event_type client_request_id);

sub new
{
	my ($class, $node, $name, %o) = @_;
	my $self = bless { node => $node, name => $name, order => [], times => {}, rows => [], repeats => 0 }, $class;
	my $since = defined $o{since} ? "'$o{since}'" : 'NULL';
	$node->safe_psql('postgres', "SELECT pgw.create_event_consumer('$name', $since)") if $o{create} // 1;
	return $self;
}

sub take_in
{
	my ($self, $text) = @_;
	$self->{rows} = [ map { my %row; @row{ +COLUMNS } = split /\|/; \%row } split /\n/, $text ];
	return @{ $self->{rows} };
}

sub read_sql { my ($self, $n) = @_; return 'SELECT ' . join(', ', COLUMNS) . " FROM pgw.read_events('$self->{name}', $n)" }

sub read
{
	my ($self, $n) = @_;
	return $self->take_in($self->{node}->safe_psql('postgres', $self->read_sql($n // 1000)));
}

# What was read is done: from here on it must not come again.
sub done
{
	my ($self) = @_;
	for my $row (@{ $self->{rows} })
	{
		$self->{repeats}++ if $self->{times}{ $row->{event_id} }++;
		push @{ $self->{order} }, $row;
	}
	$self->{rows} = [];
}

sub commit_sql { my ($self) = @_; return "SELECT pgw.commit_events('$self->{name}', '$self->{rows}[-1]{cursor}')" }

sub commit
{
	my ($self) = @_;
	my $moved = $self->{node}->safe_psql('postgres', $self->commit_sql);
	$self->done;
	return $moved;
}

sub drain
{
	my ($self, $n) = @_;
	my $read = 0;
	while (my @rows = $self->read($n // 1000))
	{
		$read += @rows;
		$self->commit;
	}
	return $read;
}

# Of attempts whose request ids match; all that the table has must have come.
sub faults
{
	my ($self, $like) = @_;
	$like //= '%';
	my (@faults, %last);
	for my $row (@{ $self->{order} })
	{
		my $before = $last{ $row->{transaction_id} } // 0;
		push @faults, "$row->{client_request_id}: step $row->{step_order} came after $before" if $row->{step_order} != $before + 1;
		$last{ $row->{transaction_id} } = $row->{step_order};
	}
	for (split /\n/, $self->{node}->safe_psql('postgres', "SELECT e.event_id, t.client_request_id, e.event_type FROM pgw.transaction_events e
		JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id LIKE '$like'"))
	{
		my ($id, $request, $type) = split /\|/;
		push @faults, "$request: $type did not come" unless $self->{times}{$id};
	}
	push @faults, "$self->{repeats} came again after they were committed" if $self->{repeats};
	return join "\n", @faults;
}

1;
