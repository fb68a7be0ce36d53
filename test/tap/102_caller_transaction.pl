# The end of the caller's transaction, without a crash: whatever ends it, the charge stands or is given back, with exactly the events that it should.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('caller_transaction', debug => 1, conf => "restart_after_crash = on\nfsync = off\npgw.recovery_interval = '1s'\n"
	  . "pgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
$node->safe_psql('postgres', 'CREATE TABLE orders (id text)');

sub payment_call { my ($id, %a) = @_; return pay_sql('process_payment', client_request_id => $id, %a) }
sub pay { return 'SELECT status FROM ' . payment_call(@_) }

# At rest: the events of the id's attempts, and how many charges it has had and still has.
sub has_ended
{
	my ($id, $what, $flow, $had, $kept) = @_;
	is_sound($node, $bank, "$what: sound");
	is(events($node, $id), $flow, "$what: exactly its events");
	is(charges_of($node, $bank, $id) . ' ' . kept_charges($node, $bank, $id), "$had $kept", "$what: charges made and kept");
	is($node->safe_psql('postgres', "SELECT count(*) FROM pgw.payments WHERE client_request_id = '$id' AND status = 'captured'"), $kept, "$what: payments row");
}
sub is_given_back { has_ended($_[0], $_[1], $ROLLBACK_FLOW, 1, 0) }
sub is_kept_by_caller { has_ended($_[0], $_[1], $_[2] // $SUCCESS_FLOW, 1, 1) }

# ---------------------------------------------------------------- ways to commit and to roll back

for my $level ('read committed', 'repeatable read', 'serializable')
{
	part($node, $level, sub {
		(my $tag = $level) =~ tr/ /-/;
		my $s = PgwSession->new($node);
		$s->run("BEGIN ISOLATION LEVEL $level; INSERT INTO orders VALUES ('$tag'); " . pay("$tag-commit") . '; COMMIT');
		is($s->state, '00000', "$level: committed") or diag($s->err);
		is_kept_by_caller("$tag-commit", "COMMIT, $level");
		$s->run("BEGIN ISOLATION LEVEL $level; INSERT INTO orders VALUES ('$tag'); " . pay("$tag-rollback"));
		$s->run('ROLLBACK');
		is_given_back("$tag-rollback", "ROLLBACK, $level");
	});
}

# Prompt, by the bank's own clock: the signal, not the scan every second, brings the give-back
part($node, 'prompt', sub {
	my $s = PgwSession->new($node);
	$node->safe_psql('postgres', "ALTER SYSTEM SET pgw.recovery_interval = '5min'; SELECT pg_reload_conf()");
	$s->run('BEGIN; ' . pay('prompt'));
	my $t = time;
	$s->run('ROLLBACK');
	is_given_back('prompt', 'a prompt give-back');
	my ($refund) = refunds_of($bank, charges_of($node, $bank, 'prompt'));
	in_time($refund->{created_at_ms} / 1000 - $t, 1, 'well under a second after ROLLBACK and pgw.compensation_delay');
	$node->safe_psql('postgres', "ALTER SYSTEM RESET pgw.recovery_interval; SELECT pg_reload_conf()");
});

my %rolled_back = (
	'ROLLBACK TO, then COMMIT' => sub { "BEGIN; SAVEPOINT a; $_[0]; ROLLBACK TO a; COMMIT" },
	'ROLLBACK TO an outer savepoint, released inside' => sub { "BEGIN; SAVEPOINT a; SAVEPOINT b; $_[0]; RELEASE b; ROLLBACK TO a; INSERT INTO orders VALUES ('x'); COMMIT" },
	'savepoint released, then ROLLBACK' => sub { "BEGIN; SAVEPOINT a; $_[0]; RELEASE a; ROLLBACK" },
	'an exception block' => sub { "DO \$\$ BEGIN BEGIN PERFORM * FROM ($_[0]) x; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END; END \$\$" },
	'an error after the call, same statement' => sub { "SELECT 1 / (length(status::text) - 8) FROM ($_[0]) x" },
	'a deferred constraint at COMMIT' => sub { "CREATE TABLE IF NOT EXISTS once (id int UNIQUE DEFERRABLE INITIALLY DEFERRED); BEGIN; INSERT INTO once VALUES (1), (1); $_[0]; COMMIT" },
	'a failed statement later, then COMMIT' => sub { "BEGIN; $_[0]; SELECT 1/0; COMMIT" });
for my $what (sort keys %rolled_back)
{
	part($node, $what, sub {
		PgwSession->new($node)->run($rolled_back{$what}->(pay($what)));
		is_given_back($what, $what);
	});
}
part($node, 'while the transaction is open', sub {
	my $s = PgwSession->new($node);
	$s->run('BEGIN; SAVEPOINT a; ' . pay('sp-open') . '; ROLLBACK TO a');
	ok(wait_until(sub { status_of($node, 'sp-open') eq 'Refunded' }, 5), 'ROLLBACK TO: given back while the transaction is still open');
	$s->run('COMMIT');
	is_given_back('sp-open', 'ROLLBACK TO, long before COMMIT');
});
part($node, 'savepoints kept', sub {
	my $s = PgwSession->new($node);
	$s->run("BEGIN; SAVEPOINT a; " . pay('sp-kept') . "; RELEASE a; SAVEPOINT c; SELECT 1/0; ROLLBACK TO c; COMMIT");
	is_kept_by_caller('sp-kept', 'RELEASE, and a later savepoint rolled back');
	$s->run("DO \$\$ BEGIN BEGIN PERFORM " . payment_call('block-kept') . "; EXCEPTION WHEN division_by_zero THEN NULL; END; END \$\$");
	is_kept_by_caller('block-kept', 'an exception block that ends well');
	$s->run("DO \$\$ BEGIN PERFORM " . payment_call('loop-' . 1) . "; COMMIT; PERFORM " . payment_call('loop-2') . "; ROLLBACK; END \$\$");
	is_kept_by_caller('loop-1', 'COMMIT inside a DO block');
	is_given_back('loop-2', 'ROLLBACK inside a DO block');
});

# ---------------------------------------------------------------- the wait cut short while the bank is called

my %cut = (
	'statement_timeout' => sub { my ($id, $token) = @_; $node->psql('postgres', "SET statement_timeout = '200ms'; " . pay($id, token => $token)) },
	'pg_cancel_backend' => sub { end_backend_by('pg_cancel_backend', @_) },
	'pg_terminate_backend' => sub { end_backend_by('pg_terminate_backend', @_) },
	'the client says good-bye in the middle' => \&kill_client);

sub end_backend_by
{
	my ($function, $id, $token) = @_;
	my $s = PgwSession->new($node)->send(pay($id, token => $token));
	wait_until(sub { charges_of($node, $bank, $id) }, 10) or die 'never charged';
	$node->safe_psql('postgres', "SELECT $function(" . $s->backend . ')');
	$s->wait;
}

# Inside a transaction block: the server does not notice until it has answered, and then there is no COMMIT.
sub kill_client
{
	my ($id, $token) = @_;
	my $s = PgwSession->new($node);
	$s->run('BEGIN');
	$s->send(pay($id, token => $token));
	wait_until(sub { charges_of($node, $bank, $id) }, 10) or die 'never charged';
	kill 'KILL', $s->{pid};
	$s->wait;
}

for my $what (sort keys %cut)
{
	part($node, $what, sub { $cut{$what}->("cut: $what", 'tok_slow_500'); is_given_back("cut: $what", $what) });
	next if $what =~ /good-bye/;    # nobody can say when its transaction ends: below
	part($node, "$what, adopted", sub {
		my $id = "adopted: $what";
		$cut{$what}->($id, 'tok_slow_1200');
		is($node->safe_psql('postgres', pay($id, token => 'tok_slow_1200')), 'captured', "$what: the retry is answered");
		is_kept_by_caller($id, "$what, adopted while the bank is called", $SUCCESS_FLOW =~ s/(BankProcessingStarted)/$1,TransactionAdopted/r);
	});
}

# Adoption of what is approved already: exactly the flow of the contract, from another session, and how the adopter's own transaction ends
part($node, 'adoption', sub {
	$node->safe_psql('postgres', "ALTER SYSTEM SET pgw.compensation_delay = '6s'; SELECT pg_reload_conf()");
	$node->poll_query_until('postgres', "SELECT current_setting('pgw.compensation_delay') = '6s'");
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nBEGIN;\n" . pay('adopt-differs') . ";\nROLLBACK;\n" . pay('adopt-differs', amount => 99) . ';');
	like($err, qr/PW422.*amount/s, 'a retry that asks for something else is refused, with the field named');

	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . pay('adopt-commit') . '; ROLLBACK');
	is($node->safe_psql('postgres', pay('adopt-commit')), 'captured', 'a retry after ROLLBACK');
	is_kept_by_caller('adopt-commit', 'adopted and committed', $ADOPTED_FLOW);

	$s->run('BEGIN; SAVEPOINT a; ' . pay('adopt-savepoint') . '; ROLLBACK TO a');
	is($s->run(pay('adopt-savepoint')), 'captured', 'a savepoint retried in the same transaction');
	$s->run('COMMIT');
	is_kept_by_caller('adopt-savepoint', 'savepoint retried', $ADOPTED_FLOW);

	$s->run('BEGIN; ' . pay('adopt-twice') . '; ROLLBACK');
	$s->run('BEGIN; ' . pay('adopt-twice') . '; ROLLBACK');
	is($node->safe_psql('postgres', pay('adopt-twice')), 'captured', 'rolled back twice, retried twice');
	(my $twice = $ADOPTED_FLOW) =~ s/(TransactionAdopted,PaymentDataSaveStarted,)/$1$1/;
	is_kept_by_caller('adopt-twice', 'adopted twice', $twice);

	my $other = PgwSession->new($node);
	$s->run('BEGIN; ' . pay('adopt-waiting'));
	$other->send(pay('adopt-waiting'));
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND pid = " . $other->backend), 'a duplicate waits for the first');
	$s->run('ROLLBACK');
	is($other->wait, 'captured', 'and takes over when that rolls back');
	is_kept_by_caller('adopt-waiting', 'taken over by the one who waited', $ADOPTED_FLOW);

	$s->run('BEGIN; ' . pay('adopt-rollback') . '; ROLLBACK');
	$s->run('BEGIN; ' . pay('adopt-rollback'));
	$node->safe_psql('postgres', "ALTER SYSTEM SET pgw.compensation_delay = '50ms'; SELECT pg_reload_conf()");
	$node->poll_query_until('postgres', "SELECT current_setting('pgw.compensation_delay') = '50ms'");
	$s->run('ROLLBACK');
	(my $lost = $ROLLBACK_FLOW) =~ s/PaymentDataSaveFailed/TransactionAdopted,PaymentDataSaveStarted,PaymentDataSaveFailed/;
	has_ended('adopt-rollback', 'the adopter rolls back too', $lost, 1, 0);
	has_ended('adopt-differs', 'the refused retry changed nothing', $ROLLBACK_FLOW, 1, 0);
});

# After RefundStarted nothing can be adopted: the retry waits for the give-back and pays anew
part($node, 'too late to adopt', sub {
	debug_arm($node, 'compensation_committed', 'stop');
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . pay('too-late') . '; ROLLBACK');
	debug_wait($node, 'compensation_committed');
	$s->send(pay('too-late'));
	ok(!PgwSession::wait_any(0.3, $s), 'a retry waits while the charge is being given back');
	# the worker reads the retry while the bank is still giving back
	bank_control($bank, 'settings', { delay_ms => 500 });
	debug_release($node, 'compensation_committed');
	is($s->wait, 'captured', 'and then pays');
	bank_control($bank, 'settings', { delay_ms => 0 });
	has_ended('too-late', 'paid anew', "$ROLLBACK_FLOW,$SUCCESS_FLOW", 2, 1);
	my %keys = map { $_->{idempotency_key} => 1 } charges_of($node, $bank, 'too-late');
	is(scalar keys %keys, 2, 'with a new key at the bank');
});

