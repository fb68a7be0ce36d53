# Health, figures, recovery on demand, and the correlation id: each fault shows in its row, the figures agree with the events, and one id leads
# from the call to the bank's request, the log and the events.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('monitoring', debug => 1, conf => "fsync = off\npgw.max_waiting = 4\npgw.compensation_delay = '50ms'\n"
	  . "pgw.retry_base_delay = '100ms'\npgw.recovery_interval = '1h'\npgw.breaker_failures = 3\npgw.breaker_cooldown = '1s'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }
sub submit { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, %a) }

# A check's status, its advice and one of its details.
sub health
{
	my ($check, $detail) = @_;
	return sql("SELECT status || '|' || coalesce(advice, '-')" . ($detail ? " || '|' || coalesce(details->>'$detail', 'null')" : '') . " FROM pgw.health() WHERE check_name = '$check'");
}
sub becomes { my ($check, $re, $detail) = @_; return wait_until(sub { health($check, $detail) =~ $re }, 20) }

# A figure; members of the labels may be left out, and what is left is added up.
sub figure { my ($name, $labels) = @_; return sql("SELECT coalesce(sum(value), 0) FROM pgw.metrics WHERE name = '$name' AND labels @> '" . ($labels // '{}') . "'") }

# Settings at run time; what a session reads in its next statement. undef: the default.
sub set_conf
{
	my %c = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM " . (defined $c{$_} ? "SET $_ = '$c{$_}'" : "RESET $_")) for sort keys %c;
	$node->reload;
	for my $name (sort keys %c)
	{
		next unless defined $c{$name};
		$node->poll_query_until('postgres', "SELECT setting = '$c{$name}' FROM pg_settings WHERE name = '$name'") or die "$name did not become $c{$name}";
	}
}
sub clock { set_conf('pgw.debug_clock_offset' => $_[0]) }

# ---------------------------------------------------------------- a sound system

is(sql(pay('first')), 'captured', 'a payment');
ok(wait_until(sub { sql("SELECT count(*) FROM pgw.health() WHERE status <> 'ok'") == 0 }, 20), 'a sound system: every check is ok')
  or diag(sql("SELECT * FROM pgw.health() WHERE status <> 'ok'"));
is(sql("SELECT string_agg(check_name, ',' ORDER BY check_name) FROM pgw.health()"),
	join(',', qw(
		bank:bank
		bank_versions
		banks
		baseline
		callers_undecided
		card_logging
		code_of_others
		connections
		foreign_keys
		in_doubt
		launcher
		notify_queue
		origin
		partitions
		preloaded
		prepared_transactions
		privileges
		put_off
		queue
		quotas
		refunding
		restored
		reviews
		slots
		state_file
		subscriptions
		table_locks
		tables
		worker
		worker_mode
	)), 'one row per check');
is(sql('SELECT count(*) FROM pgw.health() WHERE advice IS NOT NULL OR jsonb_typeof(details) <> $$object$$'), 0, 'no advice where nothing is wrong');

# ---------------------------------------------------------------- figures and events

# At rest, every counter says what the tables say.
sub figures_agree
{
	my ($what) = @_;
	wait_rest($node, $bank);
	is(sql("SELECT string_agg(labels->>'event' || ' ' || value, ',' ORDER BY labels->>'event') FROM pgw.metrics WHERE name = 'pgw_events_total' AND value > 0"),
		sql("SELECT string_agg(event_type || ' ' || n, ',' ORDER BY event_type::text) FROM (SELECT event_type, count(*) n FROM pgw.transaction_events GROUP BY 1) x"),
		"$what: events by type");
	is(sql("SELECT string_agg(concat_ws(' ', labels->>'bank', labels->>'operation', labels->>'outcome', value), ',' ORDER BY labels->>'bank', labels->>'outcome')
			FROM pgw.metrics WHERE name = 'pgw_transactions_total'"),
		sql("SELECT string_agg(concat_ws(' ', bank, 'payment', outcome, n), ',' ORDER BY bank, outcome) FROM (SELECT bank, CASE status
			WHEN 'Completed' THEN CASE capture WHEN 'manual' THEN 'authorized' ELSE 'captured' END
			WHEN 'Failed' THEN coalesce((SELECT status::text FROM pgw.payments p WHERE p.transaction_id = t.transaction_id), 'failed')
			WHEN 'Refunded' THEN 'given_back' ELSE status::text END AS outcome, count(*) n FROM pgw.payment_transactions t GROUP BY 1, 2) x"),
		"$what: payments by bank and outcome");
	is(figure('pgw_transaction_seconds_count'), figure('pgw_transactions_total'), "$what: a duration for each");
	my @calls = grep { $_->{finished} } @{ bank_log($bank, 10000) };
	is(figure('pgw_bank_calls_total') - figure('pgw_bank_calls_total', '{"result": "never_sent"}'), scalar @calls, "$what: bank calls, as the bank saw them");
}

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
	figures_agree('after a mixed load');
	is(figure('pgw_transactions_total', '{"outcome": "given_back"}'), 7, 'seven were given back');

	# a prepared transaction's events count
	$s[0]->run('BEGIN; ' . pay('2pc') . "; PREPARE TRANSACTION 'gid'");
	$s[0]->run("COMMIT PREPARED 'gid'");
	is($s[0]->state, '00000', 'a prepared payment');
	figures_agree('after two-phase commit');
	ok(figure('pgw_stats_since_seconds') <= time && figure('pgw_stats_since_seconds') > time - 3600, 'since when');
	is(figure($_), 0, "nothing is under way: $_") for qw(pgw_queue pgw_in_doubt pgw_refunding pgw_reviews pgw_callers_undecided);
});

# Neither the issuer nor the bank has said no to these: they failed, and the metric says so as the payments row does.
part($node, 'expired and superseded', sub {
	my @before = map { figure('pgw_transactions_total', qq({"outcome": "$_"})) } qw(declined failed);
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . submit('late', expires_at => sql("SELECT clock_timestamp() + '2s'"))
		  . "; SELECT pg_sleep_until(expires_at) FROM pgw.payment_transactions WHERE client_request_id = 'late'; COMMIT");
	is($s->state, '00000', 'one that is committed only when its time is over');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payments WHERE client_request_id = 'late'") eq 'failed' }, 20), 'is failed in its row');

	set_conf('pgw.compensation_delay' => 60000);
	$s->run('BEGIN; ' . pay('again') . '; ROLLBACK');
	is(sql(submit('again')), 'pending', 'another one is submitted when an attempt with its id is charged already');
	ok(wait_until(sub { sql("SELECT status FROM pgw.payments WHERE client_request_id = 'again'") eq 'captured' }, 20), 'and takes over that attempt');
	is(sql("SELECT string_agg(client_request_id || ' ' || status || ' ' || error_code, ',' ORDER BY error_code) FROM pgw.payment_transactions WHERE error_code IN ('request_expired', 'superseded')"),
		'late Failed request_expired,again Failed superseded', 'two attempts have ended without having been sent');
	is(join(',', map { figure('pgw_transactions_total', qq({"outcome": "$_"})) } qw(declined failed)), "$before[0]," . ($before[1] + 2), 'both count as failed, and none as declined');
	figures_agree('then, too');
	set_conf('pgw.compensation_delay' => 50);
});

part($node, 'durations', sub {
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) SELECT 'slow', connector, base_url, secret, 200 FROM pgw.banks WHERE name = 'bank'");
	my @p = map { psql_start($node, pay("slow$_", bank => 'slow', token => 'tok_slow_400')) } 1 .. 3;	# of four slots one is left to other banks
	$_->{h}->finish for @p;
	is(figure('pgw_bank_calls_total', '{"bank": "slow", "operation": "charge", "result": "approved"}'), 3, 'three slow calls');
	for my $q ('0.5', '0.95', '0.99')
	{
		my $seconds = figure('pgw_bank_call_seconds', qq({"bank": "slow", "quantile": "$q"}));
		ok($seconds > 0.36 && $seconds < 0.55, "the quantile $q of calls of 400 ms: $seconds s");
	}
	my $sum = figure('pgw_bank_call_seconds_sum', '{"bank": "slow"}');
	ok($sum >= 1.2 && $sum < 1.65, "their sum: $sum s");
	sql("DELETE FROM pgw.banks WHERE name = 'slow'");
});

