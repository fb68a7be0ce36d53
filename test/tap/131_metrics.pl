# pgw.metrics: after a mixed load, rollbacks, two-phase commit, and attempts that ended unsent, every counter says what the tables say and what the bank
# has seen; durations are those of the bank.
use strict;
use warnings;
use lib 'test/lib';
use PgwMonitoring;
use PgwTest;
use PgwSession;
use Test::More;
use Time::HiRes qw(time);

my ($node, $bank) = monitored_node('metrics');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }
sub submit { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, %a) }

part($node, 'figures', sub {
	my @sql = map { pay("p$_") } 1 .. 12;
	push @sql, map { pay("d$_", token => 'tok_decline_do_not_honor') } 1 .. 3;
	push @sql, map { pay("m$_", capture => 'manual') } 1 .. 2;
	push @sql, map { 'BEGIN; ' . pay("r$_") . '; ROLLBACK' } 1 .. 4;
	push @sql, map { 'BEGIN; SAVEPOINT a; ' . pay("s$_") . '; ROLLBACK TO a; ' . pay("t$_") . '; COMMIT' } 1 .. 3;
	push @sql, map { 'BEGIN; SAVEPOINT a; ' . pay("u$_") . '; RELEASE a; SAVEPOINT b; ' . submit("v$_") . '; ROLLBACK TO b; COMMIT' } 1 .. 3;
	push @sql, map { 'BEGIN; SAVEPOINT a; SAVEPOINT b; ' . submit("l$_") . '; RELEASE b; ' . submit("n$_") . '; ROLLBACK TO a; ' . submit("o$_") . '; COMMIT' } 1 .. 3;
	push @sql, 'BEGIN; ' . submit('w1') . '; ROLLBACK';
	push @sql, map { submit("x$_") } 1 .. 10;
	push @sql, "SELECT count(pgw.submit_payment('y' || i, 100, 'EUR', 'tok_ok')) FROM generate_series(1, 150) i";
	push @sql, "BEGIN; SELECT count(pgw.submit_payment('z' || i, 100, 'EUR', 'tok_ok')) FROM generate_series(1, 150) i; ROLLBACK";
	push @sql, map { submit("k$_", token => 'tok_decline_fraud') } 1 .. 3;
	push @sql, map { pay("e$_", token => 'tok_500_after') } 1 .. 2;
	my @s = map { PgwSession->new($node) } 1 .. 3;
	while (@sql)
	{
		$_->send(shift @sql) for grep { @sql } @s;
		$_->wait for @s;
	}
	is(join(',', map { $_->state } @s), '00000,00000,00000', 'a mixed load');
	figures_agree($node, $bank, 'after a mixed load');
	is(figure($node, 'pgw_transactions_total', '{"outcome": "given_back"}'), 7, 'seven were given back');
	for my $what (['declined', 'pgw_declines_total'], ['failed', 'pgw_failures_total'])
	{
		is(sql("SELECT string_agg(labels->>'code' || ' ' || value, ',' ORDER BY labels->>'code') FROM pgw.metrics WHERE name = '$what->[1]'"),
			sql("SELECT string_agg(error_code || ' ' || n, ',' ORDER BY error_code) FROM (SELECT t.error_code, count(*) n FROM pgw.payment_transactions t JOIN pgw.payments p USING (transaction_id)
				WHERE t.status = 'Failed' AND p.status = '$what->[0]' GROUP BY 1) x"), "$what->[0] by code");
	}

	# a prepared transaction's events count
	$s[0]->run('BEGIN; ' . pay('2pc') . "; PREPARE TRANSACTION 'gid'");
	$s[0]->run("COMMIT PREPARED 'gid'");
	is($s[0]->state, '00000', 'a prepared payment');
	figures_agree($node, $bank, 'after two-phase commit');
	ok(figure($node, 'pgw_stats_since_timestamp_seconds') <= time && figure($node, 'pgw_stats_since_timestamp_seconds') > time - 3600, 'since when');
	is(figure($node, $_), 0, "nothing is under way: $_") for qw(pgw_queue pgw_in_doubt pgw_pending pgw_refunding pgw_accepted pgw_reviews pgw_callers_undecided);
});

# Neither the issuer nor the bank has said no to these: they failed, and the metric says so as the payments row does.
part($node, 'expired and superseded', sub {
	my @before = map { figure($node, 'pgw_transactions_total', qq({"outcome": "$_"})) } qw(declined failed);
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . submit('late', expires_at => sql("SELECT clock_timestamp() + '2s'"))
		  . "; SELECT pg_sleep_until(expires_at) FROM pgw.payment_transactions WHERE client_request_id = 'late'; COMMIT");
	is($s->state, '00000', 'one that is committed only when its time is over');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payments WHERE client_request_id = 'late'") eq 'failed' }, 20), 'is failed in its row');

	change_settings($node, 'pgw.compensation_delay' => 60000);
	$s->run('BEGIN; ' . pay('again') . '; ROLLBACK');
	is(sql(submit('again')), 'pending', 'another one is submitted when an attempt with its id is charged already');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payments WHERE client_request_id = 'again'") eq 'captured' }, 20), 'and takes over that attempt');
	is(sql("SELECT string_agg(client_request_id || ' ' || status || ' ' || error_code, ',' ORDER BY error_code) FROM pgw.payment_transactions WHERE error_code IN ('request_expired', 'superseded')"),
		'late Failed request_expired,again Failed superseded', 'two attempts have ended without having been sent');
	is(join(',', map { figure($node, 'pgw_transactions_total', qq({"outcome": "$_"})) } qw(declined failed)), "$before[0]," . ($before[1] + 2), 'both count as failed, and none as declined');
	figures_agree($node, $bank, 'then, too');
	change_settings($node, 'pgw.compensation_delay' => 50);
});

