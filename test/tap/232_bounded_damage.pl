# What goes wrong for one stays with that one: an ERROR after the commit, a row that cannot be written, memory that is used up, a full NOTIFY queue.
use strict;
use warnings;
use lib 'test/lib';
use PgwCallers;
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('bounded', debug => 1, conf => "restart_after_crash = on\nfsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\n"
	  . "pgw.recovery_interval = '600s'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub pay
{
	my ($id, %a) = @_;
	return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, timeout => '60s', %a);
}

sub submit { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, %a) }

sub captured
{
	my ($like) = @_;
	return $node->safe_psql('postgres', "SELECT count(*) FROM pgw.payments WHERE client_request_id LIKE '$like' AND status = 'captured'");
}

# ---------------------------------------------------------------- an ERROR after the commit

for my $point ('intent_committed', 'result_committed')
{
	part($node, "error, $point", sub {
		my $answers = join ',', taken_together($node, $point, 5, sub { debug_arm($node, $point, 'error 3') });
		is($answers, join(',', ('captured') x 6), "error, $point: every caller has its answer");
		debug_wait($node, $point);
		is(captured("$point %"), 6, "error, $point: all paid");
		is(scalar(map { charges_of($node, $bank, "$point $_") } 0 .. 5), 6, "error, $point: once each");
		is_sound($node, $bank, "error, $point: sound");
	});
}

part($node, 'error, adoption_committed', sub {
	change_settings($node, 'pgw.compensation_delay' => '1min');
	$node->safe_psql('postgres', 'BEGIN; ' . pay('adopted') . '; ROLLBACK');
	debug_arm($node, 'adoption_committed', 'error');
	is($node->safe_psql('postgres', pay('adopted')), 'captured', 'error, adoption_committed: the caller has its answer');
	debug_wait($node, 'adoption_committed');

	# ... and where the earlier attempt's outcome is not known yet
	my $s = PgwSession->new($node)->send(pay('waits', token => 'tok_slow_3000'));
	ok(wait_until(sub { charges_of($node, $bank, 'waits') }, 20), 'error, adoption_committed: a slow bank');
	$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $s->backend . ')');
	$s->wait;
	debug_arm($node, 'adoption_committed', 'error');
	like($node->safe_psql('postgres', pay('waits', token => 'tok_slow_3000')), qr/^(pending|captured)$/, 'error, adoption_committed: a caller that was to wait has an answer, too');
	debug_wait($node, 'adoption_committed');
	change_settings($node, 'pgw.compensation_delay' => '50ms');
	is_sound($node, $bank, 'error, adoption_committed: sound');
	is(captured('waits'), 1, 'error, adoption_committed: paid in the end');
});

part($node, 'error, submit_committed', sub {
	debug_arm($node, 'submit_committed', 'error');
	$node->safe_psql('postgres', submit("sub $_")) for 1 .. 3;
	debug_wait($node, 'submit_committed');
	is_sound($node, $bank, 'error, submit_committed: sound');
	is(captured('sub %'), 3, 'error, submit_committed: all paid');
});

part($node, 'error, compensation_committed', sub {
	debug_arm($node, 'compensation_committed', 'error');
	$node->safe_psql('postgres', 'BEGIN; ' . pay('given back') . '; ROLLBACK');
	debug_wait($node, 'compensation_committed');
	is_sound($node, $bank, 'error, compensation_committed: sound');
	is(status_of($node, 'given back'), 'Refunded', 'error, compensation_committed: given back');
});

# ---------------------------------------------------------------- an ERROR between the lists

part($node, 'error, sending', sub {
	my $answers = join ',', taken_together($node, 'sending', 5, sub { debug_arm($node, 'sending', 'error 3') });
	is($answers, join(',', ('captured') x 6), 'error, sending: every caller has its answer');
	debug_wait($node, 'sending');
	is_sound($node, $bank, 'error, sending: sound');
	is(scalar(map { charges_of($node, $bank, "sending $_") } 0 .. 5), 6, 'error, sending: once each');
});

