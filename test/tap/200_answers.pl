# An answer belongs to its question, and money is given back once: banks that ignore what they are asked for, answer with another payment's
# document, without ids, twice in one breath, or do not say what they have refunded.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('answers', debug => 1, conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

# More dialects of the same bank.  quick: "not found" counts after a second.  mute: its look-up names no amounts, and refunds cannot be looked up.
# keyless: the same, and it takes no idempotency key.  single: look-ups name all, but a refund can only be seen in its charge.  odd: like single, but
# what was captured is never where its connector says.
$node->safe_psql('postgres', <<"SQL");
INSERT INTO pgw.connectors (name, definition)
	SELECT 'quick', jsonb_set(definition::jsonb, '{capabilities,lookup_consistent_after_seconds}', '1') FROM pgw.connectors WHERE name = 'json';
INSERT INTO pgw.connectors (name, definition)
	SELECT 'mute', definition::jsonb #- '{operations,lookup_refund}' #- '{operations,cancel}' #- '{operations,lookup_charge,answer,fields,captured}'
		#- '{operations,lookup_charge,answer,fields,refunded}' FROM pgw.connectors WHERE name = 'quick'
	UNION ALL
	SELECT 'single', definition::jsonb #- '{operations,lookup_refund}' #- '{operations,cancel}' FROM pgw.connectors WHERE name = 'quick';
INSERT INTO pgw.connectors (name, definition)
	SELECT 'keyless', definition::jsonb #- '{capabilities,idempotency}' FROM pgw.connectors WHERE name = 'mute'
	UNION ALL
	SELECT 'single keyless', definition::jsonb #- '{capabilities,idempotency}' FROM pgw.connectors WHERE name = 'single'
	UNION ALL
	SELECT 'odd', jsonb_set(definition::jsonb, '{operations,lookup_charge,answer,fields,captured}', '"/not/there"') FROM pgw.connectors WHERE name = 'single';
INSERT INTO pgw.banks (name, connector, base_url, secret, priority, request_timeout)
	SELECT c, c, '$bank->{url}', 'bank', 200 + n, '500ms' FROM unnest(ARRAY['quick', 'mute', 'single', 'keyless', 'single keyless', 'odd']) WITH ORDINALITY AS u (c, n);
SQL

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub pay
{
	my ($id, %a) = @_;
	return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, bank => 'quick', timeout => '20s', %a);
}

sub pay_by_card
{
	my ($id) = @_;
	return "SELECT status FROM pgw.process_payment('$id', 777, 'EUR', card_number => spelt('visa'), card_expiry_month => 12, card_expiry_year => 2039, bank => 'quick', timeout => '20s')";
}
sub bank_settings { my (%s) = @_; bank_control($bank, 'settings', \%s); return }

sub bank_faults
{
	my ($p, @ops) = @_;
	bank_control($bank, 'faults', { probabilities => $p, @ops ? (operations => \@ops) : () });
	return;
}

# The bank's id in the tables is the one in the ledger under this payment's own reference; the charge stands once, whole.
sub has_own_charge
{
	my ($id, $what) = @_;
	my @c = charges_of($node, $bank, $id);
	is(join(',', map { "$_->{id} $_->{captured} $_->{refunded}" } @c),
		sql("SELECT bank_reference || ' ' || captured_amount || ' 0' FROM pgw.payments WHERE client_request_id = '$id' AND status = 'captured'"), "$what: its own charge, once");
	return;
}

# ---------------------------------------------------------------- somebody else's charge

# A bank that ignores the parameter which it does not know shows the newest charge, whatever is asked for: here A's.
part($node, 'ignored reference', sub {
	is(sql(pay('A', amount => 500)), 'captured', 'A pays');
	bank_settings(lookup_ignores_reference => $true);
	for my $amount (500, 800)
	{
		is(sql(pay("B $amount", amount => $amount, token => 'tok_timeout_before_1')), 'captured', "B pays $amount, though the first request was lost and each look-up shows A");
		has_own_charge("B $amount", "B $amount");
	}
	has_own_charge('A', 'A, whose charge was shown');
	bank_settings(lookup_ignores_reference => $false);
	is_sound($node, $bank, 'look-ups that show another payment: sound');
});

