# The endpoints of docs/examples/hooks/ that users copy, each as its framework runs it: a signed request comes through byte for byte, the answer is pgw's, what is answered with 200 is committed,
# what could not be taken is answered so that the bank sends it again, and one that is killed between its COMMIT and its answer has lost nothing. Left out where packages are missing; make check-clients (CLIENTS=all) fails there.
use strict;
use warnings;
use lib 'test/lib';
use Digest::SHA qw(hmac_sha256_hex);
use HTTP::Tiny;
use IO::Socket::INET;
use PgwDrivers;
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $SECRET = 'whsec_test';
my $node = pgw_node('hooks', conf => "listen_addresses = '127.0.0.1'\nfsync = off\npgw.fencing_delay = 0\nmax_wal_senders = 1\nwal_level = replica\n");
pgw_setup($node);
secret_file($node, 'hooks', $SECRET);
# a bank that is disabled may still send; and somebody who holds the table for a second makes the call fail
$node->safe_psql('postgres', q{INSERT INTO pgw.banks (name, connector, base_url, secret, notification_secret, livemode, enabled)
		VALUES ('hooked', 'stripe', 'https://bank.example', 'bank', 'hooks', false, false);
	CREATE ROLE shop LOGIN; SELECT pgw.grant_access('shop', 'client'); ALTER ROLE shop SET lock_timeout = '1s'});

my $http = HTTP::Tiny->new(timeout => 120);

sub start_hook
{
	my ($name) = @_;
	my ($hook, $file, $folder) = ($HOOKS{$name}, "docs/examples/hooks/$name", PostgreSQL::Test::Utils::tempdir());
	if ($hook->{build})
	{
		system_or_bail(@{ $hook->{build} }, "$folder/hook", $file);
		$file = "$folder/hook";
	}
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	local @ENV{qw(PORT PGHOST PGPORT PGDATABASE PGUSER NODE_PATH)} = ($port, '127.0.0.1', $node->port, 'postgres', 'shop', 'test/clients/node_modules');
	my @command = (map({ s/PORT/$port/r } @{ $hook->{run} }), $file);
	my $run = IPC::Run::start(\@command, '<', \undef, '>', \my $out, '2>', \my $err);
	my $there = wait_until(sub { !$run->pumpable || IO::Socket::INET->new("127.0.0.1:$port") }, 60);
	ok($there && $run->pumpable, "$name listens") || diag($err // '');
	return ($run, "http://127.0.0.1:$port/hooks");
}

# What a client of HTTP gets for a body at a bank's endpoint, signed with a secret.
sub answer
{
	my ($url, $body, $secret) = @_;
	my $at = time;
	return $http->post($url, { content => $body, headers => { 'Content-Type' => 'application/json; charset=utf-8', 'Stripe-Signature' => "t=$at,v1=" . hmac_sha256_hex("$at.$body", $secret // $SECRET) } })->{status};
}

sub standby { $node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = '$_[0]'"); return $node->reload }
sub waiting { return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE usename $_[0] 'shop' AND wait_event = 'SyncRep'") }

# Every COMMIT waits for a standby that is not there, once one is seen to.
sub miss_standby
{
	my $probe;
	standby('nobody');
	wait_until(sub {
		$probe = psql_start($node, q{SELECT pg_logical_emit_message(true, 'probe', '')}) unless $probe && $probe->{h}->pumpable;
		return waiting('<>') > 0;
	}, 60) or die 'no commit waits for the standby';
	return $probe;
}

# Its COMMIT is on disk, and waits for the standby: so it is killed after that and before its answer.  The bank, which has none, sends it again.
sub killed_before_its_answer
{
	my ($name, $run, $url, $id) = @_;
	my $body = body($id);
	my $probe = miss_standby();
	my $bank = child_process(sub { answer("$url/hooked", $body) == 599 or die "there is an answer\n" });
	ok(wait_until(sub { waiting('=') == 1 }, 60), "$name: waits in its COMMIT");
	$run->signal('KILL');
	waitpid $bank, 0;
	is($? >> 8, 0, "$name: is killed there, and the bank has no answer");
	standby('');
	$probe->{h}->finish;
	ok(wait_until(sub { taken($id) eq $id }, 60), "$name: it is taken");
	$run->finish;
	($run, $url) = start_hook($name);
	is(answer("$url/hooked", $body), 200, "$name: it comes again");
	is(taken($id), $id, "$name: and is there once");
	return $run->kill_kill;
}

sub taken { return $node->safe_psql('postgres', "SELECT string_agg(event_id, ' ' ORDER BY event_id) FROM pgw.notifications WHERE event_id LIKE '$_[0]%'") }

# A body that nobody who parses it and writes it again would write like that: an umlaut in bytes and one escaped, a backslash, spaces, a line's end.
sub body { return qq({"id":"$_[0]",  "object":"event", "livemode" : false, "type":"charge.updated", "created":) . time . qq(,"note":"\xc3\xbc \\u00fc \\\\ \\/",\r\n"data":{"object":{"id":"ch_x","object":"charge"}}}\n) }

for my $name (sort keys %HOOKS)
{
	next unless !$ENV{CLIENTS} || $ENV{CLIENTS} eq 'all' || $name =~ /$ENV{CLIENTS}/;
	SKIP: {
		my $there = is_there($HOOKS{$name});
		skip "$name: its packages are not installed", 1 if !$there && !$ENV{CLIENTS};
		ok($there, "$name: its packages are there") or next;
		my ($run, $url) = start_hook($name);
		my $id = $name =~ s/\W//gr;
		my $body = body("$id-1");
		is(answer("$url/hooked", $body), 200, "$name: what is signed is taken");
		is(taken($id), "$id-1", "$name: and committed when it is answered");
		is(answer("$url/hooked", $body), 200, "$name: the same again");
		is(answer("$url/hooked", body("$id-2"), 'whsec_guess'), 400, "$name: signed by somebody else");
		is(answer("$url/nobody", $body), 404, "$name: at a bank that is not there");
		is(answer("$url/hooked", ' ' x (256 * 1024) . $body), 413, "$name: too large");
		my $holder = psql_start($node, 'BEGIN; LOCK pgw.notifications IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3600)');
		wait_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE relation = 'pgw.notifications'::regclass AND mode = 'AccessExclusiveLock' AND granted}) eq '1' }, 60);
		is(answer("$url/hooked", body("$id-3")), 500, "$name: what cannot be taken now");
		$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 60000) FROM pg_locks WHERE relation = 'pgw.notifications'::regclass AND mode = 'AccessExclusiveLock'});
		$holder->{h}->finish;
		is(answer("$url/hooked", body("$id-3")), 200, "$name: is taken when it comes again");
		is(taken($id), "$id-1 $id-3", "$name: and nothing else was");
		$HOOKS{$name}{build} ? $run->kill_kill : killed_before_its_answer($name, $run, $url, "$id-4");
	}
}
is_deeply([ sort keys %HOOKS ], [ map { s{.*/}{}r } sort glob 'docs/examples/hooks/*' ], 'every endpoint of docs/examples/hooks/ is among them');
is($node->safe_psql('postgres', 'SELECT c FROM pgw.check_consistency() c'), '', 'the records are sound afterwards');
$node->stop;
done_testing();