# ---------------------------------------------------------------- two-phase commit

my $prepared_flow = 'TransactionStarted,BankProcessingStarted,BankProcessingCompleted,PaymentDataSaveStarted';
for my $end ('COMMIT PREPARED', 'ROLLBACK PREPARED')
{
	for my $crash (0, 1)
	{
		my $what = $end . ($crash ? ' after a crash' : '');
		part($node, $what, sub {
			my $s = PgwSession->new($node);
			$s->run('BEGIN; ' . pay($what) . "; PREPARE TRANSACTION '$what'");
			is($s->state, '00000', "$what: prepared") or diag($s->err);
			crash($node, $s->backend) if $crash;
			scan($node) for 1 .. 3;
			is(status_of($node, $what), 'BankApproved', "$what: untouched until then");
			is(events($node, $what), $prepared_flow, "$what: no event");
			is(scalar kept_charges($node, $bank, $what), 1, "$what: the charge stands");
			$node->safe_psql('postgres', "$end '$what'");
			$end =~ /^C/ ? is_kept_by_caller($what, $what) : is_given_back($what, $what);
		});
	}
}

# Prepared while pending: the worker writes the result once it is committed
part($node, 'pending, prepared', sub {
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . pay('prep-pending', token => 'tok_slow_2500', timeout => '1s') . "; PREPARE TRANSACTION 'pending'");
	ok($node->poll_query_until('postgres', "SELECT status = 'BankApproved' FROM pgw.payment_transactions WHERE client_request_id = 'prep-pending'"), 'approved meanwhile');
	scan($node) for 1 .. 3;
	is(status_of($node, 'prep-pending'), 'BankApproved', 'not decided while prepared');
	$node->safe_psql('postgres', "COMMIT PREPARED 'pending'");
	is_kept_by_caller('prep-pending', 'prepared while pending, committed');
});

