# Keys and certificates change while the server runs: files are taken up without a reload, what is withdrawn is trusted no longer, and a key that is no
# good says so.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('keys', debug => 1, conf => "restart_after_crash = on\nfsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '1s'\n");
my $secrets = $node->basedir . '/secrets';
my $tls = $node->basedir . '/tls';
mkdir $tls;

sub make_certificate
{
	my ($name) = @_;
	return system(qq(cd '$tls' && openssl req -x509 -newkey rsa:2048 -nodes -keyout $name.key -out $name -days 2 -subj /CN=$name -addext subjectAltName=IP:127.0.0.1 >/dev/null 2>&1)) == 0;
}

my $has_tls = make_certificate('cert') && rename "$tls/cert.key", "$tls/key";
my $bank = bank_start($has_tls ? ('--tls', $tls) : ());
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }
sub bank_health { my ($of, $what) = @_; return sql("SELECT $what FROM pgw.health() WHERE check_name = 'bank:$of'") }

sub add_bank
{
	my ($name, %c) = @_;
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority, settings) VALUES ('$name', 'json', '" . ($c{url} // $bank->{url}) . "', '" . ($c{secret} // $name) . "', 500, '" . ($c{settings} // '{}') . "')");
}

sub put_secret
{
	my ($name, $content) = @_;
	open my $f, '>:raw', "$secrets/.new" or die $!;
	print $f $content;
	close $f;
	chmod 0600, "$secrets/.new";
	rename "$secrets/.new", "$secrets/$name" or die $!;
}

# Pays until it is captured; how many payments that took.
sub captured_after
{
	my ($prefix, $of, %a) = @_;
	my $n = 0;
	return wait_until(sub { ($node->psql('postgres', pay($prefix . $n++, bank => $of, %a)))[1] eq 'captured' }, 20) ? $n : 0;
}

part($node, 'rotation', sub {
	put_secret('rotated', "test-secret\n");
	add_bank('rotated');
	is(sql(pay('rotated', bank => 'rotated')), 'captured', 'the key is good');
	put_secret('rotated', "a-wrong-one\n");
	ok(wait_until(sub { sql(pay('rotated w' . time, bank => 'rotated')) eq 'failed' }, 20), 'another one in its file is used by itself');
	put_secret('rotated', "test-secret\n");
	ok(captured_after('rotated b', 'rotated'), 'and the good one again');
	unlink "$secrets/rotated" or die $!;
	ok(wait_until(sub { ($node->psql('postgres', pay('rotated m' . time, bank => 'rotated')))[2] =~ /secret_missing/ }, 20), 'a file that is gone is gone');
	put_secret('rotated', "test-secret\n");
	ok(captured_after('rotated c', 'rotated'), 'until it is back');
});

part($node, 'mounted', sub {
	mkdir "$secrets/..day1";
	mkdir "$secrets/..day2";
	put_secret('..day1/mounted', 'test-secret');
	put_secret('..day2/mounted', 'wrong');
	symlink '..day1', "$secrets/..data" or die $!;
	symlink '..data/mounted', "$secrets/mounted" or die $!;
	add_bank('mounted');
	is(sql(pay('mounted', bank => 'mounted')), 'captured', 'links that end in the folder are followed');
	is(bank_health('mounted', 'status'), 'ok', 'and bank_health() has nothing against them');
	symlink '..day2', "$secrets/..data.new" or die $!;
	rename "$secrets/..data.new", "$secrets/..data" or die $!;
	ok(wait_until(sub { sql(pay('mounted w' . time, bank => 'mounted')) eq 'failed' }, 20), 'another folder in its place is taken up');

	append_to_file($node->basedir . '/outside', 'test-secret');
	chmod 0600, $node->basedir . '/outside';
	symlink '../outside', "$secrets/escaped" or die $!;
	add_bank('escaped');
	like(($node->psql('postgres', pay('escaped', bank => 'escaped')))[2], qr/secret_missing/, 'a link that leads out of the folder is not');
	like(bank_health('escaped', "details->>'secret'"), qr/leads out of pgw\.secrets_dir/, 'which bank_health() says');
});

part($node, 'not a key', sub {
	my %contents = (blank => [ " test-secret\n", qr/blanks before or after/ ], bom => [ "\xEF\xBB\xBFtest-secret", qr/byte order mark/ ],
		nbsp => [ "test-secret\xC2\xA0", qr/not printable ASCII/ ], lines => [ "# key\ntest-secret\n", qr/several lines/ ], empty => [ "\n", qr/empty/ ]);
	for my $name (sort keys %contents)
	{
		my ($content, $text) = @{ $contents{$name} };
		put_secret($name, $content);
		my $seen = -s $node->logfile;
		add_bank($name);
		like(($node->psql('postgres', pay("content $name", bank => $name)))[2], qr/secret_missing/, "$name: nothing is sent");
		like(bank_health($name, "status || ' ' || (details->>'secret') || ' ' || (details->>'secret_file')"), qr/^error .*$text.* $name$/, "$name: bank_health() says why, and names the file");
		ok(wait_until(sub { slurp_file($node->logfile, $seen) =~ /WARNING:  pgw: the secret of bank "$name" cannot be used: .*$text.*\n.*DETAIL:  File "$name"/ }, 10), "$name: so does the log");
	}
	put_secret('blank', "test-secret\n");
	ok(wait_until(sub { bank_health('blank', "details->>'secret'") eq 'readable' }, 20), 'mended: bank_health() sees it without a payment');
	is(sql(pay('mended', bank => 'blank')), 'captured', 'and it is used');
	sql("DELETE FROM pgw.banks WHERE name IN ('blank', 'bom', 'nbsp', 'lines', 'empty', 'escaped')");
});

