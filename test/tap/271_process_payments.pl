# Many payments in one call: all of them or each by itself, what is recorded already, what is in flight elsewhere or refused, and how many slots a call takes.
use strict;
use warnings;
use lib 'test/lib';
use PgwBundles;
use PgwDuplicates;
use PgwSession;
use PgwTest;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('process_payments', debug => 1, conf => "pgw.compensation_delay = '60s'\npgw.retry_base_delay = '50ms'\npgw.max_waiting = 32\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my ($one, $two) = map { PgwSession->new($node, name => $_) } qw(one two);

sub payment_status { return $node->safe_psql('postgres', "SELECT coalesce(string_agg(client_request_id || ' ' || status, ',' ORDER BY client_request_id), '') FROM pgw.payments WHERE client_request_id LIKE '$_[0]%'") }
sub charges { my ($prefix) = @_; return scalar grep { $_->{merchant_reference} =~ /^\Q$prefix\E/ && $_->{status} eq 'approved' } @{ bank_ledger($bank)->{charges} } }
sub kept { my ($prefix) = @_; return scalar grep { $_->{merchant_reference} =~ /^\Q$prefix\E/ && $_->{status} eq 'approved' && PgwTest::is_kept($_) } @{ bank_ledger($bank)->{charges} } }

part($node, 'all are taken', sub {
	my @requests = map { [ "all-$_" ] } reverse 1 .. 100;
	my $before = charge_requests($bank);
	$one->send(bundle_sql('', @requests));
	is_deeply(bundle_rows($one), [ map { row_of($_, 'all-' . (101 - $_), 'captured', '', 'f', 201) } 1 .. 100 ], '100 payments: a row for each request, in their order') or diag($one->err);
	is(charge_requests($bank) - $before, 100, 'and a request to the bank for each');
	is($node->safe_psql('postgres', "SELECT count(DISTINCT payment_id), count(DISTINCT transaction_id) FROM pgw.payments WHERE client_request_id LIKE 'all-%'"), '100|100', 'each is a payment of its own');
	is(events($node, 'all-57'), $SUCCESS_FLOW, 'with the events of any other');
	$one->send(bundle_sql('atomic => false', @requests, [ 'all-new' ]));
	is_deeply(bundle_rows($one), [ (map { row_of($_, 'all-' . (101 - $_), 'captured', '', 't', 200) } 1 .. 100), row_of(101, 'all-new', 'captured', '', 'f', 201) ],
		'the same again, and one more: those are replayed, this one is new');
	is(charge_requests($bank) - $before, 101, 'and it alone is sent');
	my $begin = time;
	$one->send(bundle_sql('', map { [ "slow-$_", 'tok_slow_500' ] } 1 .. 12));
	is(scalar(grep { /captured/ } @{ bundle_rows($one) }), 12, 'a bank that takes half a second for each');
	in_time(time - $begin, 4, 'is waited for once');
	is($one->run("SELECT count(*) FROM pgw.process_payments('[]')"), '0', 'no requests: no rows');
});

part($node, 'declined', sub {
	my @requests = ([ 'dec-1' ], [ 'dec-2', 'tok_decline_insufficient_funds' ], [ 'dec-3', 'tok_slow_100' ], [ 'dec-4', 'tok_decline_do_not_honor' ]);
	$one->run('BEGIN');
	$one->send(bundle_sql('atomic => false', @requests));
	is_deeply(bundle_rows($one), [ row_of(1, 'dec-1', 'captured', '', 'f', 201), row_of(2, 'dec-2', 'declined', 'insufficient_funds', 'f', 422), row_of(3, 'dec-3', 'captured', '', 'f', 201),
		row_of(4, 'dec-4', 'declined', 'do_not_honor', 'f', 422) ], 'each by itself: what is declined does not touch the others');
	$one->run('COMMIT');
	is(payment_status('dec-'), 'dec-1 captured,dec-2 declined,dec-3 captured,dec-4 declined', 'and all are recorded');
	$_->[0] =~ s/dec/atom/ for @requests;
	$one->send(bundle_sql('', @requests));
	$one->wait;
	is($one->state, 'PW402', 'all or none: it is raised');
	like($one->err, qr/"code": "insufficient_funds".*"requests": \[\{"request": 2, "client_request_id": "atom-2", "code": "insufficient_funds".*"request": 4, .*"do_not_honor"/, 'and DETAIL names those that were not taken');
	like($one->err, qr/HINT:.*atomic => false/, 'the hint says how to have the others');
	is(payment_status('atom-'), '', 'nothing of it is recorded as paid');
	is(kept('atom-'), 2, 'what was taken waits to be adopted or given back');
	$one->send(bundle_sql('', @requests[ 0, 2 ]));
	is_deeply(bundle_rows($one), [ row_of(1, 'atom-1', 'captured', '', 'f', 201), row_of(2, 'atom-3', 'captured', '', 'f', 201) ], 'asked again without them, the same charges are kept') or diag($one->err);
	is(charges('atom-'), 2, 'and the bank has charged each once');
	is(adoptions($node, 'atom-1'), 1, 'by adoption');
});

part($node, 'savepoint', sub {
	my @requests = map { [ "save-$_" ] } 1 .. 5;
	for my $atomic (qw(true false))
	{
		$_->[0] =~ s/^\w+/save$atomic/ for @requests;
		$one->run('BEGIN; SAVEPOINT s');
		$one->send(bundle_sql("atomic => $atomic", @requests));
		$one->wait;
		$one->run('ROLLBACK TO s');
		$one->send(bundle_sql("atomic => $atomic", @requests[ 0 .. 2 ]));
		is(scalar(grep { /captured\|\|f/ } @{ bundle_rows($one) }), 3, "atomic $atomic, rolled back to a savepoint, and three of them again") or diag($one->err);
		$one->run('COMMIT');
		is(payment_status("save$atomic"), join(',', map { "save$atomic-$_ captured" } 1 .. 3), 'three are paid');
		is(charges("save$atomic"), 5, 'and each was charged once');
	}
});

part($node, 'mismatch', sub {
	$one->run("SELECT pgw.process_payment('mis-2', 1, 'EUR', 'tok_ok')");
	$one->send(bundle_sql('atomic => false', [ 'mis-1' ], [ 'mis-2' ], [ 'mis-3', undef, bank => 'nobody' ], [ 'mis-4', undef, currency => 'JPY', merchant => 'nobody' ]));
	is_deeply([ sort @{ bundle_rows($one) } ], [ row_of(1, 'mis-1', 'captured', '', 'f', 201), row_of(2, 'mis-2', '', 'idempotency_mismatch', 'f', 422), row_of(3, 'mis-3', '', 'unknown_bank', 'f', 422),
		row_of(4, 'mis-4', '', 'unknown_merchant', 'f', 422) ], 'each by itself: what breaks a rule is a row without a payment') or diag($one->err);
	is($one->run("SELECT details->'fields', details->'request', payment_id IS NULL FROM pgw.process_payments('" . requests_of([ 'mis-1' ], [ 'mis-2' ]) . "', atomic => false) WHERE ordinal = 2"),
		'["amount", "reference"]|2|t', 'with the DETAIL of its error');
	$one->send(bundle_sql('', [ 'mis-5' ], [ 'mis-2' ]));
	$one->wait;
	is($one->state, 'PW422', 'all or none: it is raised');
	like($one->err, qr/"idempotency_mismatch".*"request": 2\}/, 'with the place of the request');
	is(charges('mis-5'), 0, 'before anything is sent');
});

# The worker alone knows that the request differs: others have been sent by then.
part($node, 'refused by the worker', sub {
	$one->run('BEGIN');
	call($one, 'process', 'ref-3', amount => 99);
	$one->run('ROLLBACK');
	$one->send(bundle_sql('atomic => false', map { [ "ref-$_", 'tok_slow_100' ] } 1 .. 5));
	is_deeply(bundle_rows($one), [ map { $_ == 3 ? row_of(3, 'ref-3', '', 'idempotency_mismatch', 'f', 422) : row_of($_, "ref-$_", 'captured', '', 'f', 201) } 1 .. 5 ],
		'each by itself: the others are made') or diag($one->err);
	is(payment_status('ref-'), 'ref-1 captured,ref-2 captured,ref-4 captured,ref-5 captured', 'and committed');
	is(charges('ref-1'), 1, 'charged once');
	is(adoptions($node, 'ref-1'), 1, 'and handed over to the call that began again');
	$one->send(bundle_sql('', map { [ "ref-$_", 'tok_slow_100' ] } 3 .. 7));
	$one->wait;
	is($one->state, 'PW422', 'all or none: raised');
	is(payment_status('ref-6'), '', 'and nothing else is paid');
});

part($node, 'in flight elsewhere', sub {
	$one->run('BEGIN');
	call($one, 'process', 'fly-2');
	$two->send(bundle_sql("atomic => false, timeout => '700ms'", [ 'fly-3' ], [ 'fly-2' ], [ 'fly-1' ]));
	is_deeply(bundle_rows($two), [ row_of(1, 'fly-3', 'captured', '', 'f', 201), row_of(2, 'fly-2', '', 'request_in_flight', 'f', 409), row_of(3, 'fly-1', 'captured', '', 'f', 201) ],
		'each by itself: an id that another transaction holds is an error of its own') or diag($two->err);
	is(charges('fly-1'), 1, 'and the others are charged once');
	$two->send(bundle_sql('', [ 'fly-4' ], [ 'fly-2' ]));
	is_waiting_for($node, $two, $one, 'a call waits for the transaction that has one of its ids');
	$one->run('COMMIT');
	is_deeply(bundle_rows($two), [ row_of(1, 'fly-4', 'captured', '', 'f', 201), row_of(2, 'fly-2', 'captured', '', 't', 200) ], 'and replays it');
	debug_arm($node, 'bundle_claimed', 'stop');
	$one->send(bundle_sql('', [ 'ord-1' ], [ 'ord-2' ]));
	debug_wait($node, 'bundle_claimed');
	$two->send(bundle_sql('', [ 'ord-2' ], [ 'ord-1' ]));
	is_waiting_for($node, $two, $one, 'two calls with the same ids the other way round: one waits for the other');
	debug_release($node, 'bundle_claimed');
	$_->wait for $one, $two;
	is($one->state . ' ' . $two->state, '00000 00000', 'and never both for each other') or diag($one->err . $two->err);
	is(charges('ord-'), 2, 'each is charged once');
});

part($node, 'slots', sub {
	$one->send(bundle_sql('', map { [ "slot-$_", 'tok_slow_1000' ] } 1 .. 40));
	ok(wait_until(sub { charges('slot-') >= 10 }, 10), 'a call with more payments than there are slots');
	$two->send(call_sql('process', 'single'));
	is(answer($two)->{status}, 'captured', 'leaves slots to others') or diag($two->err);
	is(scalar(grep { /captured/ } @{ bundle_rows($one) }), 40, 'and makes all of them, one part after the other') or diag($one->err);
});

is_sound($node, $bank, 'tables and ledger agree at the end', seconds => 90);
$node->stop('fast');
done_testing();
