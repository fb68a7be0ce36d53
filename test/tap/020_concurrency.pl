# Many clients at once: every payment once at the bank, tables and ledger equal, and no serialization failure between
# independent payments.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('concurrency');
my $bank = bank_start('--delay-ms', 2);
pgw_setup($node, $bank);

# pgbench with a script; returns (exit status, stdout, stderr).
sub run_pgbench
{
	my ($name, $script, @args) = @_;
	my $file = $node->basedir . "/$name.sql";
	append_to_file($file, $script);
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-f', $file, @args, 'postgres' ], '>', \$out, '2>', \$err);
	return ($ok, $out, $err);
}

# 1,000 payments by 32 clients, half process, half submit (31 full rounds of 32 and a last one of 8).
my $mixed = <<'SQL';
\set n random(1, 1000000000)
\set half :client_id % 2
\if :half
SELECT pgw.process_payment('p-' || :client_id || '-' || gen_random_uuid(), 1000 + :client_id, 'EUR', 'tok_ok');
\else
SELECT pgw.submit_payment('s-' || :client_id || '-' || gen_random_uuid(), 1000 + :client_id, 'EUR', 'tok_ok');
\endif
SQL
my ($ok, $out, $err) = run_pgbench('mixed', $mixed, '-c', 32, '-j', 2, '-t', 31);
ok($ok, '992 payments by 32 clients') or diag($err);
($ok, $out, $err) = run_pgbench('rest', $mixed, '-c', 8, '-t', 1);
ok($ok, 'and 8 more') or diag($err);
ok( $node->poll_query_until('postgres', "SELECT count(*) FILTER (WHERE status = 'captured') = 1000 AND count(*) = 1000 FROM pgw.payments"),
	'1,000 payments are captured') or diag($node->safe_psql('postgres', 'SELECT status, count(*) FROM pgw.payments GROUP BY 1'));
is(scalar @{ bank_ledger($bank)->{charges} }, 1000, 'the bank has 1,000 charges');
is_reconciled($node, $bank);
is( $node->safe_psql('postgres', "SELECT string_agg(DISTINCT flow, ' or ') FROM (SELECT string_agg(event_type::text, ',' ORDER BY step_order) AS flow
	FROM pgw.transaction_events GROUP BY transaction_id) f"), $SUCCESS_FLOW, 'each of them with exactly the success flow');
is($node->safe_psql('postgres', "SELECT count(*) FROM pgw.payment_transactions WHERE status <> 'Completed' OR step_order <> 6"), 0, 'each transaction is Completed after 6 steps');

# Independent payments never abort each other, whatever the isolation level.
for my $level ('read committed', 'repeatable read', 'serializable')
{
	(my $tag = $level) =~ tr/ /-/;
	my $before = scalar @{ bank_ledger($bank)->{charges} };
	($ok, $out, $err) = run_pgbench($tag, <<"SQL", '-c', 16, '-j', 2, '-t', 20, '--max-tries', 1);
BEGIN ISOLATION LEVEL $level;
SELECT pgw.process_payment('$tag-' || gen_random_uuid(), 500, 'EUR', 'tok_ok');
COMMIT;
SQL
	ok($ok, "16 clients at $level") or diag($err);
	my $failed = $out =~ /number of failed transactions: (\d+)/ ? $1 : 0;
	is($failed, 0, "no transaction aborted at $level");
	unlike($err, qr/could not serialize/, "no serialization failure at $level");
	is(scalar(@{ bank_ledger($bank)->{charges} }) - $before, 320, "320 charges at $level");
}
is_reconciled($node, $bank, 'equal after all isolation levels');

# The same id many times at once: one charge, everybody gets it.
my $before = scalar @{ bank_ledger($bank)->{charges} };
($ok, $out, $err) = run_pgbench('same', "SELECT pgw.process_payment('same-' || (:client_id / 8), 700, 'EUR', 'tok_slow_100');\n", '-c', 16, '-j', 2, '-t', 3);
ok($ok, '16 clients with two ids') or diag($err);
is(scalar(@{ bank_ledger($bank)->{charges} }) - $before, 2, 'two charges');
is_reconciled($node, $bank, 'equal after duplicates');

# An uncommitted submit delays nobody but its own duplicates.
my ($hin, $hout) = ('', '');
my $h = IPC::Run::start([ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-d', 'postgres' ], '<', \$hin, '>', \$hout, IPC::Run::timeout(120));
$hin .= "BEGIN;\nSELECT status FROM " . pay_sql('submit_payment', client_request_id => 'held') . ";\n\\echo held\n";
$h->pump until $hout =~ /held\n/;
is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'free')), 'captured', 'another payment passes an uncommitted submit');
my (undef, undef, $dup) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT status FROM " . pay_sql('process_payment', client_request_id => 'held', timeout => '200 ms'));
like($dup, qr/PW409/, 'its duplicate waits its own time and says so');
$hin .= "COMMIT;\n\\q\n";
$h->finish;
ok( $node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'held'"), 'and is paid once committed');

$node->stop('fast');
done_testing();
