# PgwDrivers - the matrix driver x case of docs/clients.md: a cluster with the bank `test`, pgbouncer in front of it in its three
# modes, and the programs of test/clients/, each of which prints "case<TAB>what came of it" for all cases. And how the programs of docs/examples/ and docs/sharding/ are run.
package PgwDrivers;

use strict;
use warnings;
use Exporter 'import';
use File::Spec::Functions 'rel2abs';
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(drivers_start drivers_stop is_there driver_results examples matrix_row @CASES @WAYS %DRIVERS %EXAMPLES %HOOKS %ROUTES);

our @CASES = qw(token card_bound card_interpolated decline_row decline_raise pw400 serialization notify refund types);
our @WAYS = qw(plain session transaction statement);

# How each is run, and what says that it is there. What is compiled is built once, where it says BUILT: the folder of this run.
my @python = ('/usr/bin/python3', '-B');
my @java = ('java', '-cp', '/usr/share/java/postgresql.jar');
my $jdbc = [ 'sh', '-c', 'command -v javac && test -f /usr/share/java/postgresql.jar' ];
# Spring's is 4.3, which Debian calls 3
my $spring = join ':', map { "/usr/share/java/$_.jar" } qw(postgresql spring3-jdbc spring3-transaction spring3-beans spring3-core commons-logging);
# what go compiles is kept for the other tests of this run
our $GO_CACHE = $ENV{PGW_WORK} ? "$ENV{PGW_WORK}/go-build" : rel2abs(PostgreSQL::Test::Utils::tempdir());
my @go = ('env', 'GO111MODULE=off', 'GOPATH=/usr/share/gocode', "GOCACHE=$GO_CACHE", 'go');
my @built_java = ('java', '-cp', '/usr/share/java/postgresql.jar:BUILT', 'JdbcCases');
my $build_java = [ 'javac', '-cp', '/usr/share/java/postgresql.jar', '-d', 'BUILT', 'test/clients/JdbcCases.java' ];
my $build_pgx = [ @go, 'build', '-o', 'BUILT/pgx_cases', 'test/clients/pgx_cases.go' ];
our %DRIVERS = (
	'psycopg 3' => { run => [ @python, 'test/clients/psycopg_cases.py' ], probe => [ @python, '-c', 'import psycopg' ] },
	'psycopg 3, `ClientCursor`' => { run => [ @python, 'test/clients/psycopg_cases.py', 'client' ], probe => [ @python, '-c', 'import psycopg' ] },
	'libpq, `PQexecParams`' => { build => [qw(gcc -Wall -Wextra -Werror -I/usr/include/postgresql -o BUILT/libpq_cases test/clients/libpq_cases.c -lpq)], run => ['BUILT/libpq_cases'],
		probe => [ 'test', '-f', '/usr/include/postgresql/libpq-fe.h' ] },
	'psqlODBC' => { run => [ @python, 'test/clients/odbc_cases.py' ], probe => [ @python, '-c', 'import pyodbc; assert "PostgreSQL Unicode" in pyodbc.drivers()' ] },
	'psqlODBC, `UseServerSidePrepare=0`' => { run => [ @python, 'test/clients/odbc_cases.py', 'simple' ], probe => [ @python, '-c', 'import pyodbc; assert "PostgreSQL Unicode" in pyodbc.drivers()' ] },
	'psycopg2' => { run => [ @python, 'test/clients/psycopg2_cases.py' ], probe => [ @python, '-c', 'import psycopg2' ] },
	'asyncpg' => { run => [ @python, 'test/clients/asyncpg_cases.py' ], probe => [ @python, '-c', 'import asyncpg' ] },
	'DBD::Pg' => { run => [ 'perl', 'test/clients/dbd_pg.pl' ], probe => [ 'perl', '-MDBD::Pg', '-e', '1' ] },
	'DBD::Pg, `pg_server_prepare => 0`' => { run => [ 'perl', 'test/clients/dbd_pg.pl', 'simple' ], probe => [ 'perl', '-MDBD::Pg', '-e', '1' ] },
	'PHP PDO' => { run => [ 'php', 'test/clients/php_pdo.php' ], probe => [ 'php', '-r', 'exit(extension_loaded("pdo_pgsql") ? 0 : 1);' ] },
	'PHP PDO, emulated' => { run => [ 'php', 'test/clients/php_pdo.php', 'emulated' ], probe => [ 'php', '-r', 'exit(extension_loaded("pdo_pgsql") ? 0 : 1);' ] },
	'node-postgres' => { run => [ 'node', 'test/clients/node_pg.js' ], probe => [ 'node', '-e', 'require("./test/clients/node_modules/pg")' ] },
	'postgres.js' => { run => [ 'node', 'test/clients/postgres_js.js' ], probe => [ 'node', '-e', 'require("./test/clients/node_modules/postgres")' ] },
	'JDBC' => { build => $build_java, run => [@built_java], probe => $jdbc },
	'JDBC, `preferQueryMode=simple`' => { build => $build_java, run => [ @built_java, 'simple' ], probe => $jdbc },
	'pgx v4' => { build => $build_pgx, run => ['BUILT/pgx_cases'], probe => [ @go, 'list', 'github.com/jackc/pgx/v4' ] },
	'pgx v4, simple protocol' => { build => $build_pgx, run => [ 'BUILT/pgx_cases', 'simple' ], probe => [ @go, 'list', 'github.com/jackc/pgx/v4' ] },
	'Ruby pg' => { run => [ 'ruby', 'test/clients/ruby_pg.rb' ], probe => [ 'ruby', '-rpg', '-e', '1' ] },
);

