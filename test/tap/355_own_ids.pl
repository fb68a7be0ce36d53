# A bank that refunds a capture, not its charge, and shows a refund by the id that it gave it: pgw names the right one, however the capture was made or its answer was
# lost, and a refund whose answer was lost is found otherwise.  Counted in the bank's books.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwOperations;
use PgwScriptedBank;
use PgwTest;
use Test::More;

my (@charges, %refunds, %next);
my $n = 0;

sub charged
{
	my ($fields, $captured) = @_;
	push @charges, { ref => $fields->{ref}, id => 'ch_' . ++$n, captured => $captured, refunded => 0, $captured ? (capture => "cap_$n") : () };
	return { document => { state => 'ok', %{ $charges[-1] } } };
}

# What was asked for is done, and the answer may be lost.
sub answered { my ($op, $document) = @_; return delete $next{"lose_$op"} ? undef : { document => $document } }

sub refunded
{
	my ($capture, $amount) = @_;
	my ($charge) = grep { ($_->{capture} // '') eq $capture } @charges;
	return { status => 404, document => { state => 'no such capture' } } unless $charge;
	$charge->{refunded} += $amount;
	my $id = 're_' . ++$n;
	my $refund = $refunds{$id} = { id => $id, capture => $capture, amount => $amount, state => delete $next{refund} // 'accepted' };
	return answered(refund => $refund);
}

my $bank = scripted_bank(sub {
	my ($r) = @_;
	my $f = $r->{fields};
	my ($path) = split /\?/, $r->{path};
	if ($path eq '/next') { %next = %{ decode_json($r->{body}) }; return { document => {} } }
	if ($path eq '/settle') { my $s = decode_json($r->{body}); $refunds{ $s->{id} }{state} = $s->{to}; return { document => {} } }
	return { document => { charges => \@charges, refunds => [ map { $refunds{$_} } sort keys %refunds ] } } if $path eq '/books';
	return charged($f, $f->{amount}) if $path eq '/charge';
	return charged($f, 0) if $path eq '/authorize';
	if ($path =~ m{^/charges/(\w+)/capture$})
	{
		my ($charge) = grep { $_->{id} eq $1 } @charges;
		@$charge{qw(capture captured)} = ('cap_' . ++$n, $f->{amount});
		return answered(capture => { state => 'ok', id => $charge->{capture} });
	}
	return refunded($1, $f->{amount}) if $path =~ m{^/captures/(\w+)/refund$};
	if ($path =~ m{^/refunds/(\w+)$})
	{
		my $hidden = ($refunds{$1}{state} // 'hidden') eq 'hidden';
		return $hidden ? { status => 404, document => { state => 'none' } } : { document => $refunds{$1} };
	}
	my $charge = charge_asked_for(\@charges, $f);
	return $charge ? { document => { state => 'ok', %$charge } } : { status => 404, document => { state => 'none' } };
});

sub rules { my (%outcome) = @_; return [ map { { status => /^none/ ? 404 : 200, when => { '/state' => $_ }, outcome => $outcome{$_} } } sort keys %outcome ] }
my $shown = { reference => '/ref', bank_reference => '/id', capture_reference => '/capture', captured => '/captured', refunded => '/refunded' };
my $charge_answer = { rules => rules(ok => 'approved', none => 'not_found'), fields => $shown };
my $node = pgw_node('own_ids', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '50ms'\npgw.retry_max_delay = '200ms'\npgw.retry_budget = 100\npgw.breaker_failures = 10000\n");
pgw_setup($node);
add_dialect($node, $bank, 'ids', {
	v => 2,
	capabilities => { tokens => \1, partial_capture => \1, partial_refund => \1, lookup_consistent_after_seconds => 1 },
	operations => {
		charge => form_request('/charge', { rules => rules(ok => 'approved'), fields => $shown }, amount => '{{amount}}', token => '{{token}}'),
		authorize => form_request('/authorize', { rules => rules(ok => 'approved'), fields => { reference => '/ref', bank_reference => '/id' } }, amount => '{{amount}}', token => '{{token}}'),
		capture => form_request('/charges/{{bank_reference}}/capture', { rules => rules(ok => 'approved'), fields => { bank_reference => '/id' } }, amount => '{{amount}}'),
		refund => form_request('/captures/{{operation_reference}}/refund', { rules => rules(accepted => 'accepted', hidden => 'pending'), fields => { bank_reference => '/id' } }, amount => '{{amount}}'),
		lookup_charge => { method => 'GET', path => '/find?q={{original_ref}}', answer => $charge_answer },
		lookup_refund => { method => 'GET', path => '/refunds/{{operation_reference}}',
			answer => { rules => rules(done => 'approved', accepted => 'pending', failed => 'declined', none => 'not_found'), fields => { bank_reference => '/id' } } } } },
	livemode => 'false', request_timeout => '2s');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub books { return PgwTest::http_json('GET', "$bank->{url}/books") }
sub next_is { my (%what) = @_; return PgwTest::http_json('POST', "$bank->{url}/next", \%what) }
sub settle { my ($id, $to) = @_; return PgwTest::http_json('POST', "$bank->{url}/settle", { id => $id, to => $to }) }
sub pays { my ($id, %o) = @_; return sql('SELECT status FROM ' . pay_sql('process_payment', bank => 'ids', client_request_id => $id, amount => 1000, timeout => '10s', %o)) }
sub attempt { my ($id, $column) = @_; return sql("SELECT $column FROM pgw.payment_transactions WHERE client_request_id = '$id'") }

# The charge of a payment, and the refunds of its capture.
sub charge_of { my ($id) = @_; my $ours = attempt($id, "replace(transaction_id::text, '-', '')"); my ($charge) = grep { $_->{ref} eq $ours } @{ books()->{charges} }; return $charge }
sub refunds_made { my ($id) = @_; my $charge = charge_of($id); return grep { $_->{capture} eq $charge->{capture} } @{ books()->{refunds} } }

sub is_refunded
{
	my ($id, $name) = @_;
	request_operation($node, 'refund', $id, "$id-r", 400);
	ok(wait_until(sub { attempt("$id-r", 'accepted_at IS NOT NULL') eq 't' }), "$name: accepted") or diag(events($node, "$id-r"));
	my ($refund, @more) = refunds_made($id);
	ok($refund && !@more, "$name: one refund, of its capture") or return;
	is(attempt("$id-r", 'bank_reference'), $refund->{id}, "$name: whose id is known");
	settle($refund->{id}, 'done');
	ok(comes_to($node, "$id-r", 'Completed'), "$name: done when its look-up says so");
	is(scalar(refunds_made($id)), 1, "$name: and made once");
	return;
}

part($node, 'captured in each way', sub {
	is(pays('once'), 'captured', 'charged at once');
	is(attempt('once', 'capture_reference'), charge_of('once')->{capture}, 'the charge names its capture');
	is_refunded('once', 'at once');
	pays('manual', capture => 'manual');
	request_operation($node, 'capture', 'manual', 'manual-c', 1000);
	ok(comes_to($node, 'manual-c', 'Completed'), 'captured by a call');
	is_refunded('manual', 'by a call');
	pays('commit', capture => 'on_commit');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payments WHERE client_request_id = 'commit'") eq 'captured' }), 'captured after the commit');
	is_refunded('commit', 'after the commit');
});

part($node, 'captures whose answers are lost', sub {
	pays('lost', capture => 'manual');
	next_is(lose_capture => 1);
	request_operation($node, 'capture', 'lost', 'lost-c', 1000);
	ok(comes_to($node, 'lost-c', 'Completed'), 'a capture is looked up');
	is(attempt('lost-c', 'bank_reference'), charge_of('lost')->{capture}, 'with its id');
	is_refunded('lost', 'lost');
	next_is(lose_capture => 1);
	pays('late', capture => 'on_commit');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payments WHERE client_request_id = 'late'") eq 'captured' }), 'and one after the commit');
	is_refunded('late', 'lost after the commit');
});

part($node, 'a refund whose answer is lost', sub {
	pays('gone');
	next_is(lose_refund => 1);
	request_operation($node, 'refund', 'gone', 'gone-r', 400);
	ok(wait_until(sub { attempt('gone-r', 'accepted_at IS NOT NULL AND step_tries > 2') eq 't' }), 'the charge shows it, again and again') or diag(events($node, 'gone-r'));
	is(attempt('gone-r', 'status'), 'Saved', 'which says that the bank has accepted it, and not that it is done');
	is(sql("SELECT concat_ws(' ', refunded_amount, refund_pending_amount) FROM pgw.payments WHERE client_request_id = 'gone'"), '0 400', 'its amount is taken');
	is(scalar(refunds_made('gone')), 1, 'it is made once');
	is(attempt('gone-r', 'bank_reference'), '', 'its id is not known');
	next_is(lose_refund => 1);
	sql('BEGIN; SELECT FROM ' . pay_sql('process_payment', bank => 'ids', client_request_id => 'gone-back', amount => 1000) . '; ROLLBACK');
	ok(wait_until(sub { attempt('gone-back', 'accepted_at IS NOT NULL AND step_tries > 2') eq 't' }), 'so is a give-back') or diag(events($node, 'gone-back'));
	is(attempt('gone-back', 'status'), 'Refunding', 'which is not done either');
	is(scalar(refunds_made('gone-back')), 1, 'and made once');
});

part($node, 'given back', sub {
	sql('BEGIN; SELECT FROM ' . pay_sql('process_payment', bank => 'ids', client_request_id => 'back', amount => 1000) . '; ROLLBACK');
	ok(wait_until(sub { attempt('back', 'refund_reference') ne '' }), 'its id is known');
	my ($refund) = refunds_made('back');
	is(attempt('back', 'refund_reference'), $refund->{id}, 'as the bank named it');
	settle($refund->{id}, 'done');
	ok(comes_to($node, 'back', 'Refunded'), 'given back when its look-up says so');
});

part($node, 'taken, and not shown', sub {
	next_is(refund => 'hidden');
	sql('BEGIN; SELECT FROM ' . pay_sql('process_payment', bank => 'ids', client_request_id => 'hidden', amount => 1000) . '; ROLLBACK');
	ok(wait_until(sub { attempt('hidden', 'refund_reference IS NOT NULL AND step_tries > 3 AND refund_asked_at < clock_timestamp() - interval $$2 s$$') eq 't' }), 'the bank has taken it, and does not find it');
	my @refunds = refunds_made('hidden');
	is(scalar @refunds, 1, 'it is not sent again');
	settle($refunds[0]{id}, 'done');
	ok(comes_to($node, 'hidden', 'Refunded'), 'it is given back when it is shown');
	is(scalar(refunds_made('hidden')), 1, 'once');
});

$node->stop('fast');
done_testing();
