# Webhooks beside what others do in the database: who holds a row keeps no other message from going on, a look at the events may take longer than a transaction of the worker's,
# a payments' worker comes before them where processes are few, and health() and the metrics say how they do.
use strict;
use warnings;
use lib 'test/lib';
use PgwMonitoring;
use PgwSession;
use PgwTest;
use PgwWebhookReceiver;
use Test::More;

my $node = pgw_node('webhooks_beside', debug => 1, conf => "fsync = off\nmax_logical_replication_workers = 0\nmax_worker_processes = 4\n");
secret_file($node, 'hook', $WEBHOOK_KEY);
$node->safe_psql('postgres', 'CREATE EXTENSION pgw');
wait_worker($node);
my $hook = receiver_start();
$node->safe_psql('postgres', endpoint_sql('shop', $hook));

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $_[0], bank => 'test')) }
sub arrives { my ($id) = @_; return wait_until(sub { grep { ($_->{document}{data}{client_request_id} // '') eq $id } received($hook) }, 60) }
sub message_is { return sql("SELECT coalesce(string_agg(status, ',' ORDER BY status), '') FROM pgw.webhook_deliveries WHERE payload ~ '$_[0]'") }
sub becomes { my ($id, $status) = @_; return wait_until(sub { message_is($id) eq $status }, 60) }
sub senders { return sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pgw webhooks'") }
sub refused { my ($statement, $like, $name) = @_; my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement"); like($err, $like, $name) }

part($node, 'what is no endpoint', sub {
	refused(endpoint_sql('bad', $hook, event_types => '{}'), qr/PW400.*"event_types".*names no event/s, 'one that wants nothing is refused');
	refused(endpoint_sql('bad', $hook, event_types => '{NULL}'), qr/PW400.*"event_types"/s, 'one that wants NULL, too');
	refused(endpoint_sql('bad', $hook, event_types => '{Nothing}'), qr/22P02.*"Nothing"/s, 'and one that wants what does not exist');
	refused(endpoint_sql('bad', $hook, merchant => 'nobody'), qr/PW400.*"merchant".*names no row of pgw\.merchants.*HINT/s, 'and one of a merchant that does not exist');
	sql(endpoint_sql('all', $hook, event_types => undef) . q{; DELETE FROM pgw.webhook_endpoints WHERE endpoint = 'all'});
});

part($node, 'a message that somebody holds', sub {
	receiver_mode($hook, 500);
	pay('held');
	ok(arrives('held') && wait_until(sub { sql("SELECT attempts FROM pgw.webhook_queue WHERE payload ~ 'held'") eq '1' }, 30), 'a message is not taken');
	my $s = PgwSession->new($node);
	$s->query('BEGIN');
	my $attempts = $s->query("SELECT attempts FROM pgw.webhook_queue WHERE payload ~ 'held' FOR UPDATE");
	receiver_mode($hook, 'ok');
	# the held one's next result cannot be written; the others' can
	my $before = grep { $_->{document}{data}{client_request_id} eq 'held' } received($hook);
	ok(wait_until(sub { move_clock($node, 60); (grep { $_->{document}{data}{client_request_id} eq 'held' } received($hook)) > $before }, 60), 'it is sent again while somebody holds its row');
	pay("beside$_") for 1 .. 3;
	ok(becomes("beside$_", 'delivered'), "another one's result is written all the same: $_") for 1 .. 3;
	is(sql("SELECT attempts FROM pgw.webhook_queue WHERE payload ~ 'held'"), $attempts, 'its own is not yet');
	$s->query('COMMIT');
	ok(becomes('held', 'delivered'), 'it is, once it is let go');
	move_clock($node, 0);
});

part($node, 'a message that somebody takes out', sub {
	my $each = receiver_start();
	receiver_mode($each, 500);
	sql(endpoint_sql('each', $each, event_types => undef));
	my $of = "endpoint = 'each' AND payload ~ 'taken out'";
	pay('taken out');
	ok(wait_until(sub { sql("SELECT string_agg(status, ',' ORDER BY delivery) FROM pgw.webhook_queue WHERE $of AND (status = 'behind' OR attempts > 0)") eq 'waiting' . ',behind' x 5 }, 60), 'five messages wait behind one that is not taken');
	sql("DELETE FROM pgw.webhook_queue WHERE $of AND status = 'waiting'");
	receiver_mode($each, 'ok');
	ok(wait_until(sub { move_clock($node, 600); sql("SELECT count(*) FROM pgw.webhook_queue WHERE $of AND status = 'delivered'") eq '5' }, 60), 'without it they are sent');
	is(join(',', map { $_->{document}{data}{step} } grep { $_->{mode} eq 'ok' } received($each)), '2,3,4,5,6', 'in their order');
	sql("DELETE FROM pgw.webhook_endpoints WHERE endpoint = 'each'");
	move_clock($node, 0);
});

part($node, 'an endpoint that somebody holds', sub {
	my $gone = receiver_start();
	sql(endpoint_sql('gone', $gone));
	my $s = PgwSession->new($node);
	$s->query('BEGIN');
	$s->query("SELECT FROM pgw.webhook_endpoints WHERE endpoint = 'gone' FOR UPDATE");
	receiver_mode($gone, 410);
	pay('gone1');
	ok(wait_until(sub { received($gone) >= 1 }, 60), 'it answers 410, and its row cannot be written');
	ok(becomes('gone1', 'delivered,waiting'), 'the results are');
	pay('gone2');
	ok(arrives('gone2'), 'others get theirs');
	is(scalar(grep { $_->{document}{data}{client_request_id} eq 'gone2' } received($gone)), 0, 'it gets nothing more');
	$s->query('COMMIT');
	ok(wait_until(sub { sql("SELECT enabled FROM pgw.webhook_endpoints WHERE endpoint = 'gone'") eq 'f' }, 60), 'it is disabled once its row is let go');
	like(health($node, 'webhooks', 'endpoints'), qr/^warning\|.*410 Gone/, 'health() says so');
	is(figure($node, 'pgw_webhook_endpoints', '{"state": "disabled"}'), 1, 'and the metrics');
	is(figure($node, 'pgw_webhooks_pending', '{"endpoint": "gone"}'), 2, 'what waits for it');
	sql("DELETE FROM pgw.webhook_endpoints WHERE endpoint = 'gone'");
	ok(health_becomes($node, 'webhooks', qr/^ok\|-\|\[\]$/, 'endpoints'), 'without it all is well');
});

# Each look at the events takes longer than a transaction of the worker's may.
sub looks_are_slow
{
	sql(q{CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS 'BEGIN PERFORM pg_sleep(5.5); RETURN NULL; END';
		CREATE TRIGGER slow BEFORE INSERT ON pgw.webhook_queue FOR EACH STATEMENT EXECUTE FUNCTION slow()});
}
sub looks_are_quick { sql('DROP TRIGGER slow ON pgw.webhook_queue; DROP FUNCTION slow()') }

part($node, 'a long look', sub {
	looks_are_slow();
	pay('looked at for long');
	ok(arrives('looked at for long'), 'a look that takes longer than a transaction of the worker\'s may is given more time');
	looks_are_quick();
	pay('soon again');
	ok(arrives('soon again'), 'and the next are as ever');
});

part($node, 'a long look while somebody holds a message', sub {
	receiver_mode($hook, 'later');
	pay('held meanwhile');
	ok(arrives('held meanwhile'), 'a message is under way');
	my $s = PgwSession->new($node);
	$s->query('BEGIN');
	$s->query("SELECT delivery FROM pgw.webhook_queue WHERE payload ~ 'held meanwhile' FOR UPDATE");
	receiver_mode($hook, 'ok');
	ok(wait_until(sub { has_answered($hook) }, 30), 'and is answered, which cannot be written');
	looks_are_slow();
	pay('long beside');
	ok(arrives('long beside'), 'the look begins all the same: nothing is under way any more');
	is(message_is('held meanwhile'), 'waiting', 'the answer is not written yet');
	$s->query('COMMIT');                  # before the table is locked, by the next line
	looks_are_quick();
	ok(becomes('held meanwhile', 'delivered'), 'it is, once its row is let go');
	is(scalar(grep { ($_->{document}{data}{client_request_id} // '') eq 'held meanwhile' } received($hook)), 1, 'and it was sent once');
});

part($node, 'a secret that is missing', sub {
	sql("UPDATE pgw.webhook_endpoints SET secret = 'nothing'");
	pay('unsigned');
	ok(wait_until(sub { sql("SELECT last_error FROM pgw.webhook_deliveries WHERE payload ~ 'unsigned'") =~ /does not exist/ }, 60), 'the message says why it waits');
	like(health($node, 'webhooks', 'endpoints'), qr/^warning\|.*does not exist/, 'so does health()');
	sql("UPDATE pgw.webhook_endpoints SET secret = 'hook'");
	ok(becomes('unsigned', 'delivered'), 'it is sent once it can be signed');
	ok(health_becomes($node, 'webhooks', qr/^ok/, 'endpoints'), 'and all is well');
});

part($node, 'a certificate that changes', sub {
	my $tls = receiver_start(certificates());
	sql(endpoint_sql('tls', $tls, ca_file => "$tls->{tls}/ours.pem", event_types => '{TransactionStarted}'));
	my $certificate = sub { $tls->{certificate} = $_[0]; receiver_stop($tls); receiver_again($tls) };
	my $told = sub { my ($id) = @_; return sql("SELECT status || ' ' || coalesce(last_error, '') FROM pgw.webhook_deliveries WHERE endpoint = 'tls' AND payload ~ '$id'") };
	pay('tls 1');
	ok(wait_until(sub { $told->('tls 1') eq 'delivered ' }, 60), 'a message by TLS');
	$certificate->('stranger');
	pay('tls 2');
	ok(wait_until(sub { $told->('tls 2') =~ /^waiting .+/ }, 60), 'an authority that is not known is trusted by nobody');
	is(scalar(received($tls)), 1, 'and gets nothing');
	$certificate->('renewed');
	ok(wait_until(sub { move_clock($node, 600); $told->('tls 2') eq 'delivered ' }, 60), 'another certificate of a known one gets what waited');
	move_clock($node, 0);
	sql("DELETE FROM pgw.webhook_endpoints WHERE endpoint = 'tls'");
});

part($node, 'figures', sub {
	my ($sent, $delivered) = (figure($node, 'pgw_webhooks_total', '{"endpoint": "shop", "result": "failed"}'), figure($node, 'pgw_webhooks_total', '{"endpoint": "shop", "result": "delivered"}'));
	pay('counted');
	ok(becomes('counted', 'delivered'), 'a message');
	is(figure($node, 'pgw_webhooks_total', '{"endpoint": "shop", "result": "delivered"}') - $delivered, 1, 'is counted as delivered');
	is(figure($node, 'pgw_webhooks_total', '{"endpoint": "shop", "result": "failed"}'), $sent, 'and as nothing else');
	cmp_ok(figure($node, 'pgw_webhooks_last_turn_age_seconds'), '<', 60, 'the sender makes its turns');
	is(sql("SELECT count(*) FROM pgw.metrics WHERE name = 'pgw_event_consumer_lag_seconds' AND labels->>'consumer' = 'pgw.webhooks'"), 1, 'how far it is behind is a figure');
	# more endpoints than have counters of their own
	sql("INSERT INTO pgw.webhook_endpoints (endpoint, url, secret) SELECT 'many' || lpad(i::text, 2, '0'), '$hook->{url}', 'hook' FROM generate_series(1, 40) i");
	pay('to many');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.webhook_deliveries WHERE payload ~ 'to many' AND status = 'delivered'") eq '41' }, 60), 'many endpoints are told');
	is(sql("SELECT count(DISTINCT labels->>'endpoint') FROM pgw.metrics WHERE name = 'pgw_webhooks_total'"), 33, 'those beyond 32 share one name');
	is(sql("SELECT count(*) FROM pgw.metrics WHERE name = 'pgw_webhooks_pending'"), 32, 'and what waits is shown of as many');
	sql("DELETE FROM pgw.webhook_endpoints WHERE endpoint ~ '^many'");
});

part($node, 'few processes', sub {
	$node->append_conf('postgresql.conf', "max_worker_processes = 3\n");
	$node->restart;
	sql(endpoint_sql('slots', $hook));
	ok(wait_until(sub { senders() eq '1' }, 60), 'webhooks have the last process');
	$node->safe_psql('postgres', 'CREATE DATABASE more');
	$node->safe_psql('more', 'CREATE EXTENSION pgw');
	ok(wait_until(sub { $node->safe_psql('more', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND datname = 'more'") eq '1' }, 60), 'until the payments of another database need it');
	is($node->safe_psql('more', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'first', bank => 'test')), 'captured', 'which are made');
	is(senders(), 0, 'without webhooks');
	ok($node->log_contains('no background worker slot is free for the webhooks'), 'the log says so');
});

$node->stop;
done_testing();