# The programs of docs/examples/: how each is run, and what says that its packages are there.
our %EXAMPLES = (
	'psycopg_orders.py' => { run => \@python, probe => [ @python, '-c', 'import psycopg' ] },
	'sqlalchemy_orders.py' => { run => \@python, probe => [ @python, '-c', 'import sqlalchemy, psycopg2' ] },
	'django_orders.py' => { run => \@python, probe => [ @python, '-c', 'import django, psycopg2' ] },
	'asyncpg_orders.py' => { run => \@python, probe => [ @python, '-c', 'import asyncpg' ] },
	'node_orders.js' => { run => ['node'], probe => [ 'node', '-e', 'require("./test/clients/node_modules/pg")' ] },
	'postgresjs_orders.js' => { run => ['node'], probe => [ 'node', '-e', 'require("./test/clients/node_modules/postgres")' ] },
	'drizzle_orders.js' => { run => ['node'], probe => [ 'node', '-e', 'require("./test/clients/node_modules/drizzle-orm")' ] },
	'knex_orders.js' => { run => ['node'], probe => [ 'node', '-e', 'require("./test/clients/node_modules/knex")' ] },
	'JdbcOrders.java' => { run => \@java, probe => $jdbc },
	'SpringOrders.java' => { run => [ 'java', '-Dorg.apache.commons.logging.Log=org.apache.commons.logging.impl.NoOpLog', '-cp', $spring ], probe => [ 'sh', '-c', 'command -v javac && test -f /usr/share/java/spring3-jdbc.jar' ] },
	'pgx_orders.go' => { run => [ @go, 'run' ], probe => [ @go, 'list', 'github.com/jackc/pgx/v4' ] },
	'ruby_orders.rb' => { run => ['ruby'], probe => [ 'ruby', '-rpg', '-e', '1' ] },
	'activerecord_orders.rb' => { run => ['ruby'], probe => [ 'ruby', '-ractive_record', '-rpg', '-e', '1' ] },
	'php_orders.php' => { run => ['php'], probe => [ 'php', '-r', 'exit(extension_loaded("pdo_pgsql") ? 0 : 1);' ] },
	'laravel_orders.php' => { run => ['php'], probe => [ 'php', '-r', 'require "Illuminate/Database/autoload.php"; exit(extension_loaded("pdo_pgsql") ? 0 : 1);' ] },
);

