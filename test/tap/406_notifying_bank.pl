# A bank that speaks, in all the ways in which it goes wrong: late, twice, out of order, before its answer, of another amount, forged, of another mode, success after failure.  At one that can be
# asked, where a notification makes pgw ask; and at one that cannot, where it is all there is.  Each notification is handed over in a transaction of its own, and comes again until it was
# answered with 200 after that; what has become of the money is counted at the bank's ledger.
use strict;
use warnings;
use lib 'test/lib';
use PgwNotifying;
use PgwNotifyingBank;
use PgwPostman;
use PgwTest;
use Test::More;

# what is planned comes in an hour: whatever becomes known in a test was told
my $node = pgw_node('notifying', conf => "fsync = off\nautovacuum = off\npgw.retry_base_delay = '1h'\npgw.retry_max_delay = '1d'\npgw.recovery_interval = '1d'\npgw.compensation_delay = '50ms'\n");
my %bank = map { $_ => bank_start('--seed', $_ eq 'asked' ? 1 : 2) } qw(asked told);

sub sql { return $node->safe_psql('postgres', $_[0]) }
pgw_setup($node);
my %postman = (
	asked => notifying_bank($node, $bank{asked}, 'asked', asking_connector('asked')),
	told => notifying_bank($node, $bank{told}, 'told', told_connector('told'), accepts => [qw(charge authorize capture void refund)], accepted_ms => 20));

sub attempt { return sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = '$_[0]' ORDER BY transaction_id DESC LIMIT 1") }
sub payment { return sql("SELECT concat_ws(' ', status, captured_amount, refunded_amount, refund_pending_amount) FROM pgw.find_payment('$_[0]')") }
sub review { return sql("SELECT event_data->>'reason' FROM pgw.transaction_events JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = '$_[0]' AND event_type = 'ManualReviewRequired'") }

# Bring what the bank says until that is so.
sub brought
{
	my ($name, $cond) = @_;
	return wait_until(sub { $postman{$name}->round(\&sql); $cond->() }, 60);
}

# All of it, also what is late: nothing is left, and nothing comes.
sub bring_all
{
	my ($name) = @_;
	return brought($name, sub { !$postman{$name}{left} && !@{ [ $postman{$name}->due ] } });
}
sub verdict { my ($name, $verdict) = @_; return $postman{$name}{verdicts}{$verdict} // 0 }
sub faults { my ($name, %f) = @_; return bank_control($bank{$name}, 'faults', { probabilities => \%f, operations => [qw(charge lookup)], $f{'500_after'} ? (times => 2) : () }) }
sub submit { my ($id, $name, %a) = @_; return sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, bank => $name, amount => 1000, %a)) }
sub refund { my ($id, $amount, $refund) = @_; return sql("SELECT r.transaction_status FROM pgw.find_payment('$id') f, pgw.refund_payment(f.payment_id, '$refund', $amount) r") }

# What the bank has done: charges that stand, and what was paid back of them.
sub at_bank
{
	my ($name, $id) = @_;
	my @charges = charges_of($node, $bank{$name}, $id);
	my $refunded = 0;
	$refunded += $_->{amount} for grep { $_->{status} eq 'succeeded' } refunds_of($bank{$name}, @charges);
	return @charges . " charge, $refunded refunded";
}

my @KINDS = ('', qw(notify_late_300 notify_twice notify_forged notify_other_mode));

# The answer is lost, and so is that of the first look if there is one: the next one is planned in an hour.
sub lose
{
	my ($id, %f) = @_;
	faults('asked', '500_after' => 1, %f);
	submit($id, 'asked');
	return wait_until(sub { sql("SELECT next_step_at > clock_timestamp() + interval '10 min' FROM pgw.payment_transactions WHERE client_request_id = '$id' AND status = 'BankUnknown'") eq 't' }, 120);
}

for my $kind (@KINDS, qw(notify_wrong_amount notify_success_after_failure))
{
	part($node, "asked $kind", sub {
		my $id = "asked-$kind";
		ok(lose($id, $kind ? ($kind => 1) : ()), "asked, $kind: the answer is lost");
		ok(brought('asked', sub { payment($id) eq 'captured 1000 0 0' }), 'and settled by a notification');
		ok(bring_all('asked'), 'the others change nothing');
		is(join(' ', payment($id), at_bank('asked', $id)), 'captured 1000 0 0 1 charge, 0 refunded', 'charged once');
	});
}

part($node, 'asked before', sub {
	faults('asked');
	submit('asked-before', 'asked', token => 'tok_notify_before_2000');
	ok(brought('asked', sub { sql("SELECT count(*) FROM pgw.notifications n JOIN pgw.payment_transactions USING (transaction_id) WHERE client_request_id = 'asked-before'") eq 1 }), 'asked: a notification before the answer');
	is(attempt('asked-before'), 'Created', 'which is not there yet');
	ok(wait_until(sub { payment('asked-before') eq 'captured 1000 0 0' }, 60), 'is there later, and counts');
	is(at_bank('asked', 'asked-before'), '1 charge, 0 refunded', 'charged once');
});

