# A method that is final after hours or days is an ordinary payment that is pending: it has a deadline of its own, is counted, and the vote that stands in
# the end decides.
use strict;
use warnings;
use lib 'test/lib';
use PgwSession;
use PgwTest;
use Test::More;

# what is only in doubt goes to a person at once
my $node = pgw_node('pending', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\npgw.unknown_deadline = '1s'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, timeout => '1s', %a) }
sub attempt { return sql("SELECT string_agg(status::text, ',') FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }

sql("INSERT INTO pgw.connectors (name, definition) SELECT 'days', jsonb_set(definition::jsonb, '{capabilities,pending_deadline_seconds}', '432000') FROM pgw.connectors WHERE name = 'json';
	INSERT INTO pgw.connectors (name, definition) SELECT 'days_once', definition::jsonb #- '{capabilities,idempotency}' FROM pgw.connectors WHERE name = 'days';
	INSERT INTO pgw.banks (name, connector, base_url, secret, priority)
	SELECT c, c, '$bank->{url}', 'bank', 900 FROM unnest('{days,days_once}'::text[]) c");

part($node, 'final after a while', sub {
	is(sql(pay('a', bank => 'days', token => 'tok_charge_pending_done_6000')), 'pending', 'pending');
	is(sql(pay('b', bank => 'days', token => 'tok_charge_pending_fail_6000')), 'pending', 'another one');
	is(sql("SELECT status || ' ' || (details->>'count') FROM pgw.health() WHERE check_name = 'pending'"), 'ok 2', 'health() counts them');
	is(sql("SELECT details->>'count' FROM pgw.health() WHERE check_name = 'in_doubt'"), 0, 'which are in no doubt');
	ok(wait_until(sub { attempt('a') ne 'BankUnknown' && attempt('b') ne 'BankUnknown' }, 60), 'both are decided');
	is(attempt('a') . ' ' . attempt('b'), 'Completed Failed', 'as the bank has decided, long after what is in doubt is given to a person');
	is(sql("SELECT string_agg(client_request_id || ' ' || status, ', ' ORDER BY client_request_id) FROM pgw.payments"), 'a captured, b declined', 'and the payments say so');
	is_sound($node, $bank, 'sound');
});

# One look-up without an answer would make it any other doubt, whose deadline is long over.
part($node, 'a look-up that is not answered', sub {
	is(sql(pay('u', bank => 'days', token => 'tok_charge_pending_done_6000')), 'pending', 'pending');
	bank_control($bank, 'faults', { probabilities => { '503' => 1 }, operations => ['lookup'], times => 2 });
	ok(wait_until(sub { attempt('u') ne 'BankUnknown' }, 60), 'it is decided');
	is(attempt('u'), 'Completed', 'as the bank has decided');
	is(sql("SELECT count(*) >= 1 FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE t.client_request_id = 'u' AND e.event_type = 'BankStatusChecked'"), 't', 'though look-ups were not answered');
	bank_control($bank, 'faults', { probabilities => {} });
	is_sound($node, $bank, 'sound');
});

# The bank knew the charge: that a replica does not show it for once, long after such an answer counts of others, does not make it one that never was.
# (With a key the same request would be sent again, which is harmless; without one it would have failed.)
part($node, 'a look-up that does not find it', sub {
	is(sql(pay('n', bank => 'days_once', token => 'tok_charge_pending_done_6000')), 'pending', 'pending');
	bank_control($bank, 'settings', { lookup_lag_ms => 3600000 });
	ok(wait_until(sub { attempt('n') ne 'BankUnknown' || sql("SELECT count(*) >= 2 FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE t.client_request_id = 'n' AND e.event_type = 'BankStatusChecked' AND e.occurred_at > t.created_at + interval '3 s'") eq 't' }, 60), 'it is not found, when that would count');
	is(attempt('n'), 'BankUnknown', 'and is pending still');
	my $looks = "SELECT count(*) FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = 'n' AND e.event_type = 'BankStatusChecked'";
	my $before = sql($looks);
	ok(never(sub { sql($looks) > $before + 12 }, 3), 'looked for at a distance, and not all of the time');
	bank_control($bank, 'settings', { lookup_lag_ms => 0 });
	ok(wait_until(sub { attempt('n') ne 'BankUnknown' }, 60), 'it is decided');
	is(attempt('n'), 'Completed', 'as the bank has decided');
	is_sound($node, $bank, 'sound');
});

part($node, 'the vote is gone', sub {
	my $s = PgwSession->new($node);
	$s->run('BEGIN');
	is($s->run(pay('g', bank => 'days', token => 'tok_charge_pending_done_4000')), 'pending', 'pending in a transaction');
	$s->run('ROLLBACK');
	ok(comes_to($node, 'g', 'Refunded', 60), 'that is rolled back: given back, once the bank has taken it');
	is(scalar kept_charges($node, $bank, 'g'), 0, 'at the bank, too');
	is_sound($node, $bank, 'the vote is gone: sound');
});

$node->stop('fast');
done_testing();
