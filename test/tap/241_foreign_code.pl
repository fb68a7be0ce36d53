# What users put onto pgw's tables runs in the worker's transactions: never without limit, and never at others' cost.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('foreign', conf => "fsync = off\npgw.retry_base_delay = '100ms'\npgw.compensation_delay = '50ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }
sub submit { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, %a) }

sub health
{
	my ($what) = @_;
	return $node->safe_psql('postgres', "SELECT status, details FROM pgw.health() WHERE check_name = '$what'");
}

# A trigger that does something bad for payments with the reference "bad".
sub install_trigger
{
	my ($body, $kind) = @_;
	$node->safe_psql('postgres', "CREATE OR REPLACE FUNCTION public.bad() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS
		\$\$BEGIN IF NEW.reference = 'bad' THEN $body; END IF; RETURN NULL; END\$\$; DROP TRIGGER IF EXISTS bad ON pgw.payments; $kind");
}
my $deferred = 'CREATE CONSTRAINT TRIGGER bad AFTER UPDATE ON pgw.payments DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.bad()';
my $immediate = 'CREATE TRIGGER bad AFTER UPDATE ON pgw.payments FOR EACH ROW EXECUTE FUNCTION public.bad()';

# A submitted payment meets it in the worker; others must go on meanwhile, and it once the trigger is gone.
sub are_others_paid
{
	my ($id, $name) = @_;
	$node->safe_psql('postgres', submit($id, reference => 'bad'));
	ok(wait_until(sub { health('tables') =~ /warning/ }, 60), "$name: health() tells of it");
	my $began = time;
	is($node->safe_psql('postgres', pay("$id-$_")), 'captured', "$name: payment $_ goes on") for 1 .. 3;
	cmp_ok(time - $began, '<', 30, "$name: in bounded time");
	is($node->safe_psql('postgres', submit("$id-s")), 'pending', "$name: another one is submitted");
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = '$id-s'"), "$name: and is paid");
	my $status = $node->safe_psql('postgres', "SELECT status FROM pgw.payments WHERE client_request_id = '$id'");
	is($status, 'pending', "$name: the item alone is put off");
	$node->safe_psql('postgres', 'DROP TRIGGER bad ON pgw.payments');
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = '$id'"), "$name: and is done when the trigger is gone");
}

part($node, 'deferred', sub {
	install_trigger('PERFORM pg_sleep(3600)', $deferred);
	are_others_paid('deferred', 'a deferred trigger that sleeps');
	is(wait_worker($node, 'postgres'), 1, 'the worker is there');
});

part($node, 'immediate', sub {
	install_trigger('LOOP NULL; END LOOP', $immediate);
	are_others_paid('loop', 'a trigger that never ends');
	# a lock that another session holds
	$node->safe_psql('postgres', 'CREATE TABLE mine (x int); INSERT INTO mine VALUES (1)');
	my $s = PgwSession->new($node);
	$s->query('BEGIN; LOCK TABLE mine');
	install_trigger('UPDATE public.mine SET x = x + 1', $immediate);
	$node->safe_psql('postgres', submit('lock', reference => 'bad'));
	is($node->safe_psql('postgres', pay("lock-$_")), 'captured', "a trigger that waits for a lock: payment $_ goes on") for 1 .. 3;
	ok(wait_until(sub { health('table_locks') =~ /warning/ }, 30), 'health() tells of it');
	$s->query('COMMIT');
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'lock'"), 'and it is done when the lock is gone');
	like(health('tables'), qr/payments\.bad/, 'health() lists the trigger');
	$node->safe_psql('postgres', 'DROP TRIGGER bad ON pgw.payments');
});

# An error of a deferred trigger is the item's, too.
part($node, 'error', sub {
	install_trigger("RAISE 'no'", $deferred);
	$node->safe_psql('postgres', submit('error', reference => 'bad') . '; ' . submit('no error'));
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'no error'"), 'an error of a deferred trigger stops nobody else');
	$node->safe_psql('postgres', 'DROP TRIGGER bad ON pgw.payments');
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'error'"), 'and no longer than it is there');
});

# A caller's intent that cannot be written for a trigger's sake: an error in time, and nothing is sent.
part($node, 'intent', sub {
	$node->safe_psql('postgres', "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN IF NEW.reference = 'bad' THEN PERFORM pg_sleep(3600); END IF; RETURN NEW; END\$\$;
		CREATE TRIGGER slow BEFORE INSERT ON pgw.payment_transactions FOR EACH ROW EXECUTE FUNCTION public.slow()");
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . pay('intent', reference => 'bad'));
	like($err, qr/PW500/, 'an intent that a trigger holds up: an error');
	is(scalar charges_of($node, $bank, 'intent'), 0, 'nothing is charged');
	is($node->safe_psql('postgres', pay('intent-2')), 'captured', 'and others go on');
	$node->safe_psql('postgres', 'DROP TRIGGER slow ON pgw.payment_transactions');
	is($node->safe_psql('postgres', pay('intent', reference => 'bad')), 'captured', 'and it, without the trigger');
});

# What pgw writes is a statement about money: a BEFORE trigger that changes it, or leaves the row out, is an error of the write.
my $rewrite = sub {
	my ($table, $when, $body) = @_;
	$node->safe_psql('postgres', "CREATE OR REPLACE FUNCTION public.rewrite() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN $body END\$\$;
		CREATE TRIGGER rewrite BEFORE $when ON pgw.$table FOR EACH ROW EXECUTE FUNCTION public.rewrite()");
};
my $error = sub {
	my ($sql) = @_;
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET statement_timeout = '20s';\n$sql");
	return $err;
};
my $done = sub { my ($table) = @_; $node->safe_psql('postgres', "DROP TRIGGER rewrite ON pgw.$table") };

part($node, 'amount', sub {
	$rewrite->('payment_transactions', 'INSERT', 'NEW.amount := 999; RETURN NEW;');
	like($error->(submit('amount')), qr/39P01.*column "amount" of a row of pgw\.payment_transactions/s, 'another amount: an error');
	like($error->(pay('amount, now')), qr/PW500/, 'of the worker, too');
	$done->('payment_transactions');
	is(scalar charges_of($node, $bank, $_), 0, "$_: nothing is charged") for 'amount', 'amount, now';
});

part($node, 'rewrites', sub {
	# an id under another name would be looked for and inserted in turn, for ever
	$rewrite->('payments', 'INSERT', 'NEW.client_request_id := lower(NEW.client_request_id); RETURN NEW;');
	for my $f (\&submit, \&pay)
	{
		like($error->($f->('Order-1')), qr/39P01.*changed column "client_request_id" of a row of pgw\.payments.*"rewrite"/s, 'another id: an error that names column and trigger') for 1 .. 2;
	}
	is($node->safe_psql('postgres', submit('order-2')), 'pending', 'an id that stays as it is: accepted');
	$done->('payments');
	$rewrite->('payments', 'INSERT', "NEW.merchant := 'other'; RETURN NEW;");
	like($error->(submit('merchant')), qr/39P01.*column "merchant"/s, 'another merchant: an error');
	$done->('payments');
	$rewrite->('payments', 'INSERT', 'RETURN NULL;');
	like($error->(pay('left out')), qr/39P01.*left out a row of pgw\.payments/s, 'no row: an error');
	$done->('payments');
	$rewrite->('payment_transactions', 'INSERT', 'RETURN NULL;');
	like($error->(pay('no attempt')), qr/PW500/, 'no attempt: an error');
	$done->('payment_transactions');
	$rewrite->('transaction_events', 'INSERT', 'RETURN NULL;');
	like($error->(submit('no event')), qr/39P01.*left out a row of pgw\.transaction_events/s, 'no event: an error');
	$done->('transaction_events');
	$rewrite->('transaction_events', 'INSERT', "NEW.error_details := 'none'; RETURN NEW;");
	like($error->(submit('other event')), qr/39P01.*changed column "error_details" of a row of pgw\.transaction_events.*"rewrite"/s, 'another event: an error');
	like($error->(pay('other event, now')), qr/PW500/, 'of the worker, too');
	$done->('transaction_events');
	$rewrite->('transaction_events', 'INSERT', 'RETURN NEW;');
	is($node->safe_psql('postgres', pay('same event')), 'captured', 'a trigger that leaves events as they are');
	$done->('transaction_events');
	$node->safe_psql('postgres', 'CREATE RULE no_events AS ON INSERT TO pgw.transaction_events DO INSTEAD NOTHING');
	like($error->(submit('a rule')), qr/39P01.*left out a row of pgw\.transaction_events/s, 'no event, by a rule: an error');
	$node->safe_psql('postgres', 'DROP RULE no_events ON pgw.transaction_events');
	is($node->safe_psql('postgres', "SELECT count(*) FROM pgw.payments WHERE client_request_id IN ('Order-1', 'order-1', 'merchant', 'left out', 'no attempt', 'no event', 'other event', 'other event, now', 'a rule')"), 0, 'nothing is recorded of any of them');
	is(scalar charges_of($node, $bank, $_), 0, "$_: nor charged") for 'no attempt', 'other event, now';

	# an outcome that cannot be written: the charge is given back
	$rewrite->('payments', 'UPDATE', 'NEW.captured_amount := 0; RETURN NEW;');
	like($error->(pay('lower')), qr/39P01.*column "captured_amount"/s, 'another amount in the outcome: an error');
	$done->('payments');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgw.payment_transactions WHERE client_request_id = 'lower' AND status = 'Refunded'"), 'and the charge is given back');

	# a submitted one waits for the trigger to go
	$rewrite->('payments', 'UPDATE', 'RETURN NULL;');
	is($node->safe_psql('postgres', submit('waits')), 'pending', 'a submitted payment whose outcome a trigger leaves out');
	ok($node->poll_query_until('postgres', "SELECT status = 'BankApproved' OR step_order >= 2 FROM pgw.payment_transactions WHERE client_request_id = 'waits'"), 'is charged');
	$done->('payments');
	ok($node->poll_query_until('postgres', "SELECT status = 'captured' FROM pgw.payments WHERE client_request_id = 'waits'"), 'and says so once the trigger is gone');

	# columns of their own are theirs
	$node->safe_psql('postgres', 'ALTER TABLE pgw.payments ADD COLUMN branch text');
	$rewrite->('payments', 'INSERT OR UPDATE', "NEW.branch := 'north'; RETURN NEW;");
	is($node->safe_psql('postgres', pay('branch')), 'captured', 'a trigger that sets a column of its own');
	is($node->safe_psql('postgres', "SELECT branch, captured_amount FROM pgw.payments WHERE client_request_id = 'branch'"), 'north|1234', 'does so');
	$done->('payments');
	$node->safe_psql('postgres', 'ALTER TABLE pgw.payments DROP COLUMN branch');

	# and of events, which are written by statements: a column with a default, and a rule that keeps copies
	$node->safe_psql('postgres', "ALTER TABLE pgw.transaction_events ADD COLUMN place text DEFAULT 'north'; CREATE TABLE public.copies (id uuid, step int);
		CREATE RULE copy AS ON INSERT TO pgw.transaction_events DO ALSO INSERT INTO public.copies VALUES (NEW.transaction_id, NEW.step_order)");
	is($node->safe_psql('postgres', pay('copied')), 'captured', 'a payment whose events have a column more and a rule');
	is($node->safe_psql('postgres', "SELECT count(*), count(*) FILTER (WHERE e.place = 'north'), count(c.id) FROM pgw.payment_transactions t
		JOIN pgw.transaction_events e USING (transaction_id) LEFT JOIN public.copies c ON c.id = e.transaction_id AND c.step = e.step_order
		WHERE t.client_request_id = 'copied'"), '6|6|6', 'has its six events, each with both');
	$node->safe_psql('postgres', 'DROP RULE copy ON pgw.transaction_events; ALTER TABLE pgw.transaction_events DROP COLUMN place; DROP TABLE public.copies');
});

# A unique index of others that holds more ids to be the same than pgw's own does: an error that names it, at once.
part($node, 'index', sub {
	$node->safe_psql('postgres', "CREATE COLLATION public.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		CREATE UNIQUE INDEX any_case ON pgw.payments (client_request_id COLLATE public.any_case, merchant)");
	is($node->safe_psql('postgres', pay('Index-1')), 'captured', 'an index that ignores case: a payment');
	is($node->safe_psql('postgres', pay('Index-1')), 'captured', 'its repeat');
	for my $f (\&submit, \&pay)
	{
		like($error->($f->('index-1')), qr/23505.*"any_case"/s, 'an id that differs by case: the error names the index');
	}
	is(scalar charges_of($node, $bank, 'index-1'), 0, 'nothing is charged');
	$node->safe_psql('postgres', 'DROP INDEX pgw.any_case');
	is($node->safe_psql('postgres', pay('index-1')), 'captured', 'and without the index it is a payment of its own');
});

# pg_cancel_backend() on the worker loses nothing, whenever it comes.
part($node, 'cancel', sub {
	my @s = map { PgwSession->new($node) } 1 .. 4;
	my $n = 0;
	my $cancels = 0;
	my %state;
	$_->send(pay('c' . ++$n)) for @s;
	while ($n < 400)
	{
		$cancels += $node->safe_psql('postgres', "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
		for my $s (PgwSession::wait_any(0.01, @s)) { $state{ $s->state }++; $s->send(pay('c' . ++$n)) }
	}
	for (@s) { $_->wait; $state{ $_->state }++ }
	cmp_ok($cancels, '>', 10, 'the worker was cancelled again and again');
	is(join(',', sort keys %state), '00000', 'and no caller noticed') or diag(explain(\%state));
});

is_sound($node, $bank, 'sound after all that', seconds => 60);
$node->stop('fast');
done_testing();
