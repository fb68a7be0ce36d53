# A bank that repeats in its answers what it was sent: the card, its security code, its holder, and our own key.  None of it is kept anywhere, and the outcome
# is what it would have been: taken, declined, given back, or with a person.
use strict;
use warnings;
use lib 'test/lib';
use File::Find;
use JSON::PP;
use MIME::Base64;
use PgwBound;
use PgwScriptedBank;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $year = (localtime)[5] + 1902;
my ($cvv, $holder, $key) = ('737', 'ERIKA ECHOLESS', 'sk_live_51Hx/Q+7y~vault');
my $grouped = join ' ', $CARD =~ /(.{4})/g;
my $dashed = join '-', $CARD =~ /(.{4})/g;
sub percent { return join '', map { sprintf '%%%02X', ord } split //, $_[0] }
my ($card64, $key64) = (encode_base64("card=$CARD;", ''), encode_base64("$key:", ''));

# What is odd about the answers to a payment with this merchant's reference; %s is the charge's number at the bank.  Of "lookup" and so on: that operation's.
my %oddity = (
	reason => { state => 'no', code => 'REQUEST' },
	padded => { state => 'no', code => 'x' x 115 . $CARD },
	key => { state => 'no', code => "wrong key $key" },
	key64 => { state => 'no', code => "Basic $key64" },
	keyenc => { state => 'no', code => percent($key) },
	keyesc => { state => 'no', code => join '', map { sprintf '\\u%04x', ord } split //, $key },
	cvv => { state => 'no', code => "CVV=$cvv" },
	holder => { state => 'no', code => lc $holder },
	plain => { state => 'no', code => 'limit_57' },
	auth => { auth => $grouped, brand => "visa $CARD", last4 => '4242' },
	code => { auth => $cvv },
	most => { auth => substr($CARD, 0, 15) },
	partly => { state => 'no', code => join ' ', substr($CARD, 3) =~ /(.{4})/g },
	masked => { auth => substr($CARD, 0, 6) . '******' . substr($CARD, -4) },
	octal => { auth => join '', map { sprintf '\\%03o', ord } split //, $CARD },
	shown => { auth => 'A1B2C3' },
	id => { id => "ch_$CARD", lookup => { id => 'good_%s' } },
	idkey => { id => "ch-%s-$key", lookup => { id => 'good_%s' } },
	idcvv => { id => $cvv, lookup => { id => 'good_%s' } },
	unclear => { state => 'odd', id => "CVV=$cvv/%s", lookup => { id => "CVV=$cvv/%s", state => 'ok', captured => 4200 } },
	pending => { state => 'wait', id => "CVV=$cvv/%s", lookup => { id => "CVV=$cvv/%s", state => 'ok', captured => 4200 } },
	named => { state => 'wait', id => "ch_ERIKA-ECHOLESS_%s", lookup => { id => "ch_ERIKA-ECHOLESS_%s", state => 'ok', captured => 4200 } },
	coded => { state => 'wait', auth => "CVV=$cvv", lookup => { auth => "CVV=$cvv", code => "CVV $cvv", state => 'ok', captured => 4200 } },
	elses => { state => 'wait', id => "CVV=$cvv/%s", lookup => { id => 'MINE', state => 'ok', captured => 4200 } },
	killed => { state => 'wait', id => "CVV=$cvv/%s", lookup => { id => "CVV=$cvv/%s", state => 'ok', captured => 4200 } },
	twice => { id => "CVV=$cvv/%s", lost_again => 1, lookup => { id => "CVV=$cvv/%s" } },
	kept => { id => "CVV=$cvv/%s", refund => { id => "CVV=$cvv/%s" } },
	helped => { state => 'wait', id => "CVV=$cvv/%s", lookup => { id => "CVV=$cvv/%s", state => 'ok', captured => 4200 } },
	never => { id => $card64, lookup => { id => $dashed } },
	lonely => { id => scalar reverse($CARD), lookup => { id => $CARD } },
	amount => { total => $CARD + 0 },
	lost => { lost => 1, lookup => { id => "x$dashed", code => $grouped } },
	shows => { lost => 1, lookup => { captured => $CARD + 0 } },
	refund => { refund => { state => 'no', code => "no refund for $grouped, key $key" } },
);

my @charges;

# The charge that is asked for, which a first request makes.
sub charge_of_request
{
	my ($request, $asked) = @_;
	my $reference = $request->{path} =~ m{^/find/(\w+)} ? $1 : $request->{path} eq '/charge' ? $asked->{ref} : $asked->{of};
	my ($charge) = grep { $_->{ref} eq ($reference // '') } @charges;
	return $charge if $charge || $request->{path} ne '/charge';
	my $key_shown = $request->{headers}{authorization} eq "Bearer $key";
	push @charges, { n => 1 + @charges, ref => $asked->{ref}, what => $asked->{what}, total => $asked->{sum}, returned => 0, saw => ($asked->{card}{number} // '') eq $CARD && $key_shown ? 1 : 0,
		state => ($oddity{ $asked->{what} } // {})->{state} // 'ok' };
	return $charges[-1];
}

# What is true of a charge, before anything odd is put over it.
sub shown_plainly
{
	my ($charge) = @_;
	return (state => 'none') unless $charge;
	return (id => "id_$charge->{n}", ref => $charge->{ref}, state => $charge->{state}, total => $charge->{total}, returned => $charge->{returned},
		captured => $charge->{state} eq 'ok' ? $charge->{total} : 0);
}

sub give_back
{
	my ($charge, $asked, $odd) = @_;
	my $answer = { ref => $asked->{ref}, id => "re_$charge->{n}", state => 'ok', total => $asked->{sum}, %{ $odd->{refund} // {} } };
	$charge->{returned} += $asked->{sum} if $answer->{state} eq 'ok';
	return $answer;
}

sub cancel
{
	my ($charge) = @_;
	$charge->{returned} = $charge->{total} if $charge;
	return { state => 'ok' };
}

my $bank = scripted_bank(sub {
	my ($request) = @_;
	my $path = $request->{path};
	return { document => \@charges } if $path eq '/books';
	my $asked = length($request->{body} // '') ? decode_json($request->{body}) : {};
	my $known = @charges;
	my $charge = charge_of_request($request, $asked);
	my $odd = $charge ? $oddity{ $charge->{what} } // {} : {};
	return if @charges > $known && ($odd->{lost} || $odd->{lost_again} && 1 < grep { $_->{what} eq $charge->{what} } @charges);
	my $answer = $path eq '/charge' ? { shown_plainly($charge), auth => 'AUTH1', %$odd }
	  : $path =~ m{^/find} ? { shown_plainly($charge), %{ $odd->{lookup} // {} } }
	  : $path eq '/cancel' ? cancel($charge)
	  : give_back($charge, $asked, $odd);
	$answer->{id} = sprintf $answer->{id}, $charge->{n} if $charge && defined $answer->{id} && $answer->{id} =~ /%s/;
	($answer->{id}) = map { "id_$_->{n}" } grep { $_->{what} eq 'mine' } @charges if ($answer->{id} // '') eq 'MINE';
	$answer->{code} = $request->{body} if ($answer->{code} // '') eq 'REQUEST';
	return { document => $answer };
});

my $node = pgw_node('echoes', debug => 1, conf => "restart_after_crash = on\nfsync = off\nwal_writer_delay = 10s\nwal_level = logical\nlog_min_messages = debug1\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\n");
my $secret = $node->basedir . '/secrets/echo';
append_to_file($secret, "$key\n");
chmod 0600, $secret;
pgw_setup($node);

my @rules = ({ status => 200, when => { '/state' => 'ok' }, outcome => 'approved' }, { status => 200, when => { '/state' => 'no' }, outcome => 'declined' }, { status => 200, when => { '/state' => 'wait' }, outcome => 'pending' });
my %fields = (reference => '/ref', bank_reference => '/id', amount => '/total', captured => '/captured', refunded => '/returned', authorization_code => '/auth', bank_code => '/code', card_brand => '/brand', card_last4 => '/last4');
my %operations = (
	charge => { method => 'POST', path => '/charge', encoding => 'json', answer => { rules => \@rules, fields => \%fields, error_codes => { limit_57 => 'limit_exceeded', '*' => 'declined' } },
		body => { ref => '{{transaction_ref}}', sum => '{{amount}}', what => '{{reference}}', token => '{{token}}',
			card => { number => '{{card_number}}', cvv => '{{card_cvv}}', holder => '{{card_holder}}', month => '{{card_expiry_month}}', year => '{{card_expiry_year}}' } } },
	refund => { method => 'POST', path => '/refund', encoding => 'json', body => { ref => '{{transaction_ref}}', of => '{{original_ref}}', id => '{{bank_reference}}', sum => '{{amount}}' },
		answer => { rules => \@rules, fields => { reference => '/ref', bank_reference => '/id', amount => '/total', bank_code => '/code' } } },
	cancel => { method => 'POST', path => '/cancel', encoding => 'json', body => { ref => '{{transaction_ref}}', of => '{{original_ref}}' }, answer => { rules => \@rules } },
	lookup_charge => { method => 'GET', path => '/find/{{original_ref}}', answer => { rules => [ @rules, { status => 200, when => { '/state' => 'none' }, outcome => 'not_found' } ], fields => \%fields } });
# The refund's id is a part of its path, so that an approval without an id is not enough.
$operations{refund}{path} = '/refund?{{bank_reference}}';
my %capabilities = (cards => JSON::PP::true, tokens => JSON::PP::true, partial_refund => JSON::PP::true, idempotency => { lifetime_seconds => 86400, header => 'X-Key' }, lookup_consistent_after_seconds => 0);
for my $name ('echo', 'helpless', 'content')
{
	my %o = %operations;
	delete $o{cancel} if $name eq 'helpless';
	# Whose refunds need no id.
	$o{refund} = { %{ $o{refund} }, path => '/refund' } if $name eq 'content';
	add_dialect($node, $bank, $name => { v => 1, capabilities => \%capabilities, headers => { Authorization => 'Bearer {{secret}}' }, operations => \%o }, secret => 'echo');
}

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A card payment, to be bound; its reference says what the bank does with it.
sub payment
{
	my ($what, %o) = @_;
	my $bank = $o{bank} // 'echo';
	my $call = "SELECT pgw.process_payment(client_request_id => '$what', amount => 4200, currency => 'EUR', card_number => (:card::numeric)::text, card_expiry_month => 12,
		card_expiry_year => $year, card_cvv => (:cvv::int)::text, card_holder => :holder::text, bank => '$bank', reference => '$what', timeout => '20s');" =~ s/\n\t\t/ /r;
	return ($node, $o{rollback} ? "BEGIN;\n$call\nROLLBACK;" : $call, { card => $CARD, cvv => $cvv, holder => $holder });
}

sub pay
{
	my ($what, %o) = @_;
	my $err = run_bound(payment($what, %o));
	diag($err) unless $err eq '' || $err =~ /^pgbench \(/;
	return sql("SELECT coalesce(status::text, '') || ' ' || coalesce(bank_reference, '-') || ' ' || coalesce(authorization_code, '-') || ' ' || coalesce(error_code, '-') FROM pgw.find_payment('$what')");
}

sub books
{
	my ($what) = @_;
	return join ',', map { "$_->{saw} $_->{returned}" } grep { $_->{what} eq $what } bank_books($bank);
}

sub codes
{
	my ($what) = @_;
	return sql("SELECT coalesce(string_agg(e.event_data->>'bank_code', ','), '-') FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = '$what'");
}

sub comes_to
{
	my ($what, $status) = @_;
	return wait_until(sub { status_of($node, $what) eq $status }, 60) || diag(status_of($node, $what), ' ', events($node, $what)) && 0;
}

part($node, 'reasons', sub {
	for my $what ('reason', 'partly', 'padded', 'key', 'key64', 'keyenc', 'keyesc', 'cvv', 'holder')
	{
		like(pay($what), qr/^declined id_\d+ AUTH1 declined$/, "$what: declined");
		is(codes($what), '-', "$what: the bank's reason is not kept");
	}
	is(books('reason'), '1 0', 'the bank was sent card and key');
	like(pay('plain') . ' ' . codes('plain'), qr/^declined id_\d+ AUTH1 limit_exceeded limit_57,limit_57$/, 'an ordinary reason is kept');
});

part($node, 'approvals', sub {
	like(pay('auth'), qr/^captured id_\d+ - -$/, 'card number as authorization code and brand: captured without them');
	is(sql("SELECT card_last4, card_brand FROM pgw.payments WHERE client_request_id = 'auth'"), '4242|visa', 'last four and brand are the request\'s');
	like(pay('code'), qr/^captured id_\d+ - -$/, 'the security code as authorization code: captured without');
	like(pay('most'), qr/^captured id_\d+ - -$/, 'nearly all of the card number, beside its last four digits: captured without');
	like(pay('masked'), qr/^captured id_\d+ \d{6}\*{6}\d{4} -$/, 'what a receipt shows of it is kept');
	like(pay('octal'), qr/^captured id_\d+ - -$/, 'the card number in octal escapes: captured without');
	like(pay('shown'), qr/^captured id_\d+ A1B2C3 -$/, 'an ordinary authorization code is kept');
	pay('shown back', rollback => 1);
	ok(comes_to('shown back', 'Refunded'), 'rolled back: given back');
});

part($node, 'ids', sub {
	like(pay($_), qr/^captured good_\d+ \S+ -$/, "$_: looked up, and captured under the id that names nothing") for 'id', 'idkey';
	is((split ' ', pay('never'))[0], 'failed', 'no answer has an id that can be kept: no payment');
	ok(comes_to('never', 'Refunded') || comes_to('never', 'Failed'), 'never: settled');
	is(books('never'), '1 4200', 'never: cancelled by our reference, all of it given back');
	is((split ' ', pay('lonely', bank => 'helpless'))[0], 'in_review', 'nor can it be cancelled: a person') or diag(events($node, 'lonely'));
	my $id = sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = 'lonely'");
	sql("SELECT pgw.resolve_review('$id', 'mark_charged', 'the bank has named it on the telephone', '{\"bank_reference\": \"told_1\"}')");
	ok(comes_to('lonely', 'Completed'), 'an operator names it: completed');
	sql("SELECT FROM pgw.find_payment('lonely') f, pgw.refund_payment(f.payment_id, 'lonely back', 4200) r");
	ok(wait_until(sub { books('lonely') eq '1 4200' }, 30), 'and it can be given back');
});

# Of a charge whose id was refused: no other id is kept, and it is given back by our reference.
sub cancelled
{
	my ($what) = @_;
	ok(comes_to($what, 'Refunded'), "$what: given back") or diag(events($node, $what));
	is(books($what), '1 4200', "$what: all of it, by our reference");
	is(sql("SELECT DISTINCT bank_reference IS NULL AND card_echoed FROM pgw.payment_transactions WHERE client_request_id = '$what'"), 't', "$what: with no id, and it is remembered why");
}

# What was refused because the card was known comes back when it is not known any more.
part($node, 'said again', sub {
	for my $what ('idcvv', 'unclear', 'pending', 'named')
	{
		like(pay($what), qr/^failed - AUTH1 outcome_unacceptable$/, "$what: no payment, as its id would have to be kept");
		cancelled($what);
	}
	like(pay('coded'), qr/^captured id_\d+ - -$/, 'the security code as authorization code, and again in the look-up: captured without');
	like(pay('helped', bank => 'helpless'), qr/^in_review - AUTH1 approval_incomplete$/, 'nor can it be cancelled: a person');
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE card_echoed AND client_request_id IN ('id', 'idkey', 'shown', 'plain')"), '0', 'what is refused again by its look needs no memory');
});

part($node, 'said again of another charge', sub {
	like(pay('mine'), qr/^captured id_\d+ AUTH1 -$/, 'a payment');
	like(pay('elses'), qr/^in_review - AUTH1 bank_reference_taken$/, 'an id that must not be kept still shows whose charge the look-up is about');
	is(books('mine'), '1 0', 'which is left alone');
});

part($node, 'said again by who needs no id', sub {
	like(pay('kept', bank => 'content'), qr/^captured - AUTH1 -$/, 'captured without an id');
	sql("SELECT FROM pgw.find_payment('kept') f, pgw.refund_payment(f.payment_id, 'kept r', 4200) r");
	ok(wait_until(sub { books('kept') eq '1 4200' }, 30), 'refunded by our reference');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = 'kept r'") eq 'Completed' }, 30), 'and completed');
	is(sql("SELECT bank_reference IS NULL AND card_echoed FROM pgw.payment_transactions WHERE client_request_id = 'kept r'"), 't', 'what the refund is called there is not kept');
});

part($node, 'said again after a crash', sub {
	debug_arm($node, 'result_committed', 'stop');
	my $p = start_bound(payment('killed'));
	crash($node, debug_wait($node, 'result_committed'));
	eval { $p->{h}->finish };
	cancelled('killed');
});

part($node, 'said again to a retry', sub {
	pay('twice', rollback => 1);
	ok(comes_to('twice', 'Refunded'), 'twice: rolled back, and given back');
	like(pay('twice'), qr/^failed - - /, 'twice: the second answer is lost, and its id is not kept either');
	ok(wait_until(sub { books('twice') eq '1 4200,1 4200' }, 30), 'twice: both are given back');
	is(sql("SELECT count(*), count(bank_reference), bool_and(card_echoed) FROM pgw.payment_transactions WHERE client_request_id = 'twice'"), '2|0|t', 'twice: with no id');
});

part($node, 'amounts', sub {
	is((split ' ', pay('amount'))[0], 'failed', 'the number as the amount: an approval of who knows what');
	ok(comes_to('amount', 'Refunded'), 'amount: given back');
	like(pay('shows'), qr/^captured /, 'the number as the captured amount, in a look-up: not believed');
});

part($node, 'look-ups', sub {
	pay('lost');
	ok(wait_until(sub { books('lost') eq '1 4200' }, 60), 'the answer is lost, and the look-up names the charge by its card number: cancelled') or diag(events($node, 'lost'));
	like(pay('refund'), qr/^captured /, 'captured');
	sql("SELECT FROM pgw.find_payment('refund') f, pgw.refund_payment(f.payment_id, 'refund r', 1000) r");
	ok(wait_until(sub { sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = 'refund r'") eq 'Failed' }, 30), 'a refund is refused, with the number and the key in the reason');
	is(codes('refund r'), '-', 'which is not kept');
});

part($node, 'told', sub {
	pay('reason') unless sql("SELECT count(*) FROM pgw.payments WHERE client_request_id = 'reason'");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'secret_echoed' AND bank = 'echo'") eq '1' }, 30), 'people are told that the bank repeats what it must not');
});

is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'consistent');

# What callers, operators and listeners get, and then every byte.
my $shown = sql("SELECT f FROM pgw.payments p, pgw.find_payment(p.client_request_id) f") . sql("SELECT h FROM pgw.payments p, pgw.payment_history(p.payment_id) h") . sql("SELECT a FROM pgw.alerts a")
  . sql("SELECT h FROM pgw.health() h") . sql("SELECT m FROM pgw.metrics m");
sql('CHECKPOINT; SELECT pg_switch_wal()');
$node->stop('fast');
my %needle = (number => $CARD, 'most of the number' => substr($CARD, 0, 12), grouped => $grouped, dashed => $dashed, reversed => scalar reverse($CARD), 'in base64' => $card64, 'encoded number' => percent($CARD), key => $key, 'key in base64' => $key64,
	'encoded key' => percent($key), 'escaped key' => '\\u0073\\u006b', 'security code' => "CVV=$cvv", holder => 'ECHOLESS', 'holder, in small' => lc $holder);
my @hits = map { index($shown, $needle{$_}) >= 0 ? "$_ in a result" : () } sort keys %needle;
my $files = 0;
find({ no_chdir => 1, wanted => sub {
	return unless -f $_ && !m{/bound\.sql$|/secrets/};
	my ($name, $text) = ($_, slurp_file($_));
	$files++;
	push @hits, map { index($text, $needle{$_}) >= 0 ? "$_ in $name" : () } sort keys %needle;
} }, $node->basedir);
my $log = slurp_file($node->logfile);
push @hits, map { index($log, $needle{$_}) >= 0 ? "$_ in the log" : () } sort keys %needle;
cmp_ok($files, '>', 900, "searched $files files");
is_deeply(\@hits, [], 'nothing of it in data directory, WAL, log, results or alerts');

done_testing();
