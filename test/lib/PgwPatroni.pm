# PgwPatroni - a shard of two servers that Patroni keeps, by docs/sharding/patroni*.* as they are there, but for addresses and paths: all is on
# free ports of loopback and in folders of the test's own.  A server is a PostgreSQL::Test::Cluster that is started and stopped by its Patroni.
#
#	my $group = PgwPatroni->new('eu-1', $bank);    # both run, one leads, the other is its synchronous standby; pgw is there and all slots are claimed
#	$group->leader; $group->other($node)           # servers
#	$group->sync_standby($node)                    # waits: has this one all that the leader acknowledges?
#	$group->leads($node, $seconds)                 # waits: is this one the leader?
#	$group->kill_patroni($node); $group->kill_all($node); $group->start_patroni($node)
package PgwPatroni;

use strict;
use warnings;
use File::Basename qw(basename);
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use POSIX ();
use PgwShards;
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our $CLIENT = 'shop';
our $CLIENT_PASSWORD = 'of-the-shop';
my @groups;

# Debian's packages, as test/setup.sh has been told to install them; python3-cryptography is what the store's password needs.
sub missing
{
	for my $program (qw(patroni patronictl patroni_raft_controller))
	{
		return "there is no $program here: make test installs it" if !grep { -x "$_/$program" } split /:/, $ENV{PATH};
	}
	return 'docs/sharding/patroni.yml is for Patroni 3' if `patroni --version` !~ /^patroni 3\./;
	return 'Patroni has no store here: make test installs python3-pysyncobj and python3-cryptography' if system("python3 -c 'import pysyncobj, cryptography' 2>/dev/null") != 0;
	return;
}

sub new
{
	my ($class, $scope, $bank) = @_;
	my $self = bless { scope => $scope, dir => PostgreSQL::Test::Utils::tempdir_short() }, $class;
	push @groups, $self;
	$self->{nodes} = [ map { PostgreSQL::Test::Cluster->new("$scope$_") } 'a', 'b' ];
	$self->{rest}{ $_->name } = PostgreSQL::Test::Cluster::get_free_port() for @{ $self->{nodes} };
	my @at = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 3;
	$self->{at} = { map { ('10.0.0.' . ($_ + 1) . ':2222' => "127.0.0.1:$at[$_]") } 0 .. 2 };
	my ($a, $b) = @{ $self->{nodes} };
	mkdir "$self->{dir}/$_", 0700 for qw(secrets raft);
	secret_file_in("$self->{dir}/secrets", 'test-secret');
	$self->write_yml($_) for $a, $b;
	$self->write_voice;
	$self->{voice} = $self->spawn('voice', 'patroni_raft_controller', "$self->{dir}/voice.yml");
	$self->start_patroni($a);
	$self->leads($a, 120) or die "no leader:\n" . $self->log_of($a);
	$self->start_patroni($b);
	pgw_setup($a, $bank);
	claim_slots($a, '{[0,1023]}');
	$a->safe_psql('postgres', "CREATE ROLE $CLIENT LOGIN PASSWORD '$CLIENT_PASSWORD'; SELECT pgw.grant_access('$CLIENT', 'client')");
	$self->sync_standby($b, 120) or die "no synchronous standby:\n" . $self->log_of($a) . $self->log_of($b);
	return $self;
}

sub secret_file_in
{
	my ($dir, $secret) = @_;
	append_to_file("$dir/bank", "$secret\n");
	chmod 0600, "$dir/bank";
}

# ---------------------------------------------------------------- the configuration

# The text with each of these changed, all of which have to be there: what is run is what is published.
sub changed
{
	my ($file, @changes) = @_;
	my $text = slurp_file($file);
	while (my ($from, $to) = splice @changes, 0, 2)
	{
		$text =~ s/$from/$to/mg or die "$file has no $from";
	}
	return $text;
}

# What the test's own build and a test without a disk need.
sub parameters
{
	my ($self) = @_;
	my @lines = grep { /^(extension_destdir|extension_control_path|dynamic_library_path) / } split /\n/, $ENV{PGW_CONF};
	push @lines, 'fsync = off', 'pgw.breaker_failures = 10000', "pgw.compensation_delay = '50ms'", "pgw.retry_base_delay = '100ms'";
	return join '', map { s/^(\S+) = '?(.*?)'?$/        $1: '$2'\n/r } @lines;
}

