# What the worker has to find again by itself stands in pgw.open_work, or behind its mark: over crashes at each place between an attempt's first row, the mark and its row there,
# with a clock that was set back, with callers who sit in their transactions, and without growing while a snapshot is held.
use strict;
use warnings;
use lib 'test/lib';
use Cwd;
use Fcntl;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('open_work', debug => 1, start => 0, conf => "restart_after_crash = on\npgw.compensation_delay = '1s'\npgw.retry_base_delay = '200ms'\npgw.retry_max_delay = '1s'\nmax_prepared_transactions = 5\n");
my $clock = $node->basedir . '/clock';
my $bank = bank_start();

sub set_clock
{
	my ($offset) = @_;
	sysopen my $f, $clock, O_RDWR | O_CREAT or die $!;
	syswrite $f, pack 'q', $offset;    # in its place: processes have it mapped
	close $f;
	return;
}

# As from now on: pg_ctl and all that it starts have the clock that can be moved; this test and the bank keep the real one.
sub start
{
	local %ENV = (%ENV, LD_PRELOAD => getcwd() . '/test/lib/clock.so', PGW_CLOCK => $clock);
	$node->start;
	return;
}

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }
sub rows_of { return sql("SELECT coalesce(string_agg(w.status || CASE WHEN w.left_to_caller THEN ', left to caller' ELSE '' END, '; '), 'none') FROM pgw.open_work w JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = '$_[0]'") }
sub status { return status_of($node, $_[0]) }
my $passed = "SELECT t.transaction_id < m.below FROM pgw.payment_transactions t, pgw.open_work_mark m WHERE t.client_request_id";

# A call whose bank charges at once and answers after so long.
sub pay_slowly
{
	my ($id, $ms) = @_;
	my $call = psql_start($node, pay($id, token => "tok_slow_$ms"));
	ok(wait_until(sub { my @c = charges_of($node, $bank, $id); @c == 1 }, 20), "$id: the bank is called");
	return $call;
}

# The owner can, if he switches off what keeps him from it.
sub change_open_work
{
	my ($statements) = @_;
	my %guards = ('pgw.open_work' => [qw(keep_listed refuse_truncate)], 'pgw.open_work_mark' => ['keep_mark']);
	my $switch = sub { my ($how) = @_; map { my $t = $_; map { "ALTER TABLE $t $how TRIGGER $_" } @{ $guards{$t} } } sort keys %guards };
	return sql(join '; ', 'BEGIN', 'ALTER EVENT TRIGGER pgw_keep_baseline DISABLE', $switch->('DISABLE'), $statements, $switch->('ENABLE ALWAYS'),
		'ALTER EVENT TRIGGER pgw_keep_baseline ENABLE ALWAYS', 'COMMIT');
}

