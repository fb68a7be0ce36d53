# A bank that says in its answers whether real money moves: a test payment at a real bank is no payment, nor a real one at a bank for tests, whatever
# else the answer says; what was charged there is given back, and people are told.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwScriptedBank;
use PgwTest;
use Test::More;

# The token tells what is odd about a charge.
# test, live: in which mode it is made.  lost: its first answer is lost.  no: it is declined.  odd: a mode that nobody can read.  nameless: no id.
# swapped: it is made in the right mode, and whatever comes after that is answered by the other one, which says yes and does nothing.
my @charges;

sub sale
{
	my ($form) = @_;
	my $token = $form->{tok};
	my $charge = { id => 1 + @charges, ref => $form->{ref}, total => $form->{sum} + 0, cur => 'EUR', taken => $form->{kind} eq 'sale' ? $form->{sum} + 0 : 0, returned => 0,
		void => JSON::PP::false, state => 'ok', tok => $token, mode => $token =~ /test/ ? 'test' : $token =~ /odd/ ? 'maybe' : 'live' };
	return { %$charge, id => undef, taken => 0, state => 'no' } if $token =~ /no-/;
	push @charges, $charge;
	return if $token =~ /lost/;
	return { %$charge, id => undef } if $token =~ /nameless/;
	return $charge;
}

sub follow_up
{
	my ($path, $form, $charge) = @_;
	return { state => 'none' } if !$charge;
	return { %$charge, returned => $charge->{taken}, mode => 'test' } if $charge->{tok} =~ /swapped/;
	if ($path eq '/return') { $charge->{returned} += $form->{sum} }
	elsif ($path eq '/void') { $charge->{void} = JSON::PP::true }
	elsif ($path eq '/cancel') { $charge->{void} = JSON::PP::true; $charge->{returned} = $charge->{taken} }
	return $charge;
}

my $bank = scripted_bank(sub {
	my ($request) = @_;
	my ($path, $form) = @$request{qw(path fields)};
	my $document = $path eq '/books' ? \@charges : $path eq '/sale' ? sale($form) : follow_up($path, $form, charge_asked_for(\@charges, $form));
	return $document && { document => $document };
});

my $node = pgw_node('livemode', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\n"
	  . "pgw.breaker_failures = 10000\npgw.breaker_cooldown = '1h'\npgw.retry_budget = 100\n");
pgw_setup($node);
sub sql { return $node->safe_psql('postgres', $_[0]) }

my @rules = map { { status => 200, when => { '/state' => $_->[0] }, outcome => $_->[1] } } [ ok => 'approved' ], [ no => 'declined' ];
my %fields = (reference => '/ref', bank_reference => '/id', amount => '/total', currency => '/cur', captured => '/taken', refunded => '/returned', voided => '/void',
	livemode => { at => '/mode', live => 'live', test => 'test' });
my %answer = (rules => \@rules, fields => \%fields);
my %definition = (v => 2, capabilities => { tokens => JSON::PP::true, partial_refund => JSON::PP::true, lookup_consistent_after_seconds => 0 },
	operations => {
		charge => form_request('/sale', \%answer, kind => 'sale', sum => '{{amount}}', tok => '{{token}}'),
		authorize => form_request('/sale', \%answer, kind => 'hold', sum => '{{amount}}', tok => '{{token}}'),
		capture => form_request('/capture', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}'),
		void => form_request('/void', \%answer, sale => '{{bank_reference}}'),
		refund => form_request('/return', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}'),
		lookup_charge => { method => 'GET', path => '/find?q={{original_ref}}',
			answer => { rules => [ @rules, { status => 200, when => { '/state' => 'none' }, outcome => 'not_found' } ], fields => \%fields } } });
add_dialect($node, $bank, real => \%definition);
add_dialect($node, $bank, sandbox => \%definition, livemode => 'false');
add_dialect($node, $bank, cancels => { %definition, operations => { %{ $definition{operations} }, cancel => { settles => JSON::PP::true, %{ form_request('/cancel', \%answer, q => '{{original_ref}}') } } } });
add_dialect($node, $bank, stopped => \%definition);

sub pay
{
	my ($at, $id, %a) = @_;
	return sql("SELECT status, captured_amount, livemode, error_code FROM " . pay_sql('process_payment', client_request_id => $id, bank => $at, amount => 5000, token => $id, timeout => '60s', %a));
}

# What the bank has taken and returned for each charge with a token, and whether it is voided.
sub books
{
	my ($token) = @_;
	return join ',', map { "$_->{taken} $_->{returned} " . ($_->{void} ? 'void' : 'open') } grep { $_->{tok} eq $token } bank_books($bank);
}

sub comes_to
{
	my ($id, $status) = @_;
	return wait_until(sub { status_of($node, $id) eq $status }, 60) || !diag(status_of($node, $id) . ': ' . events($node, $id));
}

# Why, by the newest event of that type.
sub reason
{
	my ($id, $type) = @_;
	return sql("SELECT event_data->>'reason' FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE client_request_id = '$id' AND event_type = '$type' ORDER BY event_id DESC LIMIT 1");
}

