# An id of a capture, void or refund belongs to one attempt: a bank that takes one refund for another, which it has made, and answers with that one's id has
# not made it, and pgw does not say that it has.  Counted in the bank's books.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwScriptedBank;
use PgwSession;
use PgwTest;
use Test::More;

# A bank that knows refunds, captures and voids by what they are about, not by our reference: a second one for the same amount is the first one.
# The token of a charge tells which id its operations have: own, the charge's (plain), or that of what is refunded (capture).
my (@charges, @done);

sub charged
{
	my ($f, $captured) = @_;
	push @charges, { ref => $f->{ref}, id => 'ch_' . (1 + @charges), token => $f->{token}, captured => $captured, refunded => 0, capture => $f->{token} =~ /twin/ ? 'cap_twin' : 'cap_' . (1 + @charges) };
	return { document => { state => 'ok', %{ $charges[-1] } } };
}

sub done
{
	my ($what, $f) = @_;
	my $charge = charge_asked_for(\@charges, $f);
	my $amount = $f->{amount} // 0;
	# of another charge, too, where the token says so
	my ($before) = grep { $_->{what} eq $what && $_->{amount} == $amount && ($_->{charge} eq $charge->{id} || $charge->{token} =~ /blind/ && $_->{token} eq $charge->{token}) } @done;
	my $id = $charge->{token} =~ /plain/ ? $charge->{id} : $charge->{token} =~ /captured/ ? $charge->{capture} : "${what}_" . (1 + @done);
	return { document => { state => 'ok', id => $before->{id} } } if $before && $charge->{token} =~ /deaf|blind/;
	push @done, { what => $what, charge => $charge->{id}, token => $charge->{token}, amount => $amount, id => $id };
	$charge->{ $what eq 'refund' ? 'refunded' : 'captured' } += $amount;
	return if $charge->{token} =~ /mute/;
	return if $charge->{token} =~ /lost/ && $before;    # it is made, and the answer does not arrive
	return { document => { state => $charge->{token} =~ /later/ ? 'taken' : 'ok', id => $id } };
}

# It shows the first refund of a charge, whichever is meant, and says that it has failed.
sub looked_for
{
	my ($r) = @_;
	my ($sale) = $r->{path} =~ /sale=(\w+)/;
	my ($first) = grep { $_->{what} eq 'refund' && $_->{charge} eq $sale } @done;
	push @done, { what => 'look', charge => $sale, token => '', amount => 0, id => '' };
	return { document => { state => 'failed', id => $first->{id} } };
}

# It shows somebody else's charge at first.
my $looked = 0;

sub seen
{
	my ($charge) = grep { $_->{token} =~ /mute/ } @charges;
	push @done, { what => 'seen', charge => $charge->{id}, token => '', amount => 0, id => '' };
	return { document => { state => 'ok', ref => $charge->{ref}, captured => $charge->{captured}, refunded => $charge->{refunded}, $charge->{refunded} ? (capture => 'cap_shown') : (), id => ++$looked <= 2 ? 'of_another_shop' : $charge->{id} } };
}

my $bank = scripted_bank(sub {
	my ($r) = @_;
	my ($path) = split /\?/, $r->{path};
	return { document => \@done } if $path eq '/books';
	return charged($r->{fields}, $r->{fields}{amount}) if $path eq '/charge';
	return charged($r->{fields}, 0) if $path eq '/authorize';
	return looked_for($r) if $path eq '/look';
	return seen() if $path eq '/see';
	return { document => { state => 'ok', id => (grep { $_->{what} eq 'refund' } @done)[0]{id} } } if $path eq '/reverse';
	return done($1, $r->{fields}) if $path =~ m{^/(capture|void|refund)$};
	return { status => 404, document => { state => 'none' } };
});

