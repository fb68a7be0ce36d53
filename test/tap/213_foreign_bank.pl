# A bank that nobody here wrote: short numeric ids, forms, one document for all; its yes says less than it seems to.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwScriptedBank;
use PgwTest;
use Test::More;

# The token tells what is odd about a charge:
# belied: its first refund is answered with the charge as it was, and not done.  yen: refunds are made in another currency.
# gone: the answer is lost, and somebody gives the money back before the same key comes again.
my (@charges, %keys);

sub sale
{
	my ($form) = @_;
	my ($charge) = grep { $_->{ref} eq $form->{ref} } @charges;
	return { document => $charge } if $keys{ $form->{ref} }++;
	push @charges, $charge = { id => 1 + @charges, ref => $form->{ref}, total => $form->{sum} + 0, cur => 'EUR', taken => $form->{sum} + 0, returned => 0, state => 'ok', tok => $form->{tok}, asked => 0, sent => [] };
	return { document => $charge } if $form->{tok} ne 'gone';
	$charge->{returned} = $charge->{taken};
	return;
}

sub give_back
{
	my ($form, $charge) = @_;
	push @{ $charge->{sent} }, $form->{ref};
	return { document => $charge } if $charge->{tok} eq 'belied' && !$charge->{asked}++;
	return { status => 409, document => { state => 'no' } } if $charge->{returned} + $form->{sum} > $charge->{taken};
	$charge->{returned} += $form->{sum};
	return { document => { id => 1000 + $charge->{id}, ref => $form->{ref}, state => 'ok', total => $form->{sum} + 0, cur => $charge->{tok} eq 'yen' ? 'JPY' : 'EUR' } };
}

my $bank = scripted_bank(sub {
	my ($request) = @_;
	my ($path, $form) = @$request{qw(path fields)};
	my $charge = charge_asked_for(\@charges, $form);
	return { document => \@charges } if $path eq '/books';
	return sale($form) if $path eq '/sale';
	return give_back($form, $charge) if $path eq '/return' && $charge;
	return { document => $charge // { state => 'none' } };
});

my $node = pgw_node('foreign', debug => 1, conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\n");
pgw_setup($node);

my @rules = (
	{ status => 200, when => { '/state' => 'ok' }, outcome => 'approved' },
	{ status => 409, when => { '/state' => 'no' }, outcome => 'declined' });
my %fields = (reference => '/ref', bank_reference => '/id', amount => '/total', currency => '/cur', captured => '/taken', refunded => '/returned');
my %answer = (rules => \@rules, fields => \%fields);
my %definition = (
	v => 1,
	capabilities => { tokens => JSON::PP::true, partial_refund => JSON::PP::true, idempotency => { lifetime_seconds => 86400, header => 'X-Key' }, lookup_consistent_after_seconds => 0 },
	operations => {
		charge => form_request('/sale', \%answer, sum => '{{amount}}', tok => '{{token}}'),
		refund => form_request('/return', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}'),
		lookup_charge => { method => 'GET', path => '/find?q={{original_ref}}', answer => { rules => [ $rules[0], { status => 200, when => { '/state' => 'none' }, outcome => 'not_found' } ], fields => \%fields } } });
my %blind = (%definition, capabilities => { %{ $definition{capabilities} }, lookup_consistent_after_seconds => undef }, operations => { %{ $definition{operations} } });
delete $blind{operations}{lookup_charge};
add_dialect($node, $bank, foreign => \%definition, account => 'one');
add_dialect($node, $bank, blind => \%blind, account => 'one');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub pay
{
	my ($id, %a) = @_;
	return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, bank => 'foreign', timeout => '20s', %a);
}

# What the bank has taken and returned for each charge with a token.
sub books
{
	my ($token) = @_;
	return join ',', map { "$_->{taken} $_->{returned}" } grep { $_->{tok} eq $token } bank_books($bank);
}

part($node, 'answers that belie themselves', sub {
	sql('BEGIN; ' . pay('back', amount => 3333, token => 'belied') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'back') eq 'Refunded' }, 30), 'a yes that shows the charge as it was: asked again') or diag(events($node, 'back'));
	is(books('belied'), '3333 3333', 'and given back, once');
	is(sql(pay('part', amount => 4444, token => 'belied')), 'captured', 'a payment');
	sql("SELECT FROM pgw.find_payment('part') f, pgw.refund_payment(f.payment_id, 'part-r', 1000) r");
	ok(wait_until(sub { sql("SELECT refunded_amount FROM pgw.payments WHERE client_request_id = 'part'") eq '1000' }, 30), 'a refund that was asked for: the same') or diag(events($node, 'part-r'));
	is(books('belied'), '3333 3333,4444 1000', 'once, too');
});

part($node, 'another currency', sub {
	sql('BEGIN; ' . pay('yen', amount => 5000, token => 'yen') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'yen') eq 'RequiresManualReview' }, 30), 'given back in another currency: a person') or diag(events($node, 'yen'));
	is(sql("SELECT event_data->>'reason' FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE client_request_id = 'yen' AND event_type = 'ManualReviewRequired'"), 'amount_mismatch', 'who is told why');
	is(books('yen'), '5000 5000', 'it is not sent again');
});

# Only the repeated request tells.
part($node, 'given back by somebody else', sub {
	is(sql(pay('gone', bank => 'blind', amount => 6000, token => 'gone')), 'failed', 'the same key again shows a charge that was given back: no payment');
	ok(wait_until(sub { status_of($node, 'gone') ne 'BankUnknown' }, 30), 'settled');
	is(books('gone'), '6000 6000', 'nothing more is given back');
});

is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'consistent');
$node->stop('fast');
done_testing();
