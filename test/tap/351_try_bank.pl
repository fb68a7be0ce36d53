# pgw.try_bank(): the worker calls a bank for nothing but its answer, and says what is wrong with address, certificate, key and clock, one trial a
# second, in a bounded time. No money moves, and nothing is written.
use strict;
use warnings;
use lib 'test/lib';
use IO::Socket::INET;
use IPC::Run;
use JSON::PP;
use PgwScriptedBank;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('try_bank', conf => "fsync = off\npgw.breaker_failures = 3\npgw.breaker_cooldown = '10min'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub rows { return sql("SELECT count(*) FROM pgw.payments UNION ALL SELECT count(*) FROM pgw.payment_transactions UNION ALL SELECT count(*) FROM pgw.transaction_events") }

sub http_date { return strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime $_[0]) }

# The checks that a call makes, as "name status"; and the message of one of them.
my %message;
sub try
{
	my ($name, $timeout) = @_;
	%message = map { my ($check, $status, $text) = split /\|/, $_, 3; $check => "$status $text" }
	  split /\n/, sql("SELECT check_name, status, concat_ws(' ', message, details) FROM pgw.try_bank('$name', '" . ($timeout // '30s') . "') WHERE check_name IN ('reach', 'tls', 'credentials', 'clock')");
	return join ', ', map { exists $message{$_} ? "$_ " . ($message{$_} =~ /^(\w+)/)[0] : () } qw(reach tls credentials clock);
}

# A bank that answers what a document says, whatever it is asked; and its connector, with these operations beside the charge.
my $yes = { rules => [ { status => 200, when => { '/ok' => JSON::PP::true }, outcome => 'approved' }, { status => 401, outcome => 'rejected' } ], fields => { amount => '/a', currency => '/c' } };
my $found = { rules => [ { status => 200, when => { '/ok' => JSON::PP::true }, outcome => 'approved' }, { status => 404, when => { '/ok' => JSON::PP::false }, outcome => 'not_found' } ],
	fields => { reference => '/ref' } };
my %operations = (ping => { method => 'GET', path => '/ping', answer => { rules => $yes->{rules} } },
	lookup_charge => { method => 'GET', path => '/charges?ref={{original_ref}}', answer => $found });
sub dialect
{
	my ($name, $answer, @operations) = @_;
	add_dialect($node, scripted_bank($answer), $name, { v => 1, capabilities => { tokens => JSON::PP::true }, operations => {
		charge => { method => 'POST', path => '/charge', body => { a => '{{amount}}', r => '{{transaction_ref}}', t => '{{token}}' }, answer => $yes },
		map { $_ => $operations{$_} } @operations } }, priority => 900);
}

part($node, 'a bank that is well', sub {
	my $before = rows();
	is(try('bank'), 'reach ok, tls skipped, credentials ok, clock ok', 'it is there, takes the key, and its clock is right');
	like($message{reach}, qr/"operation": "ping"/, 'it was asked for a ping');
	is(join(',', map { $_->{operation} } @{ bank_log($bank) }), 'ping', 'and for nothing else');
	is(rows(), $before, 'nothing is written');
	is(sql("SELECT string_agg(check_name || ' ' || status, ', ' ORDER BY check_name) FROM pgw.try_bank('bank') WHERE check_name NOT IN ('reach', 'tls', 'credentials', 'clock')"),
		'connector ok, lost capture ok, lost charge ok, lost refund ok, lost void ok, rollback ok', 'what lost answers cost there: nothing');
	like(sql("SELECT message FROM pgw.try_bank('test') WHERE check_name = 'reach'"), qr/^The bank answers/, 'the bank inside, too');
});

part($node, 'clock and key', sub {
	dialect('punctual', sub { return { document => { ok => JSON::PP::true }, headers => [ 'Date: ' . http_date(time) ] } }, 'ping');
	is(try('punctual'), 'reach ok, tls skipped, credentials ok, clock ok', 'a clock that is right');
	dialect('late', sub { return { document => { ok => JSON::PP::true }, headers => [ 'Date: ' . http_date(time - 600) ] } }, 'ping');
	is(try('late'), 'reach ok, tls skipped, credentials ok, clock warning', 'one that is ten minutes slow');
	like($message{clock}, qr/"bank_ahead_seconds": -(59\d|60\d)\b/, 'by so much');
	like(sql("SELECT status, advice, details->>'clock_ahead_seconds' FROM pgw.health() WHERE check_name = 'bank:late'"), qr/^warning\|The bank's clock.*\|-(59\d|60\d)$/, 'health() says so, too');
	like(sql("SELECT status, details->>'clock_ahead_seconds' FROM pgw.health() WHERE check_name = 'bank:punctual'"), qr/^ok\|0$/, 'and of the other that its clock is right');
	dialect('closed', sub { return { status => 401, document => {} } }, 'ping');
	is(try('closed'), 'reach ok, tls skipped, credentials error, clock skipped', 'a key that is refused');
	dialect('other', sub { return { status => 200, document => { welcome => 1 } } }, 'ping');
	is(try('other'), 'reach ok, tls skipped, credentials warning, clock skipped', 'an answer that nobody understands');
	dialect('looked', sub { return { status => 404, document => { ok => JSON::PP::false } } }, 'lookup_charge');
	is(try('looked'), 'reach ok, tls skipped, credentials ok, clock skipped', 'without a ping it is asked for a charge that there is not');
	like($message{credentials}, qr/"operation": "lookup_charge"/, 'by a look-up');
	dialect('liar', sub { my ($request) = @_; return { document => { ok => JSON::PP::true, ref => $request->{fields}{ref} } } }, 'lookup_charge');
	is(try('liar'), 'reach ok, tls skipped, credentials error, clock skipped', 'and must not show it');
	dialect('mute', sub { return { document => {} } });
	is(try('mute'), 'reach error', 'with neither it is not asked at all');
	like($message{reach}, qr/bank_operation_not_supported.*neither "ping" nor a look-up/, 'which is said');
});

part($node, 'a setting that is missing', sub {
	add_dialect($node, scripted_bank(sub { return { document => { ok => JSON::PP::true } } }), 'shop', { v => 1, capabilities => { tokens => JSON::PP::true }, operations => {
		charge => { method => 'POST', path => '/charge', body => { a => '{{amount}}', r => '{{transaction_ref}}', t => '{{token}}' }, answer => $yes },
		ping => $operations{ping}, lookup_charge => { method => 'GET', path => '/{{settings.shop}}/{{original_ref}}', answer => $found } } }, priority => 900);
	my $connector = "SELECT status || ' ' || message FROM pgw.try_bank('shop') WHERE check_name = 'connector'";
	like(sql($connector), qr/^error lookup_charge .*\{\{settings\.shop\}\}/, 'what could not be looked up for want of it is told');
	sql(q(UPDATE pgw.banks SET settings = '{"shop": "s1"}' WHERE name = 'shop'));
	unlike(sql($connector), qr/^error/, 'and no more when it is there');
});

part($node, 'no answer', sub {
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('nobody', 'json', 'http://127.0.0.1:$port', 'bank', 901), ('keyless', 'json', '$bank->{url}', 'nofile', 902)");
	is(try('nobody'), 'reach error, tls skipped', 'nobody there') for 1 .. 3;
	like($message{reach}, qr/could not connect/, 'which is said');
	is(try('nobody'), 'reach error', 'what is left alone is not called');
	like($message{reach}, qr/bank_unavailable.*left alone/, 'which is said, too');
	is(try('keyless'), 'reach error', 'a key that cannot be read');
	like($message{reach}, qr/secret_missing/, 'which is said');
	dialect('slow', sub { sleep 20; return { document => {} } }, 'ping');
	my $began = time;
	is(try('slow', '1s'), 'reach error', 'one that takes its time');
	in_time(time - $began, 10, 'is not waited for longer than the call says');
	my $s = PgwSession->new($node);
	$s->run("SET statement_timeout = '300ms'");
	for (1 .. 9) { $s->run("SELECT * FROM pgw.try_bank('slow')"); is($s->state, '57014', 'a call that is cancelled') if $_ == 1 }
	is(try('bank'), 'reach ok, tls skipped, credentials ok, clock ok', 'leaves its place to others');
});

part($node, 'sessions that are terminated', sub {
	my @s = map { PgwSession->new($node) } 1 .. 8;
	$_->send("SELECT 1 FROM pgw.try_bank('slow', '1min') LIMIT 1") for @s;
	my $waiting = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND wait_event_type = 'Extension'";
	ok(wait_until(sub { sql("SELECT count(*) $waiting") == @s }, 60), 'all places are taken');
	# By pid: a backend that looks at the clock in this moment does not wait, and would be left out.
	sql('SELECT pg_terminate_backend(pid, 60000) FROM unnest(ARRAY[' . join(',', map { $_->backend } @s) . ']) AS pid');
	$_->wait for @s;
	is(join(' ', map { $_->state } @s), join(' ', ('08006') x @s), 'their sessions are ended');
	is(try('bank'), 'reach ok, tls skipped, credentials ok, clock ok', 'and leave them to others');
});

part($node, 'pacing', sub {
	my @s = map { PgwSession->new($node) } 1 .. 3;
	my $began = time;
	$_->send("SELECT 1 FROM pgw.try_bank('bank') LIMIT 1") for @s;
	$_->wait for @s;
	cmp_ok(time - $began, '>=', 2, 'three at once take two seconds: one leaves in each');
});

part($node, 'certificates', sub {
	my $dir = PostgreSQL::Test::Utils::tempdir();
	system("cd '$dir' && openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -days 2 -subj /CN=the-banks-own -addext subjectAltName=IP:127.0.0.1 >/dev/null 2>&1") == 0 or die 'openssl';
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $server = IPC::Run::start([ 'openssl', 's_server', '-quiet', '-www', '-accept', "127.0.0.1:$port", '-cert', "$dir/c.pem", '-key', "$dir/k.pem" ], '<', \undef, '>', \my $out, '2>', \my $err);
	wait_until(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) }, 60) or die 'no server';
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority, settings) VALUES ('trusted', 'json', 'https://127.0.0.1:$port', 'bank', 903, '{\"ca_file\": \"$dir/c.pem\"}'),
		('untrusted', 'json', 'https://127.0.0.1:$port', 'bank', 904, '{}')");
	is(try('trusted'), 'reach ok, tls ok, credentials warning, clock skipped', 'a certificate that is trusted');
	like($message{tls}, qr/"issuer": "CN ?= ?the-banks-own"/, 'whose it is');
	like($message{tls}, qr/"expires": "\w+ +\d+ [\d:]+ \d{4} GMT"/, 'and for how long');
	is(try('untrusted'), 'reach error, tls error', 'one that is not');
	like($message{tls}, qr/^error certificate not accepted/, 'which is said');
	$server->kill_kill;
});

part($node, 'arguments', sub {
	my $s = PgwSession->new($node);
	for my $call ("'json'", "NULL", "'bank', '0s'", "'bank', '2min'", "'bank', NULL")
	{
		$s->run("SELECT * FROM pgw.try_bank($call)");
		is($s->state, 'PW400', "try_bank($call)");
	}
	sql("ALTER SYSTEM SET pgw.worker_mode = 'paused'; SELECT pg_reload_conf()");
	ok(wait_until(sub { $s->run("SELECT * FROM pgw.try_bank('bank', '2s')"); return $s->state eq 'PW500' && $s->err =~ /paused/ }, 20), 'a worker that is paused says so');
	sql("ALTER SYSTEM RESET pgw.worker_mode; SELECT pg_reload_conf()");
	is(sql('SELECT count(*) FROM pgw.payments'), 0, 'and no payment was made by all that');
});

$node->stop('fast');
done_testing();
