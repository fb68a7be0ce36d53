# ChaosPlan - what a run will do, derived from its seed alone: a sequence of orders for the clients, and a sequence of blows to the server.
#
# An order is one client_request_id: how it is paid, with which token or card (and so with which fault at the bank), in which
# transaction, and what goes wrong on the client's side.  A blow is something done to the server when a given number of orders has begun.
# Time is not planned: two runs of one seed share orders and blows, not which client takes an order and how they interleave.
package ChaosPlan;

use strict;
use warnings;
use Digest::MD5 'md5_hex';
use JSON::PP;

# How an order goes about it (first attempt; later ones are plain).  In brackets: its weight.
my @shapes = (
	[ auto => 20 ],                # one statement, autocommit, with its order row
	[ tx => 14 ],                  # BEGIN, order row, pay, COMMIT
	[ pay_first => 4 ],            # the same, the order row after the payment
	[ conflict => 14 ],            # REPEATABLE READ or SERIALIZABLE, fails after the approval, is retried
	[ rollback => 5 ],             # rolls back, and that is that
	[ rollback_retry => 5 ],       # rolls back, comes again
	[ savepoint => 3 ],            # ROLLBACK TO, then COMMIT without the order
	[ savepoint_retry => 3 ],      # ROLLBACK TO, again in the same transaction
	[ exception => 2 ],            # PL/pgSQL exception block swallows the payment
	[ exception_retry => 2 ],      # the same, then again
	[ two_phase_commit => 3 ],     # PREPARE; COMMIT PREPARED later by another session
	[ two_phase_rollback => 2 ],   # PREPARE; ROLLBACK PREPARED later
	[ two_phase_retry => 2 ],      # the same, then again
	[ statement_timeout => 3 ],    # strikes during the call; retried
	[ short_wait => 3 ],           # 504, commits the pending row, asks again
	[ short_wait_rollback => 2 ],  # 504, rolls back, comes again
	[ client_gone => 2 ],          # the client's process is killed during the call; comes again
	[ cancel => 2 ],               # pg_cancel_backend() during the call
	[ terminate => 1 ],            # pg_terminate_backend() during the call
	[ duplicate => 5 ],            # two clients, same id, at once; the first commits
	[ duplicate_rollback => 3 ],   # the first rolls back, the second takes over
	[ cross => 1 ],                # two clients, two ids in opposite order
	[ per_column => 1 ],           # SELECT (pay(...)).*
	[ mismatch => 1 ],             # paid, then the same id with another amount
);
my %needs_process = map { $_ => 1 } qw(statement_timeout short_wait short_wait_rollback client_gone cancel terminate cross per_column conflict);
my %gone_for_good = map { $_ => 1 } qw(rollback savepoint exception two_phase_rollback);

# What follows a payment that stands, by how it was paid: operations in order, each with its share of what is left.
my @follow_authorized = (
	[ [] => 12 ], [ [ [ capture => 1 ] ] => 22 ], [ [ [ capture => 0.4 ] ] => 8 ], [ [ [ 'capture more' => 0.3 ], [ capture => 1 ] ] => 10 ], [ [ [ void => 1 ] ] => 20 ],
	[ [ [ capture => 1 ], [ refund => 0.5 ] ] => 10 ], [ [ [ 'capture more' => 0.5 ], [ refund => 0.5 ], [ capture => 1 ], [ refund => 1 ] ] => 6 ],
);
my @follow_captured = ([ [] => 62 ], [ [ [ refund => 1 ] ] => 14 ], [ [ [ refund => 0.3 ] ] => 12 ], [ [ [ refund => 0.3 ], [ refund => 0.5 ] ] => 7 ], [ [ [ refund => 0.6 ], [ refund => 1 ] ] => 5 ]);

# How a client goes about one of them.
my @operation_shapes = (
	[ plain => 50 ],
	[ tx => 10 ],                  # in a transaction with a row of its own
	[ rollback => 10 ],            # rolled back, then again
	[ savepoint => 5 ],            # rolled back to, then again in the same transaction
	[ twice => 10 ],               # two clients, same id, at once
	[ race => 12 ],                # another operation on the same payment, at once, in another session
	[ two_phase => 3 ],
);

