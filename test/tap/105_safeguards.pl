# Situations in which a single safeguard decides: each must be there (make mutants takes them away, one at a time).
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('safeguards', debug => 1, conf => "restart_after_crash = on\nfsync = off\n"
	  . "pgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my $form = slurp_file('test/connectors/formbank.json');

# More dialects of the same bank: one whose look-ups count after a second, one that cannot be asked, one that knows no keys either.
$node->safe_psql('postgres', <<"SQL");
INSERT INTO pgw.connectors (name, definition)
	SELECT 'quick', jsonb_set(definition::jsonb || '{"name": "quick"}', '{capabilities,lookup_consistent_after_seconds}', '1') FROM pgw.connectors WHERE name = 'json'
	UNION ALL
	SELECT 'blind', jsonb_set(definition::jsonb || '{"name": "blind"}', '{capabilities,lookup_consistent_after_seconds}', 'null')
		#- '{operations,lookup_charge}' #- '{operations,lookup_refund}' #- '{operations,cancel}' FROM pgw.connectors WHERE name = 'json'
	UNION ALL
	SELECT 'forgets', jsonb_set(definition::jsonb || '{"name": "forgets"}', '{capabilities,idempotency}', '{"header": "Idempotency-Key", "lifetime_seconds": 86400, "remembers": "2xx"}')
		FROM pgw.connectors WHERE name = 'json'
	UNION ALL
	SELECT 'formbank', \$json\$$form\$json\$;
INSERT INTO pgw.banks (name, connector, base_url, secret, priority, request_timeout) VALUES
	('quick', 'quick', '$bank->{url}', 'bank', 201, '30s'),
	('blind', 'blind', '$bank->{url}', 'bank', 202, '300ms'),
	('form', 'formbank', '$bank->{url}', 'bank', 203, '30s'),
	('forgets', 'forgets', '$bank->{url}', 'bank', 204, '30s');
SQL

sub payment_call { my ($id, %a) = @_; return pay_sql('process_payment', client_request_id => $id, %a) }
sub pay { return 'SELECT status FROM ' . payment_call(@_) }
sub pay_by_card
{
	my ($id, $of) = @_;
	return "SELECT status FROM pgw.process_payment('$id', 1234, 'EUR', card_number => spelt('visa'), card_expiry_month => 12, card_expiry_year => 2039, bank => '$of')";
}

sub payment_status
{
	my ($id) = @_;
	return $node->safe_psql('postgres', "SELECT status FROM pgw.payments WHERE client_request_id = '$id'");
}

sub terminate_worker
{
	$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
}

# ---------------------------------------------------------------- the caller's decision: first the xid, then the row

# The caller commits exactly between the two looks, if the worker dares to look at the row while the caller still runs.  Without a delay
# there is no second look.
part($node, 'xid before row', sub {
	change_settings($node, 'pgw.compensation_delay' => '0');
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . pay('vote', token => 'tok_slow_2500', timeout => '1s'));
	debug_arm($node, 'caller_decision', 'stop');
	ok($node->poll_query_until('postgres', "SELECT status = 'BankApproved' FROM pgw.payment_transactions WHERE client_request_id = 'vote'"), 'approved, undecided');
	my $probe = PgwSession->new($node)->send(pay('vote probe'));
	wait_until(sub { $probe->done || -s $node->debug_dir . '/caller_decision.pid' }, 20);
	$s->run('COMMIT');
	debug_release($node, 'caller_decision');
	is($probe->wait, 'captured', 'the worker goes on');
	is_sound($node, $bank, 'committed while the worker looks: sound');
	is(payment_status('vote'), 'captured', 'committed while the worker looks: kept');
	is(scalar refunds_of($bank, charges_of($node, $bank, 'vote')), 0, 'committed while the worker looks: nothing given back');
	change_settings($node, 'pgw.compensation_delay' => '50ms');
});

# ---------------------------------------------------------------- no trusted answer is no "no"

part($node, 'unknown', sub {
	my @faults = qw(500_after reset_after close_headers truncated not_json empty);
	my @s = map { PgwSession->new($node)->send(pay("unknown $_", token => "tok_$_")) } @faults;
	$_->wait for @s;
	is_sound($node, $bank, 'answers that say nothing: sound');
	is(join(',', map { payment_status("unknown $_") } @faults), join(',', map { 'captured' } @faults), 'answers that say nothing: looked up, and paid');
	is(join(',', map { scalar charges_of($node, $bank, "unknown $_") } @faults), '1,1,1,1,1,1', 'answers that say nothing: once');
});

# ---------------------------------------------------------------- an approval of something else is none

part($node, 'amount', sub {
	for my $fault ('wrong_amount', 'wrong_currency')
	{
		is($node->safe_psql('postgres', pay($fault, token => "tok_$fault")), 'failed', "$fault: not paid");
		is_sound($node, $bank, "$fault: sound");
		is(events($node, $fault), 'TransactionStarted,BankProcessingStarted,BankOutcomeUnacceptable,CompensationStarted,RefundStarted,RefundCompleted', "$fault: exactly its events");
		is(charges_of($node, $bank, $fault) . ' ' . kept_charges($node, $bank, $fault), '1 0', "$fault: given back");
	}
});

