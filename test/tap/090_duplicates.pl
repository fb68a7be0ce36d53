# One id, several calls: at the same time, one after the other, in one transaction, process and submit mixed. The bank is asked once; duplicates
# wait in their own backends for the first one's transaction, then replay or take over; after a give-back a retry begins anew.
# Each id is the payment's reference too, so that the bank's ledger is searched without the help of pgw's tables.
use strict;
use warnings;
use lib 'test/lib';
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $DEADLOCK_TIMEOUT = 0.4;
my $node = pgw_node('duplicates', conf => <<CONF);
pgw.compensation_delay = '60s'
pgw.retry_base_delay = '50ms'
deadlock_timeout = '${\ ($DEADLOCK_TIMEOUT * 1000)}ms'
CONF
my $bank = bank_start();
pgw_setup($node, $bank);
my ($one, $two, $look) = map { PgwSession->new($node, name => $_) } qw(one two look);

# SELECT of a call; the same arguments give the same request.
sub call
{
	my ($function, $id, %a) = @_;
	return 'SELECT payment_id, transaction_id, status, replayed, error_code FROM '
	  . pay_sql("${function}_payment", client_request_id => $id, reference => $id, %a);
}

# What a call answered: { payment, attempt, status, replayed, error }.
sub answer
{
	my ($s) = @_;
	my %r;
	@r{qw(payment attempt status replayed error)} = split /\|/, $s->wait, -1;
	return \%r;
}
sub pay { my ($s, @call) = @_; $s->send(call(@call)); return answer($s) }

