# One id, one call after the other, in one transaction or in the next, when the first was rolled back, cancelled, declined or has lost its client: the
# bank is asked once; a call again replays, or takes over what is there, and is refused when it asks for something else.
use strict;
use warnings;
use lib 'test/lib';
use PgwDuplicates;
use PgwSession;
use PgwTest;
use Test::More;

my $node = pgw_node('calls_again', conf => "pgw.compensation_delay = '60s'\npgw.retry_base_delay = '50ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my ($one, $two, $look) = map { PgwSession->new($node, name => $_) } qw(one two look);

# ---------------------------------------------------------------- one transaction

{
	my $requests = charge_requests($bank);
	my @columns = split /\|/, $one->run('SELECT (' . pay_sql('process_payment', client_request_id => 'columns', reference => 'columns') . ').*'), -1;
	is($columns[3], 'captured', 'SELECT (pgw.process_payment(...)).* calls the function once per column');
	is_paid_once($node, $bank, 'columns', $requests, 'once per column');
	is(events($node, 'columns'), $SUCCESS_FLOW, 'once per column: one attempt');

	for my $mix ([qw(process process)], [qw(process submit)], [qw(submit process)], [qw(submit submit)])
	{
		my ($first, $second) = @$mix;
		my $id = "again-$first-$second";
		$requests = charge_requests($bank);
		$one->run('BEGIN; SAVEPOINT s');
		my $p = call($one, $first, $id);
		$one->run('ROLLBACK TO s');
		my $q = call($one, $second, $id);
		is("$q->{status} $q->{replayed}", $second eq 'process' ? 'captured f' : 'pending f', "savepoint, $first then $second: called again") or diag($one->err);
		$one->run('COMMIT');
		is_paid_once($node, $bank, $id, $requests, "savepoint, $first then $second");
		is(adoptions($node, $id), $first eq 'process' ? 1 : 0, "savepoint, $first then $second: " . ($first eq 'process' ? 'adopted' : 'nothing to adopt'));
	}
	is(events($node, 'again-process-process'), $ADOPTED_FLOW, 'savepoint: the events of an adopted retry');

	$requests = charge_requests($bank);
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
	is_paid_once($node, $bank, 'block', $requests, 'PL/pgSQL block');
	is(adoptions($node, 'block'), 2, 'PL/pgSQL block: adopted twice');

	$requests = charge_requests($bank);
	$one->run('BEGIN; SAVEPOINT s');
	call($one, 'process', 'chain');
	$one->run('ROLLBACK TO s');
	call($one, 'process', 'chain');
	$one->run('ROLLBACK');
	my $c = call($two, 'process', 'chain');
	is("$c->{status} $c->{replayed}", 'captured f', 'savepoint, then the whole transaction, then another session');
	is_paid_once($node, $bank, 'chain', $requests, 'chain');
	is(adoptions($node, 'chain'), 2, 'chain: two adoptions');

	my $before = charge_requests($bank);
	$one->run("BEGIN; SELECT count(pgw.submit_payment('lot-' || n, 100, 'EUR', 'tok_ok')) FROM generate_series(1, 50000) n");
	is($one->state, '00000', '50,000 submits fit in one transaction') or diag($one->err);
	$one->run('ROLLBACK');
	is(charge_requests($bank), $before, 'and the bank never hears of them after a rollback');
}

# ---------------------------------------------------------------- adopted in whatever state

{
	# The bank is being called: the caller is cancelled, and comes again.
	my $requests = charge_requests($bank);
	$one->send(call_sql('process', 'called', token => 'tok_slow_700'));
	ok(wait_until(sub { charges_by_reference($bank, 'called') }, 10), 'the bank is being called');
	$look->query('SELECT pg_cancel_backend(' . $one->backend . ')');
	$one->wait;
	is($one->state, '57014', 'the caller is cancelled');
	my $q = call($two, 'process', 'called', token => 'tok_slow_700');
	is("$q->{status} $q->{replayed}", 'captured f', 'a retry meanwhile gets the answer of that very call') or diag($two->err);
	is_paid_once($node, $bank, 'called', $requests, 'adopted while called');
	is(events($node, 'called'), 'TransactionStarted,BankProcessingStarted,TransactionAdopted,BankProcessingCompleted,PaymentDataSaveStarted,PaymentDataSaveCompleted,TransactionCompleted',
		'adopted while called: its events');

	# Not known yet: the bank has not decided.
	$requests = charge_requests($bank);
	$one->run('BEGIN');
	my $p = call($one, 'process', 'undecided', token => 'tok_charge_pending_done_3000', timeout => '1s');
	is("$p->{status} $p->{error}", 'pending bank_pending', 'the bank has not decided yet');
	$one->run('ROLLBACK');
	$q = call($two, 'process', 'undecided', token => 'tok_charge_pending_done_3000');
	is($two->state, '00000', 'its retry has an answer') or diag($two->err);
	is("$q->{status} $q->{attempt}", "captured $p->{attempt}", 'that of the same attempt, once the bank has decided');
	is_paid_once($node, $bank, 'undecided', $requests, 'adopted while undecided');
	is(adoptions($node, 'undecided'), 1, 'adopted while undecided: one adoption');

	# A card: the retry brings it again; another one is another payment.
	$requests = charge_requests($bank);
	my %card = (token => undef, card_number => $CARD, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => '123');
	$one->run('BEGIN');
	call($one, 'process', 'card', %card);
	$one->run('ROLLBACK');
	call($two, 'process', 'card', %card, card_number => join('', '4111', '1111' x 3));
	is($two->state, 'PW422', 'a retry with another card is refused');
	like($two->err, qr/"fields": \["card_number"\]/, 'and names the field');
	$q = call($two, 'process', 'card', %card, card_cvv => '321');
	is("$q->{status} $q->{replayed}", 'captured f', 'with the same card it adopts') or diag($two->err);
	is_paid_once($node, $bank, 'card', $requests, 'card');
}

# ---------------------------------------------------------------- the connection is lost, and the client calls again

{
	my $requests = charge_requests($bank);
	my $lost = PgwSession->new($node, name => 'lost');
	$lost->send(call_sql('process', 'lost', token => 'tok_slow_700'));
	ok(wait_until(sub { charges_by_reference($bank, 'lost') }, 10), 'the bank is being called');
	$lost->lose;
	$two->send(call_sql('process', 'lost', token => 'tok_slow_700'));
	is_waiting_for($node, $two, $lost, 'lost during the call: the same call again waits for the first, which goes on without its client');
	my $q = answer($two);
	is("$q->{status} $q->{replayed}", 'captured t', 'and gets its payment');
	is_paid_once($node, $bank, 'lost', $requests, 'lost during the call');

	$requests = charge_requests($bank);
	$lost = PgwSession->new($node, name => 'lost');
	my $p = call($lost, 'process', 'lost-after');
	$lost->lose;
	$q = call($two, 'process', 'lost-after');
	is("$q->{replayed} $q->{payment}", "t $p->{payment}", 'lost right after it: the payment is replayed');
	is_paid_once($node, $bank, 'lost-after', $requests, 'lost right after the call');

	$requests = charge_requests($bank);
	$lost = PgwSession->new($node, name => 'lost');
	$lost->send(call_sql('process', 'terminated', token => 'tok_slow_700'));
	ok(wait_until(sub { charges_by_reference($bank, 'terminated') }, 10), 'the bank is being called');
	$look->query('SELECT pg_terminate_backend(' . $lost->backend . ')');
	$lost->wait;
	is($lost->state, '08006', 'the server process is terminated');
	$q = call($two, 'process', 'terminated', token => 'tok_slow_700');
	is("$q->{status} $q->{replayed}", 'captured f', 'then the same call again adopts');
	is_paid_once($node, $bank, 'terminated', $requests, 'terminated during the call');
}

# ---------------------------------------------------------------- a retry that is not the same request

{
	$one->run('BEGIN');
	call($one, 'process', 'other');
	$one->run('ROLLBACK');
	my $requests = charge_requests($bank);
	for my $try ([ 'amount', amount => 999 ], [ 'currency', currency => 'USD' ], [ 'token', token => 'tok_slow_1' ], [ 'capture', capture => 'manual' ],
		[ 'bank', bank => 'bank' ], [ 'reference', reference => 'elsewhere' ], [ 'amount", "currency', amount => 999, currency => 'USD' ])
	{
		my ($fields, @changed) = @$try;
		call($two, 'process', 'other', @changed);
		is($two->state, 'PW422', "other $fields than the live attempt's");
		like($two->err, qr/"fields": \["\Q$fields\E"\]/, "names \"$fields\"");
	}
	is(charge_requests($bank), $requests, 'and the bank hears nothing of it');
	my $q = call($two, 'process', 'other', metadata => '{"try": 2}', timeout => '20 s');
	is("$q->{status} $q->{replayed}", 'captured f', 'what is not compared may differ');
	is(scalar(charges_by_reference($bank, 'other')), 1, 'one charge');
	is(adoptions($node, 'other'), 1, 'adopted once: a refused retry takes nothing over');
}

# ---------------------------------------------------------------- a recorded decline

for my $end (qw(COMMIT ROLLBACK))
{
	my $id = "declined-$end";
	my $requests = charge_requests($bank);
	my %declined = (token => 'tok_decline_insufficient_funds');
	$one->run('BEGIN');
	my $p = call($one, 'process', $id, %declined);
	$one->run($end);
	my $q = call($two, 'process', $id, %declined);
	is("$p->{status} $p->{error} $p->{replayed}", 'declined insufficient_funds f', "declined, $end");
	is("$q->{status} $q->{error} $q->{replayed} $q->{attempt}", "declined insufficient_funds t $p->{attempt}", "declined, $end: replayed");
	$q = call($two, 'process', $id, %declined, on_failure => 'raise');
	is($two->state, 'PW402', "declined, $end: replayed as an error");
	$q = call($two, 'submit', $id, %declined);
	is("$q->{status} $q->{error} $q->{replayed}", 'declined insufficient_funds t', "declined, $end: replayed to submit");
	is(charge_requests($bank) - $requests, 1, "declined, $end: one request");
	is(events($node, $id), $DECLINE_FLOW, "declined, $end: its events");
	is($look->query("SELECT status FROM pgw.payments WHERE client_request_id = '$id'"), 'declined', "declined, $end: its row");
}
{
	my %declined = (token => 'tok_decline_do_not_honor');
	my $requests = charge_requests($bank);
	$one->run('BEGIN');
	my $p = call($one, 'process', 'declined-then-submit', %declined);
	$one->run('ROLLBACK');
	call($two, 'submit', 'declined-then-submit', %declined);
	is($two->run("SELECT w.status, w.error_code FROM pgw.find_payment('declined-then-submit') f, pgw.wait_for_payment(f.payment_id, '20s') w"),
		'declined|do_not_honor', 'declined and rolled back, then submitted: declined');
	is(charge_requests($bank) - $requests, 1, 'declined and rolled back, then submitted: one request');
}

is_sound($node, $bank, 'tables and ledger agree at the end');
$node->stop('fast');
done_testing();
