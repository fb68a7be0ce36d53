# PgwDrivers - the matrix driver x case of docs/clients.md: a cluster with the bank `test`, pgbouncer in front of it in its three
# modes, and the programs of test/clients/, each of which prints "case<TAB>what came of it" for all cases.
package PgwDrivers;

use strict;
use warnings;
use Exporter 'import';
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(drivers_start drivers_stop driver_there driver_results example matrix_row @CASES @WAYS %DRIVERS);

our @CASES = qw(token card_bound card_interpolated decline_row decline_raise pw400 serialization notify refund types);
our @WAYS = qw(plain session transaction statement);

# How each is run, and what says that it is there.
my @python = ('/usr/bin/python3', '-B');
our %DRIVERS = (
	'psycopg 3' => { run => [ @python, 'test/clients/psycopg_cases.py' ], probe => [ @python, '-c', 'import psycopg' ] },
	'psycopg 3, `ClientCursor`' => { run => [ @python, 'test/clients/psycopg_cases.py', 'client' ], probe => [ @python, '-c', 'import psycopg' ] },
	'psycopg2' => { run => [ @python, 'test/clients/psycopg2_cases.py' ], probe => [ @python, '-c', 'import psycopg2' ] },
	'asyncpg' => { run => [ @python, 'test/clients/asyncpg_cases.py' ], probe => [ @python, '-c', 'import asyncpg' ] },
	'DBD::Pg' => { run => [ 'perl', 'test/clients/dbd_pg.pl' ], probe => [ 'perl', '-MDBD::Pg', '-e', '1' ] },
	'DBD::Pg, `pg_server_prepare => 0`' => { run => [ 'perl', 'test/clients/dbd_pg.pl', 'simple' ], probe => [ 'perl', '-MDBD::Pg', '-e', '1' ] },
	'PHP PDO' => { run => [ 'php', 'test/clients/php_pdo.php' ], probe => [ 'php', '-r', 'exit(extension_loaded("pdo_pgsql") ? 0 : 1);' ] },
	'PHP PDO, emulated' => { run => [ 'php', 'test/clients/php_pdo.php', 'emulated' ], probe => [ 'php', '-r', 'exit(extension_loaded("pdo_pgsql") ? 0 : 1);' ] },
	'node-postgres' => { run => [ 'node', 'test/clients/node_pg.js' ], probe => [ 'node', '-e', 'require("./test/clients/node_modules/pg")' ] },
	'Ruby pg' => { run => [ 'ruby', 'test/clients/ruby_pg.rb' ], probe => [ 'ruby', '-rpg', '-e', '1' ] },
);

my ($node, $bouncer_port, $folder);
my $runs = 0;

sub drivers_start
{
	$node = pgw_node('drivers', conf => "listen_addresses = '127.0.0.1'\npgw.compensation_delay = '10s'\n");
	pgw_setup($node);
	$node->safe_psql('postgres', 'CREATE TABLE stock (run text PRIMARY KEY, n int)');
	$bouncer_port = PostgreSQL::Test::Cluster::get_free_port();
	$folder = PostgreSQL::Test::Utils::tempdir();
	my ($server, $user) = ($node->port, getpwuid $>);
	append_to_file("$folder/pgbouncer.ini", join "\n", '[databases]',
		(map { "$_ = host=127.0.0.1 port=$server dbname=postgres user=$user pool_mode=$_ pool_size=8" } @WAYS[ 1 .. 3 ]),
		'[pgbouncer]', "listen_addr = 127.0.0.1\nlisten_port = $bouncer_port\nunix_socket_dir =\nauth_type = any\npidfile = $folder/pid\nlogfile = $folder/log",
		'ignore_startup_parameters = extra_float_digits,options', '');
	system_or_bail('/usr/sbin/pgbouncer', '-d', '-q', "$folder/pgbouncer.ini");
	return $node;
}

sub drivers_stop
{
	kill 'INT', slurp_file("$folder/pid") + 0 if $folder && -s "$folder/pid";
	$node->stop if $node;
}

sub driver_there { my ($name) = @_; return run_log($DRIVERS{$name}{probe}, '>', \my $out, '2>', \my $err) }

# { case => result }, and what the program said beside that.
sub driver_results
{
	my ($name, $way) = @_;
	my $run = 'r' . ++$runs;
	$node->safe_psql('postgres', "INSERT INTO stock VALUES ('$run', 100)");
	local @ENV{qw(RUN PGHOST PGPORT PGDATABASE PGUSER)} =
	  ($run, '127.0.0.1', $way eq 'plain' ? ($node->port, 'postgres') : ($bouncer_port, $way), scalar getpwuid $>);
	IPC::Run::run($DRIVERS{$name}{run}, '>', \my $out, '2>', \my $err, IPC::Run::timeout(120));
	return ({ map { /^(\w+)\t(.*)$/ ? ($1, $2) : () } split /\n/, $out }, $err);
}

# What a program of docs/examples/ prints, and what it complains of.
sub example
{
	my (@command) = @_;
	local @ENV{qw(PGHOST PGPORT PGDATABASE PGUSER NODE_PATH)} = ('127.0.0.1', $node->port, 'postgres', scalar getpwuid($>), 'test/clients/node_modules');
	IPC::Run::run(\@command, '>', \my $out, '2>', \my $err, IPC::Run::timeout(120));
	return $out . $err;
}

sub matrix_row { my ($name, $ways, $results) = @_; return '| ' . join(' | ', $name, $ways, map { $results->{$_} // '' } @CASES) . " |\n" }

1;
