# DROP EXTENSION is also refused where a DBA has moved or renamed pgw's tables: what cannot be found cannot be looked at.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use Test::More;

my $node = pgw_node('drop_moved');
my $bank = bank_start();
pgw_setup($node, $bank);

is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'kept')), 'captured', 'a payment');
$node->safe_psql('postgres', 'ALTER EVENT TRIGGER pgw_keep_baseline DISABLE');	# else no table can be moved
for my $move ([ 'ALTER TABLE pgw.payments SET SCHEMA public', 'ALTER TABLE public.payments SET SCHEMA pgw' ],
	[ 'ALTER TABLE pgw.payments RENAME TO old', 'ALTER TABLE pgw.old RENAME TO payments' ],
	[ 'ALTER TABLE pgw.payment_transactions SET SCHEMA public', 'ALTER TABLE public.payment_transactions SET SCHEMA pgw' ],
	[ 'ALTER TABLE pgw.payments RENAME TO old; CREATE TABLE pgw.payments (payment_id uuid)', 'ALTER TABLE pgw.payments RENAME TO theirs; ALTER TABLE pgw.old RENAME TO payments; DROP TABLE pgw.theirs' ])
{
	my ($there, $back) = @$move;
	$node->safe_psql('postgres', $there);
	for my $how ('DROP EXTENSION pgw CASCADE', 'SET pgw.allow_drop = on; DROP EXTENSION pgw CASCADE', 'SET pgw.allow_drop = on; DROP EXTENSION plpgsql CASCADE')
	{
		my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$how", on_error_stop => 0);
		like($err, qr/ERROR:  55000: cannot drop pgw: its table .* is not where CREATE EXTENSION has made it/, "$there: $how");
	}
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_extension WHERE extname = 'pgw'"), 1, 'it is still there');
	$node->safe_psql('postgres', "SET pgw.allow_drop = on; $back");
}
$node->safe_psql('postgres', 'ALTER SCHEMA pgw RENAME TO other');
isnt(($node->psql('postgres', 'DROP EXTENSION pgw CASCADE'))[0], 0, 'the schema has another name: refused, too');
$node->safe_psql('postgres', 'ALTER SCHEMA other RENAME TO pgw; ALTER EVENT TRIGGER pgw_keep_baseline ENABLE ALWAYS');
is($node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'after')), 'captured', 'all in its place: payments go on');
is_reconciled($node, $bank);
$node->safe_psql('postgres', 'SET pgw.allow_drop = on; DROP EXTENSION pgw');
pass('and with the setting it can be dropped');
done_testing();
