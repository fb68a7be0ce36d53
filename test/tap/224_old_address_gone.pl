# The same books at another address: operators say so, two of them where four eyes are asked for, and what was under way at the old one is found out at the new
# one. An old address that is down keeps nothing from the new one.
use strict;
use warnings;
use lib 'test/lib';
use PgwLedgers;
use PgwSession;
use PgwTest;
use Test::More;

my $ledgers = PgwLedgers->new('rebind');
my ($node, $old, $new) = @$ledgers{qw(node old new)};

# What health() says of the versions.
sub health
{
	my ($what) = @_;
	return $ledgers->sql("SELECT $what FROM pgw.health() WHERE check_name = 'bank_versions'");
}

# An operator says that two versions are the same books: how many attempts go by the other one now, or "proposed", or the error.
sub rebind
{
	my ($role, $from, $to, $note) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "SET SESSION AUTHORIZATION $role; SELECT coalesce(pgw.rebind_attempts($from, $to, '$note')::text, 'proposed')");
	return $rc ? $err : $out;
}

part($node, 'rebind', sub {
	$ledgers->sql("CREATE ROLE anna; CREATE ROLE otto; CREATE ROLE client; SELECT pgw.grant_access('anna', 'operator'), pgw.grant_access('otto', 'operator'), pgw.grant_access('client', 'client')");
	my $address = $ledgers->second_address();
	$ledgers->add_bank('books', base_url => "http://127.0.0.1:$address->{port}", request_timeout => '60s');
	is($ledgers->paid('books 1', bank => 'books'), 'captured', 'paid at the address that is');
	is($ledgers->paid('books 2', bank => 'books', token => 'tok_timeout_after', timeout => '1s'), 'pending', 'and one whose answer is not there yet');
	my $from = $ledgers->version_of('books 1');
	kill 'KILL', $address->{pid};
	waitpid $address->{pid}, 0;
	like(rebind('anna', $from, $from + 1, 'moved'), qr/change its row in pgw\.banks first|There is no version/, 'what takes new attempts is not rebound');
	$ledgers->sql("UPDATE pgw.banks SET base_url = '$old->{url}' WHERE name = 'books'");
	ok($node->poll_query_until('postgres', "SELECT max(version) > $from FROM pgw.bank_versions WHERE bank = 'books'"), 'the new address has its version before anybody pays there');
	my $to = $ledgers->sql("SELECT max(version) FROM pgw.bank_versions WHERE bank = 'books'");
	is(health("details #>> '{versions,0,bank}' || ' ' || (details #>> '{versions,0,open}')"), 'books 1', 'health() counts what is open under the old one');
	is(status_of($node, 'books 2'), 'BankUnknown', 'which cannot be found out there');
	like(rebind('client', $from, $to, 'moved'), qr/permission denied/, 'not for clients');
	like(rebind('anna', $from, $to, ' '), qr/PW400|is not valid|note/, 'not without a reason');
	like(rebind('anna', $from, $from, 'moved'), qr/are the same/, 'not to itself');
	$ledgers->paid('books elsewhere', bank => 'bank');
	like(rebind('anna', $from, $ledgers->version_of('books elsewhere'), 'moved'), qr/not of one bank/, "not to another bank's");
	$ledgers->sql("UPDATE pgw.banks SET account = 'theirs' WHERE name = 'books'");
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgw.bank_versions WHERE bank = 'books' AND account = 'theirs'"), "another account's version");
	like(rebind('anna', $from, $ledgers->sql("SELECT version FROM pgw.bank_versions WHERE account = 'theirs'"), 'moved'), qr/different accounts/, 'is not the same ledger');
	$ledgers->sql("INSERT INTO pgw.connectors (name, definition) SELECT 'short', definition::jsonb || '{\"v\": 2, \"references\": {\"length\": 24, \"alphabet\": \"0123456789abcdefghijklmnopqrstuvwxyz\"}}' FROM pgw.connectors WHERE name = 'json';
		UPDATE pgw.banks SET account = NULL, connector = 'short' WHERE name = 'books'");
	ok($node->poll_query_until('postgres', "SELECT max(version) > $to + 1 FROM pgw.bank_versions WHERE bank = 'books'"), 'a version that writes our references otherwise');
	like(rebind('anna', $from, $ledgers->sql("SELECT max(version) FROM pgw.bank_versions WHERE bank = 'books'"), 'moved'), qr/different texts of our references/, 'would not find them');
	# as another library may leave it, which takes less
	my $unusable = $ledgers->sql("INSERT INTO pgw.bank_versions SELECT (v).* FROM (SELECT jsonb_populate_record(v, jsonb_build_object('version', v.version + 1000, 'digest', 'unusable', 'definition', '{}'::jsonb)) AS v
		FROM pgw.bank_versions v WHERE v.version = $from) x RETURNING version");
	like(rebind('anna', $unusable, $from, 'moved'), qr/connector of version $unusable cannot be used/, 'one whose connector cannot be used is compared with nothing');
	like(rebind('anna', $from, $unusable, 'moved'), qr/connector of version $unusable cannot be used/, 'and nothing goes by it');
	$ledgers->sql("UPDATE pgw.banks SET connector = 'json' WHERE name = 'books'");
	like(rebind('anna', 9999, $to, 'moved'), qr/There is no version 9999/, 'not from nowhere');
	change_settings($node, 'pgw.require_four_eyes' => 'on');
	is(rebind('anna', $from, $to, 'moved'), 'proposed', 'with four eyes a first operator proposes');
	is(rebind('anna', $from, $to, 'moved'), 'proposed', 'and cannot confirm that');
	is(status_of($node, 'books 2'), 'BankUnknown', 'nothing has changed');
	is(rebind('otto', $from, $to, 'moved, I asked them'), 1, 'a second one confirms');
	change_settings($node, 'pgw.require_four_eyes' => undef);
	ok($ledgers->completes('books 2'), 'found out at the new address');
	is($ledgers->payment_status('books 2'), 'captured', 'and paid');
	is($ledgers->charge_counts('books 2'), '1 0', 'once');
	is($ledgers->operation('refund', 'books r', 'books 1'), 'Created', 'a refund of an earlier one');
	ok($ledgers->completes('books r'), 'is done there, too');
	is(health("details->>'versions'"), '[]', 'health() has nothing more to say');
	like(rebind('anna', $from, $to, 'again'), qr/go by version $to already/, 'not twice');
	is($ledgers->sql("SELECT string_agg(effective || ' ' || (actor->>'session_user'), ',' ORDER BY rebind) FROM pgw.bank_rebinds"), 'false anna,false anna,true otto', 'who said what is on record');

	# The old address is in use again, by whomever: what is paid there is not taken for what went away.
	$ledgers->sql("UPDATE pgw.banks SET base_url = 'http://127.0.0.1:$address->{port}' WHERE name = 'books'");
	ok($node->poll_query_until('postgres', "SELECT max(version) > $to FROM pgw.bank_versions WHERE bank = 'books'"), 'the old address again is another version');
});

# An old address that is down keeps nothing from the new one.
part($node, 'breaker', sub {
	change_settings($node, 'pgw.breaker_failures' => '4');
	my $address = $ledgers->second_address();
	$ledgers->add_bank('down', base_url => "http://127.0.0.1:$address->{port}");
	my @callers = map { PgwSession->new($node)->send($ledgers->pay("down $_", bank => 'down', token => 'tok_charge_pending_done_3600000', timeout => '5s')) } 1 .. 6;
	is(join(',', map { $_->wait } @callers), join(',', ('pending') x 6), 'the bank works on six payments');
	$ledgers->sql("UPDATE pgw.banks SET base_url = '$new->{url}' WHERE name = 'down'");
	is($ledgers->paid('down before', bank => 'down'), 'captured', 'moved');
	kill 'KILL', $address->{pid};
	waitpid $address->{pid}, 0;
	ok(wait_until(sub { $ledgers->sql("SELECT count(*) FROM pgw.bank_states WHERE bank LIKE 'down@%' AND state <> 'closed'") > 0 }, 40), 'the old address is left alone')
	  or diag($ledgers->sql("SELECT s FROM pgw.bank_states s WHERE bank LIKE 'down%'"));
	is($ledgers->sql("SELECT count(*) FROM pgw.bank_states WHERE bank = 'down' AND state <> 'closed'"), 0, 'the new one is not');
	is($ledgers->paid('down new', bank => 'down'), 'captured', 'and takes payments');
	is($ledgers->operation('refund', 'down r', 'down new'), 'Created', 'and refunds');
	ok($ledgers->completes('down r'), 'which are done');
	change_settings($node, 'pgw.breaker_failures' => undef);
});

$node->stop('fast');
done_testing();
