# A signed notification of a payment that is not known yet waits, and is matched when it is: as the bank's word, as a reason to ask, as one of what was done at the bank.  What belongs to nobody here is
# let go after an hour, and however much of it there is, it holds up no payment, nor what comes after it.
use strict;
use warnings;
use lib 'test/lib';
use Digest::SHA qw(hmac_sha256_hex);
use HTTP::Tiny;
use JSON::PP;
use PgwOperations;
use PgwSession;
use PgwTest;
use Test::More;
use Time::HiRes ();

my $KEY = 'hook-secret';
my ($node, $bank) = operations_cluster('unknown_payments', debug => 1);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub attempt { return sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }
sub becomes { my ($id, $status, $name) = @_; wait_until(sub { attempt($id) eq $status }, 30); return is(attempt($id), $status, $name) }

# One bank that can be asked nothing, and one that can.
my $said = q("signature": {"scheme": "hmac_body", "header": "X-Signature", "as": "hex"}, "identity": "/id", "type": "/type",
	"fields": {"reference": "/reference", "bank_reference": "/charge", "amount": "/amount", "currency": "/currency"});
my %notifications = (
	told => qq({$said, "evidence": [{"when": {"/type": "yes"}, "about": "charge", "outcome": "approved"}, {"when": {"/type": "no"}, "about": "charge", "outcome": "declined"}]}),
	asked => qq({$said, "changes": {"refunded": "refunded"}}));