# ---------------------------------------------------------------- a look-up's "not found" may be too early

# The bank takes the request at once and works only later.  The worker that sent it is gone, the card with it.
sub charge_answered_late
{
	my ($id, $of, $ms) = @_;
	bank_control($bank, 'faults', { probabilities => { "late_$ms" => 1 }, operations => ['charge'] });
	my $s = PgwSession->new($node)->send(pay_by_card($id, $of));
	wait_until(sub { grep { $_->{operation} eq 'charge' && !$_->{finished} } @{ bank_log($bank) } }, 10) or die 'the bank was not called';
	bank_control($bank, 'faults', { probabilities => {} });
	terminate_worker();
	is($s->wait, 'pending', "$id: its caller does not know");
}
part($node, 'not found yet', sub {
	charge_answered_late('early', 'bank', 1500);
	is_sound($node, $bank, 'looked up too early: sound');
	is(payment_status('early'), 'captured', 'looked up too early: asked again, and paid');
	is(scalar charges_of($node, $bank, 'early'), 1, 'looked up too early: once');
});
part($node, 'late success', sub {
	$node->restart;
	charge_answered_late('late', 'quick', 4000);
	ok($node->poll_query_until('postgres', "SELECT status = 'Failed' FROM pgw.payment_transactions WHERE client_request_id = 'late'"), 'not found for long enough: Failed');
	is(scalar charges_of($node, $bank, 'late'), 0, 'nothing is charged by then');
	ok(wait_until(sub { charges_of($node, $bank, 'late') }, 10), 'but then the charge turns up');
	ok(wait_until(sub { status_of($node, 'late') eq 'Refunded' }, 15), 'and is noticed');
	is_sound($node, $bank, 'charged late: sound');
	like(events($node, 'late'), qr/BankProcessingFailed,TransactionFailed,LateApprovalReceived,CompensationStarted,RefundStarted,RefundCompleted$/, 'charged late: its events');
	is(payment_status('late'), 'failed', 'charged late: the payment stays failed');
});

# ---------------------------------------------------------------- the same key for the same thing

part($node, 'replay', sub {
	$node->safe_psql('postgres', pay('replay', bank => 'blind', token => 'tok_timeout_after'));
	is_sound($node, $bank, 'a bank that can only be asked again: sound', seconds => 15);
	is(payment_status('replay'), 'captured', 'a bank that can only be asked again: paid');
	my ($ref) = split /\n/, $node->safe_psql('postgres', "SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE client_request_id = 'replay'");
	my @sent = grep { $_->{operation} eq 'charge' && $_->{reference} eq $ref } @{ bank_log($bank) };
	cmp_ok(scalar @sent, '>=', 2, 'a bank that can only be asked again: asked again');
	is(scalar(grep { $_->{idempotency_key} ne $ref } @sent), 0, 'with the same key');
	is(scalar charges_of($node, $bank, 'replay'), 1, 'one charge');
});
part($node, 'replay of a give-back', sub {
	PgwSession->new($node)->run('BEGIN; ' . pay('again', bank => 'blind', token => 'tok_refund_timeout_after') . '; ROLLBACK');
	is_sound($node, $bank, 'a refund in doubt at such a bank: sound', seconds => 15);
	is(status_of($node, 'again'), 'Refunded', 'a refund in doubt at such a bank: given back');
	my ($charge) = charges_of($node, $bank, 'again');
	my @sent = grep { $_->{operation} eq 'refund' && $_->{path} =~ /\Q$charge->{id}\E/ } @{ bank_log($bank, 5000) };
	cmp_ok(scalar @sent, '>=', 2, 'a refund in doubt at such a bank: sent again');
	my %keys = map { $_->{idempotency_key} => 1 } @sent;
	is(scalar keys %keys, 1, 'with the same key');
	is(scalar refunds_of($bank, $charge), 1, 'one refund');
});

# A refund that a caller asked for, at the same bank
part($node, 'replay of a refund', sub {
	$node->safe_psql('postgres', pay('part', bank => 'blind', token => 'tok_refund_timeout_after'));
	my $asked = "SELECT o.transaction_status FROM pgw.find_payment('part') f, pgw.refund_payment(f.payment_id, 'part-r', 200) o";
	is($node->safe_psql('postgres', $asked), 'Created', 'a refund is asked for');
	is_sound($node, $bank, 'one in doubt that can only be sent again: sound', seconds => 15);
	is($node->safe_psql('postgres', $asked), 'Completed', 'it is done');
	is(scalar refunds_of($bank, charges_of($node, $bank, 'part')), 1, 'once');
});

