# Some thousand calls with time-outs about as long as the bank takes, and a worker that is stopped and goes on: time-outs in the queue, in the intent, at the
# bank, and while the answer is written.  Each payments row names the attempt of its own call, and who was told that nothing was sent was told the truth.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $CLIENTS = 16;
my $SECONDS = 25;

my $node = pgw_node('hasty', conf => "fsync = off\npgw.max_waiting = 64\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
bank_control($bank, 'faults', { delay_ms => { min => 0, max => 60 } });

# What each call was told, kept if the call is; the exception block makes it a subtransaction of its own.
$node->safe_psql('postgres', <<'SQL');
CREATE SEQUENCE calls;
CREATE TABLE told (id text PRIMARY KEY, what text, transaction_id uuid);
CREATE FUNCTION hasty(call bigint, ms int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO told SELECT r.client_request_id, r.status::text, r.transaction_id
		FROM pgw.process_payment('h' || call, 500 + call % 100, 'EUR', 'tok_ok', timeout => make_interval(secs => ms / 1000.0)) r;
EXCEPTION WHEN SQLSTATE 'PW500' THEN
	INSERT INTO told VALUES ('h' || call, 'PW500');
END $$;
SQL
my $file = $node->basedir . '/hasty.sql';
append_to_file($file, "\\set ms random(10, 160)\n\\set fate random(1, 10)\nSELECT nextval('calls') AS call \\gset\nBEGIN;\nSELECT hasty(:call, :ms);\n"
	  . "\\if :fate > 9\nROLLBACK;\n\\else\nCOMMIT;\n\\endif\n");

my $worker = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
my ($out, $err) = ('', '');
my $load = IPC::Run::start([ 'pgbench', '-n', '-c', $CLIENTS, '-j', 2, '-T', $SECONDS, '-h', $node->host, '-p', $node->port, '-f', $file, 'postgres' ],
	'<', \undef, '>', \$out, '2>', \$err);
my $end = time + $SECONDS;
my $stops = 0;
srand(11);
while (time < $end)
{
	kill 'STOP', $worker or die "the worker has gone: $!";
	usleep(10_000 + int rand 140_000);
	kill 'CONT', $worker;
	usleep(10_000 + int rand 190_000);
	$stops++;
}
$load->finish;
unlike($err, qr/ERROR|abort/, 'no call ended otherwise than with a row or PW500') or diag(substr $err, 0, 1000);
note($node->safe_psql('postgres', 'SELECT string_agg(what || \' \' || n, \', \' ORDER BY what) FROM (SELECT what, count(*) AS n FROM told GROUP BY 1) x'), ", $stops stops");
for my $what ('captured', 'pending', 'PW500')
{
	cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM told WHERE what = '$what'"), '>', 20, "calls were told $what");
}
is($node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'"), $worker, 'by one and the same worker');

is_sound($node, $bank, 'sound', seconds => 120);
is($node->safe_psql('postgres', "SELECT count(*) FROM pgw.payments p LEFT JOIN pgw.payment_transactions t USING (transaction_id)
	WHERE t.payment_id IS DISTINCT FROM p.payment_id OR t.client_request_id IS DISTINCT FROM p.client_request_id OR t.amount IS DISTINCT FROM p.amount"),
	0, 'each payments row names the attempt of its own call');
is($node->safe_psql('postgres', "SELECT count(*) FROM told LEFT JOIN pgw.payments p ON p.client_request_id = told.id
	WHERE what <> 'PW500' AND (p.transaction_id IS DISTINCT FROM told.transaction_id)"), 0, 'the one that its caller was told of');
is($node->safe_psql('postgres', "SELECT count(*) FROM told JOIN pgw.payments p ON p.client_request_id = told.id WHERE what = 'PW500'"), 0, 'who was told that nothing was sent has no payment');

my %never = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', "SELECT replace(t.transaction_id::text, '-', '') FROM told JOIN pgw.payment_transactions t ON t.client_request_id = told.id WHERE what = 'PW500'");
is(scalar(grep { $never{ $_->{reference} } } @{ bank_ledger($bank)->{charges} }), 0, 'and not one charge, given back or not');
is($node->safe_psql('postgres', "SELECT count(*) FROM told JOIN pgw.payment_transactions t ON t.client_request_id = told.id WHERE what = 'PW500' AND t.status <> 'Failed'"), 0,
	'what was recorded of it has failed');

$node->stop('fast');
done_testing();