for my $name (sort keys %notifications)
{
	my $without = $name eq 'told' ? "#- '{operations,lookup_charge}' #- '{operations,lookup_refund}' #- '{capabilities,lookup_consistent_after_seconds}'" : '';
	sql("INSERT INTO pgw.connectors (name, definition) SELECT '$name', definition::jsonb $without || jsonb_build_object('notifications', '$notifications{$name}'::jsonb) FROM pgw.connectors WHERE name = 'quick';
		INSERT INTO pgw.banks (name, connector, base_url, secret, notification_secret, livemode, priority, request_timeout) VALUES ('$name', '$name', '$bank->{url}', 'bank', 'hooks', false, 900, '5s')");
}
secret_file($node, 'hooks', $KEY);
# whatever becomes known was told: what is planned comes in an hour
change_settings($node, 'pgw.retry_base_delay' => '1h', 'pgw.retry_max_delay' => '1d');

my $count = 0;

# The bank says it; the verdict.
sub says
{
	my ($name, $type, %body) = @_;
	my $body = encode_json({ id => 'n' . ++$count, type => $type, amount => 1000, currency => 'EUR', %body });
	return sql("SELECT verdict FROM pgw.receive_notification('$name', '{\"x-signature\": \"" . hmac_sha256_hex($body, $KEY) . "\"}', decode('" . unpack('H*', $body) . "', 'hex'))");
}

# The row of what was said last, or as that event.
sub row { my $event = $_[0] // "n$count"; return sql("SELECT concat_ws(' ', outcome, evidence, change, CASE WHEN next_match_at IS NOT NULL THEN 'waits' END) FROM pgw.notifications WHERE event_id = '$event'") }
sub row_becomes { my ($want, $name) = @_; wait_until(sub { row() eq $want }, 30); return is(row(), $want, $name) }
# What is due now and then is due when a worker starts.
sub look_now { return sql("UPDATE pgw.notifications SET next_match_at = clock_timestamp() WHERE next_match_at IS NOT NULL; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker'") }
sub look_in { my ($interval) = @_; return sql("UPDATE pgw.notifications SET next_match_at = clock_timestamp() + interval '$interval' WHERE next_match_at IS NOT NULL") }

# A payment that is submitted and not committed: who has to commit it, and our reference of it.
sub submit_only
{
	my ($id, %a) = @_;
	my $caller = PgwSession->new($node, name => $id);
	$caller->query('BEGIN');
	$caller->query('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, amount => 1000, %a));
	return ($caller, $caller->query("SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE client_request_id = '$id'"));
}

part($node, 'the word of a bank', sub {
	my ($caller, $key) = submit_only('early', bank => 'told', token => 'tok_charge_pending_fail_1');
	is(says('told', 'no', reference => $key), 'accepted', 'the bank speaks of a payment that is not committed');
	is(row(), 'unknown_payment waits', 'which is not known, and waits');
	ok(wait_until(sub { sql("SELECT next_match_at > recorded_at + interval '3 s' FROM pgw.notifications WHERE event_id = 'n$count'") eq 't' }, 30), 'it is looked at again, and waits still');
	$caller->query('COMMIT');
	look_now();
	becomes('early', 'Failed', 'when the payment is known the word is taken');
	is(row(), 'evidence used', 'as if it came then');
	is(sql("SELECT status FROM pgw.payments WHERE client_request_id = 'early'"), 'declined', 'declined');
	is(says('told', 'no', reference => 'e' x 32), 'accepted', 'the bank speaks of one that was made elsewhere');
	is(row(), 'unknown_payment waits', 'which waits');
	sql("UPDATE pgw.notifications SET recorded_at = recorded_at - interval '1 h', next_match_at = clock_timestamp() WHERE event_id = 'n$count'");
	look_now();
	row_becomes('unknown_payment', 'and is not looked at for ever');
	is(says('told', 'no'), 'accepted', 'one that names nothing');
	is(row(), 'unknown_payment', 'does not wait');
	is_sound($node, $bank, 'the word of a bank: sound');
});

part($node, 'a reason to ask', sub {
	my ($caller, $key) = submit_only('open', bank => 'asked', token => 'tok_charge_pending_done_5000');
	is(says('asked', 'paid', reference => $key), 'accepted', 'a bank that can be asked speaks too early, too');
	look_in('1 h');
	$caller->query('COMMIT');
	ok(wait_until(sub { sql("SELECT next_step_at > clock_timestamp() + interval '10 min' FROM pgw.payment_transactions WHERE client_request_id = 'open' AND status = 'BankUnknown'") eq 't' }, 30), 'its charge pends, and is asked about in an hour');
	ok(wait_until(sub { grep { $_->{status} eq 'approved' } charges_of($node, $bank, 'open') }, 60), 'then the bank has decided');
	look_now();
	becomes('open', 'Completed', 'once the notification is matched it is asked about now');
	is(row(), 'asked', 'as its row says');
	is_sound($node, $bank, 'a reason to ask: sound');
});

part($node, 'made at the bank', sub {
	my ($caller, $key) = submit_only('changed', bank => 'asked');
	is(says('asked', 'refunded', reference => $key), 'accepted', 'a bank tells of what was done at its own pages, of a payment that is not known');
	is(row(), 'unknown_payment waits', 'it waits');
	look_in('1 h');
	$caller->query('COMMIT');
	becomes('changed', 'Completed', 'the payment is there');
	my ($charge) = charges_of($node, $bank, 'changed');
	my $r = HTTP::Tiny->new->post("$bank->{url}/v1/charges/$charge->{id}/refunds", { content => encode_json({ currency => 'EUR', reference => 'f' x 32, amount => 300 }),
		headers => { 'Content-Type' => 'application/json', Authorization => 'Bearer test-secret', 'Idempotency-Key' => 'f' x 32 } });
	is($r->{status}, 201, 'and a refund that pgw has not made') or diag $r->{content};
	look_now();
	ok(wait_until(sub { sql("SELECT bank_refunded_amount FROM pgw.payments WHERE client_request_id = 'changed'") eq '300' }, 30), 'which is recorded once the notification is matched');
	row_becomes('change seen', 'as its row says');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'made at the bank: sound');
});

for my $how (@LOSSES)
{
	part($node, $how, sub {
		my $id = 'lost-' . $how =~ s/\W//gr;
		my ($caller, $key) = submit_only($id, bank => 'told', token => 'tok_charge_pending_fail_1');
		is(says('told', 'no', reference => $key), 'accepted', "$how: the bank speaks of a payment that is not committed");
		my $event = "n$count";
		look_in('1 h');
		$caller->query('COMMIT');
		becomes($id, 'BankUnknown', 'it is, and pends');
		debug_arm($node, 'unknown_payment_matched', 'stop');
		look_now();
		my $worker = debug_wait($node, 'unknown_payment_matched');
		is(says('told', 'no', reference => 'd' x 32), 'accepted', 'no endpoint waits for the worker');
		lose_process($node, $how, $worker);
		# it was put off before it was looked at
		look_now() if attempt($id) ne 'Failed';
		becomes($id, 'Failed', 'the next worker takes the word');
		is(row($event), 'evidence used', 'as its row says');
		is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, "$how: sound");
	});
}

# Two are due, and the turn has time for one: the look of the other is not spent by that.
part($node, 'no time for it', sub {
	my (%caller, %event);
	for my $id (qw(first second))
	{
		($caller{$id}, my $key) = submit_only("turn-$id", bank => 'told', token => 'tok_charge_pending_fail_1');
		is(says('told', 'no', reference => $key), 'accepted', "$id: the bank speaks of a payment that is not committed");
		$event{$id} = "n$count";
	}
	look_in('1 h');
	$caller{$_}->query('COMMIT') for qw(first second);
	becomes("turn-$_", 'BankUnknown', "$_: it is, and pends") for qw(first second);
	# by its age the next look of the second would come in half an hour
	sql("UPDATE pgw.notifications SET recorded_at = recorded_at - interval '30 min' WHERE event_id IN ('$event{first}', '$event{second}')");
	is(says('told', 'no', reference => 'c' x 32), 'accepted', 'and of one that is not here');
	debug_arm($node, 'unknown_payment_matched', 'stop');
	# that one has become due before the others, so it is looked at last
	sql("UPDATE pgw.notifications SET next_match_at = clock_timestamp() - CASE event_id WHEN 'n$count' THEN interval '1 min' ELSE '0' END WHERE next_match_at IS NOT NULL;
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
	debug_wait($node, 'unknown_payment_matched');
	my $other = PgwSession->new($node, name => 'purge');
	$other->query('BEGIN');
	$other->query("SELECT FROM pgw.notifications WHERE event_id = 'n$count' FOR UPDATE");
	my $stopped = Time::HiRes::time();
	wait_until(sub { Time::HiRes::time() - $stopped > 0.2 }, 60);    # longer than a turn may take
	debug_release($node, 'unknown_payment_matched');
	becomes("turn-$_", 'Failed', "$_: its notification is taken, whoever holds the row of the other") for qw(first second);
	$other->query('ROLLBACK');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'no time for it: sound');
});

# What another shop does at the same account: 9,000 notifications that are due, all older than ours.
part($node, 'those of others', sub {
	sql("INSERT INTO pgw.notifications (notification_id, bank, livemode, digest, event_id, reference, bank_reference, outcome, next_match_at, received_at)
		SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '70008000' || lpad(n::text, 12, '0'))::uuid, 'told', false, 'flood', 'o' || n, 'order-' || n, 'charge-' || n, 'unknown_payment', clock_timestamp() - make_interval(secs => n / 100.0), clock_timestamp() FROM generate_series(1, 9000) n");
	my ($caller, $key) = submit_only('mine', bank => 'told', token => 'tok_charge_pending_fail_1');
	is(says('told', 'no', reference => $key), 'accepted', 'one of ours comes when 9,000 of others wait');
	$caller->query('COMMIT');
	is(pay($node, "beside-$_", bank => 'asked'), 'captured', 'a payment meanwhile') for 1 .. 20;
	becomes('mine', 'Failed', 'and is matched before all of them were looked at');
	cmp_ok(sql("SELECT count(*) FROM pgw.notifications WHERE digest = 'flood' AND next_match_at <= clock_timestamp()"), '>', 500, 'which still wait');
	sql("UPDATE pgw.notifications SET next_match_at = next_match_at - interval '2 h', recorded_at = recorded_at - interval '3 h' WHERE digest = 'flood'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.notifications WHERE digest = 'flood' AND next_match_at IS NOT NULL") == 0 }, 180), 'what nobody has got to is let go when its time is over');
	is(sql("SELECT count(*) FROM pgw.notifications WHERE digest = 'flood' AND outcome = 'unknown_payment'"), 9000, 'and stays what it is');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'those of others: sound');
});

$node->stop;
done_testing();
