# PgwMemory - is this in the memory of that process?  All that it can write is read, also what is kept out of core dumps; what processes share is looked at
# apart, since one of them shows it for all.
#
#   my $m = PgwMemory->new(number => qr/4242/, holder => qr/CARLA/);   # names of what is searched for
#   $m->private($pid)        # "number in [heap]", once for each place; of the process alone
#   $m->shared($pid)         # ... of the shared memory
#   $m->is_not_in_core($pid, $folder, $name)   # two tests, where there is gcore: a core file of that process is written there, and has nothing of it
#   PgwMemory::readable($pid)
package PgwMemory;

use strict;
use warnings;
use Test::More;

sub new { my ($class, %what) = @_; return bless {%what}, $class }

sub readable
{
	my ($pid) = @_;
	open my $mem, '<:raw', "/proc/$pid/mem" or return 0;
	my ($found) = _mappings($pid, 'p');
	return $found && sysseek($mem, $found->[0], 0) && sysread($mem, my $byte, 1);
}

sub _mappings
{
	my ($pid, $kind) = @_;
	my @list;
	local $_;
	open my $maps, '<', "/proc/$pid/maps" or return ();
	while (<$maps>)
	{
		my ($from, $to, $name) = /^([0-9a-f]+)-([0-9a-f]+) rw.$kind \S+ \S+ \S+\s*(.*)/ or next;
		push @list, [ hex $from, hex($to) - hex($from), $name || 'anonymous memory' ] unless $name =~ /^\[v/;
	}
	return @list;
}

sub _search
{
	my ($self, $bytes, $where) = @_;
	my @found;
	for my $what (sort keys %$self)
	{
		my $n = () = $$bytes =~ /$self->{$what}/g;
		push @found, ("$what in $where") x $n;
	}
	return @found;
}

sub _process
{
	my ($self, $pid, $kind) = @_;
	my @found;
	open my $mem, '<:raw', "/proc/$pid/mem" or return ("memory of $pid: $!");
	for my $m (_mappings($pid, $kind))
	{
		my ($bytes, $got) = ('', 0);
		sysseek $mem, $m->[0], 0 or next;
		1 while $got = sysread $mem, $bytes, $m->[1] - length $bytes, length $bytes;
		push @found, $self->_search(\$bytes, $m->[2]);
	}
	return @found;
}

sub private { return _process(@_, 'p') }
sub shared { return _process(@_, 's') }

sub _file
{
	my ($self, $file) = @_;
	open my $f, '<:raw', $file or die "$file: $!";
	local $/;
	my $bytes = <$f>;
	return $self->_search(\$bytes, 'the core file');
}

sub is_not_in_core
{
	my ($self, $pid, $folder, $name) = @_;
	my $file = "$folder/core";
	local $Test::Builder::Level = $Test::Builder::Level + 1;
  SKIP: {
		skip 'no gcore', 2 if system('gcore >/dev/null 2>&1') >> 8 == 127;
		system("gcore -o '$file' $pid >/dev/null 2>&1") == 0 or die 'gcore failed';
		cmp_ok(-s "$file.$pid", '>', 1_000_000, 'a core file of another process, meanwhile');
		is_deeply([ $self->_file("$file.$pid") ], [], $name);
		unlink "$file.$pid";
	}
	return;
}

1;
