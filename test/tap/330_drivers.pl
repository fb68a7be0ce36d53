# The matrix driver x case of docs/clients.md is what comes of it: plain, and through pgbouncer in its three modes. make test installs what
# Debian has, and npm where it is to be had; a driver whose packages are missing is left out. make check-clients fails there. CLIENTS is all, or a
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
my ($table) = slurp_file('docs/clients.md') =~ /^(\| driver \| through .*?)^$/ms or die 'docs/clients.md has no table of drivers';
my $node = drivers_start();

sub wanted { my ($name) = @_; return !$ENV{CLIENTS} || $ENV{CLIENTS} eq 'all' || $name =~ /$ENV{CLIENTS}/ }

# Those of them whose packages are there; where somebody asked for them, all have to be.
sub those_there
{
	my ($kind) = @_;
	my @there;
	for my $name (grep { wanted($_) } sort keys %$kind)
	{
		SKIP: {
			my $there = is_there($kind->{$name});
			skip "$name: its packages are not installed", 1 if !$there && !$ENV{CLIENTS};
			ok($there, "$name: its packages are there");
			push @there, $name if $there;
		}
	}
	return @there;
}

# What comes of all cases of a driver, in one row for the ways that agree.
sub rows_of
{
	my ($name, %results) = @_;
	my (%ways, @order);
	for my $way (@WAYS)
	{
		my ($came, $said) = @{ $results{$way} };
		is($said, '', "$name, $way: nothing but results");
		is_deeply([ sort keys %$came ], [ sort @CASES ], "$name, $way: all cases");
		my $row = matrix_row('', '', $came);
		push @order, $row unless $ways{$row};
		push @{ $ways{$row} }, $way;
	}
	return join '', map { my $ways = join ', ', @{ $ways{$_} }; s/^\|  \|  \|/| $name | $ways |/r } @order;
}

my @drivers = those_there(\%DRIVERS);
my @runs = map { my $name = $_; map { [ $name, $_ ] } @WAYS } @drivers;
my @results = driver_results(@runs);
my %came;
$came{ $runs[$_][0] }{ $runs[$_][1] } = $results[$_] for 0 .. $#runs;
for my $name (@drivers)
{
	is(join('', grep { /^\| \Q$name\E \|/ } split /^/, $table), rows_of($name, %{ $came{$name} }), "$name: docs/clients.md has what came of it");
}

# An order and its payment, as the programs of docs/examples/ do it.
my @examples = those_there(\%EXAMPLES);
my @said = examples(@examples);
for my $name (@examples)
{
	my ($said, $tries) = @{ shift @said };
	is(lc $said, "order: captured\nagain: true\ndeclined: insufficient_funds - tell the customer: insufficient_funds\nsubmitted: pending\n"
		. "then: captured\nrefund: partially_refunded\n", "$name does what it says");
	is($tries, '2 tries, 1 charge', "$name tries again after a serialization failure, and charges once");
}
is_deeply([ sort keys %EXAMPLES ], [ map { s{.*/}{}r } grep { -f } sort glob 'docs/examples/*' ], 'every program of docs/examples/ is among them');
is($node->safe_psql('postgres', 'SELECT c FROM pgw.check_consistency() c'), '', 'the records are sound afterwards');
drivers_stop();
done_testing();