# The endpoints of docs/examples/hooks/, each at a port that is added where it says PORT.
my @spring_hook = ('java', '-Dorg.apache.commons.logging.Log=org.apache.commons.logging.impl.NoOpLog',
	'-cp', join(':', $spring, map { "/usr/share/java/jackson-$_.jar" } qw(annotations core databind)));
our %HOOKS = (
	'django_hook.py' => { run => \@python, probe => [ @python, '-c', 'import django, psycopg2' ] },
	'fastapi_hook.py' => { run => \@python, probe => [ @python, '-c', 'import asyncpg, fastapi, uvicorn' ] },
	'postgresjs_hook.js' => { run => ['node'], probe => [ 'node', '-e', 'require("./test/clients/node_modules/postgres")' ] },
	'SpringHook.java' => { run => \@spring_hook, probe => [ 'sh', '-c', 'command -v javac && test -f /usr/share/java/spring3-jdbc.jar -a -f /usr/share/java/jackson-databind.jar' ] },
	# "go run" would leave its program behind when it ends
	'pgx_hook.go' => { run => [], build => [ @go, 'build', '-o' ], probe => [ @go, 'list', 'github.com/jackc/pgx/v4/pgxpool' ] },
	'rack_hook.rb' => { run => ['ruby'], probe => [ 'ruby', '-rpg', '-rrack', '-rwebrick', '-e', '1' ] },
	'laravel_hook.php' => { run => [ 'php', '-S', '127.0.0.1:PORT' ], probe => [ 'php', '-r', 'require "Illuminate/Http/autoload.php"; require "Illuminate/Database/autoload.php"; exit(extension_loaded("pdo_pgsql") ? 0 : 1);' ] },
);

# The programs of docs/sharding/ that find a payment's shard by themselves.
our %ROUTES = (
	'route_psycopg.py' => $EXAMPLES{'psycopg_orders.py'},
	'route_node_pg.js' => $EXAMPLES{'node_orders.js'},
	'route_pgx.go' => $EXAMPLES{'pgx_orders.go'},
);

my ($node, $bouncer_port, $folder);

# So many programs at once: most of their time they wait.
my $AT_ONCE = 6;

sub drivers_start
{
	$node = pgw_node('drivers', conf => "listen_addresses = '127.0.0.1'\npgw.compensation_delay = '10s'\n");
	pgw_setup($node);
	# a table for each run: serializable transactions of several would meet in one
	$node->safe_psql('postgres', 'CREATE TABLE stock (run text PRIMARY KEY, n int) PARTITION BY LIST (run)');
	$bouncer_port = PostgreSQL::Test::Cluster::get_free_port();
	$folder = PostgreSQL::Test::Utils::tempdir();
	my ($server, $user) = ($node->port, getpwuid $>);
	append_to_file("$folder/pgbouncer.ini", join "\n", '[databases]',
		(map { "$_ = host=127.0.0.1 port=$server dbname=postgres user=$user pool_mode=$_ pool_size=40" } @WAYS[ 1 .. 3 ]),
		'[pgbouncer]', "listen_addr = 127.0.0.1\nlisten_port = $bouncer_port\nunix_socket_dir =\nauth_type = any\npidfile = $folder/pid\nlogfile = $folder/log",
		'ignore_startup_parameters = extra_float_digits,options', '');
	system_or_bail('/usr/sbin/pgbouncer', '-d', '-q', "$folder/pgbouncer.ini");
	return $node;
}

sub bouncer_stop
{
	kill 'INT', slurp_file("$folder/pid") + 0 if $folder && -s "$folder/pid";
}

# Also when the test has died.
END { my $status = $?; bouncer_stop(); $? = $status }

sub drivers_stop
{
	bouncer_stop();
	$node->stop if $node;
}

# Of a driver or an example.  Where the program is missing that the probe is made with, IPC::Run dies.
sub is_there { my ($it) = @_; return eval { run_log($it->{probe}, '>', \my $out, '2>', \my $err) } }