my $node = pgw_node('operation_ids', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '50ms'\npgw.retry_max_delay = '200ms'\n");
pgw_setup($node);
my %yes = (rules => [ { status => 200, when => { '/state' => 'ok' }, outcome => 'approved' } ]);
my %answer = (rules => [ @{ $yes{rules} }, { status => 200, when => { '/state' => 'taken' }, outcome => 'accepted' } ]);
my @about = (sale => '{{bank_reference}}', amount => '{{amount}}');
add_dialect($node, $bank, 'ids', {
	v => 2,
	capabilities => { tokens => \1, partial_capture => \1, multiple_captures => \1, partial_refund => \1, accepted_final_after_seconds => 86400 },
	operations => {
		charge => form_request('/charge', { %yes, fields => { reference => '/ref', bank_reference => '/id', capture_reference => '/capture' } }, amount => '{{amount}}', token => '{{token}}'),
		authorize => form_request('/authorize', { %yes, fields => { reference => '/ref', bank_reference => '/id', capture_reference => '/capture' } }, amount => '{{amount}}', token => '{{token}}'),
		(map { $_ => form_request("/$_", { %answer, fields => { bank_reference => '/id' } }, @about) } 'capture', 'refund'),
		void => form_request('/void', { %answer, fields => { bank_reference => '/id' } }, sale => '{{bank_reference}}') } });

add_dialect($node, $bank, 'looks', {
	v => 2,
	capabilities => { tokens => \1, partial_refund => \1 },
	operations => {
		charge => form_request('/charge', { %yes, fields => { reference => '/ref', bank_reference => '/id' } }, amount => '{{amount}}', token => '{{token}}'),
		refund => form_request('/refund', { %answer, fields => { bank_reference => '/id' } }, @about),
		lookup_refund => { method => 'GET', path => '/look?sale={{bank_reference}}&r={{transaction_ref}}', answer => { reference_echoed => \0, rules => [ { status => 200, when => { '/state' => 'failed' }, outcome => 'declined' }, @{ $yes{rules} } ], fields => { bank_reference => '/id' } } } } });

add_dialect($node, $bank, 'turns', {
	v => 2, capabilities => { tokens => \1 },
	operations => {
		charge => form_request('/charge', { %yes, fields => { reference => '/ref', bank_reference => '/id' } }, amount => '{{amount}}', token => '{{token}}'),
		reverse => form_request('/reverse', { %yes, fields => { bank_reference => '/id' } }, sale => '{{bank_reference}}') } }, account => 'ids');

add_dialect($node, $bank, 'sees', {
	v => 2, capabilities => { tokens => \1, partial_refund => \1, lookup_consistent_after_seconds => 0 },
	operations => {
		(map { $_ => form_request("/$_", { %yes, fields => { reference => '/ref', bank_reference => '/id' } }, amount => '{{amount}}', token => '{{token}}') } 'charge', 'authorize'),
		capture => form_request('/capture', { %yes, fields => { bank_reference => '/id' } }, @about),
		lookup_charge => { method => 'GET', path => '/see?r={{original_ref}}', answer => { rules => $yes{rules}, fields => { reference => '/ref', bank_reference => '/id', captured => '/captured', refunded => '/refunded', capture_reference => '/capture' } } },
		refund => form_request('/refund', { %yes, fields => { bank_reference => '/id' } }, @about) } });

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub pay
{
	my ($id, %o) = @_;
	return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, amount => 5000, bank => 'ids', %o));
}

# An operation on a payment, to its end: the attempt's state and why.
sub operate
{
	my ($what, $payment, $id, $amount) = @_;
	my $more = $what eq 'void' ? '' : ", $amount" . ($what eq 'capture' ? ', final => false' : '');
	sql("SELECT pgw.${what}_payment(payment_id, '$id'$more) FROM pgw.find_payment('$payment')");
	wait_until(sub { status_of($node, $id) =~ /Completed|Failed|Review|Saved/ }, 60);
	return sql("SELECT status, coalesce(error_code, ''), coalesce(bank_reference, 'none') FROM pgw.payment_transactions WHERE client_request_id = '$id'");
}

sub made { my ($what) = @_; return scalar grep { $_->{what} eq $what } bank_books($bank) }
sub amounts { return sql("SELECT status, captured_amount, refunded_amount, refund_pending_amount FROM pgw.find_payment('$_[0]')") }

