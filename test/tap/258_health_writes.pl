# Payments cannot be written, whatever the reason: health() and health_summary() say so, with the SQLSTATE; and what the catalogs show of such reasons, before anybody has tried.
use strict;
use warnings;
use lib 'test/lib';
use PgwMonitoring;
use PgwTest;
use PgwSession;
use Test::More;

my $node = pgw_node('health_writes', conf => "fsync = off\n");
my $bank = bank_start();
pgw_setup($node, $bank);

my $n = 0;
my $summary = "SELECT ready, split_part(reason, ':', 1) FROM pgw.health_summary()";
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'p' . ++$n, timeout => '10s') }
sub sound { my ($name) = @_; return ok(wait_until(sub { sql($summary) eq 't|' && health($node, 'writes', 'calls_failed') =~ /^ok\|-\|0$/ }, 80), "$name: sound") || diag(sql($summary), health($node, 'writes', 'about')) }

is(sql(pay()), 'captured', 'a payment');
sound('at first');

# Calls fail, and it is told; the fault is put right, and the next payment ends the alarm.
sub is_told
{
	my ($name, $sqlstate, $end) = @_;
	my $s = PgwSession->new($node);
	for (1 .. 3)
	{
		$s->run(pay());
		is($s->state, $sqlstate, "$name: the call fails") or diag($s->err);
	}
	like(health($node, 'writes', 'sqlstate'), qr/^error\|.*\|$sqlstate$/, "$name: health() says so");
	is(sql($summary), 'f|writes_fail', "$name: not ready");
	$node->safe_psql('postgres', "BEGIN READ WRITE; $end; COMMIT");
	is(sql(pay()), 'captured', "$name: over");
	like(health($node, 'writes', 'calls_failed'), qr/\|0$/, "$name: and no longer told of");
	return is(sql("SELECT string_agg(check_name, ',') FROM pgw.health() WHERE check_name IN ('publications', 'read_only', 'grants') AND status <> 'ok'"), '', "$name: nor what led to it");
}

part($node, 'published', sub {
	sql('CREATE PUBLICATION everything FOR ALL TABLES; ALTER TABLE pgw.payments REPLICA IDENTITY NOTHING');
	like(health($node, 'publications', 'without_replica_identity'), qr/^error\|.*\|\[\{"table": "payments", "publication": "everything"\}\]$/, 'published: named before anything fails');
	is_told('published', '55000', 'ALTER TABLE pgw.payments REPLICA IDENTITY DEFAULT');
	sql('DROP PUBLICATION everything');
	for (['columns', 'TABLE pgw.payments (amount)'], ['filter', 'TABLE pgw.payments WHERE (amount > 5)'])
	{
		my ($name, $of) = @$_;
		sql("CREATE PUBLICATION $name FOR $of");
		like(health($node, 'publications', 'too_narrow'), qr/^error\|.*\|\[\{"table": "payments", "publication": "$name"\}\]$/, "published: $name");
		is_told("published: $name", '42P10', "DROP PUBLICATION $name");
	}
	for ('TABLE pgw.payments (payment_id, amount)', 'TABLE pgw.payments (payment_id, amount) WHERE (payment_id IS NOT NULL)', "TABLE pgw.payments WHERE (amount > 5) WITH (publish = 'insert')")
	{
		sql("CREATE PUBLICATION sound FOR $_");
		like(health($node, 'publications', 'too_narrow'), qr/^ok\|.*\|\[\]$/, "published: $_");
		is(sql(pay()), 'captured', '... stops nothing');
		sql('DROP PUBLICATION sound');
	}
});

part($node, 'constraint', sub {
	sql('ALTER TABLE pgw.payments ADD CONSTRAINT nobody CHECK (amount < 0) NOT VALID');
	is_told('constraint', '23514', 'ALTER TABLE pgw.payments DROP CONSTRAINT nobody');
});

part($node, 'trigger', sub {
	sql(q(CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$BEGIN RAISE EXCEPTION 'no'; END$$;
		CREATE TRIGGER no BEFORE UPDATE ON pgw.payments FOR EACH ROW EXECUTE FUNCTION public.no()));
	is_told('trigger', 'P0001', 'DROP TRIGGER no ON pgw.payments');
});

