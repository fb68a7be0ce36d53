# Somebody has locked a table of pgw, any of them, or a catalog: every call of a client ends within its time, also one that opens that table before it waits for
# the worker or after its answer, and health() and health_summary() say so meanwhile.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('calls_bounded', conf => "fsync = off\npgw.wait_timeout = '300ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

my $n = 0;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub tables { return split /\n/, sql(q(SELECT oid::regclass FROM pg_class WHERE relnamespace = 'pgw'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1)) }
sub locker { my ($table) = @_; my $s = PgwSession->new($node); $s->query("BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE"); return $s }
sub client { my $s = PgwSession->new($node); $s->query('SET ROLE app'); return $s }

sql("CREATE ROLE app; SELECT pgw.grant_access('app', 'client'), pgw.grant_access('app', 'auditor')");
sql('SELECT FROM ' . pay_sql('process_payment', client_request_id => 'charged', amount => 100000));
my $charged = sql("SELECT payment_id FROM pgw.find_payment('charged')");
sql('SELECT FROM ' . pay_sql('process_payment', client_request_id => "held$_", amount => 100000, capture => 'manual')) for 1 .. 2;
my ($held, $to_void) = map { sql("SELECT payment_id FROM pgw.find_payment('held$_')") } 1 .. 2;

# Each function for clients: what it is asked, by its name.
my %call = (
	process_payment => sub { 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => "p$n", timeout => '300ms') },
	process_payments => sub { qq(SELECT status FROM pgw.process_payments('[{"client_request_id": "b$n", "amount": 1, "currency": "EUR", "token": "tok_ok"}]', timeout => '300ms')) },
	submit_payment => sub { 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => "s$n") },
	capture_payment => sub { "SELECT status FROM pgw.capture_payment('$held', 'c$n', 1, false)" },
	void_payment => sub { "SELECT status FROM pgw.void_payment('$to_void', 'v$n')" },
	refund_payment => sub { "SELECT status FROM pgw.refund_payment('$charged', 'r$n', 1)" },
	get_payment => sub { "SELECT status FROM pgw.get_payment('$charged')" },
	find_payment => sub { "SELECT status FROM pgw.find_payment('charged')" },
	wait_for_payment => sub { "SELECT status FROM pgw.wait_for_payment('$charged', '300ms')" },
	payment_history => sub { "SELECT count(*) FROM pgw.payment_history('$charged')" },
	receive_notification => sub { "SELECT http_status FROM pgw.receive_notification('bank', '{}', '\\x7b7d')" });

part($node, 'functions', sub {
	is(sql(q(SELECT string_agg(p.proname, ',' ORDER BY p.proname COLLATE "C") FROM pg_proc p WHERE p.pronamespace = 'pgw'::regnamespace AND p.provolatile = 'v'
		AND has_function_privilege('app', p.oid, 'EXECUTE') AND p.proname NOT LIKE 'health%' AND p.proname NOT IN ('read_metrics', 'metrics_text', 'check_consistency', 'consistency_faults', 'rebuild_payment', 'rebuild_status', 'dashboard')
		AND p.proname !~ '^global_|_events?(_|$)')),
		join(',', sort keys %call), 'every function for clients is tried');
});

# What a call comes to while the locks are held: an answer (a bank's that the worker cannot write is none in time), or that it is to be repeated; what is wrong with it.
sub fault
{
	my ($s, $began, $told) = @_;
	$s->wait(60);
	return 'late' if time - $began > 5 * busy();
	return $s->state . ': ' . $s->err if $s->state !~ /^(00000|PW4\d\d|PW504|PW500)$/;
	return '' if $s->state ne 'PW500';
	$$told++ if $told;
	# only of a payment can it be that the worker has not come to it
	return $s->err if $s->err =~ /did not send the request in time/ && $s->{sql} !~ /process_payment/;
	return $s->err =~ /"code": "worker_busy".*"retryable": true.*"reason": ".*HINT:  Nothing was sent; the call can be repeated/s ? '' : $s->err;
}

# The call is told.
sub is_told
{
	my ($s, $name) = @_;
	my $told = 0;
	is(fault($s, time, \$told), '', "$name: answered");
	return is($told, 1, "$name: PW500");
}

