# Who submits faster than the worker can send pauses; not who holds rows, repeats a payment, or was told so two seconds ago.
use strict;
use warnings;
use lib 'test/lib';
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('submit_pause', debug => 1, conf => "fsync = off\npgw.submit_max_pause = 10s\n");
my $bank = bank_start();
pgw_setup($node, $bank);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql('CREATE TABLE orders (no text PRIMARY KEY)');

sub submit { return 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $_[0]) }

sub takes
{
	my ($sql) = @_;
	my $t = time;
	my $out = sql($sql);
	return (time - $t, $out);
}

sub at_once
{
	my ($sql, $name) = @_;
	my ($seconds, $out) = takes($sql);
	like($out, qr/pending|captured/, "$name: accepted");
	# who pauses takes ten seconds, on any machine
	return cmp_ok($seconds, '<', 9.9, "$name: at once");
}

# A session that pauses, once the worker has told so: with the flag it says a minute for each payment.
my $n = 0;
sub pausing
{
	my $s = PgwSession->new($node);
	debug_flag($node, 'submits_pause', 1);
	ok(wait_until(sub {
		$s->send(submit('told ' . ++$n)) if $s->done;
		return sql("SELECT wait_event FROM pg_stat_activity WHERE pid = @{[ $s->backend ]} AND state = 'active'") eq 'Extension';
	}), 'who submits pauses');
	return $s;
}

sub cancel
{
	my ($s) = @_;
	sql("SELECT pg_cancel_backend(@{[ $s->backend ]})");
	ok(wait_until(sub { $s->done }), 'a cancel ends the pause');
	return is($s->state, '57014', 'with its error');
}

at_once(submit('before'), 'while the worker keeps up');

part($node, 'pauses', sub {
	cancel(pausing());
	is(sql("SELECT count(*) FROM pgw.payments WHERE client_request_id = 'told $n'"), '0', 'nothing was recorded');
	my ($seconds, $out) = takes(submit('paused'));
	cmp_ok($seconds, '>', 9.9, 'as long as the setting says, however long the worker says');
	is($out, 'pending', 'then it is accepted');
});

part($node, 'holds rows', sub {
	cancel(pausing());
	at_once("BEGIN; INSERT INTO orders VALUES ('1'); " . submit('written') . '; COMMIT', 'who has written');
	at_once('BEGIN; SELECT no FROM orders FOR UPDATE; ' . submit('locked') . '; COMMIT', 'who has locked a row');
});

part($node, 'repeats', sub {
	cancel(pausing());
	at_once(submit('before'), 'a repeated call');
});

part($node, 'switched off', sub {
	cancel(pausing());
	change_settings($node, 'pgw.submit_max_pause' => 0);
	at_once(submit('off'), 'with the setting 0');
	change_settings($node, 'pgw.submit_max_pause' => '10s');
});

part($node, 'a worker that says nothing', sub {
	my $worker = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
	cancel(pausing());
	kill 'STOP', $worker;
	my $then = sql('SELECT clock_timestamp()');
	ok($node->poll_query_until('postgres', "SELECT clock_timestamp() > '$then'::timestamptz + interval '2.1 s'"), 'what it has said is old');
	at_once(submit('stopped'), 'void by then');
	kill 'CONT', $worker;
});

is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