# ---------------------------------------------------------------- what is wrong shows in its row

part($node, 'banks', sub {
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('dead', 'json', 'http://127.0.0.1:1', 'bank', 200), ('keyless', 'json', 'http://127.0.0.1:1', 'nosuch', 300)");
	like(health('bank:keyless', 'secret'), qr/^error\|.*pgw\.secrets_dir.*\|the secret's file does not exist$/, 'a missing secret');
	is(health('bank:dead', 'failures'), 'ok|-|0', 'a bank that was not called yet');
	sql(pay('dead1', bank => 'dead', timeout => '1s'));
	like(health('bank:dead', 'last_success'), qr/^(warning|error)\|.*log.*\|null$/, 'a bank that is down');
	sql(pay("dead$_", bank => 'dead', timeout => '1s')) for 2 .. 4;
	ok(becomes('bank:dead', qr/^error\|.*left alone.*"operations": "charges"/, 'open_breakers'), 'its breaker is open') or diag(health('bank:dead', 'open_breakers'));
	cmp_ok(figure('pgw_bank_calls_total', '{"bank": "dead", "result": "never_sent"}'), '>=', 3, 'the calls count as never sent');
	is(figure('pgw_bank_breaker_open', '{"bank": "dead", "operations": "charges"}'), 1, 'the breaker as a figure');
	like(health('bank:bank', 'failures'), qr/^ok\|-\|0$/, 'the other bank is sound');
	sql("UPDATE pgw.banks SET enabled = false");
	like(health('banks', 'enabled'), qr/^warning\|.*\|0$/, 'no bank enabled');
	sql("UPDATE pgw.banks SET enabled = true WHERE name = 'bank'");
	ok(wait_until(sub { ($node->psql('postgres', "DELETE FROM pgw.banks WHERE name <> 'bank'"))[0] == 0 }, 20), 'the dead bank is removed');
});

part($node, 'in doubt, and pgw.run_recovery()', sub {
	set_conf('pgw.retry_base_delay' => '3600000');
	sql("UPDATE pgw.banks SET request_timeout = '500ms'");
	bank_control($bank, 'faults', { probabilities => { '500_before' => 1 }, operations => ['lookup'] });
	my $before = figure('pgw_in_doubt');
	is(sql(pay('doubt', token => 'tok_timeout_after', timeout => '2s')), 'pending', 'no answer');
	ok(wait_until(sub { sql("SELECT status = 'BankUnknown' AND step_tries > 0 AND next_step_at > clock_timestamp() + interval '10 s'
		FROM pgw.payment_transactions WHERE client_request_id = 'doubt'") eq 't' }, 10), 'in doubt, and not looked at again for long');
	is(health('in_doubt', 'count'), 'ok|-|1', 'one in doubt, not for long');
	is(figure('pgw_in_doubt'), 1, '... as a figure');
	is(sql("SELECT complete, resolved, bank_calls FROM pgw.run_recovery()"), 't|0|0', 'a scan has nothing to do for it');
	bank_control($bank, 'faults', { probabilities => {} });
	sql("UPDATE pgw.payment_transactions SET next_step_at = clock_timestamp() WHERE client_request_id = 'doubt'");
	like(sql('SELECT complete, looked_at, resolved, given_back, to_review, bank_calls FROM pgw.run_recovery()'), qr/^t\|[1-9]\d*\|1\|0\|0\|1$/,
		'once it is due, a scan finds and resolves it');
	is(status_of($node, 'doubt'), 'Completed', 'before pgw.run_recovery() returns');

	bank_control($bank, 'faults', { probabilities => { '500_before' => 1 }, operations => ['lookup'] });
	is(sql(pay('doubt2', token => 'tok_timeout_after', timeout => '2s')), 'pending', 'another one');
	ok(wait_until(sub { status_of($node, 'doubt2') eq 'BankUnknown' }, 10), 'in doubt');
	clock(120);
	like(health('in_doubt', 'oldest_age_seconds'), qr/^warning\|.*look-ups.*\|1[2-9]\d/, 'two minutes later: a warning');
	bank_control($bank, 'faults', { probabilities => {} });
	clock(0);
	set_conf('pgw.retry_base_delay' => '100');
	sql("UPDATE pgw.payment_transactions SET next_step_at = clock_timestamp() WHERE client_request_id = 'doubt2'");
	sql('SELECT pgw.run_recovery()');
	is(status_of($node, 'doubt2'), 'Completed', 'resolved');
	sql("UPDATE pgw.banks SET request_timeout = '30s'");
});

part($node, 'a caller that stays undecided', sub {
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . pay('prepared') . "; PREPARE TRANSACTION 'old one'");
	is(health('prepared_transactions', 'count'), 'ok|-|0', 'just prepared');
	clock(600);
	like(health('prepared_transactions', 'transactions'), qr/^warning\|.*COMMIT PREPARED.*"gid": "old one"/, 'a prepared transaction that is old');
	like(health('callers_undecided', 'count'), qr/^warning\|.*prepared.*\|1$/, 'its payment is undecided');
	is(figure('pgw_callers_undecided'), 1, '... as a figure');
	clock(0);
	$s->run("COMMIT PREPARED 'old one'");
	is(health('callers_undecided', 'count') . health('prepared_transactions', 'count'), 'ok|-|0ok|-|0', 'committed');

	# a caller that rolled back is no undecided one, however long ago
	$s->run('BEGIN; ' . pay('left') . '; ROLLBACK');
	is(health('callers_undecided', 'count'), 'ok|-|0', 'nor is one that has rolled back');
});

part($node, 'logging of card data', sub {
	set_conf(log_statement => 'all');
	is(health('card_logging', 'setting'), 'ok|-|null', 'statements without their parameters');
	set_conf(log_parameter_max_length => -1);
	like(health('card_logging', 'setting'), qr/^warning\|.*log_parameter_max_length.*\|log_statement$/, 'log_statement = all with parameters');
	set_conf(log_statement => undef, log_parameter_max_length => undef);
	ok(becomes('card_logging', qr/^ok/), 'put right');
});

part($node, 'slots', sub {
	my @running = map { psql_start($node, pay("busy$_", token => 'tok_slow_3000')) } 1 .. 4;
	ok(becomes('slots', qr/^error\|.*pgw\.max_waiting.*\|4$/, 'bank_called'), 'all slots used, all at the bank');
	is(figure('pgw_slots', '{"state": "used"}'), 4, '... as a figure');
	$_->{h}->finish for @running;
	is(health('slots', 'used'), 'ok|-|0', 'free again');
});

part($node, 'processes', sub {
	$node->safe_psql('postgres', 'CREATE DATABASE other');
	$node->safe_psql('other', 'CREATE EXTENSION pgw');
	wait_worker($node, 'other');
	is(health('worker:other', 'state'), 'ok|-|running', "another database's worker");
	is($node->safe_psql('other', "SELECT sum(value) FROM pgw.metrics WHERE name = 'pgw_events_total'"), 0, 'which counts for itself');
	for my $n (1 .. 2)
	{
		wait_worker($node, 'other');
		sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND datname = 'other'");
		ok(becomes('worker:other', qr/^(error|warning)\|/), "it is terminated ($n)");
	}
	ok(becomes('worker:other', qr/^ok/), 'and comes back');
	$node->safe_psql('postgres', 'DROP DATABASE other');
	is(health('worker:other'), '', 'a database that is gone has no row');
});

# ---------------------------------------------------------------- one correlation id

part($node, 'correlation', sub {
	my $seen = -s $node->logfile;
	my $id = sql('SELECT correlation_id FROM ' . pay_sql('process_payment', client_request_id => 'traced', token => 'tok_500_after', timeout => '10s'));
	like($id, qr/^[0-9a-f]{8}-/, 'the caller is told a correlation id');
	wait_rest($node, $bank);
	my $ref = sql("SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE client_request_id = 'traced'");
	my @calls = grep { ($_->{correlation_id} // '') eq $id } @{ bank_log($bank, 10000) };
	cmp_ok(scalar @calls, '>=', 2, 'the charge and its look-up carry it to the bank');
	is(sql("SELECT string_agg(DISTINCT event_data->>'correlation_id', ',') FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE t.client_request_id = 'traced'"), $id, 'every event carries it, and no other');
	like(slurp_file($node->logfile, $seen), qr/LOG:.*answer was not understood.*\n.*DETAIL:.*correlation id \Q$id\E/, "the log's line about the failing call carries it");
	is(sql("SELECT count(DISTINCT correlation_id) FROM pgw.payment_transactions"), sql('SELECT count(*) FROM pgw.payment_transactions'), 'every attempt has its own');
});

# ---------------------------------------------------------------- access

part($node, 'access', sub {
	sql("CREATE ROLE $_; SELECT pgw.grant_access('$_', '$_')") for qw(client auditor operator);
	my %want = (client => '42501,42501,42501', auditor => '00000,00000,42501', operator => '00000,00000,00000');
	for my $role (sort keys %want)
	{
		my $s = PgwSession->new($node);
		$s->run("SET ROLE $role");
		is(join(',', map { $s->run($_); $s->state } 'SELECT count(*) FROM pgw.health()', 'SELECT count(*) FROM pgw.metrics', 'SELECT pgw.run_recovery()'),
			$want{$role}, "health, metrics, run_recovery: $role");
	}

	# they act as the owner: nothing of the caller's may run in them
	my $s = PgwSession->new($node);
	$s->run("CREATE SCHEMA trap; CREATE FUNCTION trap.to_regclass(text) RETURNS regclass LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';"
		  . " GRANT USAGE ON SCHEMA trap TO auditor; SET search_path = trap, pg_catalog; SET ROLE auditor");
	$s->run('SELECT count(*) FROM pgw.health(), pgw.metrics');
	is($s->state, '00000', "the caller's search_path is not used") or diag($s->err);
});

part($node, 'at the end', sub {
	figures_agree('at the end');
	is_reconciled($node, $bank);
});

# ---------------------------------------------------------------- no worker, not preloaded

part($node, 'no worker', sub {
	# the server's own logical replication launcher takes one, pgw's launcher the other
	$node->append_conf('postgresql.conf', "max_worker_processes = 2\n");
	$node->restart;
	ok(becomes('worker', qr/^error\|.*max_worker_processes/, 'state'), 'no worker slot: an error that names the setting')
	  or diag(health('worker', 'state'));
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT pgw.run_recovery()");
	like($err, qr/PW500.*HINT/s, 'and pgw.run_recovery() is PW500');
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
	$node->restart;
	like(health('preloaded'), qr/^error\|.*shared_preload_libraries/, 'not preloaded: an error that says what to do');
	is(sql("SELECT string_agg(status, ',') FROM pgw.health() WHERE check_name IN ('bank:bank', 'in_doubt', 'reviews')"), 'ok,ok,ok', 'the other checks work');
	is(figure('pgw_in_doubt') . figure('pgw_worker_up'), '00', 'and the figures of the tables');
	(undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT pgw.run_recovery()");
	like($err, qr/PW500.*shared_preload_libraries/s, 'pgw.run_recovery() says so too');
});

$node->stop('fast');
done_testing();
