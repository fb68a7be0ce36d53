# BenchCost.pm - what a run costs: processor, WAL and what is in it, updates, room on disk
package BenchCost;
use strict;
use warnings;
use BenchStage;
use Exporter 'import';
use List::Util qw(max sum);
use POSIX ();
use Time::HiRes qw(time usleep);

our @EXPORT = qw(cpu machine_cpu server_cpu anon_kb flushes wal_position wal_between tables_before tables_since);

# The fields of a process's stat file after its name: state, parent, ...; nothing where it is gone.
sub stat_of
{
	my ($file) = @_;
	open my $f, '<', $file or return;
	my $line = <$f> // return;
	return [ split ' ', $line =~ s/^.*\) //r ];
}

# CPU seconds of a process so far, its children that are gone not counted; and its memory's peak in kB.
sub cpu
{
	my ($pid) = @_;
	my $s = stat_of("/proc/$pid/stat") or return 0;
	return ($s->[11] + $s->[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# CPU seconds of the whole server so far: the postmaster, its children that are gone, and those that are there.  A child that ends meanwhile would be
# counted twice or not at all, so then it is asked again.
sub server_cpu
{
	open my $f, '<', "$data/postmaster.pid" or die "$data/postmaster.pid: $!";
	my $postmaster = <$f> + 0;
	my ($ticks, $gone);
	do
	{
		my @all = map { my $s = stat_of($_); $s && ($s->[1] == $postmaster || $_ =~ m{/$postmaster/}) ? [ $_, $s ] : () } glob '/proc/[0-9]*/stat';
		$gone = sum(map { $_->[0] =~ m{/$postmaster/} ? @{ $_->[1] }[ 13, 14 ] : () } @all);
		$ticks = $gone + sum(map { @{ $_->[1] }[ 11, 12 ] } @all);
	} while ($gone != sum(@{ stat_of("/proc/$postmaster/stat") }[ 13, 14 ]));
	return $ticks / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

sub anon_kb { my ($pid) = @_; open my $f, '<', "/proc/$pid/status" or return 0; my ($kb) = map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$f>; return $kb // 0 }
sub machine_cpu { open my $f, '<', '/proc/stat' or die $!; my @s = split ' ', <$f>; return (sum(@s[ 1 .. 3, 6 .. 8 ])) / POSIX::sysconf(POSIX::_SC_CLK_TCK()) }

# 18 counts them beside everything else that is read and written
sub flushes
{
	my $new = sql("SELECT current_setting('server_version_num')::int >= 180000") eq 't';
	return sql($new ? "SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'" : 'SELECT wal_sync FROM pg_stat_wal');
}
sub wal_position { return sql('SELECT pg_current_wal_flush_lsn()') }

# What was written between two positions: bytes of records and of full-page images, and new entries in leaves of B-trees.  Nothing where the server has
# removed some of it already.
sub wal_between
{
	my ($from, $to) = @_;
	my %w = (leaf_inserts => 0);
	open my $f, '-|', "pg_waldump -p '$data/pg_wal' -s '$from' -e '$to' --stats=record 2>/dev/null" or die $!;
	while (<$f>)
	{
		$w{leaf_inserts} += $1 if m{^Btree/INSERT_(?:LEAF|POST)\s+(\d+)};
		@w{qw(wal_records wal_bytes fpi_bytes)} = ($1, $2, $3) if /^Total\s+(\d+)\s+(\d+) \[\S+\]\s+(\d+) \[/;
	}
	return close $f && defined $w{wal_bytes} ? \%w : {};
}

# What the server has counted of a schema's tables, and their size with indexes.
sub tables
{
	my ($schema) = @_;
	my %t;
	@t{qw(inserted payments_updates payments_hot attempts_updates attempts_hot)} = split /\|/, sql(<<"SQL");
SELECT p.n_tup_ins, p.n_tup_upd, p.n_tup_hot_upd, a.n_tup_upd, a.n_tup_hot_upd FROM pg_stat_user_tables p, pg_stat_user_tables a
WHERE p.relid = '$schema.payments'::regclass AND a.relid = '$schema.payment_transactions'::regclass
SQL
	$t{bytes} = sql("SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = '$schema'::regnamespace");
	return \%t;
}

sub tables_before { my ($schema) = @_; return { schema => $schema, %{ tables($schema) } } }

# Updates, HOT ones among them, and bytes stored since then, for each of n payments.
sub tables_since
{
	my ($before, $n) = @_;
	my $now = tables($before->{schema});

	# sessions report what they have counted when they end or are idle for a while
	my $end = time + 12;
	while ($now->{inserted} < $before->{inserted} + $n && time < $end) { usleep(200_000); $now = tables($before->{schema}) }
	return { map { $_ => ($now->{$_} - $before->{$_}) / max(1, $n) } qw(payments_updates payments_hot attempts_updates attempts_hot bytes) };
}

1;
