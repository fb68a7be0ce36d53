# What PostgREST sends to the functions of docs/clients.md, and what comes of it. PostgREST has no package: its transaction, its settings and its statement are made here as its published source
# makes them (a call with POST: the body is one parameter of type json, taken apart by json_to_record() in a LATERAL join).
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwPages;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

eval { require DBD::Pg; 1 } or plan skip_all => 'there is no DBD::Pg: make test installs it';

my $node = pgw_node('postgrest', conf => "listen_addresses = '127.0.0.1'\nfsync = off\npgw.compensation_delay = '100ms'\n");
pgw_setup($node);
sub sql { return $node->safe_psql('postgres', $_[0]) }

# as the page has it, and whom PostgREST logs in as
my ($page) = grep { $_->{text} =~ /CREATE FUNCTION api\.pay_order/ } blocks_of(slurp_file('docs/clients.md'));
sql($page->{text});
sql(q{CREATE ROLE authenticator LOGIN NOINHERIT; GRANT web_customer TO authenticator});
my $db = DBI->connect('dbi:Pg:host=127.0.0.1;port=' . $node->port . ';dbname=postgres;user=authenticator', '', '',
	{ RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_placeholder_dollaronly => 1 });

# A request: { status, body } of an answer, { code, details } of an error, whose HTTP status PostgREST makes of the code.
sub request
{
	my ($function, $types, $body, %o) = @_;
	my ($schema, $name) = split /\./, $function;
	my $json = encode_json($body);
	my @arguments = sort keys %$types;
	my $call = qq{"$schema"."$name"(} . join(', ', map { qq{"$_" := pgrst_body."$_"} } @arguments) . ')';
	my ($taken, $from) = $o{row} ? ('pgrst_call.*', $call) : ('pgrst_call.pgrst_scalar', "(SELECT $call pgrst_scalar)");
	my $statement = "WITH pgrst_source AS (SELECT $taken FROM (SELECT \$1 AS json_data) pgrst_payload, LATERAL (SELECT " . join(', ', map { qq{"$_"} } @arguments)
	  . ' FROM json_to_record(pgrst_payload.json_data) AS _(' . join(', ', map { qq{"$_" $types->{$_}} } @arguments) . ") LIMIT 1) pgrst_body , LATERAL $from pgrst_call) "
	  . ($o{count} ? ', pgrst_source_count AS (SELECT 1 FROM pgrst_source) SELECT (SELECT pg_catalog.count(*) FROM pgrst_source_count)' : 'SELECT null::bigint') . ' AS total_result_set, 1 AS page_total, '
	  . ($o{row} ? 'coalesce(json_agg(_postgrest_t)->0, \'null\')' : 'coalesce(json_agg(_postgrest_t.pgrst_scalar)->0, \'null\')') . ' AS body, '
	  . q{nullif(current_setting('response.headers', true), '') AS response_headers, nullif(current_setting('response.status', true), '') AS response_status, '' AS response_inserted }
	  . qq{FROM (SELECT "$name".* FROM "pgrst_source" AS "$name") _postgrest_t};
	my $answer = eval {
		$db->do('BEGIN ISOLATION LEVEL READ COMMITTED ' . ($o{get} ? 'READ ONLY' : 'READ WRITE'));
		$db->selectrow_array(q{select set_config('search_path', $1, true), set_config('role', $2, true), set_config('request.jwt.claims', $3, true),
				set_config('request.method', $4, true), set_config('request.path', $5, true), set_config('request.headers', $6, true), set_config('request.cookies', '{}', true)},
			undef, qq{"$schema", "public"}, $o{role} // 'web_customer', '{"role":"web_customer"}', $o{get} ? 'GET' : 'POST', "/rpc/$name", '{"content-type":"application/json"}');
		my $call = $db->prepare($statement);
		$call->bind_param(1, $json, { pg_type => DBD::Pg::PG_JSON() });
		$call->execute;
		my $row = $call->fetchrow_hashref;
		$db->do($o{rollback} ? 'ABORT' : 'COMMIT');
		{ status => $row->{response_status} // 200, body => decode_json($row->{body}) };
	};
	return $answer if $answer;
	my ($code, $details) = ($db->state, $db->pg_error_field('PG_DIAG_MESSAGE_DETAIL') // '');
	$db->do('ABORT');
	return { code => $code, details => $details };
}

my $orders = 0;
sub order { my $id = sprintf '00000000-0000-4000-8000-%012d', ++$orders; sql("INSERT INTO shop.orders (id, amount) VALUES ('$id', 4990)"); return $id }
sub pay { my ($id, $token, %o) = @_; return request('api.pay_order', { order_id => 'uuid', token => 'text' }, { order_id => $id, token => $token }, %o) }
sub charges { return sql("SELECT count(*) FROM pgw.test_bank_ledger WHERE kind = 'charge' AND status = 'approved' AND amount = captured") }

my $order = order();
is_deeply(pay($order, 'tok_ok'), { status => 200, body => { status => 'captured', tell => undef } }, 'an order is paid');
is(sql("SELECT p.amount FROM shop.orders o JOIN pgw.payments p USING (payment_id) WHERE o.id = '$order'"), 4990, 'at its own price');
is_deeply([ pay($order, 'tok_ok')->{body}, charges() ], [ { status => 'captured' }, 1 ], 'the same again: no second charge');
is(sql("SELECT event_data->>'current_user', event_data->>'session_user' FROM pgw.transaction_events WHERE step_order = 1"), 'web_shop|authenticator', 'the first event has both roles');

$order = order();
is_deeply(pay($order, 'tok_decline_insufficient_funds'), { status => 402, body => { status => 'declined', tell => 'insufficient_funds' } }, 'declined: a status of our own, and what to tell the customer');
is(pay($order, 'tok_ok')->{status}, 200, 'another card pays it');

$order = order();
is_deeply(pay($order, 'tok_ok', get => 1), { code => '25006', details => '' }, 'GET pays nothing');
is(pay($order, 'tok_ok', count => 1)->{status}, 200, 'Prefer: count=exact');
is(charges(), 3, 'calls the function once');
is(pay(order(), 'tok_ok', rollback => 1)->{status}, 200, 'Prefer: tx=rollback');
ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE status = 'Refunded'") == 1 }, 60), 'is given back');

is(pay('00000000-0000-4000-8000-000000000000', 'tok_ok')->{code}, 'PT404', 'an order that is not there has the status that the function names');
my $bad = pay(order(), '');
is($bad->{code}, 'PW400', 'arguments at fault are an error');
is(decode_json($bad->{details})->[0]{field}, 'token', 'whose details are JSON in a text');

# What a customer must not: the page's role has no way past the function.
my %types = (client_request_id => 'text', amount => 'numeric', currency => 'text', card_number => 'text', card_expiry_month => 'integer', card_expiry_year => 'integer', card_cvv => 'text');
my %card = (client_request_id => 'by-card', amount => 4990, currency => 'EUR', card_number => '4242' x 4, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => '123');
is(request('pgw.process_payment', \%types, \%card, row => 1)->{code}, '42501', 'customers cannot call pgw, even where its schema is exposed by mistake');

# A card in the body is bound; and pgw's own function gives its row.
sql('GRANT web_shop TO authenticator');
is(request('pgw.process_payment', \%types, \%card, row => 1, role => 'web_shop')->{body}{status}, 'captured', 'a card in the body is a bound card');
is(decode_json(request('pgw.process_payment', \%types, { %card, client_request_id => 'by-card-2', amount => 49.9 }, row => 1, role => 'web_shop')->{details})->[0]{field}, 'amount', 'a float is no amount');
unlike(slurp_file($node->logfile), qr/4242424242424242/, 'no card number in the log');

$db->disconnect;
is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'the records are sound');
$node->stop;
done_testing();
