# PgwLinear - is a history of concurrent payments under one id explainable by some order of one call after the other?
#
# An operation is one call together with the COMMIT, ROLLBACK or ROLLBACK TO that ends it, and the time from its invocation to the answer to
# that end:
#
#   { call, end          times; the real ones lie within
#     function           'process' or 'submit'
#     kept               1: committed; 0: rolled back
#     brief              1: with a timeout so short that it may end before the bank's answer
#     state              SQLSTATE of the call
#     payment, attempt   payment_id and transaction_id that it answered
#     status, replayed   as answered: 'pending', 'captured' or 'failed'; 't' or 'f' }
#
# Ids are independent of each other, so each id's history is checked alone. The model of an id, one operation at a time:
#
#   state                  none, or a live attempt whose caller rolled back, or a committed payment
#   process, nothing committed
#                          replayed = f, captured, with the live attempt, if there is one (adoption), or a new one; kept: a committed
#                          payment that is captured; rolled back: a live attempt; brief: perhaps pending instead of captured, and
#                          captured later. Rolled back and never answered but with pending: perhaps its caller was gone before the
#                          request was sent, and it has been withdrawn; then the next attempt is a new one.
#                          brief: perhaps failed, with an attempt that another brief caller began and nobody has seen
#                          captured: both were gone when it was to be sent. Rolled back: the next attempt is a new one; kept: a
#                          committed payment that has failed
#   submit, nothing committed
#                          replayed = f, pending; kept: a committed payment, whose attempt becomes the live one, if there is one;
#                          rolled back: nothing has happened
#   any, committed         replayed = t, the same payment and attempt; once captured or failed, always so. Failed only where the kept
#                          call was brief and pending with an attempt that may never have been sent, or failed itself
#   error PW409            nothing has happened; allowed only while another operation of the id is under way
#   error PW500            nothing has happened; only if brief: the worker did not take the request in time
#   any other error        not allowed
#
# With give_back => 1 (compensation may be faster than the retry) a live attempt may vanish at any time; then the next one is new, and a
# PW409 needs no other operation.
#
# The search is that of Wing and Gong (1993), with the memory of Lowe (2017): take as next any operation that was invoked before every other
# one that is left had ended; go back where the model disagrees; never try the same set of operations from the same state twice.
package PgwLinear;

use strict;
use warnings;
no warnings 'recursion';

# The state after an operation, or undef when the model does not allow it. A state:
#   seen      the attempts that were answered so far
#   live      the attempt whose caller rolled back, if there is one
#   unsent    1: perhaps it was never sent
#   payment   the committed payment, if there is one; then
#   done      'captured' or 'failed' once it was seen so; early, final: attempts that it may name before and after that
#   unsent    1: it may still turn out to have failed
sub step
{
	my ($s, $op, $give_back) = @_;
	return $s if $op->{state} eq 'PW409' || $op->{state} eq 'PW500' && $op->{brief};
	return undef if $op->{state} ne '00000';
	return defined $s->{payment} ? replay($s, $op) : first($s, $op, $give_back);
}

sub replay
{
	my ($s, $op) = @_;
	my $status = $op->{status};
	return undef unless $s->{done} ? $status eq $s->{done} : $status =~ /^(captured|pending)$/ || $status eq 'failed' && $s->{unsent};
	return undef unless $op->{replayed} eq 't' && $op->{payment} eq $s->{payment};
	return undef unless grep { $_ eq $op->{attempt} } @{ $status eq 'pending' ? $s->{early} : $s->{final} };
	return { %$s, done => $status, final => [ $op->{attempt} ] } if $status ne 'pending';
	return $s;
}

sub first
{
	my ($s, $op, $give_back) = @_;
	return undef unless $op->{replayed} eq 'f';
	my $live = $s->{live};
	my $new = !grep { $_ eq $op->{attempt} } @{ $s->{seen} };
	my @seen = (@{ $s->{seen} }, $new ? $op->{attempt} : ());
	if ($op->{function} eq 'process')
	{
		my $status = $op->{status};
		return undef unless $status eq 'captured' || $op->{brief} && $status =~ /^(pending|failed)$/;
		my $adopts = defined $live && $op->{attempt} eq $live;
		return undef unless $adopts || $new && (!defined $live || $give_back || $s->{unsent});
		my $unsent = $adopts ? $s->{unsent} : 1;
		return undef if $status eq 'failed' && !$unsent;
		$unsent = 0 if $status eq 'captured';
		return { seen => \@seen, live => $status eq 'failed' ? undef : $op->{attempt}, unsent => $unsent } unless $op->{kept};
		return { seen => \@seen, payment => $op->{payment}, unsent => $unsent, done => $status eq 'pending' ? '' : $status,
			early => [ $op->{attempt} ], final => [ $op->{attempt} ] };
	}
	return undef unless $op->{status} eq 'pending' && $new;
	return { %$s, seen => \@seen } unless $op->{kept};
	return { seen => \@seen, payment => $op->{payment}, unsent => 0, done => '', early => [ $op->{attempt}, $live // () ],
		final => [ $live // (), !defined $live || $give_back || $s->{unsent} ? $op->{attempt} : () ] };
}

sub describe
{
	my ($op) = @_;
	return sprintf '%.4f .. %.4f %s%s %s: %s', @$op{qw(call end)}, $op->{brief} ? 'brief ' : '', $op->{function}, $op->{kept} ? 'kept' : 'rolled back',
	  $op->{state} eq '00000' ? join(' ', @$op{qw(status replayed payment attempt)}) : $op->{state};
}

# '' when the operations (of one id) can be put into an order; otherwise why not.
sub check
{
	my ($history, %o) = @_;
	my @ops = sort { $a->{call} <=> $b->{call} } @$history;

	for my $op (grep { $_->{state} eq 'PW409' } @ops)
	{
		next if $o{give_back};
		return 'PW409, but nothing else was under way: ' . describe($op)
		  unless grep { $_ != $op && $_->{call} < $op->{end} && $op->{call} < $_->{end} } @ops;
	}

	my %tried;
	my @best;
	my @path;
	my $search;
	$search = sub {
		my ($taken, $s) = @_;
		@best = @path if @path > @best;
		return 1 if @path == @ops;
		my $key = join '|', $taken, map { ref $_ ? join ',', @$_ : $_ // '' } @$s{qw(live unsent payment done early final)};
		return 0 if $tried{$key}++;
		my $first_end;
		for my $i (0 .. $#ops)
		{
			next if vec $taken, $i, 1;
			last if defined $first_end && $ops[$i]{call} > $first_end;
			$first_end = $ops[$i]{end} if !defined $first_end || $ops[$i]{end} < $first_end;
		}
		for my $i (0 .. $#ops)
		{
			next if vec $taken, $i, 1;
			last if $ops[$i]{call} > $first_end;
			my $next = step($s, $ops[$i], $o{give_back}) or next;
			my $t = $taken;
			vec($t, $i, 1) = 1;
			push @path, $ops[$i];
			return 1 if $search->($t, $next);
			pop @path;
		}
		return 0;
	};
	return '' if $search->('', { seen => [], unsent => 0, done => '' });
	my %placed = map { $_ => 1 } @best;
	return join "\n", 'no order explains this history; the longest beginning that has one:', (map { describe($_) } @best), 'left:',
	  map { describe($_) } grep { !$placed{$_} } @ops;
}

1;
