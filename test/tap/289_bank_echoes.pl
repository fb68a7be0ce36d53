# A bank that repeats in its answers what it was sent: the card, its security code, its holder, and our own key.  None of it is kept anywhere, and the outcome
# is what it would have been: taken, declined, given back, or with a person.
use strict;
use warnings;
use lib 'test/lib';
use PgwBound;
use PgwEchoes;
use PgwTest;
use Test::More;

my $node = echo_node();

part($node, 'reasons', sub {
	for my $what ('reason', 'partly', 'padded', 'key', 'key64', 'keyenc', 'keyesc', 'cvv', 'holder')
	{
		like(pay($what), qr/^declined id_\d+ AUTH1 declined$/, "$what: declined");
		is(codes($what), '-', "$what: the bank's reason is not kept");
	}
	is(books('reason'), '1 0', 'the bank was sent card and key');
	like(pay('plain') . ' ' . codes('plain'), qr/^declined id_\d+ AUTH1 limit_exceeded limit_57,limit_57$/, 'an ordinary reason is kept');
});

part($node, 'approvals', sub {
	like(pay('auth'), qr/^captured id_\d+ - -$/, 'card number as authorization code and brand: captured without them');
	is(sql("SELECT card_last4, card_brand FROM pgw.payments WHERE client_request_id = 'auth'"), '4242|visa', 'last four and brand are the request\'s');
	like(pay('code'), qr/^captured id_\d+ - -$/, 'the security code as authorization code: captured without');
	like(pay('most'), qr/^captured id_\d+ - -$/, 'nearly all of the card number, beside its last four digits: captured without');
	like(pay('masked'), qr/^captured id_\d+ \d{6}\*{6}\d{4} -$/, 'what a receipt shows of it is kept');
	like(pay('octal'), qr/^captured id_\d+ - -$/, 'the card number in octal escapes: captured without');
	like(pay('shown'), qr/^captured id_\d+ A1B2C3 -$/, 'an ordinary authorization code is kept');
	pay('shown back', rollback => 1);
	ok(comes_to($node, 'shown back', 'Refunded'), 'rolled back: given back');
});

part($node, 'ids', sub {
	like(pay($_), qr/^captured good_\d+ \S+ -$/, "$_: looked up, and captured under the id that names nothing") for 'id', 'idkey';
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE card_echoed AND client_request_id IN ('id', 'idkey')"), '0', 'what is refused again by its look needs no memory');
	is((split ' ', pay('never'))[0], 'failed', 'no answer has an id that can be kept: no payment');
	ok(comes_to($node, 'never', 'Refunded') || comes_to($node, 'never', 'Failed'), 'never: settled');
	is(books('never'), '1 4200', 'never: cancelled by our reference, all of it given back');
	is((split ' ', pay('lonely', bank => 'helpless'))[0], 'in_review', 'nor can it be cancelled: a person') or diag(events($node, 'lonely'));
	my $id = sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = 'lonely'");
	sql("SELECT pgw.resolve_review('$id', 'mark_charged', 'the bank has named it on the telephone', '{\"bank_reference\": \"told_1\"}')");
	ok(comes_to($node, 'lonely', 'Completed'), 'an operator names it: completed');
	sql("SELECT FROM pgw.find_payment('lonely') f, pgw.refund_payment(f.payment_id, 'lonely back', 4200) r");
	ok(wait_until(sub { books('lonely') eq '1 4200' }, 30), 'and it can be given back');
});

part($node, 'amounts', sub {
	is((split ' ', pay('amount'))[0], 'failed', 'the number as the amount: an approval of who knows what');
	ok(comes_to($node, 'amount', 'Refunded'), 'amount: given back');
	is(pay('shows'), 'pending - - outcome_unknown', 'the number as the captured amount, in a look-up: how much was captured cannot be read');
});

part($node, 'look-ups', sub {
	pay('lost');
	ok(wait_until(sub { books('lost') eq '1 4200' }, 60), 'the answer is lost, and the look-up names the charge by its card number: cancelled') or diag(events($node, 'lost'));
	like(pay('refund'), qr/^captured /, 'captured');
	sql("SELECT FROM pgw.find_payment('refund') f, pgw.refund_payment(f.payment_id, 'refund r', 1000) r");
	ok(wait_until(sub { sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = 'refund r'") eq 'Failed' }, 30), 'a refund is refused, with the number and the key in the reason');
	is(codes('refund r'), '-', 'which is not kept');
});

part($node, 'old key', sub {
	my $p = start_bound(payment('rotated'));
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.transaction_events JOIN pgw.payment_transactions USING (transaction_id) WHERE client_request_id = 'rotated' AND event_type = 'BankProcessingStarted'") eq '1' }, 30), 'a request is out');
	change_key();
	eval { $p->{h}->finish };
	ok(comes_to($node, 'rotated', 'Refunded'), 'the key that it was sent with, and which has changed since, is its id: given back') or diag(events($node, 'rotated'));
	is(sql("SELECT bank_reference IS NULL AND authorization_code IS NULL AND card_echoed FROM pgw.payment_transactions WHERE client_request_id = 'rotated'"), 't', 'nothing of it is kept, also where the look-up repeats it');
});

part($node, 'told', sub {
	pay('reason') unless sql("SELECT count(*) FROM pgw.payments WHERE client_request_id = 'reason'");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'secret_echoed' AND bank = 'echo'") eq '1' }, 30), 'people are told that the bank repeats what it must not');
});

keeps_nothing();
done_testing();