# Two refunds race for what is left
part($node, 'claim of a refund', sub {
	$node->safe_psql('postgres', pay('left', token => 'tok_refund_pending_done_700'));
	my $refund = sub { my ($id) = @_; return "SELECT o.transaction_status FROM pgw.find_payment('left') f, pgw.refund_payment(f.payment_id, '$id', 1000) o" };
	is($node->safe_psql('postgres', $refund->('left-1')), 'Created', 'a refund of nearly all of it');
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . $refund->('left-2'));
	like($err, qr/PW422.*amount_exceeds_remaining/s, 'while it is under way there is not enough left for another');
	is_sound($node, $bank, 'two refunds for the same money: sound', seconds => 15);
	is(scalar refunds_of($bank, charges_of($node, $bank, 'left')), 1, 'one refund');
});

# The authorization is captured after the commit, and not before
part($node, 'capture after the commit', sub {
	my $s = PgwSession->new($node);
	$s->run('BEGIN; ' . pay('before', capture => 'on_commit') . '; ROLLBACK');
	is_sound($node, $bank, 'rolled back: sound', seconds => 15);
	my ($charge) = charges_of($node, $bank, 'before');
	is($charge->{captured}, 0, 'no money has moved');
	ok($charge->{voided}, 'and the authorization is voided');
});

# ---------------------------------------------------------------- libcurl sends again by itself on a connection that was kept

part($node, 'resend', sub {
	is($node->safe_psql('postgres', pay('warm up', bank => 'form')), 'captured', 'a connection that could be kept');
	is($node->safe_psql('postgres', pay('reset', bank => 'form', token => 'tok_reset_after')), 'in_review', 'and one that is reset after the charge');
	is_sound($node, $bank, 'reset by a bank without keys: sound, but for one review', reviews => 1);
	is(scalar charges_of($node, $bank, 'reset'), 1, 'reset by a bank without keys: one charge');
	is(status_of($node, 'reset'), 'RequiresManualReview', 'reset by a bank without keys: a person has to look');
});

# What such a bank did the first time it may do once more, or decline: so a request is never on its way twice without a look in between.
part($node, 'resend of what is forgotten', sub {
	my $requests = sub { bank_ledger($bank)->{requests_by_operation}{charge} // 0 };
	is($node->safe_psql('postgres', pay('warm forgets', bank => 'forgets')), 'captured', 'a connection that could be kept');
	my $before = $requests->();
	is($node->safe_psql('postgres', pay('forgotten', bank => 'forgets', token => 'tok_reset_after')), 'captured', 'and one that is reset after the charge: looked up');
	is($requests->(), $before + 1, 'the bank was asked for it once');
	is(scalar charges_of($node, $bank, 'forgotten'), 1, 'one charge');
});

# ---------------------------------------------------------------- a copied database

# With a payment in doubt, whose look-ups fail for now, and an approval whose caller has rolled back: in the copy, whose xids mean nothing, nobody
# can tell that it has.
part($node, 'copy', sub {
	my $all = "SELECT client_request_id, status, step_order FROM pgw.payment_transactions WHERE client_request_id <> 'new' ORDER BY 1";
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
	pgw_setup($node, $bank, db => 'shop');
	change_settings($node, 'pgw.compensation_delay' => '1min');
	bank_control($bank, 'settings', { lookup => JSON::PP::false });
	$node->safe_psql('shop', pay('doubt', token => 'tok_500_after', timeout => '1s'));
	$node->safe_psql('shop', 'BEGIN; ' . pay('left') . '; ROLLBACK');
	ok($node->poll_query_until('shop', "SELECT string_agg(status::text, ',' ORDER BY client_request_id) = 'BankUnknown,BankApproved' FROM pgw.payment_transactions"),
		'two attempts are open in a database');
	$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE shop');
	$node->safe_psql('postgres', 'DROP DATABASE shop');
	change_settings($node, 'pgw.compensation_delay' => '50ms');
	my $requests = bank_ledger($bank)->{requests};
	my $open = $node->safe_psql('copy', $all);
	wait_worker($node, 'copy');
	ok(never(sub { bank_ledger($bank)->{requests} > $requests }, 1.5), 'the worker of its copy asks the bank nothing');
	is($node->safe_psql('copy', $all), $open, 'and changes nothing');
	my (undef, undef, $err) = $node->psql('copy', "\\set VERBOSITY verbose\n" . pay('new'));
	like($err, qr/PW500.*resume_after_restore/s, 'and takes no payment, until it is told');
	bank_control($bank, 'settings', { lookup => JSON::PP::true });
	$node->safe_psql('copy', 'SELECT pgw.resume_after_restore()');
	is($node->safe_psql('copy', pay('new')), 'captured', 'then it pays');
	ok($node->poll_query_until('copy', "SELECT string_agg(status::text, ',' ORDER BY client_request_id) = 'Completed,RequiresManualReview' FROM pgw.payment_transactions
		WHERE client_request_id <> 'new'"), 'finds out what was in doubt, and gives to a person what nobody votes for');
	is($node->safe_psql('copy', "SELECT status FROM pgw.payments WHERE client_request_id = 'doubt'"), 'captured', 'the committed payment is kept');
	my ($left) = charges_of($node, $bank, 'left', 'copy');
	is(scalar refunds_of($bank, $left), 0, 'and nothing is given back by itself');
});

$node->stop('fast');
done_testing();
