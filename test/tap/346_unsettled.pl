# A bank that refunds nothing of a charge that is not settled yet, and voids nothing that is: pgw goes from a refund to a void and back, once each way, and
# after a look-up where there is one; a part waits until it is settled.  Another takes back a charge as a whole.  Counted at the bank.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwOperations;
use PgwScriptedBank;
use PgwTest;
use Test::More;
use Time::HiRes 'time';

# The token tells how long it takes until the charge is settled (soon: two seconds; never), lost: the first void or reversal is done and not answered,
# late: it is settled before the void comes.  mulish: no reversal.
my @charges;

sub is_settled
{
	my ($charge) = @_;
	return $charge->{settled} || $charge->{tok} =~ /soon/ && time - $charge->{at} > 2;
}

my %may = (
	refund => sub { my ($charge) = @_; return is_settled($charge) ? undef : 'unsettled' },
	void => sub { my ($charge) = @_; $charge->{settled} = JSON::PP::true if $charge->{tok} =~ /late/; return is_settled($charge) ? 'settled' : undef },
	reverse => sub { my ($charge) = @_; return $charge->{tok} =~ /mulish/ ? 'no' : undef });

sub give_back
{
	my ($kind, $charge, $form) = @_;
	my $asked = ++$charge->{asked}{$kind};
	my $why = $may{$kind}->($charge);
	return { status => 422, document => { error => $why } } if defined $why;
	if ($kind eq 'refund') { $charge->{returned} += $form->{sum} }
	else { $charge->{void} = JSON::PP::true; $charge->{voids}++ }
	return $charge->{tok} =~ /lost/ && $asked == 1 ? undef : { document => $charge };
}

sub serve
{
	my ($request) = @_;
	my ($path, $form) = @$request{qw(path fields)};
	return { document => \@charges } if $path eq '/books';
	if ($path eq '/sale')
	{
		push @charges, { id => 'c' . @charges, ref => $form->{ref}, tok => $form->{tok}, state => 'ok', taken => $form->{sum} + 0, returned => 0, void => JSON::PP::false, at => time, asked => {} };
		return { document => $charges[-1] };
	}
	my $charge = charge_asked_for(\@charges, $form);
	return $path =~ m{^/look} ? { document => $charge } : give_back(substr($path, 1), $charge, $form);
}

