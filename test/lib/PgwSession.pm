# PgwSession - a psql that stays connected and is not waited for: a test holds many of them at once, sends each a statement, and
# looks later who is done.
#
#   my $s = PgwSession->new($node);
#   $s->send('SELECT ...');            # returns at once; one statement, or several that are seen as one
#   $s->wait;                          # until it is done; returns the rows, one per line, columns separated by |
#   $s->run('SELECT ...');             # both
#   $s->query('SELECT ...');           # the same, and it must not fail
#   $s->state, $s->err                 # SQLSTATE of the last statement (00000: fine, 08006: the connection is gone), and its message
#   $s->lose                           # the client is killed, in whatever it is doing; its server process does not know
#   PgwSession::wait_any($seconds, @s) # until at least one of them is done; returns those that are
package PgwSession;

use strict;
use warnings;
use Carp;
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use IO::Select;
use Time::HiRes qw(time);

my $patience = 60;

sub new
{
	my ($class, $node, %o) = @_;
	my $self = bless { out => '', err => '', done => 1, state => '00000', n => 0 }, $class;
	pipe(my $in_r, $self->{in}) or die $!;
	pipe($self->{out_fh}, my $out_w) or die $!;
	pipe($self->{err_fh}, my $err_w) or die $!;
	$self->{pid} = fork // die $!;
	if (!$self->{pid})
	{
		open STDIN, '<&', $in_r or die $!;
		open STDOUT, '>&', $out_w or die $!;
		open STDERR, '>&', $err_w or die $!;
		exec 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=never', '-v', 'ON_ERROR_STOP=0',
		  '-h', $node->host, '-p', $node->port, '-d', $o{db} // 'postgres';
		die "psql: $!";
	}
	close $_ for $in_r, $out_w, $err_w;
	$self->{in}->autoflush(1);
	fcntl($_, F_SETFL, fcntl($_, F_GETFL, 0) | O_NONBLOCK) for $self->{out_fh}, $self->{err_fh};
	$self->run('SET application_name = ' . "'" . ($o{name} // 'session') . "'");
	$self->{backend} = $self->run('SELECT pg_backend_pid()');
	return $self;
}

sub backend { return $_[0]{backend} }    # its server process
sub state { return $_[0]{state} }
sub err { return $_[0]{err} }

sub send
{
	my ($self, $sql) = @_;
	croak "not done yet: $self->{sql}" unless $self->{done};
	local $SIG{PIPE} = 'IGNORE';
	$self->{$_} = '' for qw(out err);
	$self->{sql} = $sql;
	$self->{done} = 0;
	$self->{mark} = '<<' . ++$self->{n} . '>>';
	print { $self->{in} } "$sql;\n\\echo $self->{mark} :SQLSTATE\n";
	return $self;
}

# Take in what is there; true when the statement is done.
sub done
{
	my ($self) = @_;
	return 1 if $self->{done};
	my $left = $self->_read('out');
	if ($self->{out} =~ s/^\Q$self->{mark}\E ?(\S*)\n//m)
	{
		$self->{state} = $1 ne '' ? $1 : '08006';    # without one: the connection broke while nothing ran, and psql has just noticed
		$self->{done} = 1;
	}
	elsif (!$left)
	{
		$self->{state} = '08006';    # psql is gone, and its connection with it
		$self->{done} = 1;
	}
	$self->_read('err');    # written before the mark
	$self->{out} =~ s/\n\z// if $self->{done};
	return $self->{done};
}

# false at the end of the file
sub _read
{
	my ($self, $what) = @_;
	while (1)
	{
		my $n = sysread $self->{"${what}_fh"}, $self->{$what}, 65536, length $self->{$what};
		return 1 unless defined $n;
		return 0 if $n == 0;
	}
}

sub wait_any
{
	my ($seconds, @sessions) = @_;
	my $end = time + $seconds;
	while (1)
	{
		my @done = grep { $_->done } @sessions;
		my $left = $end - time;
		return @done if @done || $left <= 0;
		IO::Select->new(map { $_->{out_fh} } @sessions)->can_read($left);
	}
}

sub wait
{
	my ($self, $seconds) = @_;
	wait_any($seconds // $patience, $self) or croak "not done in time: $self->{sql} out=[$self->{out}] err=[$self->{err}] mark=$self->{mark} ";
	return $self->{out};
}

sub run
{
	my ($self, $sql) = @_;
	return $self->send($sql)->wait;
}

sub query
{
	my ($self, $sql) = @_;
	my $rows = $self->run($sql);
	croak "$sql: $self->{err}" if $self->{state} ne '00000';
	return $rows;
}

sub lose
{
	my ($self) = @_;
	kill 'KILL', $self->{pid};
	$self->{done} = 1;
}

sub quit
{
	my ($self) = @_;
	return unless $self->{pid};
	close $self->{in};
	kill 'TERM', $self->{pid} unless $self->{done};
	waitpid $self->{pid}, 0;
	$self->{pid} = 0;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!);
	$self->quit;
}

1;
