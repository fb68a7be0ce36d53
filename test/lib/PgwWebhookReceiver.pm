# PgwWebhookReceiver - who webhooks are sent to: a process of its own that answers as it is told, and writes down all that comes, which outlives it.
#
#   my $r = receiver_start();                     { pid, port, url, log, mode }
#   receiver_mode($r, '500');                     ok, a status, slow (no answer), later (none until there is another mode, by which it is answered then), close (none, and the connection is closed), redirect, body (an endless one);
#                                                 '410 once': what has waited for another mode gets that answer, and what comes afterwards is taken, without a gap in which it could be answered so twice
#   for (received($r)) { $_->{headers}, $_->{body}, $_->{document} }
#   for (newly_received($r)) { … }                those that have come since the last call alone, which are kept by nobody: where there are very many
#   my $r = receiver_start(certificates());       by TLS; $r->{certificate} = 'renewed', 'stranger' (of another authority) or 'good' counts from receiver_again() on
#
# A signature is checked by what Perl has of HMAC, as the specification writes it, and not by anything of pgw's.
package PgwWebhookReceiver;

use strict;
use warnings;
use Digest::SHA qw(hmac_sha256);
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64;
use PgwTest;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(certificates receiver_start receiver_again receiver_stop receiver_mode received newly_received has_answered is_signed_by $WEBHOOK_KEY $WEBHOOK_NEW_KEY endpoint_sql);

our $WEBHOOK_KEY = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
our $WEBHOOK_NEW_KEY = 'whsec_' . encode_base64('another key, of 32 bytes exactly', '');

my @receivers;

sub mode_of
{
	my ($r) = @_;
	my $mode = slurp_file($r->{mode});
	chomp $mode;
	return $mode;
}

# A folder with keys and certificates of 127.0.0.1: ours.pem is the authority of "good" and "renewed", and not of "stranger".
sub certificates
{
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $openssl = sub { system("cd '$dir' && openssl @_ >/dev/null 2>&1") == 0 or die "openssl @_" };
	my $key = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes';
	$openssl->("req -x509 $key -keyout $_.key -out $_.pem -days 2 -subj /CN=$_") for qw(ours another);
	append_to_file("$dir/name", "subjectAltName=IP:127.0.0.1\n");
	for ([qw(good ours)], [qw(renewed ours)], [qw(stranger another)])
	{
		my ($name, $by) = @$_;
		$openssl->("req $key -keyout $name.key -out $name.csr -subj /CN=$name");
		$openssl->("x509 -req -in $name.csr -CA $by.pem -CAkey $by.key -CAcreateserial -out $name.pem -days 2 -extfile name");
	}
	return $dir;
}

# false: it does not take our certificate
sub begin_tls
{
	my ($r, $c) = @_;
	require IO::Socket::SSL;
	return IO::Socket::SSL->start_SSL($c, SSL_server => 1, Timeout => 5, SSL_cert_file => "$r->{tls}/$r->{certificate}.pem", SSL_key_file => "$r->{tls}/$r->{certificate}.key");
}

# What has come; of TLS all that was decrypted, of which select() would not tell. false: it is closed
sub take_in
{
	my ($r, $c, $buffer) = @_;
	my $got = sysread $c, $$buffer, 65536, length $$buffer;
	sysread $c, $$buffer, 65536, length $$buffer while $got && $r->{tls} && $c->pending;
	return $got;
}

# One whole request out of what has come; undef: there is more to come.
sub take_request
{
	my ($buffer) = @_;
	my $end = index $$buffer, "\r\n\r\n";
	return if $end < 0;
	my %headers = map { /^([^:]+):\s*(.*)$/ ? (lc $1 => $2) : () } split /\r\n/, substr $$buffer, 0, $end;
	my $length = $headers{'content-length'} // 0;
	return if length $$buffer < $end + 4 + $length;
	my $first = substr $$buffer, 0, index $$buffer, "\r\n";
	my $body = substr $$buffer, $end + 4, $length;
	substr $$buffer, 0, $end + 4 + $length, '';
	return { first => $first, headers => \%headers, body => $body };
}

# How what has waited is answered, and how what comes: the same but for "once".
sub modes_of
{
	my ($mode) = @_;
	return $mode =~ /^(\S+) once$/ ? ($1, 'ok') : ($mode, $mode);
}

# What is answered; undef: nothing.
sub answer
{
	my ($mode) = @_;
	return "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n" if $mode eq 'redirect';
	return "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" . 'x' x 100_000 if $mode eq 'body';
	return if $mode =~ /^(slow|later|close)$/;
	return 'HTTP/1.1 ' . ($mode eq 'ok' ? 200 : $mode) . " Said\r\nContent-Length: 2\r\n\r\nok";
}

