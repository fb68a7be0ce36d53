# PgwEchoes - a bank that repeats in its answers what it was sent, card payments at it, and the search for what must not be kept.
package PgwEchoes;
use strict;
use warnings;
use Exporter 'import';
use File::Find;
use JSON::PP;
use MIME::Base64;
use PgwBound;
use PgwScriptedBank;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(echo_node change_key sql payment pay books codes keeps_nothing);

my $year = (localtime)[5] + 1902;
my ($cvv, $holder, $key) = ('737', 'ERIKA ECHOLESS', 'sk_live_51Hx/Q+7y~vault');
my $next_key = 'sk_live_60Jz.other-vault';
my $key_changed = PostgreSQL::Test::Utils::tempdir() . '/key_changed';
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
	toolong => { state => 'wait', id => 'x' x 300 . " CVV=$cvv", lookup => { id => "CVV=$cvv/%s", state => 'ok', captured => 4200 } },
	notext => { state => 'wait', id => { security => ["CVV=$cvv"] }, lookup => { id => "CVV=$cvv/%s", state => 'ok', captured => 4200 } },
	elsewhere => { state => 'wait', id => undef, more => ["CVV=$cvv"], lookup => { id => "CVV=$cvv/%s", state => 'ok', captured => 4200 } },
	otherfield => { state => 'wait', id => undef, last4 => "CVV=$cvv", lookup => { id => "CVV=$cvv/%s", state => 'ok', captured => 4200 } },
	around => { state => 'wait', ref => "another CVV=$cvv", lookup => { id => "CVV=$cvv/%s", state => 'ok', captured => 4200 } },
	encoded => { state => 'wait', id => encode_base64($cvv, ''), lookup => { id => "CVV=$cvv/%s", state => 'ok', captured => 4200 } },
	rotated => { held => 1, id => "ch_$key", auth => $key, lookup => { id => "ch_$key" } },
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

# The bank's answer to a request, with whatever is odd about it.
sub answer
{
	my ($request) = @_;
	my $path = $request->{path};
	return { document => \@charges } if $path eq '/books';
	my $asked = length($request->{body} // '') ? decode_json($request->{body}) : {};
	my $known = @charges;
	my $charge = charge_of_request($request, $asked);
	my $odd = $charge ? $oddity{ $charge->{what} } // {} : {};
	return if @charges > $known && ($odd->{lost} || $odd->{lost_again} && 1 < grep { $_->{what} eq $charge->{what} } @charges);
	wait_until(sub { -e $key_changed }, 30) if $odd->{held};
	my $answer = $path eq '/charge' ? { shown_plainly($charge), auth => 'AUTH1', %$odd }
	  : $path =~ m{^/find} ? { shown_plainly($charge), %{ $odd->{lookup} // {} } }
	  : $path eq '/cancel' ? cancel($charge)
	  : give_back($charge, $asked, $odd);
	$answer->{id} = sprintf $answer->{id}, $charge->{n} if $charge && defined $answer->{id} && $answer->{id} =~ /%s/;
	($answer->{id}) = map { "id_$_->{n}" } grep { $_->{what} eq 'mine' } @charges if ($answer->{id} // '') eq 'MINE';
	$answer->{code} = $request->{body} if ($answer->{code} // '') eq 'REQUEST';
	return { document => $answer };
}

my ($node, $bank);

# A node whose banks echo, helpless and content are that bank: helpless has no cancellation, and content's refunds need no id.
sub echo_node
{
	$bank = scripted_bank(\&answer);
	$node = pgw_node('echoes', debug => 1, conf => "restart_after_crash = on\nfsync = off\nwal_writer_delay = 10s\nwal_level = logical\nlog_min_messages = debug1\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\n");
	secret_file($node, 'echo', $key);
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
	return $node;
}

# The file of the bank's key has another one, and the worker has seen it: only then the bank answers what is held.
sub change_key
{
	secret_file($node, 'echo', $next_key);
	wait_until(sub { slurp_file($node->logfile) =~ /the secret of bank "echo" was read again/ }, 30) or die 'the key was not read again';
	append_to_file($key_changed, '');
	return;
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

# What callers, operators and listeners get, and then every byte.
sub keeps_nothing
{
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'consistent');
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
	return;
}

1;
