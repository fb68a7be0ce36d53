# pgw.metrics tells real payments from those of test banks, in every figure that is of payments or banks, and so do the views of operators.
use strict;
use warnings;
use lib 'test/lib';
use PgwMonitoring;
use PgwTest;
use Test::More;

my ($node, $bank) = monitored_node('metrics_by_mode');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }
sub submit { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, %a) }

part($node, 'tests', sub {
	my $live = '{"livemode": "true"}';
	my $test = '{"livemode": "false"}';
	my @names = qw(pgw_transactions_total pgw_events_total pgw_bank_calls_total pgw_transaction_duration_seconds_count);
	for my $i (1 .. 2) { is(sql(pay("real$i")), 'captured', 'a real payment') }
	wait_rest($node, $bank);
	my @before = map { figure($node, $_, $live) } @names;
	for my $i (1 .. 3) { is(sql(pay("test$i", bank => 'test')), 'captured', 'a test payment') }
	is(sql(pay('test-no', bank => 'test', token => 'tok_decline_do_not_honor')), 'declined', 'one that is declined');
	is(join(',', map { figure($node, $_, $live) } @names), join(',', @before), 'what is counted of real ones has not moved');
	is(figure($node, 'pgw_transactions_total', '{"livemode": "false", "bank": "test", "outcome": "captured"}'), 3, 'three, of the test bank');
	is(figure($node, 'pgw_bank_calls_total', $test), 4, 'its calls');
	is(sql("SELECT count(*) FROM pgw.metrics WHERE name ~ '^pgw_(transactions?_(t|d)|events|banks?_|queue|in_doubt|refunding|reviews|callers|put_off)' AND coalesce(labels->>'livemode', '') NOT IN ('true', 'false')"),
		0, 'no figure of payments or banks is without it');
	change_settings($node, 'pgw.worker_mode' => 'paused');
	sql(submit('test-later', bank => 'test'));
	sql(submit("later$_")) for 1 .. 2;
	is(figure($node, 'pgw_queue', $live) . figure($node, 'pgw_queue', $test), '21', 'what waits is told apart');
	cmp_ok(figure($node, 'pgw_queue_age_seconds', $test), '>', 0, 'with its age');
	like(health($node, 'queue', 'count'), qr/\|3$/, 'health() has both');
	change_settings($node, 'pgw.worker_mode' => 'on');
	wait_rest($node, $bank);
	sql(q{SELECT pgw.grant_access(current_user::regrole, 'auditor')});
	is(sql("SELECT string_agg(DISTINCT livemode::text || ' ' || (client_request_id LIKE 'test%')::text, ',') FROM pgw.audit_events"), 'false true,true false', 'the events in their view, too');
});

$node->stop('fast');
done_testing();
