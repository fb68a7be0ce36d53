# Disputes: what a bank says of them by signed notifications is recorded, each step once, in whatever order and however often it comes; what they take is not refunded by accident; and what has come
# back is free again.  What was taken is counted at the bank's ledger.
use strict;
use warnings;
use lib 'test/lib';
use PgwNotifyingBank;
use PgwOperations;
use PgwPostman;
use PgwSession;
use PgwTest;
use Test::More;

my ($node, $bank) = operations_cluster('disputes');
sub sql { return $node->safe_psql('postgres', $_[0]) }
my $postman = notifying_bank($node, $bank, 'told', "INSERT INTO pgw.connectors (name, definition) SELECT 'told', definition FROM pgw.connectors WHERE name = 'json'");
sql(q(SELECT pgw.grant_access('postgres', 'operator')));

sub of { my ($id) = @_; my ($charge) = charges_of($node, $bank, $id); return $charge->{id} }
# The bank says that this became of it, and that is handed over.
sub step { my ($id, $step, %o) = @_; bank_control($bank, 'dispute', { charge => of($id), step => $step, %o }); return }
sub bring { return wait_until(sub { $postman->round(\&sql); !$postman->{left} }, 60) }
sub disputed { return sql("SELECT coalesce(disputed_amount, 0) FROM pgw.my_payments WHERE client_request_id = '$_[0]'") }
sub dispute { return sql("SELECT concat_ws(' ', d.status, d.withdrawn_amount, d.reinstated_amount, d.unclear) FROM pgw.audit_disputes d JOIN pgw.payments p USING (payment_id) WHERE p.client_request_id = '$_[0]' ORDER BY d.dispute_id") }
sub newest { return sql("SELECT outcome || ' ' || dispute FROM pgw.notifications WHERE dispute IS NOT NULL ORDER BY notification_id DESC LIMIT 1") }
sub told { return sql("SELECT string_agg(n.dispute, ',' ORDER BY n.notification_id) FROM pgw.notifications n JOIN pgw.payments p USING (payment_id) WHERE p.client_request_id = '$_[0]' AND n.dispute IS NOT NULL") }
sub is_recorded { my ($id, $wanted, $name) = @_; wait_until(sub { told($id) !~ /waiting/ && dispute($id) eq $wanted }, 60); return is(dispute($id), $wanted, $name) }
sub steps_of { return sql("SELECT string_agg(e.event_type || coalesce(' ' || (e.event_data->>'taken'), ''), ', ' ORDER BY e.step_order) FROM pgw.transaction_events e JOIN pgw.payments p USING (transaction_id) WHERE p.client_request_id = '$_[0]' AND e.event_type::text ~ 'Dispute|Inquiry'") }
sub alerts { my ($kind, $id) = @_; return sql("SELECT count(*) FROM pgw.alerts a JOIN pgw.payments p USING (transaction_id) WHERE a.kind = '$kind' AND p.client_request_id = '$id'") }
sub refund { my ($id, $refund, @o) = @_; my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . operation_sql(refund => $id, $refund, @o)); return $rc == 0 && $err eq '' ? $out : $err }

# All that the bank's ledger has taken of charges is what the tables say.
sub ledger_agrees
{
	my ($name) = @_;
	my %taken;
	for my $d (@{ bank_ledger($bank)->{disputes} })
	{
		my $net = $d->{withdrawn} - $d->{reinstated};
		$taken{ $d->{charge_reference} } += $net if $net > 0;
	}
	my %ours = map { split /\|/ } split /\n/, sql("SELECT replace(transaction_id::text, '-', ''), disputed_amount FROM pgw.payments WHERE disputed_amount IS NOT NULL");
	is_deeply(\%ours, \%taken, "$name: the bank's ledger and the tables agree");
	is(sql('SELECT count(*) FROM pgw.payments p, pgw.rebuild_payment(p.payment_id) r WHERE r.disputed_amount <> coalesce(p.disputed_amount, 0)'), 0, "$name: and so do the events alone");
	return is_sound($node, $bank, "$name: sound");
}

