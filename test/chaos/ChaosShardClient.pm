# ChaosShardClient - a client of a run over several shards: ChaosClient, who finds the shard of each order by the order's slot. It pays at the shard itself or, where one
# statement does it, at the PL/Proxy router; reads the map anew when it is told that a slot is not at home; and sends some calls to the wrong shard first, on purpose.
#
# The map is a file that the driver replaces as a whole: { slots => [name of the shard, ...], shards => { name => folder } }.  It may be older than what the shards know.
package ChaosShardClient;

use strict;
use warnings;
use parent 'ChaosClient';
use Digest::SHA 'sha256';
use JSON::PP;
use Time::HiRes qw(time usleep);

# A server, as PgwSession wants it.
package ChaosShardClient::Place { sub host { return $_[0]{dir} } sub port { return 5432 } }

sub place { my ($dir) = @_; return bless { dir => $dir }, 'ChaosShardClient::Place' }

# As docs/scaling.md has it; the ids of a run name no slot.
sub slot_of { my ($id) = @_; return unpack('n', sha256($id)) >> 6 }

sub read_map
{
	my ($file) = @_;
	open my $f, '<', $file or die "$file: $!";
	local $/;
	return decode_json(<$f>);
}

# Where the order belongs, by the map as it is now.
sub reroute
{
	my ($self, $o) = @_;
	my $map = read_map($self->{map});
	$self->{home} = $map->{slots}[ slot_of($o->{id}) ];
	$self->{place} = place($map->{shards}{ $self->{home} });
	return $map;
}

# The sessions 1 and 2 are at the order's shard, r is at the router, w at the wrong shard.  One that is elsewhere is no longer used.
sub session
{
	my ($self, $n) = @_;
	local $self->{server} = $n eq 'r' ? $self->{router} : $n eq 'w' ? $self->{wrong_place} : $self->{place};
	my $there = $self->{sessions}{$n};
	$self->lost($n) if $there && $there->{dir} ne $self->{server}{dir};
	my $s = $self->SUPER::session($n);
	$s->{dir} = $self->{server}{dir};
	return $s;
}

# That a slot is not at home, where the map is not up to date, is no fault of a client; nor that the router has lost its connection (58000 and 08xxx).
sub finish
{
	my ($self, $n, %o) = @_;
	return $self->SUPER::finish($n, %o, may => join '|', 'PW421', ($n eq 'r' ? ('58000', '08\w{3}', 'XX000') : ()), $o{may} // ());
}

sub is_to_be_repeated { my ($self) = @_; return $self->{state} eq 'PW421' || $self->SUPER::is_to_be_repeated }

# A slot leaves when what is prepared for it has ended: who waits for one, and has prepared something for another, would wait for himself.
sub decide_all_prepared
{
	my ($self) = @_;
	for my $p (grep { !$_->{decided} } @{ $self->{prepared} })
	{
		$self->reroute($p->{order});
		$self->decide_prepared($p);
		$self->count('prepared: ended as slots are leaving');
	}
	return;
}

# Before a call that may be one of many, outside of transactions.
sub go_to
{
	my ($self, $o) = @_;
	$self->decide_all_prepared if ($self->{state} // '') eq 'PW421';
	return $self->reroute($o);
}

# One call that goes to another shard than its own, whatever it is.  It must be refused; only if the slot has just gone there it is not.
sub misroute
{
	my ($self, $o, $sql) = @_;
	my $map = $self->reroute($o);
	my @wrong = grep { $_ ne $self->{home} } sort keys %{ $map->{shards} };
	my $wrong = $wrong[ $o->{amount} % @wrong ];
	$self->{wrong_place} = place($map->{shards}{$wrong});
	if ($self->run('w', $sql))
	{
		my $end = time + 20;
		while ($self->reroute($o) && $self->{home} ne $wrong)
		{
			return $self->wrong("a call for slot " . slot_of($o->{id}) . " was taken by $wrong, which does not have it") if time > $end;
			usleep(50_000);
		}
		return $self->count('misrouted: the slot had just gone there');
	}
	$self->count($self->{state} eq 'PW421' ? 'misrouted: refused' : 'misrouted: no answer');
	$self->{state} = '';    # it says nothing of the order's own shard
	return;
}

sub carry_out
{
	my ($self, $o) = @_;
	$self->misroute($o, 'SELECT status FROM ' . ChaosPayment::call($o, $o->{function})) if $o->{misrouted};
	$self->reroute($o);
	return $self->SUPER::carry_out($o);
}

sub end_prepared
{
	my ($self, $p) = @_;
	$self->reroute($p->{order});
	return $self->SUPER::end_prepared($p);
}

# At the router or at the shard; the other one the next time, so that nothing hangs on one of them.
sub pay_in_autocommit
{
	my ($self, $n, $o, %a) = @_;
	return $self->SUPER::pay_in_autocommit($n, $o, %a) if $a{begun};
	$self->go_to($o);
	return $self->SUPER::pay_in_autocommit($n, $o, %a) unless $o->{by_router} && ($o->{tried}++ % 4) < 3;
	my $paid = $self->run('r', router_call($o, $a{function} // $o->{function}));
	$self->count($paid ? 'by the router' : "by the router: $self->{state}");
	return 'error' unless $paid;
	my ($status, $payment_id) = $self->row('r');
	$o->{payment_id} = $payment_id;
	return ('committed', $status);
}

sub router_call
{
	my ($o, $function) = @_;
	my $call = ChaosPayment::call($o, $function) =~ s/^pgw\.\w+\(//r =~ s/\)$//r =~ s/, timeout => '[^']*'//r;
	return "SELECT status, payment_id FROM shop.order(function => '$function', $call)";
}

sub try_operation
{
	my ($self, $o, $step) = @_;
	my $sql = ChaosOperations::operation($o, $step);
	$self->misroute($o, $sql) if $o->{misrouted} && !$step->{misrouted}++;
	$self->go_to($o);
	return $self->SUPER::try_operation($o, $step);
}

sub pay_another_amount { my ($self, $o) = @_; $self->go_to($o); return $self->SUPER::pay_another_amount($o) }

# Also when its slot is just leaving.
sub payment_at_rest
{
	my ($self, $o) = @_;
	my $p;
	do
	{
		$self->go_to($o);
		$p = $self->SUPER::payment_at_rest($o);
	} while !$p && $self->{state} eq 'PW421' && time < $self->{end};
	return $p;
}

1;