# Those that have waited for it.
sub answer_later
{
	my ($r, $mode, @waiting) = @_;
	for my $c (@waiting) { print $c answer($mode) // ''; $c->flush }
	append_to_file("$r->{mode}.answered", '');
}

# Written down before it is answered: what was answered with 200 is there.
sub serve
{
	my ($r, $listener) = @_;
	local $SIG{PIPE} = 'IGNORE';
	my $select = IO::Select->new($listener);
	my (%buffer, @later);
	open my $log, '>>', $r->{log} or die $!;
	$log->autoflush(1);
	while (1)
	{
		my @ready = $select->can_read(@later ? 0.05 : undef);
		my ($of_waiting, $mode) = modes_of(mode_of($r));
		answer_later($r, $of_waiting, splice @later) if @later && $mode ne 'later';
		for my $c (@ready)
		{
			if ($c == $listener)
			{
				my $new = $listener->accept or next;
				if ($r->{tls} && !begin_tls($r, $new)) { close $new; next }
				$select->add($new);
				$buffer{$new} = '';
				next;
			}
			my $open = take_in($r, $c, \$buffer{$c});
			while ($open && (my $request = take_request(\$buffer{$c})))
			{
				print $log encode_json({ %$request, mode => $mode, at => time }), "\n";
				my $answer = answer($mode);
				$open = 0 if $mode eq 'close' || defined $answer && !print $c $answer;
				$c->flush;
				push @later, $c if $mode eq 'later';
			}
			next if $open;
			$select->remove($c);
			delete $buffer{$c};
			close $c;
		}
	}
}

sub run
{
	my ($r) = @_;
	my $listener;
	wait_until(sub { $listener = IO::Socket::INET->new(Listen => 200, ReuseAddr => 1, LocalAddr => '127.0.0.1', $r->{port} ? (LocalPort => $r->{port}) : ()) }, 20) or die $!;
	$r->{port} = $listener->sockport;
	$r->{url} = ($r->{tls} ? 'https' : 'http') . "://127.0.0.1:$r->{port}/hook";
	$r->{pid} = child_process(sub { serve($r, $listener) });
	close $listener;
	return $r;
}

sub receiver_start
{
	my ($tls) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $r = { log => "$dir/log", mode => "$dir/mode", tls => $tls, certificate => 'good' };
	append_to_file($r->{log}, '');
	receiver_mode($r, 'ok');
	push @receivers, $r;
	return run($r);
}

# At the same port, with all that it has written down.
sub receiver_again { return run($_[0]) }

sub receiver_stop
{
	my ($r) = @_;
	return unless $r->{pid};
	kill 'KILL', $r->{pid};
	waitpid $r->{pid}, 0;
	$r->{pid} = 0;
}

sub receiver_mode
{
	my ($r, $mode) = @_;
	append_to_file("$r->{mode}.new", "$mode\n");
	rename "$r->{mode}.new", $r->{mode} or die $!;
}

# What has come since the last look.
sub newly_received
{
	my ($r) = @_;
	my $new = slurp_file($r->{log}, $r->{read} //= 0);
	# only whole lines are taken
	$new =~ s/[^\n]*\z//;
	$r->{read} += length $new;
	return map { my $m = decode_json($_); $m->{document} = eval { decode_json($m->{body}) }; $m } split /\n/, $new;
}

# All that has come, or what came while it answered so.  What was read before is kept.
sub received
{
	my ($r, $mode) = @_;
	push @{ $r->{all} }, newly_received($r);
	return grep { !defined $mode || $_->{mode} eq $mode } @{ $r->{all} };
}

# What came while it was to be answered later has its answer.
sub has_answered { return -e "$_[0]{mode}.answered" }

sub is_signed_by
{
	my ($request, $secret) = @_;
	my $h = $request->{headers};
	my $key = decode_base64($secret =~ s/^whsec_//r);
	my $mac = encode_base64(hmac_sha256("$h->{'webhook-id'}.$h->{'webhook-timestamp'}.$request->{body}", $key), '');
	return scalar grep { $_ eq "v1,$mac" } split / /, $h->{'webhook-signature'};
}

sub endpoint_sql
{
	my ($name, $r, %o) = @_;
	my %columns = (endpoint => $name, url => $r->{url}, secret => 'hook', %o);
	return 'INSERT INTO pgw.webhook_endpoints (' . join(', ', sort keys %columns) . ') VALUES ('
	  . join(', ', map { defined $columns{$_} ? "'$columns{$_}'" : 'NULL' } sort keys %columns) . ')';
}

END { my $status = $?; receiver_stop($_) for @receivers; $? = $status }

1;
