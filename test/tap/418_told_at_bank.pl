# What was given back, captured or released at the pages of a bank that can be asked nothing: its signed word, which has the reference of the charge, is recorded once, by the bank's
# id of the operation, in whatever order it is told; what pgw has asked for itself is not recorded again.
use strict;
use warnings;
use lib 'test/lib';
use Digest::SHA qw(hmac_sha256_hex);
use JSON::PP;
use PgwOperations;
use PgwTest;
use Test::More;

my $KEY = 'hook-secret';
my ($node, $bank) = operations_cluster('told_at_bank', debug => 1);
sub sql { return $node->safe_psql('postgres', $_[0]) }

my @rules = map { my ($type, $about, $outcome) = @$_; { when => { '/type' => $type }, about => $about, outcome => $outcome, $about eq 'charge' ? () : (id => '/operation') } }
  [ paid => charge => 'approved' ], [ captured => capture => 'approved' ], [ released => void => 'approved' ], [ refunded => refund => 'approved' ], [ refund_failed => refund => 'declined' ];
my $notifications = encode_json({ signature => { scheme => 'hmac_body', header => 'X-Signature', as => 'hex' }, identity => '/id', type => '/type',
		fields => { reference => '/reference', bank_reference => '/charge', amount => '/amount', currency => '/currency' }, evidence => \@rules });
sql("INSERT INTO pgw.connectors (name, definition) SELECT 'told', jsonb_set(definition::jsonb, '{operations,refund,answer,rules,1,outcome}', '\"accepted\"') #- '{operations,lookup_charge}'
		#- '{operations,lookup_refund}' #- '{capabilities,lookup_consistent_after_seconds}' || jsonb_build_object('notifications', '$notifications'::jsonb) FROM pgw.connectors WHERE name = 'quick';
	INSERT INTO pgw.connectors (name, definition) SELECT 'unnamed', definition::jsonb #- '{operations,refund,answer,fields,bank_reference}' FROM pgw.connectors WHERE name = 'told';
	INSERT INTO pgw.banks (name, connector, base_url, secret, notification_secret, livemode, priority, request_timeout)
		SELECT name, name, '$bank->{url}', 'bank', 'hooks', false, 900, '5s' FROM unnest('{told,unnamed}'::text[]) name;
	SELECT pgw.grant_access('postgres', 'operator')");
bank_control($bank, 'settings', { accepts => ['refund'] });
secret_file($node, 'hooks', $KEY);

my $count = 0;

# The bank says so of a payment: with the charge's reference, if no other; the verdict.
sub tells { return sql(told(@_)) }

sub told
{
	my ($type, $id, $operation, $amount, %o) = @_;
	my ($charge, $reference, $at) = split /\|/, sql("SELECT bank_reference, replace(transaction_id::text, '-', ''), bank FROM pgw.payments WHERE client_request_id = '$id'");
	my $body = encode_json({ id => 'n' . ++$count, type => $type, operation => $operation, charge => $charge, reference => $reference, amount => $amount, currency => 'EUR', %o });
	return "SELECT verdict FROM pgw.receive_notification('$at', '{\"x-signature\": \"" . hmac_sha256_hex($body, $KEY) . "\"}', decode('" . unpack('H*', $body) . "', 'hex'))";
}

sub stands { return sql("SELECT concat_ws(' ', status, captured_amount, refunded_amount, refund_pending_amount, coalesce(bank_captured_amount, 0), coalesce(bank_refunded_amount, 0)) FROM pgw.payments WHERE client_request_id = '$_[0]'") }
sub stands_so { my ($id, $want, $name) = @_; wait_until(sub { stands($id) eq $want }, 30); return is(stands($id), $want, $name) }
sub is_seen { my ($name) = @_; return ok(wait_until(sub { sql("SELECT count(*) FROM pgw.notifications WHERE change = 'waiting'") eq '0' }, 30), $name) }
sub made { return sql("SELECT coalesce(string_agg(concat_ws(' ', kind, t.status, t.amount, t.bank_reference), ', ' ORDER BY t.transaction_id), '') FROM pgw.payment_transactions t JOIN pgw.payments p USING (payment_id) WHERE p.client_request_id = '$_[0]' AND origin = 'bank'") }
sub alerts { return sql("SELECT coalesce(sum(a.count), 0) FROM pgw.alert_state a JOIN pgw.payment_transactions t USING (transaction_id) WHERE a.kind = '$_[0]' AND t.client_request_id = '$_[1]'") }
sub are_told { my ($kind, $id, $n, $name) = @_; return ok(wait_until(sub { alerts($kind, $id) == $n }, 30), $name) || diag(alerts($kind, $id)) }

sub is_consistent
{
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'events and rows agree');
	return is(sql("SELECT count(*) FROM pgw.payments p, pgw.rebuild_payment(p.payment_id) r WHERE (p.status, p.captured_amount, p.refunded_amount, p.refund_pending_amount, coalesce(p.bank_captured_amount, 0),
		coalesce(p.bank_refunded_amount, 0)) IS DISTINCT FROM (r.status, r.captured_amount, r.refunded_amount, r.refund_pending_amount, coalesce(r.bank_captured_amount, 0), coalesce(r.bank_refunded_amount, 0))"),
		0, 'and so do the events alone');
}