for my $kind (@KINDS)
{
	part($node, "told $kind", sub {
		my $id = "told-$kind";
		faults('told', $kind ? ($kind => 1) : ());
		submit($id, 'told');
		ok(brought('told', sub { payment($id) eq 'captured 1000 0 0' }), "told, $kind: a charge is settled by a notification");
		refund($id, 400, "$id-r");
		ok(brought('told', sub { attempt("$id-r") eq 'Completed' }), 'and so is a refund');
		ok(bring_all('told'), 'the others change nothing');
		is(join(' ', payment($id), at_bank('told', $id)), 'partially_refunded 1000 400 0 1 charge, 400 refunded', 'charged once, refunded once');
	});
}

part($node, 'told declined', sub {
	faults('told', notify_forged => 1);
	submit('told-no', 'told', token => 'tok_decline_do_not_honor');
	ok(brought('told', sub { attempt('told-no') eq 'Failed' }), 'told, declined: the bank says no, and a forger yes');
	is(join(' ', payment('told-no'), at_bank('told', 'told-no')), 'declined 0 0 0 0 charge, 0 refunded', 'declined');
});

part($node, 'told before', sub {
	faults('told');
	submit('told-before', 'told', token => 'tok_notify_before_2000');
	ok(brought('told', sub { sql("SELECT count(*) FROM pgw.notifications JOIN pgw.payment_transactions USING (transaction_id) WHERE client_request_id = 'told-before' AND evidence = 'waiting'") eq 1 }), 'told: a notification before the answer waits');
	ok(wait_until(sub { payment('told-before') eq 'captured 1000 0 0' }, 60), 'until that is there');
	is(at_bank('told', 'told-before'), '1 charge, 0 refunded', 'charged once');
});

part($node, 'told out of order', sub {
	submit('order', 'told');
	ok(brought('told', sub { payment('order') eq 'captured 1000 0 0' }), 'told, out of order: paid');
	faults('told', notify_out_of_order_600000 => 1);
	refund('order', 300, 'first');
	# the simulator says it, and keeps it back
	ok(wait_until(sub { $postman{told}->due; $postman{told}{left} }, 60), 'what is said of the first refund is held back');
	faults('told');
	refund('order', 200, 'second');
	ok(wait_until(sub { grep { $_->{body} =~ /"amount":200/ } $postman{told}->due }, 60), 'the second one is told of');
	is(attempt('first'), 'Saved', 'nobody knows of the first yet');
	ok(brought('told', sub { attempt('second') eq 'Completed' && attempt('first') eq 'Completed' }), 'and both are done');
	is(join(' ', payment('order'), at_bank('told', 'order')), 'partially_refunded 1000 500 0 1 charge, 500 refunded', 'each once');
});

# A vote that is gone: given back by the bank's word alone.
part($node, 'told rolled back', sub {
	faults('told', notify_twice => 1);
	sql('BEGIN; SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'back', bank => 'told', amount => 1000, timeout => '2s') . '; ROLLBACK');
	ok(brought('told', sub { attempt('back') eq 'Refunded' }), 'told: a rolled back payment is given back');
	is(at_bank('told', 'back'), '1 charge, 1000 refunded', 'once');
});

# Both ledgers are one bank's for this: what stands at either stands in the tables, and nothing else.
sub differences
{
	my %standing;
	for my $name (keys %bank)
	{
		for my $c (grep { $_->{status} eq 'approved' && !$_->{voided} && $_->{refunded} < $_->{captured} } @{ bank_ledger($bank{$name})->{charges} })
		{
			$standing{ $c->{reference} } .= "$c->{captured} $c->{refunded};";
		}
	}
	my %table = map { split /\|/ } split /\n/, sql(q{SELECT replace(transaction_id::text, '-', ''), captured_amount || ' ' || refunded_amount || ';' FROM pgw.payments WHERE captured_amount > refunded_amount});
	return grep { ($standing{$_} // '') ne ($table{$_} // '') } keys %{ { %standing, %table } };
}
part($node, 'sound', sub {
	is(join(' ', differences()), '', 'ledgers and tables agree: no double charge, no orphan');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'and the tables with themselves');
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE status NOT IN ('Completed', 'Failed', 'Refunded')"), 0, 'nothing is left open, and nothing for a person');
	cmp_ok(verdict($_, 'wrong_signature'), '>', 0, "$_: forged ones came, and were refused") for sort keys %bank;
	cmp_ok(verdict($_, 'other_mode'), '>', 0, "$_: and those of another mode") for sort keys %bank;
	cmp_ok(verdict($_, 'repeated'), '>', 0, "$_: and some twice") for sort keys %bank;
	is(sql("SELECT count(*) FROM (SELECT FROM pgw.notifications GROUP BY bank, event_id HAVING count(*) > 1) x"), 0, 'each has one row');
});

# What is left to a person: nothing of it may count by itself.
part($node, 'told, for a person', sub {
	faults('told', notify_success_after_failure => 1);
	submit('after', 'told');
	ok(brought('told', sub { attempt('after') eq 'RequiresManualReview' }), 'told: a success after a failure is for a person');
	is(review('after'), 'success_after_failure', 'with its reason');
	is(at_bank('told', 'after'), '1 charge, 0 refunded', 'charged once');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'and the tables agree with themselves');
});

$node->stop;
done_testing();
