# An ERROR while a request is on its way from one of the worker's lists to the next, or while the end of something committed is made up for: no caller waits
# for nobody, no attempt counts as under way for ever, and nothing that is committed is done again.
use strict;
use warnings;
use lib 'test/lib';
use PgwCallers;
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('between', debug => 1, conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.recovery_interval = '600s'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

my $n = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub pay
{
	my ($id, %a) = @_;
	return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, timeout => '60s', %a);
}

sub worker_pid
{
	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
}

# ---------------------------------------------------------------- between the lists

part($node, 'admitted', sub {
	is(join(',', taken_together($node, 'admitted', 5, sub { debug_arm($node, 'handing_on', 'error 3') })), join(',', ('captured') x 6), 'admitted: every caller has his answer');
	debug_wait($node, 'handing_on');
	is(scalar(map { charges_of($node, $bank, "admitted $_") } 0 .. 5), 6, 'admitted: charged once each');
});

# No bank takes it just now: that is to be recorded.
part($node, 'refused', sub {
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('away', 'json', 'http://127.0.0.1:1', 'bank', 900)");
	change_settings($node, 'pgw.breaker_failures' => 1);
	ok(wait_until(sub { sql(pay('away ' . ++$n, bank => 'away')) eq 'failed' && sql("SELECT count(*) FROM pgw.bank_states WHERE bank = 'away' AND state <> 'closed'") > 0 }, 30),
		'refused: a bank is left alone');
	debug_arm($node, 'handing_on', 'error');
	my $s = PgwSession->new($node)->send(pay('refused', bank => 'away', timeout => '20s'));
	is($s->wait(40), 'failed', 'refused: the caller is told so') or diag($s->state . ' ' . $s->err);
	debug_wait($node, 'handing_on');
	change_settings($node, 'pgw.breaker_failures' => 10000);
	sql("UPDATE pgw.banks SET enabled = false WHERE name = 'away'");
});

# Its call was made, and it went nowhere: taken once more, and what follows is not kept from it.
part($node, 'taken', sub {
	my $s = PgwSession->new($node);
	debug_arm($node, 'entering', 'error');
	is($s->run('BEGIN; ' . pay('taken again')), 'captured', 'taken: its caller has his answer');
	debug_wait($node, 'entering');
	$s->run('ROLLBACK');
	ok(wait_until(sub { status_of($node, 'taken again') eq 'Refunded' }, 30), 'taken: and its rollback is heard of') or diag(status_of($node, 'taken again'));
});

# An error that stays: its caller is told, and the others go on.
part($node, 'for ever', sub {
	debug_arm($node, 'handing_on', "error");
	my $s = PgwSession->new($node)->send(pay('for ever', timeout => '50s'));
	for (1 .. 4)
	{
		debug_wait($node, 'handing_on');
		debug_arm($node, 'handing_on', 'error');
	}
	debug_wait($node, 'handing_on');
	$s->wait(60);
	is($s->state, 'PW500', 'for ever: its caller is told') or diag($s->state . ' ' . $s->{out});
	like($s->err, qr/internal_error/, 'for ever: with the reason');
	is(sql(pay('for ever')), 'captured', 'for ever: and can ask again');
});

# The answer of a bank that cannot be written yet, as the row is locked.
part($node, 'later', sub {
	my $s = PgwSession->new($node)->send(pay('later', token => 'tok_slow_1500'));
	ok(wait_until(sub { charges_of($node, $bank, 'later') }, 30), 'later: a charge');
	my $holder = PgwSession->new($node);
	$holder->query("BEGIN; SELECT FROM pgw.payment_transactions WHERE client_request_id = 'later' FOR UPDATE");
	debug_arm($node, 'result_later', 'error');
	debug_wait($node, 'result_later');
	$holder->query('COMMIT');
	is($s->wait(30), 'captured', 'later: its caller has his answer');
	is(events($node, 'later'), $SUCCESS_FLOW, 'later: which the worker has kept');
});

# ---------------------------------------------------------------- what makes up for an error is itself broken off

part($node, 'broken', sub {
	my $before = worker_pid();
	my @answers = taken_together($node, 'broken', 5, sub { debug_arm($node, 'intent_committed', 'error 3'); debug_arm($node, 'broken', 'error') });
	debug_wait($node, 'broken');
	is(scalar(grep { $_ eq 'captured' } @answers), 6, 'broken: every caller has his answer') or diag("@answers");
	ok(wait_until(sub { my $now = worker_pid(); $now ne '' && $now ne $before }, 30), 'broken: a new worker has taken over');
	is(scalar(map { charges_of($node, $bank, "broken $_") } 0 .. 5), 6, 'broken: charged once each');
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id LIKE 'broken %'"), 6, 'broken: each recorded once');
});

is_sound($node, $bank, 'sound', seconds => 60);
$node->stop('fast');
done_testing();