# What the bank does to a charge (its token).  Only faults that a look-up can clear up, and give-backs that succeed in the end:
# so at this bank every review at rest is a violation.  What fails before the charge does so once or twice: pgw asks again with
# the same key as long as the bank remembers it, so a bank that never does its work would give no rest.
my @tokens = (
	[ ok => 66 ], [ decline_insufficient_funds => 2 ], [ decline_do_not_honor => 2 ], [ decline_lost_card => 0.5 ], [ decline_expired_card => 0.5 ],
	[ decline_fraud => 0.5 ], [ auth_required => 0.5 ],
	[ '500_before_2' => 0.8 ], [ '500_before_1' => 0.4 ], [ '500_after' => 1.5 ], [ timeout_before_2 => 0.5 ], [ timeout_before_1 => 0.5 ], [ timeout_after => 1.5 ],
	[ reset_before_2 => 0.7 ], [ reset_before_1 => 0.5 ], [ reset_after => 1.5 ], [ close_headers => 1.2 ], [ truncated => 1.2 ], [ huge => 0.1 ],
	[ not_json => 1 ], [ empty => 1 ], [ other_answer => 1.5 ], [ no_ids => 1.5 ], [ double_keys => 0.7 ], [ wrong_amount => 0.8 ], [ wrong_currency => 0.5 ],
	[ '429_2' => 0.5 ], [ '429_1' => 0.5 ], [ '503_2' => 0.5 ], [ '503_1' => 0.7 ],
	[ slow_200 => 1.5 ], [ slow_700 => 0.7 ], [ late_400 => 0.5 ], [ late_1500 => 0.5 ], [ late_4000 => 0.4 ],
	[ charge_pending_done_300 => 0.8 ], [ charge_pending_done_2500 => 0.3 ], [ charge_pending_fail_600 => 0.5 ],
	[ capture_timeout_after => 0.7 ], [ capture_fail => 0.5 ],
	[ refund_fail_1 => 1 ], [ refund_fail_2 => 0.5 ], [ refund_pending_done_300 => 1 ], [ refund_timeout_after => 0.7 ], [ void_timeout_after => 0.7 ],
);
# Well-known test numbers, with dots, so that no statement, log or file holds one.
our @cards = (
	[ '4242.4242.4242.4242' => 40 ], [ '5555.5555.5555.4444' => 20 ], [ '3782.822463.10005' => 10 ], [ '4000.0000.0000.0002' => 4 ], [ '4000.0000.0000.9995' => 4 ],
	[ '4000.0000.0000.0119' => 3 ], [ '4000.0000.0000.0259' => 4 ], [ '4000.0000.0000.0341' => 4 ], [ '4000.0000.0000.0077' => 2 ],
	[ '4000.0000.0000.0101' => 4 ], [ '4000.0000.0000.0127' => 3 ], [ '4000.0025.0000.3155' => 2 ],
);
# The second bank knows neither look-up nor idempotency: what is in doubt there ends in review.
my @form_tokens = (
	[ ok => 70 ], [ decline_do_not_honor => 6 ], [ '503_2' => 4 ], [ '500_after' => 4 ], [ '500_before' => 3 ], [ timeout_after => 4 ], [ reset_after => 4 ],
	[ truncated => 2 ], [ wrong_amount => 2 ], [ refund_timeout_after => 2 ], [ void_timeout_after => 2 ], [ capture_timeout_after => 2 ],
);

# At a bank that can be asked nothing, whose notifications alone say what became of an order: what is lost or late, and no answer that says something else than what was done, because there
# nothing else could tell.  Nor an error of which nothing was done, or a holder who never acts, and no cards, of which a blow can lose one on its way: of those the bank has nothing to say, and
# only people are left.
my @told_tokens = (
	[ ok => 66 ], [ decline_insufficient_funds => 3 ], [ decline_do_not_honor => 3 ], [ decline_fraud => 1 ],
	[ '500_after' => 3 ], [ timeout_before_1 => 1 ], [ timeout_after => 2 ], [ reset_before_1 => 1 ], [ reset_after => 2 ],
	[ close_headers => 1.5 ], [ truncated => 1.5 ], [ not_json => 1 ], [ empty => 1 ], [ '429_1' => 1 ], [ '503_1' => 1 ], [ slow_200 => 2 ], [ slow_700 => 1 ], [ late_400 => 1 ], [ late_1500 => 1 ],
	[ charge_pending_done_2500 => 1 ], [ charge_pending_fail_600 => 1 ], [ notify_before_300 => 3 ], [ notify_twice => 1 ], [ notify_late_1500 => 1 ],
);

