# A notification of the bank's makes pgw ask the bank: a lost answer is settled long before the look-up that was planned.  It decides nothing, whatever it says.
use strict;
use warnings;
use lib 'test/lib';
use Digest::SHA qw(hmac_sha256_hex);
use JSON::PP ();
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $SECRET = 'whsec_test';
# what is planned comes in an hour: whatever becomes known in a test has been asked for
my $node = pgw_node('notifications', debug => 1, conf => "pgw.retry_base_delay = '1h'\npgw.retry_max_delay = '1d'\npgw.recovery_interval = '1d'\n");
my $bank = bank_start();
my $secrets = $node->basedir . '/secrets';

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub write_secret { return secret_file($node, 'hooks', @_) }

# Stripe without a key of the charge, so that nothing can be found out by a repetition: the search lags behind, as it may for an hour.
write_secret($SECRET);
pgw_setup($node);
sql("INSERT INTO pgw.connectors (name, definition) SELECT 'slow', jsonb_set(definition::jsonb #- '{answers,intent,rules,4}', '{operations,charge,idempotency}', 'false')
		FROM pgw.connectors WHERE name = 'stripe';
	INSERT INTO pgw.connectors (name, definition) SELECT 'sure', jsonb_set(definition::jsonb, '{capabilities,lookup_consistent_after_seconds}', '0') FROM pgw.connectors WHERE name = 'slow';
	INSERT INTO pgw.connectors (name, definition) SELECT 'short', definition::jsonb || jsonb_build_object('references', jsonb_build_object('length', 20, 'alphabet', '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'))
		FROM pgw.connectors WHERE name = 'slow';
	INSERT INTO pgw.banks (name, connector, base_url, secret, notification_secret, livemode, request_timeout)
		SELECT c.name, c.name, '$bank->{url}/stripe', 'bank', 'hooks', false, '2s' FROM pgw.connectors c WHERE c.name IN ('slow', 'sure', 'short')");
bank_control($bank, 'settings', { lookup_lag_ms => 3600000 });

my %seen;

# A payment whose answer is lost, and which is next looked up in an hour or so; its reference, and the bank's id of its charge.
sub lose
{
	my ($id, $name) = @_;
	bank_control($bank, 'faults', { probabilities => { reset_after => 1 }, operations => ['charge'], times => 1 });
	sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, bank => $name // 'slow', token => 'pm_card_visa'));
	wait_until(sub { sql("SELECT t.next_step_at > clock_timestamp() + interval '10 min' FROM pgw.payment_transactions t WHERE client_request_id = '$id' AND status = 'BankUnknown'
		AND EXISTS (SELECT FROM pgw.transaction_events e WHERE e.transaction_id = t.transaction_id AND e.event_type = 'BankStatusChecked')") eq 't' }, 180) or die "$id did not come into doubt";
	# of a short one: the one that was not there before
	my ($charge) = ($name // '') eq 'short' ? (grep { length $_->{reference} == 20 && !$seen{ $_->{id} }++ } @{ bank_ledger($bank)->{charges} }) : charges_of($node, $bank, $id);
	return ($charge->{reference}, $charge->{id});
}

# What Stripe would send, and with which headers.
sub event
{
	my ($id, $ref, $intent, %o) = @_;
	my $body = JSON::PP->new->canonical->encode({ id => $id, object => 'event', type => 'payment_intent.succeeded', created => time, livemode => $o{live} // JSON::PP::false,
		data => { object => { id => $intent, object => 'payment_intent', metadata => { pgw_ref => $ref }, %{ $o{object} // {} } } } });
	my $at = $o{at} // time;
	return ($body, JSON::PP->new->encode({ 'stripe-signature' => "t=$at,v1=" . hmac_sha256_hex("$at.$body", $o{secret} // $SECRET) }));
}

sub receive_sql
{
	my ($name, $body, $headers) = @_;
	return "SELECT http_status, verdict FROM pgw.receive_notification('$name', '$headers', decode('" . unpack('H*', $body) . "', 'hex'))";
}

sub receive { return sql(receive_sql(@_)) }
sub rows { return sql("SELECT coalesce(string_agg(concat_ws(' ', event_id, event_type, outcome), ', ' ORDER BY event_id), '') FROM pgw.notifications WHERE event_id LIKE '$_[0]%'") }
sub becomes { my ($id, $status) = @_; return wait_until(sub { sql("SELECT status FROM pgw.find_payment('$id')") eq $status }, 180) }
# The requests that the bank has got for the charge of this id.
sub asked { my ($intent) = @_; return scalar grep { ($_->{path} // '') =~ /payment_intents\/\Q$intent\E/ } @{ bank_log($bank, 1000) } }

part($node, 'settled', sub {
	my ($ref, $intent) = lose('a');
	is(receive('slow', event('evt_a', $ref, $intent)), '200|accepted', 'a notification is taken');
	ok(becomes('a', 'captured'), 'and the worker asks the bank, an hour before it had planned to');
	is(rows('evt_a'), 'evt_a payment_intent.succeeded asked', 'its row says so');
	is(sql("SELECT payment_id = (SELECT payment_id FROM pgw.find_payment('a')), digest ~ '^[0-9a-f]{64}\$' FROM pgw.notifications WHERE event_id = 'evt_a'"), 't|t', 'whose it is, and the digest of what came');
	is(scalar kept_charges($node, $bank, 'a'), 1, 'one charge');
	is(receive('slow', event('evt_a', $ref, $intent)), '200|repeated', 'the same again');
	is(receive('slow', event('evt_a2', $ref, $intent)), '200|accepted', 'another one about it');
	is(rows('evt_a'), 'evt_a payment_intent.succeeded asked, evt_a2 payment_intent.succeeded nothing_open', 'of which nothing is left to be asked');
	is(receive('slow', event('evt_x', 'f' x 32, 'pi_nobody')), '200|accepted', 'and one about a payment that is not there');
	is(rows('evt_x'), 'evt_x payment_intent.succeeded unknown_payment', 'is kept as that');
});

# A bank that was told 20 letters instead of our 32 digits, and whose answer with the charge's id was lost: nothing else than these letters says whose it is.
part($node, 'short reference', sub {
	my ($other) = lose('s1', 'short');
	my ($mine) = lose('s2', 'short');
	my ($charge) = grep { $_->{reference} eq $mine } @{ bank_ledger($bank)->{charges} };
	is(length $mine, 20, 'the bank has a short reference');
	is(receive('short', event('evt_s1', $mine, $charge->{id})), '200|accepted', 'a notification with it');
	ok(becomes('s2', 'captured'), 'finds the payment');
	is(rows('evt_s1'), 'evt_s1 payment_intent.succeeded asked', 'which is the one that was asked about');
	is(sql("SELECT status FROM pgw.find_payment('s1')"), 'pending', 'and no other');
	is(receive('short', event('evt_s2', substr($other, 1) . '0', 'pi_nobody')), '200|accepted', 'one with a reference that is nobody\'s');
	is(rows('evt_s2'), 'evt_s2 payment_intent.succeeded unknown_payment', 'finds none');
});

part($node, 'rolled back', sub {
	my ($ref, $intent) = lose('b');
	my ($body, $headers) = event('evt_b', $ref, $intent);
	like(sql('BEGIN; ' . receive_sql('slow', $body, $headers) . '; ROLLBACK'), qr/200\|accepted/, 'taken in a transaction that is rolled back');
	sql("SELECT pgw.run_recovery()");
	is(join('|', rows('evt_b'), sql("SELECT status FROM pgw.find_payment('b')"), asked($intent)), '|pending|0', 'nothing was taken, and nobody was asked');
	is(receive('slow', $body, $headers), '200|accepted', 'the bank sends it again');
	ok(becomes('b', 'captured'), 'and the payment is settled');
});

# The bank is told that we have it, and never sends it again.
part($node, 'flushed', sub {
	my $writer = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
	my ($body, $headers) = event('evt_flushed', 'f' x 32, 'pi_flushed');
	kill STOP => $writer;
	is((split /\n/, sql('SET synchronous_commit = off; BEGIN; ' . receive_sql('slow', $body, $headers) . ";\nSELECT pg_current_wal_insert_lsn() AS lsn \\gset\nCOMMIT;\nSELECT pg_current_wal_flush_lsn() > :'lsn'::pg_lsn"))[-1],
		't', 'its commit is flushed, whatever the session has in synchronous_commit');
	kill CONT => $writer;
	like(rows('evt_flushed'), qr/^evt_flushed /, 'and it is there');
});

part($node, 'forged', sub {
	my ($ref, $intent) = lose('c');
	my ($body, $headers) = event('evt_c', $ref, $intent);
	is(receive('slow', event('evt_c', $ref, $intent, secret => 'whsec_guess')), '400|wrong_signature', 'signed by somebody else');
	is(receive('slow', $body =~ s/evt_c/evt_d/r, $headers), '400|wrong_signature', 'changed on its way');
	is(receive('slow', $body, '{}'), '400|not_signed', 'not signed');
	is(receive('slow', event('evt_c', $ref, $intent, at => time - 3600)), '400|out_of_time', 'an hour old');
	is(receive('slow', event('evt_c', $ref, $intent, live => JSON::PP::true)), '400|other_mode', 'of real money, at a bank for tests');
	is(receive('slow', 'x' x (256 * 1024 + 1), $headers), '413|too_large', 'too large to be looked at');
	is(receive('nobank', $body, $headers), '404|unknown_bank', 'for a bank that is not there');
	is(receive('test', $body, $headers), '404|not_expected', 'for one that sends none');
	sql("SELECT pgw.run_recovery()");
	is(join('|', rows('evt_c'), rows('evt_d'), sql("SELECT status FROM pgw.find_payment('c')"), asked($intent)), '||pending|0', 'nothing was taken, and nobody was asked');
	is(sql(q{SELECT sum(value) FROM pgw.metrics WHERE name = 'pgw_notifications_total' AND labels ->> 'bank' = 'slow' AND labels ->> 'verdict' = 'wrong_signature'}), 2, 'each is counted');
});

part($node, 'many refused', sub {
	my $told = sub { sql("SELECT bank, told, count FROM pgw.alert_state WHERE kind = 'notifications_refused'") };
	is($told->(), '', 'few of them are nothing to tell people of');
	my $before = -s $node->logfile;
	my ($body, $headers) = event('evt_r', 'f' x 32, 'pi_r', secret => 'whsec_guess');
	my $one = receive_sql('slow', $body, $headers);
	is(sql(join ';', ($one) x 30), join("\n", ('400|wrong_signature') x 30), 'many');
	ok(wait_until(sub { $told->() =~ /^slow\|/ }, 180), 'are told people');
	ok(wait_until(sub { slurp_file($node->logfile, $before) =~ /notifications_refused: \d+ notifications for bank "slow" could not be verified/ }, 180), 'and the log');
	is(rows('evt_r'), '', 'nothing of them is kept');
});

part($node, 'another charge', sub {
	my ($ref, $intent) = lose('d');
	my (undef, $other) = lose('e');
	is(receive('slow', event('evt_e', $ref, $other)), '200|accepted', 'a notification with our reference of one payment and the charge of another');
	ok(wait_until(sub { asked($other) == 1 && sql("SELECT count(*) FROM pgw.transaction_events JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = 'd' AND event_type = 'BankStatusChecked'") == 2 }, 180), 'the bank is asked');
	is(sql("SELECT string_agg(status::text, ',') FROM pgw.payment_transactions WHERE client_request_id IN ('d', 'e')"), 'BankUnknown,BankUnknown', 'and what it shows is neither payment\'s outcome');
	is(sql("SELECT next_step_at > clock_timestamp() + interval '10 min' FROM pgw.payment_transactions WHERE client_request_id = 'd'"), 't', 'the plan stands');
});

part($node, 'not found', sub {
	# a simulator of its own: the faults strike no look-up of what other parts have left in doubt
	my $bank = bank_start();
	sql("UPDATE pgw.banks SET base_url = '$bank->{url}/stripe' WHERE name = 'sure'");
	# its first look-up is answered with an error, so that the next one is planned
	bank_control($bank, 'faults', { probabilities => { reset_after => 1 }, operations => [ 'charge', 'lookup' ], times => 2 });
	sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'f', bank => 'sure', token => 'pm_card_visa'));
	ok(wait_until(sub { sql("SELECT next_step_at > clock_timestamp() + interval '10 min' FROM pgw.payment_transactions WHERE client_request_id = 'f' AND status = 'BankUnknown'") eq 't' }, 180), 'in doubt');
	my ($charge) = charges_of($node, $bank, 'f');
	is(receive('sure', event('evt_f', $charge->{reference}, 'pi_mistaken')), '200|accepted', 'a notification with an id that the bank does not know');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.transaction_events JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = 'f' AND event_type IN ('BankStatusChecked', 'BankProcessingFailed')") == 2 }, 180), 'the bank is asked');
	is(sql("SELECT status FROM pgw.find_payment('f')"), 'pending', 'and that it does not know it says nothing of the payment');
	is(receive('sure', event('evt_f2', $charge->{reference}, $charge->{id})), '200|accepted', 'the right one');
	ok(becomes('f', 'captured'), 'settles it');
});

# What it says of the amount is written down, and told people; what counts is what the bank answers.
part($node, 'amounts', sub {
	my ($ref, $intent) = lose('m');
	my $amounts = sub { sql("SELECT coalesce(string_agg(concat_ws(' ', event_id, amount, currency, amounts, alerted), ', ' ORDER BY event_id), '') FROM pgw.notifications WHERE event_id LIKE 'evt_m%'") };
	my $asked = sql("SELECT amount, currency FROM pgw.payment_transactions WHERE client_request_id = 'm'");
	my ($amount, $currency) = split /\|/, $asked;
	is(receive('slow', event('evt_m1', $ref, $intent, object => { amount => $amount + 1, currency => lc $currency })), '200|accepted', 'another amount');
	ok(becomes('m', 'captured'), 'makes pgw ask, as any does');
	is(sql("SELECT captured_amount FROM pgw.find_payment('m')"), $amount, 'and the payment has the amount that the bank answers');
	receive('slow', event('evt_m2', $ref, $intent, object => { amount => $amount, currency => lc $currency }));
	receive('slow', event('evt_m3', $ref, $intent));
	receive('slow', event('evt_m4', $ref, $intent, object => { amount => $amount, currency => 'usd' eq lc $currency ? 'eur' : 'usd' }));
	like($amounts->(), qr/^evt_m1 @{[$amount + 1]} $currency unequal f, evt_m2 $amount $currency equal f, evt_m3 f, evt_m4 $amount ... unequal f$/, 'each is compared');
	# looked for every minute, and when a worker starts
	sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
	ok(wait_until(sub { sql("SELECT count FROM pgw.alert_state WHERE kind = 'notification_amount' AND transaction_id = (SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = 'm')") eq '2' }, 180), 'people are told of the two');
	like($amounts->(), qr/unequal t, .* equal f, .* f, .* unequal t$/, 'once each');
});

# 1,200 that are older than 90 days, which are more than go in one turn, and one that is a day younger.
part($node, 'old ones', sub {
	sql("INSERT INTO pgw.notifications (notification_id, bank, livemode, digest, event_id, outcome, received_at)
		SELECT (lpad(to_hex((extract(epoch FROM now() - make_interval(days => CASE a WHEN 0 THEN 89 ELSE 91 END)) * 1000)::bigint), 12, '0') || '70008000' || lpad(a::text, 12, '0'))::uuid,
			'slow', true, 'old', 'evt_old' || a, 'nothing_open', now() FROM generate_series(0, 1200) a");
	my $others = sql("SELECT count(*) FROM pgw.notifications WHERE digest <> 'old'");
	# what is due now and then is due when a worker starts
	sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.notifications WHERE digest = 'old'") == 1 }, 180), 'old ones are deleted');
	is(rows('evt_old'), 'evt_old0 nothing_open', 'and no younger one');
	is(sql("SELECT count(*) FROM pgw.notifications WHERE digest <> 'old'"), $others, 'nor any that has come here');
	is(sql('SELECT notifications FROM pgw.purge_test_data()'), $others, 'those of test banks go with the test data');
	is(rows('evt_old'), 'evt_old0 nothing_open', 'and that of real money stays');
});

part($node, 'secrets', sub {
	my ($body, $headers) = event('evt_s', 'f' x 32, 'pi_s', secret => 'whsec_next');
	is(receive('slow', $body, $headers), '400|wrong_signature', 'a secret that is not known yet');
	write_secret('# both, while the bank changes over', $SECRET, 'whsec_next');
	is(receive('slow', $body, $headers), '200|accepted', 'two in the file');
	is(receive('slow', event('evt_s2', 'f' x 32, 'pi_s')), '200|accepted', 'and the old one is good, too');
	unlink "$secrets/hooks";
	is(receive('slow', event('evt_s3', 'f' x 32, 'pi_s')), '503|no_secret', 'without a file the bank is to send it again');
	like(slurp_file($node->logfile), qr/the notifications of bank "slow" cannot be checked: the secret's file does not exist/, 'and the log says why');
	unlike(slurp_file($node->logfile), qr/whsec_/, 'never with what');
});

done_testing();