# Commands with their environments, several at once; [ what each printed, what it complained of ] in their order.
sub run_all
{
	my @todo = @_;
	my ($n, @running, @done) = (0);
	my $one_ends = sub {
		my ($run, $file) = @{ shift @running };
		$run->finish;
		push @done, [ map { slurp_file("$file.$_") } 'out', 'err' ];
	};
	for my $it (@todo)
	{
		$one_ends->() if @running == $AT_ONCE;
		my $file = "$folder/run" . ++$n;
		local %ENV = (%ENV, %{ $it->{env} });
		push @running, [ IPC::Run::start([ 'timeout', 300, @{ $it->{command} } ], '<', '/dev/null', '>', "$file.out", '2>', "$file.err"), $file ];
	}
	$one_ends->() while @running;
	return @done;
}

sub built { my ($words) = @_; return map { s/BUILT/$folder/r } @$words }

# For each [ name, way ]: { case => result }, and what the program said beside that.
sub driver_results
{
	my @wanted = @_;
	my ($n, %built, @todo) = (0);
	for (@wanted)
	{
		my ($name, $way) = @$_;
		my $run = 'r' . ++$n;
		my @build = built($DRIVERS{$name}{build} // []);
		system_or_bail(@build) if @build && !$built{"@build"}++;
		$node->safe_psql('postgres', "CREATE TABLE stock_$run PARTITION OF stock FOR VALUES IN ('$run'); INSERT INTO stock VALUES ('$run', 100)");
		push @todo, { command => [ built($DRIVERS{$name}{run}) ], env => {
				RUN => $run, PGHOST => '127.0.0.1', PGUSER => scalar getpwuid $>,
				($way eq 'plain' ? (PGPORT => $node->port, PGDATABASE => 'postgres') : (PGPORT => $bouncer_port, PGDATABASE => $way)),
				# how many seconds a listener waits: where it hears nothing the test waits for nothing
				LISTEN_SECONDS => $way =~ /plain|session/ ? 60 : 3 } };
	}
	return map { my ($out, $err) = @$_; [ { map { /^(\w+)\t(.*)$/ ? ($1, $2) : () } split /\n/, $out }, $err ] } run_all(@todo);
}

# For each program of docs/examples/: what it prints, and what it complains of; then how often its first order was tried, for how many charges. The
# first try fails with 40001 after the charge: a sequence remembers it beyond the rollback. Each has a role and a schema of its own.
sub examples
{
	my @names = @_;
	my $n = 0;
	my @todo = map {
		my $name = $_;
		my $role = 'example_' . ++$n;
		$node->safe_psql('postgres', qq{CREATE ROLE $role SUPERUSER LOGIN; CREATE SCHEMA $role; ALTER ROLE $role SET search_path = $role;
			SET search_path = $role;
			CREATE SEQUENCE tries;
			CREATE TABLE orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id));
			CREATE FUNCTION try_again() RETURNS trigger LANGUAGE plpgsql AS
				\$\$ BEGIN IF nextval('tries') = 1 THEN RAISE serialization_failure; END IF; RETURN NEW; END \$\$;
			CREATE TRIGGER try_again BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION try_again()});
		{ command => [ @{ $EXAMPLES{$name}{run} }, "docs/examples/$name" ], role => $role,
			env => { PGHOST => '127.0.0.1', PGPORT => $node->port, PGDATABASE => 'postgres', PGUSER => $role, NODE_PATH => 'test/clients/node_modules' } }
	} @names;
	my @said = run_all(@todo);
	return map {
		my $role = $_->{role};
		my $tries = $node->safe_psql('postgres', qq{SELECT last_value || ' tries, ' || count(*) || ' charge' FROM $role.tries, $role.orders o
			JOIN pgw.payments p USING (payment_id) JOIN pgw.payment_transactions t USING (client_request_id) WHERE t.kind = 'payment' GROUP BY last_value});
		[ join('', @{ shift @said }), $tries ]
	} @todo;
}

sub matrix_row { my ($name, $ways, $results) = @_; return '| ' . join(' | ', $name, $ways, map { $results->{$_} // '' } @CASES) . " |\n" }

1;
