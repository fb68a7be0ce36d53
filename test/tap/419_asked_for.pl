# Scheme ask: anybody may have sent the notification, so its id alone is kept, the worker asks the bank for it, and what the bank answers counts: what was
# forged, or is of another id, counts for nothing, and whoever is killed meanwhile asks again.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwBytes;
use PgwScriptedBank;
use PgwSession;
use PgwTest;
use Test::More;

my $node = pgw_node('asked_for', debug => 1, conf => "fsync = off\nautovacuum = off\npgw.retry_base_delay = '1h'\npgw.retry_max_delay = '1d'\npgw.recovery_interval = '1d'\npgw.breaker_failures = 1000\nrestart_after_crash = on\n");
pgw_setup($node);
sub sql { return $node->safe_psql('postgres', $_[0]) }

# It answers no charge, and has an event for each id that begins with "paid", of the charge that the rest of it names; "slow" only when it was asked twice.
my %asked;
my $of_number;    # the charge of its one event whose id is a number
my $bank = scripted_bank(sub {
	my ($r) = @_;
	return { document => \%asked } if $r->{path} eq '/asked';
	return { document => { of => $of_number = $1 } } if $r->{path} =~ m{^/number/(.*)};
	if ($r->{path} =~ m{^/events/(\d{16})$})
	{
		$asked{$1}++;
		return { status => 404, document => { error => 'none' } } if $1 ne '5105105105105100';
		return { document => { id => $1, type => 'charge.approved', ref => $of_number, charge => "c-$of_number", amount => 1000, currency => 'EUR', live => \0 } };
	}
	my ($word, $ref) = $r->{path} =~ m{^/events/([a-z]+)-([0-9a-f]{32})$} or return;
	my $n = ++$asked{"$word-$ref"};
	return { status => 500, document => { error => 'down' } } if $word eq 'fails' || $word eq 'down' && $n == 1;
	return { status => 401, document => { error => 'key' } } if $word eq 'key';
	return { status => 404, document => { error => 'none' } } unless $word =~ /^(?:paid|other|live|down)$/ || $word eq 'slow' && $n > 1;
	return { document => { id => ($word eq 'other' ? 'paid' : $word) . "-$ref", type => 'charge.approved', ref => $ref, charge => "c-$ref", amount => 1000, currency => 'EUR', live => $word eq 'live' ? \1 : \0 } };
});
add_dialect($node, $bank, 'asked', {
	v => 2, capabilities => { tokens => \1 },
	operations => {
		charge => { method => 'POST', path => '/charges', encoding => 'json', body => { ref => '{{transaction_ref}}', amount => '{{amount}}', currency => '{{currency}}', token => '{{token}}' },
			answer => { rules => [ { status => 201, when => { '/state' => 'paid' }, outcome => 'approved' } ], fields => { reference => '/ref', bank_reference => '/charge', amount => '/amount', currency => '/currency' } } },
		verify_notification => { method => 'GET', path => '/events/{{notification_id}}',
			answer => { rules => [ { status => 200, when => { '/id' => { exists => \1 } }, outcome => 'approved' }, { status => 404, when => { '/error' => 'none' }, outcome => 'not_found' } ] } } },
	notifications => { signature => { scheme => 'ask' }, identity => '/id', type => '/type',
		fields => { reference => '/ref', bank_reference => '/charge', amount => '/amount', currency => '/currency', livemode => '/live' },
		evidence => [ { when => { '/type' => 'charge.approved' }, about => 'charge', outcome => 'approved' }, { when => { '/type' => 'charge.declined' }, about => 'charge', outcome => 'declined' } ] } },
	livemode => 'false', request_timeout => '2s', max_in_flight => 3);    # few places: a question that kept its own would stop the bank's payments

