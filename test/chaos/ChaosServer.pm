# ChaosServer - the cluster and the banks of a run: starting, asking and ending them, the server's clock, and a standby.  What ends processes is in ChaosBlows.
#
# There are several simulators, each with a ledger of its own: see chaos.pl.  The server's clock can be moved (docs/examples/testing/clock.c); banks and clients keep the real one.
package ChaosServer;

use strict;
use warnings;
use Cwd;
use Fcntl;
use HTTP::Tiny;
use JSON::PP;
use POSIX ':sys_wait_h';
use PgwSession;
use Time::HiRes qw(time usleep);

# The standby's name is what the primary waits for: copies that follow it, too, are no substitute.
my @standby_args = ('-c', 'cluster_name=standby');

sub new
{
	my ($class, %o) = @_;
	my $self = bless { %o, port => 5432, data => "$o{dir}/data", log => "$o{dir}/server.log", hits => [], banks => {}, start_args => [ @{ $o{always} // [] } ] }, $class;
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
	$busy += () = $self->bank($_, 'GET', '/ledger/log?limit=100') =~ /"finished":false/g for grep { $self->{banks}{$_} } qw(main other backup);
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
# a standby that is behind on a busy machine is not cut off: synchronous as it is, the primary would wait for it for ever
wal_keep_size = 1GB
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
				return @line >= 8 && $line[0] == $pid && $line[7] =~ /^(?:ready|standby)/ ? 'ready' : 0;
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

	# A fast stop that meets the server's own recovery from a crash never ends: the checkpointer is there by then, and the postmaster
	# waits for its end without having told it.
	if (!wait_until(sub { waitpid($self->{postmaster}, WNOHANG) != 0 }, 60))
	{
		kill 'QUIT', $self->{postmaster};
		$self->reap;
	}
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
	my $end = time + ($seconds //= 60);
	while (1)
	{
		$self->{admin} //= PgwSession->new($self, name => 'driver', db => $self->{db});
		$self->{admin}->send($sql);
		PgwSession::wait_any($seconds, $self->{admin});
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

# ---- the server's clock, moved while it runs

sub clock_env
{
	my ($self) = @_;
	return () if !$self->{clock};
	return (LD_PRELOAD => getcwd() . '/test/lib/clock.so', PGW_CLOCK => "$self->{dir}/clock");
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

# A synchronous standby on another port of the same folder, with the arguments that the primary has always. It is copied before the primary is told to wait for it, so
# once promoted it waits for nobody.
sub standby_begin
{
	my ($self) = @_;
	my $port = 5433 + $self->{standbys}++;
	my $data = "$self->{dir}/standby" . ($port == 5433 ? '' : $port);
	my @args = (@{ $self->{always} // [] }, '-p', $port, @standby_args);
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
		exec 'postgres', '-D', $data, @args;
		die "exec: $!";
	}
	$self->{standby} = { pid => $pid, data => $data, port => $port, args => \@args };
	$self->query("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
	$self->query('SELECT pg_reload_conf()');
	wait_until(sub { $self->value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") }, 60) or die 'the standby does not follow';
	return;
}

# The primary is gone; the standby takes its place, under the name that clients use.
sub standby_promote
{
	my ($self) = @_;
	my $standby = delete $self->{standby};
	@$self{qw(postmaster data start_args)} = @$standby{qw(pid data args)};
	system("pg_ctl -D '$self->{data}' -w -t 60 promote >/dev/null") == 0 or die 'the standby was not promoted';
	symlink ".s.PGSQL.$standby->{port}", "$self->{dir}/.s.PGSQL.5432.new" or die $!;
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

1;