sub pid_of_worker { return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'") }

$node->start;
pgw_setup($node, $bank);
is(sql(pay('first')), 'captured', 'a payment');

part($node, 'normal', sub {
	my $before = sql("SELECT n_tup_ins FROM pg_stat_user_tables WHERE relid = 'pgw.open_work'::regclass");
	sql(pay("normal-$_")) for 1 .. 20;
	sql('SELECT pg_stat_force_next_flush()') if $node->pg_version >= 15;
	is(sql("SELECT count(*) FROM pgw.open_work"), 0, 'payments that go well have no row');
	ok(wait_until(sub { sql("SELECT n_tup_upd >= 40 FROM pg_stat_user_tables WHERE relid = 'pgw.payment_transactions'::regclass") eq 't' }, 20), 'the statistics have come');
	is(sql("SELECT n_tup_ins FROM pg_stat_user_tables WHERE relid = 'pgw.open_work'::regclass"), $before, 'payments that go well had no row');
	is(sql("SELECT n_tup_upd - n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'pgw.payment_transactions'::regclass"), 0, 'all updates of their attempts are HOT');
	is(sql("SELECT i.indexrelid::regclass FROM pg_index i WHERE i.indrelid IN ('pgw.payments'::regclass, 'pgw.payment_transactions'::regclass)
		AND EXISTS (SELECT FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
			AND a.attname IN ('status', 'step_order', 'next_step_at', 'updated_at', 'bank_reference', 'authorization_code', 'bank_asked_at', 'requests_sent', 'captured_amount', 'authorized_amount'))"),
		'', 'no index of payments and attempts has what changes in them, in key or predicate');
});

part($node, 'locked', sub {
	my $ddl = PgwSession->new($node);
	$ddl->query('BEGIN');
	$ddl->query('LOCK TABLE pgw.open_work, pgw.open_work_mark');
	is(sql(pay('beside', timeout => '20s')), 'captured', 'somebody has both tables locked, and payments that go well go on');
	$ddl->query('COMMIT');
	$ddl->quit;
});

part($node, 'crash', sub {
	my $call = pay_slowly('young', 30_000);
	is(rows_of('young'), 'none', 'on its way: no row');
	is(sql("$passed = 'young'"), 'f', '... and behind the mark');
	crash($node, pid_of_worker());
	$call->{h}->finish;
	ok(wait_until(sub { status('young') !~ /Created|BankUnknown|BankApproved|Refunding/ }, 30), 'the next worker finds it all the same') or diag(status('young'));

	$call = pay_slowly('old', 30_000);
	ok(wait_until(sub { rows_of('old') eq 'Created' }, 30), 'after ten seconds it has a row');
	is(sql("$passed = 'old'"), 't', '... and the mark has passed it') if wait_until(sub { sql("$passed = 'old'") eq 't' }, 5);
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'both tables agree');
	crash($node, pid_of_worker());
	$call->{h}->finish;
	ok(wait_until(sub { status('old') !~ /Created|BankUnknown|BankApproved|Refunding/ }, 30), 'the next worker finds it there') or diag(status('old'));
	ok(wait_until(sub { rows_of('old') =~ /^(?:none|Refunded)$/ }, 30), '... and leaves nothing but the watch of its refund') or diag(rows_of('old'));

	# what was listed and what was moved are one commit
	$call = pay_slowly('between', 40_000);
	debug_arm($node, 'mark_listed', 'stop');
	my $pid = debug_wait($node, 'mark_listed', 40);
	crash($node, $pid);
	$call->{h}->finish;
	ok(wait_until(sub { status('between') !~ /Created|BankUnknown|BankApproved|Refunding/ }, 30), 'killed between the row and the mark') or diag(status('between'));
	is_sound($node, $bank, 'all is sound');
});

part($node, 'below', sub {
	# as if the request had waited for room until the mark had passed its id
	change_open_work("UPDATE pgw.open_work_mark SET below = overlay(below::text placing 'ffff' from 1)::uuid");
	my $session = PgwSession->new($node);
	my $n = 0;
	ok(wait_until(sub { my $id = 'probe-' . ++$n; $session->query('BEGIN'); $session->query(pay($id)); my $has = rows_of($id); $session->query('COMMIT'); $has ne 'none' }, 30), 'the worker has read the mark');
	$session->quit;
	my $call = pay_slowly('below', 30_000);
	is(rows_of('below'), 'Created', 'an attempt below the mark has a row from the first');
	crash($node, pid_of_worker());
	$call->{h}->finish;
	ok(wait_until(sub { status('below') !~ /Created|BankUnknown|BankApproved|Refunding/ }, 30), 'so it is found again') or diag(status('below'));
	ok(wait_until(sub { rows_of('below') =~ /^(?:none|Refunded)$/ }, 30), '... and nothing is left but the watch of its refund') or diag(rows_of('below'));
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'all is consistent');

	# what got its row while the mark was not known, or thought to be greater, does not keep it when it is over
	$call = pay_slowly('lowered', 6000);
	is(rows_of('lowered'), 'Created', 'another has a row from the first');
	sql('DELETE FROM pgw.open_work_mark');
	ok(wait_until(sub { sql("$passed = 'lowered'") eq 'f' }, 5), 'a mark that is gone is made again, and does not stand before that one any more');
	$call->{h}->finish;
	is(status('lowered'), 'Completed', 'its call is over');
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', '... and its row is none that says otherwise');
	ok(wait_until(sub { rows_of('lowered') eq 'none' }, 5), 'nor is there one left') or diag(rows_of('lowered'));
});

