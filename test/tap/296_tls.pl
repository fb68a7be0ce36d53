# To the right bank, by TLS 1.2 at least, or not at all: what a bank or somebody in its place may show, and a server whose environment is full of traps.
use strict;
use warnings;
use lib 'test/lib';
use Fcntl qw(O_NONBLOCK O_RDWR);
use IO::Select;
use IO::Socket::INET;
use POSIX qw(mkfifo);
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();

# Whoever connects here, or finds a file written, has been led astray by the environment.
my $trap = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1') or die $!;
my $trap_url = 'http://127.0.0.1:' . $trap->sockport;
sub is_anything_followed { return IO::Select->new($trap)->can_read(0) ? 1 : 0 }

sub openssl { system("cd '$dir' && openssl @_ >/dev/null 2>&1") == 0 or die "openssl @_" }

sub authority
{
	my ($name) = @_;
	openssl("req -x509 -newkey rsa:2048 -nodes -keyout $name.key -out $name.pem -days 2 -subj /CN=$name");
}

# Newer ones refuse a negative number of days, older ones know no dates.
my $expired = `openssl x509 -help 2>&1` =~ /-not_after/ ? '-not_before 20200101000000Z -not_after 20200102000000Z' : '-days -1';

sub certificate
{
	my ($name, $by, $alt, $validity) = @_;
	append_to_file("$dir/$name.ext", "subjectAltName=$alt\n");
	openssl("req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name");
	openssl("x509 -req -in $name.csr -CA $by.pem -CAkey $by.key -CAcreateserial -out $name.pem $validity -extfile $name.ext");
}
authority($_) for qw(ours another);
certificate('good', 'ours', 'IP:127.0.0.1', '-days 2');
certificate('expired', 'ours', 'IP:127.0.0.1', $expired);
certificate('elsewhere', 'ours', 'DNS:bank.example', '-days 2');
certificate('stranger', 'another', 'IP:127.0.0.1', '-days 2');
append_to_file("$dir/weak.cnf", "openssl_conf = c\n[c]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\nMinProtocol = TLSv1\nCipherString = DEFAULT:\@SECLEVEL=0\n");
append_to_file("$dir/.netrc", "machine 127.0.0.1 login nobody password netrcsecret\n");
append_to_file("$dir/.curlrc", "proxy = $trap_url\n");
chmod 0600, "$dir/.netrc";

my %traps = ((map { $_ => $trap_url } qw(http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY)), no_proxy => '', NO_PROXY => '', SSL_CERT_FILE => "$dir/ours.pem",
	CURL_CA_BUNDLE => "$dir/ours.pem", SSLKEYLOGFILE => "$dir/keylog", CURL_SSL_BACKEND => 'none', OPENSSL_CONF => "$dir/weak.cnf", HOME => $dir, CURL_HOME => $dir);
my $node = pgw_node('tls', debug => 1, start => 0, conf => "pgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '1s'\n");
{
	local @ENV{ keys %traps } = values %traps;
	$node->start;
}
my $bank = bank_start();
pgw_setup($node, $bank);
sub sql { return $node->safe_psql('postgres', $_[0]) }

# A bank that shows this certificate: openssl s_server, which passes on what it reads and sends what it is told.
my @servers;
sub start_server
{
	my ($certificate, @options) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $s = { port => $port, in => '', out => '', err => '' };
	local $ENV{OPENSSL_CONF} = "$dir/weak.cnf";
	$s->{h} = IPC::Run::start([ 'openssl', 's_server', '-quiet', '-accept', "127.0.0.1:$port", '-cert', "$dir/$certificate.pem", '-key', "$dir/$certificate.key", @options ],
		'<', \$s->{in}, '>', \$s->{out}, '2>', \$s->{err});
	push @servers, $s;
	wait_until(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) }, 60) or die 'no server';
	return $s;
}
END { my $status = $?; $_->{h}->kill_kill for @servers; $? = $status }

my $n = 0;
sub bank_at
{
	my ($url, $settings) = @_;
	my $name = 'bank' . ++$n;
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority, request_timeout, settings) VALUES ('$name', 'json', '$url', 'bank', 500, '20s', '$settings')");
	return $name;
}

