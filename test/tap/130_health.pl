# pgw.health(): one row for each check, all of them ok on a sound system, and each fault shows in its row, with what to do and with the figure that belongs
# to it; pgw.run_recovery() resolves on demand what shows there.
use strict;
use warnings;
use lib 'test/lib';
use PgwMonitoring;
use PgwTest;
use PgwSession;
use Test::More;

my ($node, $bank) = monitored_node('health');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

is(sql(pay('first')), 'captured', 'a payment');
ok(wait_until(sub { sql("SELECT count(*) FROM pgw.health() WHERE status <> 'ok'") == 0 }, 20), 'a sound system: every check is ok')
  or diag(sql("SELECT * FROM pgw.health() WHERE status <> 'ok'"));
is(sql("SELECT string_agg(check_name, ',' ORDER BY check_name) FROM pgw.health()"),
	join(',', qw(
		accepted
		bank:bank
		bank:test
		bank_versions
		banks
		baseline
		callers_undecided
		card_logging
		code_of_others
		connections
		event_consumers
		foreign_keys
		grants
		in_doubt
		launcher
		notify_queue
		origin
		partitions
		pending
		preloaded
		prepared_transactions
		privileges
		publications
		put_off
		queue
		quotas
		read_only
		refunding
		restored
		reviews
		shard
		slots
		state_file
		subscriptions
		table_locks
		tables
		transaction_ids
		unconfirmed_notifications
		version
		webhooks
		worker
		worker_mode
		writes
	)), 'one row per check');
is(sql('SELECT count(*) FROM pgw.health() WHERE advice IS NOT NULL OR jsonb_typeof(details) <> $$object$$'), 0, 'no advice where nothing is wrong');

