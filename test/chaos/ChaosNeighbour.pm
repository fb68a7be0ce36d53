# ChaosNeighbour - others beside the orders, who must not notice what goes wrong there.
#
#	calm		pays at a bank without faults, one payment after the other; every fourth is rolled back
#	hostage		pays at the slow bank, where a backlog waits, and rolls back: it must be given back all the same
#	backlog		submits more to the slow bank than it can take
#	second		pays in a second database of the same cluster, at a bank of its own
#
# Each is a process that says on its pipe what became of each payment, one JSON line each.  judge() looks at those of the last part of the run, when nobody
# strikes the server itself any more: there each payment at a healthy bank is taken, in bounded time, and each rollback is given back in bounded time.
package ChaosNeighbour;

use strict;
use warnings;
use IO::Handle;
use JSON::PP;
use List::Util 'max';
use PgwSession;
use POSIX ();
use Time::HiRes qw(time usleep);

# Seconds.  A loaded machine is slow; one that waits for another bank's time-outs or backlog is slower than this.
our $payment_limit = 8;
our $give_back_limit = 10;    # on top of pgw.compensation_delay

sub start
{
	my ($server, $what, %o) = @_;
	pipe(my $r, my $w) or die $!;
	my $pid = fork // die $!;
	if (!$pid)
	{
		close $r;
		$w->autoflush(1);
		@SIG{qw(TERM INT)} = ('DEFAULT') x 2;
		my $self = bless { %o, server => $server, what => $what, out => $w, json => JSON::PP->new->canonical, n => 0 }, __PACKAGE__;
		my $ok = eval { $what eq 'backlog' ? $self->submit_all : $self->go_on; 1 };
		print STDERR "neighbour $what: $@" unless $ok;
		POSIX::_exit($ok ? 0 : 1);
	}
	close $w;
	return { pid => $pid, pipe => $r, what => $what, buffer => '', said => [] };
}

# Take in what it has said (until: the end of the file).
sub hear
{
	my ($server, $n, $block) = @_;
	while (1)
	{
		vec(my $ready = '', fileno $n->{pipe}, 1) = 1;
		last if !$block && !select $ready, undef, undef, 0;
		sysread($n->{pipe}, $n->{buffer}, 65536, length $n->{buffer}) or last;
	}
	push @{ $n->{said} }, $server->{json}->decode($1) while $n->{buffer} =~ s/^([^\n]*)\n//;
	return;
}

sub stop
{
	my ($server, @neighbours) = @_;
	kill 'TERM', map { $_->{pid} } @neighbours;
	for my $n (@neighbours)
	{
		hear($server, $n, 1);
		waitpid $n->{pid}, 0;
	}
	return;
}

# ---- in the neighbour's process

sub say_it { my ($self, %o) = @_; print { $self->{out} } $self->{json}->encode(\%o) . "\n"; return }

sub session
{
	my ($self) = @_;
	while (1)
	{
		my $s = $self->{session} //= PgwSession->new($self->{server}, name => "neighbour $self->{what}", db => $self->{db} // 'postgres');
		return $s if $s->state ne '08006' && $s->backend ne '';
		delete $self->{session};
		usleep(30_000);
	}
}

# One statement; its SQLSTATE and first row.
sub ask
{
	my ($self, $sql) = @_;
	my $s = $self->session;
	$s->send($sql)->wait(120);
	my $state = $s->state;
	my @row = split /\|/, ($s->{out} =~ /^([^\n]*)/)[0] // '', -1;
	my $err = $s->err;
	delete $self->{session} if $state =~ /^(08|57P)/;
	return ($state, $err, @row);
}

