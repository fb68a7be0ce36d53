# The suites of docs/examples/testing/ that users copy: each passes against the bank inside, and leaves nothing behind but the records of what it rolled back.
# A suite is left out where its packages are missing; make check-clients (CLIENTS=all) fails there. And the clock, moved as docs/testing-your-app.md says.
use strict;
use warnings;
use lib 'test/lib';
use PgwDrivers ();
use PgwServerClock;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('suites', start => 0, conf => "listen_addresses = '127.0.0.1'\nfsync = off\npgw.compensation_delay = '100ms'\n");
set_server_clock($node, 0);
start_with_clock($node);
pgw_setup($node);
sub sql { return $node->safe_psql('postgres', $_[0]) }

my $folder = 'docs/examples/testing';
local @ENV{qw(PGHOST PGPORT PGDATABASE PGUSER)} = ('127.0.0.1', $node->port, 'postgres', scalar getpwuid $>);
local @ENV{qw(NODE_PATH GO111MODULE GOPATH GOCACHE)} = ('test/clients/node_modules', 'off', '/usr/share/gocode', $PgwDrivers::GO_CACHE);
my @python = ('/usr/bin/python3', '-B');

# What says that it is there, how it is run, what it prints of a test that has passed, and how often: Go's two tests with parts count, too.
my %suites = (
	'test_orders.py' => [ [ @python, '-c', 'import psycopg, pytest' ], [ @python, '-m', 'pytest', '-v', '-p', 'no:cacheprovider' ], qr/ PASSED /, 13 ],
	'orders.test.js' => [ [ 'node', '-e', 'require("node:test"), require("pg")' ], [ 'node', '--test', '--test-reporter=tap' ], qr/^ +ok \d+ - (?:paid|the same id|declined|unknown|submitted|refund)/m, 13 ],
	'orders_test.go' => [ [ 'go', 'list', 'github.com/lib/pq' ], [ 'go', 'test', '-v' ], qr/^ *--- PASS/m, 15 ],
);
is_deeply([ sort keys %suites ], [ grep { $_ ne 'clock.c' } map { s{.*/}{}r } sort glob "$folder/*" ], 'every suite is among them');

for my $name (sort keys %suites)
{
	my ($probe, $command, $passed, $tests) = @{ $suites{$name} };
	SKIP: {
		# IPC::Run dies where the program itself is missing
		my $there = eval { run_log($probe, '>', \my $none, '2>', \my $why) };
		skip "$name: its packages are not installed", 3 unless $there || ($ENV{CLIENTS} // '') eq 'all';
		my $ran = IPC::Run::run([ @$command, "$folder/$name" ], '>', \my $out, '2>', \my $err, IPC::Run::timeout(180));
		ok($ran, "$name ends well") || diag("$out$err");
		is(scalar(() = $out =~ /$passed/g), $tests, "$name: all its tests have passed");
		is(sql('SELECT count(*) FROM orders'), 0, "$name clears up");
	}
}

# The page's line, on the running server's file: an authorization has run out, and its capture comes too late.
my ($line) = slurp_file('docs/testing-your-app.md') =~ /^    (perl .* 1<>)clock$/m or die 'the page does not move the clock';
sql("SELECT pgw.process_payment('held', 4990, 'EUR', 'tok_ok', capture => 'manual')");
system_or_bail('sh', '-c', $line . $node->basedir . '/clock');
is(sql("SELECT now() > created_at + interval '7 days' FROM pgw.payments WHERE client_request_id = 'held'"), 't', 'more than a week later');
sql("SELECT pgw.capture_payment(payment_id, 'held-capture') FROM pgw.payments WHERE client_request_id = 'held'");
is(sql("SELECT w.status FROM pgw.find_payment('held') f, pgw.wait_for_payment(f.payment_id, '60 s') w"), 'expired', 'the authorization has run out');
is(sql("SELECT error_code FROM pgw.payment_transactions WHERE client_request_id = 'held-capture'"), 'authorization_expired', 'and is captured no more');
set_server_clock($node, 0);
is(sql("SELECT status FROM pgw.process_payment('back', 4990, 'EUR', 'tok_ok')"), 'captured', 'the clock goes back, and payments go on');

ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE status NOT IN ('Completed', 'Failed', 'Refunded')") == 0 }, 60), 'nothing is left open');
is(sql(q{SELECT l FROM pgw.test_bank_ledger l LEFT JOIN pgw.payments p ON replace(p.transaction_id::text, '-', '') = l.reference
	WHERE l.kind = 'charge' AND l.status = 'approved' AND NOT l.voided AND l.refunded < l.captured AND p.payment_id IS NULL}), '', 'what was rolled back is given back');
sql('SELECT pgw.purge_test_data()');
is(sql('SELECT count(*) FROM pgw.payments'), 0, 'and all payments can be cleared up');
is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'the records are sound');
$node->stop;
done_testing();
