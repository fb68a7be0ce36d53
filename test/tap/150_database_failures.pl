# Failures in the database itself while the worker works: a trigger of a user's that raises, a row locked for long, no room on the disk, settings of
# database and role, the extension dropped and created again.  One bad row never stops the others, and nothing is skipped silently.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('dbfail', conf => "fsync = off\nlog_line_prefix = '%n '\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '50ms'\n"
	  . "pgw.recovery_interval = '1s'\npgw.refund_max_attempts = 1000\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }
sub submit { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, %a) }
sub payment_status { return sql("SELECT status FROM pgw.payments WHERE client_request_id = '$_[0]'") }

sub payment_becomes
{
	my ($id, $status, $seconds) = @_;
	return wait_until(sub { payment_status($id) eq $status }, $seconds // 20);
}

sub transaction_id
{
	return sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'");
}

sub raise_in_worker
{
	my ($when, $raise) = @_;
	return "CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN
		IF current_setting('application_name') = 'pgw worker' AND $when THEN RAISE EXCEPTION $raise; END IF;
		RETURN NEW; END\$\$";
}

# Payments of both kinds go on, and one that is rolled back is given back.
my $others = 0;
sub are_others_paid
{
	my ($what) = @_;
	my $id = 'other' . ++$others;
	my $paid = sql(pay($id));
	sql(submit("$id submitted"));
	sql('BEGIN; ' . pay("$id rolled back") . '; ROLLBACK');
	is($paid, 'captured', "$what: others pay");
	ok(payment_becomes("$id submitted", 'captured'), "$what: others are worked off");
	ok(wait_until(sub { status_of($node, "$id rolled back") eq 'Refunded' }, 20), "$what: others are given back");
}

# The worker's tries at this attempt, in ms: the times of its complaints in the log.
sub complaints
{
	my ($id) = @_;
	return map { $_ * 1000 } slurp_file($node->logfile) =~ /^([\d.]+) DETAIL:  correlation id \S+, transaction \Q$id\E, bank "\w+"$/mg;
}

# ---------------------------------------------------------------- one row that cannot be written

part($node, 'a trigger that raises', sub {
	sql(raise_in_worker(q{NEW.client_request_id LIKE 'bad%'}, q{'not this one'}));
	sql('CREATE TRIGGER refuse BEFORE UPDATE ON pgw.payments FOR EACH ROW EXECUTE FUNCTION refuse()');
	is(sql(submit('bad submitted')), 'pending', 'a submitted payment whose row cannot be written');
	is(sql(pay('bad left', token => 'tok_slow_2500', timeout => '1s')), 'pending', 'a payment whose caller left it to the worker');
	sql("SELECT count(pgw.submit_payment('many' || i, 100, 'EUR', 'tok_ok')) FROM generate_series(1, 50) i");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE client_request_id LIKE 'many%' AND status = 'captured'") == 50 }, 20), 'fifty in the same batches are not held up');
	are_others_paid('a trigger that raises');

	my $left = transaction_id('bad left');
	# the log has ten of both attempts in a minute
	ok(wait_until(sub { complaints($left) >= 4 }, 20), 'it is tried again') or return;
	my @at = (complaints($left))[ 0 .. 3 ];
	my @distances = map { $at[ $_ + 1 ] - $at[$_] } 0 .. 2;
	ok(!(grep { $distances[$_] < 195 * 2**$_ } 0 .. 2), 'at growing distances') or diag("@distances");
	for my $id ('bad left', 'bad submitted')
	{
		my $t = transaction_id($id);
		ok(wait_until(sub { sql("SELECT told FROM pgw.alert_state WHERE kind = 'work_failing' AND transaction_id = '$t'") eq '1' }, 30), "an alert: $id");
		my $correlation = sql("SELECT correlation_id FROM pgw.payment_transactions WHERE transaction_id = '$t'");
		like(slurp_file($node->logfile), qr/WARNING:  pgw: work_failing: .*\n.*correlation id \Q$correlation\E/, 'and a warning with its correlation id');
		is(payment_status($id), 'pending', 'nothing is decided');
	}
	is(sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'work_failing'"), 2, 'about no other');
	sql('DROP TRIGGER refuse ON pgw.payments');
	ok(payment_becomes($_, 'captured', 40), "without the trigger it ends well: $_") for 'bad left', 'bad submitted';
	is(events($node, 'bad left'), $SUCCESS_FLOW, 'with the events of a success');
	is(scalar kept_charges($node, $bank, $_), 1, "one charge: $_") for 'bad left', 'bad submitted';
});

part($node, 'a row locked for long', sub {
	is(sql(pay('locked left', token => 'tok_slow_2500', timeout => '1s')), 'pending', 'a payment whose caller left it to the worker');
	is(sql(submit('locked submitted', token => 'tok_slow_500')), 'pending', 'a submitted one');
	my $s = PgwSession->new($node);
	$s->query("BEGIN; SELECT count(*) FROM (SELECT FROM pgw.payments WHERE client_request_id LIKE 'locked%' FOR UPDATE) x");
	ok(wait_until(sub { status_of($node, 'locked left') eq 'BankApproved' }, 20), 'the bank has answered');
	are_others_paid('a locked row');
	is(sql("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.backend_type = 'pgw worker' AND NOT l.granted"), 0, 'the worker waits for no lock');
	is(payment_status($_), 'pending', "not written while it is locked: $_") for 'locked left', 'locked submitted';
	$s->query('ROLLBACK');
	ok(payment_becomes($_, 'captured'), "written when it is free: $_") for 'locked left', 'locked submitted';
});

# ---------------------------------------------------------------- nothing can be written

# Not a full disk itself, but the error that it raises, at the statements that would raise it.
part($node, 'no room', sub {
	my $full = q{'could not extend file: No space left on device' USING ERRCODE = 'disk_full'};
	my $s = PgwSession->new($node);
	sql(raise_in_worker(q{TG_OP = 'UPDATE'}, $full));
	sql('CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON pgw.payment_transactions FOR EACH ROW EXECUTE FUNCTION refuse()');
	is(sql(pay('full', timeout => '2s')), 'pending', 'an answer that cannot be written is not a failure');
	$s->run('BEGIN; ' . pay('full rolled back', timeout => '2s') . '; ROLLBACK');
	is(sql(submit('full submitted')), 'pending', 'what is submitted waits');
	my $before = @{ bank_ledger($bank)->{charges} };
	sql(raise_in_worker('true', $full));
	$s->run(pay('never', timeout => '5s'));
	is($s->state, 'PW500', 'no intent can be written: the caller is told');
	is(scalar @{ bank_ledger($bank)->{charges} }, $before, 'and the bank is not');
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'never'"), 0, 'nothing of it is left');
	sql('DROP TRIGGER refuse ON pgw.payment_transactions');
	ok(payment_becomes($_, 'captured', 40), "with room again: $_") for 'full', 'full submitted';
	ok(wait_until(sub { status_of($node, 'full rolled back') =~ /^(Refunded|Failed)$/ }, 40), 'what was rolled back is given back') or diag(status_of($node, 'full rolled back'));
	are_others_paid('room again');
});

# ---------------------------------------------------------------- settings of database and role

part($node, 'settings', sub {
	local $ENV{PGOPTIONS} = '-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 -c role=none -c search_path=public';
	sql('CREATE ROLE nobody');
	my %setting = ('default_transaction_read_only' => 'on', 'default_transaction_isolation' => 'serializable', 'statement_timeout' => '1ms',
		'lock_timeout' => '1ms', 'search_path' => 'nosuch', 'synchronous_commit' => 'off', 'session_replication_role' => 'replica', 'role' => 'nobody',
		'datestyle' => 'German', 'intervalstyle' => 'sql_standard', 'timezone' => 'Asia/Kolkata', 'bytea_output' => 'escape');
	my $user = sql('SELECT quote_ident(session_user)');
	for my $whom ('DATABASE postgres', "ROLE $user")
	{
		sql(join ';', map { "ALTER $whom SET $_ = '$setting{$_}'" } sort keys %setting);
		my $old = sql("SELECT pg_terminate_backend(pid), pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'") =~ s/^t\|//r;
		ok(wait_until(sub { sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND pid <> $old") == 1 }, 20), "$whom: a new worker");
		are_others_paid($whom);
		sql("ALTER $whom RESET ALL");
	}
});
# A worker that lost its transactions to a limit would begin anew for ever.
part($node, 'a limit for whole transactions', sub {
	return if sql("SELECT current_setting('server_version_num')::int") < 170000;
	local $ENV{PGOPTIONS} = '-c transaction_timeout=0';
	my $worker = "pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'";
	sql("ALTER DATABASE postgres SET transaction_timeout = '1s'");
	my $old = sql("SELECT pg_terminate_backend(pid), $worker") =~ s/^t\|//r;
	ok(wait_until(sub { sql("SELECT count(*) = 1 FROM (SELECT $worker) w WHERE pid <> $old") eq 't' }, 20), 'a new worker');
	my $new = sql("SELECT $worker");
	sql(raise_in_worker('pg_sleep(1.5) IS NULL', "'never'") . '; CREATE TRIGGER refuse BEFORE INSERT ON pgw.payment_transactions FOR EACH ROW EXECUTE FUNCTION public.refuse()');
	is(sql(pay('long', timeout => '20s')), 'captured', 'does not end the worker\'s');
	is(sql("SELECT $worker"), $new, 'nor the worker');
	sql('DROP TRIGGER refuse ON pgw.payment_transactions; ALTER DATABASE postgres RESET transaction_timeout');
});
is_sound($node, $bank, 'tables and ledger agree');

# ---------------------------------------------------------------- the extension goes, and comes again

part($node, 'the extension dropped while attempts are due', sub {
	sql('BEGIN; ' . pay("due$_", token => 'tok_refund_fail') . '; ROLLBACK') for 1 .. 3;
	ok(wait_until(sub { events($node, 'due1') =~ /RefundFailed/ }, 20), 'charges that are being given back');
	my (undef, undef, $refused) = $node->psql('postgres', 'SET pgw.allow_drop = on; DROP EXTENSION pgw CASCADE');
	like($refused, qr/ERROR:  cannot drop pgw: 3 payments.* are open at a bank/, 'while they are, the extension stays');
	# only in a copy, whose attempts are not its own, can somebody drop it then
	my $second = bank_start();
	sql('CREATE DATABASE dropped TEMPLATE postgres');
	ok(wait_worker($node, 'dropped'), 'a copy of the database');
	my $from = -s $node->logfile;
	$node->safe_psql('dropped', 'SET pgw.allow_drop = on; DROP EXTENSION pgw CASCADE');
	pgw_setup($node, $second, db => 'dropped');
	is($node->safe_psql('dropped', pay('created again')), 'captured', 'created again, it pays');
	is($node->safe_psql('dropped', "SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id LIKE 'due%'"), 0, 'what was dropped is gone');
	are_others_paid('beside it');
	my $log = slurp_file($node->logfile, $from);
	is(scalar(() = $log =~ /terminated by signal|PANIC|exited with exit code [2-9]/g), 0, 'no process came to harm');
	is(scalar(() = $log =~ /ERROR/g), 0, 'and the worker ran into no error') or diag($log);
	is_sound($node, $second, 'the new tables and ledger agree', db => 'dropped');
});

done_testing;
