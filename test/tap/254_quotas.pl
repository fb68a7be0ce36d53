# Quotas: how many payments of one merchant, and of one role, may wait. What is over it is refused before anything is recorded; what is recorded is replayed; and the count is right
# after everything that can happen to a transaction.
use strict;
use warnings;
use lib 'test/lib';
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('quotas', debug => 1, conf => "fsync = off\nrestart_after_crash = on\npgw.compensation_delay = 0\npgw.merchant_max_submitted = 20\npgw.role_max_submitted = 30\n");
my $bank = bank_start();
pgw_setup($node, $bank);
$node->safe_psql('postgres', "INSERT INTO pgw.merchants (merchant) VALUES ('one'), ('two'), ('three'), ('four'), ('five'), ('flood'), ('six');
	CREATE ROLE anna LOGIN; CREATE ROLE bert LOGIN; CREATE ROLE carl LOGIN; CREATE ROLE dora LOGIN; SELECT pgw.grant_access('dora', 'client'), pgw.grant_access('anna', 'client'), pgw.grant_access('bert', 'client'), pgw.grant_access('carl', 'client')");
sub sql { return $node->safe_psql('postgres', $_[0]) }

sub psql_as
{
	my ($role, $sql) = @_;
	return $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", extra_params => [ '-U', $role ]);
}

sub submit
{
	my ($id, $merchant) = @_;
	return 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, merchant => $merchant);
}

sub submits
{
	my ($prefix, $n, $merchant) = @_;
	return "SELECT count(pgw.submit_payment('$prefix' || n, 1234, 'EUR', 'tok_ok', merchant => '$merchant')) FROM generate_series(1, $n) n";
}

sub is_refused
{
	my ($role, $id, $merchant, $quota, $name) = @_;
	my ($rc, undef, $err) = psql_as($role, submit($id, $merchant));
	return like($err, qr/PW429.*"too_many_requests".*"retryable": true.*"quota": "\Q$quota\E".*HINT:.*Nothing was recorded.*\Q$quota\E/s, $name);
}

sub is_accepted
{
	my ($role, $id, $merchant, $name) = @_;
	my $out;
	wait_until(sub { (undef, $out) = psql_as($role, submit($id, $merchant)); $out eq 'pending' }, 20);
	return is($out, 'pending', $name);
}

sub set_mode
{
	my ($mode) = @_;
	sql("ALTER SYSTEM SET pgw.worker_mode = '$mode'");
	$node->reload;
	return wait_until(sub { sql("SELECT count(*) FROM pgw.health() WHERE check_name = 'mode' AND details::text ~ '\"$mode\"'") || sql('SHOW pgw.worker_mode') eq $mode }, 20);
}

sub health { return sql("SELECT status || ' ' || details FROM pgw.health() WHERE check_name = 'quotas'") }

# ---------------------------------------------------------------- submitted payments, while nothing is sent

set_mode('paused');
like(health(), qr/^ok/, 'health() has nothing to say');
part($node, 'merchant', sub {
	is((psql_as('anna', submits('a', 20, 'one')))[1], 20, 'as many as may wait');
	is_refused('anna', 'a21', 'one', 'pgw.merchant_max_submitted', 'one more is refused');
	like((psql_as('dora', submits('s', 21, 'six')))[2], qr/PW429.*"quota": "pgw\.merchant_max_submitted"/s, 'and one more of a single statement, which sees its own');
	is(sql("SELECT count(*) FROM pgw.payments WHERE merchant = 'six'"), 0, 'with all that the statement did');
	is_refused('bert', 'b', 'one', 'pgw.merchant_max_submitted', 'whoever asks');
	is(sql("SELECT count(*) FROM pgw.find_payment('a21', 'one')"), 0, 'nothing of it is recorded');
	is((psql_as('anna', submit('a7', 'one')))[1], 'pending', 'what is recorded is replayed');
	is((psql_as('bert', submit('a7', 'one')))[1], 'pending', 'to whoever may');
	like(health(), qr/^warning.*"name": "one".*pgw\.merchant_max_submitted/, 'health() tells of it');
	like(health(), qr/"waiting": 20\b/, 'and how many wait');
});