# By chance, on the bank's steps after the charge and on look-ups; drawn by the simulator from the seed.
our %chances = (
	'500_before' => 0.02, '500_after' => 0.02, timeout_before => 0.01, timeout_after => 0.01, reset_before => 0.02, reset_after => 0.02,
	close_headers => 0.01, truncated => 0.02, not_json => 0.01, empty => 0.01, other_answer => 0.01, no_ids => 0.01, double_keys => 0.01, 429 => 0.015, 503 => 0.03, slow_100 => 0.03);
our %told_chances = (
	'500_before' => 0.02, '500_after' => 0.02, timeout_after => 0.01, reset_before => 0.02, reset_after => 0.02, close_headers => 0.01, truncated => 0.01, 429 => 0.015, 503 => 0.03,
	slow_100 => 0.03, notify_before_200 => 0.05,
	# of each notification
	notify_late_300 => 0.1, notify_late_3000 => 0.03, notify_twice => 0.1, notify_out_of_order_2000 => 0.1, notify_forged => 0.1, notify_other_mode => 0.05);
our @chance_operations = qw(capture void refund cancel lookup);

# splitmix64: the same sequence on every machine and Perl.
sub random_numbers
{
	my ($seed) = @_;
	my $state = $seed;
	my $next = sub {
		use integer;
		$state += -7046029254386353131;
		my $z = $state;
		$z = ($z ^ (($z >> 30) & ((1 << 34) - 1))) * -4658895280553007687;
		$z = ($z ^ (($z >> 27) & ((1 << 37) - 1))) * -7723592293110705685;
		return ($z ^ (($z >> 31) & ((1 << 33) - 1))) & ~(1 << 63);
	};
	return sub { return ($next->() >> 10) / 2**53 };    # in [0, 1)
}

sub pick    # of a weighted list
{
	my ($r, $list) = @_;
	my $sum = 0;
	$sum += $_->[1] for @$list;
	my $x = $r->() * $sum;
	for (@$list)
	{
		$x -= $_->[1];
		return $_->[0] if $x < 0;
	}
	return $list->[-1][0];
}

sub random_below { my ($r, $n) = @_; return int($r->() * $n) }

