# The worker ends, or fails, while callers wait for it; and attempts whose card is gone with its slot.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('worker_lost', debug => 1, conf => "restart_after_crash = on\nfsync = off\nwal_writer_delay = 10s\n"
	  . "pgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my $reviews = 0;

sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

# By card; the number is put together here, so that no statement holds it.
sub pay_by_card
{
	my ($id, $of) = @_;
	return "SELECT status FROM pgw.process_payment('$id', 1234, 'EUR', card_number => spelt('visa'), card_expiry_month => 12, card_expiry_year => 2039"
	  . ($of ? ", bank => '$of')" : ')');
}

sub payment_status
{
	my ($id) = @_;
	return $node->safe_psql('postgres', "SELECT status FROM pgw.payments WHERE client_request_id = '$id'");
}

sub stays_sound { my ($name) = @_; return is_sound($node, $bank, $name, reviews => $reviews) }

# A worker that ends is started again after 1 s, then 2, 4 ... 60 s; from the start again with the server.
sub restart_server { $node->restart }

# ---------------------------------------------------------------- terminated

for my $point ('taken', 'intent_apply', 'intent_committed', 'intent_flushed', 'sent', 'answer_arrived', 'result_apply', 'result_committed')
{
	part($node, "terminated, $point", sub {
		restart_server();
		my $id = "term $point";
		debug_arm($node, $point, 'stop');
		my $s = PgwSession->new($node)->send(pay($id));
		my $pid = debug_wait($node, $point);
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
		debug_release($node, $point);
		like($s->wait, qr/^(captured|pending)$/, "worker terminated, $point: the caller is answered") or diag($s->err);
		stays_sound("worker terminated, $point: sound");
		is(payment_status($id), 'captured', "worker terminated, $point: paid in the end");
		is(scalar charges_of($node, $bank, $id), 1, "worker terminated, $point: once");
		is(events($node, $id), $SUCCESS_FLOW, "worker terminated, $point: nothing to see of it") if $point eq 'taken';
	});
}

# Terminated while a slow bank works: the caller's wait goes on or ends as pending, the charge is found
part($node, 'terminated in flight', sub {
	restart_server();
	my $s = PgwSession->new($node)->send(pay('term flight', token => 'tok_slow_800'));
	wait_until(sub { charges_of($node, $bank, 'term flight') }, 10) or die 'never charged';
	$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
	like($s->wait, qr/^(captured|pending)$/, 'worker terminated, bank called: the caller is answered');
	stays_sound('worker terminated, bank called: sound');
	is(payment_status('term flight'), 'captured', 'worker terminated, bank called: the charge is found by look-up');
	is(scalar charges_of($node, $bank, 'term flight'), 1, 'worker terminated, bank called: once');
});

# Terminated with a caller that rolls back meanwhile
part($node, 'terminated, rolled back', sub {
	restart_server();
	debug_arm($node, 'answer_arrived', 'stop');
	my $s = PgwSession->new($node);
	$s->run('BEGIN');
	$s->send(pay('term rollback'));
	my $pid = debug_wait($node, 'answer_arrived');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid), pg_cancel_backend(" . $s->backend . ')');
	debug_release($node, 'answer_arrived');
	$s->wait;
	$s->run('ROLLBACK');
	stays_sound('worker terminated, caller cancelled: sound');
	is(scalar kept_charges($node, $bank, 'term rollback'), 0, 'worker terminated, caller cancelled: given back');
	like(status_of($node, 'term rollback'), qr/^Refunded$/, 'worker terminated, caller cancelled: Refunded');
});

for my $point ('compensation_apply', 'compensation_committed', 'refund_answered')
{
	part($node, "terminated, $point", sub {
		restart_server();
		my $id = "term $point";
		debug_arm($node, $point, 'stop');
		my $s = PgwSession->new($node);
		$s->run('BEGIN; ' . pay($id) . '; ROLLBACK');
		my $pid = debug_wait($node, $point);
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
		debug_release($node, $point);
		stays_sound("worker terminated, $point: sound");
		is(status_of($node, $id), 'Refunded', "worker terminated, $point: given back");
		is(scalar refunds_of($bank, charges_of($node, $bank, $id)), 1, "worker terminated, $point: once");
	});
}

# ---------------------------------------------------------------- an ERROR in it

