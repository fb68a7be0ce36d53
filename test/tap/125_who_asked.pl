# What an attempt's first event says of the request and of who made it: roles, address, application, and whom the application acts for. It is evidence, and
# comes out right behind SET ROLE, SECURITY DEFINER, pools, sockets, and names that nobody has checked.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwReviews;
use PgwSession;
use PgwTest;
use Test::More;

my $node = pgw_node('who_asked', conf => "listen_addresses = '127.0.0.1'\nfsync = off\npgw.retry_base_delay = '20ms'\npgw.compensation_delay = '20s'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my $formbank = PostgreSQL::Test::Utils::slurp_file('test/connectors/formbank.json');
sub sql { return $node->safe_psql('postgres', @_) }
sql("INSERT INTO pgw.connectors (name, definition) VALUES ('formbank', \$json\$$formbank\$json\$);
	INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('form', 'formbank', '$bank->{url}', 'bank', 200);
	CREATE ROLE web LOGIN; CREATE ROLE anna LOGIN; CREATE ROLE otto LOGIN; CREATE ROLE shop; GRANT anna TO web;
	SELECT pgw.grant_access(r::regrole, 'client') FROM unnest('{web,anna,shop}'::text[]) r; SELECT pgw.grant_access(r::regrole, 'operator') FROM unnest('{anna,otto}'::text[]) r;
	CREATE FUNCTION till(id text, o jsonb) RETURNS pgw.payment_result LANGUAGE sql SECURITY DEFINER
		AS \$\$ SELECT * FROM pgw.process_payment(id, 1234, 'EUR', 'tok_ok', options => o) \$\$;
	ALTER FUNCTION till(text, jsonb) OWNER TO shop; GRANT EXECUTE ON FUNCTION till(text, jsonb) TO PUBLIC");

my @WHO = qw(session_user set_role current_user address application actor);

# Who an event of this type names: name=value of each member there is.
sub who
{
	my ($id, $type, $kind) = @_;
	my $data = sql(sprintf("SELECT e.event_data FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE t.client_request_id = '%s' AND e.event_type = '%s' AND t.kind = '%s' ORDER BY e.transaction_id DESC, e.step_order DESC LIMIT 1",
		$id, $type // 'TransactionStarted', $kind // 'payment'));
	my $e = $data eq '' ? {} : decode_json($data);
	return join ' ', map { "$_=$e->{$_}" } grep { exists $e->{$_} } @WHO;
}

# As psql of that role, perhaps by TCP, with this application_name.
sub as_role
{
	my ($role, $sql, %o) = @_;
	local $ENV{PGAPPNAME} = $o{application} // 'till';
	my $host = $o{tcp} ? '127.0.0.1' : $node->host;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', $host, '-p', $node->port, '-U', $role, '-d', 'postgres', '-c', $sql ], '<', \undef, '>', \$out, '2>', \$err)
	  or return $err;
	chomp $out;
	return $out;
}

sub call { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

part($node, 'roles', sub {
	is(as_role('web', call('plain')), 'captured', 'a plain call');
	is(who('plain'), 'session_user=web application=till', 'the session, over a socket');
	as_role('web', 'SET ROLE anna; ' . call('role'));
	is(who('role'), 'session_user=web current_user=anna application=till', 'SET ROLE');
	as_role('web', q{SELECT status FROM till('definer', '{}')});
	is(who('definer'), 'session_user=web current_user=shop application=till', 'a SECURITY DEFINER function');
	as_role('web', q{SET ROLE anna; SELECT status FROM till('both', '{"actor": "user 42"}')});
	is(who('both'), 'session_user=web set_role=anna current_user=shop application=till actor=user 42', 'called by a role that was set');
	as_role('web', 'SET ROLE anna; SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'later', options => '{"actor": "user 43"}'));
	is(who('later'), 'session_user=web current_user=anna application=till actor=user 43', 'submitted');
	ok($node->poll_query_until('postgres', q{SELECT status = 'Completed' FROM pgw.payment_transactions WHERE client_request_id = 'later'}), 'and paid');
	my $name = "caf\xE9";
	sql("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0");
	IPC::Run::run([ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-d', 'bytes' ], '<', \"CREATE ROLE \"$name\"", '>', \my $out);
	sql(q{SELECT pgw.grant_access(max(oid)::regrole, 'client') FROM pg_authid});
	sql(q{SELECT set_config('role', (SELECT rolname FROM pg_authid ORDER BY oid DESC LIMIT 1), false); } . call('bytes'));
	like(who('bytes'), qr/ current_user=caf\? /, 'a role whose name is no UTF-8 leaves a record that can be read');
});

part($node, 'address', sub {
	as_role('web', call('tcp'), tcp => 1);
	is(who('tcp'), 'session_user=web address=127.0.0.1 application=till', 'a client with an address');
});

part($node, 'application', sub {
	my %kept = ('' => '', 'till - 10.17.200.31:54321' => 'till - 10.17.200.31:54321', 'app - unix:6432' => 'app - unix:6432', 'x' x 100 => 'x' x 63,
		$CARD => '(not shown: it may hold card data)', join('-', unpack '(A4)*', $CARD) . ' till' => '(not shown: it may hold card data)');
	my $n = 0;
	for my $application (sort keys %kept)
	{
		my $id = 'app-' . $n++;
		is(as_role('web', call($id), application => $application), 'captured', "$id: paid");
		is(who($id), 'session_user=web' . ($kept{$application} ne '' ? " application=$kept{$application}" : ''), "$id: what is kept of its name");
	}
	is(as_role('web', call('app-bytes'), application => "caf\xE9\n\x01"), 'captured', 'bytes that are no text');
	like(who('app-bytes'), qr/^session_user=web application=caf[ -~]+$/, 'are kept as the server shows them');
	is(sql("SELECT count(*) FROM pgw.transaction_events WHERE event_data::text ~ '$CARD'"), 0, 'no event holds the card number');
});

part($node, 'replays', sub {
	as_role('web', call('again', options => '{"actor": "first"}'));
	is(as_role('anna', "SELECT replayed, status FROM " . pay_sql('process_payment', client_request_id => 'again', options => '{"actor": "second"}'), application => 'other'),
		't|captured', 'who asks does not change what is asked for');
	is(as_role('anna', "SELECT replayed, status FROM " . pay_sql('process_payment', client_request_id => 'again')), 't|captured', 'nor does nobody');
	is(who('again'), 'session_user=web application=till actor=first', 'the record is that of the first');
	is(sql(q{SELECT count(*) FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE client_request_id = 'again'}), 6, 'and nothing is added');
	like(as_role('web', call('again', options => '{"actor": "first"}', amount => 99)), qr/another request|idempotency/i, 'another amount is another request');
	for my $bad ('{"actor": 1}', '{"actor": ""}', '{"actor": "a\u0007"}', '{"actor": "' . 'x' x 256 . '"}', '{"who": "x"}')
	{
		like(as_role('web', call('bad', options => $bad)), qr/ERROR/, "refused: $bad");
	}
	is(sql(q{SELECT count(*) FROM pgw.payments WHERE client_request_id = 'bad'}), 0, 'and nothing was paid');
	as_role('web', 'BEGIN; ' . call('adopted', options => '{"actor": "first"}') . '; ROLLBACK');
	is(as_role('anna', call('adopted', options => '{"actor": "second"}'), application => 'other', tcp => 1), 'captured', 'a retry takes over');
	is(events($node, 'adopted'), $ADOPTED_FLOW, 'what the first caller has left');
	is(who('adopted'), 'session_user=web application=till actor=first', 'the first event names the first');
	is(who('adopted', 'TransactionAdopted'), 'session_user=anna address=127.0.0.1 application=other actor=second', 'the takeover names the second');
});

part($node, 'operations', sub {
	as_role('web', call('base', capture => 'manual', options => '{"actor": "buyer"}'));
	my $operate = sub {
		my ($what, $id, $more) = @_;
		return as_role('web', "SET ROLE anna; SELECT transaction_status FROM pgw.${what}_payment((SELECT payment_id FROM pgw.my_payments WHERE client_request_id = 'base'), '$id'$more)");
	};
	my $done = sub { return $node->poll_query_until('postgres', "SELECT status = 'Completed' FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") };
	is($operate->('capture', 'cap', q{, 1000, false, '{"actor": "clerk"}'}), 'Created', 'a capture');
	ok($done->('cap'), 'is done');
	is(who('cap', undef, 'capture'), 'session_user=web current_user=anna application=till actor=clerk', 'and names who has asked');
	is($operate->('refund', 'ref', q{, 300, 'broken', '{"actor": "clerk 2"}'}), 'Created', 'a refund');
	ok($done->('ref'), 'is done');
	is(who('ref', undef, 'refund'), 'session_user=web current_user=anna application=till actor=clerk 2', 'and names who has asked');
	is($operate->('refund', 'ref', q{, 300, 'broken', '{"actor": "someone else"}'}), 'Completed', 'asked again by another one it is the same refund');
	my $members = "SELECT e.event_data - '{v,from,to,requests_sent,bank,session_user,current_user,application}'::text[], e.payment_id = t.payment_id AND e.correlation_id = t.correlation_id AND octet_length(e.digest) = 32
		FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE e.step_order = 1 AND client_request_id = ";
	is(sql("$members 'base'"), '{"actor": "buyer", "amount": 1234, "capture": "manual", "currency": "EUR", "merchant": "default", "operation": "authorize", "client_request_id": "base"}|t',
		'what was asked for: a payment');
	is(sql("$members 'cap'"), '{"actor": "clerk", "final": false, "amount": 1000, "currency": "EUR", "merchant": "default", "operation": "capture", "client_request_id": "cap"}|t', 'a capture');
	is(sql("$members 'ref'"), '{"actor": "clerk 2", "amount": 300, "currency": "EUR", "merchant": "default", "operation": "refund", "client_request_id": "ref"}|t', 'a refund');
});

part($node, 'operators', sub {
	for my $id (qw(review eyes)) { is(as_role('web', call($id, bank => 'form', token => 'tok_500_after')), 'in_review', "$id: in doubt") }
	my $resolve = sub {
		my ($id, $o) = @_;
		return "SELECT pgw.resolve_review('" . newest_attempt($node, $id) . "', 'retry', 'asked them', options => '$o')";
	};
	like(as_role('anna', $resolve->('review', '{"actor": 1}')), qr/ERROR/, 'an operator is asked for the same');
	like(as_role('anna', $resolve->('review', '{"by": "x"}')), qr/unknown_option|not valid|ERROR/, 'and has no other options');
	is(as_role('web', 'SET ROLE anna; ' . $resolve->('review', '{"actor": "night shift"}'), tcp => 1), 'BankUnknown', 'decided');
	is(who('review', 'ManualReviewResolved'), 'session_user=web current_user=anna address=127.0.0.1 application=till actor=night shift', 'the event says by whom');
	change_settings($node, 'pgw.require_four_eyes' => 'on');
	is(as_role('anna', $resolve->('eyes', '{"actor": "night shift"}')), 'RequiresManualReview', 'proposed') ;
	is(as_role('otto', $resolve->('eyes', '{"actor": "day shift"}'), application => 'desk'), 'BankUnknown', 'confirmed, by somebody else of another application');
	is(who('eyes', 'ManualReviewResolved'), 'session_user=otto application=desk actor=day shift', 'the event says who confirmed it');
	is(sql(q{SELECT e.event_data->'proposer', e.event_data->>'proposed_by' FROM pgw.transaction_events e WHERE event_data ? 'proposer'}),
		'{"actor": "night shift", "application": "till", "session_user": "anna"}|anna', 'and who proposed it');
	change_settings($node, 'pgw.require_four_eyes' => undef);
});

done_testing();