part($node, 'two refunds of one charge', sub {
	is(pay('deaf', token => 'tok_deaf'), 'captured', 'a charge');
	like(operate('refund', 'deaf', 'r1', 1000), qr/^Completed\|\|refund_/, 'a refund');
	is(operate('refund', 'deaf', 'r2', 1000), 'RequiresManualReview|bank_reference_taken|none', 'a second one of the same amount, which the bank takes for the first: in review');
	is(made('refund'), 1, 'it has made one');
	is(amounts('deaf'), 'partially_refunded|5000|1000|1000', 'and the payment shows one, and one that is in doubt');
	is(sql("SELECT event_data->>'reason' FROM pgw.payment_history((SELECT payment_id FROM pgw.find_payment('deaf'))) WHERE event_type = 'ManualReviewRequired'"), 'id_of_another_operation', 'why');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgw.alert_state a JOIN pgw.payment_transactions t USING (transaction_id) WHERE a.kind = 'review_required' AND t.client_request_id = 'r2'"), 'people are told');
	like(operate('refund', 'deaf', 'r3', 700), qr/^Completed\|\|refund_/, 'a refund with an id of its own is done');
	is(sql("SELECT pgw.resolve_review(transaction_id, 'mark_not_charged', 'the bank has made one') FROM pgw.payment_transactions WHERE client_request_id = 'r2'"), 'Failed', 'an operator ends the other');
	is(amounts('deaf'), 'partially_refunded|5000|1700|0', 'and its amount is free again');
});

part($node, 'a refund of another payment', sub {
	pay($_, token => 'tok_blind') for 'b1', 'b2';
	like(operate('refund', 'b1', 'br1', 300), qr/^Completed/, 'a refund');
	is(operate('refund', 'b2', 'br2', 300), 'RequiresManualReview|bank_reference_taken|none', "one of another payment that has its id");
	# in another account the same id is another refund
	sql("INSERT INTO pgw.banks (name, connector, base_url, account) VALUES ('apart', 'ids', '$bank->{url}', 'apart')");
	pay('b3', token => 'tok_blind', bank => 'apart');
	like(operate('refund', 'b3', 'br3', 300), qr/^Completed/, 'in another account it is another one');
});

part($node, 'captures and voids', sub {
	is(pay('auth', token => 'tok_deaf', capture => 'manual'), 'authorized', 'an authorization');
	like(operate('capture', 'auth', 'c1', 1000), qr/^Completed\|\|capture_/, 'a capture');
	is(operate('capture', 'auth', 'c2', 1000), 'RequiresManualReview|bank_reference_taken|none', 'another one that the bank takes for it');
	pay($_, token => 'tok_blind', capture => 'manual') for 'v1', 'v2';
	like(operate('void', 'v1', 'vv1'), qr/^Completed\|\|void_/, 'a void');
	is(operate('void', 'v2', 'vv2'), 'RequiresManualReview|bank_reference_taken|none', 'one with its id');
});

part($node, 'an order that is accepted', sub {
	pay('l', token => 'tok_deaf_later');
	like(operate('refund', 'l', 'lr1', 400), qr/^Saved\|\|refund_/, 'a refund that the bank has accepted');
	is(operate('refund', 'l', 'lr2', 400), 'RequiresManualReview|bank_reference_taken|none', 'and another one with its id');
});

# A look-up that does not say which refund it shows is about the one whose id it has.
part($node, 'a no to another one', sub {
	pay('lost', token => 'tok_lost_later', bank => 'looks');
	operate('refund', 'lost', 'xr1', 400);
	ok(wait_until(sub { status_of($node, 'xr1') eq 'Failed' }, 60), 'a refund that the bank has accepted fails');
	my $looks = made('look');
	sql("SELECT pgw.refund_payment(payment_id, 'xr2', 400) FROM pgw.find_payment('lost')");
	ok(wait_until(sub { made('look') > $looks && status_of($node, 'xr2') ne 'Saved' }, 60), 'another one, whose answer is lost, is looked for');
	isnt(status_of($node, 'xr2'), 'Failed', 'and has not failed because the former has');
});

part($node, 'a give-back', sub {
	PgwSession->new($node)->run('BEGIN; SELECT status FROM ' . pay_sql('process_payment', client_request_id => $_, amount => 77, bank => 'ids', token => 'tok_blind_hold', capture => 'manual') . '; ROLLBACK') for 'g1', 'g2';
	ok(wait_until(sub { status_of($node, 'g1') =~ /Refunded|Review/ && status_of($node, 'g2') =~ /Refunded|Review/ }, 60), 'two charges are given back');
	is(sql("SELECT string_agg(concat_ws(' ', status, error_code), ',' ORDER BY status) FROM pgw.payment_transactions WHERE client_request_id IN ('g1', 'g2')"),
		'RequiresManualReview bank_reference_taken,Refunded given_back', 'one of them with the void of the other: a person looks');
});

