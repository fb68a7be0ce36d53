# pgw.purge_test_data(): what moved no money goes when it is over; what is real, open or perhaps yet to be kept stays.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('purge', conf => "pgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub refused { my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$_[0]"); return $err =~ /ERROR:\s+(\w{5}):/ ? $1 : '' }
sub pay { my ($id, %a) = @_; return pay_sql('process_payment', client_request_id => $id, bank => 'test', %a) }
sub counts { return sql('SELECT (SELECT count(*) FROM pgw.payments), (SELECT count(*) FROM pgw.payment_transactions),
	(SELECT count(DISTINCT transaction_id) FROM pgw.transaction_events), (SELECT count(*) FROM pgw.test_bank_ledger)') }
sub at_rest { return wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE status NOT IN ('Completed', 'Failed', 'Refunded')") == 0 }, 30) }

# real ones, which stay
sql('SELECT ' . pay_sql('process_payment', client_request_id => "real $_")) for 1 .. 3;
is(sql('SELECT bank FROM pgw.payments WHERE livemode LIMIT 1'), 'bank', 'a real payment goes to a real bank');
my $real = counts();

part($node, 'what is over', sub {
	sql('SELECT ' . pay("test $_")) for 1 .. 3;
	sql('SELECT ' . pay('no', token => 'tok_decline_fraud'));
	sql('BEGIN; SELECT ' . pay('back') . '; ROLLBACK');
	sql("SELECT pgw.refund_payment((SELECT payment_id FROM pgw.find_payment('test 1')), 'r', 100)");
	ok(at_rest(), 'at rest');
	is(sql('SELECT payments, attempts, ledger_rows FROM pgw.purge_test_data()'), '4|6|7', 'payments, attempts and the ledger go');
	is(counts(), $real, 'and real ones stay, with their events');
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'the records agree with themselves');
	is(sql('SELECT status, replayed FROM ' . pay('test 1')), 'captured|f', 'its id can be used again');
	is(sql("SELECT payments FROM pgw.purge_test_data()"), 1, 'and goes again');
});

part($node, 'others meanwhile', sub {
	my $other = PgwSession->new($node);
	$other->run('BEGIN; CREATE TABLE of_others ()');
	sql('SELECT ' . pay('meanwhile'));
	ok(at_rest(), 'at rest');
	is(sql('SELECT payments, attempts FROM pgw.purge_test_data()'), '1|1', 'whoever else has a transaction open keeps nothing');
	# a caller that is over for itself, and not for the snapshot
	my $caller = PgwSession->new($node);
	$caller->run('BEGIN; SELECT ' . pay('seen late', token => 'tok_decline_fraud'));
	my $purge = PgwSession->new($node);
	$purge->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pgw.payments');
	$caller->run('COMMIT');
	is($purge->run('SELECT payments, attempts FROM pgw.purge_test_data()'), '0|0', 'what has ended since a snapshot is open for it');
	$_->run('ROLLBACK') for $purge, $other;
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'no attempt has lost its payment');
	is(sql('SELECT payments, attempts FROM pgw.purge_test_data()'), '1|1', 'and then it goes');
});

part($node, 'what is open', sub {
	my $open = PgwSession->new($node);
	$open->run('BEGIN; SELECT ' . pay('open') . '; SELECT ' . pay('open no', token => 'tok_decline_fraud'));
	sql('SELECT ' . pay('waits', token => 'tok_charge_pending_done_3600000', timeout => '1s'));
	is(sql('SELECT payments, attempts FROM pgw.purge_test_data()'), '0|0', 'what a caller has not ended, and what the bank has not decided');
	$open->run('COMMIT');
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'so that the caller can keep it');
	is(sql('SELECT payments, attempts FROM pgw.purge_test_data()'), '2|2', 'it goes when it is over');
	is(sql("SELECT status FROM pgw.payments WHERE NOT livemode"), 'pending', 'what is in doubt stays');
});

part($node, 'nothing else', sub {
	sql('SELECT ' . pay('kept'));
	is(refused('DELETE FROM pgw.payments WHERE NOT livemode'), 'PW422', 'not by hand: payments');
	is(refused('DELETE FROM pgw.payment_transactions WHERE NOT livemode'), 'PW422', '... attempts');
	is(refused('DELETE FROM pgw.transaction_events'), 'PW422', '... events');
	is(refused('DELETE FROM pgw.test_bank_ledger'), 'PW422', "... the ledger");
	is(refused('TRUNCATE pgw.test_bank_ledger'), 'PW422', "... all of it");
	is(refused('SET session_replication_role = replica; DELETE FROM pgw.test_bank_ledger'), 'PW422', '... as a replica');
	# code that others have put onto a table does not delete along with it
	sql('CREATE FUNCTION too_much() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN DELETE FROM pgw.transaction_events; RETURN OLD; END$$;
		CREATE TRIGGER too_much BEFORE DELETE ON pgw.payments FOR EACH ROW EXECUTE FUNCTION too_much()');
	is(refused('SELECT pgw.purge_test_data()'), 'PW422', 'nor by a trigger');
	sql('DROP TRIGGER too_much ON pgw.payments');
	is(refused('SELECT pgw.purge_test_data(); DELETE FROM pgw.payments'), 'PW422', 'nor afterwards');
	sql("CREATE ROLE app; SELECT pgw.grant_access('app', 'operator')");
	is(refused('SET ROLE app; SELECT pgw.purge_test_data()'), '42501', 'nor by anybody but the owner');
	# a failure leaves nothing open
	sql("SELECT " . pay('mine') . "; CREATE TABLE orders (payment_id uuid REFERENCES pgw.payments); INSERT INTO orders SELECT payment_id FROM pgw.find_payment('mine')");
	is(refused('SELECT pgw.purge_test_data()'), '23503', 'a row of the application refers to it');
	is(refused("DO \$\$BEGIN PERFORM pgw.purge_test_data(); EXCEPTION WHEN OTHERS THEN DELETE FROM pgw.test_bank_ledger; END\$\$"), 'PW422', 'and after that nothing can be deleted');
	is(sql("SELECT count(*) FROM pgw.payments WHERE livemode"), 3, 'real ones are all there');
	# who says of a real payment that it is none
	sql('DROP TABLE orders; UPDATE pgw.payments SET livemode = false WHERE livemode');
	is(refused('UPDATE pgw.payment_transactions SET livemode = false WHERE livemode'), 'PW422', 'an attempt stays what it is');
	sql('SELECT pgw.purge_test_data()');
	is(sql("SELECT count(*) FROM pgw.payments WHERE client_request_id LIKE 'real %'"), 3, 'and keeps its payment');
});

$node->stop('fast');
done_testing();
