# The table of a bank's versions is locked by somebody: what that bank is, or can do, is not known just then.  No decision follows from that: nothing is put
# off for a bank that "is not there", and nothing that has to be watched goes unwatched.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('unreadable', debug => 1, conf => "fsync = off\npgw.compensation_delay = '10ms'\npgw.retry_base_delay = '100ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

sub attempt_column
{
	my ($id, $what) = @_;
	return sql("SELECT $what FROM pgw.payment_transactions WHERE client_request_id = '$id'");
}

sub refused_table { return sql("SELECT details->>'refused_table' FROM pgw.health() WHERE check_name = 'table_locks'") }

# The bank as it was is not in the worker's memory any more, and cannot be read: what belongs to the attempt of this id is done by another version.
my $n = 0;

sub lock_versions
{
	my ($id) = @_;
	my $version = attempt_column($id, 'bank_version');
	sql('UPDATE pgw.banks SET base_url = base_url || \'/\', request_timeout = request_timeout + interval \'1 ms\' WHERE name <> \'test\'');
	is(sql(pay('taken up ' . ++$n)), 'captured', 'a newer version is in use');
	isnt(attempt_column("taken up $n", 'bank_version'), $version, 'which is another one');
	my $dba = PgwSession->new($node)->send('BEGIN; LOCK TABLE pgw.bank_versions');
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE relation = 'pgw.bank_versions'::regclass AND mode = 'AccessExclusiveLock'") or die;
	return $dba;					# behind the caller, who has read it; nobody else gets it from here on
}

# An authorization that the worker saves, as its caller has not waited: when it lapses is what the bank's version says.
part($node, 'authorization', sub {
	my $s = PgwSession->new($node);
	is($s->query('BEGIN; ' . pay('late', capture => 'manual', token => 'tok_slow_1500', timeout => '500ms')), 'pending', 'a caller does not wait for the authorization');
	ok(wait_until(sub { attempt_column('late', 'status') eq 'BankApproved' }, 30), 'which is given');
	my $dba = lock_versions('late');
	$s->query('COMMIT');
	ok(wait_until(sub { attempt_column('late', 'status') eq 'Completed' }, 30), 'it is saved while the table is locked') or diag(attempt_column('late', 'status'));
	$dba->wait;
	$dba->query('COMMIT');
	ok(wait_until(sub { attempt_column('late', "next_step_at BETWEEN bank_asked_at + interval '6 days' AND bank_asked_at + interval '8 days'") eq 't' }, 30),
		'and its end will be looked at') or diag(attempt_column('late', 'next_step_at, put_off_reason'));
	is(sql("SELECT status FROM pgw.payments WHERE client_request_id = 'late'"), 'authorized', 'until then it holds');
});

# A give-back whose bank cannot be read is made as soon as it can.
part($node, 'give-back', sub {
	my $s = PgwSession->new($node);
	$s->query('BEGIN; ' . pay('back'));
	my $seen = -s $node->logfile;
	my $dba = lock_versions('back');
	$s->query('ROLLBACK');
	sql('SELECT pgw.run_recovery()');	# it has been looked at
	is(attempt_column('back', "coalesce(put_off_reason, 'not put off')"), 'not put off', 'nothing is put off for that');
	$dba->wait;
	$dba->query('COMMIT');
	is(refused_table(), 'bank_versions', 'health() says which table was locked');
	ok(wait_until(sub { status_of($node, 'back') eq 'Refunded' }, 15), 'given back right after') or diag(attempt_column('back', 'status, next_step_at, put_off_reason'));
	unlike(slurp_file($node->logfile, $seen), qr/unknown_bank/, 'and nobody was told that there is no such bank');
});

# A refund that is done is looked at again, as the bank may take it back.
part($node, 'refund', sub {
	is(sql(pay('refunded')), 'captured', 'a payment');
	debug_arm($node, 'operation_sent', 'stop');
	sql("SELECT FROM pgw.find_payment('refunded') f, pgw.refund_payment(f.payment_id, 'refund', 100)");
	debug_wait($node, 'operation_sent');
	my $s = PgwSession->new($node);
	$s->query("BEGIN; SELECT FROM pgw.payments WHERE client_request_id = 'refunded' FOR UPDATE");
	debug_release($node, 'operation_sent');
	ok(wait_until(sub { attempt_column('refund', 'status') eq 'BankApproved' }, 30), 'its refund is done, and cannot be saved yet');
	my $dba = lock_versions('refund');
	$s->query('COMMIT');
	ok(wait_until(sub { attempt_column('refund', 'status') eq 'Completed' }, 30), 'it is saved while the table is locked') or diag(attempt_column('refund', 'status'));
	$dba->wait;
	$dba->query('COMMIT');
	ok(wait_until(sub { attempt_column('refund', 'watch_until > now() AND next_step_at > now()') eq 't' }, 20), 'and is watched') or diag(attempt_column('refund', 'watch_until, next_step_at'));
});

is_sound($node, $bank, 'sound', seconds => 60);
$node->stop('fast');
done_testing();