part($node, 'durations', sub {
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) SELECT 'slow', connector, base_url, secret, 200 FROM pgw.banks WHERE name = 'bank'");
	my $began = time;
	my @p = map { psql_start($node, pay("slow$_", bank => 'slow', token => 'tok_slow_400')) } 1 .. 3;	# of four slots one is left to other banks
	$_->{h}->finish for @p;
	my $longest = time - $began;	# nor can a call have taken longer than all of this
	is(figure($node, 'pgw_bank_calls_total', '{"bank": "slow", "operation": "charge", "result": "approved"}'), 3, 'three slow calls');
	my %up_to = map { $_ => figure($node, 'pgw_bank_call_duration_seconds_bucket', qq({"bank": "slow", "le": "$_"})) } qw(0.3 3600 +Inf);
	is(join(' ', map { $up_to{$_} } '0.3', '3600', '+Inf'), '0 3 3', 'calls of 400 ms took more than 0.3 s, and end in the last bucket');
	is(sql(q{SELECT count(*) FROM (SELECT value < lag(value) OVER (PARTITION BY labels - 'le' ORDER BY (CASE labels->>'le' WHEN '+Inf' THEN 'Infinity' ELSE labels->>'le' END)::float8) AS falls
			FROM pgw.metrics WHERE name LIKE '%\_bucket') b WHERE falls}), 0, 'buckets only grow with their bound');
	is(sql(q{SELECT count(*) FROM pgw.metrics b JOIN pgw.metrics c ON c.labels = b.labels - 'le' AND c.name = replace(b.name, '_bucket', '_count') WHERE b.labels->>'le' = '+Inf' AND b.value <> c.value}),
		0, 'and the last one has them all');
	my $sum = figure($node, 'pgw_bank_call_duration_seconds_sum', '{"bank": "slow"}');
	ok($sum >= 1.2 && $sum < 3 * $longest, "their sum: $sum s");
	sql("DELETE FROM pgw.banks WHERE name = 'slow'");
});

# The statistics of attempts are from a time when nothing was open, those of open work are not: the planner expects one open attempt.
part($node, 'a backlog', sub {
	my $n = 3000;
	my $submits = "SELECT count(pgw.submit_payment('%s' || i, 100, 'EUR', 'tok_ok')) FROM generate_series(1, $n) i";
	sql(sprintf $submits, 'before');
	wait_rest($node, $bank, seconds => 120);
	sql('ANALYZE pgw.payment_transactions, pgw.open_work_mark');
	unlike(sql('EXPLAIN SELECT * FROM pgw.open_attempts'), qr/Seq Scan on payment_transactions/, 'what is open is found without reading what is done');
	change_settings($node, 'pgw.worker_mode' => 'paused');
	sql(sprintf $submits, 'waiting');
	sql('ANALYZE pgw.open_work');
	my $read = "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables WHERE schemaname = 'pgw' AND relname IN ('open_work', 'payment_transactions')";
	my $before = sql($read);
	for my $view ('metrics', 'health()')
	{
		sql("SELECT count(*) FROM pgw.$view; SELECT pg_stat_force_next_flush()");
		my $now = sql($read);
		cmp_ok($now - $before, '<', 50 * $n, "$view: the backlog is not read for each payment in it");
		$before = $now;
	}
	change_settings($node, 'pgw.worker_mode' => 'on');
	wait_rest($node, $bank, seconds => 120);
});

part($node, 'at the end', sub {
	figures_agree($node, $bank, 'at the end');
	is_reconciled($node, $bank);
});

$node->stop('fast');
done_testing();
