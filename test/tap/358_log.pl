# What a payment writes into the log (docs/performance.md): no lock before an update, no second record for a bank's id, and no more bytes than were wanted.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use Test::More;

my $payments = 60;
my $node = pgw_node('log', conf => "fsync = off\nfull_page_writes = off\nautovacuum = off");
my $bank = bank_start();
pgw_setup($node, $bank);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, timeout => '600s') . ";\n" }

is(sql(pay('before')), 'captured', 'the first payment');
ok(wait_rest($node, $bank), 'at rest');

# Each in a transaction of its own, one after the other, in one session.
my $begin = sql('SELECT pg_current_wal_insert_lsn()');
my $segment = sql('SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
is(sql(join '', map { pay("log $_") } 1 .. $payments), join("\n", ('captured') x $payments), "$payments payments");
ok(wait_rest($node, $bank), 'at rest');
my $end = sql('SELECT pg_current_wal_insert_lsn()');
flush_wal($node);
is(sql('SELECT pg_walfile_name(pg_current_wal_insert_lsn())'), $segment, 'the log is in one file');

# What the tables of payments and their indexes are called by their files.
my %table = map { split /\|/ } split /\n/, sql("SELECT pg_relation_filenode(x.oid), t.name FROM (
	SELECT c.oid, c.oid::regclass::text AS name FROM pg_class c
	WHERE c.oid = ANY (ARRAY['pgw.payments', 'pgw.payment_transactions', 'pgw.bank_references']::regclass[])
	UNION ALL SELECT inhrelid, 'events' FROM pg_inherits WHERE inhparent = 'pgw.transaction_events'::regclass) t
	CROSS JOIN LATERAL (SELECT t.oid UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = t.oid) x (oid)");
my ($bytes, %count) = (0);
my $dump = qx(pg_waldump -p '@{[$node->data_dir]}/pg_wal' -s $begin -e $end $segment);
for (split /\n/, $dump)
{
	my ($length, $what) = m{len \(rec/tot\):\s*\d+/\s*(\d+),.* desc: (\w+)} or next;
	my ($file) = m{rel \d+/\d+/(\d+)};
	next unless defined $file && defined $table{$file};
	$bytes += ($length + 7) & ~7;
	$count{"$table{$file} $what"}++;
}
sub few { my ($what, $name) = @_; return cmp_ok($count{$what} // 0, '<', $payments / 10, $name) }

cmp_ok($count{'pgw.payment_transactions HOT_UPDATE'} // 0, '>=', 2 * $payments, 'every update of an attempt is HOT');
cmp_ok($count{'events INSERT'} // 0, '>', 5 * $payments, 'the events are there');
few('pgw.payment_transactions LOCK', 'an attempt is not locked before it is written');
few('pgw.payments LOCK', 'nor a payments row');
few('pgw.bank_references HEAP_CONFIRM', q{a bank's id is written once});
# 3,300 are wanted, with four commits of 40 each, which are not counted here.
cmp_ok($bytes / $payments, '<=', 3300 - 4 * 40, 'the bytes of a payment');
note sprintf '%d bytes', $bytes / $payments;
is_sound($node, $bank, 'sound');

$node->stop('fast');
done_testing();
