# pgw.check_consistency() and pgw.rebuild_status() while payments are under way: no false alarm, at any isolation level, also inside a paying transaction.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('consistency', conf => "pgw.compensation_delay = '50ms'\npgw.retry_base_delay = '50ms'\n");
my $bank = bank_start('--delay-ms', 2);
pgw_setup($node, $bank);

# Its wait ends before the bank answers; or, on a slow machine, before the worker has taken it.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION hasty(id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pgw.process_payment(id, 500, 'EUR', 'tok_slow_500', timeout => '200 ms');
EXCEPTION WHEN SQLSTATE 'PW500' THEN
	NULL;
END $$;
SQL

# What a caller may do with a payment, by chance; every client looks back at the latest attempts of all.
my $file = $node->basedir . '/mixed.sql';
append_to_file($file, <<'SQL');
\set what random(1, 10)
\set who random(1, 12)
\if :what = 1
SELECT pgw.process_payment('no-' || gen_random_uuid(), 500, 'EUR', 'tok_decline_do_not_honor');
\elif :what = 2
BEGIN;
SELECT pgw.process_payment('back-' || gen_random_uuid(), 500, 'EUR', 'tok_ok');
ROLLBACK;
\elif :what = 3
SELECT pgw.submit_payment('sub-' || gen_random_uuid(), 500, 'EUR', 'tok_ok');
\elif :what = 4
SELECT pgw.process_payment('lost-' || gen_random_uuid(), 500, 'EUR', 'tok_500_after');
SELECT hasty('hasty-' || gen_random_uuid());
\elif :what = 5
BEGIN;
SAVEPOINT s;
SELECT pgw.process_payment('point-' || gen_random_uuid(), 500, 'EUR', 'tok_ok', capture => 'manual');
ROLLBACK TO s;
SELECT pgw.submit_payment('point-' || gen_random_uuid(), 500, 'EUR', 'tok_decline_fraud');
COMMIT;
\elif :what = 6
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT pgw.process_payment('ser-' || gen_random_uuid(), 500, 'EUR', 'tok_ok');
COMMIT;
\elif :what = 7
SELECT pgw.process_payment('wrong-' || gen_random_uuid(), 500, 'EUR', 'tok_wrong_amount');
\else
SELECT pgw.process_payment('ok-' || :who, 500, 'EUR', 'tok_ok');
\endif
SELECT count(pgw.rebuild_status(transaction_id)) FROM (SELECT transaction_id FROM pgw.payment_transactions ORDER BY transaction_id DESC LIMIT 20) t;
SQL
my @broken;
my %looks;
my @levels = ('read committed', 'repeatable read', 'serializable, read only');
my $i = 0;
my ($out, $err);
for my $round (1 .. 10)
{
	($out, $err) = ('', '');
	my $clients = IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 12, '-j', 2, '-t', 60, '-f', $file, 'postgres' ], '>', \$out, '2>', \$err);
	for (; $clients->pump_nb, $clients->pumpable; $i++)
	{
		my $level = $levels[ $i % @levels ];
		push @broken, map { "$level: $_" } split /\n/, $node->safe_psql('postgres', "BEGIN ISOLATION LEVEL $level; SELECT c FROM pgw.check_consistency() c; COMMIT");
		$looks{$level}++;
	}
	ok($clients->finish, "720 payments by 12 clients, each rebuilding the latest attempts, round $round") or diag($err);
	last if $i >= 15;    # a loaded machine looks less often
}
cmp_ok($looks{$_} // 0, '>=', 5, "meanwhile looked at all of them at $_") for @levels;
is(scalar @broken, 0, 'and never saw anything broken') or diag(join "\n", @broken[ 0 .. ($#broken > 9 ? 9 : $#broken) ]);

# A transaction's own view: its snapshot is older than what the worker wrote for it, and than what others did.
for my $level ('read committed', 'repeatable read', 'serializable')
{
	my ($in, $said) = ('', '');
	my $h = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-d', 'postgres' ], '<', \$in, '>', \$said, '2>', \$err, IPC::Run::timeout(60));
	$in .= "BEGIN ISOLATION LEVEL $level;\nSELECT count(*) > 0 FROM pgw.merchants;\n\\echo begun\n";
	$h->pump until $said =~ /begun\n/;
	$node->safe_psql('postgres', 'SELECT ' . pay_sql('process_payment', client_request_id => "beside $level"));
	$said = '';
	$in .= 'SELECT transaction_id FROM ' . pay_sql('process_payment', client_request_id => "own $level") . " \\gset\n"
	  . "SELECT pgw.rebuild_status(:'transaction_id');\nSELECT c FROM pgw.check_consistency() c;\nCOMMIT;\n\\q\n";
	$h->finish;
	is($said, "Completed\n", "inside the paying transaction, $level") or diag($err);
}
is_sound($node, $bank, 'at rest, the tables agree with themselves and with the ledger', seconds => 60);

# Each check is documented, and has a test that breaks it.
my @checks = sort split /\n/, $node->safe_psql('postgres', q(SELECT DISTINCT (regexp_matches(pg_get_viewdef('pgw.broken_invariants'), 'SELECT ''([a-z_]+)''::text', 'g'))[1]));
# and what the function looks at besides the view
my @besides = slurp_file('src/operator_api/check_consistency.c') =~ /SELECT '([a-z_]+)', NULL/g;
ok(@besides > 0, 'there is more than the view');
@checks = sort @checks, @besides;
my ($section) = slurp_file('docs/sql-reference.md') =~ /^## Checks\n(.*?)^## /ms;
my @documented = sort map { split /, / } $section =~ /^\| ([a-z_, ]+) \|/mg;
is_deeply(\@documented, [ sort 'check_name', @checks ], 'docs/sql-reference.md lists the checks');
my $tested = slurp_file('expected/consistency.out');
my $queried = join '', map { slurp_file($_) } glob 'test/pgtap/*.sql';
is_deeply([ grep { $tested !~ /^$_ p[0-9]* t[0-9]* \{/m && $queried !~ /check_consistency\(\) WHERE check_name = '$_'/ } @checks ], [],
	'and each of them is seen in expected/consistency.out, or in a test of test/pgtap');
$node->stop('fast');
done_testing();