for my $point ('intent_apply', 'answer_arrived', 'result_apply')
{
	part($node, "error, $point", sub {
		my $id = "error $point";
		my @others = map { PgwSession->new($node)->send(pay("$id other$_", token => 'tok_slow_300')) } 1 .. 3;
		wait_until(sub { 3 == map { charges_of($node, $bank, "$id other$_") } 1 .. 3 }, 10) or die 'never charged';
		debug_arm($node, $point, 'error');
		my $s = PgwSession->new($node)->send(pay($id));
		debug_wait($node, $point);
		is($s->wait, 'captured', "error in the worker, $point: the caller is answered") or diag($s->err);
		is(join(',', map { $_->wait } @others), 'captured,captured,captured', "error in the worker, $point: calls in flight survive");
		stays_sound("error in the worker, $point: sound");
		is(events($node, $id), $SUCCESS_FLOW, "error in the worker, $point: nothing to see of it");
	});
}
for my $point ('compensation_apply', 'refund_answered')
{
	part($node, "error, $point", sub {
		debug_arm($node, $point, 'error');
		my $s = PgwSession->new($node);
		$s->run('BEGIN; ' . pay("error $point") . '; ROLLBACK');
		debug_wait($node, $point);
		stays_sound("error in the worker, $point: sound");
		is(events($node, "error $point"), $ROLLBACK_FLOW, "error in the worker, $point: nothing to see of it");
	});
}

# ---------------------------------------------------------------- a card is gone with its slot

part($node, 'card, charged', sub {
	debug_arm($node, 'answer_arrived', 'stop');
	my $s = PgwSession->new($node)->send(pay_by_card('card charged'));
	crash($node, debug_wait($node, 'answer_arrived'));
	stays_sound('card, crash after the charge: sound');
	is(status_of($node, 'card charged'), 'Refunded', 'card, crash after the charge: looked up and given back');
	is($node->safe_psql('postgres', pay_by_card('card charged')), 'captured', 'card, crash after the charge: the same call again pays');
	is(scalar kept_charges($node, $bank, 'card charged'), 1, 'card, crash after the charge: one charge');
});
part($node, 'card, not sent', sub {
	debug_arm($node, 'intent_flushed', 'stop');
	my $s = PgwSession->new($node)->send(pay_by_card('card unsent'));
	crash($node, debug_wait($node, 'intent_flushed'));
	stays_sound('card, crash before the request left: sound');
	is(status_of($node, 'card unsent'), 'Failed', 'card, crash before the request left: looked up and Failed');
	is(scalar charges_of($node, $bank, 'card unsent'), 0, 'card, crash before the request left: never sent again');
	is($node->safe_psql('postgres', pay_by_card('card unsent')), 'captured', 'card, crash before the request left: the same call again pays');
});
part($node, 'card, worker terminated', sub {
	my $s = PgwSession->new($node)->send("SELECT status FROM pgw.process_payment('card term', 9990030, 'EUR', card_number => spelt('visa'), card_expiry_month => 12, card_expiry_year => 2039)");
	wait_until(sub { charges_of($node, $bank, 'card term') }, 10) or die 'never charged';
	$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
	$s->wait;
	stays_sound('card, worker terminated while the bank works: sound');
	is(payment_status('card term'), 'captured', 'card, worker terminated while the bank works: found by look-up');
});

# A bank that can neither be asked nor be told the same thing twice: a person has to look, and nobody charges again
my $definition = slurp_file('test/connectors/formbank.json');
$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition) VALUES ('formbank', \$json\$$definition\$json\$);
	INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('form', 'formbank', '$bank->{url}', 'bank', 99)");
for my $by ('card', 'token')
{
	for my $point ('intent_flushed', 'answer_arrived')
	{
		part($node, "form, $by, $point", sub {
			my $id = "form $by $point";
			my $call = $by eq 'card' ? pay_by_card($id, 'form') : pay($id, bank => 'form');
			debug_arm($node, $point, 'stop');
			my $s = PgwSession->new($node)->send($call);
			crash($node, debug_wait($node, $point));
			$reviews++;
			stays_sound("no look-up, $by, $point: sound");
			is(status_of($node, $id), 'RequiresManualReview', "no look-up, $by, $point: manual review");
			like(events($node, $id), qr/^TransactionStarted,BankProcessingStarted,BankOutcomeUnknown,ManualReviewRequired$/, "no look-up, $by, $point: its events");
			is($node->safe_psql('postgres', $call), 'in_review', "no look-up, $by, $point: the same call again says so");
			my $charges = $point eq 'answer_arrived' ? 1 : 0;
			is(scalar charges_of($node, $bank, $id), $charges, "no look-up, $by, $point: and charges nothing");
		});
	}
}

$node->stop('fast');
done_testing();