sub go_on
{
	my ($self) = @_;
	while (1)
	{
		my $id = "$self->{what}-" . ++$self->{n};
		my $call = "pgw.process_payment(client_request_id => '$id', amount => 1000, currency => 'CHF', token => 'tok_ok', bank => '$self->{bank}', timeout => '$self->{timeout}')";
		if ($self->{roll_back_each} && $self->{n} % $self->{roll_back_each} == 0)
		{
			my ($state, $err) = $self->ask('BEGIN');
			($state, $err, my $status) = $self->ask("SELECT status FROM $call") if $state eq '00000';
			my $answered = $state eq '00000' && $status eq 'captured';
			$self->ask('ROLLBACK') unless $state =~ /^(08|57P)/;
			$self->say_it(id => $id, rolled_back => time, answered => $answered ? 1 : 0);
		}
		else
		{
			my $began = time;
			my ($state, $err, $status, $code) = $self->ask("SELECT status, error_code FROM $call");
			$self->say_it(id => $id, began => $began, ended => time, state => $state, status => $status // '', error => $err =~ s/\n.*//sr . ($code // ''));
			for (1 .. 200)    # as a correct client, until it is known
			{
				last if $state eq '00000' && $status ne 'pending';
				usleep(100_000);
				($state, $err, $status) = $self->ask("SELECT status FROM $call");
			}
		}
		usleep(1000 * $self->{pace_ms});
	}
	return;
}

sub submit_all
{
	my ($self) = @_;
	for my $batch (1 .. $self->{batches})
	{
		my $sql = "SELECT count(*) FROM generate_series(1, 100) i, pgw.submit_payment(client_request_id => 'backlog-$batch-' || i, amount => 500, currency => 'CHF', token => 'tok_ok', bank => 'slow', merchant => 'acme')";
		while (1)
		{
			my ($state) = $self->ask($sql);
			last if $state eq '00000';
			usleep(100_000);
		}
	}
	return;
}

# ---- afterwards

# What went on meanwhile, so that a payment that was held up can be explained: blows, and how many events of each kind were written.
sub meanwhile
{
	my ($server, $began, $ended) = @_;
	my @blows = map { sprintf '%s at %+.1f s', $_->{what}, $_->{at} - $began } grep { $_->{at} > $began - 5 && $_->{at} < $ended } @{ $server->{hits} };
	my @events = map { "$_->[1] $_->[0]" } $server->query("SELECT event_type, count(*) FROM chaos.event
		WHERE extract(epoch FROM occurred_at) BETWEEN $began AND $ended GROUP BY 1 ORDER BY 2 DESC, 1");
	return 'blows: ' . (join(', ', @blows) || 'none') . '; events: ' . (join(', ', @events) || 'none');
}

# What the strict part of the run showed: from and to are real times.  Returns checks as ChaosCheck has them, and rows for the report.
sub judge
{
	my ($server, $from, $to, @neighbours) = @_;
	my (@results, @table);
	for my $n (grep { $_->{what} ne 'backlog' } @neighbours)
	{
		my @paid = grep { defined $_->{began} && $_->{began} > $from && $_->{ended} < $to } @{ $n->{said} };
		my @times = sort { $a <=> $b } map { $_->{ended} - $_->{began} } @paid;
		push @table, [ "$n->{what}: payments; p50, p99, longest (ms)", scalar @paid, map { sprintf '%.0f', 1000 * $_ } @times ? (@times[ $#times / 2, $#times * 0.99 ], $times[-1]) : () ];
		next if $n->{what} eq 'hostage';
		my @bad = grep { $_->{status} ne 'captured' || $_->{ended} - $_->{began} > $payment_limit } @paid;
		$_->{error} .= ' (' . meanwhile($server, @$_{qw(began ended)}) . ')' for @bad;
		push @results, { name => "availability: $n->{what}, a healthy bank's payments are taken within $payment_limit s (" . @paid . ')',
			bad => [ (map { [ '', sprintf '%s: %s %s after %.1f s %s', @$_{qw(id state status)}, $_->{ended} - $_->{began}, $_->{error} ] } @bad), @paid ? () : [ '', 'none was made' ] ] };
	}
	my (@late, @took);
	for my $n (grep { $_->{what} =~ /calm|hostage/ } @neighbours)
	{
		my %at = map { $_->[0] => $_->[1] } $server->query("SELECT t.client_request_id, extract(epoch FROM min(e.occurred_at)) FROM pgw.payment_transactions t JOIN chaos.event e USING (transaction_id)
			WHERE t.client_request_id LIKE '$n->{what}-%' AND e.event_type = 'RefundStarted' GROUP BY 1");
		for my $r (grep { $_->{answered} && $_->{rolled_back} > $from && $_->{rolled_back} < $to - $give_back_limit } @{ $n->{said} })
		{
			my $began = $at{ $r->{id} };
			push @took, $began - $r->{rolled_back} if $began;
			push @late, [ '', "$r->{id} was rolled back, its give-back began " . ($began ? sprintf 'after %.1f s', $began - $r->{rolled_back} : 'never') ]
			  if !$began || $began - $r->{rolled_back} > $give_back_limit + $server->{compensation_delay} / 1000;
		}
	}
	@took = sort { $a <=> $b } @took;
	push @table, [ 'from rollback to give-back; p50, longest (ms)', scalar @took, map { sprintf '%.0f', 1000 * $_ } @took ? (@took[ $#took / 2 ], $took[-1]) : () ];
	push @results, { name => "a rollback's give-back begins within $give_back_limit s while the load runs (" . @took . ')', bad => \@late };
	return (\@results, \@table);
}

# The second database: nothing left open, its ledger and its tables the same.
sub second
{
	my ($server, $session) = @_;
	my @bad;
	my $rows = sub { return split /\n/, $session->query($_[0]) };
	my @open = ();
	ChaosServer::wait_until(
		sub {
			@open = $rows->("SELECT client_request_id || ' ' || status FROM pgw.payment_transactions WHERE status NOT IN ('Completed', 'Failed', 'Refunded')");
			usleep(200_000) if @open;
			return !@open;
		}, 60);
	push @bad, map { [ '', "open: $_" ] } @open;
	push @bad, map { [ '', $_ ] } $rows->('SELECT c::text FROM pgw.check_consistency() c');
	my %there = map { $_ => 1 } $rows->("SELECT bank_reference FROM pgw.payments WHERE status = 'captured'");
	for my $c (@{ $server->{json}->decode($server->bank('second', 'GET', '/ledger'))->{charges} })
	{
		my $kept = $c->{status} eq 'approved' && !$c->{voided} && $c->{refunded} < $c->{captured};
		push @bad, [ '', "charge $c->{id} is kept: " . ($kept ? 1 : 0) . ', its payment is there: ' . ($there{ $c->{id} } // 0) ] if $kept != !!delete $there{ $c->{id} };
	}
	push @bad, map { [ '', "payment without a charge: $_" ] } keys %there;
	return { name => 'the second database: everything final, its ledger and its tables agree', bad => \@bad };
}

1;
