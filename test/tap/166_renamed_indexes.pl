# A DBA renames indexes of pgw's: they are told by their columns, so payments, retries, operations and quotas go on.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('renamed', conf => "pgw.compensation_delay = '200ms'\n");
my $bank = bank_start();

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

pgw_setup($node, $bank);
is(sql(pay('before')), 'captured', 'a payment');

my $renamed = sql(<<'SQL');
SELECT format('ALTER INDEX pgw.%I RENAME TO %I', c.relname, 'dba_' || row_number() OVER (ORDER BY c.oid))
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid IN ('pgw.payments'::regclass, 'pgw.payment_transactions'::regclass, 'pgw.open_work'::regclass, 'pgw.open_work_mark'::regclass)
SQL
sql($_) for split /\n/, $renamed;
# and has others of his own, which look alike
sql($_) for 'CREATE INDEX dba_not_live ON pgw.payment_transactions (client_request_id, merchant) WHERE NOT live',
  "CREATE INDEX dba_kept ON pgw.payment_transactions (client_request_id, merchant) WHERE NOT given_up",
  "CREATE UNIQUE INDEX dba_reference ON pgw.payment_transactions (client_request_id, merchant, kind) WHERE kind = 'refund' AND live";
cmp_ok(sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'dba\\_%' AND relkind = 'i'"), '>=', 12, 'all indexes of its tables have other names');

is(sql(pay('after')), 'captured', 'a payment');
is(sql(pay('after')), 'captured', '... and its retry');
sql('BEGIN; ' . pay('left') . '; ROLLBACK');
ok(wait_until(sub { status_of($node, 'left') eq 'Refunded' }, 20), 'one whose caller rolls back is given back');
is(sql("SELECT transaction_status FROM pgw.find_payment('left')"), 'Refunded', '... and found by its id');
is(sql(pay('left')), 'captured', 'a second call charges again');
is(sql(pay('declined', token => 'tok_decline_do_not_honor')), 'declined', 'a decline');
is(sql(pay('declined', token => 'tok_decline_do_not_honor')), 'declined', '... is the answer to a retry');
my $payment = sql("SELECT payment_id FROM pgw.payments WHERE client_request_id = 'after'");
sql("SELECT pgw.refund_payment(payment_id => '$payment', client_request_id => 'refund')") for 1 .. 2;
ok(wait_until(sub { sql("SELECT string_agg(status::text, ',') FROM pgw.payment_transactions WHERE client_request_id = 'refund'") eq 'Completed' }, 20), 'a refund that is asked for twice is one');
is(sql("SELECT count(DISTINCT transaction_id) FROM pgw.payment_history('$payment')"), 2, 'the history of the payment has it');
sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => "submitted-$_", token => 'tok_slow_3000')) for 1 .. 2;
ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE submitted AND kind = 'payment' AND status = 'Completed'") == 2 }, 30), 'submitted payments are made');
is_sound($node, $bank, 'all is sound');

$node->stop('fast');
done_testing();
