# A bank that refunds nothing of a charge that is not settled yet: what else of the payment may be under way, what is lost between, and what the bank
# fails over, does not make it more or less than what was asked for.  Counted at the bank.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwOperations;
use PgwScriptedBank;
use PgwTest;
use Test::More;
use Time::HiRes 'time';

# The token tells how long it takes until the charge is settled (soon: two seconds; never).
my @charges;

sub is_settled { my ($charge) = @_; return $charge->{tok} =~ /soon/ && time - $charge->{at} > 2 }

sub done { my ($charge) = @_; return { document => $charge } }

my %serves = (
	books => sub { return { document => \@charges } },
	hold => sub {
		my ($form) = @_;
		push @charges, { id => 'c' . @charges, ref => $form->{ref}, tok => $form->{tok}, state => 'ok', taken => $form->{taken} // 0, returned => 0, void => JSON::PP::false, at => time, asked => {} };
		return done($charges[-1]);
	},
	look => sub { my ($form, $charge) = @_; return done($charge) },
	take => sub { my ($form, $charge) = @_; $charge->{taken} += $form->{sum}; return done($charge) },
	void => sub {
		my ($form, $charge) = @_;
		return { status => 422, document => { error => 'settled' } } if is_settled($charge);
		return { status => 429, document => {} } if $charge->{tok} =~ /crowded/ && ($charge->{tok} =~ /always/ || $charge->{asked}{void} == 1);
		$charge->{void} = JSON::PP::true;
		$charge->{voids}++;
		return done($charge);
	},
	refund => sub {
		my ($form, $charge) = @_;
		return { status => 422, document => { error => 'unsettled' } } unless is_settled($charge);
		return { status => 429, document => {} } if $charge->{tok} =~ /busy/ && $charge->{asked}{refund} == 2;
		$charge->{returned} += $form->{sum};
		return done($charge);
	});

sub serve
{
	my ($request) = @_;
	my ($what) = $request->{path} =~ m{^/(\w+)};
	my $charge = charge_asked_for(\@charges, $request->{fields});
	$charge->{asked}{$what}++ if $charge;
	return $serves{$what}->($request->{fields}, $charge);
}

my $bank = scripted_bank(\&serve);
my $node = pgw_node('further', debug => 1, conf => "fsync = off\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\npgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);

my %answer = (rules => [ { status => 200, when => { '/state' => 'ok' }, outcome => 'approved' }, { status => 429, outcome => 'not_processed' } ],
	fields => { reference => '/ref', bank_reference => '/id' });
sub answer { my (@rules) = @_; return { %answer, rules => [ @{ $answer{rules} }, @rules ] } }
my %blind = (
	v => 2,
	capabilities => { tokens => JSON::PP::true, partial_refund => JSON::PP::true, partial_capture => JSON::PP::true, multiple_captures => JSON::PP::true, settles_after_seconds => 4 },
	operations => {
		charge => form_request('/hold', \%answer, taken => '{{amount}}', tok => '{{token}}'),
		authorize => form_request('/hold', \%answer, tok => '{{token}}'),
		capture => form_request('/take', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}'),
		void => form_request('/void', answer({ status => 422, when => { '/error' => 'settled' }, outcome => 'void_refused_settled' }), sale => '{{bank_reference}}'),
		refund => form_request('/refund', answer({ status => 422, when => { '/error' => 'unsettled' }, outcome => 'refund_refused_unsettled' }), sale => '{{bank_reference}}', sum => '{{amount}}') });
my %looks = (%blind, capabilities => { %{ $blind{capabilities} }, lookup_consistent_after_seconds => 0 }, operations => { %{ $blind{operations} },
	lookup_charge => { method => 'GET', path => '/look?q={{original_ref}}', answer => { %answer, fields => { %{ $answer{fields} }, captured => '/taken', refunded => '/returned', voided => '/void' } } } });
add_dialect($node, $bank, 'blind', \%blind, account => 'one');
# its look-up does not say whether a charge was voided
my %dim = (%looks, operations => { %{ $looks{operations} }, lookup_charge => { method => 'GET', path => '/look?q={{original_ref}}', answer => { %answer, fields => { %{ $answer{fields} }, captured => '/taken', refunded => '/returned' } } } });
add_dialect($node, $bank, 'looks', \%looks, account => 'one');
add_dialect($node, $bank, 'dim', \%dim, account => 'one');

# What the bank was asked for with this token, and what it did.
sub books
{
	my ($token) = @_;
	my ($charge) = grep { $_->{tok} eq $token } bank_books($bank);
	return join ' ', (map { "$_ $charge->{asked}{$_}" } grep { $_ ne 'look' } sort keys %{ $charge->{asked} }), 'done:', $charge->{voids} // 0, $charge->{returned};
}

part($node, 'more can be captured', sub {
	for my $dialect ('blind', 'looks')
	{
		my $id = "open-soon-$dialect";
		pay($node, $id, bank => $dialect, token => $id, capture => 'manual');
		request_operation($node, 'capture', $id, "$id-c", 400, 'final => false');
		ok(comes_to($node, "$id-c", 'Completed'), "$id: a part is captured");
		request_operation($node, 'refund', $id, "$id-r", 400);
		ok(comes_to($node, "$id-r", 'Completed'), 'all that is captured is refunded');
		is(books($id), 'refund 2 take 1 done: 0 400', 'when it is settled: a void would have taken the authorization with it');
		request_operation($node, 'capture', $id, "$id-d", 600);
		ok(comes_to($node, "$id-d", 'Completed'), 'and the rest can be captured');
	}
});

part($node, 'a worker ends', sub {
	pay($node, 'lost', bank => 'looks', token => 'lost');
	debug_arm($node, 'sending', 'stop 3'); # the refund, a look-up, the void
	request_operation($node, 'refund', 'lost', 'lost-r', 1000);
	debug_wait($node, 'sending');
	like(books('lost'), qr/^refund 1 done: 0/, 'the refund is refused, and the void about to leave');
	lose_process($node, 'immediate stop');
	ok(comes_to($node, 'lost-r', 'Completed'), 'then it is looked up and sent: the refusal was the refund\'s');
	is(books('lost'), 'refund 1 void 1 done: 1 0', 'once');
	is(how_payment_stands($node, 'lost'), 'refunded 1000/1000/0', 'and so stands the payment');
});

part($node, 'a void that is not taken', sub {
	pay($node, 'crowded', bank => 'dim', token => 'crowded');
	request_operation($node, 'refund', 'crowded', 'crowded-r', 1000);
	ok(comes_to($node, 'crowded-r', 'Completed'), 'what a refund has changed over to, and the bank has not processed, is in no doubt: it is sent again');
	is(books('crowded'), 'refund 1 void 2 done: 1 0', 'and done once');
	is(how_payment_stands($node, 'crowded'), 'refunded 1000/1000/0', 'and so stands the payment');
});

part($node, 'the deadline', sub {
	change_settings($node, 'pgw.unknown_deadline' => '3s');
	pay($node, 'crowded-always', bank => 'looks', token => 'crowded-always');
	request_operation($node, 'refund', 'crowded-always', 'crowded-always-r', 1000);
	ok(comes_to($node, 'crowded-always-r', 'Failed'), 'a void that the bank never takes has failed in the end, as nothing was done');
	is($node->safe_psql('postgres', "SELECT error_code FROM pgw.payment_transactions WHERE client_request_id = 'crowded-always-r'"), 'bank_unavailable', 'and says why');
	is(how_payment_stands($node, 'crowded-always'), 'captured 1000/0/0', 'and claims nothing of the payment any more');
	pay($node, 'busy-soon', bank => 'blind', token => 'busy-soon');
	request_operation($node, 'refund', 'busy-soon', 'busy-soon-r', 400);
	ok(comes_to($node, 'busy-soon-r', 'Completed'), 'a refund that has waited for longer than the deadline is tried more than once');
	is(books('busy-soon'), 'refund 3 done: 0 400', 'and is done when the bank has time');
});

$node->stop('fast');
done_testing();
