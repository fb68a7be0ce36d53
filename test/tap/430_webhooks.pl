# Webhooks: every event reaches whoever wants it, signed as Standard Webhooks has it, in order, and once more with the same id and text where it may not
# have arrived; endpoints that fail, move, are gone or lie elsewhere.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwSession;
use PgwTest;
use PgwWebhookReceiver;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('webhooks', debug => 1, conf => "fsync = off\n");
my $bank = bank_start();
secret_file($node, 'hook', $WEBHOOK_KEY);
pgw_setup($node, $bank);
$node->safe_psql('postgres', "INSERT INTO pgw.merchants (merchant) VALUES ('m1')");
my $hook = receiver_start();

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a)) }
sub state { return sql("SELECT coalesce(string_agg(status || ' ' || n, ', ' ORDER BY status), '') FROM (SELECT status, count(*) AS n FROM pgw.webhook_deliveries GROUP BY 1) s") }
sub all_over { return wait_until(sub { sql("SELECT count(*) FROM pgw.webhook_deliveries WHERE status IN ('waiting', 'behind')") eq '0' }, $_[0] // 30) }
# The clock goes on until all is sent: an answer may be written down only after it was moved.
sub all_over_in_time
{
	my $clock = 0;
	my $over = wait_until(sub { move_clock($node, $clock += 7200); sql("SELECT count(*) FROM pgw.webhook_deliveries WHERE status IN ('waiting', 'behind')") eq '0' }, 30);
	move_clock($node, 0);
	return $over;
}
sub of_payment { my ($id, $r) = @_; return grep { ($_->{document}{data}{client_request_id} // '') eq $id } received($r // $hook) }
sub sender { return sql("SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE backend_type = 'pgw webhooks'") }
sub refused { my ($statement, $like, $name, @as) = @_; my (undef, undef, $err) = $node->psql('postgres', $statement, @as); like($err, $like, $name) }
sub arrives { my ($id, $n) = @_; return wait_until(sub { of_payment($id) >= $n }, 30) }
sub begin_again { sql('DELETE FROM pgw.webhook_endpoints; DELETE FROM pgw.webhook_queue'); receiver_mode($hook, 'ok'); sql(endpoint_sql('shop', $hook, @_)) }

part($node, 'nobody wants them', sub {
	pay('before');
	is(sender(), 0, 'without an endpoint there is no process for it');
	is(sql('SELECT count(*) FROM pgw.event_consumers'), 0, 'and no consumer of events');
});

part($node, 'a payment is told', sub {
	sql(endpoint_sql('shop', $hook));
	is(pay('first'), 'captured', 'a payment');
	ok(arrives('first', 1), 'is told');
	ok(all_over(), 'and that is written down');
	my ($m) = of_payment('first');
	is($m->{first}, 'POST /hook HTTP/1.1', 'as a POST to the path');
	is($m->{headers}{'content-type'}, 'application/json', 'of JSON');
	ok(is_signed_by($m, $WEBHOOK_KEY), 'signed');
	cmp_ok(abs($m->{headers}{'webhook-timestamp'} - time), '<', 300, 'now');
	is($m->{document}{type}, 'payment.TransactionCompleted', 'its type');
	is($m->{document}{version}, 1, 'its version');
	is($m->{headers}{'webhook-id'}, $m->{document}{data}{event_id}, 'its id is the event\'s');
	is($m->{document}{data}{payment}{status}, 'captured', 'how the payment stands');
	unlike($m->{body}, qr/tok_ok|test-secret/, 'no token, no key');
	my $schema = decode_json(slurp_file('docs/webhook-message.schema.json'))->{'$defs'}{event};
	is(join(',', sort keys %{ $m->{document}{data} }), join(',', sort keys %{ $schema->{properties} }), 'what it says is what the schema says');
	is(join(',', sort keys %{ $m->{document}{data}{payment} }), join(',', sort keys %{ $schema->{properties}{payment}{properties} }), 'also of the payment');
	is(scalar(of_payment('before')), 0, 'what came before the endpoint is not told');
	is(sql("SELECT status, attempts, last_http_status, last_error IS NULL, last_ms >= 0, next_attempt_at IS NULL FROM pgw.webhook_deliveries WHERE payload ~ 'first'"),
		'delivered|1|200|t|t|t', 'what became of it stands in pgw.webhook_deliveries');
});

part($node, 'rolled back', sub {
	begin_again(event_types => undef);
	my $c = PgwSession->new($node);
	$c->query('BEGIN');
	$c->query('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'undone'));
	$c->query('ROLLBACK');
	ok(wait_until(sub { grep { $_->{document}{data}{event_type} eq 'RefundCompleted' } of_payment('undone') }, 60), 'a charge that is given back is told to its end');
	ok(all_over(), 'all of it');
	is(join(',', map { $_->{document}{data}{event_type} } of_payment('undone')), events($node, 'undone'), 'each event once, in order');
});

part($node, 'a transaction that commits late', sub {
	begin_again();
	my $c = PgwSession->new($node);
	$c->query('BEGIN');
	$c->query('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'late'));
	pay("early$_") for 1 .. 3;
	ok(arrives('early3', 1), 'others are told while it is open');
	is(scalar(of_payment('late')), 0, 'it is not: nobody knows how it ends');
	$c->query('COMMIT');
	ok(arrives('late', 1), 'and is told once it has committed');
});

part($node, 'what each wants', sub {
	begin_again(event_types => '{TransactionFailed}');
	my $other = receiver_start();
	sql(endpoint_sql('other', $other, merchant => 'm1'));
	pay('wanted1', token => 'tok_declined');
	pay('wanted2');
	pay('wanted3', merchant => 'm1');
	ok(wait_until(sub { received($other) >= 1 }, 30) && all_over(), 'all is sent');
	is(join(',', map { "$_->{document}{data}{client_request_id} $_->{document}{type}" } grep { $_->{document}{data}{client_request_id} =~ /^wanted/ } received($hook)),
		'wanted1 payment.TransactionFailed', 'the events that it asks for');
	is(join(',', map { $_->{document}{data}{client_request_id} } received($other)), 'wanted3', 'and the payments of its merchant');
	sql("DELETE FROM pgw.webhook_endpoints WHERE endpoint = 'other'");
});

part($node, 'again', sub {
	begin_again();
	receiver_mode($hook, 500);
	pay('again');
	ok(arrives('again', 2), 'what is answered with 500 is sent again');
	receiver_mode($hook, 'ok');
	ok(all_over_in_time(), 'until it is taken');
	my @m = of_payment('again');
	is(scalar(keys %{ { map { $_->{headers}{'webhook-id'} => 1 } @m } }), 1, 'with the same id');
	is(scalar(keys %{ { map { $_->{body} => 1 } @m } }), 1, 'and the same text');
	ok(!(grep { !is_signed_by($_, $WEBHOOK_KEY) } @m), 'each signed');
});

part($node, 'order', sub {
	begin_again(event_types => undef);
	receiver_mode($hook, 'close');
	pay('stuck');
	ok(arrives('stuck', 1), 'a message is not taken');
	pay('beside');
	ok(arrives('beside', 1), 'those of other payments are tried all the same');
	is(scalar(keys %{ { map { $_->{headers}{'webhook-id'} => 1 } of_payment('stuck') } }), 1, 'the others of its payment wait for it');
	receiver_mode($hook, 'ok');
	ok(all_over_in_time(), 'they follow');
	is(join(',', map { $_->{document}{data}{event_type} } grep { $_->{mode} eq 'ok' } of_payment($_)), $SUCCESS_FLOW, "in order: $_") for qw(stuck beside);
});

part($node, 'each once', sub {
	begin_again(event_types => undef);
	my $before = received($hook);
	sql("SELECT count(pgw.submit_payment(client_request_id => 'once' || i, amount => 1000, currency => 'EUR', token => 'tok_ok', bank => 'test')) FROM generate_series(1, 100) i");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE client_request_id ~ '^once' AND status <> 'captured'") eq '0' }, 60), 'many payments');
	my $events = sql("SELECT count(*) FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id ~ '^once'");
	ok(wait_until(sub { received($hook) - $before >= $events }, 60) && all_over(), 'all their events are sent');
	is(received($hook) - $before, $events, 'each once, where nothing fails');
});

part($node, 'beside what does not answer', sub {
	begin_again();
	my $slow = receiver_start();
	receiver_mode($slow, 'slow');
	sql(endpoint_sql('slow', $slow));
	pay("slow$_") for 1 .. 60;
	ok(wait_until(sub { received($slow) >= 50 }, 30), 'one that does not answer has all that it may have under way');
	pay('quick');
	ok(arrives('quick', 1), 'others get their messages');
	my $pid = sender();
	kill 'STOP', $pid;
	my $began = time;
	is(pay('unmoved'), 'captured', 'and a payment waits for no webhook: the process that sends them stands still');
	in_time(time - $began, 3, 'and it does not even take longer');
	kill 'CONT', $pid;
	sql("DELETE FROM pgw.webhook_endpoints WHERE endpoint = 'slow'");
});

part($node, 'no redirects', sub {
	begin_again();
	receiver_mode($hook, 'redirect');
	pay('moved');
	ok(arrives('moved', 1) && wait_until(sub { sql("SELECT last_http_status FROM pgw.webhook_deliveries WHERE payload ~ 'moved'") eq '302' }, 20), 'a redirection is a failure');
	ok(!(grep { $_->{first} =~ /elsewhere/ } received($hook)), 'and is not followed');
	sql('DELETE FROM pgw.webhook_queue');
});

part($node, 'an endless answer', sub {
	begin_again();
	receiver_mode($hook, 'body');
	pay('endless');
	ok(arrives('endless', 1) && all_over(), 'of an answer the status counts, and its body is not read to the end');
	is(sql("SELECT status, last_http_status FROM pgw.webhook_deliveries WHERE payload ~ 'endless'"), 'delivered|200', 'it is delivered');
});

part($node, 'gone', sub {
	begin_again();
	receiver_mode($hook, 410);
	pay('gone');
	ok(wait_until(sub { sql("SELECT enabled FROM pgw.webhook_endpoints WHERE endpoint = 'shop'") eq 'f' }, 30), '410 disables it at once');
	is(sql("SELECT disabled_because FROM pgw.webhook_states WHERE endpoint = 'shop'"), 'it has answered 410 Gone', 'and says why');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'webhook_disabled' AND subject = 'shop'") eq '1' }, 20), 'people are told');
	ok(wait_until(sub { sender() == 0 }, 20), 'nobody is left to send to: the process ends');
	pay('unheard');
	receiver_mode($hook, 'ok');
	is(sql("BEGIN; UPDATE pgw.webhook_endpoints SET enabled = true;
		SELECT (SELECT min(t) FROM unnest(c.fence_txids) t) <= pg_snapshot_xmin(c.seen) FROM pgw.event_consumers c WHERE c.consumer = 'pgw.webhooks'; COMMIT"), 't',
		'the first to read does not look through all events, for which its time would not do where there are many');
	ok(all_over_in_time(), 'enabled again it gets what waited');
	is(scalar(of_payment('unheard')), 0, 'and not what happened meanwhile');
});

part($node, 'it fails for long', sub {
	change_settings($node, 'pgw.webhook_disable_after' => '2h');
	begin_again();
	receiver_mode($hook, 503);
	pay('long');
	ok(arrives('long', 1), 'it fails');
	my $clock = 0;
	ok(wait_until(sub { move_clock($node, $clock += 3 * 3600); sql("SELECT enabled FROM pgw.webhook_endpoints WHERE endpoint = 'shop'") eq 'f' }, 30), 'and is disabled when it has for longer than pgw.webhook_disable_after');
	is(sql("SELECT status FROM pgw.webhook_deliveries WHERE payload ~ 'long'"), 'waiting', 'the message stays');
	move_clock($node, 0);
	change_settings($node, 'pgw.webhook_disable_after' => undef);
});

part($node, 'secrets', sub {
	begin_again();
	secret_file($node, 'hook', $WEBHOOK_NEW_KEY, $WEBHOOK_KEY);
	ok(wait_until(sub { my $id = 'rotated' . int(rand 1e9); pay($id); arrives($id, 1) && is_signed_by((of_payment($id))[0], $WEBHOOK_NEW_KEY) }, 30), 'a new secret is taken up');
	my ($m) = grep { is_signed_by($_, $WEBHOOK_NEW_KEY) } received($hook);
	ok(is_signed_by($m, $WEBHOOK_KEY), 'and the old one signs, too, while it is there');
	secret_file($node, 'hook', 'no such thing');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'webhook_failing' AND message ~ 'whsec_'") eq '1' }, 30), 'of a file that holds no secret people are told');
	pay('unsigned');
	ok(wait_until(sub { state() =~ /waiting/ }, 20), 'and nothing is sent');
	secret_file($node, 'hook', $WEBHOOK_KEY);
	ok(arrives('unsigned', 1) && all_over(), 'until it holds one');
	ok(!(grep { !is_signed_by($_, $WEBHOOK_KEY) && !is_signed_by($_, $WEBHOOK_NEW_KEY) } received($hook)), 'nothing ever went out unsigned');
});

part($node, 'addresses', sub {
	for my $url ('https://10.0.0.1/', 'https://169.254.169.254/latest/meta-data', 'https://[::ffff:127.0.0.1]/', 'https://[fd00::1]/', 'https://0.0.0.0/')
	{
		begin_again(url => $url);
		my $row = sql("SELECT pgw.test_webhook('shop')");
		ok(wait_until(sub { sql("SELECT last_error FROM pgw.webhook_deliveries WHERE delivery = $row") ne '' }, 30), "a test to $url fails");
		is(sql("SELECT last_error FROM pgw.webhook_deliveries WHERE delivery = $row"), 'address not allowed', 'because of where that is');
	}
	refused(endpoint_sql('bad', { url => 'http://example.com/' }), qr/must begin with https/, 'without encryption only this machine is reached');
});

part($node, 'what waited for another', sub {
	my @becomes = ("DELETE FROM pgw.webhook_endpoints; " . endpoint_sql('shop', $hook, merchant => 'm1'), "UPDATE pgw.webhook_endpoints SET merchant = 'm1'");
	for (0, 1)
	{
		begin_again();
		receiver_mode($hook, 500);
		pay("secret$_");
		ok(arrives("secret$_", 1), 'a message is not taken');
		sql($becomes[$_]);
		is(state(), '', 'and is nothing for an endpoint of its name that is another merchant\'s');
	}
});

part($node, 'operators', sub {
	begin_again();
	sql("CREATE ROLE op LOGIN; CREATE ROLE op1 LOGIN; SELECT pgw.grant_access('op', 'operator', 'default'), pgw.grant_access('op1', 'operator', 'm1')");
	pay('seen');
	ok(arrives('seen', 1) && all_over(), 'a message');
	my $row = sql("SELECT delivery FROM pgw.webhook_deliveries WHERE payload ~ 'seen'");
	my @op = (extra_params => [ '-U', 'op' ]);
	my @op1 = (extra_params => [ '-U', 'op1' ]);
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pgw.webhook_deliveries', @op), 1, 'its merchant\'s operator sees it');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pgw.webhook_deliveries', @op1), 0, 'and another\'s does not');
	refused("SELECT pgw.redeliver($row)", qr/permission denied/, 'who cannot send it again', @op1);
	$node->safe_psql('postgres', "SELECT pgw.redeliver($row)", @op);
	ok(arrives('seen', 2), 'the former can');
	my @m = of_payment('seen');
	is($m[0]{headers}{'webhook-id'}, $m[1]{headers}{'webhook-id'}, 'with the same id');
	is($m[0]{body}, $m[1]{body}, 'and text');
	my $test = sql("SELECT pgw.test_webhook('shop')");
	ok(wait_until(sub { sql("SELECT status FROM pgw.webhook_deliveries WHERE delivery = $test") eq 'delivered' }, 20), 'a test is sent');
	for ("test_webhook('shop')", "redeliver($test)")
	{
		refused("SELECT pgw.$_", qr/permission denied for an endpoint of webhooks that hears of all merchants.*HINT: .*: SELECT pgw\.grant_access\('op', 'operator'\)\.$/s,
			"$_: what hears of every merchant is not one merchant's operator's", @op);
	}
	sql("SELECT pgw.grant_access('op', 'operator')");
	is($node->safe_psql('postgres', "SELECT pgw.test_webhook('shop') > 0", @op), 't', 'but is for whoever was given what the hint says');
	refused("SELECT pgw.test_webhook('nowhere')", qr/names no endpoint that is enabled/, 'to an endpoint that is there', @op);
	refused('SELECT * FROM pgw.webhook_endpoints', qr/permission denied/, 'whose address is the owner\'s affair', @op);
});

part($node, 'a copy sends nothing', sub {
	begin_again();
	pay('original');
	ok(arrives('original', 1) && all_over(), 'the original sends');
	cmp_ok(sender(), '>', 0, 'by a process');
	my $tests = grep { $_->{document}{type} eq 'webhook.test' } received($hook);
	# as a restore leaves it: records that were loaded
	sql("INSERT INTO pgw.restore_pending DEFAULT VALUES; SELECT pgw.test_webhook('shop')");
	ok(wait_until(sub { sender() == 0 }, 20), 'where records were loaded it ends');
	ok(never(sub { $tests < grep { $_->{document}{type} eq 'webhook.test' } received($hook) }, 2), 'and sends nothing');
	sql("SELECT pgw.resume_after_restore('test')");
	ok(all_over(), 'until somebody says that this database goes on');
});

part($node, 'databases and extensions go', sub {
	ok(wait_until(sub { sender() > 0 }, 30), 'it runs');
	$node->safe_psql('postgres', 'CREATE DATABASE more');
	$node->safe_psql('more', 'CREATE EXTENSION pgw');
	$node->safe_psql('more', endpoint_sql('shop', $hook));
	ok(wait_until(sub { sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pgw webhooks' AND datname = 'more'") eq '1' }, 30), 'in each database');
	sql('DROP DATABASE more');
	is(sql("SELECT count(*) FROM pg_database WHERE datname = 'more'"), 0, 'which can be dropped all the same');
});

$node->stop;
done_testing();
