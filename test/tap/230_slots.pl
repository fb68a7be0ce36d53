# Slots and races: who leaves before the send has withdrawn, whatever the worker is doing; nobody's row names a stranger's attempt; what is wiped and
# what is let go of.
use strict;
use warnings;
use lib 'test/lib';
use IO::Socket::INET;
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

# Few slots: whoever comes next has one that somebody else had.
my $node = pgw_node('slots', debug => 1, conf => "restart_after_crash = on\nfsync = off\npgw.max_waiting = 4\n"
	  . "pgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my $year = (localtime)[5] + 1902;

sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

sub payment_status
{
	my ($id) = @_;
	return $node->safe_psql('postgres', "SELECT status FROM pgw.payments WHERE client_request_id = '$id'");
}

sub charge_count { my ($id) = @_; return scalar charges_of($node, $bank, $id) }

# Each payments row names an attempt of its own payment, and a committed one of its own request.
sub own_attempts
{
	my ($name) = @_;
	return is($node->safe_psql('postgres', "SELECT count(*) FROM pgw.payments p LEFT JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE t.payment_id IS DISTINCT FROM p.payment_id OR t.client_request_id IS DISTINCT FROM p.client_request_id"), 0, "$name: every row names its own attempt");
}

# The attempt of a caller that had gone: recorded, never sent, failed.
my $withdrawn = 'TransactionStarted,BankProcessingStarted,BankProcessingFailed,TransactionFailed';

sub is_nothing_left
{
	my ($id, $name) = @_;
	ok(wait_until(sub { (status_of($node, $id) || '') =~ /^(Failed)?$/ }, 20), "$name: the attempt is failed") or diag(status_of($node, $id));
	is(charge_count($id), 0, "$name: the bank has never heard of it");
	is(events($node, $id), $withdrawn, "$name: its events");
	is($node->safe_psql('postgres', "SELECT error_code FROM pgw.payment_transactions WHERE client_request_id = '$id'"), 'worker_busy', "$name: why");
	is(payment_status($id), '', "$name: no payments row");
	own_attempts($name);
	return is_sound($node, $bank, "$name: sound");
}

# ---------------------------------------------------------------- the time is up while the worker writes the intent

# The caller has looked for the last time, and before it leaves its slot the worker has begun with it.
part($node, 'time is up', sub {
	is($node->safe_psql('postgres', pay("before $_")), 'captured', 'somebody had the slot before') for 1 .. 2;
	debug_arm($node, 'taken', 'stop');
	my $s = PgwSession->new($node)->send(pay('late', timeout => '300ms'));
	debug_wait($node, 'taken');
	debug_arm($node, 'wait_over', 'stop');
	debug_wait($node, 'wait_over');
	debug_arm($node, 'intent_apply', 'stop');
	debug_release($node, 'taken');
	debug_wait($node, 'intent_apply');
	debug_release($node, 'wait_over');
	$s->wait;
	is($s->state, 'PW500', 'time is up: told that nothing was sent') or diag($s->err);
	debug_release($node, 'intent_apply');
	is_nothing_left('late', 'time is up');
	is($node->safe_psql('postgres', pay('late')), 'captured', 'time is up: the same call again pays');
	is(charge_count('late'), 1, 'time is up: once');
});

# ---------------------------------------------------------------- gone between intent and request

for my $point ('intent_committed', 'intent_flushed')
{
	part($node, "timed out, $point", sub {
		my $id = "out $point";
		debug_arm($node, $point, 'stop');
		my $s = PgwSession->new($node)->send(pay($id, timeout => '300ms'));
		debug_wait($node, $point);
		$s->wait;
		is($s->state, 'PW500', "timed out, $point: the wait ends at its time-out, and nothing was sent") or diag($s->err);
		debug_release($node, $point);
		is_nothing_left($id, "timed out, $point");
	});

	part($node, "cancelled, $point", sub {
		my $id = "cancel $point";
		debug_arm($node, $point, 'stop');
		my $s = PgwSession->new($node)->send(pay($id));
		debug_wait($node, $point);
		$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $s->backend . ')');
		$s->wait;
		is($s->state, '57014', "cancelled, $point: cancelled");
		debug_release($node, $point);
		is_nothing_left($id, "cancelled, $point");
	});
}

