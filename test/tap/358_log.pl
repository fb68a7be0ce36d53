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
sub pay { my ($function, $id) = @_; return 'SELECT status FROM ' . pay_sql($function, client_request_id => $id, $function eq 'process_payment' ? (timeout => '600s') : ()) . ";\n" }
sub rest { return ok(wait_rest($node, $bank, seconds => 180), 'at rest') }

# What the tables of payments and their indexes are called by their files.
sub files
{
	return map { split /\|/ } split /\n/, sql("SELECT pg_relation_filenode(x.oid), t.name FROM (
		SELECT c.oid, c.oid::regclass::text AS name FROM pg_class c
		WHERE c.oid = ANY (ARRAY['pgw.payments', 'pgw.payment_transactions', 'pgw.bank_references', 'pgw.open_work']::regclass[])
		UNION ALL SELECT inhrelid, 'events' FROM pg_inherits WHERE inhparent = 'pgw.transaction_events'::regclass) t
		CROSS JOIN LATERAL (SELECT t.oid UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = t.oid) x (oid)");
}

# Records by table and kind, and their bytes, of so many calls: each in a transaction of its own, one after the other, in one session.
sub written
{
	my ($function, $status) = @_;
	my ($bytes, %count) = (0);
	my $begin = sql('SELECT pg_current_wal_insert_lsn()');
	my $segment = sql('SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
	is(sql(join '', map { pay($function, substr($function, 0, 1) . $_) } 1 .. $payments), join("\n", ($status) x $payments), "$function: $payments payments");
	rest();
	my $end = sql('SELECT pg_current_wal_insert_lsn()');
	flush_wal($node);
	is(sql('SELECT pg_walfile_name(pg_current_wal_insert_lsn())'), $segment, 'the log is in one file');
	my %table = files();
	my $dump = qx(pg_waldump -p '@{[$node->data_dir]}/pg_wal' -s $begin -e $end $segment);
	for (split /\n/, $dump)
	{
		my ($length, $what) = m{len \(rec/tot\):\s*\d+/\s*(\d+),.* desc: (\w+)} or next;
		my ($file) = m{rel \d+/\d+/(\d+)};
		next unless defined $file && defined $table{$file};
		$bytes += ($length + 7) & ~7;
		$count{"$table{$file} $what"}++;
	}
	cmp_ok($count{'events INSERT'} // 0, '>', 5 * $payments, "$function: the events are there");
	return ($bytes, \%count);
}

sub few { my ($count, $what, $name) = @_; return cmp_ok($count->{$what} // 0, '<', $payments / 10, $name) }

is(sql(pay('process_payment', 'before')), 'captured', 'the first payment');
rest();
my ($bytes, $processed) = written('process_payment', 'captured');
cmp_ok($processed->{'pgw.payment_transactions HOT_UPDATE'} // 0, '>=', 2 * $payments, 'every update of an attempt is HOT');
few($processed, 'pgw.payment_transactions LOCK', 'an attempt is not locked before it is written');
few($processed, 'pgw.payments LOCK', 'nor a payments row');
few($processed, 'pgw.bank_references HEAP_CONFIRM', q{a bank's id is written once});
# 3,300 are wanted, for ids as short as these.
cmp_ok($bytes / $payments, '<=', 3300, 'the bytes of a payment');
note sprintf '%d bytes', $bytes / $payments;

my ($more, $submitted) = written('submit_payment', 'pending');
few($submitted, 'pgw.payment_transactions LOCK', 'a submitted attempt is not locked before it is written, nor looked at when it is over');
note sprintf '%d bytes', $more / $payments;
is_sound($node, $bank, 'sound');

$node->stop('fast');
done_testing();
