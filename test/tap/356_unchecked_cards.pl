# UnionPay's numbers without a check digit: a bank whose connector says so is sent them, all others refuse them as mistyped; bound, such a number is nowhere on disk, and what
# the server would log of it is refused or cut, though nothing can tell it by its look.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwBound;
use PgwBytes;
use PgwScriptedBank;
use PgwTest;
use Test::More;

my $NUMBER = '62' . '0' x 13 . '1';    # UnionPay's test number with another last digit
my (@charges, $n);
my $bank = scripted_bank(sub {
	my ($r) = @_;
	my $f = $r->{fields};
	return { document => \@charges } if $r->{path} eq '/books';
	return { document => { state => 'ok', id => 'c' . ++$n, ref => $f->{ref}, said => push(@charges, { number => $f->{number} // '', token => $f->{token} // '' }), auth => ($f->{number} // '') } };
});
my $node = pgw_node('unchecked', conf => "fsync = off\n");
pgw_setup($node);
my $answer = { rules => [ { status => 200, when => { '/state' => 'ok' }, outcome => 'approved' } ], fields => { reference => '/ref', bank_reference => '/id', authorization_code => '/auth' } };
my %operations = (charge => form_request('/charge', $answer, number => '{{card_number}}', token => '{{token}}', amount => '{{amount}}'));
add_dialect($node, $bank, 'takes', { v => 2, capabilities => { cards => \1, tokens => \1, cards_without_check_digit => ['unionpay'] }, operations => \%operations }, livemode => 'false', priority => 800);
add_dialect($node, $bank, 'other', { v => 2, capabilities => { cards => \1, tokens => \1 }, operations => \%operations }, livemode => 'false', priority => 700);

sub sql { return $node->safe_psql('postgres', $_[0]) }
my $year = (localtime)[5] + 1902;

sub pay
{
	my ($id, $named, $before) = @_;
	return run_bound($node, ($before // '') . "SELECT FROM pgw.process_payment('$id', 1000, 'EUR', card_number => :number, card_expiry_month => 12, card_expiry_year => $year, card_cvv => :cvv, timeout => '20s'"
		  . ($named ? ", bank => '$named'" : '') . ');', { number => $NUMBER, cvv => '100' });
}

part($node, 'who takes it', sub {
	my $error = pay('other', 'other');
	like($error, qr/the request is not valid/, 'a bank that does not say so refuses it');
	like($error, qr/"luhn_failed"/, 'as mistyped');
	like($error, qr/cards_without_check_digit/, 'and the hint says what there is');
	is(sql("SELECT count(*) FROM pgw.payment_transactions"), 0, 'nothing was recorded');
	is(pay('named', 'takes'), '', 'the other one takes it');
	is(pay('any'), '', 'and is found where none is named');
	is(join(' ', map { $_->{number} } bank_books($bank)), "$NUMBER $NUMBER", 'the bank has the number');
	is(sql("SELECT string_agg(concat_ws(' ', card_last4, card_brand, bank, authorization_code), ',') FROM pgw.payments"), '0001 unionpay takes,0001 unionpay takes', 'of which the last four digits are kept, and nothing that repeats it');
});

part($node, 'as a token', sub {
	my (undef, undef, $error) = $node->psql('postgres', "SELECT FROM pgw.process_payment('t1', 1000, 'EUR', '$NUMBER', bank => 'takes')");
	like($error, qr/"token", "code": "card_number_in_stored_field"/, 'it is refused where such cards are taken');
	(undef, undef, $error) = $node->psql('postgres', "SELECT FROM pgw.submit_payment('t2', 1000, 'EUR', '$NUMBER', bank => 'takes')");
	like($error, qr/"token", "code": "card_number_in_stored_field"/, 'submitted, too');
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id IN ('t1', 't2')"), 0, 'nothing of it is stored');
});

part($node, 'literals and logs', sub {
	my $literal = "card_number => '$NUMBER', card_expiry_month => 12, card_expiry_year => $year, bank => 'takes'";
	my $logged = "SET log_parameter_max_length = -1; SET log_statement = 'all';";
	my (undef, undef, $error) = $node->psql('postgres', "SELECT FROM pgw.process_payment('l', 1000, 'EUR', $literal)");
	like($error, qr/card_literal/, 'a literal is refused');
	(undef, undef, $error) = $node->psql('postgres', "DO \$\$ BEGIN PERFORM FROM pgw.process_payment('l', 1000, 'EUR', $literal); END \$\$");
	like($error, qr/card_literal/, 'in a block, too');
	like(pay('logged', 'takes', $logged), qr/card_parameters_logged/, 'nor is it taken where the server would log it');
	$node->psql('postgres', "SELECT FROM pgw.process_payment('l', 1000, 'EUR', $literal");
	# the parameters of a function around the call are logged before it runs
	sql("CREATE FUNCTION around(text) RETURNS void LANGUAGE plpgsql AS \$\$ BEGIN PERFORM FROM pgw.process_payment('around', 1000, 'EUR', card_number => \$1, card_expiry_month => 12, card_expiry_year => $year, bank => 'takes'); END \$\$");
	like(run_bound($node, "$logged SELECT around(:number);", { number => $NUMBER }), qr/card_parameters_logged/, 'nor by a function around it');
});

$node->stop('fast');
my %found = PgwBytes->new(number => $NUMBER, event => 'BankProcessingStarted')->found_in($node->data_dir, $node->logfile);
ok(!$found{number}, 'the number is nowhere on disk') or diag(join ', ', @{ $found{number} });
ok($found{event}, 'where the search finds what is there');
done_testing();
