# PgwWire - a client that binds parameters, as drivers do: the extended query protocol over the server's socket, one connection, nothing hidden.
#
#   my $c = PgwWire->new($node);
#   $c->bind('SELECT $1::text', 'x');             # parse, bind, execute; returns the rows, columns separated by |; croaks on an error
#   $c->send('SELECT $1', [ 'x' ], name => 's');  # the same without waiting; name: of the prepared statement; binary => 1: parameters in binary
#   $c->wait;                                     # until it is done; state and err as of PgwSession
#   $c->simple('SELECT 1');                       # one query message
#   $c->cancel, $c->backend, $c->quit
package PgwWire;

use strict;
use warnings;
use Carp;
use IO::Select;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

my $patience = 60;

sub new
{
	my ($class, $node, %o) = @_;
	my $self = bless { path => $node->host . '/.s.PGSQL.' . $node->port, done => 1, state => '00000', err => '', rows => [] }, $class;
	$self->{socket} = IO::Socket::UNIX->new(Peer => $self->{path}) or croak "$self->{path}: $!";
	my $user = $o{user} // getpwuid($>);
	my $body = pack('N', 196608) . join("\0", user => $user, database => $o{db} // 'postgres', application_name => $o{name} // 'wire', '', '');
	$self->_write(pack('N', 4 + length $body) . $body);
	$self->{done} = 0;
	$self->wait;
	return $self;
}

sub backend { return $_[0]{backend} }
sub state { return $_[0]{state} }
sub err { return $_[0]{err} }

sub _write
{
	my ($self, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';
	while (length $bytes)
	{
		my $n = syswrite($self->{socket}, $bytes) // croak "write: $!";
		substr $bytes, 0, $n, '';
	}
}

sub _message { my ($type, $body) = @_; return $type . pack('N', 4 + length $body) . $body }

sub _begin
{
	my ($self, $bytes) = @_;
	croak 'not done yet' unless $self->{done};
	@$self{qw(done state err rows)} = (0, '00000', '', []);
	$self->_write($bytes);
	return $self;
}

sub send
{
	my ($self, $sql, $values, %o) = @_;
	my $name = $o{name} // '';
	my $format = $o{binary} ? 1 : 0;
	my $parse = exists $self->{statements}{$name} && $name ne '' ? '' : _message('P', "$name\0$sql\0" . pack('n', 0));
	$self->{statements}{$name} = 1;
	my $params = join '', map { defined $_ ? pack('N/a*', $_) : pack('N', 0xFFFFFFFF) } @$values;
	return $self->_begin($parse . _message('B', "\0$name\0" . pack('nnn', 1, $format, scalar @$values) . $params . pack('nn', 1, 0))
		  . _message('E', "\0" . pack('N', 0)) . _message('S', ''));
}

sub bind
{
	my ($self, $sql, @values) = @_;
	my $rows = $self->send($sql, \@values)->wait;
	croak "$sql: $self->{err}" if $self->{state} ne '00000';
	return $rows;
}

sub simple
{
	my ($self, $sql) = @_;
	return $self->_begin(_message('Q', "$sql\0"))->wait;
}

sub _read
{
	my ($self, $n, $until) = @_;
	my $bytes = '';
	while (length $bytes < $n)
	{
		my $left = $until - time;
		croak 'not done in time' if $left <= 0;
		next unless IO::Select->new($self->{socket})->can_read($left);
		my $got = sysread $self->{socket}, $bytes, $n - length $bytes, length $bytes;
		return undef unless $got;
	}
	return $bytes;
}

# Until the server is ready for the next query, or gone.
sub wait
{
	my ($self, $seconds) = @_;
	my $until = time + ($seconds // $patience);
	while (!$self->{done})
	{
		my $head = $self->_read(5, $until);
		my $body = defined $head ? $self->_read(unpack('N', substr $head, 1) - 4, $until) : undef;
		if (!defined $body)
		{
			$self->{state} = '08006' if $self->{state} eq '00000';
			$self->{done} = 1;
			last;
		}
		my $type = substr $head, 0, 1;
		if ($type eq 'Z') { $self->{done} = 1 }
		elsif ($type eq 'K') { @$self{qw(backend key)} = unpack 'NN', $body }
		elsif ($type eq 'R') { croak 'a password is wanted' if unpack('N', $body) != 0 }
		elsif ($type eq 'E')
		{
			my %field = map { substr($_, 0, 1) => substr $_, 1 } grep { length } split /\0/, $body;
			@$self{qw(state err)} = ($field{C}, join "\n", grep { defined } @field{qw(M D H)});
		}
		elsif ($type eq 'D')
		{
			my ($n, $rest) = unpack 'na*', $body;
			my @columns;
			for (1 .. $n)
			{
				(my $length, $rest) = unpack 'Na*', $rest;
				push @columns, $length == 0xFFFFFFFF ? '' : substr $rest, 0, $length, '';
			}
			push @{ $self->{rows} }, join '|', @columns;
		}
	}
	return join "\n", @{ $self->{rows} };
}

sub cancel
{
	my ($self) = @_;
	my $other = IO::Socket::UNIX->new(Peer => $self->{path}) or croak "$self->{path}: $!";
	syswrite $other, pack('NNNN', 16, 80877102, $self->{backend}, $self->{key});
	sysread $other, my $nothing, 1;
}

sub quit
{
	my ($self) = @_;
	return unless $self->{socket};
	eval { $self->_write(_message('X', '')) };
	close $self->{socket};
	$self->{socket} = undef;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!, $@);
	$self->quit;
}

1;