part($node, 'refunds', sub {
	pay($node, 'a', bank => 'told');
	is(tells('refunded', 'a', 'r1', 300), 'accepted', 'a refund that pgw has not made');
	stands_so('a', 'partially_refunded 1000 0 0 0 300', 'is recorded beside what pgw has given back');
	is(made('a'), 'refund Completed 300 r1', "as a transaction of origin bank, with the bank's id");
	are_told('made_at_bank', 'a', 1, 'and people are told');
	tells('refunded', 'a', 'r1', 300);
	is_seen('the same again, under another identity');
	is(made('a'), 'refund Completed 300 r1', 'adds nothing');
	sql(told('refunded', 'a', 'r2', 900) . ' UNION ALL ' . told('refunded', 'a', 'r2', 900));
	stands_so('a', 'refunded 1000 0 0 0 1200', 'another one, of more than was captured, told twice at once: as it is');
	is(made('a'), 'refund Completed 300 r1, refund Completed 900 r2', 'and once');
	tells('refund_failed', 'a', 'r2', 900);
	stands_so('a', 'partially_refunded 1000 0 0 0 300', 'one that fails later is taken back, and no other');
	is(made('a'), 'refund Completed 300 r1, refund Failed 900 r2', 'its transaction has failed');
	is(alerts('notification_contradicts', 'a'), 0, 'of nothing else people are told');
	tells('refunded', 'a', 'r2', 900);
	are_told('notification_contradicts', 'a', 1, 'that it is done after all is for people');
	is(stands('a'), 'partially_refunded 1000 0 0 0 300', 'and changes nothing');
	is_consistent();
});

# One in thirty of a bank's ids of sixteen digits looks like a card's number.
part($node, 'an id that looks like a card', sub {
	pay($node, 'i', bank => 'told');
	is(sql("SELECT card_last4 FROM pgw.payments WHERE client_request_id = 'i'"), '4242', 'how the card ends is known');
	tells('refunded', 'i', '5105105105105100', 300);
	stands_so('i', 'partially_refunded 1000 0 0 0 300', 'what has another end is no card');
	is(made('i'), 'refund Completed 300 5105105105105100', 'and is the id of the refund');
	tells('refunded', 'i', '4242424242424242', 200);
	is_seen('what ends as the card does');
	is(sql("SELECT count(*) FROM pgw.notifications n WHERE n::text LIKE '%4242424242424242%'"), 0, 'is not kept');
	tells('refunded', 'i', 'r', 100, reference => 'elsewhere', charge => '4111111111111111');
	is(sql("SELECT outcome || ' ' || bank_reference FROM pgw.notifications WHERE reference = 'elsewhere'"), 'unknown_payment 4111111111111111', 'an id that is not known yet can be known later');
});

part($node, "pgw's own", sub {
	pay($node, 'o', bank => 'told');
	request_operation($node, refund => 'o', 'o-r', 200);
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'o-r' AND accepted_at IS NOT NULL") eq '1' }, 30), 'a refund that pgw has asked for is accepted');
	my ($key, $its) = split /\|/, sql("SELECT replace(transaction_id::text, '-', ''), bank_reference FROM pgw.payment_transactions WHERE client_request_id = 'o-r'");
	tells('refunded', 'o', 'r3', 50);
	stands_so('o', 'partially_refunded 1000 0 200 0 50', 'one that was made at the bank beside it counts at once');
	tells('refunded', 'o', $its, 200, reference => $key);
	stands_so('o', 'partially_refunded 1000 200 0 0 50', 'its own word ends it');
	is(made('o'), 'refund Completed 50 r3', 'and is not recorded as made at the bank');
	tells('refunded', 'o', $its, 200);
	is_seen("nor is one that has its id and the charge's reference");
	is(made('o'), 'refund Completed 50 r3', 'recorded once more');
	is_consistent();
});