sub write_yml
{
	my ($self, $node) = @_;
	my ($first, $name, $user) = ($node == $self->{nodes}[0], $node->name, scalar getpwuid $<);
	my $dir = $node->basedir;
	my @changes = $first ? () : ('10\.0\.0\.1:' => '10.0.0.x:', '10\.0\.0\.2:' => '10.0.0.1:', '10\.0\.0\.x:' => '10.0.0.2:');
	my $own = $first ? 1 : 2;
	push @changes,
	  '^scope: eu-1$' => "scope: $self->{scope}",
	  '^name: eu-1a$' => "name: $name",
	  "10\\.0\\.0\\.$own:8008" => "127.0.0.1:$self->{rest}{$name}",
	  "10\\.0\\.0\\.$own:5432" => '127.0.0.1:' . $node->port,
	  (map { (quotemeta $_ => $self->{at}{$_}) } sort keys %{ $self->{at} }),
	  '10\.0\.0\.0/24' => '127.0.0.1/32',
	  '/var/lib/patroni/raft' => "$self->{dir}/raft",
	  '/dev/watchdog$' => "$dir/watchdog\n  driver: testing",
	  'ttl: 20 ' => 'ttl: 12 ',    # sooner than in the page, which says what was measured with its own
	  'loop_wait: 5' => 'loop_wait: 2',
	  'parameters: +# the same on all servers\n' => 'parameters:\n' . $self->parameters,
	  '/etc/pgw/secrets' => "$self->{dir}/secrets",
	  '/var/lib/postgresql/15/eu-1$' => $node->data_dir,
	  '/usr/lib/postgresql/15/bin' => $ENV{PGW_PG_CONFIG} =~ s{/pg_config$}{}r,
	  '/var/lib/postgresql/eu-1\.pgpass' => "$dir/pgpass",
	  'username: postgres$' => "username: $user",
	  '/var/run/postgresql' => $node->host;
	append_to_file("$dir/patroni.yml", changed('docs/sharding/patroni.yml', map { s/\\n/\n/gr } @changes));
	append_to_file("$dir/watchdog", '');
}

sub unit
{
	my ($self, $node) = @_;
	return changed('docs/sharding/patroni_unit.conf', 'NAME=eu-1$' => "NAME=$self->{scope}", '/usr/lib/postgresql/15/bin' => $ENV{PGW_PG_CONFIG} =~ s{/pg_config$}{}r,
		'/var/lib/postgresql/15/eu-1' => $node ? $node->data_dir : 'none');
}

sub write_voice
{
	my ($self) = @_;
	append_to_file("$self->{dir}/voice.yml", changed('docs/sharding/patroni_voice.yml', '/var/lib/patroni/raft' => "$self->{dir}/raft",
		map { (quotemeta $_ => $self->{at}{$_}) } sort keys %{ $self->{at} }));
}

# ---------------------------------------------------------------- processes

sub spawn
{
	my ($self, $name, @command) = @_;
	my $log = $self->log_file($name);
	my $pid = fork // die $!;
	return $pid if $pid;
	$SIG{$_} = 'DEFAULT' for qw(INT TERM);
	open STDIN, '<', '/dev/null';
	open STDOUT, '>>', $log;
	open STDERR, '>&', \*STDOUT;
	my $unit = $self->unit;
	$ENV{$1} = $2 while $unit =~ /^Environment=(\w+)=(.*)$/mg;
	exec { $command[0] } @command or
	POSIX::_exit(127);
}

# As systemd would by our part of the service; by Debian's part alone a server that was left behind is taken over.
sub start_patroni
{
	my ($self, $node, %o) = @_;
	my $unit = $o{take_over} ? '' : $self->unit($node);
	system("$1 >>" . $self->log_file($node->name) . ' 2>&1') while $unit =~ /^ExecStartPre=-(.*)$/mg;
	$self->{patroni}{ $node->name } = $self->spawn($node->name, 'patroni', $node->basedir . '/patroni.yml');
}

