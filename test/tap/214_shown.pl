# What the bank shows that it holds is what counts: nothing, a part, more than was asked for, or something that nobody can read.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwScriptedBank;
use PgwTest;
use Test::More;
use Time::HiRes 'time';

# The token tells what is odd about a charge:
# lost: its first answer is lost.  none, part, all, more: so much is taken.  odd: what was taken cannot be read in its first answer.
# no: done, and answered with a refusal (noproc: "not processed") that shows it.  nameless: no answer names its id; its cancellation does nothing
# the first time (never: whenever), or gives a part back (some), and says yes.
# liar: its refund is done once for each request, and refused (late: and no look-up shows that for a second).  stern: it is refused, and not done.
# mute: so much of it (sale, capture, return) is never answered.  patient: its answers say nothing, and ask to come back in an hour.
# twice: its refund gives back more than was asked for, and the answer is lost.  slow: a refund is pending for a while.
my (@charges, %refunds);
my %taken = (none => 0, part => 2000, more => 6000);

sub sale
{
	my ($form) = @_;
	my $token = $form->{tok};
	my ($how) = grep { $token =~ /$_/ } keys %taken;
	my $charge = { id => 1 + @charges, ref => $form->{ref}, total => $form->{sum} + 0, cur => 'EUR', taken => defined $how ? $taken{$how} : $form->{kind} eq 'sale' ? $form->{sum} + 0 : 0,
		returned => 0, void => JSON::PP::false, state => 'ok', tok => $token };
	push @charges, $charge;
	return if $token =~ /lost/;
	return { %$charge, state => 'noproc' } if $token =~ /^noproc/;
	return { %$charge, state => 'no' } if $token =~ /^no-/;
	return { %$charge, id => undef } if $token =~ /nameless/;
	return { %$charge, taken => 'much' } if $token =~ /odd/;
	return $charge;
}

sub capture
{
	my ($form, $charge) = @_;
	my $half = $charge->{tok} =~ /half/;
	$charge->{taken} = $half ? $form->{sum} / 2 : $form->{sum} + 0;
	return $half ? undef : $charge;
}

sub cancel
{
	my ($form, $charge) = @_;
	my $first = !$charge->{cancels}++;
	if ($charge->{tok} =~ /some/ && $first) { $charge->{returned} = 300 }
	elsif (!$first && $charge->{tok} !~ /never/) { $charge->{returned} = $charge->{taken} }
	return { %$charge, id => undef };
}

sub void
{
	my ($form, $charge) = @_;
	$charge->{void} = JSON::PP::true;
	return $charge;
}

sub give_back
{
	my ($form, $charge) = @_;
	if ($charge->{tok} =~ /twice/) { $charge->{returned} += $form->{sum} + 500; return }
	if ($charge->{tok} =~ /fickle/ && $charge->{returned}) { $charge->{returned} = ($charge->{orders}++ ? $charge->{returned} : 0) + $form->{sum}; return } # takes the first one back, and does any other
	if ($charge->{tok} =~ /stern/) { $charge->{refused}{ $form->{ref} } = 1; return { ref => $form->{ref}, state => 'no' } }
	my $refund = $refunds{ $form->{ref} } //= { id => 1000 + $charge->{id}, ref => $form->{ref}, state => 'wait', looks => 0, charge => $charge, sum => $form->{sum} };
	$charge->{returned_at} = time;
	if ($charge->{tok} !~ /slow/) { $charge->{returned} += $form->{sum}; $refund->{state} = 'ok' }
	return { %$refund, charge => undef, state => $charge->{tok} =~ /liar/ ? 'no' : $refund->{state} };
}