# What cannot be sent again is left in doubt, never taken for what the look-up shows.
part($node, 'ignored reference, card', sub {
	is(sql(pay('C', amount => 777)), 'captured', 'C pays');
	bank_settings(lookup_ignores_reference => $true);
	bank_faults({ '500_before' => 1 }, 'charge');
	is(sql(pay_by_card('D') =~ s/20s/1500ms/r), 'pending', 'D is not known');
	bank_faults({});
	ok(never(sub { status_of($node, 'D') ne 'BankUnknown' }, 3), 'and stays so, while the look-ups show C, amount and all');
	bank_settings(lookup_ignores_reference => $false);
	is_sound($node, $bank, 'then the bank is honest again: sound');
	is(sql("SELECT status FROM pgw.payments WHERE client_request_id = 'D'"), 'failed', 'nothing was charged');
	has_own_charge('C', 'C, whose charge was shown');
});

part($node, 'another document', sub {
	is(sql(pay('first', amount => 900)), 'captured', 'a payment');
	for my $fault (qw(other_answer double_keys))
	{
		is(sql(pay($fault, amount => 900, token => "tok_$fault")), 'captured', "$fault: not believed, looked up, paid");
		has_own_charge($fault, $fault);
	}
	has_own_charge('first', 'the other one');

	# a rollback, and refunds, whose answers are others' as well
	bank_faults({ other_answer => 0.5 }, qw(charge refund void cancel lookup));
	for my $n (1 .. 8)
	{
		sql('BEGIN; ' . pay("gone $n", amount => 100 + $n) . '; ROLLBACK');
		sql(pay("kept $n", amount => 200 + $n));
		sql("SELECT o.transaction_status FROM pgw.find_payment('kept $n') f, pgw.refund_payment(f.payment_id, 'kept $n-r', 50) o WHERE f.status = 'captured'");
	}
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id LIKE 'gone %' AND status <> 'Refunded'") eq '0' }, 60), 'every rollback is given back, whatever its answers say');
	bank_faults({});
	is_sound($node, $bank, 'answers of other payments, all over: sound', seconds => 60);
	is(join(',', grep { $_->{refunded} > $_->{captured} } @{ bank_ledger($bank)->{charges} }), '', 'nothing is refunded that was not captured');
});

# ---------------------------------------------------------------- ids

part($node, 'ids of 25 digits', sub {
	bank_settings(numeric_ids => $true);
	is(sql(pay('long', amount => 1000)), 'captured', 'paid');
	like(sql("SELECT bank_reference FROM pgw.payments WHERE client_request_id = 'long'"), qr/^9\d{24}$/, 'the id has all its digits');
	has_own_charge('long', 'a number too large for any type');
	is(sql("SELECT o.transaction_status FROM pgw.find_payment('long') f, pgw.refund_payment(f.payment_id, 'long-r', 400) o"), 'Created', 'a refund, by that id');
	sql('BEGIN; ' . pay('long back') . '; ROLLBACK');
	is_sound($node, $bank, 'ids of 25 digits: sound');
	is(sql("SELECT refunded_amount FROM pgw.payments WHERE client_request_id = 'long'"), '400', 'refunded');
	is(status_of($node, 'long back'), 'Refunded', 'and given back');
	bank_settings(numeric_ids => $false);
});

# ---------------------------------------------------------------- given back once

# The bank pays back whatever it is asked for, as often as it is asked: only keys keep it from doing so twice.
part($node, 'given back once', sub {
	bank_settings(over_refunds => $true);
	for my $of (qw(mute odd single))
	{
		bank_settings(lookup_amounts => $false) if $of eq 'single';
		sql('BEGIN; ' . pay("back $of", bank => $of, amount => 3333, token => 'tok_refund_timeout_after') . '; ROLLBACK');
		ok(wait_until(sub { status_of($node, "back $of") eq 'Refunded' }, 30), "$of: given back, though the answer is lost and no look-up shows it") or diag(events($node, "back $of"));
		my ($charge) = charges_of($node, $bank, "back $of");
		is("$charge->{captured} $charge->{refunded}", '3333 3333', "$of: once");
		is(scalar refunds_of($bank, $charge), 1, "$of: by one refund");

		sql(pay("part $of", bank => $of, amount => 3333, token => 'tok_refund_timeout_after'));
		sql("SELECT o.transaction_status FROM pgw.find_payment('part $of') f, pgw.refund_payment(f.payment_id, 'part $of-r', 1000) o");
		ok(wait_until(sub { sql("SELECT refunded_amount FROM pgw.payments WHERE client_request_id = 'part $of'") eq '1000' }, 30), "$of: a refund that was asked for is done");
		($charge) = charges_of($node, $bank, "part $of");
		is("$charge->{captured} $charge->{refunded}", '3333 1000', "$of: once, too");
		is(scalar refunds_of($bank, $charge), 1, "$of: by one refund, too");
	}
	bank_settings(over_refunds => $false, lookup_amounts => $true);
	is_sound($node, $bank, 'refunds that no look-up shows: sound');
});