# As the answer names no id, the bank may be telling of this one.
part($node, 'no id known yet', sub {
	pay($node, 'w', bank => 'unnamed');
	request_operation($node, refund => 'w', 'w-r', 200);
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'w-r' AND accepted_at IS NOT NULL AND bank_reference IS NULL") eq '1' }, 30), 'a refund is accepted without an id');
	tells('refunded', 'w', 'w1', 200);
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.notifications WHERE change = 'waiting' AND next_look_at IS NOT NULL") eq '1' }, 30), 'what has the reference of the charge meanwhile waits');
	is(stands('w'), 'captured 1000 0 200 0 0', 'and counts for nothing');
	tells('refunded', 'w', 'w1', 200, reference => sql("SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE client_request_id = 'w-r'"));
	stands_so('w', 'partially_refunded 1000 200 0 0 0', 'the word on the request itself ends it');
	is_seen('then it is over');
	is(made('w'), '', 'and was not recorded, as it was that one');
	is(alerts('notification_contradicts', 'w'), 0, 'which is nothing for people');
	is_consistent();
});

part($node, 'captures and releases', sub {
	pay($node, $_, bank => 'told', capture => 'manual') for qw(c v);
	tells('captured', 'c', 'c1', 600);
	stands_so('c', 'partially_captured 0 0 0 600 0', 'a capture');
	tells('released', 'v', 'v1', 1000);
	stands_so('v', 'voided 0 0 0 0 0', 'an authorization that was released');
	is(made('v'), 'void Completed 1000 v1', 'by the bank');
	is_consistent();
});

part($node, 'what is not clear', sub {
	pay($node, 'u', bank => 'told');
	tells('refund_failed', 'u', 'r4', 100);
	is_seen('one that has failed before it was told of');
	tells('refunded', 'u', 'r4', 100);
	are_told('notification_contradicts', 'u', 1, 'and is told to be done then: people are told');
	tells('refunded', 'u', 'r5', 100, currency => 'USD');
	are_told('notification_contradicts', 'u', 2, 'one of another currency');
	tells('refunded', 'u', undef, 100);
	are_told('notification_contradicts', 'u', 3, 'one without an id');
	tells('refunded', 'u', sql("SELECT bank_reference FROM pgw.payments WHERE client_request_id = 'u'"), 100);
	are_told('notification_contradicts', 'u', 4, "one with the charge's, which is none");
	tells('refunded', 'u', 'r6', 100, charge => 'another');
	are_told('notification_contradicts', 'u', 5, 'one of another charge');
	tells('refunded', 'u', 'r7', 100, reference => 'f' x 32);
	is_seen('one of a request that nobody has made');
	is(join('|', made('u'), stands('u')), '|captured 1000 0 0 0 0', 'nothing is recorded');
});

part($node, 'documents', sub {
	my $faults = sub { return sql("SELECT coalesce(string_agg(pointer || ': ' || message, '; '), '') FROM pgw.connectors c, pgw.check_connector(($_[0])::json) WHERE c.name = 'told' AND severity = 'error'") };
	is($faults->('c.definition::jsonb'), '', 'good as it is');
	is($faults->(q(jsonb_set(c.definition::jsonb, '{notifications,evidence,0,id}', '"/operation"'))), '/notifications/evidence/0/id: is for capture, void and refund', 'of a charge there is no other id');
	like($faults->(q(jsonb_set(c.definition::jsonb, '{operations,refund}', replace(c.definition::jsonb #>> '{operations,refund}', '{{transaction_ref}}', '{{original_ref}}')::jsonb))),
		qr(^/notifications/evidence/3/id: the request of this operation does not hold \{\{transaction_ref\}\}), "pgw's own could not be told from others");
	like($faults->(q(jsonb_set(c.definition::jsonb, '{notifications,signature}', '{"scheme": "hmac_fields", "at": "/hmac", "fields": ["/id", "/type", "/reference", "/charge", "/amount", "/currency"],
		"separator": ":", "as": "hex"}'))), qr(^/notifications/evidence/1/id: the signature does not cover it), 'an id that is anybody\'s word');
});

# The worker is killed while it records.
for my $how (@LOSSES)
{
	part($node, $how, sub {
		my $id = $how =~ s/\W//gr;
		pay($node, $id, bank => 'told');
		debug_arm($node, 'told_at_bank', 'stop');
		tells('refunded', $id, "$id-r", 100);
		lose_process($node, $how, debug_wait($node, 'told_at_bank'));
		stands_so($id, 'partially_refunded 1000 0 0 0 100', "$how: it is recorded");
		is(made($id), "refund Completed 100 $id-r", 'once');
	});
}

$node->stop('fast');
done_testing();
