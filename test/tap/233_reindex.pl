# REINDEX CONCURRENTLY of the index that holds the claims, under load: for a while there are two unique indexes on the id.  Duplicates are replayed, never
# raised as 23505, and no call meets an index that has gone.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('reindex', debug => 1, conf => "fsync = off\npgw.max_waiting = 64\n");
my $bank = bank_start();
pgw_setup($node, $bank);
$node->safe_psql('postgres', 'CREATE SEQUENCE ids; CREATE SEQUENCE refunds');
my $payment = $node->safe_psql('postgres', 'SELECT payment_id FROM ' . pay_sql('process_payment', client_request_id => 'to refund', amount => 1000000));

# Eight clients, of whom four at a time have the same id.
sub load_start
{
	my ($name, $sql, $seconds) = @_;
	my $file = $node->basedir . "/$name.sql";
	unlink $file;
	append_to_file($file, "$sql\n");
	my $p = { out => '', err => '' };
	$p->{h} = IPC::Run::start([ 'pgbench', '-n', '-c', 8, '-j', 2, '-T', $seconds, '-h', $node->host, '-p', $node->port, '-f', $file, 'postgres' ], '<', \undef, '>', \$p->{out}, '2>', \$p->{err});
	return $p;
}

sub under_reindex
{
	my ($name, $index, $sql) = @_;
	my $p = load_start($name, $sql, 12);
	my $end = time + 12;
	my $n = 0;
	while (time < $end && $p->{h}->pumpable)
	{
		$node->safe_psql('postgres', "REINDEX INDEX CONCURRENTLY $index");
		$n++;
	}
	my $fine = $p->{h}->finish;
	cmp_ok($n, '>=', 3, "$name: the index was made anew $n times");
	my @errors = grep { /ERROR/ } split /\n/, $p->{err};
	is(scalar @errors, 0, "$name: no call failed") or diag(join "\n", @errors[ 0 .. ($#errors > 4 ? 4 : $#errors) ]);
	my ($calls) = $p->{out} =~ /actually processed: (\d+)/;
	note(($calls // 'no') . ' calls');
	return $calls;
}

part($node, 'claim', sub {
	my $index = $node->safe_psql('postgres', "SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'pgw.payments'::regclass AND indisunique
		AND pg_get_indexdef(indexrelid) LIKE '%(client_request_id, merchant)%'");
	my $calls = under_reindex('payments', $index,
		"SELECT pgw.process_payment(client_request_id => 'dup ' || (SELECT nextval('ids') / 4), amount => 100, currency => 'EUR', token => 'tok_ok', timeout => '60s');");
	cmp_ok($calls, '>', $node->safe_psql('postgres', "SELECT count(*) FROM pgw.payments WHERE client_request_id LIKE 'dup %'"), 'payments: many calls were replays');
	is_sound($node, $bank, 'payments: sound', seconds => 60);
});

# What a session knows of the indexes is what there is now: one that CREATE INDEX CONCURRENTLY has just begun to fill gets the next row.
part($node, 'new index', sub {
	my $payer = PgwSession->new($node);
	my @holders = map { PgwSession->new($node) } 1 .. 2;
	my $pay = sub { $payer->query('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $_[0])) };
	my $hold = 'BEGIN; LOCK TABLE pgw.payments IN ROW EXCLUSIVE MODE';
	my $is = sub { $node->poll_query_until('postgres', "SELECT indisready FROM pg_index WHERE indexrelid = to_regclass('pgw.mine')", $_[0]) };
	my $entries = sub { $node->safe_psql('postgres', q{SELECT count(*) FROM bt_page_items('pgw.mine', 1)}) };
	$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS pageinspect');
	is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'index-1')), 'captured', 'a payment');
	$holders[0]->query($hold);
	my $create = psql_start($node, q{CREATE INDEX CONCURRENTLY mine ON pgw.payments (client_request_id) WHERE client_request_id LIKE 'index-%'});
	ok($is->('f'), 'an index is there, and waits for writers before it is filled');
	is($pay->('index-2'), 'captured', 'a session pays for the first time, and so sees the index as it is now');
	$holders[1]->query($hold);
	$holders[0]->query('COMMIT');
	ok($is->('t'), 'the index is filled, and waits for writers again');
	is($entries->(), 2, 'with what there is');
	is($pay->('index-3'), 'captured', 'the session pays');
	is($entries->(), 3, 'and its row is in the index');
	$holders[1]->query('COMMIT');
	$create->{h}->finish;
	$node->safe_psql('postgres', 'DROP INDEX pgw.mine; DROP EXTENSION pageinspect');
});

part($node, 'operations', sub {
	my $calls = under_reindex('refunds', 'pgw.payment_transactions_operation',
		"SELECT pgw.refund_payment('$payment', 'refund ' || (SELECT nextval('refunds') / 4), 1);");
	cmp_ok($calls, '>', $node->safe_psql('postgres', "SELECT count(*) FROM pgw.payment_transactions WHERE kind = 'refund'"), 'refunds: many calls were replays');
	is_sound($node, $bank, 'refunds: sound', seconds => 120);
});

$node->stop('fast');
done_testing();