sub order
{
	my ($r, $id, $p) = @_;
	my %o = (
		id => $id,
		merchant => $r->() < 0.2 ? 'acme' : 'default',
		amount => 100 + random_below($r, 90_000),
		currency => pick($r, [ [ EUR => 70 ], [ USD => 20 ], [ JPY => 10 ] ]),
		shape => pick($r, \@shapes),
		function => $r->() < 0.3 ? 'submit' : 'process',
		other_function => $r->() < 0.5 ? 'submit' : 'process',    # of the duplicate
		isolation => pick($r, [ [ 'READ COMMITTED' => 1 ], [ 'REPEATABLE READ' => 1 ], [ SERIALIZABLE => 1 ] ]),
		gives_up => $r->() < 0.05 ? 1 : 0,                        # after a first attempt that surely came to nothing
		waits => $r->() < 0.5 ? 1 : 0,                            # for the outcome of a submit
		delay_ms => random_below($r, 40),                                # of what happens during a call
		other_session => $r->() < 0.5 ? 1 : 0,                    # ends the prepared transaction
		orders_later => random_below($r, 3),                             # and when
	);
	my $form = $r->() < $p->{form_share};
	my $card = $r->() < 0.15 && !$p->{notified};
	my $capture = $r->();
	my @choice = (pick($r, $p->{notified} ? \@told_tokens : \@tokens), pick($r, \@cards), pick($r, \@form_tokens));    # always all: the sequence must not depend on the choice
	$o{function} = 'process' if $needs_process{ $o{shape} };
	if ($form)
	{
		$o{bank} = 'form';
		$o{token} = "tok_$choice[2]";
	}
	elsif ($card && $o{function} eq 'process' && $o{shape} !~ /duplicate/) { $o{card} = $choice[1] }
	else { $o{token} = "tok_$choice[0]" }
	$o{capture} = $capture < 0.55 ? 'immediate' : $capture < 0.8 ? 'manual' : 'on_commit';
	$o{isolation} = $o{delay_ms} % 2 ? 'SERIALIZABLE' : 'REPEATABLE READ' if $o{shape} eq 'conflict';
	$o{gives_up} = 1 if $gone_for_good{ $o{shape} };

	my ($authorized, $captured) = (pick($r, \@follow_authorized), pick($r, \@follow_captured));
	my $n = 0;
	$o{follow} = [ map { { kind => $_->[0] =~ s/ more//r, more => $_->[0] =~ / more/ ? 1 : 0, share => $_->[1], shape => pick($r, \@operation_shapes), id => $id . '-f' . ++$n } }
		  $o{capture} eq 'manual' ? @$authorized : @$captured ];
	return \%o;
}

# { orders => [ order, ... ], ids, blows => [ { at, what, dice, server }, ... ], settled_from, digest }; ids: how many client_request_ids there are;
# server: the blow strikes the server itself, and none of those comes later than settled_from
sub make
{
	my (%p) = @_;
	my $r = random_numbers($p{seed} * 1_000_003);
	my @orders;
	my $n = 0;
	while ($n < $p{payments})
	{
		my $o = order($r, "o-$n", \%p);
		$n++;
		if ($o->{shape} eq 'cross')
		{
			$o->{peer} = order($r, "$o->{id}-peer", { %p, form_share => 0 });
			$o->{peer}{$_} = $o->{$_} for qw(function isolation);
			$o->{peer}{token} //= 'tok_ok';
			delete $o->{peer}{card};
			$o->{peer}{capture} = 'immediate';
			$n++;
		}
		push @orders, $o;
	}

	# exact shares, in an order of the seed's own
	my $kills = $p{kills};
	my $postmaster = int($kills * 0.12 + 0.99);
	my $worker = int($kills * 0.22 + 0.99);
	my $launcher = int($kills * 0.02);
	my $share = sub { return int($kills * $_[0] + 0.99) };
	my @on_server = (
		(map { $_ % 2 ? 'kill_postmaster' : 'kill_everything' } 1 .. $postmaster),
		('kill_worker') x $worker, ('kill_launcher') x $launcher, ('kill_backend') x ($kills - $postmaster - $worker - $launcher),
		('terminate_backend') x int($kills * 0.10), ('cancel_backend') x int($kills * 0.10), ('terminate_worker') x int($kills * 0.05 + 0.5),
		('immediate_stop') x int($kills * 0.04 + 0.5), ('fast_restart') x int($kills * 0.02),
		('pause_worker') x $share->(0.10), ('ddl') x $share->(0.06), ('pause_mode') x int($kills * 0.02));
	my @around = (('bank_down') x int($kills * 0.04 + 0.5), ('bank_drop') x int($kills * 0.04 + 0.5),
		('configure') x $share->(0.06), ('move_bank') x $share->(0.02), ('swap_bank') x (2 * $share->(0.01)), ('operator') x $share->(0.08));

	# The server is struck during the first three quarters; what happens around it goes on to the end.
	my $settled = int(@orders * 0.75);
	my @blows = (spread($r, 0, $settled, 1, @on_server), spread($r, 0, scalar @orders, 0, @around));
	push @blows, map { { at => int(@orders * $_->[1]), what => $_->[0], dice => 0, server => 1 } } [ standby => 0.15 ], [ failover => 0.40 ] if $p{standby};
	push @blows, map { { at => int(@orders * $_->[1]), what => $_->[0], dice => 0, server => 1 } } [ clock_forward => 0.50 ], [ clock_back => 0.60 ] if $p{clock};
	@blows = sort { $a->{at} <=> $b->{at} } @blows;
	my $json = JSON::PP->new->canonical;
	my $plan = { orders => \@orders, blows => \@blows };
	$plan->{digest} = md5_hex($json->encode($plan));
	$plan->{ids} = $n;
	$plan->{settled_from} = $settled;
	return $plan;
}

# Blows of these kinds, shuffled, at about even distances from one number of orders to another.
sub spread
{
	my ($r, $from, $to, $server, @what) = @_;
	for (my $i = $#what; $i > 0; $i--)
	{
		my $j = random_below($r, $i + 1);
		@what[ $i, $j ] = @what[ $j, $i ];
	}
	my $step = ($to - $from) / (@what + 1);
	return map { { at => $from + int(($_ + 1) * $step + ($r->() - 0.5) * $step), what => $what[$_], dice => random_below($r, 1_000_000), server => $server } } 0 .. $#what;
}

1;
