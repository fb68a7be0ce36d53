# ChaosClient - one client of the run: a correct application that carries out orders whatever happens to it.
#
# What makes it correct: after an error, a lost connection or a missing answer it repeats the SAME client_request_id with the same
# arguments until it has a final answer; it gives an order up only when it knows that nothing of it was committed.  Its own row in
# table orders is written in the transaction that pays, so that orders and payments can be compared afterwards.
#
# What follows the payment (captures, voids, refunds) goes the same way: the same id again until it is recorded.  An operation may be refused with PW422 only where
# another one was there first, or where the bank had refused something.
#
# How it pays is in ChaosPayment, what follows in ChaosOperations, its sessions in ChaosSession.
#
# It asks for each order with { ready => its number }, and reports { id, merchant, end => committed | none | stuck, status, wrong => [...], counts => {...} }.
package ChaosClient;

use strict;
use warnings;
use parent 'ChaosOperations';
use JSON::PP;
use Time::HiRes qw(time usleep);

sub carry_out
{
	my ($self, $o) = @_;
	my ($end, $status) = $self->first_attempt($o);
	return ('prepared') if $end eq 'prepared';
	return ('none') if $o->{gives_up} && ($end eq 'rolled back' || ($end eq 'error' && $o->{shape} !~ /^(auto|mismatch|exception_retry|duplicate)/));
	return $self->bring_to_end($o, $end, $status);
}

# What has been prepared, in the way that the plan names.
sub decide_prepared
{
	my ($self, $p) = @_;
	my $o = $p->{order};
	my $verb = $o->{shape} eq 'two_phase_commit' ? 'COMMIT' : 'ROLLBACK';
	$self->end_prepared_transaction($verb, $p->{gid}, $o->{other_session} ? 2 : 1);
	$p->{decided} = 1;
	return;
}

sub end_prepared
{
	my ($self, $p) = @_;
	my $o = $p->{order};
	$self->decide_prepared($p) unless $p->{decided};
	return 'none' if $o->{shape} eq 'two_phase_rollback';
	return $self->finish_order($o, $self->until_final($o));
}

# Of another amount under the same id, until it says more than that it is to be made again.
sub another_amount
{
	my ($self, $o) = @_;
	while (!$self->pay_another_amount($o))
	{
		return if $self->{state} eq 'PW422' || !$self->is_to_be_repeated;
		die "no answer to another amount\n" if time > $self->{end};
		usleep(20_000);
	}
	return $self->wrong('another amount under the same id was not refused');
}

sub pay_another_amount { my ($self, $o) = @_; return $self->run(1, 'SELECT status FROM ' . ChaosPayment::call($o, $o->{function}, amount => $o->{amount} + 1), may => 'PW422') }

sub bring_to_end
{
	my ($self, $o, $end, $status) = @_;
	$self->count('retried') if $end ne 'committed';
	$status = $self->until_final($o) if $end ne 'committed' || $status eq 'pending' && ($o->{function} eq 'process' || $o->{waits});
	$self->another_amount($o) if $o->{shape} eq 'mismatch';
	if ($o->{peer})
	{
		my $peer = $self->until_final($o->{peer});
		$self->report($o->{peer}, 'committed', $peer);
	}
	return $self->finish_order($o, $status);
}

# What was taken may change after the client's last look: by its operations, or the capture after its commit.
sub finish_order
{
	my ($self, $o, $status) = @_;
	return ('committed', $status) if $status eq 'pending' || $status !~ /^(authorized|captured)$/;
	$self->follow($o) if @{ $o->{follow} };
	return ('committed', @{ $o->{follow} } || $o->{capture} eq 'on_commit' ? 'taken' : $status);
}

sub report
{
	my ($self, $o, $end, $status) = @_;
	my %r = (id => $o->{id}, merchant => $o->{merchant}, shape => $o->{shape}, end => $end, status => $status // '', wrong => $self->{wrong}, count => $self->{count},
		operations => $self->{operations} // []);
	$self->{wrong} = [];
	$self->{operations} = [];
	$self->{count} = {};
	syswrite $self->{out}, $self->{json}->encode(\%r) . "\n";
	return;
}

# Carry something out, and report it unless it is to go on later.
sub guarded
{
	my ($self, $o, $what) = @_;
	$self->{end} = time + $self->{patience};
	my ($end, $status) = eval { $what->() };
	if (my $e = $@)
	{
		$self->wrong("stuck: $e");
		($end, $status) = ('stuck', '');
		$self->lost($_) for 1, 2;
	}
	$self->report($o, $end, $status) unless $end eq 'prepared';
	return;
}

# The next order, from the driver; none: the end.
sub next_order
{
	my ($self) = @_;
	my $in = $self->{in};
	syswrite $self->{out}, $self->{json}->encode({ ready => $self->{n} }) . "\n";
	my $n = <$in> // die "the driver is gone\n";
	return $n >= 0 ? $self->{orders}[$n] : undef;
}

sub work
{
	my ($self) = @_;
	$self->{json} = JSON::PP->new->canonical;
	$self->{wrong} = [];
	my $o;
	do
	{
		$o = $self->next_order;
		my @due = grep { !$o || $_->{left}-- <= 0 } @{ $self->{prepared} };
		for my $p (@due)
		{
			$self->{prepared} = [ grep { $_ != $p } @{ $self->{prepared} } ];
			$self->guarded($p->{order}, sub { $self->end_prepared($p) });
		}
		$self->guarded($o, sub { $self->carry_out($o) }) if $o;
	} while $o;
	return;
}

1;