sub settled
{
	my ($bank) = @_;
	wait_until(sub { sql("SELECT status FROM pgw.find_payment('$bank')") ne 'pending' }, 60);
	return sql("SELECT status, error_code FROM pgw.find_payment('$bank')");
}

# A payment at each of these banks, all at the same time: { server, settings, and the answer that the server gives to the request }. Of each comes
# what came of it, why by the log, and what the server has read.
sub pay_at
{
	my @calls = @_;
	my $seen = -s $node->logfile;
	for my $c (@calls)
	{
		$c->{bank} = bank_at("https://127.0.0.1:$c->{server}{port}", $c->{settings} // '{}');
		$c->{before} = length $c->{server}{out};
	}
	$_->{call} = psql_start($node, 'SELECT status, error_code FROM ' . pay_sql('process_payment', client_request_id => $_->{bank}, bank => $_->{bank}, timeout => '6s')) for @calls;
	for my $c (grep { $_->{answer} } @calls)
	{
		ok(wait_until(sub { $c->{server}{h}->pump_nb; substr($c->{server}{out}, $c->{before}) =~ /\r\n\r\n\{.*\}/s }, 60), "$c->{bank}: the request arrives");
		$c->{server}{in} .= $c->{answer};
		ok(wait_until(sub { $c->{server}{h}->pump_nb; $c->{server}{in} eq '' }, 60), "$c->{bank}: it is answered");
	}
	for my $c (@calls)
	{
		$c->{call}{h}->finish;
		$c->{server}{h}->pump_nb;
		$c->{result} = ($c->{call}{out} =~ s/\n//gr) || $c->{call}{err};
		$c->{arrived} = substr $c->{server}{out}, $c->{before};
		($c->{log}) = slurp_file($node->logfile, $seen) =~ /bank call failed: ([^\n]*)\n[^\n]*DETAIL: [^\n]*bank "$c->{bank}"/;
	}
	return @calls;
}

# Nothing is sent to any of these: [ what is wrong, the log's text, settings, the server's certificate and options ].
sub are_refused
{
	my @calls = map { my ($name, $text, $settings, @server) = @$_; { name => $name, text => $text, settings => $settings, server => start_server(@server) } } @_;
	for my $c (pay_at(@calls))
	{
		# on a busy machine the time of the call can end during the last try: then what comes of it all the same
		is($c->{result} =~ /^pending/ ? settled($c->{bank}) : $c->{result}, 'failed|bank_unavailable', "$c->{name}: not paid");
		is($c->{log}, $c->{text}, "$c->{name}: the log says why");
		is($c->{arrived}, '', "$c->{name}: nothing of the request arrived");
	}
	return @calls;
}
my $trusted = qq({"ca_file": "$dir/ours.pem"});
my $no = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n";

my $unauthorized = "$no\r\n{}";
my $rejected = 'failed|bank_credentials_rejected';

part($node, 'versions', sub {
	my @new = pay_at(map { { server => start_server('good', $_), settings => $trusted, answer => $unauthorized } } qw(-tls1_2 -tls1_3));
	is($_->{result}, $rejected, 'TLS 1.2 and 1.3: asked, and the answer taken') for @new;
	my @legacy = ('-cipher', 'DEFAULT:@SECLEVEL=0');
	my @old = are_refused(map { [ "only $_", 'TLS handshake failed', $trusted, 'good', $_, @legacy ] } qw(-tls1_1 -tls1));
	for my $c (@old)
	{
		my ($version) = $c->{name} =~ /(-tls.*)/;
		IPC::Run::run([ 'openssl', 's_client', '-connect', "127.0.0.1:$c->{server}{port}", $version, @legacy ], '<', \"hello\n", '>', \my $out, '2>', \my $err);
		ok(wait_until(sub { $c->{server}{h}->pump_nb; $c->{server}{out} =~ /hello/ }, 60), "$c->{name}: whoever may speak it is understood there") or diag($out, $err);
	}
});

part($node, 'certificates', sub {
	append_to_file("$dir/empty.pem", '');
	append_to_file("$dir/nonsense.pem", "nothing of the kind\n");
	my $unread = 'trusted certificates could not be read';
	my @calls = are_refused(
		[ 'expired', 'certificate not accepted', $trusted, 'expired' ],
		[ 'another host', 'certificate not accepted', $trusted, 'elsewhere' ],
		[ 'another authority', 'certificate not accepted', $trusted, 'stranger' ],
		[ 'signed by itself', 'certificate not accepted', $trusted, 'another' ],
		[ 'not known to the system', 'certificate not accepted', '{}', 'good' ],
		[ 'an empty file', $unread, qq({"ca_file": "$dir/empty.pem"}), 'good' ],
		[ 'a file without certificates', $unread, qq({"ca_file": "$dir/nonsense.pem"}), 'good' ],
		[ 'no file', $unread, qq({"ca_file": "$dir/missing.pem"}), 'good' ]);
	is(sql("SELECT status || ' ' || (details->>'ca_file') FROM pgw.health() WHERE check_name = 'bank:$calls[-1]{bank}'"), 'error cannot be read', 'which health() says');
	is(sql("SELECT details->>'ca_file' FROM pgw.health() WHERE check_name = 'bank:$calls[0]{bank}'"), 'readable', 'and of another that it can be read');
});

# libcurl would open them in the worker, and wait for the writer of a pipe, or read a device, for ever.
my $waits = 'trusted certificates could not be read';
part($node, 'pipes', sub {
	mkfifo("$dir/pipe.pem", 0600) or die $!;
	my ($call) = are_refused([ 'a pipe', $waits, qq({"ca_file": "$dir/pipe.pem"}), 'good' ]);
	is(sql("SELECT details->>'ca_file' FROM pgw.health() WHERE check_name = 'bank:$call->{bank}'"), 'cannot be read', 'which health() says');
	# whoever waits for it goes on
	sysopen my $writer, "$dir/pipe.pem", O_RDWR | O_NONBLOCK or die $!;
});

part($node, 'no ordinary files', sub {
	append_to_file("$dir/large.pem", '');
	truncate "$dir/large.pem", 17 * 1024 * 1024 or die $!;
	are_refused([ 'a folder', $waits, qq({"ca_file": "$dir"}), 'good' ], [ 'a device', $waits, '{"ca_file": "/dev/zero"}', 'good' ], [ 'a large file', $waits, qq({"ca_file": "$dir/large.pem"}), 'good' ]);
});

part($node, 'answers', sub {
	my $elsewhere = "Location: $trap_url/v1/charges\r\nContent-Length: 0\r\n\r\n";
	my @calls = pay_at(map { { server => start_server('good', '-tls1_2'), settings => $trusted, answer => "HTTP/1.1 $_ Elsewhere\r\n$elsewhere" } } 301, 302, 303, 307, 308);
	unlike($_->{result}, qr/captured/, 'a redirect is no answer') for @calls;
	my $s = start_server('good', '-tls1_2');
	my ($first) = pay_at({ server => $s, settings => $trusted,
		answer => "${no}Strict-Transport-Security: max-age=1000\r\nAlt-Svc: http/1.1=\"127.0.0.1:" . $trap->sockport . "\"\r\nSet-Cookie: a=b\r\n\r\n{}" });
	unlike($first->{arrived}, qr/^(accept-encoding|cookie|authorization: basic|proxy|upgrade|expect)/mi, 'the request offers nothing and says nothing of anybody else');
	my ($next) = pay_at({ server => $s, settings => $trusted, answer => $unauthorized });
	unlike($next->{arrived}, qr/^cookie/mi, 'nor does the next one remember what the answer said');
	ok(!is_anything_followed(), 'nothing was followed');
});

part($node, 'environment', sub {
	my ($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	my $environment = slurp_file("/proc/$postmaster/environ");
	like($environment, qr/(^|\0)$_=/, "the server was started with $_") for qw(SSLKEYLOGFILE SSL_CERT_FILE OPENSSL_CONF https_proxy);
	is(sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'plain')), 'captured', 'a payment by HTTP');
	my ($call) = pay_at({ server => start_server('good'), settings => $trusted, answer => $unauthorized });
	is($call->{result}, $rejected, 'one by TLS');
	unlike($call->{arrived}, qr/netrcsecret|Basic/, 'with the key that the table names and no other');
	are_refused([ 'SSL_CERT_FILE', 'certificate not accepted', '{}', 'good' ]);
	ok(!is_anything_followed(), 'nobody asked the proxy');
	ok(!-e "$dir/keylog", 'no keys of connections were written') or diag(-s "$dir/keylog");
});

$node->stop('fast');
done_testing();