# Somebody asks again before the withdrawal is written: the attempt is taken over, and then sent for that one.
part($node, 'asked again', sub {
	debug_arm($node, 'intent_flushed', 'stop');
	my $s = PgwSession->new($node)->send(pay('again', timeout => '300ms'));
	debug_wait($node, 'intent_flushed');
	$s->wait;
	is($s->state, 'PW500', 'asked again: the first has gone');
	my $second = PgwSession->new($node)->send(pay('again'));
	$node->poll_query_until('postgres', "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = " . $second->backend);
	debug_release($node, 'intent_flushed');
	is($second->wait, 'captured', 'asked again: the second pays') or diag($second->err);
	is(charge_count('again'), 1, 'asked again: one charge');
	own_attempts('asked again');
	is_sound($node, $bank, 'asked again: sound');
});

# Another try, planned for a caller that has left when it is to be sent.  It was told "pending" and has committed: its payment has failed.
part($node, 'another try', sub {
	debug_arm($node, 'retry_flushed', 'stop');
	my $s = PgwSession->new($node)->send(pay('try', token => 'tok_503_1', timeout => '2s'));
	debug_wait($node, 'retry_flushed');
	is($s->wait, 'pending', 'another try: the wait ends') or diag($s->err);
	my $requests = bank_ledger($bank)->{requests};
	debug_release($node, 'retry_flushed');
	ok(wait_until(sub { payment_status('try') eq 'failed' }, 20), 'another try: the payment has failed');
	is(status_of($node, 'try'), 'Failed', 'another try: so has the attempt');
	is(bank_ledger($bank)->{requests}, $requests, 'another try: and was not sent');
	is_sound($node, $bank, 'another try: sound');
});

# The time of the caller is up, and before it looks away the worker has withdrawn it: it is told how it ended instead of "pending".
part($node, 'told at the last moment', sub {
	debug_arm($node, 'retry_flushed', 'stop');
	my $s = PgwSession->new($node)->send('SELECT status, replayed, error_code FROM ' . pay_sql('process_payment', client_request_id => 'moment', token => 'tok_503_1', timeout => '2s'));
	debug_wait($node, 'retry_flushed');
	debug_arm($node, 'wait_over', 'stop');
	debug_wait($node, 'wait_over');
	debug_release($node, 'retry_flushed');
	ok(wait_until(sub { status_of($node, 'moment') eq 'Failed' }, 20), 'last moment: the attempt has failed');
	debug_release($node, 'wait_over');
	is($s->wait, 'failed|f|bank_unavailable', 'last moment: so it says, with what the bank had said') or diag($s->err);
	is(payment_status('moment'), 'failed', 'last moment: and so does the row that it keeps');
	is(charge_count('moment'), 0, 'last moment: nothing was charged');
	is_sound($node, $bank, 'last moment: sound');
});

# ---------------------------------------------------------------- an answer that names a stranger's attempt

part($node, 'stranger', sub {
	is($node->safe_psql('postgres', pay('stranger before')), 'captured', 'stranger: one before');
	debug_flag($node, 'wrong_attempt', 1);
	my $s = PgwSession->new($node);
	$s->run(pay('stranger'));
	debug_flag($node, 'wrong_attempt', 0);
	is($s->state, 'PW500', 'stranger: not taken for an answer') or diag($s->err);
	is(payment_status('stranger'), '', 'stranger: no payments row');
	own_attempts('stranger');
	is_sound($node, $bank, 'stranger: sound');
	is(status_of($node, 'stranger'), 'Refunded', 'stranger: the charge is given back');
	is($node->safe_psql('postgres', pay('stranger')), 'captured', 'stranger: the same call again pays');
});

# ---------------------------------------------------------------- the card of a caller that waits for an earlier attempt

