# A bank's configuration changes while payments are under way: what was asked at one ledger is finished there, and what comes later goes to the new one.
use strict;
use warnings;
use lib 'test/lib';
use PgwLedgers;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $ledgers = PgwLedgers->new('versions');
my ($node, $old, $new) = @$ledgers{qw(node old new)};
secret_file($node, 'wrong', 'not-the-key');

part($node, 'address', sub {
	$ledgers->add_bank('moved');
	$ledgers->changed_meanwhile('address', "UPDATE pgw.banks SET base_url = '$new->{url}' WHERE name = 'moved'", bank => 'moved');
	is($ledgers->paid('address 2', bank => 'moved'), 'captured', 'the next payment');
	is($ledgers->charge_counts('address 2'), '0 1', 'goes to the new address');
	isnt($ledgers->version_of('address'), $ledgers->version_of('address 2'), 'their versions differ');
	is($ledgers->sql("SELECT string_agg(DISTINCT e.bank_version::text, ',') FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE t.client_request_id = 'address 2' AND e.event_type = 'BankProcessingStarted'"), $ledgers->version_of('address 2'), 'which the event names');
	is($ledgers->operation('refund', 'address r', 'address'), 'Created', 'a refund asked for after the move');
	ok($ledgers->completes('address r'), 'is done');
	is(scalar refunds_of($old, charges_of($node, $old, 'address')), 1, 'where the charge lies');
	is($ledgers->version_of('address r'), $ledgers->version_of('address'), 'under its version');
});

part($node, 'delete', sub {
	$ledgers->add_bank('gone');
	$ledgers->changed_meanwhile('delete', "DELETE FROM pgw.banks WHERE name = 'gone'", bank => 'gone');
	is($ledgers->operation('refund', 'delete r', 'delete'), 'Created', 'a refund at a bank that is no more in pgw.banks');
	ok($ledgers->completes('delete r'), 'is done');
	is(scalar refunds_of($old, charges_of($node, $old, 'delete')), 1, 'where the charge lies');
	is($ledgers->sql('SELECT c FROM pgw.check_consistency() c'), '', 'and nothing is missing');
});

part($node, 'rename', sub {
	$ledgers->add_bank('maiden');
	$ledgers->changed_meanwhile('rename', "UPDATE pgw.banks SET name = 'married', base_url = '$new->{url}' WHERE name = 'maiden'", bank => 'maiden');
	is($ledgers->sql('SELECT c FROM pgw.check_consistency() c'), '', 'under its old name, and nothing is missing');
});

part($node, 'document', sub {
	$ledgers->sql("INSERT INTO pgw.connectors (name, definition) SELECT 'own', definition::jsonb || '{\"name\": \"own\"}' FROM pgw.connectors WHERE name = 'json'");
	$ledgers->add_bank('dialect', connector => 'own');
	$ledgers->changed_meanwhile('document', "UPDATE pgw.connectors SET definition = jsonb_set(jsonb_set(definition::jsonb, '{operations,lookup_charge,path}', '\"/nowhere?r={{original_ref}}\"'),
		'{operations,charge,path}', '\"/nowhere\"') WHERE name = 'own'", bank => 'dialect');
});

part($node, 'connector', sub {
	my $form = slurp_file('test/connectors/formbank.json');
	$ledgers->sql("INSERT INTO pgw.connectors (name, definition) VALUES ('form', \$json\$$form\$json\$)");
	$ledgers->add_bank('translated');
	$ledgers->changed_meanwhile('connector', "UPDATE pgw.banks SET connector = 'form' WHERE name = 'translated'", bank => 'translated');
});

part($node, 'secret', sub {
	$ledgers->add_bank('rekeyed');
	$ledgers->changed_meanwhile('secret', "UPDATE pgw.banks SET secret = 'wrong' WHERE name = 'rekeyed'", bank => 'rekeyed');
});

# The caller rolls back after the move: given back where it was charged, also by a worker that was not there at the time.
part($node, 'give-back', sub {
	$ledgers->add_bank('left');
	my $s = PgwSession->new($node);
	is($s->query('BEGIN; ' . $ledgers->pay('back', bank => 'left')), 'captured', 'charged at the old ledger');
	$ledgers->sql("UPDATE pgw.banks SET base_url = '$new->{url}' WHERE name = 'left'");
	is($ledgers->paid('back 2', bank => 'left'), 'captured', 'the new one is in use');
	$ledgers->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
	$s->query('ROLLBACK');
	ok(wait_until(sub { status_of($node, 'back') eq 'Refunded' }, 30), 'rolled back: given back');
	is($ledgers->charge_counts('back'), '1 0', 'one charge');
	is(scalar kept_charges($node, $old, 'back'), 0, 'which the old ledger gave back');
});

# Captured where it was authorized.
part($node, 'capture', sub {
	$ledgers->add_bank('held');
	is($ledgers->paid('held', bank => 'held', capture => 'manual'), 'authorized', 'authorized at the old ledger');
	$ledgers->sql("DELETE FROM pgw.banks WHERE name = 'held'");
	$ledgers->add_bank('held', base_url => $new->{url});
	is($ledgers->operation('capture', 'held c', 'held'), 'Created', 'a capture');
	ok($ledgers->completes('held c'), 'is done');
	is((charges_of($node, $old, 'held'))[0]{captured}, 1234, 'at the old ledger');
});

# Moved there and back: the same version again, not a third one.
part($node, 'there and back', sub {
	$ledgers->add_bank('shuttle');
	is($ledgers->paid('shuttle 1', bank => 'shuttle'), 'captured', 'here');
	$ledgers->sql("UPDATE pgw.banks SET base_url = '$new->{url}', priority = 501 WHERE name = 'shuttle'");
	is($ledgers->paid('shuttle 2', bank => 'shuttle'), 'captured', 'there');
	$ledgers->sql("UPDATE pgw.banks SET base_url = '$old->{url}', max_in_flight = 7, request_timeout = '2s' WHERE name = 'shuttle'");
	is($ledgers->paid('shuttle 3', bank => 'shuttle'), 'captured', 'and back');
	is($ledgers->version_of('shuttle 3'), $ledgers->version_of('shuttle 1'), 'is the version that it was: what only steers the pace of calls is no part of it');
	isnt($ledgers->version_of('shuttle 2'), $ledgers->version_of('shuttle 1'), 'there was another one');
});

# A bank that takes no new attempts goes on with those that it has.
part($node, 'disabled', sub {
	$ledgers->add_bank('resting');
	$ledgers->changed_meanwhile('disabled', "UPDATE pgw.banks SET enabled = false WHERE name = 'resting'", bank => 'resting');
	my ($rc, undef, $err) = $node->psql('postgres', $ledgers->pay('disabled 2', bank => 'resting'));
	like($err, qr/bank is disabled/, 'and takes no new one');
});

$node->stop('fast');
done_testing();
