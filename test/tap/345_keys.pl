# A bank that honours the keys of some operations only, and says of each for itself how long and which answers it remembers: what its document does not
# name is never repeated, what it has forgotten with an error neither.  Counted at the bank, which does whatever it does not recognize.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwOperations;
use PgwScriptedBank;
use PgwTest;
use Test::More;

# The token tells what is done with the first request of that kind (charge, capture, refund), and how it is answered: lost (not at all), failed (500), odd (an error, too, but 200), unheard (an error that is not heard), poor (the same, and the second is declined, as the first took the money), asks (the same, and the second waits for the card holder), pends (the same, and the second pends, and is looked up as declined), busy
# (not at all, and the second hears that the first is still in progress), other (not at all, and the second hears that its key was another request's).
my (@charges, %done);

sub carry_out
{
	my ($kind, $form, $charge) = @_;
	$charge->{ { sale => 'taken', hold => 'held', capture => 'taken', refund => 'returned' }->{$kind} } += $form->{sum};
	$charge->{done}{$kind}++;
}

sub serve
{
	my ($request) = @_;
	my ($form, $headers) = @$request{qw(fields headers)};
	return { document => \@charges } if $request->{path} eq '/books';
	my ($kind) = $request->{path} =~ m{^/(\w+)};
	return { status => 402, document => { error => 'declined', id => $form->{id} } } if $kind eq 'other_try';
	if ($kind eq 'search')
	{
		$_->{looks}++ for charge_asked_for(\@charges, $form);
		return { status => 404, document => { error => 'none' } };
	}
	if ($kind eq 'glance')
	{
		# what was refunded is not in it
		my ($seen) = charge_asked_for(\@charges, $form);
		$seen->{looks}++;
		return { document => { state => 'ok', id => $seen->{id}, ref => $seen->{ref}, taken => $seen->{taken} } };
	}
	my $key = { sale => $headers->{'x-key'}, refund => $form->{key} }->{$kind};
	my ($charge) = $kind =~ /sale|hold/ ? grep { $_->{ref} eq $form->{ref} } @charges : charge_asked_for(\@charges, $form);
	push @charges, $charge = { id => 'c' . @charges, ref => $form->{ref}, tok => $form->{tok}, asked => {}, done => {} } unless $charge;
	my ($how) = $charge->{tok} =~ /^\Q$kind\E_(\w+?)\b/;
	my $asked = ++$charge->{asked}{$kind};
	return { status => 409, document => { error => 'busy' } } if $asked == 2 && ($how // '') eq 'busy';
	return { status => 422, document => { error => 'other' } } if $asked >= 2 && ($how // '') eq 'other';
	return { status => 402, document => { error => 'declined' } } if $asked >= 2 && ($how // '') eq 'poor';
	return { document => { state => $how, id => "$charge->{id}-2", ref => $form->{ref} } } if $asked >= 2 && ($how // '') =~ /asks|pends/;
	my $answer = { document => { state => 'ok', id => $charge->{id}, ref => $form->{ref} } };
	return $answer if defined $key && $done{$key};
	carry_out($kind, $form, $charge);
	return $answer if $asked > 1 || !defined $how;
	# only a yes is remembered
	return { status => 500, document => { error => 'sorry' } } if $how eq 'failed';
	return { document => { error => 'sorry' } } if $how eq 'odd';
	return if $how =~ /unheard|poor|asks|pends/;
	$done{$key} = 1 if defined $key;
	return;
}

my $bank = scripted_bank(\&serve);
my $node = pgw_node('keys', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\npgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

my %answer = (rules => [ { status => 200, when => { '/state' => 'ok' }, outcome => 'approved' } ], fields => { reference => '/ref', bank_reference => '/id' });
my %of_keys = (%answer, rules => [ @{ $answer{rules} }, { status => 409, when => { '/error' => 'busy' }, outcome => 'in_progress' }, { status => 422, when => { '/error' => 'other' }, outcome => 'key_mismatch' },
		{ status => 402, when => { '/error' => 'declined' }, outcome => 'declined' }, { status => 200, when => { '/state' => 'asks' }, outcome => 'requires_action' }, { status => 200, when => { '/state' => 'pends' }, outcome => 'pending' } ]);
add_dialect($node, $bank, 'by_operation', {
	v => 2,
	capabilities => { tokens => JSON::PP::true, partial_refund => JSON::PP::true },
	operations => {
		charge => { %{ form_request('/sale', \%of_keys, sum => '{{amount}}', tok => '{{token}}') }, idempotency => { header => 'X-Key', lifetime_seconds => 3600, remembers => '2xx' } },
		authorize => form_request('/hold', \%answer, sum => '{{amount}}', tok => '{{token}}'),
		capture => form_request('/capture', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}'),
		refund => { %{ form_request('/refund', \%of_keys, sale => '{{bank_reference}}', sum => '{{amount}}', key => '{{idempotency_key}}') }, idempotency => { lifetime_seconds => 'unpublished', remembers => '2xx' } } } });

# The same of all its operations, in one place, which leaves out what becomes of errors.
add_dialect($node, $bank, 'of_all', {
	v => 2,
	capabilities => { tokens => JSON::PP::true, partial_refund => JSON::PP::true, idempotency => { header => 'X-Key', lifetime_seconds => 3600 } },
	operations => {
		charge => form_request('/sale', \%of_keys, sum => '{{amount}}', tok => '{{token}}'),
		refund => form_request('/refund', \%of_keys, sale => '{{bank_reference}}', sum => '{{amount}}', key => '{{idempotency_key}}') } });

# What the bank was asked for with this token, and did: asked/done of each kind.
sub books
{
	my ($token) = @_;
	my ($charge) = grep { $_->{tok} eq $token } bank_books($bank);
	return join ' ', map { "$_ $charge->{asked}{$_}/" . ($charge->{done}{$_} // 0) } sort keys %{ $charge->{asked} };
}

sub review_reason
{
	my ($id) = @_;
	return sql("SELECT event_data->>'reason' FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE client_request_id = '$id' AND event_type = 'ManualReviewRequired'");
}

sub is_for_a_person
{
	my ($id, $token, $reason, $books) = @_;
	ok(comes_to($node, $id, 'RequiresManualReview'), "$id: for a person");
	is(review_reason($id), $reason, 'because of that');
	is(books($token), $books, 'and the bank was asked no more');
}

sub charge { my ($token, %a) = @_; return pay($node, $token, bank => 'by_operation', token => $token, %a) }

part($node, 'a key that is remembered', sub {
	is(charge('sale_lost'), 'captured', 'no answer to a charge: it is sent again with its key');
	is(books('sale_lost'), 'sale 2/1', 'and done once');
	charge('refund_lost');
	request_operation($node, 'refund', 'refund_lost', 'refund_lost-1', 400);
	ok(comes_to($node, 'refund_lost-1', 'Completed'), 'nor to a refund, whose key stands in the body and whose lifetime is not published');
	is(books('refund_lost'), 'refund 2/1 sale 1/1', 'it is done once');
});

part($node, 'operations that are not named', sub {
	charge('capture_lost', capture => 'manual');
	request_operation($node, 'capture', 'capture_lost', 'capture_lost-1');
	is_for_a_person('capture_lost-1', 'capture_lost', 'no_way_to_find_out', 'capture 1/1 hold 1/1');
	charge('hold_lost', capture => 'manual');
	is_for_a_person('hold_lost', 'hold_lost', 'no_way_to_find_out', 'hold 1/1');
});

part($node, 'errors that are forgotten', sub {
	charge('sale_failed');
	is_for_a_person('sale_failed', 'sale_failed', 'no_way_to_find_out', 'sale 1/1');
	charge('refund_failed');
	request_operation($node, 'refund', 'refund_failed', 'refund_failed-1', 400);
	is_for_a_person('refund_failed-1', 'refund_failed', 'no_way_to_find_out', 'refund 1/1 sale 1/1');
	sql('BEGIN; ' . payment_sql('refund_failed-back', bank => 'by_operation', token => 'refund_failed-back') . '; ROLLBACK');
	is_for_a_person('refund_failed-back', 'refund_failed-back', 'no_way_to_find_out', 'refund 1/1 sale 1/1');
	charge('sale_odd');
	is_for_a_person('sale_odd', 'sale_odd', 'no_way_to_find_out', 'sale 1/1');
	charge('refund_odd');
	request_operation($node, 'refund', 'refund_odd', 'refund_odd-1', 400);
	is_for_a_person('refund_odd-1', 'refund_odd', 'no_way_to_find_out', 'refund 1/1 sale 1/1');
	sql('BEGIN; ' . payment_sql('refund_odd-back', bank => 'by_operation', token => 'refund_odd-back') . '; ROLLBACK');
	is_for_a_person('refund_odd-back', 'refund_odd-back', 'no_way_to_find_out', 'refund 1/1 sale 1/1');
});

part($node, 'errors of which the document says nothing', sub {
	charge('sale_failed-all', bank => 'of_all');
	is_for_a_person('sale_failed-all', 'sale_failed-all', 'no_way_to_find_out', 'sale 1/1');
	charge('refund_failed-all', bank => 'of_all');
	request_operation($node, 'refund', 'refund_failed-all', 'refund_failed-all-1', 400);
	is_for_a_person('refund_failed-all-1', 'refund_failed-all', 'no_way_to_find_out', 'refund 1/1 sale 1/1');
	is(charge('sale_lost-all', bank => 'of_all'), 'captured', 'what was not answered at all is sent again');
	is(books('sale_lost-all'), 'sale 2/1', 'and done once');
});

# The look-up will tell in an hour.  Until then the key, which told at once what the bank had kept, would charge for what it has not.
part($node, 'an error that nobody heard', sub {
	add_dialect($node, $bank, 'searched', {
		v => 2,
		capabilities => { tokens => JSON::PP::true, lookup_consistent_after_seconds => 3600 },
		operations => {
			charge => { %{ form_request('/sale', \%of_keys, sum => '{{amount}}', tok => '{{token}}') }, idempotency => { header => 'X-Key', lifetime_seconds => 86400 } },
			lookup_charge => { method => 'GET', path => '/search?q={{original_ref}}', answer => { %answer, rules => [ @{ $answer{rules} }, { status => 404, when => { '/error' => 'none' }, outcome => 'not_found' } ] } } } });
	is(sql(payment_sql('sale_unheard', bank => 'searched', token => 'sale_unheard', timeout => '1s')), 'pending', 'it is not known what came of it');
	my $looks = sub { my ($charge) = grep { $_->{tok} eq 'sale_unheard' } bank_books($bank); return $charge->{looks} // 0 };
	ok(wait_until(sub { $looks->() >= 3 }, 20), 'it is looked up again and again');
	is(books('sale_unheard'), 'sale 1/1', 'and not repeated');
});

# Nor is a refund, or a give-back, sent again because a look-up that counts does not say what became of it.
part($node, 'a look-up that does not tell', sub {
	add_dialect($node, $bank, 'glanced', {
		v => 2,
		capabilities => { tokens => JSON::PP::true, partial_refund => JSON::PP::true, lookup_consistent_after_seconds => 0 },
		operations => {
			charge => form_request('/sale', \%answer, sum => '{{amount}}', tok => '{{token}}'),
			lookup_charge => { method => 'GET', path => '/glance?sale={{bank_reference}}', answer => { %answer, fields => { %{ $answer{fields} }, captured => '/taken', refunded => '/returned' } } },
			refund => { %{ form_request('/refund', \%of_keys, sale => '{{bank_reference}}', sum => '{{amount}}', key => '{{idempotency_key}}') }, idempotency => { lifetime_seconds => 86400, remembers => '2xx' } } } });
	my $is_only_looked_up = sub {
		my ($token) = @_;
		ok(wait_until(sub { my ($charge) = grep { $_->{tok} eq $token } bank_books($bank); return ($charge->{looks} // 0) >= 3 }, 20), "$token: looked up again and again");
		is(books($token), 'refund 1/1 sale 1/1', 'and not repeated');
	};
	charge('refund_unheard', bank => 'glanced');
	request_operation($node, 'refund', 'refund_unheard', 'refund_unheard-1', 400);
	$is_only_looked_up->('refund_unheard');
	sql('BEGIN; ' . payment_sql('refund_unheard-back', bank => 'glanced', token => 'refund_unheard-back') . '; ROLLBACK');
	$is_only_looked_up->('refund_unheard-back');
});

# Without a look-up the charge is repeated, and that is another try: what it comes to says nothing of the first.
part($node, 'a repetition that is declined', sub {
	charge('sale_poor');
	is_for_a_person('sale_poor', 'sale_poor', 'no_way_to_find_out', 'sale 2/1');
});

part($node, 'a repetition that waits for the card holder', sub {
	charge('sale_asks');
	is_for_a_person('sale_asks', 'sale_asks', 'no_way_to_find_out', 'sale 2/1');
});

# What is looked up by the id that the other try was given is that one, and it says no.
part($node, 'a repetition that pends', sub {
	add_dialect($node, $bank, 'by_id', {
		v => 2,
		capabilities => { tokens => JSON::PP::true },
		operations => {
			charge => { %{ form_request('/sale', \%of_keys, sum => '{{amount}}', tok => '{{token}}') }, idempotency => { header => 'X-Key', lifetime_seconds => 86400 } },
			lookup_charge => { method => 'GET', path => '/other_try?id={{bank_reference}}', answer => { reference_echoed => JSON::PP::false, rules => [ { status => 402, outcome => 'declined' } ], fields => { bank_reference => '/id' } } } } });
	charge('sale_pends', bank => 'by_id');
	is_for_a_person('sale_pends', 'sale_pends', 'repeat_refused', 'sale 2/1');
});

part($node, 'still in progress', sub {
	is(charge('sale_busy'), 'captured', 'the bank says that the first request is still in progress: it is asked again');
	is(books('sale_busy'), 'sale 3/1', 'and has charged once');
});

part($node, 'a key of another request', sub {
	is(charge('sale_other'), 'in_review', 'the bank says that the key was another request\'s: nobody here can say what came first');
	is_for_a_person('sale_other', 'sale_other', 'key_mismatch', 'sale 2/1');
	my $attempt = sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = 'sale_other'");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'review_required' AND transaction_id = '$attempt'") eq '1' }, 20), 'people are told')
	  or diag(sql('SELECT kind, subject, transaction_id FROM pgw.alert_state'));
	sql('BEGIN; ' . payment_sql('refund_other', bank => 'by_operation', token => 'refund_other') . '; ROLLBACK');
	is_for_a_person('refund_other', 'refund_other', 'key_mismatch', 'refund 2/1 sale 1/1');
});

# A look-up has no key, and may come twice: it needs no connection of its own.
part($node, 'connections of look-ups', sub {
	my (%from, $looks);
	my $keeper = scripted_bank(sub {
		my ($request) = @_;
		return { document => { connections => scalar keys %from, looks => $looks } } if $request->{path} eq '/books';
		$from{ $request->{from} } = ++$looks if $request->{path} =~ m{^/look};
		return { document => { state => ($looks // 0) < 6 ? 'pends' : 'ok', id => 'k1', ref => $request->{fields}{q} // $request->{fields}{ref} } };
	}, kept_alive => 1);
	my %pends = (%answer, rules => [ @{ $answer{rules} }, { status => 200, when => { '/state' => 'pends' }, outcome => 'pending' } ]);
	add_dialect($node, $keeper, 'keeper', { v => 2, capabilities => { tokens => JSON::PP::true, idempotency => { header => 'X-Key', lifetime_seconds => 3600 } }, operations => {
		charge => form_request('/sale', \%pends, sum => '{{amount}}', tok => '{{token}}'),
		lookup_charge => { method => 'GET', path => '/look?q={{original_ref}}', answer => \%pends } } });
	is(sql(payment_sql('keeper', bank => 'keeper', token => 'keeper')), 'captured', 'a charge that pends, and is looked up');
	my $books = PgwTest::http_json('GET', "$keeper->{url}/books");
	cmp_ok($books->{looks}, '>=', 6, 'several times');
	cmp_ok($books->{connections}, '<', $books->{looks} / 2, 'on connections that are kept') or diag("$books->{connections} of $books->{looks}");
});

$node->stop('fast');
done_testing();
