# The simulator as a vendor: what has not been published is refused as the vendor refuses it, and a search lags behind.  No cluster: the bank alone.
use strict;
use warnings;
use lib 'test/lib';
use HTTP::Tiny;
use JSON::PP ();
use PgwTest;
use Test::More;

my $bank = bank_start();
my $http = HTTP::Tiny->new(timeout => 10);
my %STRIPE = (Authorization => 'Bearer test-secret', 'Stripe-Version' => '2026-10-28.endive');

# The status, and the document.
sub ask
{
	my ($method, $path, $fields, $headers) = @_;
	my $answer = $http->request($method, "$bank->{url}$path", { headers => { %STRIPE, $fields ? ('Content-Type' => 'application/x-www-form-urlencoded') : (), %{ $headers // {} } },
		content => $fields ? $http->www_form_urlencode($fields) : '' });
	return ($answer->{status}, JSON::PP::decode_json($answer->{content}));
}

sub create
{
	my (%fields) = @_;
	my %all = (amount => 2000, currency => 'eur', confirm => 'true', payment_method => 'pm_card_visa', 'metadata[pgw_ref]' => 'r1', %fields);
	return ask(POST => '/stripe/v1/payment_intents', { map { $_ => $all{$_} } grep { defined $all{$_} } keys %all });
}

sub refused
{
	my ($name, $wanted, $status, $document) = @_;
	my $e = $document->{error} // {};
	return is(join(' ', $status, map { $_ // '-' } @$e{qw(code param)}), $wanted, $name);
}

refused('a parameter that is not published', '400 parameter_unknown metadta', create(metadta => 1));
refused('one inside another', '400 parameter_unknown automatic_payment_methods[redirects]', create('automatic_payment_methods[enabled]' => 'true', 'automatic_payment_methods[redirects]' => 'never'));
refused('one that is required is missing', '400 parameter_missing currency', create(currency => undef));
refused('an amount with a decimal point', '400 parameter_invalid_integer amount', create(amount => '20.00'));
refused('a value that is none of those published', '400 parameter_invalid_string_blank capture_method', create(capture_method => 'later'));
refused('a payment method that it does not know', '400 resource_missing source', create(payment_method => 'pm_nobody'));
refused('a currency of three decimals whose last is not 0', '400 amount_too_small amount', create(currency => 'kwd', amount => 2005));
refused('another version of the API', '400 api_version_invalid 2020-08-27', ask(GET => '/stripe/v1/balance', undef, { 'Stripe-Version' => '2020-08-27' }));
refused('none', '400 api_version_invalid Stripe-Version', ask(GET => '/stripe/v1/balance', undef, { 'Stripe-Version' => '' }));
refused('another secret', '401 api_key_invalid -', map { ref $_ ? do { delete $_->{error}{param}; $_ } : $_ } ask(GET => '/stripe/v1/balance', undef, { Authorization => 'Bearer other' }));
is((create(confirm => 'false'))[0], 501, 'what it does not simulate is said as no vendor says it');
is(scalar @{ bank_ledger($bank)->{charges} }, 0, 'and none of it has done anything');

my ($status, $intent) = create('expand[]' => 'latest_charge');
is_deeply([ $status, @$intent{qw(object status amount amount_received currency livemode)}, $intent->{latest_charge}{object}, $intent->{metadata} ],
	[ 200, 'payment_intent', 'succeeded', 2000, 2000, 'eur', JSON::PP::false, 'charge', { pgw_ref => 'r1' } ], 'an answer is the published example with what the bank did');
like((create('metadata[pgw_ref]' => 'r2'))[1]{latest_charge}, qr/^ch_/, 'what is not expanded is an id');
my ($declined, $error) = create('metadata[pgw_ref]' => 'r3', payment_method => 'pm_card_visa_chargeDeclinedInsufficientFunds');
is_deeply([ $declined, @{ $error->{error} }{qw(type decline_code)}, $error->{error}{payment_intent}{status} ], [ 402, 'card_error', 'insufficient_funds', 'requires_payment_method' ], 'a decline');
my ($again, $action) = create('metadata[pgw_ref]' => 'r4', payment_method => 'pm_card_authenticationRequired');
is("$again $action->{status}", '200 requires_action', 'what the card holder has to do');
refused('which is a decline where that was asked for', '402 requires_action_not_handled -', create('metadata[pgw_ref]' => 'r5', payment_method => 'pm_card_authenticationRequired', error_on_requires_action => 'true'));

# A part is captured: the rest is released, and stands among what was refunded.
my ($held, $hold) = create('metadata[pgw_ref]' => 'r6', capture_method => 'manual');
my (undef, $part) = ask(POST => "/stripe/v1/payment_intents/$hold->{id}/capture", { amount_to_capture => 700, 'expand[]' => 'latest_charge' });
is(join(' ', $part->{status}, $part->{amount_received}, @{ $part->{latest_charge} }{qw(amount_captured amount_refunded)}), 'succeeded 700 700 1300', 'a part captured');
refused('no second capture', '400 payment_intent_unexpected_state -', ask(POST => "/stripe/v1/payment_intents/$hold->{id}/capture", { amount_to_capture => 100 }));
is((ask(POST => '/stripe/v1/refunds', { payment_intent => $hold->{id}, amount => 200, 'metadata[pgw_ref]' => 'f1' }))[1]{status}, 'succeeded', 'a refund of it');
is(join(' ', map { "$_->{amount} $_->{metadata}{pgw_ref}" } @{ (ask(GET => "/stripe/v1/refunds?payment_intent=$hold->{id}"))[1]{data} }), '200 f1', 'which stands in the list at once');

sub found { return join ' ', map { $_->{status} } @{ (ask(GET => "/stripe/v1/payment_intents/search?query=metadata%5B%27pgw_ref%27%5D%3A%27$_[0]%27"))[1]{data} } }
is(found('r6'), 'succeeded', 'a search finds it');
is(found('nobody'), '', 'and nothing of another reference');
bank_control($bank, 'settings', { lookup_lag_ms => 3600000 });
is(found('r6'), '', 'a search that lags behind finds nothing');
is((ask(GET => "/stripe/v1/payment_intents/$hold->{id}"))[1]{status}, 'succeeded', 'but what is retrieved is there');
done_testing();