part($node, 'a reversal', sub {
	pay('before', token => 'tok_any');
	like(operate('refund', 'before', 'before-r', 10), qr/^Completed/, 'a refund');
	PgwSession->new($node)->run('BEGIN; SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'turned', amount => 88, bank => 'turns', token => 'tok_any') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'turned') =~ /Refunded|Review/ }, 60), 'a charge is given back by a reversal');
	is(sql("SELECT concat_ws(' ', status, error_code) FROM pgw.payment_transactions WHERE client_request_id = 'turned'"), 'RequiresManualReview bank_reference_taken', "with the id of somebody's refund: a person looks");
});

part($node, 'what took the money', sub {
	is(pay('twin 1', token => 'tok_twin'), 'captured', 'a charge whose answer names its capture');
	is(pay('twin 2', token => 'tok_twin'), 'in_review', 'another one that names the same: a person looks');
	is(sql("SELECT string_agg(client_request_id, ',') FROM pgw.payment_transactions WHERE capture_reference = 'cap_twin' AND status <> 'RequiresManualReview'"), 'twin 1', 'nobody refunds it for the other');
});

part($node, 'another charge is shown', sub {
	pay('mute', token => 'tok_mute', bank => 'sees', capture => 'manual');
	sql("SELECT pgw.capture_payment(payment_id, 'mc', 5000) FROM pgw.find_payment('mute')");
	ok(wait_until(sub { status_of($node, 'mc') eq 'Completed' }, 60), 'a capture whose answer is lost is looked up, and done');
	cmp_ok(made('seen'), '>=', 3, "but not by a look-up that shows a charge which is not the payment's");
});

# An authorization may name the capture that is to come, and a refund's look-up the capture that there was.
part($node, 'a capture that is named by others', sub {
	pay('named', token => 'tok_captured', capture => 'manual');
	like(operate('capture', 'named', 'nc', 5000), qr/^Completed\|\|cap_/, 'a capture has the id that its authorization has named');
	pay('mute', token => 'tok_mute', bank => 'sees', capture => 'manual') if defined $ENV{PGW_PART};
	sql("SELECT pgw.capture_payment(payment_id, 'mc', 5000) FROM pgw.find_payment('mute')") if defined $ENV{PGW_PART};
	ok(wait_until(sub { status_of($node, 'mc') eq 'Completed' }, 60), 'of a charge that was captured');
	sql("SELECT pgw.refund_payment(payment_id, 'mr', 700) FROM pgw.find_payment('mute')");
	ok(wait_until(sub { status_of($node, 'mr') eq 'Completed' }, 60), 'a refund whose answer is lost is looked up at the charge, and done');
	is(sql("SELECT count(*) FROM pgw.operation_references WHERE bank_reference = 'cap_shown'"), 0, '... and the capture that is shown is not its own');
});

# Where the ids of its refunds are the charge's, or that of what is refunded, they tell nothing, and are none.
part($node, 'ids that are the charge\'s', sub {
	for my $token ('tok_plain', 'tok_captured')
	{
		pay($token, token => $token);
		like(operate('refund', $token, "$token $_", 100), qr/^Completed/, "$token: refund $_") for 1 .. 3;
		is(amounts($token), 'partially_refunded|5000|300|0', "$token: all of them count");
	}
	pay('plain auth', token => 'tok_plain', capture => 'manual');
	like(operate('capture', 'plain auth', "pc $_", 1000), qr/^Completed/, "capture $_ with the charge's id") for 1, 2;
});

# Sent in one turn of the worker's, their answers may be written in one batch.
part($node, 'at once', sub {
	pay("race $_", token => 'tok_blind') for 1 .. 3;
	sql("SELECT pgw.refund_payment(payment_id, 'rr' || n, 555) FROM generate_series(1, 3) n, pgw.find_payment('race ' || n)");
	ok(wait_until(sub { 3 == sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id ~ '^rr' AND status IN ('Completed', 'RequiresManualReview')") }, 60), 'all have their end');
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id ~ '^rr' AND status = 'Completed'"), 1, 'one of three with one id is done');
});

is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'consistent');
my ($rc, undef, $err) = $node->psql('postgres', 'DELETE FROM pgw.operation_references');
like($err, qr/operation_references/, 'what was claimed cannot be deleted') unless defined $ENV{PGW_PART};    # of which there is something
$node->stop('fast');
done_testing();
