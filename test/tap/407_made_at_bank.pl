# What was captured, given back or released at the bank itself, without pgw: a notification makes pgw ask for the totals, and what is left of them when all
# that pgw has done is taken away is recorded, once, as transactions of origin bank.
use strict;
use warnings;
use lib 'test/lib';
use Digest::SHA qw(hmac_sha256_hex);
use HTTP::Tiny;
use JSON::PP;
use PgwOperations;
use PgwScriptedBank;
use PgwTest;
use Test::More;

my $KEY = 'hook-secret';
my ($node, $bank) = operations_cluster('made_at_bank', debug => 1);
my $count = 0;
sub sql { return $node->safe_psql('postgres', $_[0]) }

# The bank of the tests, which sends what every payment causes (paid) and what few do.
sql(q(INSERT INTO pgw.connectors (name, definition) SELECT 'told', jsonb_set(definition::jsonb, '{capabilities,lookup_consistent_after_seconds}', '0') || jsonb_build_object('notifications',
		'{"signature": {"scheme": "hmac_body", "header": "X-Signature", "as": "hex"}, "identity": "/id", "type": "/type", "fields": {"bank_reference": "/charge"},
		"changes": {"captured": "captured", "refunded": ["refunded", "refund_failed"], "voided": "released"}}'::jsonb) FROM pgw.connectors WHERE name = 'quick';)
	  . "INSERT INTO pgw.banks (name, connector, base_url, secret, notification_secret, livemode, priority, request_timeout)
		VALUES ('told', 'told', '$bank->{url}', 'bank', 'hooks', false, 900, '5s');
	SELECT pgw.grant_access('postgres', 'operator')");
secret_file($node, 'hooks', $KEY);

sub charge_id { return sql("SELECT bank_reference FROM pgw.payments WHERE client_request_id = '$_[0]'") }

# Somebody does it at the bank: capture, void or refunds of the charge of this id.
sub at_bank
{
	my ($what, $id, %body) = @_;
	my $key = sprintf '%032x', ++$count;
	my $r = HTTP::Tiny->new->request('POST', "$bank->{url}/v1/charges/" . charge_id($id) . "/$what", { content => encode_json({ currency => 'EUR', reference => $key, %body }),
		headers => { 'Content-Type' => 'application/json', Authorization => 'Bearer test-secret', 'Idempotency-Key' => $key } });
	die "$what: $r->{status} $r->{content}" unless $r->{success};
	return $key;
}

# The bank tells so: the verdict, and what is in its row.
sub tells
{
	my ($type, $id, $event, $from) = @_;
	my $body = encode_json({ id => $event // 'e' . ++$count, type => $type, charge => charge_id($id) });
	my $verdict = sql("SELECT verdict FROM pgw.receive_notification('" . ($from // 'told') . "', '{\"x-signature\": \"" . hmac_sha256_hex($body, $KEY) . "\"}', decode('" . unpack('H*', $body) . "', 'hex'))");
	return "$verdict " . sql("SELECT concat_ws(' ', outcome, CASE WHEN change IS NOT NULL THEN 'change' END) FROM pgw.notifications ORDER BY notification_id DESC LIMIT 1");
}

sub stands { return sql("SELECT concat_ws(' ', status, captured_amount, refunded_amount, refund_pending_amount, coalesce(bank_captured_amount, 0), coalesce(bank_refunded_amount, 0)) FROM pgw.payments WHERE client_request_id = '$_[0]'") }
sub stands_so { my ($id, $want, $name) = @_; wait_until(sub { stands($id) eq $want }, 120); return is(stands($id), $want, $name) }
sub is_seen { my ($name) = @_; return ok(wait_until(sub { sql("SELECT count(*) FROM pgw.notifications WHERE change = 'waiting'") eq '0' }, 120), $name) }
sub made { return sql("SELECT coalesce(string_agg(concat_ws(' ', kind, t.status, t.amount), ', ' ORDER BY t.transaction_id), '') FROM pgw.payment_transactions t JOIN pgw.payments p USING (payment_id) WHERE p.client_request_id = '$_[0]' AND origin = 'bank'") }
sub alerts { return sql("SELECT coalesce(sum(a.count), 0) FROM pgw.alert_state a JOIN pgw.payment_transactions t USING (transaction_id) WHERE a.kind = '$_[0]' AND t.client_request_id = '$_[1]'") }
sub looks { return bank_ledger($bank)->{requests_by_operation}{lookup} // 0 }

part($node, 'refunds', sub {
	pay($node, 'a', bank => 'told');
	my $looks = looks();
	is(tells('paid', 'a'), 'accepted nothing_open', 'what every payment causes is nothing to ask about');
	is(tells('captured', 'a'), 'accepted nothing_open', 'nor is that a captured one was captured');
	is(looks() - $looks, 0, 'and the bank is not asked');
	at_bank('refunds', 'a', amount => 300);
	is(tells('refunded', 'a', 'first'), 'accepted change change', 'a refund that pgw has not made');
	stands_so('a', 'partially_refunded 1000 0 0 0 300', 'is recorded beside what pgw has given back');
	is(made('a'), 'refund Completed 300', 'as a transaction of origin bank');
	ok(wait_until(sub { alerts('made_at_bank', 'a') == 1 }, 60), 'and people are told');
	is(tells('refunded', 'a', 'first'), 'repeated change change', 'the same again');
	tells('refunded', 'a');
	is_seen('another one about it');
	is(made('a'), 'refund Completed 300', 'adds nothing');
	is(sql("SELECT string_agg(h.event_type || coalesce(' ' || (h.event_data->>'bank_refunded'), ''), ', ' ORDER BY h.step_order) FROM pgw.find_payment('a') f, pgw.payment_history(f.payment_id) h JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.origin = 'bank'"),
		'TransactionStarted, BankReported 300, TransactionCompleted', 'its history');
	like(($node->psql('postgres', operation_sql(refund => 'a', 'a-more', 701)))[2], qr/the amount is more than what is left/, 'pgw does not give back more than is left');
	request_operation($node, refund => 'a', 'a-rest', 'NULL');
	stands_so('a', 'refunded 1000 700 0 0 300', 'and the rest by itself');
	is(done_by_bank($node, $bank, 'a'), '0 captures 0 voids 2 refunds', 'two refunds at the bank');
	tells('refunded', 'a');
	is_seen('the bank tells of that one, too');
	is(made('a'), 'refund Completed 300', 'which is pgw\'s own');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'events and rows agree');
});

part($node, 'captures and releases', sub {
	pay($node, $_, bank => 'told', capture => 'manual') for qw(c v);
	at_bank('capture', 'c', amount => 600, final => JSON::PP::true);
	at_bank('refunds', 'c', amount => 100);
	is(tells('captured', 'c'), 'accepted change change', 'a capture');
	stands_so('c', 'partially_captured 0 0 0 600 100', 'and a refund of a part of it');
	is(made('c'), 'capture Completed 600, refund Completed 100', 'each on its own');
	like(($node->psql('postgres', operation_sql(refund => 'c', 'c-more', 501)))[2], qr/the amount is more than what is left/, 'what was captured there can be given back');
	request_operation($node, refund => 'c', 'c-rest', 500);
	stands_so('c', 'partially_captured 0 500 0 600 100', 'by pgw');
	at_bank('void', 'v');
	is(tells('released', 'v'), 'accepted change change', 'an authorization that was released');
	stands_so('v', 'voided 0 0 0 0 0', 'is voided');
	is(made('v'), 'void Completed 1000', 'by the bank');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'events and rows agree');
});

# What is open may be what the bank shows.
part($node, 'beside an open refund', sub {
	pay($node, 'o', bank => 'told');
	bank_control($bank, 'settings', { accepts => ['refund'] });
	request_operation($node, refund => 'o', 'o-1', 200);
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'o-1' AND status = 'BankUnknown'") eq '1' }, 60), 'a refund of pgw\'s pends at the bank');
	bank_control($bank, 'settings', { accepts => [] });
	at_bank('refunds', 'o', amount => 50);
	like(tells('refunded', 'o'), qr/ change$/, 'and somebody gives back, too');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.notifications WHERE change = 'waiting' AND next_look_at > clock_timestamp()") eq '1' }, 60), 'the totals are asked for later');
	is(made('o'), '', 'and nothing is recorded meanwhile');
	bank_control($bank, 'settle', { reference => sql("SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE client_request_id = 'o-1'"), to => 'succeeded' });
	like(tells('refunded', 'o'), qr/ change$/, 'its end is told');
	stands_so('o', 'partially_refunded 1000 200 0 0 50', 'until pgw\'s own is done');
	is(made('o'), 'refund Completed 50', 'and that is not recorded twice');
});

# The bank fails a refund that somebody has made there.
part($node, 'taken back', sub {
	pay($node, 't', bank => 'told', token => 'tok_refund_later_reversed_15000');
	at_bank('refunds', 't', amount => 300);
	tells('refunded', 't');
	stands_so('t', 'partially_refunded 1000 0 0 0 300', 'a refund');
	my ($charge) = charges_of($node, $bank, 't');
	ok(wait_until(sub { grep { $_->{charge} eq $charge->{id} && $_->{status} eq 'failed' } @{ bank_ledger($bank)->{refunds} } }, 60), 'which the bank fails later');
	tells('refund_failed', 't');
	stands_so('t', 'captured 1000 0 0 0 0', 'a total that has become less takes it back');
	is(made('t'), 'refund Failed 300', 'its transaction has failed');
	ok(wait_until(sub { alerts('made_at_bank', 't') == 2 }, 60), 'and people are told again');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'events and rows agree');
});

# A capture that the bank fails or takes back later, and its totals show so: people are told, and the record stays.  A type under "captured" makes pgw ask only while
# something is left to be captured, as every payment sends it; so one that tells of that stands under "refunded".
part($node, 'captured no more', sub {
	my %taken;
	my $scripted = scripted_bank(sub {
		my (undef, $what, $ref, $total) = split m{/}, $_[0]{path};
		$ref //= decode_json($_[0]{body})->{ref};
		$taken{$ref} = $what eq 'charge' ? 1000 : $what eq 'authorize' ? 0 : $total if $what ne 'look';
		return { document => { state => 'ok', id => "c-$ref", ref => $ref, amount => 1000, currency => 'EUR', taken => 0 + $taken{$ref}, returned => 0 } };
	});
	my %yes = (rules => [ { status => 200, when => { '/state' => 'ok' }, outcome => 'approved' } ]);
	my %fields = (reference => '/ref', bank_reference => '/id', amount => '/amount', currency => '/currency');
	add_dialect($node, $scripted, 'failing', { v => 2, capabilities => { tokens => \1, lookup_consistent_after_seconds => 0 },
		operations => {
			(map { $_ => { method => 'POST', path => "/$_", encoding => 'json', body => { ref => '{{transaction_ref}}', amount => '{{amount}}', token => '{{token}}', of => '{{original_ref}}' }, answer => { %yes, fields => \%fields } } } qw(charge authorize capture)),
			lookup_charge => { method => 'GET', path => '/look/{{original_ref}}', answer => { %yes, fields => { %fields, captured => '/taken', refunded => '/returned' } } } },
		notifications => { signature => { scheme => 'hmac_body', header => 'X-Signature', as => 'hex' }, identity => '/id', type => '/type', fields => { bank_reference => '/charge' },
			changes => { captured => [ 'captured', 'unheard' ], refunded => [ 'refunded', 'capture_failed' ] } } }, notification_secret => 'hooks', livemode => 'false');
	my $shows = sub { my ($id, $total) = @_; return PgwTest::http_json('GET', "$scripted->{url}/set/" . charge_id($id) =~ s/^c-//r . "/$total") };
	my $less = sub { my ($id, $name) = @_; return ok(wait_until(sub { alerts('bank_shows_less', $id) > 0 }, 120), $name) };
	pay($node, 'f', bank => 'failing');
	$shows->('f', 0);
	is(tells('unheard', 'f', undef, 'failing'), 'accepted nothing_open', 'of what is captured in full nothing is asked by a type of captures');
	is(tells('capture_failed', 'f', undef, 'failing'), 'accepted change change', '... but by one that stands with the refunds');
	$less->('f', 'the bank shows nothing captured: people are told');
	is_seen('once');
	is(stands('f'), 'captured 1000 0 0 0 0', 'and the record stays');
	pay($node, 'g', bank => 'failing', capture => 'manual');
	$shows->('g', 600);
	tells('captured', 'g', undef, 'failing');
	stands_so('g', 'partially_captured 0 0 0 600 0', 'a capture at the bank');
	$shows->('g', 0);
	is(tells('captured', 'g', undef, 'failing'), 'accepted change change', 'that is taken back there');
	$less->('g', 'is told of');
	is_seen('once');
	is(stands('g') . ' ' . made('g'), 'partially_captured 0 0 0 600 0 capture Completed 600', 'and its record stays, too');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'events and rows agree');
});

done_testing();