part($node, 'role', sub {
	is((psql_as('anna', submits('a2', 10, 'two')))[1], 10, 'another merchant has his own');
	is_refused('anna', 'a2-11', 'two', 'pgw.role_max_submitted', 'until the role has used up hers');
	is_accepted('bert', 'b2', 'two', 'another role has not');
	is((psql_as('anna', submit('a2' . 3, 'two')))[1], 'pending', 'and what is recorded is replayed');
});

part($node, 'undecided', sub {
	my $s = PgwSession->new($node);
	$s->query('SET SESSION AUTHORIZATION bert');
	$s->query('BEGIN; ' . submits('open', 20, 'three'));
	is_refused('carl', 'c', 'three', 'pgw.merchant_max_submitted', 'what a transaction has inserted and not committed counts');
	$s->send(submit('open more', 'three'));
	$s->wait;
	like($s->state, qr/PW429/, 'for itself, too');
	$s->query('ROLLBACK');
	is_accepted('carl', 'c', 'three', 'no longer once it has rolled back');

	is((psql_as('bert', 'BEGIN; SAVEPOINT s; ' . submits('sub', 15, 'four') . '; ROLLBACK TO s; ' . submits('prepared', 20, 'four') . "; PREPARE TRANSACTION 'quota'"))[0], 0, 'a savepoint that is rolled back does not count; a prepared transaction');
	is_refused('carl', 'c4', 'four', 'pgw.merchant_max_submitted', 'does');
	$node->restart;
	is_refused('carl', 'c4', 'four', 'pgw.merchant_max_submitted', 'also after a restart, at the first payment');
	sql("ROLLBACK PREPARED 'quota'");
	is_accepted('carl', 'c4', 'four', 'until it is rolled back');
	is((psql_as('bert', submits('committed', 19, 'four')))[1], 19, 'and no longer');
	is_refused('carl', 'c5', 'four', 'pgw.merchant_max_submitted', 'and full again');
	flush_wal($node);
	crash($node, sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'background writer'"));
	is_refused('carl', 'c6', 'four', 'pgw.merchant_max_submitted', 'also after a crash');
	is_refused('anna', 'a2-12', 'two', 'pgw.role_max_submitted', 'for a role, too');
});

part($node, 'one counts', sub {
	sql('ALTER SYSTEM SET pgw.merchant_max_submitted = 200');
	$node->reload;
	wait_until(sub { sql('SHOW pgw.merchant_max_submitted') == 200 }, 20);
	my @s = map { PgwSession->new($node) } 1 .. 2;
	$_->query('SET SESSION AUTHORIZATION carl') for @s;
	debug_arm($node, 'quota_count', 'stop');
	$s[0]->send(submit('counts', 'five'));
	debug_wait($node, 'quota_count');
	$s[1]->query("SET statement_timeout = '20s'");
	is($s[1]->query(submit('does not count', 'five')), 'pending', 'while one session counts, another does not wait for a count of its own');
	debug_release($node, 'quota_count');
	$s[0]->wait;
	is(sql("SELECT count(*) FROM pgw.payments WHERE client_request_id IN ('counts', 'does not count')"), 2, 'and both are recorded');
});

part($node, 'settings', sub {
	sql('ALTER SYSTEM SET pgw.merchant_max_submitted = 25');
	$node->reload;
	wait_until(sub { sql('SHOW pgw.merchant_max_submitted') == 25 }, 20);
	is_accepted('bert', 'b5', 'four', 'a higher quota counts at once, and 0 is none');
	sql('ALTER SYSTEM SET pgw.merchant_max_submitted = 0');
	$node->reload;
	wait_until(sub { sql('SHOW pgw.merchant_max_submitted') == 0 }, 20);
	is((psql_as('postgres', submits('more', 29, 'four')))[1], 29, 'any number');
	sql('ALTER SYSTEM RESET pgw.merchant_max_submitted');
	$node->reload;
	wait_until(sub { sql('SHOW pgw.merchant_max_submitted') == 20 }, 20);
	is_refused('bert', 'b7', 'four', 'pgw.merchant_max_submitted', 'and lower again');
});

part($node, 'sent', sub {
	set_mode('on');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE status <> 'captured'") == 0 }, 60), 'what waited is paid');
	like(health(), qr/"name": "four"[^}]*"waiting": 0\b/, 'health() says that nothing waits any more');
	is_accepted('anna', 'a21', 'one', 'and others are taken, for the merchant');
	is_accepted('anna', 'a2-11', 'two', 'and for the role');
});

