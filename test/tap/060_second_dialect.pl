# A bank of quite another shape, added by INSERT alone: form-encoded, declines as 402, failures as 200, no look-up.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('dialect');
my $bank = bank_start();
pgw_setup($node, $bank);
my $definition = slurp_file('test/connectors/formbank.json');
$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition) VALUES ('formbank', \$json\$$definition\$json\$);
	INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('form', 'formbank', '$bank->{url}', 'bank')");

sub pay
{
	return $node->safe_psql('postgres', 'SELECT status, transaction_status, error_class, error_code, amount, authorized_amount FROM ' . pay_sql('process_payment', bank => 'form', @_));
}

is(pay(client_request_id => 'ok', amount => 1250), 'captured|Completed|||1250|1250', 'paid');
is(events($node, 'ok'), $SUCCESS_FLOW, 'with the success flow');
is(pay(client_request_id => 'yen', amount => 1250, currency => 'JPY'), 'captured|Completed|||1250|1250', 'paid in a currency without minor unit');
like(pay(client_request_id => 'no', token => 'tok_decline_insufficient_funds'), qr/^declined\|Failed\|business\|insufficient_funds/, 'declined by HTTP 402');
is(events($node, 'no'), $DECLINE_FLOW, 'with the decline flow');
like(pay(client_request_id => 'huh', token => 'tok_500_after'), qr/^in_review\|RequiresManualReview\|timeout/, 'a malfunction in an HTTP 200 is unknown, not failed; a bank without look-up and keys leaves it to a person');
my ($c) = grep { $_->{amount} == 1250 && $_->{currency} eq 'EUR' } @{ bank_ledger($bank)->{charges} };
ok($c, 'the bank has the charge');
$node->stop('fast');
done_testing();