part($node, 'undecided', sub {
	my %session = map { $_ => PgwSession->new($node) } qw(commits leaves);
	for my $name (sort keys %session)
	{
		$session{$name}->query('BEGIN');
		is($session{$name}->query(pay("$name")), 'captured', "$name: charged, and its caller sits in the transaction");
	}
	sql("BEGIN; " . pay('prepared') . "; PREPARE TRANSACTION 'prepared'");
	for my $name (qw(commits leaves prepared))
	{
		ok(wait_until(sub { rows_of($name) eq 'BankApproved, left to caller' }, 30), "$name: it has a row, though its caller keeps its attempt locked") or diag(rows_of($name));
		ok(wait_until(sub { sql("$passed = '$name'") eq 't' }, 10), "$name: the mark goes on");
	}
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'all is consistent meanwhile');
	$session{commits}->query('COMMIT');
	ok(wait_until(sub { rows_of('commits') eq 'none' && status('commits') eq 'Completed' }, 20), 'committed: the worker takes the row away') or diag(rows_of('commits'));
	$session{leaves}->query('ROLLBACK');
	sql("ROLLBACK PREPARED 'prepared'");
	for my $name (qw(leaves prepared))
	{
		ok(wait_until(sub { status($name) eq 'Refunded' }, 30), "$name: rolled back, and given back") or diag(status($name));
		ok(wait_until(sub { rows_of($name) eq 'none' || rows_of($name) eq 'Refunded' }, 20), "$name: what is left is the watch of the refund") or diag(rows_of($name));
		is(sql("SELECT transaction_status FROM pgw.find_payment('$name')"), 'Refunded', "$name: its caller finds it by its id");
		is(sql("SELECT count(*) > 5 FROM pgw.payment_history((SELECT payment_id FROM pgw.payment_transactions WHERE client_request_id = '$name'))"), 't', '... and by the id of the payment');
	}
	$_->quit for values %session;
	is_sound($node, $bank, 'all is sound');
});

part($node, 'capture', sub {
	# a capture after the commit is under way with nothing planned: what counts how long it is not known looks at open work only
	bank_control($bank, 'faults', { probabilities => { slow_15000 => 1 }, operations => ['capture'] });
	is(sql(pay('captured-late', capture => 'on_commit')), 'authorized', 'the bank takes its time with a capture after the commit');
	ok(wait_until(sub { sql("SELECT status = 'Saved' AND next_step_at IS NULL FROM pgw.payment_transactions WHERE client_request_id = 'captured-late' AND capture_key_used_at IS NOT NULL") eq 't' }, 20), 'it was sent, and nothing is planned') or diag(status('captured-late'));
	ok(wait_until(sub { rows_of('captured-late') eq 'Saved' && sql("$passed = 'captured-late'") eq 't' }, 20), 'the mark passes it: it has a row') or diag(rows_of('captured-late'));
	ok(wait_until(sub { status('captured-late') eq 'Completed' }, 40), 'it is captured') or diag(status('captured-late'));
	ok(wait_until(sub { rows_of('captured-late') eq 'none' }, 5), '... and the row is gone') or diag(rows_of('captured-late'));
	bank_control($bank, 'faults', {});
	is_sound($node, $bank, 'all is sound');
});

