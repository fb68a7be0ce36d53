# The records of payments are not deleted without a word, by whatever way the extension goes; and never while something is open at a bank.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use JSON::PP ();
use PgwSession;
use Test::More;

my $bank = bank_start();
my $node = pgw_node('drop', debug => 1, conf => "fsync = off\npgw.compensation_delay = 50ms\n");
pgw_setup($node, $bank);

# The extension of this one is another role's, so that DROP OWNED can reach it.
$node->safe_psql('postgres', 'CREATE ROLE admin SUPERUSER; CREATE ROLE client LOGIN');
$node->safe_psql('postgres', 'CREATE DATABASE owned');
$node->safe_psql('owned', "SET SESSION AUTHORIZATION admin; CREATE EXTENSION pgw;
	INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('bank', 'json', '$bank->{url}', 'bank')");
ok(wait_worker($node, 'owned'), 'a database with an owner of its own');

sub pay
{
	my ($db, $id, @more) = @_;
	return $node->safe_psql($db, 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, @more));
}

sub refused
{
	my ($db, $sql, $re, $name) = @_;
	my (undef, undef, $err) = $node->psql($db, "\\set VERBOSITY verbose\n$sql", on_error_stop => 0);
	like($err, $re, "$name: $sql");
	is($node->safe_psql($db, "SELECT count(*) FROM pg_extension WHERE extname = 'pgw'"), 1, "$name: it is still there");
}

my @ways = ([ 'postgres', 'DROP EXTENSION pgw' ], [ 'postgres', 'DROP EXTENSION pgw CASCADE' ], [ 'postgres', 'DROP EXTENSION plpgsql CASCADE' ],
	[ 'postgres', 'BEGIN; SAVEPOINT s; DROP EXTENSION IF EXISTS pgw CASCADE; COMMIT' ],
	[ 'owned', 'DROP OWNED BY admin CASCADE' ], [ 'owned', 'DROP OWNED BY admin' ]);
my @always = ([ 'postgres', 'DROP SCHEMA pgw CASCADE' ], [ 'postgres', 'DROP LANGUAGE plpgsql CASCADE' ], [ 'postgres', 'DROP TABLE pgw.payments CASCADE' ], [ 'postgres', 'TRUNCATE pgw.payments CASCADE' ],
	[ 'postgres', 'TRUNCATE pgw.payment_transactions' ], [ 'postgres', 'TRUNCATE pgw.transaction_events' ], [ 'postgres', 'TRUNCATE pgw.transaction_events_default' ],
	[ 'postgres', 'TRUNCATE pgw.resumptions' ]);
my $month = "to_char(now() AT TIME ZONE 'UTC', '\"pgw.transaction_events_y\"YYYY\"m\"MM')";

part($node, 'nothing to lose', sub {
	$node->safe_psql('postgres', 'CREATE DATABASE empty');
	pgw_setup($node, $bank, db => 'empty');
	$node->safe_psql('empty', 'DROP EXTENSION pgw');
	pgw_setup($node, $bank, db => 'empty');
	# Somebody's payment is committed between the first look and the locks.
	my $caller = PgwSession->new($node, db => 'empty');
	$caller->query('BEGIN');
	$caller->query("SELECT pgw.submit_payment('late', 100, 'EUR', 'tok_ok')");
	my $dropper = PgwSession->new($node, db => 'empty', name => 'dropper');
	$dropper->send('DROP EXTENSION pgw');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'dropper' AND wait_event_type = 'Lock'"),
		'no payments yet, and one that is not committed: DROP EXTENSION waits');
	$caller->query('COMMIT');
	$dropper->wait;
	is($dropper->state, '2BP01', 'and is refused when it is');
	ok($node->poll_query_until('empty', "SELECT transaction_status = 'Completed' FROM pgw.find_payment('late')"), 'which is then made');
	$node->safe_psql('postgres', 'DROP DATABASE empty WITH (FORCE)');
	pass('DROP DATABASE is the word of who owns it');
});