part($node, 'money is taken', sub {
	my $listener = listener($node);
	pay($node, 'a', bank => 'told');
	step('a', 'opened');
	bring();
	is_recorded('a', 'open 0 0 f', 'a dispute');
	step('a', 'withdrawn', amount => 400, moved => { amount => -400, currency => 'EUR', fee => 1500 });
	bring();
	is_recorded('a', 'open 400 0 f', 'which has taken a part');
	is(disputed('a'), 400, 'the payment says how much');
	is(steps_of('a'), 'DisputeOpened, DisputeWithdrawn 400', 'each step is an event');
	is(sql("SELECT concat_ws(' ', fee_amount, fee_currency, reason, deadline AT TIME ZONE 'UTC') FROM pgw.audit_disputes"), '1500 EUR fraudulent 2031-01-02 03:04:05', 'with what it costs, why, and until when it can be answered');
	is(sql("SELECT status FROM pgw.payments WHERE client_request_id = 'a'"), 'captured', 'the payment is captured as before');
	is_heard($node, $listener, 'a', 'payment captured,payment dispute,payment dispute', 'who listens hears of it');
	ok(wait_until(sub { alerts('dispute_opened', 'a') == 1 }, 60), 'and people are told');
	like(refund('a', 'a-1', 601), qr/PW422.*by a dispute.*"left": ?600.*"disputed": ?400.*HINT.*despite_dispute/s, 'no refund of what it has taken');
	is(refund('a', 'a-2'), 'Created', 'a refund of the rest');
	ok(wait_until(sub { sql("SELECT refunded_amount FROM pgw.payments WHERE client_request_id = 'a'") == 600 }, 60), 'pays what is left beside it');
	like(refund('a', 'a-3'), qr/PW422.*by a dispute/, 'and then nothing is');
	like(refund('a', 'a-4', 401, 'NULL', q('{"despite_dispute": true}')), qr/PW422.*more than what is left/, 'not more than was captured, either');
	like(refund('a', 'a-5', 1, 'NULL', q('{"despite_dispute": "yes"}')), qr/PW400/, 'it is said by true');
	is(refund('a', 'a-6', 400, 'NULL', q('{"despite_dispute": true}')), 'Created', 'but on demand all of it');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payments WHERE client_request_id = 'a'") eq 'refunded' }, 60), 'is refunded');
	ledger_agrees('taken');
});

part($node, 'told again', sub {
	pay($node, 'b', bank => 'told');
	step('b', 'withdrawn');
	bring();
	is_recorded('b', 'open 1000 0 f', 'taken');
	step('b', 'withdrawn') for 1 .. 2;
	bring();
	ok(wait_until(sub { told('b') eq 'used,agrees,agrees' }, 60), 'the same by other notifications') or diag told('b');
	is(disputed('b'), 1000, 'counts once');
	step('b', 'withdrawn', amount => 900);
	bring();
	ok(wait_until(sub { told('b') =~ /unclear$/ }, 60), 'another amount of the same step does not count');
	is(disputed('b'), 1000, 'either');
	bank_control($bank, 'dispute', { charge => of('b'), step => 'lost', amount => 1000 });
	bring();
	is_recorded('b', 'lost 1000 0 f', 'it is lost');
	ok(wait_until(sub { alerts('dispute_closed', 'b') == 1 }, 60), 'and people are told');
	ledger_agrees('again');
});

part($node, 'in another order', sub {
	pay($node, 'c', bank => 'told');
	step('c', 'won');
	step('c', 'reinstated');
	bring();
	is_recorded('c', 'won 0 1000 f', 'it has come back before it was taken');
	is(disputed('c'), 0, 'nothing is taken, and nothing less than that');
	step('c', 'withdrawn');
	bring();
	is_recorded('c', 'won 1000 1000 f', 'then it was taken');
	is(disputed('c'), 0, 'and is there');
	is(steps_of('c'), 'DisputeReinstated 0, DisputeClosed, DisputeWithdrawn 0', 'as events tell') if steps_of('c') !~ /^DisputeClosed/;
	is(refund('c', 'c-1', 1000), 'Created', 'all of it can be refunded');
	ledger_agrees('order');
});

part($node, 'inquiries', sub {
	pay($node, 'd', bank => 'told');
	step('d', 'inquiry');
	bring();
	is_recorded('d', 'inquiry 0 0 f', 'an inquiry');
	is(refund('d', 'd-1', 1000), 'Created', 'takes nothing');
	step('d', 'closed');
	bring();
	is_recorded('d', 'closed 0 0 f', 'and ends');
	is(steps_of('d'), 'InquiryOpened, DisputeClosed', 'both are events');
	ledger_agrees('inquiry');
});

part($node, 'before its time', sub {
	my $caller = PgwSession->new($node);
	$caller->run('BEGIN; ' . payment_sql('g', bank => 'told'));
	my ($charge) = grep { $_->{status} eq 'approved' && !sql("SELECT count(*) FROM pgw.payments WHERE replace(transaction_id::text, '-', '') = '$_->{reference}'") } @{ bank_ledger($bank)->{charges} };
	bank_control($bank, 'dispute', { charge => $charge->{id}, step => 'withdrawn' });
	bring();
	is(newest(), 'dispute waiting', 'of a payment whose caller has not committed');
	$caller->run('COMMIT');
	is_recorded('g', 'open 1000 0 f', 'it is recorded after that');
	ledger_agrees('early');
});