# Shared memory as another process sees it, which has no card of its own.
sub shared_memory_has
{
	my ($what) = @_;
	my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw launcher'");
	open my $maps, '<', "/proc/$pid/maps" or return undef;
	open my $mem, '<:raw', "/proc/$pid/mem" or return undef;
	while (<$maps>)
	{
		my ($from, $to) = /^([0-9a-f]+)-([0-9a-f]+) rw.s / or next;
		sysseek $mem, hex($from), 0 or next;
		my $chunk = '';
		sysread $mem, $chunk, hex($to) - hex($from) or next;
		return 1 if index($chunk, $what) >= 0;
	}
	return 0;
}

sub card_start
{
	my ($id, $card, $settings) = @_;
	my $file = $node->basedir . "/card$id.sql";
	unlink $file;
	append_to_file($file, "SELECT pgw.process_payment(client_request_id => :id::text, amount => 4200, currency => 'EUR', card_number => (:card::numeric)::text,"
		  . " card_expiry_month => 12, card_expiry_year => $year, timeout => '20s');\n");
	my $p = { out => '', err => '' };
	local $ENV{PGOPTIONS} = $settings;
	$p->{h} = IPC::Run::start([ 'pgbench', '-n', '-t', 1, '-M', 'extended', '-D', "id=$id", '-D', "card=$card", '-h', $node->host, '-p', $node->port, '-f', $file, 'postgres' ],
		'<', \undef, '>', \$p->{out}, '2>', \$p->{err});
	return $p;
}

part($node, 'card', sub {
	my $card = join '', '4000', '0000', '0000', '0341';    # charged, and never answered
	debug_arm($node, 'taken', 'stop');
	my $first = card_start(7001, $card, '-c statement_timeout=3s');
	debug_wait($node, 'taken');
	is(shared_memory_has($card), 1, 'card: a request that has not been recorded holds its card');
	debug_release($node, 'taken');
	ok(wait_until(sub { charge_count(7001) }, 20), 'card: charged');
	is(shared_memory_has($card), 0, 'card: recorded, and the slot holds it no more');
	$first->{h}->finish;
	my $second = card_start(7001, $card, '');
	ok(wait_until(sub { events($node, 7001) =~ /TransactionAdopted/ }, 20), 'card: a second caller has taken the attempt over, and waits');
	is(shared_memory_has($card), 0, 'card: while it waits its slot holds none');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'");
	$second->{h}->finish;
	$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
	is_sound($node, $bank, 'card: sound', seconds => 60);
});

# ---------------------------------------------------------------- a worker that steps aside with calls out

# The bank ends the connection after the call was given up; the call is freed before HTTP comes with that.
part($node, 'stepping aside', sub {
	my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die $!;
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
	pgw_setup($node, { port => $listener->sockport }, db => 'shop');
	my $crashes = () = slurp_file($node->logfile) =~ /was terminated by signal/g;
	my $s = PgwSession->new($node, db => 'shop')->send(pay('aside'));
	my $connection = $listener->accept;
	ok(defined $connection->getline, 'stepping aside: a bank has the request, and takes its time');
	debug_arm($node, 'result_committed', 'stop');
	my $copy = PgwSession->new($node)->send('CREATE DATABASE copy TEMPLATE shop');	# fails in the end: the caller is connected
	debug_wait($node, 'result_committed');
	close $connection;
	debug_release($node, 'result_committed');
	is($s->wait, 'pending', 'stepping aside: the caller is answered') or diag($s->err);
	my $now = () = slurp_file($node->logfile) =~ /was terminated by signal/g;
	is($now, $crashes, 'stepping aside: nothing has crashed');
	$copy->wait;
	$s->quit;
	ok(wait_worker($node, 'shop'), 'stepping aside: the worker is back');
	is(status_of($node, 'aside', 'shop'), 'BankUnknown', 'stepping aside: and has not forgotten it');
	close $listener;
	$node->safe_psql('postgres', 'DROP DATABASE shop');
});

$node->stop('fast');
done_testing();