# ---------------------------------------------------------------- the connection lost, autocommit

# The server does not notice: the statement commits
part($node, 'client gone', sub {
	my $s = PgwSession->new($node)->send(pay('gone', token => 'tok_slow_500'));
	wait_until(sub { charges_of($node, $bank, 'gone') }, 10) or die 'never charged';
	kill 'KILL', $s->{pid};
	$s->wait;
	is($node->safe_psql('postgres', 'SELECT status, replayed FROM ' . payment_call('gone', token => 'tok_slow_500')), 'captured|t', 'client killed during the call: the same call again finds it');
	is($node->safe_psql('postgres', "SELECT status FROM pgw.find_payment('gone')"), 'captured', 'find_payment() too');
	is_kept_by_caller('gone', 'client killed during the call');
});

# Terminated after the answer, before and after its result is written: given back, or adopted by the same call again
for my $point ('answered', 'saved')
{
	for my $again (0, 1)
	{
		my $id = "$point $again";
		part($node, $id, sub {
			debug_arm($node, $point, 'stop');
			my $s = PgwSession->new($node)->send(pay($id));
			my $pid = debug_wait($node, $point);
			$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
			debug_release($node, $point);
			$s->wait;
			is($s->state, '08006', "terminated, $point: the connection is lost");
			return is_given_back($id, "terminated, $point") unless $again;
			is($node->safe_psql('postgres', pay($id)), 'captured', "terminated, $point: the same call again");
			is_sound($node, $bank, "terminated, $point, called again: sound");
			is(scalar kept_charges($node, $bank, $id), 1, "terminated, $point, called again: one charge");
		});
	}
}

# Before the worker has taken the request: withdrawn
part($node, 'withdrawn', sub {
	debug_arm($node, 'taken', 'stop');
	my $first = PgwSession->new($node)->send(pay('withdrawn-0'));
	debug_wait($node, 'taken');
	my $s = PgwSession->new($node)->send(pay('withdrawn'));
	$node->poll_query_until('postgres', "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = " . $s->backend);
	$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $s->backend . ')');
	$s->wait;
	debug_release($node, 'taken');
	is($first->wait, 'captured', 'the worker goes on with the others');
	has_ended('withdrawn', 'terminated before the worker took it', '', 0, 0);
});

$node->stop('fast');
done_testing();
