# Ids that look like card numbers, and a caller who states that they are none: taken, recorded with who said so of which field, kept out of the log
# all the same; the call's own card is refused in such a field in any disguise, and not one byte of it is on disk.
use strict;
use warnings;
use lib 'test/lib';
use File::Find;
use JSON::PP;
use MIME::Base64;
use PgwBound;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('not_a_card', conf => "fsync = off\nwal_level = logical\nlog_error_verbosity = verbose\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my $year = (localtime)[5] + 1902;
my ($cvv, $holder) = ('737', 'NORA NUMBER');
my $order = join '', '5555' x 3, '4444';    # a well-known test number; here an order's
sub sql { return $node->safe_psql('postgres', @_) }
sql("CREATE ROLE shop LOGIN; CREATE ROLE strict LOGIN; SELECT pgw.grant_access(r::regrole, 'client') FROM unnest('{shop,strict}'::text[]) r; ALTER ROLE strict SET pgw.allow_not_a_card = off");

# Whatever may be secret is bound: no statement's text holds it.
sub bound
{
	my ($role, $function, %args) = @_;
	my $arguments = join ', ', map { "$_ => $args{$_}" } sort keys %args;
	return run_bound($node, "SELECT pgw.$function($arguments);", { card => $CARD, cvv => $cvv, order => $order, holder => $holder }, role => $role);
}
my $c = '(:card::numeric)::text';
my $o = '(:order::numeric)::text';
my %card = (amount => 4200, currency => "'EUR'", card_number => $c, card_expiry_month => 12, card_expiry_year => $year, card_cvv => '(:cvv::int)::text', card_holder => ':holder::text');
my %token = (amount => 4200, currency => "'EUR'", token => "'tok_ok'");
sub state_fields { return sprintf q('{"not_a_card": %s, "actor": "till 7"}'), encode_json([@_]) }

# What the newest first event has: who asked, and what he stated.
sub stated { return sql("SELECT event_data->>'session_user', event_data->>'actor', event_data->'not_a_card' FROM pgw.transaction_events WHERE step_order = 1 ORDER BY event_id DESC LIMIT 1") }

part($node, 'paid', sub {
	like(bound('shop', 'process_payment', %card, client_request_id => "'by card'", reference => $o), qr/card_number_in_stored_field.*options\.not_a_card can say so.*HINT: .*"not_a_card"/s, 'refused, with the way out');
	is(bound('shop', 'process_payment', %card, client_request_id => "'by card'", reference => $o, options => state_fields('reference')) =~ /ERROR/, '', 'a card, and an order number as reference');
	is(sql("SELECT status, reference FROM pgw.payments WHERE client_request_id = 'by card'"), "captured|$order", 'paid, and stored as it is');
	is(stated(), 'shop|till 7|["reference"]', 'the event says who stated what');
	bound('shop', 'process_payment', %card, client_request_id => "'needless'", reference => "'plain'", options => state_fields('reference', 'metadata.order'));
	is(stated(), 'shop|till 7|', 'nothing of a statement that was not needed');
	bound('shop', 'process_payment', %token, client_request_id => $o, metadata => "jsonb_build_object('order', $o, 'n', 1)", options => state_fields('client_request_id', 'metadata.order'));
	is(stated(), 'shop|till 7|["client_request_id", "metadata.order"]', 'the id itself, and a member of metadata');
	is(sql("SELECT status FROM pgw.find_payment('$order')"), 'captured', 'it is found by its id');
	like(bound('shop', 'process_payment', %token, client_request_id => "'part'", metadata => "jsonb_build_object('order', $o, 'note', $o)", options => state_fields('metadata.order')),
		qr/"field":"metadata","code":"card_number_in_stored_field"/, 'another member is refused');
	is(sql("SELECT count(*) FROM pgw.broken_invariants"), 0, 'all of it is consistent');
});

part($node, 'submitted, bundled, refunded', sub {
	bound('shop', 'submit_payment', %token, client_request_id => "'later'", reference => $o, options => state_fields('reference'));
	is(stated(), 'shop|till 7|["reference"]', 'submitted');
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'later'"), 'and paid');
	my $request = "jsonb_build_object('client_request_id', 'bundled', 'amount', 1, 'currency', 'EUR', 'token', 'tok_ok', 'reference', $o, 'options', %s)";
	like(bound('shop', 'process_payments', requests => sprintf("jsonb_build_array($request)", q('{}'::jsonb))), qr/"request":1,"field":"reference".*HINT: .*not_a_card/s, 'a request of a bundle is refused');
	bound('shop', 'process_payments', requests => sprintf("jsonb_build_array($request)", state_fields('reference') . '::jsonb'));
	is(stated(), 'shop|till 7|["reference"]', 'or states it for itself');
	my $id = "(SELECT payment_id FROM pgw.my_payments WHERE client_request_id = 'by card')";
	like(bound('shop', 'refund_payment', payment_id => $id, client_request_id => "'refund'", amount => 100, reason => "'order ' || $o"), qr/"field":"reason".*HINT: .*not_a_card/s, 'the reason of a refund is refused');
	bound('shop', 'refund_payment', payment_id => $id, client_request_id => "'refund'", amount => 100, reason => "'order ' || $o", options => state_fields('reason'));
	is(stated(), 'shop|till 7|["reason"]', 'or stated');
	ok($node->poll_query_until('postgres', "SELECT status = 'Completed' FROM pgw.payment_transactions WHERE client_request_id = 'refund'"), 'and done');
	sql("BEGIN; SELECT pgw.process_payment('adopted', 4200, 'EUR', 'tok_ok', reference => '$order', options => '{\"not_a_card\": [\"reference\"]}'); ROLLBACK");
	bound('shop', 'process_payment', %token, client_request_id => "'adopted'", reference => $o, options => state_fields('reference'));
	is(sql("SELECT event_data->>'session_user', event_data->'not_a_card' FROM pgw.transaction_events WHERE event_type = 'TransactionAdopted'"), 'shop|["reference"]', 'a retry that takes over states it itself');
});

# The statement makes no other request of it; but nobody's arguments are valid without it.
part($node, 'replays', sub {
	my $events = sql('SELECT count(*) FROM pgw.transaction_events');
	my %again = (%token, client_request_id => "'later'", reference => $o);
	like(bound('shop', 'process_payment', %again), qr/PW400|card_number_in_stored_field/, 'asked again without it: as refused as at first');
	is(bound('shop', 'process_payment', %again, options => state_fields('reference', 'client_request_id')), '', 'with more than was needed: the same request');
	is(bound('shop', 'process_payment', %card, client_request_id => "'needless'", reference => "'plain'"), '', 'without what was not needed: the same request');
	like(bound('shop', 'process_payment', %again, reference => "'other'"), qr/another request|idempotency_mismatch/, 'another reference is another request');
	is(sql('SELECT count(*) FROM pgw.transaction_events'), $events, 'nothing was recorded by any of them');
});

part($node, 'own card', sub {
	my %disguise = ('as it is' => $c, 'behind an order number' => "$o || ' ' || $c", 'with dots' => "regexp_replace($c, '(.)', '\\1.', 'g')", 'reversed' => "reverse($c)",
		'base64' => "encode(convert_to($c, 'UTF8'), 'base64')", 'hexadecimal' => "encode(convert_to($c, 'UTF8'), 'hex')",
		'base64 behind an order number' => "$o || ' ' || encode(convert_to($c, 'UTF8'), 'base64')", 'full-width digits' => "translate($c, '0123456789', '０１２３４５６７８９')");
	for my $name (sort keys %disguise)
	{
		like(bound('shop', 'process_payment', %card, client_request_id => "'own'", reference => $disguise{$name}, options => state_fields('reference')),
			qr/"field":"reference","code":"card_number_in_stored_field","message":"must not contain a card number"/, "reference, $name: refused");
		like(bound('shop', 'process_payment', %card, client_request_id => "'own'", metadata => "jsonb_build_object('order', $disguise{$name})", options => state_fields('metadata.order')),
			qr/"field":"metadata","code":"card_number_in_stored_field","message":"must not contain a card number"/, "metadata, $name: refused");
	}
	like(bound('shop', 'process_payment', %card, client_request_id => "'own'", reference => "$o || ' cvv ' || (:cvv::int)::text", options => state_fields('reference')), qr/security code/, 'and so is the security code');
	is(sql("SELECT count(*) FROM pgw.payments WHERE client_request_id = 'own'"), 0, 'nothing was paid');
});

part($node, 'forbidden', sub {
	like(bound('strict', 'process_payment', %token, client_request_id => "'strict'", reference => $o, options => state_fields('reference')), qr/pgw\.allow_not_a_card is off/, 'a role that may not state it');
	my (undef, undef, $e) = $node->psql('postgres', 'SET pgw.allow_not_a_card = on', extra_params => [ '-U', 'strict' ]);
	like($e, qr/permission denied/, 'nor allow it to itself');
	is(bound('strict', 'process_payment', %token, client_request_id => "'strict'", reference => "'plain'", options => state_fields('reference')), '', 'the statement alone is no fault');
});

# What is stored may be read there; a log is read by others, and nobody has stated anything to them.
part($node, 'log', sub {
	sql("ALTER ROLE shop SET log_statement = 'all'; ALTER ROLE shop SET log_min_duration_statement = 0") ;
	bound('shop', 'process_payment', %token, client_request_id => "'logged'", reference => $o, options => state_fields('reference'));
	IPC::Run::run([ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-U', 'shop', '-d', 'postgres', '-c',
			"SELECT pgw.process_payment('written', 4200, 'EUR', 'tok_ok', reference => '$order', options => '{\"not_a_card\": [\"reference\"]}')" ], '<', \undef, '>', \my $out, '2>', \my $err);
	is(sql("SELECT string_agg(status::text, ',') FROM pgw.payments WHERE client_request_id IN ('logged', 'written')"), 'captured,captured', 'paid while statements are logged');
	sql('ALTER ROLE shop RESET ALL');
	like(slurp_file($node->logfile), qr/execute .*process_payment.*reference/, 'the calls were logged');
});

sql('CHECKPOINT; SELECT pg_switch_wal()');
$node->stop('fast');
unlike(slurp_file($node->logfile), qr/$order/, 'the order number is in no line of the log');
my @needles = ($CARD, scalar reverse($CARD), encode_base64($CARD, ''), unpack('H*', $CARD), join('.', split //, $CARD), $holder);
my (@hits, $orders, $files);
$orders = 1 if $ENV{PGW_PART};    # only the whole test stores one
find({ no_chdir => 1, wanted => sub {
	return unless -f $_ && !m{/(bound|script)\.sql$};
	my $text = slurp_file($_);
	$files++;
	$orders++ if index($text, $order) >= 0;
	push @hits, $_ if grep { index($text, $_) >= 0 } @needles;
} }, $node->basedir);
cmp_ok($files, '>', 900, "searched $files files");
cmp_ok($orders, '>', 0, 'the order number is there, as was stated: the search finds what there is');
is_deeply(\@hits, [], 'the call\'s own card is not, nor its holder: data directory, WAL and log');

done_testing();
