# Real payments and those for tests under one id: neither is an answer to the other, nor taken over by it.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

# an attempt without a caller waits for the next one
my $node = pgw_node('mode', conf => "pgw.compensation_delay = '20s'\npgw.retry_base_delay = '100ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return pay_sql('process_payment', client_request_id => $id, %a) }
my %in = (real => PgwSession->new($node), test => PgwSession->new($node));
$in{test}->query('SET pgw.test_mode = on');

for my $first (qw(real test))
{
	my $second = $first eq 'real' ? 'test' : 'real';
	my ($id, $mode) = ("$first first", $first eq 'real' ? 't' : 'f');
	part($node, $id, sub {
		is($in{$first}->query('BEGIN; SELECT status, livemode FROM ' . pay($id) . '; ROLLBACK'), "captured|$mode", 'charged, and the caller is gone');
		$in{$second}->run('SELECT ' . pay($id));
		is($in{$second}->state, 'PW422', 'not taken over by a call of the other mode');
		like($in{$second}->err, qr/"fields": \["livemode"\]/, 'which is told why');
		is($in{$first}->query('SELECT status, livemode, replayed FROM ' . pay($id)), "captured|$mode|f", 'but by one of its own');
		$in{$second}->run('SELECT ' . pay($id));
		is($in{$second}->state, 'PW422', 'nor is it replayed');
		is($in{$first}->query('SELECT status, replayed FROM ' . pay($id)), 'captured|t', 'as for a call of its own');
		# submitted: it waits until the other is given back, and charges for itself
		$in{$first}->query('BEGIN; SELECT status FROM ' . pay("$id, submitted") . '; ROLLBACK');
		$in{$second}->query('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => "$id, submitted"));
	});
}

part($node, 'submitted', sub {
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE status = 'captured' AND client_request_id LIKE '%submitted'") == 2 }, 60), 'submitted ones are charged');
	is(sql("SELECT string_agg(status || ' ' || livemode, ', ' ORDER BY created_at) FROM pgw.payment_transactions WHERE client_request_id = 'real first, submitted'"),
		'Refunded true, Completed false', 'a real one is given back first');
	is(sql("SELECT string_agg(status || ' ' || livemode, ', ' ORDER BY created_at) FROM pgw.payment_transactions WHERE client_request_id = 'test first, submitted'"),
		'Refunded false, Completed true', 'so is one for tests');
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'the records agree with themselves');
});

part($node, 'what is gone', sub {
	is(sql('SELECT status, livemode FROM ' . pay('while it is there')), 'captured|t', 'a payment that names no bank is a real one');
	sql("DELETE FROM pgw.banks WHERE name = 'bank'");
	is($in{real}->query("SELECT name, enabled FROM pgw.banks"), 'test|t', 'the bank for tests is left');
	$in{real}->run('SELECT ' . pay('when it is gone'));
	is($in{real}->state, 'PW422', 'and takes no payment that does not name it');
	is($in{test}->query('SELECT status, livemode FROM ' . pay('when it is gone, in test mode')), 'captured|f', 'but those of test mode');
	is(sql('SELECT status, replayed FROM ' . pay('while it is there')), 'captured|t', 'whoever has lost an answer learns it also without the bank');
});

$node->stop('fast');
done_testing();