sub is_late { return $_[0]{tok} =~ /late/ && time < ($_[0]{returned_at} // 0) + 1 }

sub find_refund
{
	my ($form) = @_;
	my $refund = $refunds{ $form->{r} } or return { state => 'none' };
	return { state => 'none' } if is_late($refund->{charge});
	if ($refund->{state} eq 'wait' && ++$refund->{looks} >= 6) { $refund->{state} = 'ok'; $refund->{charge}{returned} += $refund->{sum} }
	return { %$refund, charge => undef };
}

sub find_charge
{
	my ($charge) = @_;
	return !$charge ? { state => 'none' } : $charge->{tok} =~ /nameless/ ? { %$charge, id => undef } : is_late($charge) ? { %$charge, returned => 0 } : $charge;
}

my %changes = ('/capture' => \&capture, '/cancel' => \&cancel, '/void' => \&void, '/return' => \&give_back);
my $bank = scripted_bank(sub {
	my ($request) = @_;
	my ($path, $form) = @$request{qw(path fields)};
	my $charge = charge_asked_for(\@charges, $form);
	return if $path eq '/sale' && $form->{tok} =~ /mute-sale/ || $charge && $path =~ /^.(capture|return)$/ && $charge->{tok} =~ /mute-$1/;
	return { document => { state => 'later' }, headers => ['Retry-After: 3600'] } if $path eq '/sale' && $form->{tok} =~ /patient/;
	my $document = $path eq '/books' ? \@charges
	  : $path eq '/sale' ? sale($form)
	  : $changes{$path} && $charge ? $changes{$path}->($form, $charge)
	  : $path =~ m{^/findr} ? find_refund($form)
	  : find_charge($charge);
	return $document && { document => $document };
});

my $node = pgw_node('shown', debug => 1, conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\n"
	  . "pgw.breaker_failures = 10000\npgw.retry_budget = 100\n"); # what is put off meanwhile has an end of its own (212_put_off.pl)
pgw_setup($node);

my @rules = ({ status => 200, when => { '/state' => 'ok' }, outcome => 'approved' }, { status => 200, when => { '/state' => 'wait' }, outcome => 'pending' },
	{ status => 200, when => { '/state' => 'none' }, outcome => 'not_found' }, { status => 200, when => { '/state' => 'no' }, outcome => 'declined' }, { status => 200, when => { '/state' => 'noproc' }, outcome => 'not_processed' });
my %fields = (reference => '/ref', bank_reference => '/id', amount => '/total', currency => '/cur', captured => '/taken', refunded => '/returned', voided => '/void');
my %answer = (rules => [ @rules[0, 1, 3, 4] ], fields => \%fields);
my %definition = (
	v => 1,
	capabilities => { tokens => JSON::PP::true, partial_refund => JSON::PP::true, partial_capture => JSON::PP::true, lookup_consistent_after_seconds => 0 },
	operations => {
		charge => form_request('/sale', \%answer, kind => 'sale', sum => '{{amount}}', tok => '{{token}}'),
		authorize => form_request('/sale', \%answer, kind => 'hold', sum => '{{amount}}', tok => '{{token}}'),
		capture => form_request('/capture', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}'),
		void => form_request('/void', \%answer, sale => '{{bank_reference}}'),
		refund => form_request('/return', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}'),
		lookup_charge => { method => 'GET', path => '/find?q={{original_ref}}', answer => { rules => \@rules, fields => \%fields } },
		lookup_refund => { method => 'GET', path => '/findr?r={{transaction_ref}}', answer => { rules => \@rules, fields => { reference => '/ref' } } } });
my %by_charge = (%definition, operations => { %{ $definition{operations} } });
delete $by_charge{operations}{lookup_refund};
my %fickle = (%by_charge, v => 2, notifications => { signature => { scheme => 'hmac_body', header => 'X-Signature', as => 'hex' }, identity => '/id', type => '/type', fields => { bank_reference => '/charge' }, changes => { refunded => 'refund_failed' } });
my %cancels = (%by_charge, operations => { %{ $by_charge{operations} }, cancel => { settles => JSON::PP::true, %{ form_request('/cancel', \%answer, q => '{{original_ref}}') } } });
my %blind = (%definition, capabilities => { %{ $definition{capabilities} }, lookup_consistent_after_seconds => undef }, operations => { %{ $cancels{operations} } });
delete $blind{operations}{lookup_charge};
my %keyed = (%blind, capabilities => { %{ $blind{capabilities} }, idempotency => { header => 'X-Key', lifetime_seconds => 86400 } }, operations => { %{ $blind{operations} } });
delete $keyed{operations}{cancel};
my %by_refund = (%definition, operations => { %{ $definition{operations} } });
delete $by_refund{operations}{lookup_charge};
# Nothing says from when on what its look-ups do not show is not there.
sub unsaid { return { %{ $_[0] }, capabilities => { %{ $definition{capabilities} }, lookup_consistent_after_seconds => undef } } }
my %dialect = (unsaid_refund => unsaid(\%by_refund), unsaid_charge => unsaid(\%by_charge), foreign => \%definition, by_refund => \%by_refund, by_charge => \%by_charge, fickle => \%fickle, cancels => \%cancels, blind => \%blind, keyed => \%keyed);
add_dialect($node, $bank, $_ => $dialect{$_}, account => 'one') for sort keys %dialect;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub pay
{
	my ($id, %a) = @_;
	return "SELECT status, captured_amount FROM " . pay_sql('process_payment', client_request_id => $id, bank => 'foreign', amount => 5000, token => $id, timeout => '60s', %a);
}

# What the bank has taken and returned for each charge with a token, and whether it is voided.
sub books
{
	my ($token) = @_;
	return join ',', map { "$_->{taken} $_->{returned} " . ($_->{void} ? 'void' : 'open') } grep { $_->{tok} eq $token } bank_books($bank);
}

# What the bank showed, and what was asked for, by the event of that type.
sub amounts_of_event
{
	my ($id, $type) = @_;
	return sql("SELECT string_agg(k || '=' || (event_data->>k), ' ' ORDER BY k) FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id),
		unnest(ARRAY['asked_amount', 'asked_currency', 'bank_amount', 'bank_currency', 'bank_captured', 'bank_refunded']) k
		WHERE client_request_id = '$id' AND event_type = '$type' AND event_data ? k");
}

sub count_events
{
	my ($id, $type) = @_;
	return sql("SELECT count(*) FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE client_request_id = '$id' AND event_type = '$type'");
}

sub alert_count
{
	my ($id) = @_;
	return sql("SELECT count(*) FROM pgw.alert_state a JOIN pgw.payment_transactions t ON t.transaction_id::text = a.subject WHERE client_request_id = '$id' AND a.kind = 'bank_shows_more'");
}

part($node, 'a charge that is not captured as it was asked for', sub {
	for my $case ([ 'lost-none' => '0 0 void', 0 ], [ 'yes-none' => '0 0 void', 0 ], [ 'lost-part' => '2000 2000 open', 2000 ], [ 'yes-part' => '2000 2000 open', 2000 ], [ 'lost-more' => '6000 6000 open', 6000 ])
	{
		my ($id, $books, $captured) = @$case;
		is(sql(pay($id)), 'failed|0', "$id: no payment");
		ok(comes_to($node, $id, 'Refunded'), 'what the bank holds is given back');
		is(books($id), $books, 'all of it, and no more');
		is(amounts_of_event($id, 'BankOutcomeUnacceptable'), "asked_amount=5000 asked_currency=EUR bank_amount=5000 bank_captured=$captured bank_currency=EUR bank_refunded=0", 'the event has both sides');
	}
	is(sql(pay('lost-all')), 'captured|5000', 'all of it is shown: captured');
	is(sql(pay('odd')), 'captured|5000', 'what cannot be read is looked up');
	is(count_events('odd', 'BankOutcomeUnknown'), 1, 'first');
	is(sql(pay('hold', capture => 'manual')), 'authorized|0', 'an authorization of which nothing is taken is one');
	is(sql(pay('hold-lost-part', capture => 'manual')), 'failed|0', 'one of which a part is taken is none');
	ok(comes_to($node, 'hold-lost-part', 'Refunded'), 'given back');
});

part($node, 'a capture of which a part is shown', sub {
	is(sql(pay('half', capture => 'manual')), 'authorized|0', 'authorized');
	sql("SELECT FROM pgw.find_payment('half') f, pgw.capture_payment(f.payment_id, 'half-c') r");
	ok(comes_to($node, 'half-c', 'RequiresManualReview'), 'a person');
	is(amounts_of_event('half-c', 'ManualReviewRequired'), 'asked_amount=5000 asked_currency=EUR bank_amount=5000 bank_captured=2500 bank_currency=EUR bank_refunded=0', 'who has both amounts');
	is(books('half'), '2500 0 open', 'not captured once more');
	is(sql("SELECT status, captured_amount FROM pgw.payments WHERE client_request_id = 'half'"), 'authorized|0', 'no amount is recorded that the bank does not show');
});

part($node, 'a no that shows money', sub {
	is(sql(pay('no-declined')), 'captured|5000', 'declined, and the document shows it captured: looked up, and paid');
	is(count_events('no-declined', 'BankOutcomeUnknown'), 1, 'the no is not believed');
	is(sql(pay('noproc-1')), 'captured|5000', '"not processed": the same');
	is(books('noproc-1'), '5000 0 open', 'and not sent again');
	is(sql(pay('no-blind', bank => 'blind')), 'in_review|0', 'a bank without a look-up: a person');
});

part($node, 'a cancellation that undid nothing', sub {
	for my $id ('nameless-all', 'nameless-some')
	{
		is(sql(pay($id, bank => 'cancels')), 'failed|0', "$id: nobody can say which charge it is");
		ok(comes_to($node, $id, 'Refunded'), 'cancelled by our reference');
		is(books($id), '5000 5000 open', 'until the bank shows it');
	}
	is(sql(pay('nameless-blind', bank => 'blind')), 'failed|0', 'without a look-up');
	ok(comes_to($node, 'nameless-blind', 'Refunded'), 'it is cancelled once more, too');
	is(books('nameless-blind'), '5000 5000 open', 'until it is done');
	change_settings($node, 'pgw.unknown_deadline' => '4s');
	is(sql(pay('nameless-never', bank => 'cancels')), 'failed|0', 'one that never does it');
	ok(comes_to($node, 'nameless-never', 'RequiresManualReview'), 'goes to a person');
	change_settings($node, 'pgw.unknown_deadline' => '1d');
});

part($node, 'a give-back that is refused and done', sub {
	for my $bank ('foreign', 'by_refund')
	{
		sql('BEGIN; ' . pay("liar-$bank", bank => $bank) . '; ROLLBACK');
		ok(comes_to($node, "liar-$bank", 'Refunded'), "$bank: given back");
		is(count_events("liar-$bank", 'RefundFailed'), 1, 'refused, it said');
		is(books("liar-$bank"), '5000 5000 open', 'and looked up: once');
	}
});

part($node, 'a give-back that is refused and done, and shown nobody knows when', sub {
	for my $dialect ('unsaid_refund', 'unsaid_charge')
	{
		for my $id ("liar-$dialect", "liar-late-$dialect")
		{
			sql('BEGIN; ' . pay($id, bank => $dialect) . '; ROLLBACK');
			ok(comes_to($node, $id, 'Refunded'), "$id: given back");
			is(books($id), '5000 5000 open', 'once, as a look-up shows in the end');
		}
		change_settings($node, 'pgw.unknown_deadline' => '4s');
		sql('BEGIN; ' . pay("stern-$dialect", bank => $dialect) . '; ROLLBACK');
		ok(comes_to($node, "stern-$dialect", 'RequiresManualReview'), 'what no look-up ever shows is for a person');
		is_deeply([ map { scalar keys %{ $_->{refused} } } grep { $_->{tok} eq "stern-$dialect" } bank_books($bank) ], [1], 'and was asked for under one key');
		change_settings($node, 'pgw.unknown_deadline' => '1d');
	}
});

part($node, 'the end of a doubt', sub {
	change_settings($node, 'pgw.unknown_deadline' => '4s');
	is(sql(pay($_, bank => 'keyed', timeout => '500ms')), 'pending|0', "$_: a bank that has only its keys") for 'mute-sale', 'patient';
	is(sql(pay('mute-return', bank => 'keyed')), 'captured|5000', 'a payment');
	sql("SELECT FROM pgw.find_payment('mute-return') f, pgw.refund_payment(f.payment_id, 'mute-return-r', 1000) r");
	is(sql(pay('mute-capture', bank => 'keyed', capture => 'manual')), 'authorized|0', 'an authorization');
	sql("SELECT FROM pgw.find_payment('mute-capture') f, pgw.capture_payment(f.payment_id, 'mute-capture-c') r");
	is(sql(pay('mute-capture-2', bank => 'keyed', capture => 'on_commit')), 'authorized|0', 'and one that is captured after the commit');
	for my $id ('mute-sale', 'patient', 'mute-return-r', 'mute-capture-c', 'mute-capture-2')
	{
		ok(comes_to($node, $id, 'RequiresManualReview'), "$id: a person, however often it has been asked");
		is(sql("SELECT event_data->>'reason' FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
			WHERE client_request_id = '$id' AND event_type = 'ManualReviewRequired'"), 'deadline', 'because the time is over');
	}
	is(sql(pay('fickle', bank => 'fickle')), 'captured|5000', 'a payment at a bank that takes a refund back, and shows as much as before when it has made another');
	sql("SELECT FROM pgw.find_payment('fickle') f, pgw.refund_payment(f.payment_id, 'fickle-r1', 1000) r"), ok(comes_to($node, 'fickle-r1', 'Completed'), 'a refund');
	sql("SELECT FROM pgw.find_payment('fickle') f, pgw.refund_payment(f.payment_id, 'fickle-r2', 1000) r"), ok(comes_to($node, 'fickle-r2', 'RequiresManualReview'), 'another is for a person');
	is(books('fickle'), '5000 1000 open', 'and made once');
	change_settings($node, 'pgw.unknown_deadline' => '1d');
});

part($node, 'more given back than was asked for', sub {
	sql('BEGIN; ' . pay('twice', bank => 'by_charge') . '; ROLLBACK');
	ok(comes_to($node, 'twice', 'Refunded'), 'given back');
	is(amounts_of_event('twice', 'RefundCompleted'), 'asked_amount=5000 asked_currency=EUR bank_amount=5000 bank_captured=5000 bank_currency=EUR bank_refunded=5500', 'the event has both amounts');
	ok(wait_until(sub { alert_count('twice') == 1 }, 60), 'and people are told');
	is(sql(pay('twice-2', bank => 'by_charge', token => 'twice-2')), 'captured|5000', 'a payment');
	sql("SELECT FROM pgw.find_payment('twice-2') f, pgw.refund_payment(f.payment_id, 'twice-r', 1000) r");
	ok(comes_to($node, 'twice-r', 'Completed'), 'a refund that was asked for');
	is(amounts_of_event('twice-r', 'BankProcessingCompleted'), 'asked_amount=1000 asked_currency=EUR bank_amount=5000 bank_captured=5000 bank_currency=EUR bank_refunded=1500', 'the same');
	ok(wait_until(sub { alert_count('twice-r') == 1 }, 60), 'people are told');
	is(sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'bank_shows_more'"), 2, 'of nothing else');
});

part($node, 'a refund that the bank takes its time for', sub {
	sql('BEGIN; ' . pay('slow') . '; ROLLBACK');
	ok(comes_to($node, 'slow', 'Refunded'), 'given back in the end');
	is(count_events('slow', 'RefundPending'), 1, 'pending is written once');
	is(sql(pay('slow-2', token => 'slow-2')), 'captured|5000', 'a payment');
	sql("SELECT FROM pgw.find_payment('slow-2') f, pgw.refund_payment(f.payment_id, 'slow-r', 1000) r");
	ok(comes_to($node, 'slow-r', 'Completed'), 'a refund that was asked for');
	is(count_events('slow-r', 'BankProcessingPending'), 1, 'the same');
	is(count_events('slow-r', 'BankStatusChecked'), 0, 'without an event for each look');
});

is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'consistent');
$node->stop('fast');
done_testing();
