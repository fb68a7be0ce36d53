# PgwBound - statements whose values are parameters of the protocol: no statement's text holds them.
package PgwBound;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(run_bound);

# Run a script by pgbench, which sends what the script calls :name as parameters; what it says of an error.  May be given: role, times, mode (of the protocol).
sub run_bound
{
	my ($node, $script, $value, %o) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/script.sql';
	append_to_file($file, "$script\n");
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'pgbench', '-n', '-t', $o{times} // 1, '-M', $o{mode} // 'extended', (map { ('-D', "$_=$value->{$_}") } sort keys %$value),
			'-h', $node->host, '-p', $node->port, ($o{role} ? ('-U', $o{role}) : ()), '-f', $file, 'postgres' ], '>', \$out, '2>', \$err);
	return $err;
}

1;
