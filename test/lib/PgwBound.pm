# PgwBound - statements whose values are parameters of the protocol: no statement's text holds them.
package PgwBound;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(run_bound start_bound);

# Start a script by pgbench, which sends what the script calls :name as parameters: { h, out, err }.  May be given: role, times, mode (of the protocol).
sub start_bound
{
	my ($node, $script, $value, %o) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/script.sql';
	append_to_file($file, "$script\n");
	my $p = { out => '', err => '' };
	$p->{h} = IPC::Run::start([ 'pgbench', '-n', '-t', $o{times} // 1, '-M', $o{mode} // 'extended', (map { ('-D', "$_=$value->{$_}") } sort keys %$value),
			'-h', $node->host, '-p', $node->port, ($o{role} ? ('-U', $o{role}) : ()), '-f', $file, 'postgres' ], '>', \$p->{out}, '2>', \$p->{err});
	return $p;
}

# Run one to its end; what it says of an error.
sub run_bound
{
	my $p = start_bound(@_);
	$p->{h}->finish;
	return $p->{err};
}

1;