sub reference { return sql("SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }
sub attempt { return sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }
sub verdict_of { my ($event) = @_; return sql("SELECT verdict || ' ' || http_status FROM pgw.receive_notification('asked', '{}', convert_to('" . encode_json($event) . "', 'UTF8'))") }
sub row { return sql("SELECT concat_ws(' ', outcome, evidence, proof, next_ask_at IS NOT NULL) FROM pgw.notifications WHERE event_id = '$_[0]'") }
sub asked { return PgwTest::http_json('GET', "$bank->{url}/asked")->{ $_[0] } // 0 }
sub counted { return sql("SELECT coalesce(sum(value), 0) FROM pgw.metrics WHERE name = 'pgw_notifications_total' AND labels->>'bank' = 'asked' AND labels->>'verdict' = '$_[0]'") }
# as if that had been long ago, or were due now
sub age { return sql("UPDATE pgw.notifications SET recorded_at = recorded_at - interval '$_[1]', next_ask_at = clock_timestamp() WHERE event_id = '$_[0]'") }

sub submit
{
	my ($id) = @_;
	sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, bank => 'asked', amount => 1000));
	ok(wait_until(sub { attempt($id) eq 'BankUnknown' }, 60), "$id: the answer to the charge is lost");
	return reference($id);
}

part($node, 'confirmed', sub {
	my $event = 'paid-' . submit('a');
	# what came says anything: another amount, another charge, that it failed
	is(verdict_of({ id => $event, type => 'charge.declined', ref => 'f' x 32, amount => 1, currency => 'USD', charge => 'x', live => \0 }), 'to_confirm 200', 'it has its row, whatever it says');
	ok(wait_until(sub { attempt('a') eq 'Completed' }, 60), 'the bank is asked for it, and what that says counts');
	is(sql("SELECT concat_ws(' ', status, captured_amount, currency, bank_reference) FROM pgw.payments WHERE client_request_id = 'a'"), 'captured 1000 EUR c-' . reference('a'), 'of the charge, and the amount');
	ok(wait_until(sub { row($event) eq 'evidence used answer f' }, 60), 'the row is one like those that are signed') or diag(row($event));
	is(verdict_of({ id => $event }), 'repeated 200', 'the same again');
	is(join(' ', asked($event), counted('accepted')), '1 1', 'and it was asked for once');
});

part($node, 'written otherwise', sub {
	my $event = 'paid-' . submit('w');
	is(verdict_of({ id => $event }), 'to_confirm 200', 'it comes');
	ok(wait_until(sub { row($event) eq 'evidence used answer f' }, 60), 'and is taken') or diag(row($event));
	my $again = encode_json({ id => $event }) =~ s/paid/\\u0070\\u0061id/r;
	is(sql("SELECT verdict || ' ' || http_status FROM pgw.receive_notification('asked', '{}', convert_to('$again', 'UTF8'))"), 'repeated 200', 'the same id, with other letters of JSON: the same one');
	is(sql("SELECT count(*) FROM pgw.notifications WHERE event_id = '$event'"), 1, 'that has one row');
});

part($node, 'not the bank', sub {
	my $ref = submit('b');
	is(verdict_of({ id => "made-$ref", type => 'charge.approved', ref => $ref, amount => 1000, currency => 'EUR', charge => 'x' }), 'to_confirm 200', 'somebody has made one up');
	ok(wait_until(sub { asked("made-$ref") == 1 }, 60), 'the bank is asked for it');
	ok(wait_until(sub { sql("SELECT next_ask_at > recorded_at + interval '50 s' FROM pgw.notifications WHERE event_id = 'made-$ref'") eq 't' }, 60), 'and again after a minute, as its books may lag behind');
	is(row("made-$ref"), 'unconfirmed t', 'nothing comes of it meanwhile');
	age("made-$ref", '61 s');
	ok(wait_until(sub { row("made-$ref") eq '' }, 60), 'then it is dropped');
	is(counted('not_confirmed'), 1, 'and counted');
	is(verdict_of({ id => "other-$ref" }), 'to_confirm 200', 'of another id');
	ok(wait_until(sub { asked("other-$ref") == 1 && sql("SELECT next_ask_at < clock_timestamp() + interval '10 s' FROM pgw.notifications WHERE event_id = 'other-$ref'") eq 't' }, 60), 'the answer is another notification');
	is(row("other-$ref"), 'unconfirmed t', 'which confirms nothing');
	is(verdict_of({ id => "live-$ref" }), 'to_confirm 200', 'of the other mode');
	ok(wait_until(sub { row("live-$ref") eq '' && counted('other_mode') == 1 }, 60), 'is dropped');
	is(verdict_of({ type => 'charge.approved', ref => $ref }), 'unreadable 400', 'without an id nobody could be asked');
	is(attempt('b'), 'BankUnknown', 'nothing of all that has decided anything');
});

part($node, 'later', sub {
	my $ref = submit('c');
	is(verdict_of({ id => "slow-$ref" }), 'to_confirm 200', 'its books lag behind');
	ok(wait_until(sub { asked("slow-$ref") == 1 && sql("SELECT next_ask_at > clock_timestamp() + interval '5 s' FROM pgw.notifications WHERE event_id = 'slow-$ref'") eq 't' }, 60), 'it is not known yet');
	age("slow-$ref", '0 s');
	ok(wait_until(sub { attempt('c') eq 'Completed' }, 60), 'and is when it is asked for again');
	$ref = submit('d');
	is(verdict_of({ id => "down-$ref" }), 'to_confirm 200', 'the bank is down');
	ok(wait_until(sub { attempt('d') eq 'Completed' }, 60), 'and asked again');
	is(asked("down-$ref"), 2, 'twice');
	my $before = counted('not_confirmed');
	is(verdict_of({ id => "gone-$ref" }), 'to_confirm 200', 'it was never heard of');
	age("gone-$ref", '25 h');
	ok(wait_until(sub { row("gone-$ref") eq 'unconfirmed f' }, 60), 'after a day nobody is asked any more');
	ok(wait_until(sub { counted('not_confirmed') > $before }, 60), 'which is counted');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'notifications_refused' AND bank = 'asked' AND message ~ 'for a day'") == 1 }, 60), 'and told');
	is(verdict_of({ id => "gone-$ref" }), 'repeated 200', 'it comes again');
	is(sql("SELECT next_ask_at IS NOT NULL AND recorded_at > clock_timestamp() - interval '1 h' FROM pgw.notifications WHERE event_id = 'gone-$ref'"), 't', 'and is as new');
});

part($node, 'comes again', sub {
	my $event = 'made-' . '9' x 32;
	is(verdict_of({ id => $event }), 'to_confirm 200', 'somebody has sent it before the bank');
	ok(wait_until(sub { asked($event) == 1 && sql("SELECT next_ask_at > recorded_at + interval '50 s' FROM pgw.notifications WHERE event_id = '$event'") eq 't' }, 60), 'which does not know it yet');
	sql("UPDATE pgw.notifications SET recorded_at = recorded_at - interval '58 s' WHERE event_id = '$event'");
	is(verdict_of({ id => $event }), 'repeated 200', 'the bank sends it at the end of its minute');
	ok(wait_until(sub { asked($event) == 2 && sql("SELECT next_ask_at > clock_timestamp() + interval '20 s' FROM pgw.notifications WHERE event_id = '$event'") eq 't' }, 60), 'and is asked for it at once, and after another minute');
	my $other = PgwSession->new($node, name => 'purge');
	$other->query('BEGIN');
	$other->query("SELECT FROM pgw.notifications WHERE event_id = '$event' FOR UPDATE");
	is(verdict_of({ id => $event }), 'too_many 503', 'while somebody has its row it is to come again');
	$other->query('ROLLBACK');
	is(verdict_of({ id => $event }), 'repeated 200', 'as it can');
});

part($node, 'killed', sub {
	my $ref = submit('e');
	debug_arm($node, 'sent_by_itself', 'stop');
	is(verdict_of({ id => "paid-$ref" }), 'to_confirm 200', 'the worker asks');
	crash($node, debug_wait($node, 'sent_by_itself'));
	ok(wait_until(sub { row("paid-$ref") eq 'unconfirmed t' }, 60), 'and is killed');
	age("paid-$ref", '0 s');
	ok(wait_until(sub { attempt('e') eq 'Completed' }, 60), 'the next one asks again');
	is(sql("SELECT captured_amount FROM pgw.payments WHERE client_request_id = 'e'"), 1000, 'captured once');
});

part($node, 'flood', sub {
	sql("INSERT INTO pgw.notifications (notification_id, bank, livemode, identity, digest, event_id, outcome, received_at, next_ask_at)
		SELECT gen_random_uuid(), 'asked', false, 'i' || n, '', 'made-' || n, 'unconfirmed', clock_timestamp(), clock_timestamp() + interval '1 h' FROM generate_series(1, 1000) n");
	my $ref = submit('f');
	is(verdict_of({ id => "paid-$ref" }), 'too_many 503', 'where a thousand wait no more are taken');
	ok(wait_until(sub { attempt('f') eq 'Completed' }, 60), 'and the bank is asked for it all the same');
	is(row("paid-$ref"), 'evidence used answer f', 'it has its row, as the bank has confirmed it');
	is(verdict_of({ id => "paid-$ref" }), 'repeated 200', 'when the bank sends it again it is known');
	is(verdict_of({ id => 'fails-' . '3' x 32 }), 'too_many 503', 'one more that somebody has made up');
	ok(wait_until(sub { asked('fails-' . '3' x 32) > 0 }, 60), 'is asked for, too');
	is(row('fails-' . '3' x 32), '', 'and leaves nothing');
	$ref = submit('f2');
	like(sql("SELECT status || ' ' || details FROM pgw.health() WHERE check_name = 'unconfirmed_notifications'"), qr/^warning .*"bank": "asked", "full": true, "late": false, "count": 100\d/, 'and health() says so');
	sql("UPDATE pgw.notifications SET event_id = 'other-one' WHERE event_id = 'made-1'; DELETE FROM pgw.notifications WHERE event_id LIKE 'made-%'; UPDATE pgw.notifications SET recorded_at = recorded_at - interval '2 h' WHERE event_id LIKE 'other-%'");
	like(sql("SELECT status || ' ' || details FROM pgw.health() WHERE check_name = 'unconfirmed_notifications'"), qr/^warning .*"full": false, "late": true/, '... and that one has waited for two hours');
	sql("DELETE FROM pgw.notifications WHERE event_id LIKE 'other-%'");
	like(sql("SELECT status || ' ' || coalesce(advice, '-') FROM pgw.health() WHERE check_name = 'unconfirmed_notifications'"), qr/^ok -$/, '... and nothing when none has');
	is(verdict_of({ id => "paid-$ref" }), 'to_confirm 200', 'when there is room');
	ok(wait_until(sub { attempt('f2') eq 'Completed' }, 60), 'it is asked for');
});

# Of sixteen digits one id in thirty looks like a card's number, and anybody may have sent it.
part($node, 'an id like a card', sub {
	my $ref = submit('n');
	PgwTest::http_json('GET', "$bank->{url}/number/$ref");
	is(verdict_of({ id => '5105105105105100', type => 'charge.approved' }), 'asked_first 503', 'nothing of it is kept, and the bank has to send it again');
	is(sql("SELECT count(*) FROM pgw.notifications WHERE event_id = '5105105105105100' OR outcome = 'unconfirmed' AND event_id IS NULL"), 0, 'it has no row');
	ok(wait_until(sub { attempt('n') eq 'Completed' }, 10), 'but is asked for, and the answer counts') or diag(asked('5105105105105100'), sql('SELECT * FROM pgw.notifications'), PgwTest::http_json('GET', "$bank->{url}/events/5105105105105100")->{ref});
	is(row('5105105105105100'), 'evidence used answer f', 'the bank has said that the id is its own: it has its row');
	is(verdict_of({ id => '5105105105105100' }), 'repeated 200', 'it comes again');
	is(counted('asked_first'), 1, 'which is counted');
	sql("CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''for nothing''; END'; CREATE TRIGGER noted BEFORE UPDATE ON pgw.notifications EXECUTE FUNCTION noted()");
	is(verdict_of({ id => '6011000990139424' }), 'asked_first 503', 'of one that has no row none is renewed');
	sql('DROP TRIGGER noted ON pgw.notifications');
	my $body = unpack 'H*', encode_json({ id => '4111111111111111' });
	is(sql("SELECT verdict FROM pgw.receive_notification('asked', '{}', decode('$body', 'hex'))"), 'asked_first', 'a number that the bank does not know');
	ok(wait_until(sub { asked('4111111111111111') == 1 }, 60), 'is asked for');
});

part($node, 'serializable', sub {
	my @callers = map { PgwSession->new($node, name => "serializable $_") } 1 .. 2;
	for my $n (0, 1)
	{
		$callers[$n]->query('BEGIN ISOLATION LEVEL SERIALIZABLE');
		is($callers[$n]->query("SELECT verdict FROM pgw.receive_notification('asked', '{}', convert_to('{\"id\":\"made-$n" . '7' x 31 . "\"}', 'UTF8'))"), 'to_confirm', 'two callers take one each');
	}
	for my $caller (@callers)
	{
		$caller->run('COMMIT');
		is($caller->state, '00000', 'and neither makes the other fail') or diag($caller->err);
	}
});

part($node, 'flood of another bank', sub {
	sql("INSERT INTO pgw.banks (name, connector, base_url, livemode, priority, request_timeout) SELECT 'flooded', connector, base_url, livemode, priority, request_timeout FROM pgw.banks WHERE name = 'asked';
		INSERT INTO pgw.notifications (notification_id, bank, livemode, identity, digest, event_id, outcome, received_at, next_ask_at)
		SELECT gen_random_uuid(), 'flooded', false, 'i' || n, '', 'made-' || lpad(n::text, 32, '0'), 'unconfirmed', clock_timestamp(), clock_timestamp() - interval '1 h' FROM generate_series(1, 900) n");
	is(verdict_of({ id => 'paid-' . '8' x 32 }), 'to_confirm 200', 'one comes where 900 wait for another bank, all longer');
	ok(wait_until(sub { row('paid-' . '8' x 32) =~ /answer/ }, 60), 'it is asked for');
	cmp_ok(sql("SELECT count(*) FROM pgw.notifications WHERE bank = 'flooded' AND next_ask_at < clock_timestamp() - interval '30 min'"), '>', 100, 'before they are');
	sql("DELETE FROM pgw.notifications WHERE bank = 'flooded'");
});

# Numbers of test cards, as many as take both places in memory; their ids look like cards' numbers, so none of them has a row.
my @numbers = qw(4242424242424242 4012888888881881 5555555555554444 6011111111111117 2223003122003222 5200828282828210);

# With five shards there is one question a second: what lies in memory, two each second, must not have them all.
part($node, 'rows beside what has none', sub {
	$node->append_conf('postgresql.conf', 'pgw.bank_shards = 5');
	$node->reload;
	ok(wait_until(sub { sql('SHOW pgw.bank_shards') == 5 }, 60), 'five shards share the bank');
	sql("INSERT INTO pgw.notifications (notification_id, bank, livemode, identity, digest, event_id, outcome, received_at, next_ask_at)
		SELECT gen_random_uuid(), 'asked', false, 'b' || n, '', 'beside-' || lpad(n::text, 32, '0'), 'unconfirmed', clock_timestamp(), clock_timestamp() - interval '1 h' FROM generate_series(1, 30) n");
	my ($rows, $numbers);
	my $count = sub { my $all = PgwTest::http_json('GET', "$bank->{url}/asked"); $rows = grep { /^beside/ } keys %$all; $numbers = 0; $numbers += $all->{$_} // 0 for @numbers };
	my $calls = join ', ', map { "(SELECT verdict FROM pgw.receive_notification('asked', '{}', decode('" . unpack('H*', encode_json({ id => $_ })) . "', 'hex')))" } @numbers;
	my $flood = sub { sql("SELECT $calls"); $count->() };
	ok(wait_until(sub { $flood->(); $rows + $numbers >= 12 }, 60), 'a full bucket is used up');
	my ($rows_then, $numbers_then) = ($rows, $numbers);
	ok(wait_until(sub { $flood->(); $rows >= $rows_then + 5 }, 40), 'while somebody makes up ids like cards all the time, the bank is asked for what has rows') or diag("$rows_then rows, then $rows; $numbers_then numbers, then $numbers");
	cmp_ok($numbers, '>=', $numbers_then + 3, 'in turn with what has none');
	sql("DELETE FROM pgw.notifications WHERE event_id LIKE 'beside-%'");
	$node->append_conf('postgresql.conf', 'pgw.bank_shards = 1');
	$node->reload;
	ok(wait_until(sub { sql('SHOW pgw.bank_shards') == 1 }, 60), 'one has it alone again');
});

# Its breaker stays open: the last part that asks.
part($node, 'made up by the dozen', sub {
	my $open = "SELECT coalesce(string_agg(operation_group, ' '), '') FROM pgw.bank_states WHERE bank = 'asked' AND operation_group <> 'charges' AND state <> 'closed'";
	$node->append_conf('postgresql.conf', 'pgw.breaker_failures = 2');
	$node->reload;
	ok(wait_until(sub { sql('SHOW pgw.breaker_failures') == 2 }, 60), 'two failures in a row are enough');
	is(verdict_of({ id => "key-$_" . 'f' x 31 }), 'to_confirm 200', "an id that the bank refuses with 401, $_") for 1 .. 4;
	ok(wait_until(sub { asked('key-4' . 'f' x 31) >= 1 }, 60), 'it is asked for all of them');
	is(verdict_of({ id => "fails-$_" . 'f' x 31 }), 'to_confirm 200', "one that it stumbles over, $_") for 1 .. 4;
	ok(wait_until(sub { sql($open) ne '' }, 60), 'it is left alone');
	is(sql($open), 'notifications', 'with such questions, and with no other');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'breaker_open' AND message ~ 'notifications'") == 1 }, 60), 'there is an alert');
	is(sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'credentials_rejected'"), 0, 'and none that the key is wrong');
});
is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'sound');

$node->stop('fast');
my %found = PgwBytes->new(number => '4111111111111111', event => 'BankProcessingStarted')->found_in($node->data_dir, $node->logfile);
ok(!$found{number}, 'an id that may be a card\'s number is nowhere on disk') or diag(join ', ', @{ $found{number} });
ok($found{event}, 'where the search finds what is there');
done_testing();
