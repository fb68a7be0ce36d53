# Endpoints that are changed while a message is under way: what their former address answers says nothing of where they are now.
use strict;
use warnings;
use lib 'test/lib';
use PgwSession;
use PgwTest;
use PgwWebhookReceiver;
use Test::More;

my $node = pgw_node('webhooks_moved', debug => 1, conf => "fsync = off\n");
secret_file($node, 'hook', $WEBHOOK_KEY);
$node->safe_psql('postgres', 'CREATE EXTENSION pgw');
wait_worker($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $_[0], bank => 'test')) }
sub has { my ($r, $id) = @_; return scalar grep { ($_->{document}{data}{client_request_id} // '') eq $id } received($r) }
sub told { return sql("SELECT status || ' ' || attempts FROM pgw.webhook_deliveries WHERE payload ~ '\"$_[0]\"'") }
sub sender { return sql("SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE backend_type = 'pgw webhooks'") }

# A message is at an endpoint that has not answered it yet; and where it may go to instead.
sub under_way
{
	my ($id) = @_;
	my ($old, $new) = (receiver_start(), receiver_start());
	sql('DELETE FROM pgw.webhook_endpoints; DELETE FROM pgw.webhook_queue');
	receiver_mode($old, 'later');
	sql(endpoint_sql('shop', $old, timeout => '60s'));
	pay($id);
	ok(wait_until(sub { has($old, $id) }, 60), 'a message is under way');
	return ($old, $new);
}
sub move { my ($to) = @_; return "UPDATE pgw.webhook_endpoints SET url = '$to->{url}'" }
# The process knows it: what comes after goes there.
sub moved { my ($new, $id) = @_; pay($id); ok(wait_until(sub { has($new, $id) }, 60), 'what happens next is told where it is now') }
sub comes_to { my ($new, $id) = @_; ok(wait_until(sub { told($id) eq 'delivered 1' }, 60), 'it is delivered, by one attempt that counts'); is(has($new, $id), 1, 'to where it is now') }
sub is_enabled { is(sql("SELECT enabled FROM pgw.webhook_endpoints WHERE endpoint = 'shop'"), 't', 'it stays enabled') }

part($node, 'gone from where it was', sub {
	my ($old, $new) = under_way('gone');
	sql(move($new));
	moved($new, 'gone, next');
	receiver_mode($old, 410);
	comes_to($new, 'gone');
	is_enabled();
	is(sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'webhook_disabled'"), 0, 'and nobody is told otherwise');
});

part($node, 'taken where it was', sub {
	my ($old, $new) = under_way('taken');
	sql(move($new));
	moved($new, 'taken, next');
	receiver_mode($old, 'ok');
	comes_to($new, 'taken');
});

# The answer comes and the row is changed before the process has looked at either.
for ([ 410, 'gone unread' ], [ 'ok', 'taken unread' ])
{
	my ($mode, $id) = @$_;
	part($node, $id, sub {
		my ($old, $new) = under_way($id);
		my $pid = sender();
		kill 'STOP', $pid;
		sql(move($new));
		receiver_mode($old, $mode);
		ok(wait_until(sub { has_answered($old) }, 60), 'it has answered');
		kill 'CONT', $pid;
		comes_to($new, $id);
		is_enabled();
	});
}

part($node, 'enabled again', sub {
	my ($old) = under_way('again');
	my $other = receiver_start();
	sql('UPDATE pgw.webhook_endpoints SET enabled = false');
	sql("BEGIN; UPDATE pgw.webhook_endpoints SET enabled = true, event_types = '{DisputeOpened}'; " . endpoint_sql('other', $other) . '; COMMIT');
	moved($other, 'again, next');
	# the message that was under way before is answered; that it comes once more says that this was judged
	receiver_mode($old, '410 once');
	ok(wait_until(sub { has_answered($old) }, 60), 'it says that it is gone');
	ok(wait_until(sub { told('again') eq 'delivered 1' }, 60), 'which was before it was enabled: it gets the message once more');
	is_enabled();
});

part($node, 'another secret', sub {
	my ($old) = under_way('signed');
	secret_file($node, 'another', $WEBHOOK_NEW_KEY);
	sql("UPDATE pgw.webhook_endpoints SET secret = 'another'");
	moved($old, 'signed, next');
	my %by = map { $_->{document}{data}{client_request_id} => $_ } received($old);
	ok(is_signed_by($by{signed}, $WEBHOOK_KEY) && is_signed_by($by{'signed, next'}, $WEBHOOK_NEW_KEY), 'which is signed with the new one; what was under way was not');
	receiver_mode($old, 'ok');
	comes_to($old, $_) for 'signed', 'signed, next';
});

part($node, 'it has failed where it was', sub {
	my ($old, $new) = under_way('failed');
	receiver_mode($new, 'slow');          # no answer of its clears anything
	receiver_mode($old, 500);
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.webhook_states WHERE endpoint = 'shop' AND failing_since IS NOT NULL") eq '1' }, 60), 'it fails');
	sql(move($new));
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.webhook_states WHERE endpoint = 'shop' AND failing_since IS NOT NULL") eq '0' }, 60), 'where it is now it has not');
});

$node->stop;
done_testing();
