# DDL on pgw's tables while payments are made: it gets in, in bounded time, and no caller fails because of it.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = pgw_node('ddl', debug => 1, conf => "fsync = off\nmax_connections = 60\npgw.retry_base_delay = '100ms'\npgw.compensation_delay = '50ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
$node->safe_psql('postgres', 'CREATE TABLE orders (id text PRIMARY KEY); CREATE TABLE invoices (payment uuid)');

my $n = 0;
my @callers = map { PgwSession->new($node, name => "caller$_") } 1 .. 6;

sub pay { my (%a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'p' . ++$n, %a) }

# Keep all callers paying until the statement is done and each has made some more calls; returns the failures and how long the statement took.
# Every other transaction makes two payments, and a user's own change between them.
sub under_load
{
	my ($sql, %o) = @_;
	my $ddl = PgwSession->new($node, name => 'ddl');
	my (@failed, $took, $began, %calls);
	my $next = sub {
		my ($s) = @_;
		my $two = 'BEGIN; ' . pay() . "; INSERT INTO orders VALUES ('o$n'); " . pay() . '; COMMIT';
		$s->send($n % 2 ? $two : pay());
	};
	$next->($_) for @callers;
	my $more = 0;
	my $end = time + 60;
	while (time < $end)
	{
		# in the middle of the load
		if (!defined $began && $more > 20) { $ddl->send($sql); $began = time }
		for my $s (PgwSession::wait_any(0.05, @callers))
		{
			push @failed, $s->state . ' ' . $s->err if $s->state ne '00000';
			$more++;
			$calls{$s} = ($calls{$s} // 0) + 1 if defined $took;
			$next->($s);
		}
		if (defined $began && !defined $took && $ddl->done) { $took = time - $began }
		last if defined $took && 6 == grep { ($calls{$_} // 0) >= 3 } @callers;
	}
	for my $s (@callers)
	{
		$s->wait;
		push @failed, $s->state . ' ' . $s->err if $s->state ne '00000';
	}
	push @failed, 'the statement failed: ' . $ddl->err if defined $took && $ddl->state ne '00000';
	return (\@failed, $took);
}

sub is_harmless
{
	my ($name, $sql) = @_;
	my ($failed, $took) = under_load($sql);
	is(scalar @$failed, 0, "$name: no caller fails") or diag(join "\n", @$failed[ 0 .. ($#$failed > 3 ? 3 : $#$failed) ]);
	ok(defined $took && $took < 15, "$name: and it gets in") or diag('took ' . ($took // 'for ever'));
	note("$name took " . sprintf('%.2f s', $took // -1));
}

my $partition = $node->safe_psql('postgres', "SELECT 'pgw.transaction_events_y' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY\"m\"MM')");

part($node, 'alter table', sub {
	is_harmless('ALTER TABLE payments', 'ALTER TABLE pgw.payments ADD COLUMN mine text');
	is_harmless('ALTER TABLE payment_transactions', "ALTER TABLE pgw.payment_transactions ADD COLUMN mine int DEFAULT 7");
	is_harmless('ALTER TABLE transaction_events', 'ALTER TABLE pgw.transaction_events ADD COLUMN mine text');
});
part($node, 'rewrite', sub {
	is_harmless('VACUUM FULL payments', 'VACUUM FULL pgw.payments');
	is_harmless('CLUSTER payment_transactions', 'CLUSTER pgw.payment_transactions USING payment_transactions_pkey');
	is_harmless('VACUUM FULL of a partition', "VACUUM FULL $partition");
});
part($node, 'indexes', sub {
	is_harmless('CREATE INDEX', 'CREATE INDEX mine ON pgw.payments (created_at)');
	is_harmless('REINDEX TABLE', 'REINDEX TABLE pgw.payment_transactions');
	is_harmless('DROP INDEX', 'DROP INDEX pgw.mine');
	is_harmless('CREATE INDEX CONCURRENTLY', 'CREATE INDEX CONCURRENTLY mine ON pgw.payments (created_at)');
	is_harmless('DROP INDEX CONCURRENTLY', 'DROP INDEX CONCURRENTLY pgw.mine');
	is_harmless('ALTER INDEX', 'ALTER INDEX pgw.payments_pkey SET (fillfactor = 80)');
});
part($node, 'lock', sub {
	is_harmless('LOCK TABLE', 'BEGIN; LOCK TABLE pgw.payments; SELECT pg_sleep(0.3); COMMIT');
	# in the other order than a caller's
	is_harmless('two tables in one transaction', 'BEGIN; LOCK TABLE pgw.payment_transactions; SELECT pg_sleep(0.2); LOCK TABLE pgw.payments; COMMIT');
	is_harmless('a foreign key of a user', 'ALTER TABLE invoices ADD FOREIGN KEY (payment) REFERENCES pgw.payments');
	is_harmless('a configuration table', 'BEGIN; LOCK TABLE pgw.banks, pgw.alert_state, pgw.bank_states; SELECT pg_sleep(0.3); COMMIT');
});
part($node, 'catalogs', sub {
	is_harmless("VACUUM FULL of $_", "VACUUM FULL pg_catalog.$_") for qw(pg_class pg_attribute pg_index);
});
part($node, 'partitions', sub {
	is_harmless('DETACH of a partition', "ALTER TABLE pgw.transaction_events DETACH PARTITION $partition");
	is_harmless('payments beside it', 'SELECT 1');
	my $last = $n;
	is($node->safe_psql('postgres', "SELECT count(*) FROM $partition e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE t.client_request_id = 'p$last'"), 0, 'no event goes into what is detached');
	cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE t.client_request_id = 'p$last'"), '>', 0, 'but into the default partition');
	# back again, with its bounds, and what went to the default partition meanwhile
	$_->quit for @callers;
	$node->safe_psql('postgres', "BEGIN; SET session_replication_role = replica; LOCK TABLE pgw.transaction_events; ALTER EVENT TRIGGER pgw_keep_baseline DISABLE;
		ALTER TABLE pgw.transaction_events_default DISABLE TRIGGER ALL;
		WITH moved AS (DELETE FROM pgw.transaction_events_default RETURNING *) INSERT INTO $partition SELECT * FROM moved;
		ALTER TABLE pgw.transaction_events ATTACH PARTITION $partition FOR VALUES FROM ('"
		  . $node->safe_psql('postgres', "SELECT rpad(lpad(to_hex((extract(epoch FROM date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')) * 1000)::bigint), 12, '0'), 32, '0')::uuid")
		  . "') TO ('"
		  . $node->safe_psql('postgres', "SELECT rpad(lpad(to_hex((extract(epoch FROM date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + interval '1 month') * 1000)::bigint), 12, '0'), 32, '0')::uuid")
		  . "'); ALTER TABLE pgw.transaction_events_default ENABLE TRIGGER ALL;
		ALTER TABLE pgw.transaction_events_default ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate; ALTER EVENT TRIGGER pgw_keep_baseline ENABLE ALWAYS; COMMIT");
	@callers = map { PgwSession->new($node, name => "caller$_") } 1 .. 6;
	is_harmless('after ATTACH', 'SELECT 1');
});

# DDL comes between a caller's locks and the worker's: he steps back, lets it go first, and pays then.
part($node, 'between', sub {
	# the worker has let go
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE a.backend_type = 'pgw worker' AND l.locktype = 'relation' AND l.relation = 'pgw.payments'::regclass"),
		'an idle worker holds no lock');
	debug_arm($node, 'tables_locked', 'stop');
	my $s = $callers[0];
	$s->send(pay());
	debug_wait($node, 'tables_locked');
	my $ddl = PgwSession->new($node, name => 'ddl')->send('ALTER TABLE pgw.payments ADD COLUMN between int');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'pgw.payments'::regclass"), 'DDL waits for a caller');
	debug_release($node, 'tables_locked');
	is($s->wait(20), 'captured', 'who steps back, and pays');
	$ddl->wait(20);
	is($ddl->state, '00000', 'after the DDL');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE a.backend_type = 'pgw worker' AND l.locktype = 'relation'"), 'and the worker lets go again');
});

# A call in a savepoint that is rolled back has given up its locks: the worker's must not stay.
part($node, 'savepoint', sub {
	my $s = $callers[0];
	$s->query('BEGIN; SAVEPOINT a');
	$s->query(pay());
	$s->query('ROLLBACK TO a');
	my $ddl = PgwSession->new($node, name => 'ddl')->send('ALTER TABLE pgw.payments ADD COLUMN savepoint int');
	$ddl->wait(20);
	is($ddl->state, '00000', 'DDL gets in while the transaction is open');
	is($s->query(pay()), 'captured', 'and the transaction goes on');
	$s->query('COMMIT');
});

# Somebody has used a table before his first payment, and DDL waits for him: nobody can step back, so it ends in time, and nothing is sent.
part($node, 'no way back', sub {
	my $s = $callers[0];
	$s->query('BEGIN; SELECT count(*) FROM pgw.payments');
	my $ddl = PgwSession->new($node, name => 'ddl')->send('ALTER TABLE pgw.payments ADD COLUMN last int');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'pgw.payments'::regclass"), 'DDL waits for a reader');
	my $began = time;
	$s->send(pay());
	$s->wait(20);
	is($s->state, 'PW500', 'who now wants to pay');
	like($s->err, qr/worker_busy/, 'and is told why not');
	$s->run('ROLLBACK');
	$ddl->wait(20);
	is($ddl->state, '00000', 'the DDL goes on');
	is($s->query(pay()), 'captured', 'and so do payments');
});

# A repeat leaves no lock behind: DDL does not wait for its transaction, and the transaction's first payment can still step back from it.
part($node, 'repeats', sub {
	my $s = $callers[0];
	my %again = (client_request_id => 'again');
	is($s->query(pay(%again)), 'captured', 'a payment');
	my $submitted = 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'submitted');
	$s->query($submitted);
	$s->query('BEGIN');
	is($s->query(pay(%again)), 'captured', 'its repeat');
	like($s->query($submitted), qr/^(pending|captured)$/, 'and one of a submitted payment');
	is($s->query("SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.pid = pg_backend_pid()
		AND (c.relname LIKE 'payments%' OR c.relname LIKE 'payment\\_transactions%' OR c.relname LIKE 'transaction\\_events%')"), 0, 'hold no lock of a payment');
	my $reader = PgwSession->new($node, name => 'reader');
	$reader->query('BEGIN; SELECT count(*) FROM pgw.payments');
	my $ddl = PgwSession->new($node, name => 'ddl')->send('ALTER TABLE pgw.payments ADD COLUMN repeated int');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'pgw.payments'::regclass"), 'DDL waits for a reader');
	$s->send(pay());
	ok($node->poll_query_until('postgres', "SELECT count(*) = 2 FROM pg_locks WHERE NOT granted AND relation = 'pgw.payments'::regclass"), 'a new payment of the same transaction waits behind it');
	$reader->query('COMMIT');
	is($s->wait(20), 'captured', 'and is paid');
	$ddl->wait(20);
	is($ddl->state, '00000', 'after the DDL');
	$s->query('COMMIT');

	# Somebody has the tables for himself: what the look cannot tell is told later, by the way of a new payment.
	$reader->query('BEGIN; LOCK TABLE pgw.payment_transactions');
	$s->send(pay(%again));
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'pgw.payment_transactions'::regclass"), 'a repeat meets a locked table');
	$reader->query('COMMIT');
	is($s->wait(20), 'captured', 'and is answered when it is free');
});

# A worker that does not answer: a replay needs none, and others end at their time-out.
part($node, 'stopped worker', sub {
	my $s = $callers[0];
	is($s->query(pay()), 'captured', 'a payment');
	my $id = "p$n";
	my $worker = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_locks WHERE pid = $worker"), 'its worker is at rest');
	kill 'STOP', $worker;
	$s->send(pay(client_request_id => $id));
	$s->wait(30);
	is($s->{out}, 'captured', 'and is stopped: the replay is answered');
	$s->send(pay(timeout => '1500ms'));
	$s->wait(30);
	is($s->state, 'PW500', 'a new one ends at its time-out');
	like($s->err, qr/worker_busy/, 'with nothing sent');
	kill 'CONT', $worker;
	is($s->query(pay()), 'captured', 'and later ones are paid');
});

# Work that nobody waits for lets turns pass while a table is locked, and shows it.
part($node, 'background', sub {
	my $s = PgwSession->new($node);

	# each scan looks into it; health() does, too, but not for this row
	$s->query('BEGIN; LOCK TABLE pgw.resumptions');
	$node->safe_psql('postgres', "BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'look'; COMMIT PREPARED 'look'");
	my $began = time;
	is($callers[0]->query(pay()), 'captured', 'payments go on while tables of the background are locked') for 1 .. 10;
	in_time(time - $began, 8, 'and do not wait for what the scan waits for');
	like($node->safe_psql('postgres', "SELECT details FROM pgw.health() WHERE check_name = 'table_locks'"), qr/"refused_table": "resumptions"/, 'health() says what the scan waits for');
	$s->query('COMMIT');
	ok($node->poll_query_until('postgres', "SELECT status = 'ok' AND details->>'refused_table' IS NULL FROM pgw.health() WHERE check_name = 'table_locks'"), 'and that it is over');
});

$_->quit for @callers;
is_sound($node, $bank, 'sound after all that', seconds => 60);
$node->stop('fast');
done_testing();