# The signal of a rollback, read from the ring and then lost: the next regular scan is ten minutes away.
part($node, 'error, listing', sub {
	my $s = PgwSession->new($node);
	is($s->run('BEGIN; ' . pay('unheard')), 'captured', 'error, listing: a payment');
	debug_arm($node, 'listing', 'error');
	$s->run('ROLLBACK');
	debug_wait($node, 'listing');
	ok(wait_until(sub { status_of($node, 'unheard') eq 'Refunded' }, 30), 'error, listing: is given back all the same');
	is_sound($node, $bank, 'error, listing: sound');
});

# ---------------------------------------------------------------- memory that is used up while requests are taken

part($node, 'take', sub {
	my $answers = join ',', taken_together($node, 'take', 5, sub { debug_arm($node, 'take_one', 'error 3') });
	is($answers, join(',', ('captured') x 6), 'take: every caller is served');
	debug_wait($node, 'take_one');
	is_sound($node, $bank, 'take: sound');
});

# ---------------------------------------------------------------- one row among many that cannot be written

part($node, 'poison', sub {
	$node->safe_psql('postgres', "ALTER TABLE pgw.payments ADD CONSTRAINT poison CHECK (reference IS DISTINCT FROM 'poison' OR status = 'pending') NOT VALID");
	my $t = time;
	$node->safe_psql('postgres', "SELECT count(pgw.submit_payment(client_request_id => 'batch ' || i, amount => 100, currency => 'EUR', token => 'tok_ok',
		reference => CASE i WHEN 77 THEN 'poison' ELSE 'good' END)) FROM generate_series(1, 200) i");
	ok(wait_until(sub { captured('batch %') == 199 }, 60), 'poison: the others are paid') or diag(captured('batch %'));
	is($node->safe_psql('postgres', pay('beside poison')), 'captured', 'poison: callers are served');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgw.alert_state WHERE kind = 'work_failing'"), 'poison: people are told');
	$node->safe_psql('postgres', 'ALTER TABLE pgw.payments DROP CONSTRAINT poison');
	ok(wait_until(sub { captured('batch %') == 200 }, 90), 'poison: and it goes on when it can be written');
	is_sound($node, $bank, 'poison: sound');
	is(scalar(grep { ($_->{merchant_reference} // '') eq 'poison' } @{ bank_ledger($bank)->{charges} }), 1, 'poison: charged once');
});

# ---------------------------------------------------------------- a full NOTIFY queue

part($node, 'notify', sub {
	my $seen = -s $node->logfile;
	debug_flag($node, 'notify_full', 1);
	$node->safe_psql('postgres', submit("quiet $_")) for 1 .. 3;
	is($node->safe_psql('postgres', pay('quiet 4')), 'captured', 'notify: callers are served');
	$node->safe_psql('postgres', 'BEGIN; ' . pay('quiet back') . '; ROLLBACK');
	ok(wait_until(sub { captured('quiet %') == 4 }, 20), 'notify: what is to be told of is done without') or diag(captured('quiet %'));
	is_sound($node, $bank, 'notify: sound');
	is(status_of($node, 'quiet back'), 'Refunded', 'notify: what is rolled back is given back');
	like(slurp_file($node->logfile, $seen), qr/WARNING:  pgw: the NOTIFY queue is full/, 'notify: the log says so');
	debug_flag($node, 'notify_full', 0);
	my $n = 0;
	ok(wait_until(sub {
				$n++;
				return $node->safe_psql('postgres', "LISTEN pgw_payments; " . submit("loud $n")
					  . "; SELECT pgw.wait_for_payment((SELECT payment_id FROM pgw.find_payment('loud $n')), '10s'); SELECT 1") =~ /Asynchronous notification "pgw_payments"/;
			}, 60), 'notify: and later it is told again');
});

$node->stop('fast');
done_testing();
