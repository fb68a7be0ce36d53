# ChaosServer - the cluster and the banks of a run, and the blows that end processes.  What happens around them without that is in ChaosWorld.
#
# There are several simulators, each with a ledger of its own: see chaos.pl.  The server's clock can be moved (test/clock); banks and clients keep the real one.
#
# Whether a blow hit a call in flight is not guessed: the process is stopped (SIGSTOP) first, then its state is read - for a backend, that
# it waits in process_payment(); for the worker, that the bank has a request of it that is not answered - and then it is killed.
package ChaosServer;

use strict;
use warnings;
use ChaosWorld;
use Cwd;
use Fcntl;
use HTTP::Tiny;
use JSON::PP;
use POSIX ':sys_wait_h';
use PgwSession;
use Time::HiRes qw(time usleep);

# What the standby does not take over from the primary's settings.
my @standby_args = ('-p', 5433, '-c', 'synchronous_standby_names=');

sub new
{
	my ($class, %o) = @_;
	my $self = bless { %o, port => 5432, data => "$o{dir}/data", log => "$o{dir}/server.log", hits => [], banks => {}, start_args => [] }, $class;
	$self->set_clock(0) if $self->{clock};
	$self->{json} = JSON::PP->new;
	$self->{http} = HTTP::Tiny->new(timeout => 120);
	return $self;
}

sub host { return $_[0]{dir} }
sub port { return $_[0]{port} }

sub wait_until
{
	my ($cond, $seconds) = @_;
	my $end = time + $seconds;
	while (1)
	{
		my $r = $cond->();
		return $r if $r;
		return 0 if time > $end;
		usleep(10_000);
	}
}

# ---- the banks

# A simulator with a ledger and a seed of its own, so that no two banks give the same id.
sub bank_start
{
	my ($self, $name, @args) = @_;
	my $portfile = "$self->{dir}/bank-$name.port";
	my $seed = $self->{seed} * 100 + keys %{ $self->{banks} };
	my $pid = fork // die $!;
	if (!$pid)
	{
		open STDOUT, '>', "$self->{dir}/bank-$name.log";
		open STDERR, '>&', \*STDOUT;
		exec 'test/bank/pgw-bank', '--port', 0, '--port-file', $portfile, '--secret', 'test-secret', '--seed', $seed, @args;
		die "exec: $!";
	}
	my $bank = $self->{banks}{$name} = { pid => $pid };
	wait_until(sub { -s $portfile }, 20) or die 'the bank simulator did not start';
	open my $f, '<', $portfile or die $!;
	$bank->{url} = 'http://127.0.0.1:' . (<$f> + 0);
	return;
}

sub bank
{
	my ($self, $name, $method, $path, $body) = @_;
	my $r = $self->{http}->request($method, "$self->{banks}{$name}{url}$path", { $body ? (content => encode_json($body)) : () });
	die "$name: $method $path: $r->{status} $r->{content}" unless $r->{success};
	return $r->{content};
}

# Requests that a bank has taken and not answered, of those that the orders go to.
sub bank_busy
{
	my ($self) = @_;
	my $busy = 0;
	$busy += () = $self->bank($_, 'GET', '/ledger/log?limit=100') =~ /"finished":false/g for qw(main other backup);
	return $busy;
}

# ---- the cluster

sub init
{
	my ($self) = @_;
	my $log = "$self->{dir}/initdb.log";
	system("initdb -D '$self->{data}' -E UTF8 -A trust -U postgres --no-sync >'$log' 2>&1") == 0 or die "initdb failed: see $log";
	open my $f, '>>', "$self->{data}/postgresql.conf" or die $!;
	print $f <<"CONF";
$ENV{PGW_CONF}
unix_socket_directories = '$self->{dir}'
shared_buffers = 32MB
max_connections = 120
max_prepared_transactions = 100
max_wal_size = 256MB
checkpoint_timeout = 30s
deadlock_timeout = 100ms
log_line_prefix = '%m [%p] '
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
pgw.compensation_delay = $self->{compensation_delay}ms
pgw.retry_base_delay = 100
pgw.retry_max_delay = 2000
pgw.retry_budget = 100
pgw.breaker_cooldown = 1s
wal_retrieve_retry_interval = 200ms
CONF
	close $f;
	return;
}

# Start, again and again while what the last postmaster left is still going away, until it says that it is ready.
sub start
{
	my ($self) = @_;
	my $end = time + 120;
	while (1)
	{
		die 'the server does not start: see its log' if time > $end;
		my $pid = fork // die $!;
		if (!$pid)
		{
			POSIX::setsid();
			open STDIN, '<', '/dev/null';
			open STDOUT, '>>', $self->{log};
			open STDERR, '>&', \*STDOUT;
			%ENV = (%ENV, $self->clock_env);
			exec 'postgres', '-D', $self->{data}, @{ $self->{start_args} };
			die "exec: $!";
		}
		my $up = wait_until(
			sub {
				return 'gone' if waitpid($pid, WNOHANG) != 0;
				open my $f, '<', "$self->{data}/postmaster.pid" or return 0;
				my @line = <$f>;
				return @line >= 8 && $line[0] == $pid && $line[7] =~ /^ready/ ? 'ready' : 0;
			}, 60);
		$self->{postmaster} = $pid;
		return if $up eq 'ready';
		die 'the server does not get ready: see its log' if !$up;
		usleep(30_000);
	}
}