# HELD payments of eight clients, in long runs 200,000.
part($node, 'snapshot', sub {
	my $held = $ENV{HELD} || 800;
	my $script = $node->basedir . '/pay.sql';
	my $reader = PgwSession->new($node);
	append_to_file($script, 'SELECT 1 / (status = \'captured\')::int FROM ' . pay_sql('process_payment', client_request_id => 'ID') =~ s/'ID'/gen_random_uuid()::text/r . ";\n");
	$reader->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
	my $paid = $reader->query('SELECT count(*) FROM pgw.payments');
	my $size = "SELECT pg_total_relation_size('pgw.open_work') + pg_total_relation_size('pgw.open_work_mark')";
	my $before = sql($size);
	my $start = time;
	$node->command_ok([ 'pgbench', '-n', '-c', 8, '-j', 2, '-t', int($held / 8), '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ], 'a snapshot is held, and payments pass');
	my $took = time - $start || 1;
	cmp_ok(sql('SELECT count(*) FROM pgw.payments'), '>=', $paid + int($held / 8) * 8, 'all of them');
	my ($after, $left) = map { sql($_) } $size, 'SELECT count(*) FROM pgw.open_work';
	cmp_ok($after, '<=', $before + 65536 + 100 * $took, "they leave nothing in open_work, and the mark a version a second");
	diag(sprintf '%d payments in %d s: %d bytes before, %d after, %d rows of open work', $held, $took, $before, $after, $left);
	# and a worker that starts now finds its way past them
	# not by the bank's ledger, which is long by now
	my $call = psql_start($node, pay('beside-held', token => 'tok_slow_20000'));
	ok(wait_until(sub { status('beside-held') eq 'Created' }, 20), 'another one is on its way');
	my $pid = pid_of_worker();
	sql("SELECT pg_terminate_backend($pid)");
	ok(wait_until(sub { (pid_of_worker() || $pid) != $pid }, 20), 'the worker is another one meanwhile');
	is(sql(pay('after-held')), 'captured', '... and works');
	$call->{h}->finish;
	ok(wait_until(sub { status('beside-held') !~ /Created|BankUnknown|BankApproved|Refunding/ }, 30), '... and has found what the other one left') or diag(status('beside-held'));
	$reader->query('COMMIT');
	$reader->quit;
});

part($node, 'clock', sub {
	$node->stop('fast');
	set_clock(3600);
	start();
	wait_worker($node);
	ok(wait_until(sub { sql(pay('ahead-' . time . rand)); sql('SELECT to_timestamp((\'x\' || left(replace(below::text, \'-\', \'\'), 12))::bit(48)::bigint / 1000.0) > clock_timestamp() - interval \'1 min\' FROM pgw.open_work_mark') eq 't' }, 40), 'the clock is an hour ahead, and the mark with it');
	set_clock(0);
	is(sql(pay('back')), 'captured', 'it is set back, and payments go on');
	ok(wait_until(sub { rows_of('back') eq 'none' }, 10), '... and leave no row');
	my $call = pay_slowly('back-crash', 30_000);
	is(rows_of('back-crash'), 'Created', 'an attempt of the past, as the mark has it, has a row from the first');
	$node->stop('immediate');
	$call->{h}->finish;
	start();
	ok(wait_until(sub { status('back-crash') !~ /Created|BankUnknown|BankApproved|Refunding/ }, 30), '... and is found after a crash') or diag(status('back-crash'));
	is_sound($node, $bank, 'all is sound');
});

part($node, 'by hand', sub {
	# what a statement changes or takes away is noticed, or follows
	bank_control($bank, 'faults', { probabilities => { '503' => 1 } });
	sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'hand', token => 'tok_503_9'));
	ok(wait_until(sub { sql("UPDATE pgw.payment_transactions SET next_step_at = '2200-01-01' WHERE client_request_id = 'hand' AND live AND next_step_at IS NOT NULL RETURNING true") eq 't' }, 20), 'one is to be tried again, and later than it was to');
	is(sql("SELECT w.next_step_at = '2200-01-01' FROM pgw.open_work w JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = 'hand'"), 't', 'its row follows a statement');
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'both agree');
	for my $statement ('TRUNCATE pgw.open_work', 'DELETE FROM pgw.open_work', "SET session_replication_role = replica; DELETE FROM pgw.open_work",
		"UPDATE pgw.open_work_mark SET below = 'ffffffff-ffff-7fff-bfff-ffffffffffff'",
		"BEGIN; DELETE FROM pgw.open_work_mark; INSERT INTO pgw.open_work_mark (below) VALUES ('ffffffff-ffff-7fff-bfff-ffffffffffff')")
	{
		my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement");
		like($err, qr/ERROR:  PW422: .*\n.*HINT/s, "refused: $statement");
	}
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'they have changed nothing');
	change_open_work("DELETE FROM pgw.open_work w USING pgw.payment_transactions t WHERE w.transaction_id = t.transaction_id AND t.client_request_id = 'hand'; UPDATE pgw.open_work_mark SET below = overlay(below::text placing 'ffff' from 1)::uuid");
	is(sql('SELECT check_name FROM pgw.check_consistency()'), 'open_work_missing', 'a row that somebody has deleted is missed');
	bank_control($bank, 'faults', {});
	sql('DELETE FROM pgw.open_work_mark');
	sql('SELECT pgw.run_recovery()');
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'without a mark all that is open is found');
	sql("UPDATE pgw.payment_transactions SET next_step_at = now() WHERE client_request_id = 'hand'");
	sql('SELECT pgw.run_recovery()');
	ok(wait_until(sub { status('hand') eq 'Completed' }, 30), '... and worked on') or diag(status('hand'));
	is_sound($node, $bank, 'all is sound');
});

$node->stop('fast');
done_testing();
