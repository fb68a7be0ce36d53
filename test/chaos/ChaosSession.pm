# ChaosSession - what a client of the run does with its sessions: statements, one after another, in sessions that come back after each loss; what went wrong
# is counted, and reported as a violation when it must not happen to a correct client.
package ChaosSession;

use strict;
use warnings;
use PgwSession;
use Time::HiRes qw(time usleep);

# What may happen to a correct client: everything else is a violation.
my %expected = map { $_ => 1 } qw(40001 40P01 57014 57P01 57P02 57P03 08000 08001 08003 08006 53300 PW409 PW500);

# May what the last statement ended with go away by itself?
sub is_to_be_repeated { my ($self) = @_; return $expected{ $self->{state} } }

sub new
{
	my ($class, %o) = @_;
	return bless { %o, sessions => {}, prepared => [], count => {} }, $class;
}

sub count { my ($self, $what) = @_; $self->{count}{$what}++; return }

sub wrong
{
	my ($self, $text) = @_;
	push @{ $self->{wrong} }, $text;
	return;
}

# Connected; 1 is the client's own, 2 that of whoever else takes part.  A client's patience for its order does not run while there is no server to
# connect to: on a slow machine that is most of the time, as the next blow falls a moment after each recovery.  One that does not come back is noticed.
sub session
{
	my ($self, $n) = @_;
	my $since = time;
	while (1)
	{
		my $s = $self->{sessions}{$n} //= PgwSession->new($self->{server}, name => "client $self->{n}");
		if ($s->state ne '08006' && $s->backend ne '')
		{
			$self->{end} += time - $since;
			return $s;
		}
		$self->lost($n);
		die "no connection\n" if time > $since + $self->{patience};
		usleep(30_000);
	}
}

sub lost
{
	my ($self, $n) = @_;
	delete $self->{sessions}{$n};
	return;
}

# One statement; true when it went well.  Counts what went wrong, and says so when that must not happen.
sub run
{
	my ($self, $n, $sql, %o) = @_;
	$self->session($n)->send($sql);
	return $self->finish($n, %o);
}

sub finish
{
	my ($self, $n, %o) = @_;
	my $s = $self->{sessions}{$n};
	$s->wait(60);
	my $state = $s->state;
	$state = '08006' if $state ne '00000' && $s->err =~ /connection to server was lost|server closed the connection|terminating connection/;
	$self->{state} = $state;
	return 1 if $state eq '00000';
	$self->{refusal} = $s->err =~ s/\s+/ /gr if $state eq 'PW422';
	$self->count($state);
	$self->wrong("$state: " . substr($s->err =~ s/\n.*//sr, 0, 300) . " [" . substr($s->{sql}, 0, 200) . "]") unless $expected{$state} || (defined $o{may} && $state =~ /^$o{may}$/);
	$self->lost($n) if $state eq '08006';
	return 0;
}

sub row { my ($self, $n) = @_; return split /\|/, ($self->{sessions}{$n}{out} =~ /^([^\n]*)/)[0] // '', -1 }

sub until_run
{
	my ($self, $n, $sql) = @_;
	while (!$self->run($n, $sql))
	{
		die "no answer to $sql\n" if time > $self->{end};
		usleep(20_000);
	}
	return;
}

# End a prepared transaction, and know that it has ended.
sub end_prepared_transaction
{
	my ($self, $verb, $gid, $n) = @_;
	my $tried = 0;
	while (!$self->run($n // 1, "$verb PREPARED '$gid'", may => $tried ? '42704' : ''))
	{
		last if $self->{state} eq '42704';
		$tried = 1;
		die "cannot end prepared transaction $gid\n" if time > $self->{end};
		usleep(20_000);
	}
	return;
}

1;
