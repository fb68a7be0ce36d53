#!/usr/bin/perl
#
# selftest.pl
#		Checks every behaviour of the bank simulator, on the wire.
#
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

my $bin = dirname($0) . '/pgw-bank';
my $dir = tempdir(CLEANUP => 1);
my ($pid, $port, $base);
my $http = HTTP::Tiny->new(timeout => 20);
my $counter = 0;

sub start
{
	my @args = @_;
	my $file = "$dir/port." . ++$counter;
	$pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDOUT, '>', '/dev/null');
		exec($bin, '--port', 0, '--port-file', $file, '--secret', 's3', @args) or exit 1;
	}
	for (1 .. 600)
	{
		last if -e $file;
		sleep 0.05;
	}
	open(my $fh, '<', $file) or die "the simulator did not start";
	chomp($port = <$fh>);
	$base = "http://127.0.0.1:$port";
}

sub stop
{
	return 0 unless $pid;
	kill 'TERM', $pid;
	waitpid($pid, 0);
	$pid = 0;
	return $?;
}

END { my $keep = $?; stop(); $? = $keep; }

sub ref32 { return sprintf('%032x', ++$counter + 0xabc0000) }

# One call; answers status, decoded body, headers.
sub call
{
	my ($method, $path, $body, %headers) = @_;
	my %options = (headers => { Authorization => 'Bearer s3', %headers });
	if (defined $body)
	{
		$options{content} = ref $body ? encode_json($body) : $body;
		$options{headers}{'Content-Type'} = 'application/json';
	}
	my $r = $http->request($method, $base . $path, \%options);
	my $json = eval { decode_json($r->{content}) } // {};
	return ($r->{status}, $json, $r->{headers}, $r->{content});
}

sub charge_body
{
	my ($token, %more) = @_;
	return {
		amount => 1234, currency => 'EUR', reference => ref32(),
		source => { token => $token }, merchant => 'm1', %more
	};
}