# What Patroni and its server have to say goes there.
sub log_file { my ($self, $name) = @_; return "$PostgreSQL::Test::Utils::log_path/" . basename($0, '.pl') . "_$name.patroni.log" }
sub log_of { my ($self, $node) = @_; return join '', grep { defined } (split /^/, slurp_file($self->log_file($node->name)))[ -30 .. -1 ] }

# The server's own processes: its postmaster first.
sub server_pids
{
	my ($self, $node) = @_;
	my $file = $node->data_dir . '/postmaster.pid';
	my ($pid) = -s $file ? slurp_file($file) =~ /^(\d+)\n/ : ();
	return unless $pid && kill 0, $pid;
	return $pid, map { m{^/proc/(\d+)/} } grep { my $stat = eval { slurp_file($_) }; defined $stat && $stat =~ /^\d+ \(postgres\) \S $pid / } glob '/proc/[0-9]*/stat';
}

sub end_pid
{
	my ($signal, @pids) = @_;
	kill $signal, @pids;
	waitpid $_, 0 for @pids;
}

sub kill_patroni { my ($self, $node) = @_; return end_pid('KILL', delete $self->{patroni}{ $node->name }) }

# As if the machine were gone: Patroni and every process of the server at once.
sub kill_all
{
	my ($self, $node) = @_;
	my @pids = $self->server_pids($node);
	kill 'KILL', $self->{patroni}{ $node->name }, @pids;
	waitpid delete $self->{patroni}{ $node->name }, 0;
	wait_until(sub { !grep { kill 0, $_ } @pids }, 30) or die 'the server lives on';
}

END
{
	my $status = $?;
	for my $self (@groups)
	{
		end_pid('KILL', $_) for grep { $_ } values %{ $self->{patroni} // {} }, $self->{voice};
		for my $node (@{ $self->{nodes} // [] })
		{
			my ($postmaster, @rest) = $self->server_pids($node) or next;
			kill 'QUIT', $postmaster;
			wait_until(sub { !kill 0, $postmaster }, 20) or kill 'KILL', $postmaster, @rest;
		}
	}
	$? = $status;
}

# ---------------------------------------------------------------- what Patroni says

sub nodes { return @{ $_[0]{nodes} } }
sub other { my ($self, $node) = @_; return (grep { $_ != $node } $self->nodes)[0] }

# The members by name, as this one's Patroni sees them; empty: it does not answer.
sub members
{
	my ($self, $node) = @_;
	my $r = HTTP::Tiny->new(timeout => 5)->get("http://127.0.0.1:$self->{rest}{ $node->name }/cluster");
	return $r->{success} ? map { $_->{name} => $_ } @{ decode_json($r->{content})->{members} } : ();
}

sub has_role
{
	my ($self, $node, $role, $state) = @_;
	my %m = $self->members($node);
	my $m = $m{ $node->name };
	return $m && $m->{role} eq $role && $m->{state} =~ $state;
}

sub leads { my ($self, $node, $seconds) = @_; return wait_until(sub { $self->has_role($node, 'leader', qr/^running$/) && is_primary($node) }, $seconds) }
sub is_primary { return (($_[0]->psql('postgres', 'SELECT pg_is_in_recovery()'))[1] // '') eq 'f' }

# That Patroni would promote it, and that it is connected.
sub sync_standby
{
	my ($self, $node, $seconds) = @_;
	my $leader = $self->other($node);
	return wait_until(sub { $self->has_role($node, 'sync_standby', qr/^(running|streaming)$/)
		&& (($leader->psql('postgres', 'SELECT sync_state FROM pg_stat_replication'))[1] // '') eq 'sync' }, $seconds);
}

sub leader
{
	my ($self) = @_;
	for my $node ($self->nodes) { return $node if $self->has_role($node, 'leader', qr/^running$/) }
	return;
}

sub patronictl
{
	my ($self, $node, @args) = @_;
	my $out;
	my $rc = IPC::Run::run([ 'patronictl', '-c', $node->basedir . '/patroni.yml', @args ], '<', \undef, '>&', \$out);
	note($out);
	return $rc;
}

1;