# Every charge that the bank ever made for the id.
sub charges { my ($id) = @_; return grep { $_->{merchant_reference} eq $id } @{ bank_ledger($bank)->{charges} } }
sub requests { return bank_ledger($bank)->{requests_by_operation}{charge} // 0 }

# A wait for another backend's (sub)transaction, as pg_stat_activity and pg_locks show it.
sub waits_for
{
	my ($s, $other, $name) = @_;
	my $sql = sprintf "SELECT a.wait_event_type, l.locktype, pg_blocking_pids(a.pid) FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE a.pid = %s AND NOT l.granted", $s->backend;
	my $expected = 'Lock|transactionid|{' . $other->backend . '}';
	my $seen = '';
	wait_until(sub { ($seen = $look->query($sql)) eq $expected || $s->done }, 10);
	is($seen, $expected, $name);
}

# Captured in the end, one charge, asked for once since $requests.
sub paid_once
{
	my ($id, $requests, $name) = @_;
	is($look->query("SELECT w.status FROM pgw.payments p, pgw.wait_for_payment(p.payment_id, '20s') w WHERE p.client_request_id = '$id'"), 'captured', "$name: paid");
	my @c = charges($id);
	is(join(',', map { "$_->{status} $_->{refunded} $_->{voided}" } @c), 'approved 0 0', "$name: one charge, nothing given back");
	is(requests() - $requests, 1, "$name: one request");
}

sub adoptions { return scalar grep { $_ eq 'TransactionAdopted' } split /,/, events($node, $_[0]) }

#
# Two transactions: each mix, each end, each isolation level of the second
#
for my $first (qw(process submit))
{
	for my $second (qw(process submit))
	{
		for my $end (qw(COMMIT ROLLBACK))
		{
			my $name = "$first, $second, $end";
			my $id = lc "$first-$second-$end";
			my $requests = requests();
			$one->run('BEGIN');
			my $p = pay($one, $first, $id);
			is("$p->{status} $p->{replayed}", $first eq 'process' ? 'captured f' : 'pending f', "$name: the first");
			$two->send(call($second, $id));
			waits_for($two, $one, "$name: the second waits for the first one's transaction");
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
			paid_once($id, $requests, $name);
			my $taken_over = $first eq 'process' && $end eq 'ROLLBACK';
			is(adoptions($id), $taken_over ? 1 : 0, "$name: " . ($taken_over ? 'one adoption' : 'no adoption'));
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
		my $requests = requests();
		$one->run("BEGIN ISOLATION LEVEL $level");
		my $p = pay($one, 'process', $id);
		$two->run("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM pg_class");
		$two->send(call('process', $id));
		waits_for($two, $one, "$level, $end: waits");
		$one->run($end);
		my $q = answer($two);
		is("$q->{status} $q->{replayed} $q->{attempt}", 'captured ' . ($end eq 'COMMIT' ? 't' : 'f') . " $p->{attempt}",
			"$level, $end: " . ($end eq 'COMMIT' ? 'a replay, though the snapshot is older' : 'an adoption')) or diag($two->err);
		$two->run('COMMIT');
		is($two->state, '00000', "$level, $end: and commits") or diag($two->err);
		paid_once($id, $requests, "$level, $end");
	}
}

#
# Many at once
#
{
	my $requests = requests();
	my @many = map { PgwSession->new($node, name => "many $_") } 1 .. 10;
	$many[0]->run('BEGIN');
	my $p = pay($many[0], 'process', 'many');
	$many[$_]->send(call($_ % 2 ? 'process' : 'submit', 'many')) for 1 .. 9;
	ok(wait_until(sub { $look->query("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == 9 }, 10), 'nine duplicates wait');
	$many[0]->run('COMMIT');
	my @answers = map { answer($_) } @many[ 1 .. 9 ];
	is(scalar(grep { $_->{replayed} eq 't' && $_->{payment} eq $p->{payment} && $_->{status} eq 'captured' } @answers), 9, 'and all get the payment');
	paid_once('many', $requests, 'ten at once');
}

#
# Savepoints are waited for as such
#
{
	my $requests = requests();
	$one->run('BEGIN; SAVEPOINT s');
	my $p = pay($one, 'process', 'sub');
	$two->send(call('process', 'sub'));
	waits_for($two, $one, 'a duplicate of a savepoint waits');
	$one->run('ROLLBACK TO s');
	my $q = answer($two);
	is("$q->{status} $q->{replayed} $q->{attempt}", "captured f $p->{attempt}", 'and takes over at ROLLBACK TO, while the transaction is still open');
	my $c = pay($one, 'process', 'sub');
	is("$c->{replayed} $c->{payment}", "t $q->{payment}", 'which gets a replay when it calls again');
	$one->run('COMMIT');
	paid_once('sub', $requests, 'rolled back savepoint');

	$requests = requests();
	$one->run('BEGIN; SAVEPOINT s');
	$p = pay($one, 'process', 'released');
	$one->run('RELEASE s');
	$two->send(call('process', 'released'));
	waits_for($two, $one, 'a duplicate of a released savepoint waits');
	$one->run('COMMIT');
	is(answer($two)->{replayed}, 't', 'and replays after the commit');
	paid_once('released', $requests, 'released savepoint');
}

#
# Callers that cross
#
for my $functions ([qw(process process)], [qw(process submit)], [qw(submit submit)])
{
	my ($f, $g) = @$functions;
	my ($x, $y) = map { "cross-$f-$g-$_" } qw(x y);
	my $requests = requests();
	$_->run('BEGIN') for $one, $two;
	pay($one, $f, $x);
	pay($two, $g, $y);
	$one->send(call($f, $y));
	waits_for($one, $two, "crossing $f and $g: the first waits");
	my $started = time;
	$two->send(call($g, $x));
	PgwSession::wait_any(20, $one, $two);
	my $took = time - $started;
	cmp_ok($took, '<', $DEADLOCK_TIMEOUT + 1, sprintf "crossing %s and %s: broken after %.2f s", $f, $g, $took);
	$_->wait for $one, $two;
	is(join(' ', sort map { $_->state } $one, $two), '00000 40P01', "crossing $f and $g: exactly one deadlock error");
	my ($victim, $other) = $one->state eq '40P01' ? ($one, $two) : ($two, $one);
	$_->run('COMMIT') for $victim, $other;
	my ($again) = $victim == $one ? $f : $g;
	my @replays = map { pay($victim, $again, $_) } $x, $y;
	is(join(' ', map { $_->{replayed} } @replays), 't t', "crossing $f and $g: the victim's retry finds both paid");
	for my $id ($x, $y)
	{
		$look->query("SELECT pgw.wait_for_payment(payment_id, '20s') FROM pgw.payments WHERE client_request_id = '$id'");
		is(join(',', map { "$_->{status} $_->{refunded}" } charges($id)), 'approved 0', "crossing $f and $g: one charge");
	}
	is(requests() - $requests, 2, "crossing $f and $g: two requests");
}

#
# A wait ends when it should
#
{
	my $requests = requests();
	$one->run('BEGIN');
	my $p = pay($one, 'process', 'held');
	my $ends = sub {
		my ($name, $state, $before, %o) = @_;
		$two->run($before);
		my $started = time;
		$two->send(call($o{function} // 'process', 'held', %{ $o{args} // {} }));
		$o{while}->() if $o{while};
		$two->wait;
		is($two->state, $state, "$name: $state") or diag($two->err);
		cmp_ok(time - $started, '<', 3, "$name: in time");
		$two->run('RESET ALL');
		$two->run('ROLLBACK') if $before =~ /BEGIN/;
	};
	for my $f (qw(process submit))
	{
		$ends->("lock_timeout, $f", '55P03', "SET lock_timeout = '150ms'", function => $f);
		$ends->("statement_timeout, $f", '57014', "SET statement_timeout = '150ms'", function => $f);
		$ends->("cancel, $f", '57014', 'SELECT', function => $f, while => sub {
			waits_for($two, $one, "$f: waits");
			$look->query('SELECT pg_cancel_backend(' . $two->backend . ')');
		});
		$ends->("pgw.wait_timeout, $f", 'PW409', "SET pgw.wait_timeout = '150ms'", function => $f);
	}
	$ends->('timeout', 'PW409', 'SELECT', args => { timeout => '150 ms' });
	$ends->('timeout 0', 'PW409', 'SELECT', args => { timeout => '0' });
	$ends->('timeout shorter than lock_timeout', 'PW409', "SET lock_timeout = '30s'", args => { timeout => '150 ms' });
	$ends->('lock_timeout shorter than timeout', '55P03', "SET lock_timeout = '150ms'", args => { timeout => '30 s' });
	$ends->('other arguments', 'PW409', 'SELECT', args => { timeout => '150 ms', amount => 999 });

	$two->run("BEGIN; SET LOCAL lock_timeout = '7s'; SAVEPOINT s");
	pay($two, 'process', 'held', timeout => '100 ms');
	$two->run('ROLLBACK TO s');
	is($two->run('SHOW lock_timeout'), '7s', 'after PW409 lock_timeout is as it was');
	$two->run('ROLLBACK');

	my $gone = PgwSession->new($node, name => 'gone');
	$gone->send(call('process', 'held'));
	waits_for($gone, $one, 'a third waits');
	$look->query('SELECT pg_terminate_backend(' . $gone->backend . ')');
	$gone->wait;
	is($gone->state, '08006', 'and ends at once when it is terminated');

	$two->send(call('process', 'held'));
	waits_for($two, $one, 'the duplicate waits again');
	$one->run('COMMIT');
	is(answer($two)->{payment}, $p->{payment}, 'and gets the payment');
	paid_once('held', $requests, 'after all these waits');
}

#
# One transaction
#
{
	my $requests = requests();
	my @columns = split /\|/, $one->run('SELECT (' . pay_sql('process_payment', client_request_id => 'columns', reference => 'columns') . ').*'), -1;
	is($columns[3], 'captured', 'SELECT (pgw.process_payment(...)).* calls the function once per column');
	paid_once('columns', $requests, 'once per column');
	is(events($node, 'columns'), $SUCCESS_FLOW, 'once per column: one attempt');

	for my $functions (map { my $f = $_; map { [ $f, $_ ] } qw(process submit) } qw(process submit))
	{
		my ($f, $g) = @$functions;
		my $id = "again-$f-$g";
		$requests = requests();
		$one->run('BEGIN; SAVEPOINT s');
		my $p = pay($one, $f, $id);
		$one->run('ROLLBACK TO s');
		my $q = pay($one, $g, $id);
		is("$q->{status} $q->{replayed}", $g eq 'process' ? 'captured f' : 'pending f', "savepoint, $f then $g: called again") or diag($one->err);
		$one->run('COMMIT');
		paid_once($id, $requests, "savepoint, $f then $g");
		is(adoptions($id), $f eq 'process' ? 1 : 0, "savepoint, $f then $g: " . ($f eq 'process' ? 'adopted' : 'nothing to adopt'));
	}
	is(events($node, 'again-process-process'), $ADOPTED_FLOW, 'savepoint: the events of an adopted retry');

	$requests = requests();
	$one->run(<<'SQL');
DO $$
BEGIN
	FOR i IN 1 .. 3 LOOP
		BEGIN
			PERFORM pgw.process_payment('block', 1234, 'EUR', 'tok_ok', reference => 'block');
			IF i < 3 THEN RAISE division_by_zero; END IF;
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	END LOOP;
END $$
SQL
	is($one->state, '00000', 'a PL/pgSQL block that pays, fails and tries again') or diag($one->err);
	paid_once('block', $requests, 'PL/pgSQL block');
	is(adoptions('block'), 2, 'PL/pgSQL block: adopted twice');

	$requests = requests();
	$one->run('BEGIN; SAVEPOINT s');
	pay($one, 'process', 'chain');
	$one->run('ROLLBACK TO s');
	pay($one, 'process', 'chain');
	$one->run('ROLLBACK');
	my $c = pay($two, 'process', 'chain');
	is("$c->{status} $c->{replayed}", 'captured f', 'savepoint, then the whole transaction, then another session');
	paid_once('chain', $requests, 'chain');
	is(adoptions('chain'), 2, 'chain: two adoptions');

	my $before = requests();
	$one->run("BEGIN; SELECT count(pgw.submit_payment('lot-' || n, 100, 'EUR', 'tok_ok')) FROM generate_series(1, 50000) n");
	is($one->state, '00000', '50,000 submits fit in one transaction') or diag($one->err);
	$one->run('ROLLBACK');
	is(requests(), $before, 'and the bank never hears of them after a rollback');
}

#
# Adopted in whatever state
#
{
	# The bank is being called: the caller is cancelled, and comes again.
	my $requests = requests();
	$one->send(call('process', 'called', token => 'tok_slow_700'));
	ok(wait_until(sub { charges('called') }, 10), 'the bank is being called');
	$look->query('SELECT pg_cancel_backend(' . $one->backend . ')');
	$one->wait;
	is($one->state, '57014', 'the caller is cancelled');
	my $q = pay($two, 'process', 'called', token => 'tok_slow_700');
	is("$q->{status} $q->{replayed}", 'captured f', 'a retry meanwhile gets the answer of that very call') or diag($two->err);
	paid_once('called', $requests, 'adopted while called');
	is(events($node, 'called'), 'TransactionStarted,BankProcessingStarted,TransactionAdopted,BankProcessingCompleted,PaymentDataSaveStarted,PaymentDataSaveCompleted,TransactionCompleted',
		'adopted while called: its events');

	# Not known yet: the bank has not decided.
	$requests = requests();
	$one->run('BEGIN');
	my $p = pay($one, 'process', 'undecided', token => 'tok_charge_pending_done_3000', timeout => '1s');
	is("$p->{status} $p->{error}", 'pending bank_pending', 'the bank has not decided yet');
	$one->run('ROLLBACK');
	$q = pay($two, 'process', 'undecided', token => 'tok_charge_pending_done_3000');
	is($two->state, '00000', 'its retry has an answer') or diag($two->err);
	is("$q->{status} $q->{attempt}", "captured $p->{attempt}", 'that of the same attempt, once the bank has decided');
	paid_once('undecided', $requests, 'adopted while undecided');
	is(adoptions('undecided'), 1, 'adopted while undecided: one adoption');

	# A card: the retry brings it again; another one is another payment.
	$requests = requests();
	my %card = (token => undef, card_number => $CARD, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => '123');
	$one->run('BEGIN');
	pay($one, 'process', 'card', %card);
	$one->run('ROLLBACK');
	pay($two, 'process', 'card', %card, card_number => join('', '4111', '1111' x 3));
	is($two->state, 'PW422', 'a retry with another card is refused');
	like($two->err, qr/"fields": \["card_number"\]/, 'and names the field');
	$q = pay($two, 'process', 'card', %card, card_cvv => '321');
	is("$q->{status} $q->{replayed}", 'captured f', 'with the same card it adopts') or diag($two->err);
	paid_once('card', $requests, 'card');
}

#
# The connection is lost, and the client calls again
#
{
	my $requests = requests();
	my $lost = PgwSession->new($node, name => 'lost');
	$lost->send(call('process', 'lost', token => 'tok_slow_700'));
	ok(wait_until(sub { charges('lost') }, 10), 'the bank is being called');
	$lost->lose;
	$two->send(call('process', 'lost', token => 'tok_slow_700'));
	waits_for($two, $lost, 'lost during the call: the same call again waits for the first, which goes on without its client');
	my $q = answer($two);
	is("$q->{status} $q->{replayed}", 'captured t', 'and gets its payment');
	paid_once('lost', $requests, 'lost during the call');

	$requests = requests();
	$lost = PgwSession->new($node, name => 'lost');
	my $p = pay($lost, 'process', 'lost-after');
	$lost->lose;
	$q = pay($two, 'process', 'lost-after');
	is("$q->{replayed} $q->{payment}", "t $p->{payment}", 'lost right after it: the payment is replayed');
	paid_once('lost-after', $requests, 'lost right after the call');

	$requests = requests();
	$lost = PgwSession->new($node, name => 'lost');
	$lost->send(call('process', 'terminated', token => 'tok_slow_700'));
	ok(wait_until(sub { charges('terminated') }, 10), 'the bank is being called');
	$look->query('SELECT pg_terminate_backend(' . $lost->backend . ')');
	$lost->wait;
	is($lost->state, '08006', 'the server process is terminated');
	$q = pay($two, 'process', 'terminated', token => 'tok_slow_700');
	is("$q->{status} $q->{replayed}", 'captured f', 'then the same call again adopts');
	paid_once('terminated', $requests, 'terminated during the call');
}

#
# A retry that is not the same request
#
{
	$one->run('BEGIN');
	pay($one, 'process', 'other');
	$one->run('ROLLBACK');
	my $requests = requests();
	for my $try ([ 'amount', amount => 999 ], [ 'currency', currency => 'USD' ], [ 'token', token => 'tok_slow_1' ], [ 'capture', capture => 'manual' ],
		[ 'bank', bank => 'bank' ], [ 'reference', reference => 'elsewhere' ], [ 'amount", "currency', amount => 999, currency => 'USD' ])
	{
		my ($fields, @changed) = @$try;
		pay($two, 'process', 'other', @changed);
		is($two->state, 'PW422', "other $fields than the live attempt's");
		like($two->err, qr/"fields": \["\Q$fields\E"\]/, "names \"$fields\"");
	}
	is(requests(), $requests, 'and the bank hears nothing of it');
	my $q = pay($two, 'process', 'other', metadata => '{"try": 2}', timeout => '20 s');
	is("$q->{status} $q->{replayed}", 'captured f', 'what is not compared may differ');
	is(scalar(charges('other')), 1, 'one charge');
	is(adoptions('other'), 1, 'adopted once: a refused retry takes nothing over');
}

#
# A recorded decline
#
for my $end (qw(COMMIT ROLLBACK))
{
	my $id = "declined-$end";
	my $requests = requests();
	my %no = (token => 'tok_decline_insufficient_funds');
	$one->run('BEGIN');
	my $p = pay($one, 'process', $id, %no);
	$one->run($end);
	my $q = pay($two, 'process', $id, %no);
	is("$p->{status} $p->{error} $p->{replayed}", 'declined insufficient_funds f', "declined, $end");
	is("$q->{status} $q->{error} $q->{replayed} $q->{attempt}", "declined insufficient_funds t $p->{attempt}", "declined, $end: replayed");
	$q = pay($two, 'process', $id, %no, on_failure => 'raise');
	is($two->state, 'PW402', "declined, $end: replayed as an error");
	$q = pay($two, 'submit', $id, %no);
	is("$q->{status} $q->{error} $q->{replayed}", 'declined insufficient_funds t', "declined, $end: replayed to submit");
	is(requests() - $requests, 1, "declined, $end: one request");
	is(events($node, $id), $DECLINE_FLOW, "declined, $end: its events");
	is($look->query("SELECT status FROM pgw.payments WHERE client_request_id = '$id'"), 'declined', "declined, $end: its row");
}
{
	my %no = (token => 'tok_decline_do_not_honor');
	my $requests = requests();
	$one->run('BEGIN');
	my $p = pay($one, 'process', 'declined-then-submit', %no);
	$one->run('ROLLBACK');
	pay($two, 'submit', 'declined-then-submit', %no);
	is($two->run("SELECT w.status, w.error_code FROM pgw.find_payment('declined-then-submit') f, pgw.wait_for_payment(f.payment_id, '20s') w"),
		'declined|do_not_honor', 'declined and rolled back, then submitted: declined');
	is(requests() - $requests, 1, 'declined and rolled back, then submitted: one request');
}

#
# A retry that comes too late to adopt: it waits until all is given back, and begins anew
#
is_sound($node, $bank, 'tables and ledger agree before compensation is at once');
$node->append_conf('postgresql.conf', "pgw.compensation_delay = 0\n");
$node->reload;
ok(wait_until(sub { $look->query('SHOW pgw.compensation_delay') =~ /^0/ }, 10), 'compensation is at once now');
{
	my %slow = (token => 'tok_refund_pending_done_1500');
	my $attempts = "SELECT string_agg(status::text, ',' ORDER BY transaction_id) FROM pgw.payment_transactions WHERE client_request_id = 'late'";
	$one->run('BEGIN');
	my $p = pay($one, 'process', 'late', %slow);
	$one->run('ROLLBACK');
	ok(wait_until(sub { $look->query($attempts) eq 'Refunding' }, 10), 'the charge is being given back');
	pay($two, 'process', 'late', %slow, timeout => '200 ms');
	is($two->state, 'PW409', 'a retry that does not wait for it: PW409') or diag($two->err);
	$two->run("SET statement_timeout = '150ms'");
	pay($two, 'process', 'late', %slow);
	is($two->state, '57014', 'the wait can be cancelled');
	$two->run('RESET ALL');
	is(scalar(charges('late')), 1, 'so far there is no second charge');
	is($look->query($attempts), 'Refunding', 'still being given back');
	my $q = pay($two, 'process', 'late', %slow);
	is("$q->{status} $q->{replayed}", 'captured f', 'a retry that waits is paid') or diag($two->err);
	isnt($q->{attempt}, $p->{attempt}, 'by a new attempt');
	is($look->query($attempts), 'Refunded,Completed', 'the first is given back, the second stands');
	my ($first, $second) = sort { $a->{created_at_ms} <=> $b->{created_at_ms} } charges('late');
	is("$first->{refunded} of $first->{captured}, $second->{refunded} of $second->{captured}", '1234 of 1234, 0 of 1234', 'so says the ledger');
	isnt($first->{idempotency_key}, $second->{idempotency_key}, 'with a key of its own');
	my ($refund) = grep { $_->{charge} eq $first->{id} } @{ bank_ledger($bank)->{refunds} };
	cmp_ok($second->{created_at_ms}, '>=', $refund->{created_at_ms} + 1500, 'not before the give-back was done');
	is(scalar(grep { $_ eq 'TransactionAdopted' } split /,/, events($node, 'late')), 0, 'nothing was adopted');
	like(events($node, 'late'), qr/^\Q${\ ($ROLLBACK_FLOW =~ s{,RefundCompleted}{}r)}\E,.*RefundCompleted,\Q$SUCCESS_FLOW\E$/, 'the flows, one after the other');
}
{
	# The same for a submit: it is accepted at once, and sent when all is given back.
	my %slow = (token => 'tok_refund_pending_done_700');
	$one->run('BEGIN');
	pay($one, 'process', 'late-submit', %slow);
	$one->run('ROLLBACK');
	ok(wait_until(sub { events($node, 'late-submit') =~ /RefundStarted/ }, 10), 'the charge is being given back');
	is(pay($two, 'submit', 'late-submit', %slow)->{status}, 'pending', 'a submit meanwhile is accepted');
	is($look->query("SELECT w.status FROM pgw.payments p, pgw.wait_for_payment(p.payment_id, '20s') w WHERE p.client_request_id = 'late-submit'"), 'captured', 'and is paid');
	my ($first, $second) = sort { $a->{created_at_ms} <=> $b->{created_at_ms} } charges('late-submit');
	is("$first->{refunded} of $first->{captured}, $second->{refunded} of $second->{captured}", '1234 of 1234, 0 of 1234', 'the first is given back, the second stands');
	my ($refund) = grep { $_->{charge} eq $first->{id} } @{ bank_ledger($bank)->{refunds} };
	cmp_ok($second->{created_at_ms}, '>=', $refund->{created_at_ms} + 700, 'and was not sent before');
}

is_sound($node, $bank, 'tables and ledger agree at the end');
$node->stop('fast');
done_testing();