# Without a key nothing can be repeated: a person finds out.
part($node, 'given back once, without keys', sub {
	bank_settings(over_refunds => $true);
	sql('BEGIN; ' . pay('back keyless', bank => 'keyless', amount => 3333, token => 'tok_refund_timeout_after') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'back keyless') eq 'RequiresManualReview' }, 30), 'a person has to look');
	like(events($node, 'back keyless'), qr/RefundStarted,RefundOutcomeUnknown,ManualReviewRequired$/, 'after one request');
	my ($charge) = charges_of($node, $bank, 'back keyless');
	is("$charge->{captured} $charge->{refunded}", '3333 3333', 'which the bank carried out, once');

	# where the look-up could tell, and does not just now, it is asked again
	bank_settings(lookup_amounts => $false);
	sql('BEGIN; ' . pay('back later', bank => 'single keyless', amount => 3333, token => 'tok_refund_timeout_after') . '; ROLLBACK');
	my $looks = sub { my ($c) = charges_of($node, $bank, 'back later'); return $c ? scalar grep { $_->{operation} eq 'lookup' && ($_->{reference} // '') eq $c->{reference} } @{ bank_log($bank, 5000) } : 0 };
	ok(wait_until(sub { $looks->() >= 4 }, 30), 'a look-up that does not tell for now');
	($charge) = charges_of($node, $bank, 'back later');
	is("$charge->{captured} $charge->{refunded}", '3333 3333', 'nothing is sent meanwhile');
	is(status_of($node, 'back later'), 'Refunding', 'nor decided');
	bank_settings(lookup_amounts => $true);
	ok(wait_until(sub { status_of($node, 'back later') eq 'Refunded' }, 30), 'until it does');
	bank_settings(over_refunds => $false);
	is_sound($node, $bank, 'a refund in doubt without any way to find out: sound, but for one review', reviews => 1);
});

# ---------------------------------------------------------------- the merchant's reference, in every request

part($node, 'reference', sub {
	sql(<<"SQL");
INSERT INTO pgw.connectors (name, definition)
	SELECT 'refs', jsonb_set(definition::jsonb, '{headers,X-Correlation-Id}', '"{{reference}}"') FROM pgw.connectors WHERE name = 'quick';
INSERT INTO pgw.banks (name, connector, base_url, secret, priority, request_timeout) VALUES ('refs', 'refs', '$bank->{url}', 'bank', 300, '500ms');
SQL
	my $op = sub { my ($kind, $id, @more) = @_; sql("SELECT o.transaction_status FROM pgw.find_payment('$id') f, pgw.${kind}_payment(" . join(', ', 'f.payment_id', "'$id-$kind'", @more) . ') o') };
	is(sql(pay('r1', bank => 'refs', amount => 1000, reference => 'order 1', capture => 'manual', token => 'tok_500_after')), 'authorized', 'looked up, authorized');
	$op->('capture', 'r1', 1000);
	ok(wait_until(sub { sql("SELECT status FROM pgw.payments WHERE client_request_id = 'r1'") eq 'captured' }, 20), 'captured');
	$op->('refund', 'r1', 300);
	sql(pay('r2', bank => 'refs', amount => 1000, reference => 'order 1', capture => 'manual'));
	$op->('void', 'r2');
	sql('BEGIN; ' . pay('r3', bank => 'refs', amount => 1000, reference => 'order 1', token => 'tok_refund_timeout_after') . '; ROLLBACK');
	sql('BEGIN; ' . pay('r4', bank => 'refs', amount => 1000, reference => 'order 1', token => 'tok_wrong_amount') . '; ROLLBACK');
	is_sound($node, $bank, 'sound', reviews => 1 * sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'back keyless' AND status = 'RequiresManualReview'"));
	my %named;
	for my $call (grep { ($_->{correlation_id} // '') eq 'order 1' } @{ bank_log($bank, 200) }) { $named{ $call->{operation} }++ }
	is(join(',', sort keys %named), 'authorize,cancel,capture,charge,lookup,refund,void', 'it stands in each kind of request');
});

$node->stop('fast');
done_testing();