# The bank refuses the key: an alert at once, and nobody's payment is lost by it.
part($node, 'refused', sub {
	put_secret('refused', "test-secret\n");
	add_bank('refused');
	is(sql(pay('refused 1', bank => 'refused')), 'captured', 'the key is good');
	is(sql(pay('refused 2', bank => 'refused', capture => 'manual')), 'authorized', 'also for an authorization');
	my $caller = PgwSession->new($node);
	is($caller->query('BEGIN; ' . pay('refused 3', bank => 'refused')), 'captured', 'a third caller is not decided yet');
	put_secret('refused', "revoked\n");
	my $id = 'refusedw0';
	ok(wait_until(sub { $id++; sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, bank => 'refused') . " WHERE error_code = 'bank_credentials_rejected' AND retryable") eq 'failed' }, 20),
		'refused: the payment failed, and may be tried again');
	like(bank_health('refused', "status || ' ' || advice"), qr/^error The bank refuses its key/, 'health() says so');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'credentials_rejected' AND bank = 'refused' AND message ~ 'HTTP status 401.*\"refused\"'") eq 1 }, 10), 'there is an alert');

	# what follows a charge waits for the key
	my $capture = sql("SELECT o.transaction_id FROM pgw.find_payment('refused 2') f, pgw.capture_payment(f.payment_id, 'refused c') o");
	my $refund = sql("SELECT o.transaction_id FROM pgw.find_payment('refused 1') f, pgw.refund_payment(f.payment_id, 'refused r') o");
	$caller->query('ROLLBACK');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 3 FROM pgw.payment_transactions t WHERE client_request_id IN ('refused c', 'refused r', 'refused 3')
		AND EXISTS (SELECT FROM pgw.transaction_events e WHERE e.transaction_id = t.transaction_id AND e.event_type IN ('BankRetryScheduled', 'RefundRetryScheduled', 'BankOutcomeUnknown'))"),
		'a capture, a refund and a give-back are put off') or diag(join "\n", map { events($node, $_) } 'refused c', 'refused r', 'refused 3');
	put_secret('refused', "test-secret\n");
	ok($node->poll_query_until('postgres', "SELECT count(*) = 3 FROM pgw.payment_transactions WHERE client_request_id IN ('refused c', 'refused r', 'refused 3') AND status IN ('Completed', 'Refunded')"),
		'and done with the right key') or diag(join "\n", map { events($node, $_) } 'refused c', 'refused r', 'refused 3');
	is(sql(pay('refused again', bank => 'refused')), 'captured', 'the payment, tried again, is paid');
	is(bank_health('refused', 'status'), 'ok', 'health() is content');
	is_sound($node, $bank, 'sound');
});

# An authority that is withdrawn, while a connection stands that its certificate opened.
SKIP: {
	skip 'no openssl', 1 unless $has_tls;
	part($node, 'withdrawn authority', sub {
		my $url = 'https://127.0.0.1:' . (0 + slurp_file("$tls/port"));
		make_certificate('other') or die 'no other certificate';
		system("cp '$tls/cert' '$tls/trusted'");
		put_secret('tls', 'test-secret');
		add_bank('tls', url => $url, settings => qq({"ca_file": "$tls/trusted"}));
		is(sql(pay('tls', bank => 'tls')), 'captured', 'trusted, and a connection stands');
		system("cp '$tls/other' '$tls/.new' && mv '$tls/.new' '$tls/trusted'");
		ok(wait_until(sub { my ($rc, $out) = $node->psql('postgres', pay('tls w' . time, bank => 'tls', timeout => '3s')); $out eq 'failed' }, 20), 'withdrawn: nothing is sent any more');
		is(sql("SELECT string_agg(DISTINCT error_code, ',') FROM pgw.payment_transactions WHERE client_request_id ~ '^tls w' AND status = 'Failed'"), 'bank_unavailable', 'for that reason');
		system("cp '$tls/cert' '$tls/.new' && mv '$tls/.new' '$tls/trusted'");
		ok(captured_after('tls b', 'tls', timeout => '5s'), 'trusted again');
	});
}

$node->stop('fast');
unlike(slurp_file($node->logfile), qr/test-secret|revoked/, 'no key is in the log');
done_testing();
