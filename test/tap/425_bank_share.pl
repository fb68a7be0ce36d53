# Several shards share a bank (pgw.bank_shards): each has its part of max_in_flight, and of the failures that open its breaker. Retries, and the
# rounding: test/unit/test_retry.c.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use Test::More;

my $node = pgw_node('share', conf => "fsync = off\npgw.breaker_failures = 4\npgw.breaker_cooldown = '1h'\npgw.retry_base_delay = '50ms'\npgw.retry_max_delay = '100ms'\npgw.bank_shards = 2\n");
my ($bank, $slow, $down) = map { bank_start() } 1 .. 3;
pgw_setup($node, $bank);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub under_way { return bank_ledger($slow)->{requests_by_operation}{charge} // 0 }    # none is answered

sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority, request_timeout, max_in_flight)
	VALUES ('slow', 'json', '$slow->{url}', 'bank', 200, '600s', 7), ('down', 'json', '$down->{url}', 'bank', 300, '10s', 1000)");

part($node, 'in flight', sub {
	bank_control($slow, 'settings', { delay_ms => 600_000 });
	sql('SELECT ' . join(', ', map { pay_sql('submit_payment', client_request_id => "queued $_", bank => 'slow') } 1 .. 10));
	ok(wait_until(sub { under_way() >= 3 }), 'a bank that takes seven at once has a half of them, without the fraction');

	# another bank's payments go through the same turns of the worker that would send more
	is(sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => "meanwhile $_", bank => 'bank')), 'captured', "the worker goes on, $_") for 1 .. 3;
	is(under_way(), 3, '... and no more');
	change_settings($node, 'pgw.bank_shards' => 1);
	ok(wait_until(sub { under_way() == 7 }), 'after a reload, all seven where there are no others') or diag(under_way());
	change_settings($node, 'pgw.bank_shards' => undef);
});

part($node, 'breaker', sub {
	bank_stop($down);
	my $opened = sub { return sql("SELECT count(*) FROM pgw.bank_states WHERE bank = 'down' AND operation_group = 'charges' AND state <> 'closed'") };
	my $fail = sub { return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => "down $_[0]", bank => 'down', timeout => '1s')) };
	$fail->(1);
	is($opened->(), 0, 'one payment that a bank is not there for opens nothing');
	$fail->(2);
	ok(wait_until(sub { $opened->() == 1 }), 'a half of four failures does');
	like(sql("SELECT message FROM pgw.alerts WHERE kind = 'breaker_open' AND bank = 'down'"), qr/: 2 failures in a row/, '... as the alert says');
});

is(sql("SELECT details->>'bank_shards' FROM pgw.health() WHERE check_name = 'shard'"), 2, 'health() says how many shards share the banks');
like(($node->psql('postgres', "ALTER SYSTEM SET pgw.bank_shards = $_"))[2], qr/outside the valid range/, "$_ shards there cannot be") for 0, -1, 1025;

$node->stop('fast');
done_testing();