my $bank = scripted_bank(\&serve);
my $node = pgw_node('unsettled', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\npgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

my %answer = (rules => [ { status => 200, when => { '/state' => 'ok' }, outcome => 'approved' } ], fields => { reference => '/ref', bank_reference => '/id' });
sub answer { my (@rules) = @_; return { %answer, rules => [ @{ $answer{rules} }, @rules ] } }
my %blind = (
	v => 2,
	capabilities => { tokens => JSON::PP::true, partial_refund => JSON::PP::true, settles_after_seconds => 4 },
	operations => {
		charge => form_request('/sale', \%answer, sum => '{{amount}}', tok => '{{token}}'),
		void => form_request('/void', answer({ status => 422, when => { '/error' => 'settled' }, outcome => 'void_refused_settled' }), sale => '{{bank_reference}}'),
		refund => form_request('/refund', answer({ status => 422, when => { '/error' => 'unsettled' }, outcome => 'refund_refused_unsettled' }), sale => '{{bank_reference}}', sum => '{{amount}}') });
my %looks = (%blind, capabilities => { %{ $blind{capabilities} }, lookup_consistent_after_seconds => 0 }, operations => { %{ $blind{operations} },
	lookup_charge => { method => 'GET', path => '/look?q={{original_ref}}', answer => { %answer, fields => { %{ $answer{fields} }, captured => '/taken', refunded => '/returned', voided => '/void' } } } });
my %whole = (%looks, operations => { %{ $looks{operations} }, reverse => form_request('/reverse', answer({ status => 422, outcome => 'declined' }), sale => '{{bank_reference}}') });
# it never says how long that takes
my %vague = (%blind, capabilities => { tokens => JSON::PP::true, partial_refund => JSON::PP::true });
my %dialects = (blind => \%blind, looks => \%looks, whole => \%whole, vague => \%vague);
add_dialect($node, $bank, $_, $dialects{$_}, account => 'one') for sort keys %dialects;

# What the bank was asked for with this token, and what it did.
sub books
{
	my ($token) = @_;
	my ($charge) = grep { $_->{tok} eq $token } bank_books($bank);
	return join ' ', (map { "$_ $charge->{asked}{$_}" } sort keys %{ $charge->{asked} }), 'done:', $charge->{voids} // 0, $charge->{returned};
}

sub is_given_back
{
	my ($dialect, $token, $books, $name) = @_;
	sql('BEGIN; ' . payment_sql($token, bank => $dialect, token => $token) . '; ROLLBACK');
	ok(comes_to($node, $token, 'Refunded'), "$token: $name");
	is(books($token), $books, 'once');
}

sub is_refunded
{
	my ($dialect, $token, $amount, $books, $name) = @_;
	pay($node, $token, bank => $dialect, token => $token);
	request_operation($node, 'refund', $token, "$token-1", $amount);
	ok(comes_to($node, "$token-1", 'Completed'), "$token: $name");
	is(books($token), $books, 'once');
	is(how_payment_stands($node, $token), $amount == 1000 ? 'refunded 1000/1000/0' : "partially_refunded 1000/$amount/0", 'and so stands the payment');
}

part($node, 'a give-back of what is not settled', sub {
	is_given_back($_, "back-never-$_", 'refund 1 void 1 done: 1 0', 'voided, as it is not refunded') for 'blind', 'looks';
	is_given_back($_, "back-late-$_", 'refund 2 void 1 done: 0 1000', 'settled meanwhile: refunded after all') for 'blind', 'looks';
	is_given_back('looks', 'back-lost-never', 'refund 1 void 1 done: 1 0', 'the answer to the void is lost: looked up');
});

part($node, 'a refund of what is not settled', sub {
	is_refunded($_, "all-never-$_", 1000, 'refund 1 void 1 done: 1 0', 'all of it is voided') for 'blind', 'looks';
	is_refunded($_, "all-late-$_", 1000, 'refund 2 void 1 done: 0 1000', 'settled meanwhile: refunded after all') for 'blind', 'looks';
	is_refunded('looks', 'all-lost-never', 1000, 'refund 1 void 1 done: 1 0', 'the answer to the void is lost: looked up');
});

part($node, 'a part waits', sub {
	pay($node, 'part-soon', bank => 'blind', token => 'part-soon');
	request_operation($node, 'refund', 'part-soon', 'part-soon-1', 400);
	my $waits = "SELECT status || ' ' || (details->'reasons')::text FROM pgw.health() WHERE check_name = 'put_off'";
	ok(wait_until(sub { sql($waits) =~ /^ok .*refund_refused_unsettled/ }, 20), 'health() says that it waits until the charge is settled, and takes it for no fault') or diag(sql($waits));
	ok(comes_to($node, 'part-soon-1', 'Completed'), 'then it is refunded');
	is(books('part-soon'), 'refund 2 done: 0 400', 'once, and was not asked for in between');
	pay($node, 'part-vague', bank => 'vague', token => 'part-vague');
	request_operation($node, 'refund', 'part-vague', 'part-vague-1', 400);
	ok(comes_to($node, 'part-vague-1', 'Failed'), 'where it is not said how long that takes, it has failed');
	is(sql("SELECT error_code FROM pgw.payment_transactions WHERE client_request_id = 'part-vague-1'"), 'refund_refused_unsettled', 'for that reason');
	is(books('part-vague'), 'refund 1 done: 0 0', 'and nothing was done');
});

part($node, 'as a whole', sub {
	is_given_back('whole', 'whole-never', 'reverse 1 done: 1 0', 'a give-back is a reversal first');
	is_given_back('whole', 'whole-lost', 'reverse 1 done: 1 0', 'whose lost answer is looked up');
	is_given_back('whole', 'whole-mulish-never', 'refund 1 reverse 1 void 1 done: 1 0', 'refused: the ways that are left');
	is_refunded('whole', 'whole-refund-never', 1000, 'refund 1 reverse 1 done: 1 0', 'a refund of all is one when it is not settled');
});

$node->stop('fast');
done_testing();
