# The matrix driver x case of docs/clients.md is what comes of it: plain, and through pgbouncer in its three modes. make check-clients
# installs all drivers and fails where one is missing; make test takes two of those that are there, and the others plain only. CLIENTS is all, or a
# pattern of names.
use strict;
use warnings;
use lib 'test/lib';
use PgwDrivers;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'there is no pgbouncer, psycopg 3 or DBD::Pg: make test installs them'
  unless -x '/usr/sbin/pgbouncer' && !system("python3 -c 'import psycopg' 2>/dev/null && perl -MDBD::Pg -e 1 2>/dev/null");
my $page = slurp_file('docs/clients.md');
my @short = ('psycopg 3', 'DBD::Pg');
my @chosen = sort grep { !$ENV{CLIENTS} || $ENV{CLIENTS} eq 'all' || /$ENV{CLIENTS}/ } keys %DRIVERS;
my $node = drivers_start();

# What comes of all cases, in one row for the ways that agree.
sub rows_of
{
	my ($name, @through) = @_;
	my (%ways, @order);
	for my $way (@through)
	{
		my ($results, $said) = driver_results($name, $way);
		is($said, '', "$name, $way: nothing but results");
		is_deeply([ sort keys %$results ], [ sort @CASES ], "$name, $way: all cases");
		my $row = matrix_row('', '', $results);
		push @order, $row unless $ways{$row};
		push @{ $ways{$row} }, $way;
	}
	return join '', map { my $ways = join ', ', @{ $ways{$_} }; s/^\|  \|  \|/| $name | $ways |/r } @order;
}

for my $name (@chosen)
{
	SKIP: {
		my $there = is_there($DRIVERS{$name});
		skip "$name is not installed", 1 if !$there && !$ENV{CLIENTS};
		ok($there, "$name is there");
		my @there = grep { /^\| \Q$name\E \|/ } split /^/, $page;
		my $whole = $ENV{CLIENTS} || grep { $_ eq $name } @short;
		# of the plain way alone, the page's row names others that came to the same
		my $said = $whole ? join('', @there) : $there[0] =~ s/\| plain\K, [^|]+(?= \|)//r;
		is($said, rows_of($name, $whole ? @WAYS : 'plain'), "$name: docs/clients.md has what came of it");
	}
}

# An order and its payment, as the programs of docs/examples/ do it.
for my $name (sort keys %EXAMPLES)
{
	next unless !$ENV{CLIENTS} || $ENV{CLIENTS} eq 'all' || $name =~ /$ENV{CLIENTS}/;
	SKIP: {
		my $there = is_there($EXAMPLES{$name});
		skip "$name: its packages are not installed", 3 if !$there && !$ENV{CLIENTS};
		ok($there, "$name: its packages are there");
		my ($said, $tries) = example($name);
		is(lc $said, "order: captured\nagain: true\ndeclined: insufficient_funds - tell the customer: insufficient_funds\nsubmitted: pending\n"
			. "then: captured\nrefund: partially_refunded\n", "$name does what it says");
		is($tries, '2 tries, 1 charge', "$name tries again after a serialization failure, and charges once");
	}
}
is_deeply([ sort keys %EXAMPLES ], [ map { s{.*/}{}r } grep { -f } sort glob 'docs/examples/*' ], 'every program of docs/examples/ is among them');
is($node->safe_psql('postgres', 'SELECT c FROM pgw.check_consistency() c'), '', 'the records are sound afterwards');
drivers_stop();
done_testing();
