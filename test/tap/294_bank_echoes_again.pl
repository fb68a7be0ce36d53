# What a bank's answer repeated of the card was refused because the card was known, and the bank says it again when it is not known any more: in a look-up, to a
# retry, after a crash.  It is not kept then either, and the money goes the way that it goes without an id.
use strict;
use warnings;
use lib 'test/lib';
use PgwBound;
use PgwEchoes;
use PgwTest;
use Test::More;

my $node = echo_node();

# Of a charge whose id was refused: no other id is kept, and it is given back by our reference.
sub cancelled
{
	my ($what) = @_;
	ok(comes_to($node, $what, 'Refunded'), "$what: given back") or diag(events($node, $what));
	is(books($what), '1 4200', "$what: all of it, by our reference");
	is(sql("SELECT DISTINCT bank_reference IS NULL AND card_echoed FROM pgw.payment_transactions WHERE client_request_id = '$what'"), 't', "$what: with no id, and it is remembered why");
	is(claims_of($what), '', "$what: nor has it claimed one");
}

sub claims_of { return sql("SELECT r.bank_reference FROM pgw.bank_references r JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = '$_[0]'") }

# What was refused because the card was known comes back when it is not known any more.
part($node, 'said again', sub {
	for my $what ('idcvv', 'unclear', 'pending', 'named')
	{
		like(pay($what), qr/^failed - AUTH1 outcome_unacceptable$/, "$what: no payment, as its id would have to be kept");
		cancelled($what);
	}
	like(pay('coded'), qr/^captured id_\d+ - -$/, 'the security code as authorization code, and again in the look-up: captured without');
	like(pay('helped', bank => 'helpless'), qr/^in_review - AUTH1 approval_incomplete$/, 'nor can it be cancelled: a person');
});

# What counts as absent, stands in another field or in none, or in an answer that is about another payment.
part($node, 'said where nothing is kept', sub {
	for my $what ('toolong', 'notext', 'elsewhere', 'otherfield', 'around', 'encoded')
	{
		like(pay($what), qr/^failed - \S+ outcome_unacceptable$/, "$what: no payment, as its id would have to be kept");
		cancelled($what);
	}
});

part($node, 'said again of another charge', sub {
	like(pay('mine'), qr/^captured id_\d+ AUTH1 -$/, 'a payment');
	my $claims = claims_of('mine');
	like(pay('elses'), qr/^in_review - AUTH1 bank_reference_taken$/, 'an id that must not be kept still shows whose charge the look-up is about');
	is(books('mine'), '1 0', 'which is left alone');
	is(claims_of('elses') . claims_of('mine'), $claims, 'and whose id stays its own');
});

part($node, 'said again by who needs no id', sub {
	like(pay('kept', bank => 'content'), qr/^captured - AUTH1 -$/, 'captured without an id');
	is(claims_of('kept'), '', 'and without a claim on one');
	sql("SELECT FROM pgw.find_payment('kept') f, pgw.refund_payment(f.payment_id, 'kept r', 4200) r");
	ok(wait_until(sub { books('kept') eq '1 4200' }, 30), 'refunded by our reference');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = 'kept r'") eq 'Completed' }, 30), 'and completed');
	is(sql("SELECT bank_reference IS NULL AND card_echoed FROM pgw.payment_transactions WHERE client_request_id = 'kept r'"), 't', 'what the refund is called there is not kept');
});

part($node, 'said again after a crash', sub {
	debug_arm($node, 'result_committed', 'stop');
	my $p = start_bound(payment('killed'));
	crash($node, debug_wait($node, 'result_committed'));
	eval { $p->{h}->finish };
	cancelled('killed');
});

part($node, 'said again to a retry', sub {
	pay('twice', rollback => 1);
	ok(comes_to($node, 'twice', 'Refunded'), 'twice: rolled back, and given back');
	like(pay('twice'), qr/^failed - - /, 'twice: the second answer is lost, and its id is not kept either');
	ok(wait_until(sub { books('twice') eq '1 4200,1 4200' }, 30), 'twice: both are given back');
	is(sql("SELECT count(*), count(bank_reference), bool_and(card_echoed) FROM pgw.payment_transactions WHERE client_request_id = 'twice'"), '2|0|t', 'twice: with no id');
});

keeps_nothing();
done_testing();