part($node, 'open at the bank', sub {
	my $caller = PgwSession->new($node);
	$caller->send('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'slow', token => 'tok_slow_15000'));
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgw.payment_transactions WHERE live AND status = 'Created'"), 'a call is out');
	refused('postgres', $_ . 'DROP EXTENSION pgw', qr/ERROR:  55006: cannot drop pgw: 1 payments.* are open at a bank\nDETAIL:  .*Created.*\nHINT:  .*resolve_review/s, 'a call is out')
	  for '', 'SET pgw.allow_drop = on; ';
	is($caller->wait, 'captured', 'its caller does not notice');

	# decided by nobody yet
	$node->safe_psql('postgres', 'BEGIN; SELECT ' . pay_sql('process_payment', client_request_id => 'prepared') . "; PREPARE TRANSACTION 'p'");
	refused('postgres', 'SET pgw.allow_drop = on; DROP EXTENSION pgw', qr/55006: .*BankApproved/s, 'a caller has prepared');
	$node->safe_psql('postgres', "COMMIT PREPARED 'p'");

	bank_control($bank, 'settings', { lookup => JSON::PP::false });
	for my $db ('postgres', 'owned')
	{
		$node->safe_psql($db, 'SELECT ' . pay_sql('process_payment', client_request_id => 'doubt', token => 'tok_500_after', timeout => '5s'));
		ok($node->poll_query_until($db, "SELECT status = 'BankUnknown' FROM pgw.payment_transactions WHERE client_request_id = 'doubt'"), "$db: an unknown outcome");
	}
	for my $way (@ways)
	{
		refused($way->[0], $_ . $way->[1], qr/ERROR:  55006: cannot drop pgw: 1 payments.* are open at a bank\nDETAIL:  .*BankUnknown/s, 'an unknown outcome')
		  for '', 'SET pgw.allow_drop = on; ';
	}
	my $partition = $node->safe_psql('postgres', "SELECT $month");
	refused('postgres', "SET pgw.allow_drop = on; DROP TABLE $partition", qr/55006: .*BankUnknown/s, 'its events');

	# In a copy of the database it is the original's.
	$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE owned');
	ok(wait_worker($node, 'copy'), 'a copy of the database');
	refused('copy', 'DROP EXTENSION pgw', qr/2BP01: cannot drop pgw/, 'a copy of the database');
	$node->safe_psql('copy', 'SET pgw.allow_drop = on; DROP EXTENSION pgw');
	pass('a copy of the database: the setting allows it, as nothing open there is its own');
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	for my $db ('postgres', 'owned')
	{
		$node->safe_psql($db, 'SELECT pgw.run_recovery()');
		ok($node->poll_query_until($db, "SELECT status = 'Completed' FROM pgw.payment_transactions WHERE client_request_id = 'doubt'"), "$db: an unknown outcome is found out");
	}
});

part($node, 'payments', sub {
	pay($_, 'done') for 'postgres', 'owned';
	ok(wait_rest($node, $bank, db => $_), "$_: nothing is under way") for 'postgres', 'owned';
	for my $way (@ways)
	{
		refused(@$way, qr/ERROR:  2BP01: cannot drop (pgw|table pgw\.\w+): it holds the (records|events) of payments\nDETAIL:  \d+ .*\nHINT:  .*pgw.allow_drop/s, 'payments');
	}
	refused(@$_, qr/ERROR:  /, 'payments, whatever the setting') for @always, map { [ $_->[0], "SET pgw.allow_drop = on; $_->[1]" ] } @always;
	my $partition = $node->safe_psql('postgres', "SELECT $month");
	refused('postgres', "DROP TABLE $partition", qr/2BP01: cannot drop table pgw\.\w+: it holds the events of payments\nDETAIL:  \d+ events/s, 'payments');
	refused('postgres', 'BEGIN; ALTER EVENT TRIGGER pgw_keep_baseline DISABLE; ALTER EXTENSION pgw DROP TABLE pgw.payments; DROP TABLE pgw.payments CASCADE; COMMIT', qr/2BP01: cannot drop pgw: it holds/, 'payments');
	refused('postgres', 'SET SESSION AUTHORIZATION client; SET pgw.allow_drop = on', qr/42501/, 'an ordinary role');
	my (undef, undef, $err) = $node->psql('postgres', 'SET client_min_messages = warning; CREATE TABLE t (); CREATE SCHEMA s; CREATE TABLE s.t (); DROP TABLE t; DROP SCHEMA s CASCADE; CREATE TEMP TABLE u (); DISCARD TEMP');
	is($err, '', 'other tables are dropped as ever') or diag($err);
	is($node->safe_psql('postgres', 'SELECT count(*) > 0 FROM pgw.payments'), 't', 'the payments are there');
});

part($node, 'not preloaded', sub {
	pay('postgres', 'before');
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
	$node->restart;
	refused(@$_, qr/ERROR:  2BP01: cannot drop .*: it holds/, 'not preloaded') for @ways[ 0, 2, 4 ];
	my $partition = $node->safe_psql('postgres', "SELECT $month");
	refused('postgres', "DROP TABLE $partition", qr/2BP01: cannot drop table/, 'not preloaded');
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pgw'\n");
	$node->restart;
	ok(wait_worker($node), 'preloaded again');
});

part($node, 'allowed', sub {
	pay($_, 'last') for 'postgres', 'owned';
	ok(wait_rest($node, $bank, db => $_), "$_: nothing is under way") for 'postgres', 'owned';
	my $session = PgwSession->new($node);
	$session->query('SET pgw.allow_drop = on');
	$session->query('BEGIN; DROP EXTENSION pgw; ROLLBACK');
	is(pay('postgres', 'after a rollback'), 'captured', 'dropped, and rolled back: it pays');
	$session->query('DROP EXTENSION pgw');
	is($session->state, '00000', 'a superuser has allowed it');
	$node->safe_psql('owned', 'SET pgw.allow_drop = on; DROP OWNED BY admin');
	is($node->safe_psql($_, "SELECT count(*) FROM pg_extension WHERE extname = 'pgw'"), 0, "$_: dropped") for 'postgres', 'owned';
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND datname IN ('postgres', 'owned')"), 'and the workers go');
	pgw_setup($node, $bank);
	ok(wait_until(sub { my ($rc, $out) = $node->psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'again')); $rc == 0 && $out eq 'captured' }, 20),
		'created again, it pays');
});

$node->stop('fast');
done_testing();
