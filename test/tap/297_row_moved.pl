# Where an attempt's row was written last is known while its bank is called.  By the time of the answer the table can have been rewritten, and another
# attempt's row can lie there: the answer goes to its own.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use Test::More;

my $node = pgw_node('row_moved', debug => 1, conf => 'fsync = off');
my $bank = bank_start();
pgw_setup($node, $bank);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a)) }
sub place_of { return sql("SELECT ctid FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }

part($node, 'rewritten', sub {
	is(pay("before $_"), 'captured', "before: payment $_") for 1 .. 3;
	my $usual = events($node, 'before 3');
	bank_control($bank, 'settings', { delay_ms => 15_000 });
	is(pay('moved', timeout => '300ms'), 'pending', 'its bank takes longer than its caller waits');
	bank_control($bank, 'settings', { delay_ms => 0 });
	my $was = place_of('moved');
	sql("SELECT count(pgw.process_payment('after ' || n, 1234, 'EUR', 'tok_ok')) FROM generate_series(1, 20) n");
	sql('VACUUM FULL pgw.payment_transactions');
	isnt(place_of('moved'), $was, 'the row lies elsewhere');
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE ctid = '$was'"), 1, 'and another one where it was');
	is(events($node, 'moved'), 'TransactionStarted,BankProcessingStarted', 'the answer is still to come');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payments WHERE client_request_id = 'moved'") eq 'captured' }, 60), 'it is captured');
	is(events($node, 'moved'), $usual, 'by its own answer');
	is_sound($node, $bank, 'rewritten: sound');
});

$node->stop('fast');
done_testing();
