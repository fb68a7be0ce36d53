# The server's clock was an hour ahead and is set back, while the server is down and while it runs: what waits for a time of the former clock is done now, not in an hour.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwSession;
use PgwServerClock;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('clock_back', start => 0, conf => "fsync = off\npgw.compensation_delay = '1s'\npgw.retry_base_delay = '500ms'\npgw.retry_max_delay = '2s'\n");
my $bank = bank_start();

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }
my $open = "status IN ('Created', 'BankApproved', 'Saved', 'Refunding', 'BankUnknown')";

# Attempts of each kind that waits for a time: in doubt, not sent, to be tried again, to be given back, a refund that was not sent.
sub open_attempts
{
	my ($name) = @_;
	bank_control($bank, 'faults', {});
	sql(pay("$name-paid"));
	bank_control($bank, 'faults', { probabilities => { '503' => 1 }, operations => [ 'lookup', 'refund', 'void' ] });
	sql(pay("$name-doubt", token => 'tok_empty', timeout => '300ms'));
	my $session = PgwSession->new($node);
	$session->query('BEGIN');
	$session->query(pay("$name-undone"));
	$session->query('ROLLBACK');
	$session->quit;
	sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => "$name-again", token => 'tok_503_9'));
	sql("SELECT pgw.refund_payment(payment_id, '$name-refund') FROM pgw.find_payment('$name-paid')");
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id IN ('$name-doubt', '$name-undone', '$name-again', '$name-refund') AND $open AND next_step_at IS NOT NULL") == 4 }, 30), "$name: attempts wait for a time")
	  or diag(sql("SELECT client_request_id, status, next_step_at, updated_at, clock_timestamp() FROM pgw.payment_transactions WHERE client_request_id LIKE '$name-%'"));
	change_settings($node, 'pgw.worker_mode' => 'paused');
	sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => "$name-new-$_")) for 1 .. 3;
	return;
}

sub comes_to_rest
{
	my ($name) = @_;
	bank_control($bank, 'faults', {});
	change_settings($node, 'pgw.worker_mode' => 'on');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE $open") == 0 }, 60), "$name: everything is done in a minute, not in an hour")
	  or diag(sql("SELECT client_request_id, status, next_step_at, updated_at, clock_timestamp() FROM pgw.payment_transactions WHERE $open"));
	is(sql("SELECT string_agg(client_request_id || ' ' || status, ', ' ORDER BY client_request_id) FROM pgw.payment_transactions WHERE client_request_id LIKE '$name-%'"),
		"$name-again Completed, $name-doubt Completed, $name-new-1 Completed, $name-new-2 Completed, $name-new-3 Completed, $name-paid Completed, $name-refund Completed, $name-undone Refunded",
		"$name: and as it should be");
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE next_step_at > clock_timestamp() + interval '10 min' AND $open"), 0, "$name: nothing waits for the former clock");
	return;
}

set_server_clock($node, 3600);
start_with_clock($node);
pgw_setup($node, $bank);
cmp_ok(abs(sql('SELECT extract(epoch FROM clock_timestamp())') - 3600 - time), '<', 60, 'the server is an hour ahead');

part($node, 'stopped', sub {
	open_attempts('stopped');
	$node->stop('immediate');
	set_server_clock($node, 0);
	start_with_clock($node);
	cmp_ok(abs(sql('SELECT extract(epoch FROM clock_timestamp())') - time), '<', 60, 'its clock is right after the restart');
	comes_to_rest('stopped');
	set_server_clock($node, 3600);
});

part($node, 'running', sub {
	open_attempts('running');
	set_server_clock($node, 0);
	cmp_ok(abs(sql('SELECT extract(epoch FROM clock_timestamp())') - time), '<', 60, 'its clock is set back while it runs');
	comes_to_rest('running');
});
part($node, 'paused', sub {
	set_server_clock($node, 3600);
	change_settings($node, 'pgw.worker_mode' => 'paused');
	sql('CREATE DATABASE other');
	$node->safe_psql('other', 'CREATE EXTENSION pgw');
	my $worker = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND datname = 'other'";
	my $oid = sql("SELECT oid FROM pg_database WHERE datname = 'other'");
	$node->wait_for_log(qr/pgw: worker paused for database $oid\b/);
	set_server_clock($node, 0);
	is(sql($worker), 1, 'a paused worker has looked by the former clock');
	$node->safe_psql('other', 'DROP EXTENSION pgw');
	ok(wait_until(sub { sql($worker) == 0 }, 20), '... and still sees within seconds that the extension is gone');
	change_settings($node, 'pgw.worker_mode' => 'on');
});
is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'all is consistent');
is_deeply([ grep { $_->{status} eq 'approved' && $_->{refunded} > $_->{captured} } @{ bank_ledger($bank)->{charges} } ], [], 'nothing was given back twice');
$node->stop('fast');
done_testing();
