# ChaosBlows - the blows of a run, which end processes of the cluster or set its clock back.  What happens around it without that is in ChaosWorld.
#
# Whether a blow hit a call in flight is not guessed: the process is stopped (SIGSTOP) first, then its state is read - for a backend, that
# it waits in process_payment(); for the worker, that the bank has a request of it that is not answered - and then it is killed.  Each blow is recorded in
# the server's hits, with its time.
package ChaosBlows;

use strict;
use warnings;
use ChaosWorld;
use PgwSession;
use Time::HiRes qw(time usleep);

sub record
{
	my ($server, $what, $hit) = @_;
	push @{ $server->{hits} }, { at => time, what => $what, hit => $hit ? 1 : 0 };
	return;
}

my $waiting = "backend_type = 'client backend' AND pid <> pg_backend_pid() AND state = 'active' AND wait_event_type = 'Extension' AND query ~ 'process_payment'";

# Does this stopped backend wait in a call?  It may as well have been stopped with a lock that the question needs: then not.
sub in_call
{
	my ($server, $pid) = @_;
	$server->{admin} //= PgwSession->new($server, name => 'driver');
	my $s = $server->{admin}->send("SELECT count(*) FROM pg_stat_activity WHERE $waiting AND pid = $pid");
	PgwSession::wait_any(0.3, $s);
	if (!$s->done)
	{
		kill 'CONT', $pid;
		$s->wait;
		return 0;
	}
	return $s->state eq '00000' ? $s->{out} : 0;
}

# A backend that waits for the bank if there is one soon, else any; stopped. (pid, was it in a call)
sub stop_backend
{
	my ($server, $dice) = @_;
	my $end = time + 1;
	while (1)
	{
		my $late = time > $end;
		my @pids = map { $_->[0] }
		  $server->query('SELECT pid FROM pg_stat_activity WHERE ' . ($late ? "backend_type = 'client backend' AND pid <> pg_backend_pid()" : $waiting) . ' ORDER BY pid');
		my $pid = @pids ? $pids[ $dice % @pids ] : 0;
		if ($pid && kill 'STOP', $pid)
		{
			my $in_call = in_call($server, $pid);
			return ($pid, $in_call) if $in_call || $late;
			kill 'CONT', $pid;
		}
		return (0, 0) if $late;
		usleep(3_000);
	}
}

sub children
{
	my ($parent) = @_;
	my @pids;
	for my $stat (glob '/proc/[0-9]*/stat')
	{
		open my $f, '<', $stat or next;
		my $line = <$f> // next;
		push @pids, $1 if $line =~ /^(\d+) \(.*\) \S (\d+)/ && $2 == $parent;
	}
	return @pids;
}

# The primary is killed, as if fenced, and the standby takes its place.
sub failover
{
	my ($server) = @_;
	my ($worker) = $server->stop_worker;
	kill 'KILL', $server->{postmaster}, children($server->{postmaster});
	record($server, 'failover', 1);    # now: the new primary's worker may find what it left before this function ends
	kill 'CONT', $worker if $worker;
	$server->reap;
	$server->standby_promote;
	return;
}

# A process that is stopped, so that it is known what it was at, gets its signal.
sub strike_stopped
{
	my ($server, $planned, $signal, $pid, $hit) = @_;
	record($server, $planned->{what}, $hit) if $pid && kill $signal, $pid;
	kill 'CONT', $pid if $pid;
	return;
}

sub strike_backend
{
	my ($server, $planned, $signal) = @_;
	return strike_stopped($server, $planned, $signal, stop_backend($server, $planned->{dice}));
}

sub strike_worker
{
	my ($server, $planned, $signal) = @_;
	return strike_stopped($server, $planned, $signal, $server->stop_worker);
}

sub kill_launcher
{
	my ($server, $planned) = @_;
	my $pid = $server->pid_of('pgw launcher');
	my $hit = $server->bank_busy;
	record($server, $planned->{what}, $hit) if $pid && kill 'KILL', $pid;
	return;
}

sub kill_postmaster
{
	my ($server, $planned, $its_children) = @_;
	my ($worker, $hit) = $server->stop_worker;
	my @all = $its_children ? children($server->{postmaster}) : ();
	kill 'KILL', $server->{postmaster}, @all;
	record($server, $planned->{what}, $hit);
	kill 'CONT', $worker if $worker;
	$server->reap;
	$server->start;
	return;
}

sub restart
{
	my ($server, $planned, $mode) = @_;
	my ($worker, $hit) = $server->stop_worker;
	kill 'CONT', $worker if $worker;
	record($server, $planned->{what}, $hit);
	$server->stop($mode);
	$server->start;
	return;
}

# PostgreSQL's own timeouts that are under way would last as much longer, so the server is down while the clock is set back.
sub set_clock_back
{
	my ($server, $planned) = @_;
	$server->stop('immediate');
	$server->set_clock(0);
	record($server, $planned->{what}, 0);
	$server->start;
	return;
}

sub let_happen
{
	my ($server, $planned) = @_;
	my $hit = ChaosWorld::happen($server, $planned);
	record($server, $planned->{what}, $hit) if defined $hit;
	return;
}

# All others are happenings.
my %blows = (
	kill_backend => sub { strike_backend(@_, 'KILL') },
	terminate_backend => sub { strike_backend(@_, 'TERM') },
	cancel_backend => sub { strike_backend(@_, 'INT') },
	kill_worker => sub { strike_worker(@_, 'KILL') },
	terminate_worker => sub { strike_worker(@_, 'TERM') },
	kill_launcher => \&kill_launcher,
	kill_postmaster => sub { kill_postmaster(@_, 0) },
	kill_everything => sub { kill_postmaster(@_, 1) },
	immediate_stop => sub { restart(@_, 'immediate') },
	fast_restart => sub { restart(@_, 'fast') },
	failover => \&failover,
	clock_back => \&set_clock_back,
);

# Strike; again when the victim was gone before it was hit, or is not there yet: clients come back with their next orders, so they must get on meanwhile.
sub blow
{
	my ($server, $planned, $meanwhile) = @_;
	my $strike = $blows{ $planned->{what} } // \&let_happen;
	my $struck = @{ $server->{hits} };
	my $end = time + 30;
	for (1 .. 20)
	{
		last if time > $end;
		$strike->($server, $planned);
		return if @{ $server->{hits} } > $struck;
		$meanwhile->() if $meanwhile;
		usleep(50_000);
	}
	print "# nobody was there for $planned->{what}\n" if $blows{ $planned->{what} };    # of what only happens, much has no occasion
	return;
}

1;
