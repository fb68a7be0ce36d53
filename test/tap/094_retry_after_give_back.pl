# A retry that comes too late to take over: it waits until all is given back, and begins anew.
use strict;
use warnings;
use lib 'test/lib';
use PgwDuplicates;
use PgwSession;
use PgwTest;
use Test::More;

my $node = pgw_node('retry_after_give_back', conf => "pgw.compensation_delay = 0\npgw.retry_base_delay = '50ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my ($one, $two, $look) = map { PgwSession->new($node, name => $_) } qw(one two look);

{
	my %slow = (token => 'tok_refund_pending_done_1500');
	my $attempts = "SELECT string_agg(status::text, ',' ORDER BY transaction_id) FROM pgw.payment_transactions WHERE client_request_id = 'late'";
	$one->run('BEGIN');
	my $p = call($one, 'process', 'late', %slow);
	$one->run('ROLLBACK');
	ok(wait_until(sub { $look->query($attempts) eq 'Refunding' }, 10), 'the charge is being given back');
	call($two, 'process', 'late', %slow, timeout => '200 ms');
	is($two->state, 'PW409', 'a retry that does not wait for it: PW409') or diag($two->err);
	$two->run("SET statement_timeout = '150ms'");
	call($two, 'process', 'late', %slow);
	is($two->state, '57014', 'the wait can be cancelled');
	$two->run('RESET ALL');
	is(scalar(charges_by_reference($bank, 'late')), 1, 'so far there is no second charge');
	is($look->query($attempts), 'Refunding', 'still being given back');
	my $q = call($two, 'process', 'late', %slow);
	is("$q->{status} $q->{replayed}", 'captured f', 'a retry that waits is paid') or diag($two->err);
	isnt($q->{attempt}, $p->{attempt}, 'by a new attempt');
	is($look->query($attempts), 'Refunded,Completed', 'the first is given back, the second stands');
	my ($first, $second) = sort { $a->{created_at_ms} <=> $b->{created_at_ms} } charges_by_reference($bank, 'late');
	is("$first->{refunded} of $first->{captured}, $second->{refunded} of $second->{captured}", '1234 of 1234, 0 of 1234', 'so says the ledger');
	isnt($first->{idempotency_key}, $second->{idempotency_key}, 'with a key of its own');
	my ($refund) = grep { $_->{charge} eq $first->{id} } @{ bank_ledger($bank)->{refunds} };
	cmp_ok($second->{created_at_ms}, '>=', $refund->{created_at_ms} + 1500, 'not before the give-back was done');
	is(scalar(grep { $_ eq 'TransactionAdopted' } split /,/, events($node, 'late')), 0, 'nothing was adopted');
	like(events($node, 'late'), qr/^\Q${\ ($ROLLBACK_FLOW =~ s{,RefundCompleted}{}r)}\E,.*RefundCompleted,\Q$SUCCESS_FLOW\E$/, 'the flows, one after the other');
}
{
	# The same for a submit: it is accepted at once, and sent when all is given back.
	my %slow = (token => 'tok_refund_pending_done_700');
	$one->run('BEGIN');
	call($one, 'process', 'late-submit', %slow);
	$one->run('ROLLBACK');
	ok(wait_until(sub { events($node, 'late-submit') =~ /RefundStarted/ }, 10), 'the charge is being given back');
	is(call($two, 'submit', 'late-submit', %slow)->{status}, 'pending', 'a submit meanwhile is accepted');
	is($look->query("SELECT w.status FROM pgw.payments p, pgw.wait_for_payment(p.payment_id, '20s') w WHERE p.client_request_id = 'late-submit'"), 'captured', 'and is paid');
	my ($first, $second) = sort { $a->{created_at_ms} <=> $b->{created_at_ms} } charges_by_reference($bank, 'late-submit');
	is("$first->{refunded} of $first->{captured}, $second->{refunded} of $second->{captured}", '1234 of 1234, 0 of 1234', 'the first is given back, the second stands');
	my ($refund) = grep { $_->{charge} eq $first->{id} } @{ bank_ledger($bank)->{refunds} };
	cmp_ok($second->{created_at_ms}, '>=', $refund->{created_at_ms} + 700, 'and was not sent before');
}

is_sound($node, $bank, 'tables and ledger agree at the end');
$node->stop('fast');
done_testing();
