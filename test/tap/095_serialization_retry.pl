# The promise that only pgw makes: transactions that really conflict fail with a serialization failure after the bank has approved, the client
# repeats them as PostgreSQL says it must, and the money is taken once per committed order. No refund, no void: the retry adopts the charge.
#
# pgbench is the client: it repeats a failed transaction with the same variables, so with the same client_request_id.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('retry');
my $bank = bank_start('--delay-ms', 5);
pgw_setup($node, $bank);
is($node->safe_psql('postgres', 'SHOW pgw.compensation_delay'), '5s', 'with the default pgw.compensation_delay');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE orders (id text PRIMARY KEY, payment_id uuid NOT NULL REFERENCES pgw.payments, amount int NOT NULL);
CREATE TABLE stock (item int PRIMARY KEY, n int NOT NULL);
CREATE TABLE duty (doctor int PRIMARY KEY, shifts int NOT NULL);
INSERT INTO stock VALUES (1, 1000);
INSERT INTO duty VALUES (1, 0), (2, 0);
SQL

# Run a transaction by several clients until it has committed $clients * $times times. Returns how often it had to be repeated.
sub run_pgbench
{
	my ($name, $clients, $times, $script) = @_;
	my $file = $node->basedir . "/$name.sql";
	append_to_file($file, $script);
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-f', $file, '-c', $clients, '-j', 2, '-t', $times,
			'--max-tries', 10000, '--failures-detailed', 'postgres' ], '>', \$out, '2>', \$err, IPC::Run::timeout(120));
	ok($ok, "$name: $clients clients") or diag($err);
	like($out, qr/number of transactions actually processed: ${\ ($clients * $times)}\/${\ ($clients * $times)}\n/, "$name: all transactions are committed in the end") or diag($out);
	like($out, qr/number of deadlock failures: 0 /, "$name: no deadlock");
	return $out =~ /total number of retries: (\d+)/ ? $1 : 0;
}

# What must be true after it: of the orders with this prefix, and of the whole ledger.
sub all_paid_once
{
	my ($name, $orders, $repeated, $at_least) = @_;
	my $ids = "client_request_id LIKE '$name-%'";
	is($node->safe_psql('postgres', "SELECT count(*) FROM orders WHERE id LIKE '$name-%'"), $orders, "$name: $orders orders");
	is($node->safe_psql('postgres', "SELECT count(*) FROM orders o JOIN pgw.payments p USING (payment_id) WHERE o.id LIKE '$name-%' AND p.client_request_id = o.id
		AND p.status = 'captured' AND p.captured_amount = o.amount"), $orders, "$name: each with its payment");

	my $ledger = bank_ledger($bank);
	my @charges = grep { $_->{merchant_reference} =~ /^$name-/ } @{ $ledger->{charges} };
	is(scalar @charges, $orders, "$name: as many charges as orders");
	is(scalar(grep { $_->{status} ne 'approved' || $_->{voided} || $_->{refunded} } @charges), 0, "$name: all of them stand");
	is(@{ $ledger->{refunds} } + @{ $ledger->{voids} }, 0, "$name: no refund and no void in the ledger");

	# An adoption of an approved attempt is a caller that failed after the approval.
	my $adopted = $node->safe_psql('postgres', "SELECT count(*) FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE $ids AND e.event_type = 'TransactionAdopted' AND e.from_status = 'BankApproved'");
	note "$name: $repeated repeated transactions, $adopted of them after the approval";
	cmp_ok($adopted, '>=', $at_least, "$name: at least $at_least serialization failures after the approval");
	cmp_ok($adopted, '<=', $repeated, "$name: and no more adoptions than repetitions");
	is($node->safe_psql('postgres', "SELECT count(*) FROM pgw.payment_transactions WHERE $ids"), $orders, "$name: one attempt per order");
	is($node->safe_psql('postgres', "SELECT DISTINCT flow FROM (SELECT string_agg(e.event_type::text, ',' ORDER BY e.step_order) AS flow
		FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE $ids GROUP BY transaction_id) f
		WHERE flow !~ '^TransactionStarted,BankProcessingStarted,BankProcessingCompleted,PaymentDataSaveStarted(,TransactionAdopted,PaymentDataSaveStarted)*,PaymentDataSaveCompleted,TransactionCompleted\$'"),
		'', "$name: the events are the flow of success, or of an adopted retry");
	is($node->safe_psql('postgres', "SELECT count(*) FROM pgw.payments WHERE $ids"), $orders, "$name: no other payment");
}

# Two doctors share the duty: each transaction reads both rows and changes one of them. Only SERIALIZABLE sees that these conflict, and it
# sees it late: most failures come with the COMMIT.
my $repeated = run_pgbench('skew', 8, 12, <<'SQL');
\set order random(1, 1000000000)
\set doctor random(1, 2)
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT sum(shifts) AS before FROM duty \gset
INSERT INTO orders SELECT 'skew-' || :client_id || '-' || :order, payment_id, amount
	FROM pgw.process_payment('skew-' || :client_id || '-' || :order, 300, 'EUR', 'tok_ok', reference => 'skew-' || :client_id || '-' || :order);
UPDATE duty SET shifts = shifts + 1 WHERE doctor = :doctor;
COMMIT;
SQL
all_paid_once('skew', 96, $repeated, 50);
is($node->safe_psql('postgres', 'SELECT sum(shifts) FROM duty'), 96, 'skew: and the shared rows count every order');

# The last piece of stock is sold once: the counter is read before the payment and written after it.
$repeated = run_pgbench('stock', 8, 8, <<'SQL');
\set order random(1, 1000000000)
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT n FROM stock WHERE item = 1 \gset
INSERT INTO orders SELECT 'stock-' || :client_id || '-' || :order, payment_id, amount
	FROM pgw.process_payment('stock-' || :client_id || '-' || :order, 200, 'EUR', 'tok_ok', reference => 'stock-' || :client_id || '-' || :order);
UPDATE stock SET n = :n - 1 WHERE item = 1;
COMMIT;
SQL
all_paid_once('stock', 64, $repeated, 50);
is($node->safe_psql('postgres', 'SELECT n FROM stock'), 1000 - 64, 'stock: no piece was sold twice');

# The lost update that REPEATABLE READ prevents, in the same way.
$repeated = run_pgbench('lost', 8, 8, <<'SQL');
\set order random(1, 1000000000)
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT n FROM stock WHERE item = 1 \gset
INSERT INTO orders SELECT 'lost-' || :client_id || '-' || :order, payment_id, amount
	FROM pgw.process_payment('lost-' || :client_id || '-' || :order, 100, 'EUR', 'tok_ok', reference => 'lost-' || :client_id || '-' || :order);
UPDATE stock SET n = :n - 1 WHERE item = 1;
COMMIT;
SQL
all_paid_once('lost', 64, $repeated, 50);
is($node->safe_psql('postgres', 'SELECT n FROM stock'), 1000 - 128, 'lost: no update was lost');

is_sound($node, $bank, 'tables and ledger agree');
$node->stop('fast');
done_testing();