# ---------------------------------------------------------------- callers that wait

part($node, 'waiting', sub {
	sql($_) for "ALTER SYSTEM SET pgw.role_max_waiting = 2", "ALTER SYSTEM SET pgw.compensation_delay = '60s'";	# w0 is there to be taken over for so long
	$node->reload;
	wait_until(sub { sql('SHOW pgw.role_max_waiting') == 2 }, 20);
	bank_control($bank, 'settings', { delay_ms => 10000 });
	my $pay = sub { my ($id) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, merchant => 'one', timeout => '60s') };
	psql_as('anna', 'BEGIN; SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'w0', merchant => 'one', timeout => '500ms') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'w0') eq 'BankApproved' && sql("SELECT details->>'used' FROM pgw.health() WHERE check_name = 'slots'") == 0 }, 30), 'charged, rolled back, and not yet given back');
	my @waiting = map { psql_start($node, $pay->("w$_"), '-U', 'anna') } 1, 2;
	ok(wait_until(sub { sql("SELECT details->>'used' FROM pgw.health() WHERE check_name = 'slots'") == 2 }, 20), 'two calls of a role wait for their bank');
	my ($rc, undef, $err) = psql_as('anna', $pay->('w3'));
	like($err, qr/PW429.*"too_many_requests".*"quota": "pgw\.role_max_waiting".*HINT:.*Nothing was sent/s, 'a third is refused');
	is((psql_as('anna', $pay->('w0')))[1], 'captured', 'one that repeats an attempt under way is not');
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'w0'"), 1, 'and pays by that attempt');
	is(sql("SELECT details->>'used' FROM pgw.health() WHERE check_name = 'slots'"), 2, 'while the two still wait');
	bank_control($bank, 'settings', { delay_ms => 0 });
	is((psql_as('bert', $pay->('w4')))[1], 'captured', 'one of another role is not');
	$_->{h}->finish for @waiting;
	is($_->{out}, "captured\n", 'the two are paid') for @waiting;
	is((psql_as('anna', $pay->('w1')))[1], 'captured', 'a replay');
	is((psql_as('anna', $pay->('w3')))[1], 'captured', 'and the third, once there is room');
	sql($_) for 'ALTER SYSTEM RESET pgw.role_max_waiting', 'ALTER SYSTEM RESET pgw.compensation_delay';
	$node->reload;
});

# ---------------------------------------------------------------- one client's flood

part($node, 'flood', sub {
	sql('ALTER SYSTEM SET pgw.merchant_max_submitted = 4000; ALTER SYSTEM SET pgw.role_max_submitted = 4000');
	sql("UPDATE pgw.banks SET max_in_flight = 4");
	$node->reload;
	wait_until(sub { sql('SHOW pgw.merchant_max_submitted') == 4000 }, 20);
	bank_control($bank, 'settings', { delay_ms => 250 });
	is((psql_as('anna', submits('flood', 4000, 'flood')))[1], 4000, 'one client submits 4,000 at a bank that takes 16 a second');
	my $from = time;
	psql_as('bert', 'BEGIN; ' . 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'mine', merchant => 'two', timeout => '30s') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'mine') eq 'Refunded' }, 30), 'what another merchant charged and rolled back is given back');
	my $took = time - $from;
	diag(sprintf 'charged, rolled back and given back beside 4,000 of another merchant in %.1f s', $took);
	cmp_ok($took, '<', 30, 'in bounded time');
	cmp_ok(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id ~ '^flood' AND status = 'Created' AND NOT live"), '>', 2000, 'while the others still wait');
	bank_control($bank, 'settings', { delay_ms => 0 });
	sql("UPDATE pgw.banks SET max_in_flight = 100");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE client_request_id ~ '^flood' AND status = 'captured'") == 4000 }, 180), 'and are all paid in the end');
});

set_mode('on');					# a part that runs alone leaves the worker paused
is_sound($node, $bank, 'sound after all that', seconds => 60);
$node->stop('fast');
done_testing();
