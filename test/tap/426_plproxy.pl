# The kit of docs/sharding/: calls go by PL/Proxy to the shard that has their slot, card numbers stay parameters all the way and are found nowhere, what is sent to
# the wrong shard is refused, and the router finds the standby that was promoted.
use strict;
use warnings;
use lib 'test/lib';
use PgwBound;
use PgwBytes;
use PgwShards;
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'there is no PL/Proxy for this server: make test installs it' unless plproxy_is_there();
my $bank = bank_start();
my $a = shard_node('a', $bank, conf => "listen_addresses = '127.0.0.1'\nfsync = off\n");
my $b = shard_node('b', $bank, init => { allows_streaming => 1 }, conf => "fsync = off\n");
claim_slots($a, '{[0,511]}');
claim_slots($b, '{[512,1022]}');
my $router = router_node('router', a => [ $a, '{[0,511]}' ], b => [ $b, '{[512,1022]}' ]);
my $asked = sub { return bank_ledger($bank)->{requests} };
my $pay = sub { my ($id, $token) = @_; return $router->safe_psql('postgres', "SELECT status, error_code, replayed FROM shop.pay('$id', 'a book', 4990, 'EUR', '" . ($token // 'tok_ok') . "')") };
my $refused = sub {
	my ($sql, $why, $name) = @_;
	my ($rc, $out, $err) = $router->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	like($err, $why, $name);
};
my $at = sub { my ($node, $id) = @_; return $node->safe_psql('postgres', "SELECT count(*) FROM shop.orders JOIN pgw.payments p USING (payment_id) WHERE request_id = '$id' AND p.client_request_id = '$id'") };

part($a, 'slots', sub {
	my $ids = q{SELECT i FROM generate_series(1, 3000) n, LATERAL (VALUES ('order-' || n), ('s' || n || '.x'), ('s0' || n || '.'), ('é' || n), ('S' || n || '.x'), (E's' || n || E'.\n')) v (i)};
	my ($of_router, $of_shard) = map { my ($node, $schema) = @$_; $node->safe_psql('postgres', "SELECT md5(string_agg($schema.slot_of(i)::text, ',' ORDER BY i COLLATE \"C\")), count(DISTINCT $schema.slot_of(i)) FROM ($ids) x") }
	  [ $router, 'routing' ], [ $a, 'pgw' ];
	is($of_router, $of_shard, 'the router computes slots of requests as pgw does');
	like($of_router, qr/\|1024$/, '... all of them');
	my $payments = $a->safe_psql('postgres', "SELECT string_agg(format('(%L::uuid, %s)', gen, pgw.slot_of_id(gen)), ', ') FROM (SELECT gen_random_uuid() AS gen FROM generate_series(1, 2000)) x");
	is($router->safe_psql('postgres', "SELECT count(*) FROM (VALUES $payments) v (id, slot) WHERE routing.slot_of(id) <> slot"), 0, 'and those of payments');
});

part($a, 'calls', sub {
	is($pay->('s17.first'), 'captured||f', 'an order at one shard');
	is($pay->('s600.second'), 'captured||f', '... and one at the other');
	is(join(' ', map { my $id = $_; map { $at->($_, $id) } $a, $b } 's17.first', 's600.second'), '1 0 0 1', 'each has its own rows, with the payment');
	is($pay->('s17.first'), 'captured||t', 'the same id again: the same payment');
	is($pay->('s600.poor', 'tok_decline_insufficient_funds'), 'declined|insufficient_funds|f', 'a decline');
	is($at->($b, 's600.poor'), 0, '... leaves no order');
	my $payment = $router->safe_psql('postgres', "SELECT payment_id FROM pgw.find_payment('s600.second')");
	is($router->safe_psql('postgres', "SELECT status FROM pgw.refund_payment('$payment', 'any id', 990); SELECT status, refunded_amount FROM pgw.wait_for_payment('$payment')"), "captured\npartially_refunded|990",
		'a refund is routed by the payment alone');
	like($router->safe_psql('postgres', "SELECT string_agg(event_type, ',' ORDER BY occurred_at) FROM pgw.payment_history('$payment')"), qr/^TransactionStarted,.*RefundRequested|^TransactionStarted,.*TransactionCompleted/, 'and so is its history');
	$refused->("SELECT shop.pay('s17.first', 'a book', 1, 'EUR', 'tok_ok')", qr/PW422: .*REMOTE ERROR/s, 'errors of pgw come through with their codes');
	my ($rc) = $router->psql('postgres', "BEGIN; SELECT shop.pay('s18.kept', 'a book', 100, 'EUR', 'tok_ok'); ROLLBACK");
	is($at->($a, 's18.kept'), 1, 'a call is a transaction of the shard: a rollback at the router undoes nothing');
});

part($a, 'misrouted', sub {
	my $before = $asked->();
	$router->safe_psql('postgres', "UPDATE routing.slots SET shard = 'b' WHERE slot BETWEEN 20 AND 29");
	$refused->("SELECT shop.pay('s$_.lost', 'a book', 100, 'EUR', 'tok_ok')", qr/PW421: .*Remote detail: \{.*"slot": $_,.*Remote hint: \S/s, "slot $_, by a wrong map: refused by the shard") for 20, 29;
	$refused->("SELECT shop.pay('s1023.nowhere', 'a book', 100, 'EUR', 'tok_ok')", qr/PW421: .*names no shard for slot 1023/s, 'a slot that the map does not know');
	$refused->("SELECT pgw.get_payment(NULL)", qr/PW421: .*slot NULL/s, 'and none at all');
	is($asked->(), $before, 'the bank was asked nothing');
	is($b->safe_psql('postgres', "SELECT count(*) FROM pgw.payments WHERE client_request_id LIKE '%.lost'"), 0, 'and nothing was written');
	$router->safe_psql('postgres', "UPDATE routing.slots SET shard = 'a' WHERE slot BETWEEN 20 AND 29");
	is($pay->('s20.lost'), 'captured||f', 'the map is mended: the same session is served');
	$router->safe_psql('postgres', 'CREATE ROLE customer LOGIN');
	$refused->("SET ROLE customer; $_", qr/42501/, "who was given nothing: $_") for "SELECT shop.pay('s17.first', 'a book', 4990, 'EUR', 'tok_ok')", "SELECT routing.dsn_of('x')", 'SELECT * FROM routing.shards';
	# a caller's own function in the place of one of the server's
	$router->safe_psql('postgres', q(CREATE SCHEMA customer AUTHORIZATION customer; GRANT USAGE ON SCHEMA customer TO PUBLIC; GRANT USAGE ON SCHEMA shop TO customer;
		SELECT format('GRANT EXECUTE ON FUNCTION %s TO customer', oid::regprocedure) FROM pg_proc WHERE pronamespace = 'shop'::regnamespace \gexec
		SET ROLE customer; CREATE FUNCTION customer.sha256(bytea) RETURNS bytea LANGUAGE plpgsql AS $$BEGIN RAISE 'planted, as %', current_user; END$$));
	is($router->safe_psql('postgres', "SET ROLE customer; SET search_path = customer, pg_catalog; SELECT status FROM shop.pay('of a customer', 'a book', 4990, 'EUR', 'tok_ok')"), 'captured', 'a planted function is not run by the router');
});

# The parameters of the protocol that a router gets stay parameters on the way to the shard, also through a pgbouncer.
part($a, 'cards', sub {
	my ($port, $folder, $user) = (PostgreSQL::Test::Cluster::get_free_port(), $router->basedir, 'router');
	my $bouncer = -x '/usr/sbin/pgbouncer';
	if ($bouncer)
	{
		my %own = (shop => "host=127.0.0.1 port=@{[ $a->port ]} dbname=postgres user=$user", listen_port => $port, auth_type => 'any', auth_file => '');
		my $ini = slurp_file('docs/sharding/pgbouncer.ini');
		$ini =~ s/^\Q$_\E = .*/$_ = $own{$_}/m or die "$_ is not in pgbouncer.ini" for sort keys %own;
		append_to_file("$folder/pgbouncer.ini", "${ini}unix_socket_dir =\npidfile = $folder/bouncer.pid\nlogfile = $folder/bouncer.log\n");
		system_or_bail('/usr/sbin/pgbouncer', '-d', '-q', "$folder/pgbouncer.ini");
	}
	my $direct = $router->safe_psql('postgres', "SELECT dsn FROM routing.shards WHERE shard = 'a'");
	my ($cvv, $year) = ('739', (localtime)[5] + 1902);
	my $call = "SELECT shop.pay(:id::text, :item::text, 4200, 'EUR', card_number => (:card::numeric)::text, card_expiry_month => :month::int, card_expiry_year => $year, card_cvv => (:cvv::int)::text);";
	my %marker = map { $_ => "marker$_" . 'Zq' x 4 } qw(direct pooled);
	for my $way ('direct', $bouncer ? 'pooled' : ())
	{
		$router->safe_psql('postgres', "UPDATE routing.shards SET dsn = \$\$" . ($way eq 'direct' ? $direct : "host=127.0.0.1 port=$port dbname=shop user=$user") . "\$\$ WHERE shard = 'a'");
		for my $slot (30, 700)
		{
			my %value = (id => "s$slot.$way", item => $marker{$way}, card => $CARD, cvv => $cvv, month => 12);
			is(run_bound($router, $call, \%value), '', "$way: a card at slot $slot");
			like(run_bound($router, $call, { %value, id => "s$slot.$way-bad", month => 13 }), qr/REMOTE ERROR/, "$way: ... one that is refused");
			like(run_bound($router, $call, { %value, id => "s$slot.$way-declined", card => join('', '4000', '0000', '0000', '0002') }), qr/^$/, "$way: ... and one that is declined");
		}
		is($a->safe_psql('postgres', "SELECT status, card_last4 FROM pgw.payments WHERE client_request_id = 's30.$way'"), 'captured|4242', "$way: it is paid with it");
	}
	$router->safe_psql('postgres', "UPDATE routing.shards SET dsn = \$\$$direct\$\$ WHERE shard = 'a'");
	$_->safe_psql('postgres', 'CHECKPOINT') for $a, $b, $router;
	my $search = PgwBytes->new(number => $CARD, declined => join('', '4000', '0000', '0000', '0002'), marker => $marker{direct}, ($bouncer ? (pooled => $marker{pooled}) : ()));
	my %found = $search->found_in(map { ($_->basedir, $_->logfile) } $a, $b, $router);
	is(join(', ', map { @{ $found{$_} // [] } } 'number', 'declined'), '', sprintf 'no card number in %.0f MB of data, WAL and logs of router, shards and pgbouncer', $search->{bytes} / 1e6);
	ok($found{marker} && (!$bouncer || $found{pooled}), '... where the names of the items are found');
	if ($bouncer) { kill 'INT', slurp_file("$folder/bouncer.pid") + 0 }
});

part($a, 'failover', sub {
	$b->backup('standby');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($b, 'standby', has_streaming => 1);
	$standby->start;
	my ($host, $port) = map { my $what = $_; join ',', map { $_->$what } $b, $standby } 'host', 'port';
	$router->safe_psql('postgres', "UPDATE routing.shards SET dsn = 'host=$host port=$port target_session_attrs=read-write dbname=postgres user=router' WHERE shard = 'b'");
	is($pay->('s601.before'), 'captured||f', 'a pair of servers: the one that takes writes is found');
	ok($b->poll_query_until('postgres', 'SELECT pg_current_wal_flush_lsn() <= replay_lsn FROM pg_stat_replication'), 'the standby has all of it');
	$b->stop('immediate');
	$refused->("SELECT shop.pay('s601.between', 'a book', 100, 'EUR', 'tok_ok')", qr/ERROR/, 'while there is none, calls fail');
	$standby->promote;
	ok(wait_worker($standby), 'the standby is promoted');
	is($pay->('s601.before'), 'captured||t', '... and is found: the same id is the same payment');
	is($pay->('s601.between'), 'captured||f', '... and new ones are paid');
	is($at->($standby, 's601.between'), 1, '... there');
	my %charged;
	$charged{ $_->{reference} }++ for grep { $_->{status} eq 'approved' } @{ bank_ledger($bank)->{charges} };
	is((grep { $_ > 1 } values %charged), 0, 'no reference was charged twice');
	is($_->safe_psql('postgres', 'SELECT c FROM pgw.check_consistency() c'), '', 'the records of ' . $_->name . ' are sound') for $a, $standby;
});

done_testing();
