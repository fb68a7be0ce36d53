# The matrix driver x case of docs/clients.md is what comes of it: plain, and through pgbouncer in its three modes. make check-clients
# installs all drivers and fails where one is missing; make test takes two of those that are there. CLIENTS is all, or a pattern of names.
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
my @chosen = !$ENV{CLIENTS} ? @short : sort grep { $ENV{CLIENTS} eq 'all' || /$ENV{CLIENTS}/ } keys %DRIVERS;
my $node = drivers_start();

# What comes of all cases, in one row for the ways that agree.
sub rows_of
{
	my ($name) = @_;
	my (%ways, @order);
	for my $way (@WAYS)
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
		my $there = driver_there($name);
		skip "$name is not installed", 1 if !$there && !$ENV{CLIENTS};
		ok($there, "$name is there");
		my $rows = rows_of($name);
		is(join('', grep { /^\| \Q$name\E \|/ } split /^/, $page), $rows, "$name: docs/clients.md has what came of it");
	}
}

# an order and its payment, as the programs of docs/examples/ do it
for my $example (@EXAMPLES)
{
	my ($driver, @command) = @$example;
	next unless (grep { $_ eq $driver } @chosen) && ($ENV{CLIENTS} || driver_there($driver));
	my ($said, $tries) = example(@command);
	is(lc $said, "order: captured\nagain: true\ndeclined: insufficient_funds - tell the customer: insufficient_funds\nsubmitted: pending\n"
		. "then: captured\nrefund: partially_refunded\n", "$command[-1] does what it says");
	is($tries, '2 tries, 1 charge', "$command[-1] tries again after a serialization failure, and charges once");
}
is_deeply([ sort map { $_->[-1] } @EXAMPLES ], [ grep { -f } sort glob 'docs/examples/*' ], 'every program of docs/examples/ is among them');
is($node->safe_psql('postgres', 'SELECT c FROM pgw.check_consistency() c'), '', 'the records are sound afterwards');
drivers_stop();
done_testing();
