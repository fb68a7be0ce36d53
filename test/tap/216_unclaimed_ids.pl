# The id in a no is not the charge's, whether the no is believed or not: a payment that is approved later without an id never takes hold of another payment's
# charge by it.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwScriptedBank;
use PgwTest;
use Test::More;

# The token's first word tells how the bank answers, the last answer for ever: with nothing (lost), a refusal whose own document shows the money (belied),
# the same as "not processed" (noproc), a refusal (no), "not found" (none), or the charge without its id (ok).  What is refused names the id that the
# payment with the token "owner-..." has, or will have.
my %answers = (
	belied => { sales => ['belied'], looks => ['ok'] },
	noproc => { sales => ['noproc'], looks => ['ok'] },
	looked => { sales => ['lost'], looks => [ 'belied', 'ok' ] },
	replayed => { sales => [ 'lost', 'belied', 'ok' ], looks => [] },
	declined => { sales => [ 'lost', 'no' ], looks => [ 'none', 'ok' ] },
	doubted => { sales => [ 'lost', 'no' ], looks => [ 'none', 'belied', 'ok' ] });
my @charges;

sub answer
{
	my ($charge, $which) = @_;
	my $next = $answers{ $charge->{tok} =~ s/-.*//r }{$which};
	my $say = @$next > 1 ? $next->[ $charge->{$which}++ ] // $next->[-1] : $next->[0];
	my %said = (%$charge, id => "ch-$charge->{tok}");
	return
	  $say eq 'belied' ? { %said, state => 'no', taken => 5000 }
	  : $say eq 'noproc' ? { %said, state => 'noproc', taken => 5000 }
	  : $say eq 'no' ? { %said, state => 'no', taken => 0 }
	  : $say eq 'none' ? { state => 'none' }
	  : $say eq 'ok' ? { %$charge, id => undef }
	  : undef;
}

sub sale
{
	my ($form) = @_;
	my ($charge) = grep { $_->{ref} eq $form->{ref} } @charges;
	push @charges, $charge = { id => ($form->{tok} =~ /^owner(.*)/ ? "ch$1" : "own-$form->{tok}"), ref => $form->{ref}, total => 5000, cur => 'EUR',
		taken => $form->{kind} eq 'sale' ? 5000 : 0, returned => 0, void => JSON::PP::false, state => 'ok', tok => $form->{tok}, sales => 0, looks => 0 }
	  if !$charge;
	return $form->{tok} =~ /^owner/ ? $charge : answer($charge, 'sales');
}

sub undo
{
	my ($charge, $sum) = @_;
	if ($charge->{taken} == 0) { $charge->{void} = JSON::PP::true }
	else { $charge->{returned} += $sum }
	return { %$charge, id => undef };
}

my $bank = scripted_bank(sub {
	my ($request) = @_;
	my ($path, $form) = @$request{qw(path fields)};
	my $charge = charge_asked_for(\@charges, $form);
	my $document = $path eq '/books' ? \@charges
	  : $path eq '/sale' ? sale($form)
	  : !$charge ? { state => 'none' }
	  : $path =~ /^.(return|void)$/ ? undo($charge, $form->{sum})
	  : $path eq '/cancel' ? undo($charge, $charge->{taken})
	  : $charge->{returned} || $charge->{void} || $charge->{tok} =~ /^owner/ ? $charge
	  : answer($charge, 'looks');
	return $document && { document => $document };
});

my $node = pgw_node('unclaimed', debug => 1, conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '50ms'\npgw.retry_max_delay = '200ms'\n"
	  . "pgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);

my @rules = map { { status => 200, when => { '/state' => $_->[0] }, outcome => $_->[1] } } [ ok => 'approved' ], [ no => 'declined' ], [ noproc => 'not_processed' ], [ none => 'not_found' ];
my %fields = (reference => '/ref', bank_reference => '/id', amount => '/total', currency => '/cur', captured => '/taken', refunded => '/returned', voided => '/void');
my %answer = (rules => [ @rules[0 .. 2] ], fields => \%fields);
my %operations = (
	charge => form_request('/sale', \%answer, kind => 'sale', sum => '{{amount}}', tok => '{{token}}'),
	authorize => form_request('/sale', \%answer, kind => 'hold', sum => '{{amount}}', tok => '{{token}}'),
	capture => form_request('/capture', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}'),
	void => form_request('/void', \%answer, sale => '{{bank_reference}}'),
	refund => form_request('/return', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}'),
	cancel => { settles => JSON::PP::true, %{ form_request('/cancel', \%answer, q => '{{original_ref}}') } });
my %keys = (idempotency => { header => 'X-Key', lifetime_seconds => 86400 });
my %shows = (lookup_charge => { method => 'GET', path => '/find?q={{original_ref}}', answer => { rules => \@rules, fields => \%fields } });
my %can = (tokens => JSON::PP::true, partial_refund => JSON::PP::true, partial_capture => JSON::PP::true);
my %looked_up = (v => 1, capabilities => { %can, %keys, lookup_consistent_after_seconds => 0 }, operations => { %operations, %shows });
my %helpless = (%looked_up, operations => { %{ $looked_up{operations} } });
delete $helpless{operations}{cancel};
my %dialect = (looked_up => \%looked_up, replayed => { v => 1, capabilities => { %can, %keys }, operations => \%operations }, helpless => \%helpless);
add_dialect($node, $bank, $_ => $dialect{$_}, account => 'one') for sort keys %dialect;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub pay
{
	my ($token, $bank, %a) = @_;
	return "SELECT status FROM " . pay_sql('process_payment', client_request_id => $token, bank => $bank, amount => 5000, token => $token, timeout => '30s', %a);
}

# What the bank has taken and returned for a token's charges.
sub books
{
	my ($token) = @_;
	return join ',', map { "$_->{taken} $_->{returned} " . ($_->{void} ? 'void' : 'open') } grep { $_->{tok} eq $token } bank_books($bank);
}

sub attempt_of { return sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }

sub review_says
{
	my ($token) = @_;
	return sql("SELECT event_data->>'error_code' FROM pgw.transaction_events WHERE transaction_id = '" . attempt_of($token) . "' AND event_type = 'ManualReviewRequired'");
}

my %given_back = (kept => '5000 5000 open', 'rolled back' => '5000 5000 open', held => '0 0 void');

# One payment whose no names the other's id: kept and then refunded by its client, rolled back, or an authorization that is rolled back; before the other's
# charge and after it.  $end is what becomes of the payment.
sub two_payments
{
	my ($how, $order, $way, $end, $bank) = @_;
	my $token = "$how-$bank-$order-$way" =~ s/[ _]/-/gr;
	my $owner = sub { is(sql(pay("owner-$token", $bank)), 'captured', "$token: the other payment is captured") };
	$owner->() if $order eq 'before';
	my $call = pay($token, $bank, capture => $way eq 'held' ? 'manual' : 'immediate');
	sql($way eq 'kept' ? $call : "BEGIN; $call; ROLLBACK");
	if ($end eq 'doubted')
	{
		ok(comes_to($node, $token, 'RequiresManualReview'), "$token: a person");
		is(review_says($token), $order eq 'before' ? 'bank_reference_taken' : 'outcome_unknown', "$token: who is told whose the charge is");
		sql("SELECT pgw.resolve_review('" . attempt_of($token) . "', 'retry', 'ask again')");
		$end = 'Refunded';
	}
	ok(comes_to($node, $token, $end), "$token: $end");
	$owner->() if $order eq 'after';
	$node->psql('postgres', "SELECT FROM pgw.find_payment('$token') f, pgw.refund_payment(f.payment_id, '$token-r') r") if $way eq 'kept';
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE status IN ('Created', 'BankUnknown', 'BankApproved', 'Refunding')") eq '0' }, 30), "$token: at rest");
	is(books("owner-$token"), '5000 0 open', "$token: the other's charge is as it was");
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE bank_reference = 'ch-$token' AND status <> 'Failed'"), '1', "$token: it is one payment's");
	is(books($token), $given_back{$way}, "$token: its own is given back") if $end eq 'Refunded';
	return $token;
}

sub is_reviewed_at_once
{
	my ($token) = @_;
	is(review_says($token), 'bank_reference_taken', "$token: because it is another's");
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgw.alert_state WHERE kind = 'review_required' AND transaction_id = '" . attempt_of($token) . "'"), "$token: people are told");
}

my %of = (belied => 'its answer belies itself', noproc => 'its answer belies itself', looked => 'a look-up belies itself', replayed => 'a replay belies itself');
for my $how (sort keys %of)
{
	part($node, $of{$how}, sub {
		for my $way ('kept', 'rolled back', 'held')
		{
			my $bank = $how eq 'replayed' ? 'replayed' : 'looked_up';
			is_reviewed_at_once(two_payments($how, 'before', $way, 'RequiresManualReview', $bank));
			two_payments($how, 'after', $way, 'Refunded', $bank);
		}
	});
}

# A no that is believed, and a charge that turns up all the same.
part($node, 'a charge that turns up', sub {
	for my $order ('before', 'after')
	{
		two_payments('declined', $order, $_, 'Refunded', 'looked_up') for 'kept', 'rolled back', 'held';
		two_payments('doubted', $order, 'kept', 'doubted', 'looked_up');
	}
});

# Nor does anybody guess where the charge cannot be cancelled by our reference.
part($node, 'a bank without a cancellation', sub {
	two_payments($_, 'after', 'kept', 'RequiresManualReview', 'helpless') for 'belied', 'declined';
});

is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'consistent');
$node->stop('fast');
done_testing();
