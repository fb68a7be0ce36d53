# A refund that has not left when a dispute takes the money does not pay it once more: whether it waits for its bank, for its charge to be settled, or for
# the worker to have recorded what the bank has told; and also where nobody knows how much the dispute has taken.  Counted at the bank.
use strict;
use warnings;
use lib 'test/lib';
use PgwNotifyingBank;
use PgwOperations;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($node, $bank) = operations_cluster('disputed_meanwhile');
sub sql { return $node->safe_psql('postgres', $_[0]) }
# A refund that is refused as too early is tried again an hour after the charge.
my $postman = notifying_bank($node, $bank, 'told', q[INSERT INTO pgw.connectors (name, definition) SELECT 'told', jsonb_insert(jsonb_set(definition::jsonb, '{capabilities,settles_after_seconds}', '3600'), '{operations,refund,answer,rules,0}', '{"status": 409, "when": {"/error/code": "not_settled"}, "outcome": "refund_refused_unsettled"}') FROM pgw.connectors WHERE name = 'json']);
sql(q(SELECT pgw.grant_access('postgres', 'operator')));

sub step { my ($id, $step, %o) = @_; my ($charge) = charges_of($node, $bank, $id); bank_control($bank, 'dispute', { charge => $charge->{id}, step => $step, %o }); return }
sub bring { return wait_until(sub { $postman->round(\&sql); !$postman->{left} }, 60) }
sub told { return sql("SELECT coalesce(string_agg(n.dispute, ',' ORDER BY n.notification_id), 'nothing') FROM pgw.notifications n JOIN pgw.payments p USING (payment_id) WHERE p.client_request_id = '$_[0]' AND n.dispute IS NOT NULL") }
sub is_recorded { my ($id) = @_; return ok(wait_until(sub { told($id) eq 'used' }, 60), "$id: the dispute is recorded") || diag(told($id)) }
sub attempt { return sql("SELECT concat_ws(' ', status, error_code) FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }
sub ends_as { my ($refund, $wanted, $name) = @_; return ok(wait_until(sub { attempt($refund) eq $wanted }, 60), $name) || diag(attempt($refund)) }
sub why { return sql("SELECT event_data->>'reason' FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = '$_[0]' AND e.event_type = 'TransactionFailed'") }
sub is_withdrawn { my ($refund) = @_; ends_as($refund, 'Failed amount_disputed', "$refund: withdrawn"); return is(why($refund), 'disputed', "$refund: and its event says why") }
sub stands { my ($id, $wanted, $name) = @_; is(how_payment_stands($node, $id), $wanted, $name); return }
my $DESPITE = q('{"despite_dispute": true}');

# The bank's key cannot be read, which the worker has noticed: a refund of its charges is put off.
my $hidden = $node->basedir . '/secrets/bank';

sub hide_key
{
	my $seen = -s $node->logfile;
	rename $hidden, "$hidden.away" or die $!;
	return ok(wait_until(sub { slurp_file($node->logfile, $seen) =~ /the secret of bank "told" cannot be used/ }, 60), 'the key is gone');
}
sub look_again { sql('UPDATE pgw.payment_transactions SET next_step_at = clock_timestamp() WHERE put_off_since IS NOT NULL'); sql('SELECT pgw.run_recovery()'); return }
sub show_key { rename "$hidden.away", $hidden or die $!; look_again(); return }
sub is_put_off { my ($n) = @_; return ok(wait_until(sub { sql('SELECT count(*) FROM pgw.payment_transactions WHERE put_off_since IS NOT NULL') == $n }, 60), 'put off') }

part($node, 'put off', sub {
	pay($node, $_, bank => 'told') for qw(a b c);
	hide_key();
	request_operation($node, refund => 'a', 'a-1', 1000);
	request_operation($node, refund => 'b', 'b-1', 600);
	request_operation($node, refund => 'c', 'c-1', 1000, 'NULL', $DESPITE);
	is_put_off(3);
	step($_, 'withdrawn', amount => 400) for qw(a b c);
	bring();
	is_recorded($_) for qw(a b c);
	show_key();
	is_withdrawn('a-1');
	stands('a', 'captured 1000/0/0', 'nothing of it is paid, and its claim is free');
	is(done_by_bank($node, $bank, 'a'), '0 captures 0 voids 0 refunds', 'nor was the bank asked');
	stands('b', 'partially_refunded 1000/600/0', 'one that leaves room for the dispute is paid');
	stands('c', 'refunded 1000/1000/0', 'and one that was wanted all the same');
	is(request_operation($node, refund => 'a', 'a-2', 600), 'Created', 'what is left beside the dispute');
	stands('a', 'partially_refunded 1000/600/0', 'can be refunded');
});

part($node, 'not recorded yet', sub {
	pay($node, 'd', bank => 'told');
	my $caller = PgwSession->new($node);
	$caller->run('BEGIN; ' . operation_sql(refund => 'd', 'd-1', 1000));
	step('d', 'withdrawn');
	bring();
	is(told('d'), 'waiting', 'the caller holds the row of the payment');
	$caller->run('COMMIT');
	is_withdrawn('d-1');
	is_recorded('d');
	stands('d', 'captured 1000/0/0', 'and nothing is paid');
	is(done_by_bank($node, $bank, 'd'), '0 captures 0 voids 0 refunds', 'nor asked for');
});

part($node, 'somebody keeps the row', sub {
	pay($node, 'h', bank => 'told');
	hide_key();
	request_operation($node, refund => 'h', 'h-1', 600);
	is_put_off(1);
	my $somebody = PgwSession->new($node);
	$somebody->run("BEGIN; SELECT FROM pgw.payments WHERE client_request_id = 'h' FOR UPDATE");
	step('h', 'withdrawn', amount => 400);
	bring();
	show_key();
	ok(wait_until(sub { sql("SELECT put_off_reason FROM pgw.payment_transactions WHERE client_request_id = 'h-1'") eq 'dispute_unrecorded' }, 60), 'what a refund waits for is said');
	is(sql("SELECT details->'reasons'->0->>'reason' FROM pgw.health() WHERE check_name = 'put_off'"), 'dispute_unrecorded', '... by health(), too');
	$somebody->run('COMMIT');
	stands('h', 'partially_refunded 1000/600/0', 'then it is paid');
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE put_off_since IS NOT NULL"), 0, 'and nothing waits');
});

part($node, 'not settled', sub {
	pay($node, 'e', bank => 'told');
	bank_control($bank, 'settings', { unsettled => JSON::PP::true });
	request_operation($node, refund => 'e', 'e-1', 700);
	is_put_off(1);
	step('e', 'withdrawn', amount => 400);
	bring();
	is_recorded('e');
	bank_control($bank, 'settings', { unsettled => JSON::PP::false });
	look_again();
	is_withdrawn('e-1');
	is(done_by_bank($node, $bank, 'e'), '0 captures 0 voids 0 refunds', 'the bank was not asked again');
});

part($node, 'looked up', sub {
	pay($node, 'g', bank => 'told');
	bank_control($bank, 'faults', { operations => ['refund'], probabilities => { '500_before' => 1 } });
	request_operation($node, refund => 'g', 'g-1', 700);
	ok(wait_until(sub { attempt('g-1') =~ /^BankUnknown/ }, 60), 'its answer is lost');
	step('g', 'withdrawn', amount => 400);
	bring();
	is_recorded('g');
	bank_control($bank, 'faults', {});
	sql("UPDATE pgw.payment_transactions SET next_step_at = clock_timestamp() WHERE client_request_id = 'g-1'");
	sql('SELECT pgw.run_recovery()');
	is_withdrawn('g-1');
	is(done_by_bank($node, $bank, 'g'), '0 captures 0 voids 0 refunds', 'what a look-up shows as undone is not sent again');
});

part($node, 'nobody knows how much', sub {
	pay($node, 'f', bank => 'told');
	step('f', 'withdrawn', amount => 1100, currency => 'USD');
	bring();
	is_recorded('f');
	request_operation($node, refund => 'f', 'f-1', 100);
	is_withdrawn('f-1');
	request_operation($node, refund => 'f', 'f-2', 100, 'NULL', $DESPITE);
	ends_as('f-2', 'Completed', 'whoever wants it all the same is paid');
	stands('f', 'partially_refunded 1000/100/0', 'that much');
});

is_sound($node, $bank, 'nothing is wrong');
done_testing();