# A payment that was made elsewhere; and what somebody else has signed.
part($node, 'of nobody', sub {
	pay($node, 'h', bank => 'told');
	pay($node, 'other', bank => 'bank');
	step('other', 'withdrawn');
	bring();
	is(newest(), 'unknown_payment waiting', 'a dispute of another bank\'s payment waits');
	is(disputed('other'), 0, 'and takes nothing');
	sql(q(UPDATE pgw.notifications SET recorded_at = recorded_at - interval '11 minutes' WHERE dispute = 'waiting'));
	# the worker looks once in a minute, and when it begins
	$node->restart;
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alerts WHERE kind = 'dispute_unclear' AND subject = 'told'") == 1 }, 90), 'people are told after ten minutes');
	ok(wait_until(sub { alerts('dispute_unclear', 'b') == 1 }, 90), 'and of the one that said another amount');
	bank_control($bank, 'faults', { probabilities => { notify_forged => 1 } });
	my $before = $postman->{verdicts}{wrong_signature} // 0;
	step('h', 'withdrawn');
	bring();
	is($postman->{verdicts}{wrong_signature} - $before, 1, 'a forged one is refused');
	is_recorded('h', 'open 1000 0 f', 'and the bank\'s own counts once');
});

part($node, 'another currency', sub {
	pay($node, $_, bank => 'told') for qw(e f);
	step('e', 'withdrawn', amount => 1100, currency => 'USD');
	step('f', 'withdrawn', amount => 1100, currency => 'USD', moved => { amount => -980, currency => 'EUR', fee => 20 });
	bring();
	is_recorded('e', 'open 0 0 t', 'what is said in another currency alone does not count');
	ok(wait_until(sub { alerts('dispute_unclear', 'e') == 1 }, 60), 'but people are told');
	is(sql("SELECT concat_ws(' ', event_data->>'said_amount', event_data->>'said_currency', event_data->>'unclear') FROM pgw.transaction_events WHERE event_type = 'DisputeWithdrawn' AND event_data ? 'unclear'"), '1100 USD true', 'and it stands in the event');
	is_recorded('f', 'open 980 0 f', 'what moved in the payment\'s does');
	is(disputed('f'), 980, 'as much as that');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'events and rows agree');
});

part($node, 'a part that cannot be read', sub {
	pay($node, 'j', bank => 'told');
	step('j', 'withdrawn', amount => 1000);
	step('j', 'reinstated', amount => 1000, moved => { amount => '400,00', currency => 'EUR', fee => 0 });
	bring();
	is_recorded('j', 'open 1000 0 t', 'what has come back is not all that is disputed, for all one knows');
	is(disputed('j'), 1000, 'so all of it stays taken');
	ok(wait_until(sub { alerts('dispute_unclear', 'j') == 1 }, 60), '... and people are told');
});

# An endpoint's search_path is its own, and its call acts as pgw's owner: what stands there must not be taken for the server's.
part($node, 'planted names', sub {
	pay($node, 'i', bank => 'bank');
	sql(<<'SQL');
		CREATE SCHEMA planted;
		CREATE TABLE planted.ran (what text);
		CREATE FUNCTION planted.is_fine(pg_catalog.jsonb) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN INSERT INTO planted.ran VALUES ('type'); RETURN true; END$$;
		CREATE DOMAIN planted.jsonb AS pg_catalog.jsonb CHECK (planted.is_fine(VALUE));
		CREATE FUNCTION planted.is_equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN INSERT INTO planted.ran VALUES ('operator'); RETURN $1 OPERATOR(pg_catalog.=) $2; END$$;
		CREATE OPERATOR planted.= (LEFTARG = text, RIGHTARG = text, FUNCTION = planted.is_equal);
SQL
	step('i', 'withdrawn');
	ok(wait_until(sub { $postman->round(sub { sql("SET search_path = planted, pg_catalog; $_[0]") }); !$postman->{left} }, 60), 'brought with a search_path that finds them first');
	is(newest(), 'unknown_payment waiting', 'it is looked for by its dispute, and recorded');
	is(sql('SELECT string_agg(DISTINCT what, $$, $$) FROM planted.ran'), '', 'and none of them ran');
	sql('DROP SCHEMA planted CASCADE');
});

# What no client may do: take a dispute away.
is(($node->psql('postgres', 'DELETE FROM pgw.disputes'))[0], 3, 'disputes are not deleted');
ok(bank_ledger($bank)->{disputes}[0]{id}, 'the bank has them');
done_testing();