part($node, 'the right mode', sub {
	is(pay('real', 'live-1'), 'captured|5000|t|', 'real money at a real bank');
	is(pay('sandbox', 'test-1'), 'captured|5000|f|', 'a test at a bank for tests');
	is(sql(q{SELECT count(*) FROM pgw.alert_state WHERE kind = 'livemode_mismatch'}), 0, 'nothing to tell');
});

part($node, 'approvals', sub {
	for my $case ([ real => 'test-real' ], [ sandbox => 'live-sandbox' ])
	{
		my ($at, $id) = @$case;
		like(pay($at, $id), qr/^failed\|0\|[tf]\|livemode_mismatch$/, "$id: no payment");
		is(reason($id, 'BankOutcomeUnacceptable'), 'other_mode', 'the event says why');
		ok(comes_to($id, 'Refunded'), 'what was charged there is given back');
		is(books($id), '5000 5000 open', 'all of it');
		ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'livemode_mismatch' AND bank = '$at'") eq '1' }, 30), 'people are told');
	}
	like(pay('real', 'test-held', capture => 'manual'), qr/^failed\|0\|t\|livemode_mismatch$/, 'an authorization');
	ok(comes_to('test-held', 'Refunded'), 'is voided');
	is(books('test-held'), '0 0 void', 'all of it');
	sql('SELECT FROM ' . pay_sql('submit_payment', client_request_id => 'test-later', bank => 'real', amount => 5000, token => 'test-later'));
	ok(comes_to('test-later', 'Refunded'), 'a submitted payment is given back');
	is(sql(q{SELECT status FROM pgw.payments WHERE client_request_id = 'test-later'}), 'failed', 'and has failed');
	like(pay('cancels', 'test-nameless'), qr/^failed\|0\|t\|livemode_mismatch$/, 'one without an id');
	ok(comes_to('test-nameless', 'Refunded'), 'is cancelled');
	is(books('test-nameless'), '5000 5000 void', 'by our reference');
	like(pay('real', 'test-nameless-2'), qr/^in_review\|0\|t\|livemode_mismatch$/, 'where nothing can undo it, a person looks');
	is(reason('test-nameless-2', 'ManualReviewRequired'), 'other_mode', 'and knows why');
	is(sql(q{SELECT count(*) FROM pgw.payments WHERE livemode AND captured_amount > 0 AND client_request_id LIKE 'test-%'}), 0, 'no test payment is a real one');
	is(sql('SELECT count(*) FROM pgw.broken_invariants'), 0, 'all of it is consistent');
});

part($node, 'refusals', sub {
	is(pay('real', 'test-no-1'), 'failed|0|t|livemode_mismatch', 'a no is not the customer\'s fault');
	is(reason('test-no-1', 'BankProcessingFailed'), 'other_mode', 'the event says why');
	is(pay('real', 'live-no-1'), 'declined|0|t|declined', 'that of the right mode is');
});

part($node, 'in doubt', sub {
	change_settings($node, 'pgw.unknown_deadline' => '3s');
	like(pay('real', 'test-lost'), qr/^in_review\|0\|t\|/, 'a look-up of the other mode is none');
	is(reason('test-lost', 'BankStatusChecked'), 'other_mode', 'the event says why');
	is(books('test-lost'), '5000 0 open', 'nothing was done to it');
	like(pay('real', 'odd'), qr/^in_review\|0\|t\|/, 'a mode that nobody can read is neither');
	change_settings($node, 'pgw.unknown_deadline' => undef);
});

# The key was changed for the other mode's between charge and refund.
part($node, 'operations', sub {
	is(pay('real', 'live-swapped'), 'captured|5000|t|', 'charged');
	change_settings($node, 'pgw.unknown_deadline' => '3s');
	sql("SELECT FROM pgw.find_payment('live-swapped') f, pgw.refund_payment(f.payment_id, 'swapped-r') r");
	ok(comes_to('swapped-r', 'RequiresManualReview'), 'a refund that the other mode says yes to is none');
	is(sql(q{SELECT refunded_amount, refund_pending_amount FROM pgw.payments WHERE client_request_id = 'live-swapped'}), '0|5000', 'nothing is refunded');
	change_settings($node, 'pgw.unknown_deadline' => undef);
});

# Nothing good comes of it until somebody mends the key: not one charge and give-back after the other.
part($node, 'left alone', sub {
	change_settings($node, 'pgw.breaker_failures' => 2);
	for my $id ('test-a', 'test-b') { like(pay('stopped', $id), qr/^failed\|0\|t\|livemode_mismatch$/, "$id: no payment") }
	is(pay('stopped', 'test-c'), 'failed|0|t|bank_unavailable', 'the bank is left alone');
	is(books('test-c'), '', 'nothing was charged');
	for my $id ('test-a', 'test-b') { ok(comes_to($id, 'Refunded'), "$id: given back all the same") }
	change_settings($node, 'pgw.breaker_failures' => undef);
});

done_testing();