# What the worker cannot write: before the request is sent, its caller is told why; afterwards the answer is kept, and the call ends pending.
sub worker_is_told
{
	my ($name, $what, $cause, $fault, $end) = @_;
	my $sqlstate = substr($cause, 0, 5);
	sql($fault);
	my $s = PgwSession->new($node);
	my @ids;
	for (1 .. 3)
	{
		$s->run('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'p' . ++$n, timeout => '3s'));
		push @ids, "'p$n'";
		if ($what eq 'requests')
		{
			is($s->state, 'PW500', "$name: the call fails") or diag($s->err);
			like($s->err, qr/"code": "not_recorded".*"retryable": true.*"reason": "SQLSTATE $cause/, '... with the cause');
		}
		else { is($s->{out}, 'pending', "$name: the call is pending") or diag($s->err) }
	}
	like(health($node, 'writes', 'sqlstate'), qr/^error\|.*\|$sqlstate$/, "$name: health() says so");
	cmp_ok((split /\|/, health($node, 'writes', "${what}_failed"))[-1], '>=', 3, "$name: and what has failed");
	is(sql($summary), 'f|writes_fail', "$name: not ready");
	sql($end);
	is(sql(pay()), 'captured', "$name: over");
	ok(wait_until(sub { health($node, 'writes', "${what}_failed") =~ /\|0$/ }, 60), "$name: and no longer told of");
	my $ids = join ',', @ids;
	return $what eq 'requests' || ok($node->poll_query_until('postgres', "SELECT count(*) = 3 FROM pgw.payments WHERE client_request_id IN ($ids) AND status = 'captured'"), "$name: what the bank said is written in the end");
}

part($node, 'worker', sub {
	my $check = 'ADD CONSTRAINT c9 CHECK';
	my $drop = 'DROP CONSTRAINT c9';
	worker_is_told('attempts', 'requests', '23514, constraint \\\\"c9\\\\" of table \\\\"payment_transactions', "ALTER TABLE pgw.payment_transactions $check (amount < 0) NOT VALID", "ALTER TABLE pgw.payment_transactions $drop");
	worker_is_told('events', 'requests', '23514', "ALTER TABLE pgw.transaction_events $check (event_type <> 'BankProcessingStarted') NOT VALID", "ALTER TABLE pgw.transaction_events $drop");
	sql('CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$BEGIN RETURN NULL; END$$');
	worker_is_told('left out', 'requests', '39P01', 'CREATE TRIGGER nothing BEFORE INSERT ON pgw.payment_transactions FOR EACH ROW EXECUTE FUNCTION public.nothing()', 'DROP TRIGGER nothing ON pgw.payment_transactions');
	worker_is_told('answers', 'answers', '23514', "ALTER TABLE pgw.transaction_events $check (event_type <> 'BankProcessingCompleted') NOT VALID", "ALTER TABLE pgw.transaction_events $drop");
});

part($node, 'read-only', sub {
	sql('CREATE ROLE app; ALTER ROLE app SET default_transaction_read_only = on');
	like(health($node, 'read_only', 'roles'), qr/^warning\|.*\|\["app"\]$/, 'read-only: a role is named');
	sql('ALTER ROLE app RESET default_transaction_read_only; ALTER DATABASE postgres SET default_transaction_read_only = on');
	like(health($node, 'read_only', 'everybody_by'), qr/^error\|.*\|database$/, 'read-only: a default for the database');
	is_told('read-only', '25006', 'ALTER DATABASE postgres RESET default_transaction_read_only');

	my $s = PgwSession->new($node);
	$s->query('SET default_transaction_read_only = on');
	$s->run(pay()) for 1 .. 3;
	is($s->state, '25006', 'a session that has said so itself');
	like(health($node, 'writes', 'calls_failed'), qr/\|0$/, '... says nothing of others');
	$s->query("SET default_transaction_read_only = off");
	$s->run('SELECT FROM ' . pay_sql('process_payment', client_request_id => "b$_", amount => -1)) for 1 .. 3;
	is($s->state, 'PW400', 'nor does a call that is not valid');
	like(health($node, 'writes', 'calls_failed'), qr/\|0$/, '... which is its own affair');
});

part($node, 'grants', sub {
	sql("CREATE ROLE shop; SELECT pgw.grant_access('shop', 'client')");
	like(health($node, 'grants', 'missing'), qr/^ok\|/, 'grants: all are there');
	sql('REVOKE EXECUTE ON FUNCTION pgw.void_payment FROM shop; REVOKE USAGE ON SCHEMA pgw FROM shop');
	my $row = health($node, 'grants', 'missing');
	like($row, qr/^warning\|.*"grantee": "shop"/, 'grants: what was taken away is named');
	like($row, qr/$_/, "grants: $_") for 'FUNCTION pgw.void_payment', 'SCHEMA pgw';
	sql("SELECT pgw.grant_access('shop', 'client')");
	like(health($node, 'grants', 'missing'), qr/^ok\|/, 'grants: given again');
});

is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