part($node, 'banks', sub {
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('dead', 'json', 'http://127.0.0.1:1', 'bank', 200), ('keyless', 'json', 'http://127.0.0.1:1', 'nosuch', 300)");
	like(health($node, 'bank:keyless', 'secret'), qr/^error\|.*pgw\.secrets_dir.*\|the secret's file does not exist$/, 'a missing secret');
	is(health($node, 'bank:dead', 'failures'), 'ok|-|0', 'a bank that was not called yet');
	sql(pay('dead1', bank => 'dead', timeout => '1s'));
	like(health($node, 'bank:dead', 'last_success'), qr/^(warning|error)\|.*log.*\|null$/, 'a bank that is down');
	sql(pay("dead$_", bank => 'dead', timeout => '1s')) for 2 .. 4;
	ok(health_becomes($node, 'bank:dead', qr/^error\|.*left alone.*"operations": "charges"/, 'open_breakers'), 'its breaker is open') or diag(health($node, 'bank:dead', 'open_breakers'));
	cmp_ok(figure($node, 'pgw_bank_calls_total', '{"bank": "dead", "result": "never_sent"}'), '>=', 3, 'the calls count as never sent');
	is(figure($node, 'pgw_bank_breaker_open', '{"bank": "dead", "operations": "charges"}'), 1, 'the breaker as a figure');
	like(health($node, 'bank:bank', 'failures'), qr/^ok\|-\|0$/, 'the other bank is sound');
	sql("UPDATE pgw.banks SET enabled = false");
	like(health($node, 'banks', 'enabled'), qr/^warning\|.*\|0$/, 'no bank enabled');
	sql("UPDATE pgw.banks SET enabled = true WHERE name = 'bank'");
	ok(wait_until(sub { ($node->psql('postgres', "DELETE FROM pgw.banks WHERE name NOT IN ('bank', 'test')"))[0] == 0 }, 20), 'the dead bank is removed');
});

part($node, 'in doubt, and pgw.run_recovery()', sub {
	change_settings($node, 'pgw.retry_base_delay' => '3600000');
	sql("UPDATE pgw.banks SET request_timeout = '500ms'");
	bank_control($bank, 'faults', { probabilities => { '500_before' => 1 }, operations => ['lookup'] });
	is(sql(pay('doubt', token => 'tok_timeout_after', timeout => '2s')), 'pending', 'no answer');
	ok(wait_until(sub { sql("SELECT status = 'BankUnknown' AND step_tries > 0 AND next_step_at > clock_timestamp() + interval '10 s'
		FROM pgw.payment_transactions WHERE client_request_id = 'doubt'") eq 't' }, 10), 'in doubt, and not looked at again for long');
	is(health($node, 'in_doubt', 'count'), 'ok|-|1', 'one in doubt, not for long');
	is(figure($node, 'pgw_in_doubt'), 1, '... as a figure');
	is(sql("SELECT complete, resolved, bank_calls FROM pgw.run_recovery()"), 't|0|0', 'a scan has nothing to do for it');
	bank_control($bank, 'faults', { probabilities => {} });
	sql("UPDATE pgw.payment_transactions SET next_step_at = clock_timestamp() WHERE client_request_id = 'doubt'");
	like(sql('SELECT complete, looked_at, resolved, given_back, to_review, bank_calls FROM pgw.run_recovery()'), qr/^t\|[1-9]\d*\|1\|0\|0\|1$/,
		'once it is due, a scan finds and resolves it');
	is(status_of($node, 'doubt'), 'Completed', 'before pgw.run_recovery() returns');

	bank_control($bank, 'faults', { probabilities => { '500_before' => 1 }, operations => ['lookup'] });
	is(sql(pay('doubt2', token => 'tok_timeout_after', timeout => '2s')), 'pending', 'another one');
	ok(wait_until(sub { status_of($node, 'doubt2') eq 'BankUnknown' }, 10), 'in doubt');
	move_clock($node, 120);
	like(health($node, 'in_doubt', 'oldest_age_seconds'), qr/^warning\|.*look-ups.*\|1[2-9]\d/, 'two minutes later: a warning');
	bank_control($bank, 'faults', { probabilities => {} });
	move_clock($node, 0);
	change_settings($node, 'pgw.retry_base_delay' => '100');
	sql("UPDATE pgw.payment_transactions SET next_step_at = clock_timestamp() WHERE client_request_id = 'doubt2'");
	sql('SELECT pgw.run_recovery()');
	is(status_of($node, 'doubt2'), 'Completed', 'resolved');
	sql("UPDATE pgw.banks SET request_timeout = '30s'");
});

part($node, 'a caller that stays undecided', sub {
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . pay('prepared') . "; PREPARE TRANSACTION 'old one'");
	is(health($node, 'prepared_transactions', 'count'), 'ok|-|0', 'just prepared');
	move_clock($node, 600);
	like(health($node, 'prepared_transactions', 'transactions'), qr/^warning\|.*COMMIT PREPARED.*"gid": "old one"/, 'a prepared transaction that is old');
	like(health($node, 'callers_undecided', 'count'), qr/^warning\|.*prepared.*\|1$/, 'its payment is undecided');
	is(figure($node, 'pgw_callers_undecided'), 1, '... as a figure');
	move_clock($node, 0);
	$s->run("COMMIT PREPARED 'old one'");
	is(health($node, 'callers_undecided', 'count') . health($node, 'prepared_transactions', 'count'), 'ok|-|0ok|-|0', 'committed');

	# a caller that rolled back is no undecided one, however long ago
	$s->run('BEGIN; ' . pay('left') . '; ROLLBACK');
	is(health($node, 'callers_undecided', 'count'), 'ok|-|0', 'nor is one that has rolled back');
});

part($node, 'logging of card data', sub {
	change_settings($node, log_statement => 'all');
	is(health($node, 'card_logging', 'setting'), 'ok|-|null', 'statements without their parameters');
	change_settings($node, log_parameter_max_length => -1);
	like(health($node, 'card_logging', 'setting'), qr/^warning\|.*log_parameter_max_length.*\|log_statement$/, 'log_statement = all with parameters');
	change_settings($node, log_statement => undef, log_parameter_max_length => undef);
	ok(health_becomes($node, 'card_logging', qr/^ok/), 'put right');
});

part($node, 'slots', sub {
	my @running = map { psql_start($node, pay("busy$_", token => 'tok_slow_3000')) } 1 .. 4;
	ok(health_becomes($node, 'slots', qr/^error\|.*pgw\.max_waiting.*\|4$/, 'bank_called'), 'all slots used, all at the bank');
	is(figure($node, 'pgw_slots', '{"state": "used"}'), 4, '... as a figure');
	$_->{h}->finish for @running;
	is(health($node, 'slots', 'used'), 'ok|-|0', 'free again');
});

part($node, 'processes', sub {
	$node->safe_psql('postgres', 'CREATE DATABASE other');
	$node->safe_psql('other', 'CREATE EXTENSION pgw');
	wait_worker($node, 'other');
	is(health($node, 'worker:other', 'state'), 'ok|-|running', "another database's worker");
	is($node->safe_psql('other', "SELECT sum(value) FROM pgw.metrics WHERE name = 'pgw_events_total'"), 0, 'which counts for itself');
	for my $n (1 .. 2)
	{
		wait_worker($node, 'other');
		sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND datname = 'other'");
		ok(health_becomes($node, 'worker:other', qr/^(error|warning)\|/), "it is terminated ($n)");
	}
	ok(health_becomes($node, 'worker:other', qr/^ok/), 'and comes back');
	$node->safe_psql('postgres', 'DROP DATABASE other');
	is(health($node, 'worker:other'), '', 'a database that is gone has no row');
});

part($node, 'at the end', sub {
	figures_agree($node, $bank, 'at the end');
	is_reconciled($node, $bank);
});

part($node, 'no worker', sub {
	# the server's own logical replication launcher takes one, pgw's launcher the other
	$node->append_conf('postgresql.conf', "max_worker_processes = 2\n");
	$node->restart;
	ok(health_becomes($node, 'worker', qr/^error\|.*max_worker_processes/, 'state'), 'no worker slot: an error that names the setting')
	  or diag(health($node, 'worker', 'state'));
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT pgw.run_recovery()");
	like($err, qr/PW500.*HINT/s, 'and pgw.run_recovery() is PW500');
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
	$node->restart;
	like(health($node, 'preloaded'), qr/^error\|.*shared_preload_libraries/, 'not preloaded: an error that says what to do');
	is(sql("SELECT string_agg(status, ',') FROM pgw.health() WHERE check_name IN ('bank:bank', 'in_doubt', 'reviews')"), 'ok,ok,ok', 'the other checks work');
	is(figure($node, 'pgw_in_doubt') . figure($node, 'pgw_worker_up'), '00', 'and the figures of the tables');
	(undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT pgw.run_recovery()");
	like($err, qr/PW500.*shared_preload_libraries/s, 'pgw.run_recovery() says so too');
});

$node->stop('fast');
done_testing();
