# One id, several calls at the same time, process and submit mixed: the bank is asked once; duplicates wait in their own backends for the first one's
# transaction, then replay or take over.
use strict;
use warnings;
use lib 'test/lib';
use PgwDuplicates;
use PgwSession;
use PgwTest;
use Test::More;

my $node = pgw_node('duplicates_wait', conf => "pgw.compensation_delay = '60s'\npgw.retry_base_delay = '50ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my ($one, $two, $look) = map { PgwSession->new($node, name => $_) } qw(one two look);

# ---------------------------------------------------------------- two transactions: each mix, each end, each isolation level of the second

for my $first (qw(process submit))
{
	for my $second (qw(process submit))
	{
		for my $end (qw(COMMIT ROLLBACK))
		{
			my $name = "$first, $second, $end";
			my $id = lc "$first-$second-$end";
			my $requests = charge_requests($bank);
			$one->run('BEGIN');
			my $p = call($one, $first, $id);
			is("$p->{status} $p->{replayed}", $first eq 'process' ? 'captured f' : 'pending f', "$name: the first");
			$two->send(call_sql($second, $id));
			is_waiting_for($node, $two, $one, "$name: the second waits for the first one's transaction");
			$one->run($end);
			my $q = answer($two);
			is($two->state, '00000', "$name: the second has an answer") or diag($two->err);
			if ($end eq 'COMMIT')
			{
				is("$q->{replayed} $q->{payment} $q->{attempt}", "t $p->{payment} $p->{attempt}", "$name: a replay");
			}
			else
			{
				is("$q->{replayed} $q->{status}", $second eq 'process' ? 'f captured' : 'f pending', "$name: it took over");
			}
			is_paid_once($node, $bank, $id, $requests, $name);
			my $taken_over = $first eq 'process' && $end eq 'ROLLBACK';
			is(adoptions($node, $id), $taken_over ? 1 : 0, "$name: " . ($taken_over ? 'one adoption' : 'no adoption'));
			is(events($node, $id), $taken_over ? $ADOPTED_FLOW : $SUCCESS_FLOW, "$name: its events") if "$first $second" ne 'process submit';
			is($look->query("SELECT string_agg(event_type::text, ',' ORDER BY step_order) FROM pgw.transaction_events
				JOIN pgw.payments USING (transaction_id) WHERE client_request_id = '$id'"), $taken_over ? $ADOPTED_FLOW : $SUCCESS_FLOW, "$name: the events of the attempt that it kept");
		}
	}
}

for my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	for my $end (qw(COMMIT ROLLBACK))
	{
		my $id = lc "$level-$end" =~ s/ /-/gr;
		my $requests = charge_requests($bank);
		$one->run("BEGIN ISOLATION LEVEL $level");
		my $p = call($one, 'process', $id);
		$two->run("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM pg_class");
		$two->send(call_sql('process', $id));
		is_waiting_for($node, $two, $one, "$level, $end: waits");
		$one->run($end);
		my $q = answer($two);
		is("$q->{status} $q->{replayed} $q->{attempt}", 'captured ' . ($end eq 'COMMIT' ? 't' : 'f') . " $p->{attempt}",
			"$level, $end: " . ($end eq 'COMMIT' ? 'a replay, though the snapshot is older' : 'an adoption')) or diag($two->err);
		$two->run('COMMIT');
		is($two->state, '00000', "$level, $end: and commits") or diag($two->err);
		is_paid_once($node, $bank, $id, $requests, "$level, $end");
	}
}

# ---------------------------------------------------------------- many at once

{
	my $requests = charge_requests($bank);
	my @many = map { PgwSession->new($node, name => "many $_") } 1 .. 10;
	$many[0]->run('BEGIN');
	my $p = call($many[0], 'process', 'many');
	$many[$_]->send(call_sql($_ % 2 ? 'process' : 'submit', 'many')) for 1 .. 9;
	ok(wait_until(sub { $look->query("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == 9 }, 10), 'nine duplicates wait');
	$many[0]->run('COMMIT');
	my @answers = map { answer($_) } @many[ 1 .. 9 ];
	is(scalar(grep { $_->{replayed} eq 't' && $_->{payment} eq $p->{payment} && $_->{status} eq 'captured' } @answers), 9, 'and all get the payment');
	is_paid_once($node, $bank, 'many', $requests, 'ten at once');
}

# ---------------------------------------------------------------- savepoints are waited for as such

{
	my $requests = charge_requests($bank);
	$one->run('BEGIN; SAVEPOINT s');
	my $p = call($one, 'process', 'sub');
	$two->send(call_sql('process', 'sub'));
	is_waiting_for($node, $two, $one, 'a duplicate of a savepoint waits');
	$one->run('ROLLBACK TO s');
	my $q = answer($two);
	is("$q->{status} $q->{replayed} $q->{attempt}", "captured f $p->{attempt}", 'and takes over at ROLLBACK TO, while the transaction is still open');
	my $c = call($one, 'process', 'sub');
	is("$c->{replayed} $c->{payment}", "t $q->{payment}", 'which gets a replay when it calls again');
	$one->run('COMMIT');
	is_paid_once($node, $bank, 'sub', $requests, 'rolled back savepoint');

	$requests = charge_requests($bank);
	$one->run('BEGIN; SAVEPOINT s');
	$p = call($one, 'process', 'released');
	$one->run('RELEASE s');
	$two->send(call_sql('process', 'released'));
	is_waiting_for($node, $two, $one, 'a duplicate of a released savepoint waits');
	$one->run('COMMIT');
	is(answer($two)->{replayed}, 't', 'and replays after the commit');
	is_paid_once($node, $bank, 'released', $requests, 'released savepoint');
}

is_sound($node, $bank, 'tables and ledger agree at the end');
$node->stop('fast');
done_testing();
