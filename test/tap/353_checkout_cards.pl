# The connector for Checkout.com with card numbers: the vendor's published model of a card is what it sends, a void that is only accepted comes to its end, an answer that is lost is found by look-up and
# never by a second charge, and the number is nowhere on disk.
use strict;
use warnings;
use lib 'test/lib';
use PgwBound;
use PgwBytes;
use PgwTest;
use Test::More;

my $NUMBER = join '', '4242', ('4242') x 3;
my $bank = bank_start();
my $node = pgw_node('checkout_cards', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\npgw.retry_budget = 100\nlog_parameter_max_length = 0\n");
pgw_setup($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sql("INSERT INTO pgw.banks (name, connector, base_url, secret, livemode, request_timeout) VALUES ('checkout', 'checkout', '$bank->{url}/checkout', 'bank', false, '2s')");

my $year = (localtime)[5] + 1902;

# Paid by card, whose data the protocol carries as parameters.
sub pay
{
	my ($id, %o) = @_;
	my $call = "SELECT FROM pgw.process_payment('$id', 1000, 'EUR', bank => 'checkout', card_number => :number, card_expiry_month => 12, card_expiry_year => $year, card_cvv => :cvv, card_holder => :holder, capture => '"
	  . ($o{capture} // 'immediate') . "', timeout => '20s');";
	my $error = run_bound($node, $o{rollback} ? "BEGIN;\n$call\nROLLBACK;" : $call, { number => $NUMBER, cvv => '100', holder => 'CHECKOUTHOLDER' });
	unlike($error, qr/ERROR/, "$id: no error") or diag($error);
	return $o{rollback} ? '' : sql("SELECT status FROM pgw.find_payment('$id')");
}

sub stands { my ($id) = @_; return join ', ', map { "$_->{captured}/$_->{refunded}" } charges_of($node, $bank, $id) }

part($node, 'charged and authorized', sub {
	pay('charge');
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'charge'"), 'captured when the bank shows it so');
	is(stands('charge'), '1000/0', 'charged once');
	is(sql("SELECT card_last4 || ' ' || card_brand FROM pgw.payments WHERE client_request_id = 'charge'"), '4242 visa', 'its last four digits are known');
	is(pay('hold', capture => 'manual'), 'authorized', 'authorized');
});

part($node, 'rolled back', sub {
	pay('back', rollback => 1, capture => 'manual');
	ok(comes_to($node, 'back', 'Refunded'), 'an authorization by card is given back') or diag(events($node, 'back'));
});

part($node, 'lost answer', sub {
	bank_control($bank, 'faults', { probabilities => { reset_after => 1 }, operations => ['charge'], times => 1 });
	pay('lost');
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'lost'"), 'found by its reference');
	is(stands('lost'), '1000/0', 'and charged once: a card is never sent again');
});

part($node, 'by token', sub {
	is(sql("SELECT status IN ('pending', 'captured') FROM pgw.process_payment('token', 1000, 'EUR', bank => 'checkout', token => 'tok_ok')"), 't', 'a token is sent as one');
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'token'"), 'and captured');
});

$node->stop('fast');
my %found = PgwBytes->new(number => $NUMBER, holder => 'CHECKOUTHOLDER', event => 'BankProcessingStarted')->found_in($node->data_dir, $node->logfile);
ok(!$found{$_}, "the $_ is nowhere on disk") or diag(join ', ', @{ $found{$_} }) for 'number', 'holder';
ok($found{event}, 'where the search finds what is there');
done_testing();
