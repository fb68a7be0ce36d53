# ChaosCrew.pm - the clients of a run, each a process of its own: they ask for orders, get the number of one at a time, and say what became of it.
#
# Owns: the processes, until end() or until whoever made the crew ends those of {children}; what they have said: ends, counts, wrong, outcomes, operations.
package ChaosCrew;
use strict;
use warnings;
use IO::Select;
use JSON::PP;
use POSIX ();

sub new
{
	my ($class, $orders) = @_;    # how many there are
	return bless {
		orders => $orders, begun => 0, done => 0, select => IO::Select->new, buffer => {}, ends => {}, counts => {},
		map { $_ => [] } qw(children go idle wrong outcomes operations) }, $class;
}

# So many; make gets a client's number, and where it hears of orders and says what became of them, and returns it.
sub start
{
	my ($self, $clients, $make) = @_;
	for my $n (0 .. $clients - 1)
	{
		pipe(my $r, my $w) or die $!;
		pipe(my $go_r, my $go_w) or die $!;
		my $pid = fork // die $!;
		if (!$pid)
		{
			close $_ for $r, $go_w, @{ $self->{go} };
			@SIG{qw(TERM INT)} = ('DEFAULT') x 2;
			my $ok = eval { $make->(n => $n, out => $w, in => $go_r)->work; 1 };
			print STDERR "client $n: $@" unless $ok;
			POSIX::_exit($ok ? 0 : 1);
		}
		close $_ for $w, $go_r;
		push @{ $self->{children} }, $pid;
		push @{ $self->{go} }, $go_w;
		$self->{select}->add($r);
		$self->{buffer}{$r} = '';
	}
	return;
}

sub is_at_work { my ($self) = @_; return $self->{select}->count }

# Takes in what they say; waits for it so many seconds at most.
sub hear
{
	my ($self, $seconds) = @_;
	my $buffer = $self->{buffer};
	for my $r ($self->{select}->can_read($seconds))
	{
		if (!sysread $r, $buffer->{$r}, 65536, length $buffer->{$r})
		{
			$self->{select}->remove($r);
			next;
		}
		$self->_take(decode_json($1)) while $buffer->{$r} =~ s/^([^\n]*)\n//;
	}
	return;
}

sub _take
{
	my ($self, $o) = @_;
	return push @{ $self->{idle} }, $o->{ready} if defined $o->{ready};
	$self->{done}++;
	$self->{ends}{ $o->{end} }++;
	$self->{counts}{$_} += $o->{count}{$_} for keys %{ $o->{count} };
	push @{ $self->{wrong} }, "$o->{merchant}/$o->{id} ($o->{shape}): $_" for @{ $o->{wrong} };
	push @{ $self->{outcomes} }, [ @$o{qw(merchant id shape end status)} ];
	push @{ $self->{operations} }, map { [ $o->{merchant}, @$_ ] } @{ $o->{operations} };
	return;
}

# To whoever has asked: while fewer than so many have begun (undef: all of them). Where there are no more, they may leave, unless something is still to come.
sub hand_out
{
	my ($self, $limit, $to_come) = @_;
	while (@{ $self->{idle} } && (!defined $limit || $self->{begun} < $limit))
	{
		my $n = $self->{begun} < $self->{orders} ? $self->{begun}++ : $to_come ? return : -1;
		syswrite $self->{go}[ shift @{ $self->{idle} } ], "$n\n";
	}
	return;
}

# All have left; so many orders are to have been reported.
sub end
{
	my ($self, $reported) = @_;
	waitpid $_, 0 for @{ $self->{children} };
	$self->{children} = [];
	push @{ $self->{wrong} }, "clients reported $self->{done} of $reported orders" if $self->{done} != $reported;
	return;
}

1;
