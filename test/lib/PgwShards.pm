# PgwShards - databases that share payments out by slots: a server's pgw.shard_name, its slots, calls that went to the wrong one, and a router.
package PgwShards;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run;
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(name_shard shard_node claim_slots calls_of_clients is_misrouted written_and_asked plproxy_is_there router_node sql_file);

# From its next start on the server has this name, from a file outside of its data directory, and no name of a shard that it is a copy of; undef: none.
sub name_shard
{
	my ($node, $name) = @_;
	my $file = $node->basedir . '/shard.conf';
	if (!$node->{has_shard_file}++)
	{
		my $of_data = $node->data_dir . '/postgresql.conf';
		my $conf = slurp_file($of_data) =~ s/^include_if_exists = .*shard\.conf'\n//mr;
		unlink $of_data;
		append_to_file($of_data, "${conf}include_if_exists = '$file'\n");
	}
	unlink $file;
	append_to_file($file, "pgw.shard_name = '$name'\n") if defined $name;
}

# A running server with this name and this bank.
sub shard_node
{
	my ($name, $bank, %o) = @_;
	my $node = pgw_node($name, %o, start => 0);
	name_shard($node, $name);
	$node->start;
	pgw_setup($node, $bank);
	return $node;
}

sub claim_slots { my ($node, $slots, @more) = @_; return $node->safe_psql('postgres', 'SELECT pgw.claim_slots(' . join(', ', "'$slots'", @more) . ')') }

# Every function that a role of the level client may call, with a call of it for a request id and a payment; undef: it is about no payment.
sub calls_of_clients
{
	my ($node, $id, $payment) = @_;
	my %calls = (
		process_payment => 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id),
		process_payments => qq{SELECT status FROM pgw.process_payments('[{"client_request_id": "$id", "amount": 5, "currency": "EUR", "token": "tok_ok"}]')},
		submit_payment => 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id),
		capture_payment => "SELECT status FROM pgw.capture_payment('$payment', 's0.capture')",
		void_payment => "SELECT status FROM pgw.void_payment('$payment', 's0.void')",
		refund_payment => "SELECT status FROM pgw.refund_payment('$payment', 's0.refund')",
		get_payment => "SELECT status FROM pgw.get_payment('$payment')",
		find_payment => "SELECT status FROM pgw.find_payment('$id')",
		wait_for_payment => "SELECT status FROM pgw.wait_for_payment('$payment', '1ms')",
		payment_history => "SELECT event_type FROM pgw.payment_history('$payment')",
		map { $_ => undef } qw(receive_notification slot_of slot_of_id new_request_id version health_summary));
	my @functions = split /\n/, $node->safe_psql('postgres', q{SELECT DISTINCT substring(object FROM '^FUNCTION pgw\.(\w+)') FROM pgw.access_grid()
		WHERE level = 'client' AND object LIKE 'FUNCTION %' ORDER BY 1});
	is(join(' ', sort keys %calls), "@functions", 'each function of clients is known here: one that is about a payment must ask whether its slot is at home');
	delete $calls{$_} for grep { !defined $calls{$_} } keys %calls;
	return %calls;
}

# All that a call could leave behind: rows of pgw's tables, and requests at the bank.
sub written_and_asked
{
	my ($node, $bank) = @_;
	my $rows = $node->safe_psql('postgres', q{SELECT string_agg(c.relname || ' ' || (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM ' || c.oid::regclass, false, true, '')))[1], ', '
		ORDER BY c.relname) FROM pg_class c WHERE c.relnamespace = 'pgw'::regnamespace AND c.relkind IN ('r', 'p')});
	return "$rows; asked " . bank_ledger($bank)->{requests};
}

# PW421 with the slot, the shard that has it where that is known, and what to do.
sub is_misrouted
{
	my ($node, $sql, $slot, $shard, $name) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	my $known = defined $shard ? qq{"$shard"} : 'null';
	return like("$rc $out $err", qr/^3  .*ERROR:  PW421: .*DETAIL: .*"code": "wrong_shard".*"slot": $slot, "shard": $known.*HINT:  \S/s, $name);
}

# A program of Debian's that not every server has a package for.
sub plproxy_is_there { return -e `$ENV{PGW_PG_CONFIG} --sharedir` =~ s/\n//r . '/extension/plproxy.control' }

# A router of docs/sharding/ to these shards, [ node, slots ] by name; each has the shop's functions of docs/sharding/ from then on, and dsn says how it is reached.
sub router_node
{
	my ($name, %shards) = @_;
	my $router = PostgreSQL::Test::Cluster->new($name);
	$router->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
	$router->append_conf('postgresql.conf', "log_parameter_max_length = 0\nmax_connections = 100\nfsync = off\n");
	$router->start;
	sql_file($router, 'docs/sharding/router.sql');
	my $wrappers;
	for my $shard (sort keys %shards)
	{
		my ($node, $slots) = @{ $shards{$shard} };
		sql_file($node, 'docs/sharding/shard.sql');
		$wrappers //= sql_file($node, 'docs/sharding/wrappers.sql', functions => join ' ', 'shop.pay:request_id', 'pgw.process_payment:client_request_id', 'pgw.find_payment:client_request_id',
			map { "pgw.$_:payment_id" } qw(get_payment wait_for_payment payment_history capture_payment void_payment refund_payment));
		$router->safe_psql('postgres', "INSERT INTO routing.shards VALUES ('$shard', '" . $node->connstr('postgres') =~ s/'/''/gr . " user=router');
			INSERT INTO routing.slots SELECT s, '$shard' FROM unnest('$slots'::int4multirange) r, generate_series(lower(r), upper(r) - 1) s");
	}
	$router->safe_psql('postgres', $wrappers);
	return $router;
}

# What psql prints for a file, with these variables.
sub sql_file
{
	my ($node, $file, %variable) = @_;
	my ($out, $err);
	IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', (map { ('-v', "$_=$variable{$_}") } sort keys %variable), '-d', $node->connstr('postgres'), '-f', $file ], '>', \$out, '2>', \$err)
	  or die "$file: $err";
	return $out;
}

1;