part($node, 'tables', sub {
	my %told;
	my %sessions = map { $_ => client() } keys %call;
	for my $table (tables(), 'pg_catalog.pg_extension')
	{
		$n++;
		sql("UPDATE pgw.banks SET priority = priority WHERE name = 'bank'");    # all of them have to read the configuration again
		my $fresh = client();
		my $lock = locker($table);
		my $began = time;
		$sessions{$_}->send($call{$_}->()) for keys %call;
		$fresh->send('SELECT status FROM ' . pay_sql('process_payment', client_request_id => "f$n", timeout => '300ms'));
		my %faults = map { $_ => fault($sessions{$_}, $began, \$told{$table}) } keys %call;
		$faults{'new session'} = fault($fresh, $began);
		is(join("\n", map { "$_: $faults{$_}" } grep { $faults{$_} ne '' } sort keys %faults), '', "$table: every call ends in time, with an answer or PW500");
		$lock->query('ROLLBACK');
	}
	note(join ', ', map { "$_: " . ($told{$_} // 0) } sort keys %told);
	is($told{'pgw.access_grants'}, scalar keys %call, 'who may call has to be known for each');
	cmp_ok($told{$_}, '>', 0, "$_ is needed") for qw(pgw.merchants pgw.banks pgw.connectors pgw.payments pgw.payment_transactions pgw.open_work);
	ok(wait_until(sub { sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'p' . ++$n, timeout => '30s')) eq 'captured' }, 30), 'then all is as before');
});

# Locked while the bank is asked: all that the call has not locked itself.
part($node, 'after the answer', sub {
	my $s = client();
	my $began = time;
	$s->send('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'asked', token => 'tok_slow_1500', timeout => '4s'));
	ok(wait_until(sub { events($node, 'asked') =~ /BankProcessingStarted/ }, 20), 'the bank is asked');
	my $lock = PgwSession->new($node);
	$lock->query('BEGIN');
	for my $table (tables())
	{
		$lock->query("DO \$\$BEGIN LOCK TABLE $table IN ACCESS EXCLUSIVE MODE NOWAIT; EXCEPTION WHEN lock_not_available THEN END\$\$");
	}
	$s->wait(60);
	in_time(time - $began, 12, 'in time');
	like($s->state, qr/^(00000|PW409)$/, 'an answer, or that it has to be asked for again') or diag($s->err);
	$lock->query('ROLLBACK');
	ok(wait_until(sub { sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'asked', token => 'tok_slow_1500', timeout => '30s')) eq 'captured' }, 30), 'then it is there');
	is(scalar kept_charges($node, $bank, 'asked'), 1, 'once');
});

# A shorter lock_timeout is the session's own, with the server's error; a longer one is no reason to wait longer, and it stays as it was.
part($node, 'lock_timeout', sub {
	my $lock = locker('pgw.merchants');
	my $s = client();
	$s->query("SET lock_timeout = '50ms'");
	$s->run('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'short', timeout => '30s'));
	is($s->state, '55P03', 'the shorter one');
	$s->query("SET lock_timeout = '10min'");
	my $long = 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'long', timeout => '300ms');
	is_told($s->send($long), 'longer');
	is($s->query('SHOW lock_timeout'), '10min', 'the setting is as it was');
	$s->query("BEGIN; SAVEPOINT s");
	is_told($s->send($long), 'in a transaction');
	is($s->query('ROLLBACK TO s; SHOW lock_timeout'), '10min', '... too');
	$lock->query('ROLLBACK');
	is($s->query('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'long', timeout => '30s') . '; COMMIT'), 'captured', 'which can go on');
	is($s->query('SHOW lock_timeout'), '10min', 'after its commit');
});

# Code of others on pgw's tables that sets lock_timeout: what it sets for its transaction is over with that.
part($node, 'code of others', sub {
	sql(q(CREATE FUNCTION public.patient() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS
		$$BEGIN PERFORM set_config('lock_timeout', '7s', true); RETURN NEW; END$$;
		CREATE TRIGGER patient BEFORE INSERT ON pgw.payments FOR EACH ROW EXECUTE FUNCTION public.patient()));
	my $s = client();
	$s->query("SET lock_timeout = '10min'");
	is($s->query('BEGIN; SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'patient', timeout => '30s') . '; COMMIT'), 'captured', 'paid');
	is($s->query('SHOW lock_timeout'), '10min', 'the setting is as it was');
	my $lock = locker('pgw.merchants');
	is_told($s->send('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'patient2', timeout => '300ms')), 'the limit holds');
	$lock->query('ROLLBACK');
	sql('DROP TRIGGER patient ON pgw.payments');
});

# What is told meanwhile, and no longer.
part($node, 'health', sub {
	my $ready = "SELECT ready, split_part(reason, ':', 1) FROM pgw.health_summary()";
	ok(wait_until(sub { sql($ready) eq 't|' }, 30), 'ready') or diag(sql($ready));
	for my $table (qw(pgw.access_grants pgw.payments pg_catalog.pg_extension))
	{
		my $lock = locker($table);
		ok(wait_until(sub { sql($ready) =~ ($table =~ /^pgw/ ? qr/^f\|tables_locked$/ : qr/^f\|(tables_locked|worker_late)$/) }, 20), "$table: not ready") or diag(sql($ready));
		if ($table =~ /^pgw/)
		{
			my $row = sql("SELECT status || ' ' || details FROM pgw.health() WHERE check_name = 'table_locks'");
			like($row, qr/^(warning|error) .*"calls_kept_from": "\Q@{[$table =~ s!^pgw\.!!r]}\E"/, "$table: health() names it");
			like($row, qr/"pid": @{[$lock->backend]}\b/, "$table: and who has it") or diag($row);
		}
		$lock->query('ROLLBACK');
		ok(wait_until(sub { sql($ready) eq 't|' }, 20), "$table: ready again") or diag(sql($ready));
		is(sql("SELECT details->>'refused_for_seconds' || ' ' || (details->>'calls_kept_for_seconds') FROM pgw.health() WHERE check_name = 'table_locks'"), '0 0', "$table: and nothing is refused any more");
	}
});

is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
