# A caller who has read pgw's tables before he pays, and DDL that has them, or wants them: he waits for nobody beyond his call's time-out.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('lock_deadline', conf => "fsync = off\n");
my $bank = bank_start();
pgw_setup($node, $bank);

my $n = 0;
sub pay { my (%a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'p' . ++$n, %a) }

# A transaction that has read one of pgw's tables.
sub open_reader
{
	my ($table) = @_;
	my $s = PgwSession->new($node);
	$s->query("BEGIN; SELECT count(*) FROM $table");
	return $s;
}

# Sends a statement that has to wait for a lock, and sees it do so.
sub start_waiting
{
	my ($sql) = @_;
	my $s = PgwSession->new($node)->send($sql);
	$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND pid = ' . $s->backend) or die "$sql does not wait";
	return $s;
}

# The call ends when its time is up, with nothing sent.
sub is_told
{
	my ($s, $name, $states) = @_;
	my $began = time;
	$s->send(pay(timeout => '700ms'));
	$s->wait(30);
	like($s->state, $states // qr/^PW500$/, "$name: the caller is told") or diag($s->{out} . $s->err);
	like($s->err, qr/"code": "worker_busy", "class": "infrastructure", "http_status": 500, "retryable": true, "customer_message_key": "try_again", "reason": "/, "$name: why, as DETAIL says it of every error")
	  if $s->state eq 'PW500';
	in_time(time - $began, 8, "$name: in time");
	is(scalar charges_of($node, $bank, "p$n"), 0, "$name: and nothing was sent");
	$s->run('ROLLBACK');
	is($s->query(pay()), 'captured', "$name: afterwards he can pay") if $name !~ /held/;
}

# DDL that reads of others do not stop: CREATE INDEX, CREATE TRIGGER, LOCK.
for my $mode ('SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE')
{
	for my $table ('pgw.payments', 'pgw.transaction_events')
	{
		my $name = "$mode held on $table";
		part($node, $name, sub {
			my $s = open_reader($table);
			my $dba = PgwSession->new($node);
			$dba->query("BEGIN; LOCK TABLE $table IN $mode MODE");
			is_told($s, $name);
			$dba->query('COMMIT');
			is($s->query(pay()), 'captured', "$name: later he pays");
		});
	}
}

part($node, 'let go', sub {
	my $s = open_reader('pgw.payments');
	my $dba = PgwSession->new($node);
	$dba->query('BEGIN; LOCK TABLE pgw.payments IN SHARE MODE');
	$s->send(pay(timeout => '30s'));
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'pgw.payments'::regclass"), 'let go: a caller waits');
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'RowExclusiveLock' AND relation::regclass::text LIKE 'pgw.%' AND pid = " . $s->backend),
		0, 'let go: and has no other lock meanwhile that somebody would have to wait for');
	$dba->query('COMMIT');
	is($s->wait(30), 'captured', 'let go: and pays when he can');
	$s->query('COMMIT');
});

# Somebody has queued in front of those who wait for the reader.
part($node, 'queue', sub {
	my $s = open_reader('pgw.payments');
	my $writer = PgwSession->new($node);
	$writer->query('BEGIN; LOCK TABLE pgw.payments IN ROW EXCLUSIVE MODE');
	my @queue = (start_waiting('BEGIN; LOCK TABLE pgw.payments IN SHARE MODE'), start_waiting('ALTER TABLE pgw.payments ADD COLUMN queued int'));
	my $began = time;
	$s->send(pay(timeout => '700ms'));
	$s->wait(30);
	is($s->state, 'PW500', 'queue: the caller is told');
	in_time(time - $began, 8, 'queue: in time');
	$s->run('ROLLBACK');
	$writer->query('COMMIT');
	$queue[0]->wait(20);
	$queue[0]->query('COMMIT');
	$queue[1]->wait(20);
	is($queue[1]->state, '00000', 'queue: all the others go on');
});

# Two of his tables are wanted by DDL at once: he goes before both, and no worker can follow him.
part($node, 'two', sub {
	my $s = open_reader('pgw.payments, pgw.payment_transactions LIMIT 0');
	my @ddl = (start_waiting('ALTER TABLE pgw.payments ADD COLUMN two int'), start_waiting('ALTER TABLE pgw.payment_transactions ADD COLUMN two int'));
	my $began = time;
	$s->send(pay(timeout => '700ms'));
	$s->wait(30);
	is($s->state, 'PW500', 'two: the caller is told');
	in_time(time - $began, 8, 'two: in time');
	$s->run('ROLLBACK');
	$_->wait(20) for @ddl;
	is(join(',', map { $_->state } @ddl), '00000,00000', 'two: the DDL goes on');
});

# DDL has the table and wants more of it, which the reader does not let it have: one of the two has to give way, and at once.
part($node, 'deadlock', sub {
	my $s = open_reader('pgw.payments');
	my $dba = PgwSession->new($node);
	$dba->query('BEGIN; LOCK TABLE pgw.payments IN SHARE MODE');
	$dba->send('ALTER TABLE pgw.payments ADD COLUMN deadlock int');
	$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND pid = ' . $dba->backend) or die;
	is_told($s, 'held: deadlock', qr/^(PW500|40P01)$/);
	$dba->wait(20);
	is($dba->state, '00000', 'deadlock: the DDL goes on');
	$dba->query('COMMIT');
	is($s->query(pay()), 'captured', 'deadlock: and so do payments');
});

is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
