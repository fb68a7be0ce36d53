# What cannot be recorded of disputes just now holds up nothing: neither the worker, when somebody has a dispute locked, nor other disputes, when hundreds of
# payments are locked.  And what contradicts is seen beside what is new.
use strict;
use warnings;
use lib 'test/lib';
use PgwNotifyingBank;
use PgwOperations;
use PgwSession;
use PgwTest;
use Test::More;

my ($node, $bank) = operations_cluster('disputes_wait');
sub sql { return $node->safe_psql('postgres', $_[0]) }
# The bank says that a dispute is lost and what it has taken, in one.
my $postman = notifying_bank($node, $bank, 'told', q(INSERT INTO pgw.connectors (name, definition)
	SELECT 'told', replace((definition::jsonb)::text, '"is": "lost"', '"is": ["withdrawn", "lost"]')::json FROM pgw.connectors WHERE name = 'json'));
sql(q(SELECT pgw.grant_access('postgres', 'operator')));

sub step { my ($id, $step, %o) = @_; my ($charge) = charges_of($node, $bank, $id); bank_control($bank, 'dispute', { charge => $charge->{id}, step => $step, %o }); return }
sub bring { return wait_until(sub { $postman->round(\&sql); !$postman->{left} }, 60) }
sub told { return sql("SELECT string_agg(n.dispute, ',' ORDER BY n.notification_id) FROM pgw.notifications n JOIN pgw.payments p USING (payment_id) WHERE p.client_request_id = '$_[0]' AND n.dispute IS NOT NULL") }
sub is_told { my ($id, $wanted, $name) = @_; return ok(wait_until(sub { told($id) eq $wanted }, 90), $name) || diag(told($id)) }
sub dispute { return sql("SELECT concat_ws(' ', d.status, d.withdrawn_amount) FROM pgw.audit_disputes d JOIN pgw.payments p USING (payment_id) WHERE p.client_request_id = '$_[0]'") }

part($node, 'beside a new step', sub {
	pay($node, 'a', bank => 'told');
	step('a', 'withdrawn');
	bring();
	is_told('a', 'used', 'money is taken');
	step('a', 'lost', amount => 900);
	bring();
	is_told('a', 'used,unclear', 'that it is lost is said with another amount, which people are to see');
	is(dispute('a'), 'lost 1000', 'and recorded, as far as it is new');
});

part($node, 'a dispute is locked', sub {
	pay($node, 'b', bank => 'told');
	step('b', 'withdrawn');
	bring();
	is_told('b', 'used', 'money is taken');
	my $other = PgwSession->new($node);
	$other->run('BEGIN; SELECT FROM pgw.disputes FOR UPDATE');
	step('b', 'won');
	bring();
	is(pay($node, "beside-$_", bank => 'bank'), 'captured', 'a payment meanwhile') for 1 .. 3;
	is(told('b'), 'used,waiting', 'what is said of it waits');
	$other->run('ROLLBACK');
	is_told('b', 'used,used', 'until it is free');
	is(dispute('b'), 'won 1000', 'then it is recorded');
});

# More payments than a look takes have been disputed, and somebody has all but three of them locked.
part($node, 'many are locked', sub {
	sql(q(SELECT count(*) FROM generate_series(1, 603) n, pgw.process_payment('m' || n, 1000, 'EUR', token => 'tok_ok', bank => 'test')));
	is(sql("SELECT count(*) FROM pgw.payments WHERE client_request_id LIKE 'm%' AND status = 'captured'"), 603, 'payments');
	my $locker = PgwSession->new($node);
	$locker->run(q(BEGIN; SELECT FROM pgw.payments WHERE client_request_id LIKE 'm%' AND client_request_id NOT IN ('m1', 'm300', 'm603') FOR UPDATE));
	sql(q(INSERT INTO pgw.notifications (notification_id, bank, livemode, digest, payment_id, transaction_id, outcome, dispute, dispute_says, received_at, recorded_at)
		SELECT gen_random_uuid(), bank, livemode, client_request_id, payment_id, transaction_id, 'dispute', 'waiting',
			jsonb_build_object('steps', '["withdrawn"]'::jsonb, 'id', client_request_id, 'amount', 1000, 'currency', 'EUR'), now(), now() - interval '10 s'
		FROM pgw.payments WHERE client_request_id LIKE 'm%'));
	is_told($_, 'used', "$_: the dispute of one that is free is recorded") for qw(m1 m300 m603);
	is(sql(q(SELECT count(*) FROM pgw.notifications n JOIN pgw.payments p USING (payment_id) WHERE p.client_request_id LIKE 'm%' AND n.dispute = 'waiting')), 600, 'the others wait');
});

done_testing();