sub reap
{
	my ($self) = @_;
	waitpid $self->{postmaster}, 0;
	return;
}

sub stop
{
	my ($self, $mode) = @_;
	kill $mode eq 'immediate' ? 'QUIT' : 'INT', $self->{postmaster} or return;
	$self->reap;
	return;
}

sub disconnect { my ($self) = @_; delete $self->{admin}; return }

sub end
{
	my ($self) = @_;
	$self->disconnect;
	$self->stop('immediate') if $self->{postmaster} && kill 0, $self->{postmaster};
	$self->standby_end;
	for (values %{ $self->{banks} })
	{
		kill 'TERM', $_->{pid};
		waitpid $_->{pid}, 0;
	}
	return;
}

# Rows of a query by the driver's own session, which comes back after each restart.
sub query
{
	my ($self, $sql, $seconds) = @_;
	my $end = time + 60;
	while (1)
	{
		$self->{admin} //= PgwSession->new($self, name => 'driver');
		$self->{admin}->send($sql);
		PgwSession::wait_any($seconds // 60, $self->{admin});
		my $state = $self->{admin}->done ? $self->{admin}->state : '08006';
		return map { [ split /\|/, $_, -1 ] } split /\n/, $self->{admin}{out} if $state eq '00000';
		my $err = $self->{admin}->err;
		delete $self->{admin};
		die "$sql: $state $err" unless $state =~ /^(08|57)/ || $err =~ /^psql: error/;
		die "no connection: $err" if time > $end;
		usleep(30_000);
	}
}

sub value { my ($self, $sql) = @_; my @r = $self->query($sql); return @r ? $r[0][0] : undef }

sub pid_of
{
	my ($self, $type) = @_;
	return wait_until(sub { $self->value("SELECT pid FROM pg_stat_activity WHERE backend_type = '$type' ORDER BY pid LIMIT 1") }, 30);
}

# ---- the server's clock, moved while it runs

sub clock_env
{
	my ($self) = @_;
	return () if !$self->{clock};
	return (LD_PRELOAD => getcwd() . '/test/clock/clock.so', PGW_CLOCK => "$self->{dir}/clock");
}

# Seconds before the real time.  What the server says in between is put right by ChaosCheck::load.
sub set_clock
{
	my ($self, $offset) = @_;
	sysopen my $f, "$self->{dir}/clock", O_RDWR | O_CREAT or die $!;
	syswrite $f, pack 'q', $offset;    # in its place: processes have it mapped
	close $f;
	push @{ $self->{clocks} }, { at => time, offset => $offset };
	return;
}

# ---- a standby, and the failover to it

# A synchronous standby on another port of the same folder.
sub standby_begin
{
	my ($self) = @_;
	my $data = "$self->{dir}/standby";
	wait_until(
		sub {
			$self->value('SELECT 1');    # it may be on its way up
			return 1 if system("pg_basebackup -h '$self->{dir}' -p $self->{port} -U postgres -D '$data' -c fast -R -X stream --no-sync >'$self->{dir}/basebackup.log' 2>&1") == 0;
			usleep(100_000);
			return 0;
		}, 60) or die "pg_basebackup failed: see $self->{dir}/basebackup.log";
	my $pid = fork // die $!;
	if (!$pid)
	{
		POSIX::setsid();
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', "$self->{dir}/standby.log";
		open STDERR, '>&', \*STDOUT;
		%ENV = (%ENV, $self->clock_env);
		exec 'postgres', '-D', $data, @standby_args;
		die "exec: $!";
	}
	$self->{standby} = { pid => $pid, data => $data };
	$self->query("ALTER SYSTEM SET synchronous_standby_names = '*'");
	$self->query('SELECT pg_reload_conf()');
	wait_until(sub { $self->value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") }, 60) or die 'the standby does not follow';
	return;
}

# The primary is gone (fenced: killed); the standby takes its place, under the name that clients use.
sub failover
{
	my ($self) = @_;
	my ($worker) = $self->stop_worker;
	kill 'KILL', $self->{postmaster}, children($self->{postmaster});
	$self->record('failover', 1);    # now: the new primary's worker may find what it left before this function ends
	kill 'CONT', $worker if $worker;
	$self->reap;
	my $standby = delete $self->{standby};
	@$self{qw(postmaster data)} = @$standby{qw(pid data)};
	$self->{start_args} = \@standby_args;
	system("pg_ctl -D '$self->{data}' -w -t 60 promote >/dev/null") == 0 or die 'the standby was not promoted';
	symlink '.s.PGSQL.5433', "$self->{dir}/.s.PGSQL.5432.new" or die $!;
	rename "$self->{dir}/.s.PGSQL.5432.new", "$self->{dir}/.s.PGSQL.5432" or die $!;
	return;
}

sub standby_end
{
	my ($self) = @_;
	my $standby = delete $self->{standby} or return;
	kill 'QUIT', $standby->{pid};
	waitpid $standby->{pid}, 0;
	return;
}

# ---- blows

sub record
{
	my ($self, $what, $hit) = @_;
	push @{ $self->{hits} }, { at => time, what => $what, hit => $hit ? 1 : 0 };
	return;
}

my $waiting = "backend_type = 'client backend' AND pid <> pg_backend_pid() AND state = 'active' AND wait_event_type = 'Extension' AND query ~ 'process_payment'";

# Does this stopped backend wait in a call?  It may as well have been stopped with a lock that the question needs: then not.
sub in_call
{
	my ($self, $pid) = @_;
	$self->{admin} //= PgwSession->new($self, name => 'driver');
	my $s = $self->{admin}->send("SELECT count(*) FROM pg_stat_activity WHERE $waiting AND pid = $pid");
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
	my ($self, $dice) = @_;
	my $end = time + 1;
	while (1)
	{
		my $late = time > $end;
		my @pids = map { $_->[0] }
		  $self->query('SELECT pid FROM pg_stat_activity WHERE ' . ($late ? "backend_type = 'client backend' AND pid <> pg_backend_pid()" : $waiting) . ' ORDER BY pid');
		if (@pids)
		{
			my $pid = $pids[ $dice % @pids ];
			kill 'STOP', $pid or next;
			my $in_call = $self->in_call($pid);
			return ($pid, $in_call) if $in_call || $late;
			kill 'CONT', $pid;
		}
		return (0, 0) if $late && time > $end + 10;
	}
}

# The worker, stopped at a moment when the bank works for it, if such a moment comes soon. (pid, is there one)
sub stop_worker
{
	my ($self) = @_;
	my $pid = $self->pid_of('pgw worker') or return (0, 0);
	my $end = time + 1;
	while (1)
	{
		kill 'STOP', $pid or return (0, 0);
		my $busy = $self->bank_busy;
		return ($pid, $busy) if $busy || time > $end;
		kill 'CONT', $pid;
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

# Strike; again when the victim was gone before it was hit.
sub blow
{
	my ($self, $b) = @_;
	my $struck = @{ $self->{hits} };
	for (1 .. 20)
	{
		$self->strike($b);
		return if @{ $self->{hits} } > $struck;
		usleep(50_000);
	}
	return;
}

sub strike
{
	my ($self, $b) = @_;
	my $what = $b->{what};
	if ($what eq 'kill_backend' || $what eq 'terminate_backend' || $what eq 'cancel_backend')
	{
		my ($pid, $hit) = $self->stop_backend($b->{dice});
		my $signal = $what eq 'kill_backend' ? 'KILL' : $what eq 'terminate_backend' ? 'TERM' : 'INT';
		$self->record($what, $hit) if $pid && kill $signal, $pid;
		kill 'CONT', $pid if $pid;
	}
	elsif ($what eq 'kill_worker' || $what eq 'terminate_worker')
	{
		my ($pid, $hit) = $self->stop_worker;
		$self->record($what, $hit) if $pid && kill $what eq 'kill_worker' ? 'KILL' : 'TERM', $pid;
		kill 'CONT', $pid if $pid;
	}
	elsif ($what eq 'kill_launcher')
	{
		my $pid = $self->pid_of('pgw launcher');
		my $hit = $self->bank_busy;
		$self->record($what, $hit) if $pid && kill 'KILL', $pid;
	}
	elsif ($what eq 'kill_postmaster' || $what eq 'kill_everything')
	{
		my ($worker, $hit) = $self->stop_worker;
		my @all = $what eq 'kill_everything' ? children($self->{postmaster}) : ();
		kill 'KILL', $self->{postmaster}, @all;
		$self->record($what, $hit);
		kill 'CONT', $worker if $worker;
		$self->reap;
		$self->start;
	}
	elsif ($what eq 'immediate_stop' || $what eq 'fast_restart')
	{
		my ($worker, $hit) = $self->stop_worker;
		kill 'CONT', $worker if $worker;
		$self->record($what, $hit);
		$self->stop($what eq 'immediate_stop' ? 'immediate' : 'fast');
		$self->start;
	}
	elsif ($what eq 'failover')
	{
		$self->failover;
	}
	elsif ($what eq 'clock_back')
	{
		# PostgreSQL's own timeouts that are under way would last as much longer, so the server is down while the clock is set back
		$self->stop('immediate');
		$self->set_clock(0);
		$self->record($what, 0);
		$self->start;
	}
	else
	{
		my $hit = ChaosWorld::happen($self, $b);
		$self->record($what, $hit) if defined $hit;
	}
	return;
}

1;
