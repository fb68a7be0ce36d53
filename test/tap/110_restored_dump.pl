# A database that came out of a dump stays paused until told, in another cluster and in another database, however it was restored; what was under way is
# then finished, and nothing is paid twice.
use strict;
use warnings;
use lib 'test/lib';
use PgwRestore;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $bank = bank_start();
my $origin = scanning_node('origin');
pgw_setup($origin, $bank);
$origin->safe_psql('postgres', "UPDATE pgw.banks SET request_timeout = '2s'");

# --- The origin: one payment done, and one of each kind under way at the time of the dump.
is(paid($origin, 'postgres', 'done'), 'captured', 'a payment is done');
$origin->safe_psql('postgres', 'BEGIN; SELECT ' . pay_sql('process_payment', client_request_id => 'declined', token => 'tok_decline_do_not_honor') . '; ROLLBACK');
$origin->safe_psql('postgres', 'BEGIN; SELECT ' . pay_sql('process_payment', client_request_id => 'prepared') . "; PREPARE TRANSACTION 'p'");
$origin->safe_psql('postgres', "ALTER SYSTEM SET pgw.retry_base_delay = '1min'; SELECT pg_reload_conf()");
ok($origin->poll_query_until('postgres', "SELECT setting = '60000' FROM pg_settings WHERE name = 'pgw.retry_base_delay'"), 'retries come late');
$origin->safe_psql('postgres', 'SELECT ' . pay_sql('submit_payment', client_request_id => 'planned', token => 'tok_503_1'));
my $planned = "SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'planned' AND status = 'Created' AND live AND next_step_at > now()";
ok($origin->poll_query_until('postgres', "SELECT ($planned) = 1"), 'the bank has done nothing, another try is planned');
my $sent = requests_sent($bank);
my $slow = psql_start($origin, 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'unknown', token => 'tok_timeout_after', timeout => '3s'));
ok(wait_until(sub { requests_sent($bank) > $sent }, 20), 'a call is out');
set_worker_mode($origin, 'paused');
$slow->{h}->finish;
is($slow->{out}, "pending\n", 'its caller is answered in spite of the pause');
is(attempt_state($origin, 'postgres', 'unknown'), 'BankUnknown', 'and its result written');
is_refused($origin, 'postgres', 'refused', 'pgw.worker_mode', 'process_payment is refused, and the hint names the setting');
is($origin->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'queued')), 'pending', 'submit_payment is queued');
is($origin->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'expiring', expires_at => '2099-01-01')), 'pending', 'one with expires_at, too');
$sent = requests_sent($bank);
ok(worker_looks($origin, 'postgres', 3), 'the worker is there');
is(requests_sent($bank), $sent, 'but sends nothing');
my $dump = dump_to($origin, 'postgres', $origin->basedir . '/dump');
is($origin->safe_psql('postgres', 'SELECT count(*) FROM pgw.restore_pending'), 0, 'a pause by the setting is no restore');

$origin->safe_psql('postgres', "ALTER SYSTEM RESET pgw.retry_base_delay");
set_worker_mode($origin, 'on');
is($origin->safe_psql('postgres', $planned), 1, 'the try was still planned when the dump was made');
$origin->safe_psql('postgres', "UPDATE pgw.payment_transactions SET next_step_at = now() WHERE client_request_id = 'planned'");
comes_to_state($origin, 'postgres', 'planned', 'Completed', 'the origin tries again');
comes_to_state($origin, 'postgres', 'queued', 'Completed', 'the origin goes on with what was queued');
comes_to_state($origin, 'postgres', 'expiring', 'Completed', 'both of them');
comes_to_state($origin, 'postgres', 'unknown', 'Completed', 'and with what was unknown');
is(attempt_state($origin, 'postgres', 'prepared'), 'BankApproved', 'what is prepared waits');

# --- The dump, in another cluster and in another database of the same one.
my $other = scanning_node('other');
$origin->safe_psql('postgres', 'CREATE DATABASE restored');
for my $case ([ $other, 'postgres', 'cluster' ], [ $origin, 'restored', 'database' ])
{
	my ($node, $db, $name) = @$case;
	restore_into($node, $db, $dump);
	stays_paused($node, $bank, $db, "another $name");
	is($node->safe_psql($db, 'SELECT c FROM pgw.check_consistency() c'), '', "another $name: all that is open has its row of open_work");
	$node->safe_psql($db, "UPDATE pgw.payment_transactions SET expires_at = now() WHERE client_request_id = 'expiring'");
	is_resumed($node, $db, 5, "another $name");
	comes_to_state($node, $db, 'queued', 'Completed', "another $name: the submitted one is done");
	is(charge_requests($node, $bank, $db, 'queued'), 1, "another $name: the bank was asked what became of it, not to charge again");
	comes_to_state($node, $db, 'planned', 'Completed', "another $name: the one that was to be tried again is done");
	is(charge_requests($node, $bank, $db, 'planned'), 2, "another $name: by the two requests of the origin");
	comes_to_state($node, $db, 'expiring', 'Completed', "another $name: the one that has expired since as well");
	is(paid($node, $db, 'declined', token => 'tok_decline_do_not_honor'), 'declined', "another $name: what was declined stays so, though its caller rolled back");
	comes_to_state($node, $db, 'unknown', 'Completed', "another $name: the unknown one is looked up");
	comes_to_state($node, $db, 'prepared', 'RequiresManualReview', "another $name: an approval without its row goes to review");
	is($node->safe_psql($db, "SELECT string_agg(format('%s %s %s', actor->>'session_user' = session_user, taken_over, note), ',') FROM pgw.resumptions WHERE taken_over IS NOT NULL"), 't 5 by the test', "another $name: on record");
}
$origin->safe_psql('postgres', "COMMIT PREPARED 'p'");
comes_to_state($origin, 'postgres', 'prepared', 'Completed', 'the prepared payment is kept where it was made');

# --- However it is restored, it is noticed, once.
my $inserts = $origin->basedir . '/inserts.sql';
system_or_bail('pg_dump', '-h', $origin->host, '-p', $origin->port, '--inserts', '-f', $inserts, 'postgres');
for my $case ([ 'psql, one statement for each row', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $inserts ],
	[ 'psql, in one transaction', 'psql', '-XAtq', '-1', '-v', 'ON_ERROR_STOP=1', '-f', $inserts ], [ 'pg_restore with several jobs', 'pg_restore', '-e', '-j', 3, $dump ])
{
	my ($name, $program, @arguments) = @$case;
	$other->safe_psql('postgres', 'CREATE DATABASE any_way');
	command_ok([ $program, '-h', $other->host, '-p', $other->port, '-d', 'any_way', @arguments ], $name);
	is_refused($other, 'any_way', 'too-early', 'pgw.resume_after_restore()', "$name: it is paused");
	is($other->safe_psql('any_way', 'SELECT count(*) FROM pgw.restore_pending'), 1, "$name: noticed once");
	$other->safe_psql('postgres', 'DROP DATABASE any_way');
}

charged_once_each($bank);
$other->stop('fast');
$origin->stop('fast');
done_testing();