sub charge { my $t = shift; return call('POST', '/v1/charges', charge_body($t, @_)) }
sub authorize { my $t = shift; return call('POST', '/v1/authorizations', charge_body($t, @_)) }
sub step { my ($c, $what, $b, %h) = @_; return call('POST', "/v1/charges/$c->{id}/$what", $b // {}, %h) }
sub lookup { my ($r, $what) = @_; return call('GET', '/v1/' . ($what // 'charges') . "?reference=$r") }
sub ledger { return (call('GET', '/ledger'))[1] }
sub control { my ($w, $b) = @_; return (call('POST', "/control/$w", $b))[0] }
sub code { return $_[0]{error}{code} // '' }

sub in_ledger
{
	my $reference = shift;
	return grep { $_->{reference} eq $reference } @{ ledger()->{charges} };
}

# A raw POST; answers ("eof"|"reset"|"silent", bytes).
sub raw
{
	my ($path, $body, $wait, %headers) = @_;
	my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die "connect: $!";
	$body = encode_json($body) if ref $body;
	my $head = join('', map { "$_: $headers{$_}\r\n" } keys %headers);
	print $s "POST $path HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3\r\n${head}Content-Length: "
	  . length($body) . "\r\n\r\n$body";
	$s->flush;
	my $got = '';
	my $until = time + ($wait // 3);
	my $select = IO::Select->new($s);
	while ((my $left = $until - time) > 0)
	{
		next unless $select->can_read($left);
		my $n = sysread($s, my $chunk, 65536);
		return ($!{ECONNRESET} ? 'reset' : "error $!", $got) unless defined $n;
		return ('eof', $got) if $n == 0;
		$got .= $chunk;
		last if length($got) > 100 * 1024 * 1024;
	}
	return ('silent', $got);
}

my ($st, $j, $h, $text, $r, $how, $bytes, $b);

start();

subtest 'basics' => sub {
	($st, $j) = call('GET', '/v1/ping');
	is($st, 200, 'ping');
	($st, $j) = call('GET', '/v1/ping', undef, Authorization => 'Bearer no');
	is("$st " . code($j), '401 unauthorized', 'wrong secret');
	($st, $j) = call('POST', '/v1/nothing', {});
	is("$st " . code($j), '404 not_found', 'unknown operation');
	($st, $j) = charge('tok_ok');
	is($st, 201, 'charge');
	is("$j->{status} $j->{amount} $j->{currency} $j->{captured}", 'approved 1234 EUR 1234', 'approved');
	like($j->{id}, qr/^ch_[0-9a-f]{16}$/, 'id');
	like($j->{authorization_code}, qr/^A\d{5}$/, 'authorization code');
	($st, my $l) = lookup($j->{reference});
	is("$st $l->{id}", "200 $j->{id}", 'look-up by reference');
	is((call('GET', "/v1/charges/$j->{id}"))[1]{id}, $j->{id}, 'look-up by id');
	($st, $j) = lookup(ref32());
	is("$st " . code($j), '404 not_found', 'look-up of nothing');
	is((lookup(ref32(), 'refunds'))[0], 404, 'look-up of no refund');
	for my $wrong ({ amount => 0 }, { amount => -5 }, { amount => '12' }, { amount => 1.5 }, { currency => 'eur' },
		{ reference => 'a b' }, { source => {} }, { source => { token => 'tok_nonsense' } },
		{ source => { token => 'tok_slow' } }, { source => { card => { number => '4111111111111112', expiry_month => 1, expiry_year => 2099 } } })
	{
		($st, $j) = call('POST', '/v1/charges', { %{ charge_body('tok_ok') }, %$wrong });
		is("$st " . code($j), '400 invalid_request', 'invalid: ' . encode_json($wrong));
	}
	is((call('POST', '/v1/charges', '{"amount":'))[0], 400, 'broken JSON');
	is((call('POST', '/v1/charges', 'x' x 100_000))[0], 400, 'too large');
	is((call('PUT', '/v1/charges', '{}'))[0], 405, 'wrong method');
};

subtest 'cards and amounts' => sub {
	my %want = (
		'4242424242424242' => 'approved visa 4242 ', '4111111111111111' => 'approved visa 1111 ',
		'5555555555554444' => 'approved mastercard 4444 ', '378282246310005' => 'approved amex 0005 ',
		'4000000000000002' => 'declined visa 0002 do_not_honor',
		'4000000000009995' => 'declined visa 9995 insufficient_funds',
		'4000000000000069' => 'declined visa 0069 expired_card',
		'4000000000009987' => 'declined visa 9987 lost_card',
		'4100000000000019' => 'declined visa 0019 fraud',
		'4000002500003155' => 'requires_action visa 3155 authentication_required');
	for my $number (sort keys %want)
	{
		($st, $j) = charge('', source => { card => { number => $number, expiry_month => 12, expiry_year => 2099, cvv => '123', holder => 'A' } });
		is("$j->{status} $j->{card}{brand} $j->{card}{last4} " . code($j), $want{$number}, "card $number");
	}
	($st, $j) = charge('', source => { card => { number => '4111111111111111', expiry_month => 1, expiry_year => 2020 } });
	is("$st " . code($j), '200 expired_card', 'past expiry');
	($st, $j) = charge('', source => { card => { number => '4000000000000259', expiry_month => 1, expiry_year => 2099 } });
	is($st, 500, 'card for 500 after');
	($st, $j) = charge('tok_ok', amount => 9990001);
	is("$st " . code($j), '200 insufficient_funds', 'reserved amount: decline');
	is((charge('tok_ok', amount => 9990024))[0], 503, 'reserved amount: 503');
	is((charge('tok_ok', amount => 9990099))[0], 201, 'reserved amount without meaning');
	for my $c (qw(insufficient_funds do_not_honor lost_card expired_card fraud))
	{
		($st, $j) = charge("tok_decline_$c");
		is("$st $j->{status} $j->{captured} " . code($j), "200 declined 0 $c", "decline $c");
	}
	($st, $j) = charge('tok_auth_required');
	is("$j->{status}", 'requires_action', 'authentication required');
};

subtest 'authorize, capture, void, refund' => sub {
	my (undef, $a) = authorize('tok_ok');
	is("$a->{status} $a->{captured}", 'approved 0', 'authorized');
	($st, $j) = step($a, 'capture', { amount => 1000, currency => 'EUR', reference => ($r = ref32()) });
	is("$st $j->{captured} $j->{capture}{amount}", '201 1000 1000', 'partial capture');
	is((lookup($r, 'captures'))[1]{amount}, 1000, 'look-up of the capture');
	($st, $j) = step($a, 'capture', { amount => 235 });
	is("$st " . code($j), '409 amount_too_large', 'too much');
	($st, $j) = step($a, 'capture', { amount => 5, currency => 'USD' });
	is("$st " . code($j), '400 invalid_request', 'other currency');
	is((step($a, 'capture'))[1]{captured}, 1234, 'the rest');
	is(code((step($a, 'capture'))[1]), 'already_captured', 'nothing left to capture');
	is(code((step($a, 'void'))[1]), 'already_captured', 'no void after capture');
	($st, $j) = step($a, 'refunds', { amount => 1000, currency => 'EUR', reference => ($r = ref32()), reason => 'x' });
	is("$st $j->{status} $j->{amount}", '201 succeeded 1000', 'refund');
	like($j->{id}, qr/^re_/, 'refund id');
	is((lookup($r, 'refunds'))[1]{id}, $j->{id}, 'look-up of the refund');
	is(code((step($a, 'refunds', { amount => 235 }))[1]), 'amount_too_large', 'refund too large');
	is((step($a, 'refunds', { amount => 234 }))[0], 201, 'second refund');
	is(code((step($a, 'refunds'))[1]), 'already_refunded', 'nothing left to refund');
	(undef, $a) = authorize('tok_ok');
	is(code((step($a, 'refunds'))[1]), 'not_captured', 'no refund before capture');
	is((step($a, 'void'))[1]{voided}, JSON::PP::true, 'void');
	is(code((step($a, 'void'))[1]), 'already_voided', 'void twice');
	is(code((step($a, 'capture'))[1]), 'already_voided', 'capture after void');
	(undef, $a) = authorize('tok_decline_fraud');
	is(code((step($a, 'capture'))[1]), 'not_approved', 'capture of a decline');
	is((step({ id => 'ch_0000000000000000' }, 'capture'))[0], 404, 'unknown charge');
	(undef, $a) = authorize('tok_auth_expires_100');
	sleep 0.15;
	is(code((step($a, 'capture'))[1]), 'authorization_expired', 'expired');
	(undef, $a) = authorize('tok_capture_fail');
	is((step($a, 'capture'))[0], 409, 'capture refused');
	(undef, $a) = authorize('tok_void_fail');
	is((step($a, 'void'))[0], 409, 'void refused');
};

subtest 'pending things' => sub {
	(undef, $j) = charge('tok_charge_pending_done_150');
	is("$j->{status} $j->{captured}", 'pending 0', 'pending');
	is((lookup($j->{reference}))[1]{status}, 'pending', 'still pending');
	sleep 0.2;
	my (undef, $l) = lookup($j->{reference});
	is("$l->{status} $l->{captured}", 'approved 1234', 'done');
	(undef, $j) = charge('tok_charge_pending_fail_50');
	sleep 0.1;
	is((lookup($j->{reference}))[1]{status}, 'declined', 'failed');
	for my $case ([ 'tok_refund_pending_done_100', 'pending', 'succeeded', 1234 ],
		[ 'tok_refund_pending_fail_100', 'pending', 'failed', 0 ],
		[ 'tok_refund_later_reversed_100', 'succeeded', 'failed', 0 ])
	{
		my (undef, $c) = charge($case->[0]);
		(undef, $j) = step($c, 'refunds', { reference => ($r = ref32()) });
		is($j->{status}, $case->[1], "$case->[0] at first");
		sleep 0.15;
		is((lookup($c->{reference}))[1]{refunded}, $case->[3], 'refunded amount');
		is((lookup($r, 'refunds'))[1]{status}, $case->[2], 'in the end');
	}
	my (undef, $c) = charge('tok_refund_fail');
	($st, $j) = step($c, 'refunds');
	is("$st $j->{status} " . code($j), '200 failed refund_refused', 'refund refused');
	(undef, $c) = charge('tok_refund_fail_2');
	is(join(' ', map { (step($c, 'refunds'))[1]{status} } 1 .. 3), 'failed failed succeeded', 'refused twice');
};

subtest 'idempotency' => sub {
	$b = encode_json(charge_body('tok_ok'));
	my @k = ('Idempotency-Key' => 'k1');
	my (undef, $first) = call('POST', '/v1/charges', $b, @k);
	($st, $j, $h) = call('POST', '/v1/charges', $b, @k);
	is("$st $j->{id} $h->{'idempotent-replayed'}", "201 $first->{id} true", 'replayed');
	($st, $j) = call('POST', '/v1/charges', charge_body('tok_ok'), @k);
	is("$st " . code($j), '422 idempotency_mismatch', 'other body');
	($st, $j) = call('POST', '/v1/authorizations', $b, @k);
	is($st, 422, 'other operation');
	is(scalar(in_ledger($first->{reference})), 1, 'charged once');
	$b = charge_body('tok_500_before');
	is((call('POST', '/v1/charges', $b, 'Idempotency-Key' => 'k2'))[2]{'idempotent-replayed'}, undef, "500 before, $_") for 1, 2;
	is(scalar(in_ledger($b->{reference})), 0, 'not charged');
	$b = encode_json(charge_body('tok_500_after'));
	($st) = call('POST', '/v1/charges', $b, 'Idempotency-Key' => 'k3');
	is($st, 500, '500 after');
	($st, $j, $h) = call('POST', '/v1/charges', $b, 'Idempotency-Key' => 'k3');
	is("$st $h->{'idempotent-replayed'}", '500 true', '500 after is replayed');
	is(scalar(in_ledger(decode_json($b)->{reference})), 1, 'charged once');
	is((lookup(decode_json($b)->{reference}))[1]{status}, 'approved', 'and to be looked up');
	my $slow = encode_json(charge_body('tok_slow_600'));
	my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
	print $s "POST /v1/charges HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3\r\nIdempotency-Key: k4\r\nContent-Length: " . length($slow) . "\r\n\r\n$slow";
	$s->flush;
	sleep 0.2;
	($st, $j) = call('POST', '/v1/charges', $slow, 'Idempotency-Key' => 'k4');
	is("$st " . code($j), '409 key_in_use', 'key in flight');
	sleep 0.6;
	($st, $j, $h) = call('POST', '/v1/charges', $slow, 'Idempotency-Key' => 'k4');
	is("$st $h->{'idempotent-replayed'}", '201 true', 'replayed afterwards');
	my (undef, $c) = charge('tok_ok');
	my (undef, $one) = step($c, 'refunds', { amount => 100 }, 'Idempotency-Key' => 'k5');
	my (undef, $two) = step($c, 'refunds', { amount => 100 }, 'Idempotency-Key' => 'k5');
	is($two->{id}, $one->{id}, 'a refund is replayed');
	control('settings', { key_lifetime => 0.2 });
	$b = encode_json(charge_body('tok_ok'));
	call('POST', '/v1/charges', $b, 'Idempotency-Key' => 'k6') for 1, 2;
	sleep 0.3;
	call('POST', '/v1/charges', $b, 'Idempotency-Key' => 'k6');
	is(scalar(in_ledger(decode_json($b)->{reference})), 2, 'charged again after the lifetime');
	is((lookup(decode_json($b)->{reference}))[1]{matches}, 2, 'the look-up says so');
	control('settings', { key_lifetime => 86400, idempotency => JSON::PP::false });
	$b = encode_json(charge_body('tok_ok'));
	call('POST', '/v1/charges', $b, 'Idempotency-Key' => 'k7') for 1 .. 3;
	is(scalar(in_ledger(decode_json($b)->{reference})), 3, 'without idempotency each call charges');
	control('settings', { idempotency => JSON::PP::true });
};

subtest 'faults on the wire' => sub {
	# token, how the connection ends, what came, charged
	for my $case (
		[ 'tok_reset_before', 'reset', qr/^$/, 0 ],
		[ 'tok_reset_after', 'reset', qr/^$/, 1 ],
		[ 'tok_timeout_before', 'silent', qr/^$/, 0 ],
		[ 'tok_timeout_after', 'silent', qr/^$/, 1 ],
		[ 'tok_close_headers', 'eof', qr/^HTTP\/1\.1 201 OK\r\nContent-Type: applica$/, 1 ],
		[ 'tok_truncated', 'eof', qr/^HTTP\/1\.1 201 .*Content-Length: (\d+)\r\n\r\n\{"id"/s, 1 ],
		[ 'tok_not_json', 'silent', qr/\r\n\r\n<html>/, 1 ],
		[ 'tok_empty', 'silent', qr/Content-Length: 0\r\n.*\r\n\r\n$|Content-Length: 0\r\n\r\n$/s, 1 ])
	{
		$b = charge_body($case->[0]);
		($how, $bytes) = raw('/v1/charges', $b, 1, 'Idempotency-Key' => "w-$case->[0]");
		is($how, $case->[1], "$case->[0]: $case->[1]");
		like($bytes, $case->[2], 'bytes');
		if ($case->[0] eq 'tok_truncated')
		{
			my ($length) = $bytes =~ /Content-Length: (\d+)/;
			my ($got) = $bytes =~ /\r\n\r\n(.*)/s;
			is(length($got), int($length / 2), 'half of the body');
		}
		is(scalar(in_ledger($b->{reference})), $case->[3], "charged: $case->[3]");
	}
	my $body = encode_json(charge_body('tok_reset_after'));
	raw('/v1/charges', $body, 1, 'Idempotency-Key' => 'w3');
	($st, $j, $h) = call('POST', '/v1/charges', $body, 'Idempotency-Key' => 'w3');
	is("$st $j->{status} $h->{'idempotent-replayed'}", '201 approved true', 'the lost answer is replayed');
	($how, $bytes) = raw('/v1/charges', charge_body('tok_huge'), 30);
	cmp_ok(length($bytes), '>', 100 * 1024 * 1024, 'huge body');
	like(substr($bytes, 0, 600), qr/^HTTP\/1\.1 201 .*\r\n\r\n\{"status":"approved","padding":"x/s, 'that looks like JSON');
	($st, $j) = charge('tok_wrong_amount');
	is("$j->{amount}", 1334, 'wrong amount');
	is((lookup($j->{reference}))[1]{amount}, 1234, 'the look-up is right');
	is((charge('tok_wrong_currency'))[1]{currency}, 'USD', 'wrong currency');
	($st, $j, $h) = charge('tok_429');
	is("$st $h->{'retry-after'}", '429 1', '429');
	($st, $j) = charge('tok_503');
	is("$st " . code($j), '503 not_processed', '503');
	$r = ref32();
	is(join(' ', map { (charge('tok_503_2', reference => $r))[0] } 1 .. 3), '503 503 201', '503 twice, then good');
	my $t = time;
	is((charge('tok_slow_300'))[0], 201, 'slow');
	cmp_ok(time - $t, '>=', 0.3, 'slow indeed');
	my $early = 0;
	for (1 .. 20)
	{
		$t = time;
		charge('tok_slow_20');
		$early++ if time - $t < 0.02;
	}
	is($early, 0, 'and never early, not by a part of a millisecond');
	$b = charge_body('tok_late_400');
	($how) = raw('/v1/charges', $b, 0.1);
	is((lookup($b->{reference}))[0], 404, 'late: unknown at first');
	sleep 0.5;
	is((lookup($b->{reference}))[1]{status}, 'approved', 'late: charged though the client left');
	my (undef, $c) = charge('tok_refund_timeout_after');
	($how) = raw("/v1/charges/$c->{id}/refunds", { reference => ($r = ref32()) }, 0.5);
	is("$how " . (lookup($r, 'refunds'))[1]{status}, 'silent succeeded', 'refund without an answer');
	(undef, $c) = authorize('tok_capture_timeout_after');
	($how) = raw("/v1/charges/$c->{id}/capture", {}, 0.5);
	is("$how " . (lookup($c->{reference}))[1]{captured}, 'silent 1234', 'capture without an answer');
	(undef, $c) = authorize('tok_void_timeout_after');
	($how) = raw("/v1/charges/$c->{id}/void", {}, 0.5);
	is("$how " . (lookup($c->{reference}))[1]{voided}, 'silent 1', 'void without an answer');
};

subtest 'cancellations' => sub {
	my $cancel = sub { return call('POST', '/v1/cancellations', { reference => shift }) };
	(undef, $j) = charge('tok_ok');
	($st, my $x) = $cancel->($j->{reference});
	is("$st $x->{result} $x->{charge}{refunded}", '200 refunded 1234', 'a charge is refunded');
	is(($cancel->($j->{reference}))[1]{result}, 'nothing_to_do', 'once');
	(undef, $j) = authorize('tok_ok');
	is(($cancel->($j->{reference}))[1]{result}, 'voided', 'an authorization is voided');
	(undef, $j) = authorize('tok_ok');
	step($j, 'capture', { amount => 200 });
	(undef, $x) = $cancel->($j->{reference});
	is("$x->{charge}{voided} $x->{charge}{refunded}", '1 200', 'a part is refunded, the rest voided');
	(undef, $j) = charge('tok_charge_pending_done_100');
	is(($cancel->($j->{reference}))[1]{result}, 'stopped', 'a pending one is stopped');
	sleep 0.15;
	is((lookup($j->{reference}))[1]{status}, 'declined', 'for good');
	is(($cancel->($r = ref32()))[1]{result}, 'blocked', 'an unknown one is blocked');
	($st, $j) = charge('tok_ok', reference => $r);
	is("$st " . code($j), '409 reference_cancelled', 'and never accepted');
	$b = charge_body('tok_late_300');
	raw('/v1/charges', $b, 0.1);
	$cancel->($b->{reference});
	sleep 0.4;
	is(scalar(in_ledger($b->{reference})), 0, 'a late copy is refused');
};

subtest 'control' => sub {
	control('reset');
	is(scalar(@{ ledger()->{charges} }), 0, 'reset');
	my $draw = sub {
		is(control('faults', { seed => 7, probabilities => { '500_before' => 0.3, 'decline_fraud' => 0.2 } }), 200, 'faults');
		return join ' ', map { (charge('tok_ok'))[0] } 1 .. 60;
	};
	my $a = $draw->();
	my $n = () = $a =~ /500/g;
	ok($n > 5 && $n < 35, "faults by chance: $n of 60");
	is($draw->(), $a, 'the same seed, the same faults');
	is(control('faults', { probabilities => { nonsense => 1 } }), 400, 'unknown fault');
	control('faults', { probabilities => { '503' => 1 }, operations => ['refund'] });
	my (undef, $c) = charge('tok_ok');
	is($c->{status}, 'approved', 'only the chosen operations');
	is((step($c, 'refunds'))[0], 503, 'the chosen operation');
	control('faults', { delay_ms => { min => 100, max => 150 } });
	my $t = time;
	charge('tok_ok');
	cmp_ok(time - $t, '>=', 0.1, 'delay');
	control('settings', { delay_ms => 0, down => JSON::PP::true });
	($st, $j) = charge('tok_ok');
	is("$st " . code($j), '503 not_processed', 'down');
	control('settings', { down => JSON::PP::false, drop => JSON::PP::true });
	($how, $bytes) = raw('/v1/charges', charge_body('tok_ok'), 2);
	is("$how <$bytes>", 'eof <>', 'drop');
	control('settings', { drop => JSON::PP::false, lookup => JSON::PP::false });
	($st, $j) = lookup($c->{reference});
	is("$st " . code($j), '501 unsupported', 'no look-up');
	control('settings', { lookup => JSON::PP::true });
	is((charge('tok_ok'))[0], 201, 'all well again');
};

subtest 'formbank' => sub {
	control('reset');
	my $form = sub {
		my ($path, %f) = @_;
		my $x = $http->post_form("$base/form/$path", { api_key => 's3', %f });
		my $y = eval { decode_json($x->{content}) } // {};
		return ($x->{status}, $y->{resp}{code} // '', $y->{resp});
	};
	my @pay = (amount => '12.34', cur => 'EUR', tok => 'tok_ok', op => 'sale');
	($st, my $rc, $j) = $form->('pay', @pay, ref => 'f1');
	is("$st $rc $j->{amt} $j->{cur}", '200 00 12.34 EUR', 'sale');
	$form->('pay', @pay, ref => 'f1');
	is(scalar(in_ledger('f1')), 2, 'no idempotency');
	is((in_ledger('f1'))[0]{dialect}, 'formbank', 'dialect in the ledger');
	is(($form->('pay', @pay, ref => 'f2', amount => '12.3'))[2]{amt}, '12.30', 'one decimal');
	is(($form->('pay', @pay, ref => 'f2', amount => '500', cur => 'JPY'))[2]{amt}, '500', 'no decimals');
	is(($form->('pay', @pay, ref => 'f2', amount => '1.234', cur => 'KWD'))[2]{amt}, '1.234', 'three decimals');
	for my $case (
		[ '401 58', api_key => 'no' ], [ '400 30', amount => '1.234' ], [ '400 30', amount => '-1' ],
		[ '400 30', tok => 'tok_x' ], [ '400 30', op => 'x' ],
		[ '402 51', tok => 'tok_decline_insufficient_funds' ], [ '402 05', tok => 'tok_decline_do_not_honor' ],
		[ '402 1A', tok => 'tok_auth_required' ], [ '200 96', tok => 'tok_500_before' ],
		[ '200 96', tok => 'tok_500_after', ref => 'f96' ], [ '200 91', tok => 'tok_503' ],
		[ '200 91', tok => 'tok_429' ], [ '200 09', tok => 'tok_charge_pending_done_50' ])
	{
		my ($want, @f) = @$case;
		($st, $rc) = $form->('pay', @pay, ref => 'f3', @f);
		is("$st $rc", $want, "@f");
	}
	is(scalar(in_ledger('f96')), 1, '96 may have been processed');
	my %card = (amount => '1', cur => 'EUR', op => 'sale', exp => '12/39', cvc => '123', ref => 'f4');
	is(($form->('pay', %card, pan => '4111111111111111'))[2]{last4}, '1111', 'card');
	is(($form->('pay', %card, pan => '4000000000009995'))[1], '51', 'card declined');
	(undef, undef, my $a) = $form->('pay', @pay, op => 'auth', ref => 'f5');
	is(($form->('settle', txn => $a->{txn}, amount => '10.00'))[2]{amt}, '10.00', 'settle');
	is(($form->('settle', txn => $a->{txn}, amount => '10.00'))[1], '61', 'settle too much');
	is(($form->('credit', txn => $a->{txn}, amount => '4.00'))[1], '00', 'credit');
	is(($form->('cancel', txn => $a->{txn}))[1], '12', 'cancel after settlement');
	(undef, undef, $a) = $form->('pay', @pay, op => 'auth', ref => 'f6');
	is(($form->('cancel', txn => $a->{txn}))[1], '00', 'cancel');
	is(($form->('settle', txn => 'ch_x'))[0], 404, 'unknown transaction');
	($how) = raw('/form/pay', 'api_key=s3&amount=1.00&cur=EUR&op=sale&ref=f7&tok=tok_reset_after', 1);
	is($how . scalar(in_ledger('f7')), 'reset1', 'reset after');
};

subtest 'ledger and log' => sub {
	control('reset');
	charge('', source => { card => { number => '4111111111111111', expiry_month => 1, expiry_year => 2099 } });
	(undef, $j) = call('POST', '/v1/charges', charge_body('tok_ok'), 'Idempotency-Key' => 'lk', 'X-Correlation-Id' => '4111111111111111');
	lookup($j->{reference});
	my (undef, undef, undef, $raw) = call('GET', '/ledger');
	my $l = decode_json($raw);
	is($l->{requests}, 3, 'requests');
	is("$l->{requests_by_operation}{charge} $l->{requests_by_operation}{lookup}", '2 1', 'by operation');
	is($l->{charges}[1]{idempotency_key}, 'lk', 'key');
	my (undef, $log, undef, $rawlog) = call('GET', '/ledger/log?limit=2');
	is(scalar(@{ $log->{log} }), 2, 'limit');
	is("$log->{log}[1]{method} $log->{log}[1]{path} $log->{log}[1]{idempotency_key} $log->{log}[1]{status} $log->{log}[1]{last4} $log->{log}[1]{correlation_id}",
		'POST /v1/charges lk 201 4242 ************1111', 'entry');
	unlike($raw . (call('GET', '/ledger/log?limit=9'))[3], qr/4111111111111111/, 'no card number');
};

subtest 'many slow calls at once' => sub {
	my $want = 1000;
	my $t = time;
	my @socks;
	for my $i (1 .. $want)
	{
		my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or last;
		my $c = encode_json(charge_body('tok_slow_1500'));
		syswrite($s, "POST /v1/charges HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3\r\nContent-Length: " . length($c) . "\r\n\r\n$c");
		push @socks, $s;
	}
	my $good = 0;
	for my $s (@socks)
	{
		sysread($s, my $x, 4096);
		$good++ if $x =~ /^HTTP\/1\.1 201/;
	}
	is($good, scalar(@socks), scalar(@socks) . ' slow calls answered');
	cmp_ok(time - $t, '<', $ENV{SLOW_MACHINE} ? 60 : 6, 'side by side');
};

# A bank whose answers are not what they seem
{
	my $settings = sub { ok(eval { $http->post("$base/control/settings", { content => encode_json({@_}) })->{success} }, join(" ", "settings", map { $_ // "null" } @_)) };
	my $raw = sub { my ($token, $ref) = @_; my %b = (%{ charge_body($token) }, $ref ? (reference => $ref) : ());
		return ($http->post("$base/v1/charges", { headers => { Authorization => 'Bearer s3' }, content => encode_json(\%b) })->{content}, $b{reference}) };
	my $look = sub { return $http->get("$base/v1/charges?reference=$_[0]", { headers => { Authorization => 'Bearer s3' } })->{content} };
	my ($a, $a_ref) = $raw->('tok_ok');
	my ($c, $c_ref) = $raw->('tok_other_answer');
	like($c, qr/"reference":"$a_ref"/, 'other_answer: the document of another payment');
	like($look->($c_ref), qr/"reference":"$c_ref"/, 'though it has charged');
	($c, $c_ref) = $raw->('tok_no_ids');
	like($c, qr/^\{"status":"approved"/, 'no_ids: no id');
	like($look->($c_ref), qr/"id":"ch_/, 'the look-up has it');
	like(($raw->('tok_double_keys'))[0], qr/"status":"declined","status":"approved"/, 'double_keys: two statements');
	$settings->(lookup_amounts => JSON::PP::false, numeric_ids => JSON::PP::true);
	unlike($look->($a_ref), qr/captured|refunded|voided/, 'lookup_amounts false: a look-up without amounts');
	($c, $c_ref) = $raw->('tok_ok');
	like($c, qr/"id":9\d{24},.*"captured"/, 'numeric_ids: 25 digits; only look-ups go without amounts');
	my ($id) = $c =~ /"id":(\d+)/;
	is((call('POST', "/v1/charges/$id/refunds", encode_json({ amount => 1 })))[0], 201, 'by which it is found');
	$settings->(lookup_ignores_reference => JSON::PP::true, over_refunds => JSON::PP::true, lookup_amounts => JSON::PP::true);
	like($look->($a_ref), qr/"reference":"$c_ref"/, 'lookup_ignores_reference: the newest charge');
	is((call('POST', "/v1/charges/$id/refunds", encode_json({ amount => 1000000 })))[0], 201, 'over_refunds: more than there was');
	$settings->(lookup_ignores_reference => JSON::PP::false, over_refunds => JSON::PP::false, numeric_ids => JSON::PP::false, refunds_by_void => JSON::PP::true);
	($c, $c_ref) = $raw->('tok_ok');
	($id) = $c =~ /"id":"(\w+)"/;
	my ($amount) = $c =~ /"amount":(\d+)/;
	is((call('POST', "/v1/charges/$id/refunds", encode_json({ amount => $amount + 0 })))[0], 201, 'refunds_by_void: all of it');
	like($look->($c_ref), qr/"captured":$amount,"refunded":0,"voided":true/, 'is voided');
	$settings->(refunds_by_void => JSON::PP::false, unsettled => JSON::PP::true);
	($c, $c_ref) = $raw->('tok_ok');
	($id) = $c =~ /"id":"(\w+)"/;
	is((call('POST', "/v1/charges/$id/refunds", encode_json({ amount => 1 })))[1]{error}{code}, 'not_settled', 'unsettled: no refund');
	is((call('POST', "/v1/charges/$id/void"))[1]{voided}, JSON::PP::true, 'but a void');
	$settings->(unsettled => JSON::PP::false);
	unlike($look->($a_ref), qr/livemode/, 'it says nothing of whether money moves');
	$settings->(livemode => JSON::PP::false);
	like(($raw->('tok_ok'))[0], qr/^\{"livemode":false,/, 'livemode false: a test, says a charge');
	like($look->($a_ref), qr/^\{"livemode":false,/, 'and a look-up');
	is((call('GET', '/v1/ping'))[1]{livemode}, JSON::PP::false, 'and a ping');
	$settings->(livemode => JSON::PP::true);
	like($look->($a_ref), qr/^\{"livemode":true,/, 'livemode true: real money');
	$settings->(livemode => undef);
	unlike($look->($a_ref), qr/livemode/, 'and nothing again');
}

# Notifications: of all that is decided, again until they are taken.
{
	my $bodies = sub { map { my $b = decode_json($_->{body}); "$b->{type} $b->{amount}" } @{ (call('GET', '/notifications'))[1]{notifications} } };
	my $take = sub { call('POST', '/control/taken', encode_json({ numbers => [ map { $_->{number} } @{ (call('GET', '/notifications'))[1]{notifications} } ] })) };
	call('POST', '/control/reset', '{}');
	call('POST', '/control/settings', encode_json({ notifies => 'key', accepts => [ 'charge', 'refund' ] }));
	my ($status, $c) = charge('tok_ok');
	is($c->{status}, 'pending', 'accepts: a charge waits');
	is_deeply([ $bodies->() ], [], 'and nothing is said of it');
	call('POST', '/control/settle', encode_json({ to => 'succeeded' }));
	is_deeply([ $bodies->() ], ['charge.approved 1234'], 'until it is decided');
	is_deeply([ $bodies->() ], ['charge.approved 1234'], 'it comes again');
	my ($n) = @{ (call('GET', '/notifications'))[1]{notifications} };
	my ($at, $mac) = $n->{headers}{'Notification-Signature'} =~ /^t=(\d+),v1=([0-9a-f]{64})$/;
	is($mac, hmac_sha256_hex("$at.$n->{body}", 'key'), 'signed');
	$take->();
	is_deeply([ $bodies->() ], [], 'until it is taken');
	ok(!(call('GET', '/notifications?limit=0'))[1]{left}, 'and nothing is left');
	my $dispute = sub { return (call('POST', '/control/dispute', encode_json({ charge => $c->{id}, @_ })))[0] };
	is($dispute->(step => $_, amount => 200), 200, "a dispute: $_") for qw(withdrawn withdrawn reinstated);
	is_deeply([ $bodies->() ], [ 'dispute.withdrawn 200', 'dispute.withdrawn 200', 'dispute.reinstated 200' ], 'is told of each time');
	is_deeply([ map { @$_{qw(withdrawn reinstated)}, "@{ $_->{steps} }" } @{ (call('GET', '/ledger'))[1]{disputes} } ], [ 200, 200, 'withdrawn reinstated' ], 'and counts once');
	is($dispute->(step => 'paid'), 400, 'there is no such step');
	$take->();
	call('POST', '/control/settings', encode_json({ accepts => [] }));
	charge('tok_notify_twice');
	$take->();
	is_deeply([ $bodies->() ], ['charge.approved 1234'], 'twice: once more after it was taken');
	$take->();
	charge('tok_notify_forged');
	is_deeply([ $bodies->() ], [ 'charge.declined 1234', 'charge.approved 1234' ], 'forged: the opposite before');
	is_deeply([ $bodies->() ], ['charge.approved 1234'], 'which comes once');
	$take->();
	charge('tok_notify_wrong_amount');
	is_deeply([ $bodies->() ], ['charge.approved 1334'], 'of another amount');
	$take->();
	charge('tok_notify_success_after_failure');
	is_deeply([ $bodies->() ], ['charge.declined 1234'], 'a failure ...');
	$take->();
	is_deeply([ $bodies->() ], ['charge.approved 1234'], '... and a success after it');
	$take->();
	charge('tok_notify_late_60000');
	is_deeply([ $bodies->() ], [], 'late');
	call('POST', '/control/reset', '{}');
}

my ($s1) = (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port));
$b = encode_json(charge_body('tok_timeout_after'));
print $s1 "POST /v1/charges HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3\r\nContent-Length: " . length($b) . "\r\n\r\n$b";
$s1->flush;
sleep 0.2;
is(stop(), 0, 'ends with 0 on SIGTERM, though a call is held');

start('--no-idempotency', '--no-lookup', '--delay-ms', 120, '--seed', 5, '--threads', 4);
$b = encode_json(charge_body('tok_ok'));
my $t0 = time;
call('POST', '/v1/charges', $b, 'Idempotency-Key' => 'z') for 1, 2;
cmp_ok(time - $t0, '>=', 0.24, '--delay-ms');
is(scalar(@{ ledger()->{charges} }), 2, '--no-idempotency');
is((lookup('abc'))[0], 501, '--no-lookup');
is(stop(), 0, 'ends with 0');
start('--key-lifetime', 0);
call('POST', '/v1/charges', $b, 'Idempotency-Key' => 'z') for 1, 2;
is(scalar(@{ ledger()->{charges} }), 2, '--key-lifetime');
is(stop(), 0, 'ends with 0');

done_testing();
