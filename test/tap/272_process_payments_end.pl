# Many payments in one call that ends in the middle: its caller, its worker or the whole cluster is lost, it is cancelled, its time is up, an error comes while its answers are saved.
use strict;
use warnings;
use lib 'test/lib';
use PgwBundles;
use PgwDuplicates;
use PgwSession;
use PgwTest;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('process_payments_end', debug => 1, conf => "restart_after_crash = on\npgw.compensation_delay = '2s'\npgw.retry_base_delay = '50ms'\nautovacuum = off\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub session { return PgwSession->new($node, name => $_[0]) }
sub payment_status { return sql("SELECT coalesce(string_agg(client_request_id || ' ' || status, ',' ORDER BY client_request_id), '') FROM pgw.payments WHERE client_request_id LIKE '$_[0]%'") }
sub charges { my ($prefix) = @_; return grep { $_->{merchant_reference} =~ /^\Q$prefix\E/ && $_->{status} eq 'approved' } @{ bank_ledger($bank)->{charges} } }
sub worker { return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'") }
sub asked { my ($prefix, $n) = @_; return ok(wait_until(sub { charges($prefix) == $n }, 20), "$prefix: the bank has all of them") }

# Nothing is left but what is given back; the same call again pays.
sub is_given_back_and_paid
{
	my ($prefix, @requests) = @_;
	wait_rest($node, $bank) or fail("$prefix: at rest");
	is(payment_status($prefix), '', "$prefix: nothing is paid");
	is(scalar(grep { PgwTest::is_kept($_) } charges($prefix)), 0, "$prefix: and all is given back");
	my $again = session('again');
	$again->send(bundle_sql('', @requests));
	is(scalar(grep { /captured/ } @{ bundle_rows($again) }), scalar @requests, "$prefix: the same call again pays") or diag($again->err);
	is(scalar(grep { PgwTest::is_kept($_) } charges($prefix)), scalar @requests, "$prefix: each once");
	$again->quit;
	is_sound($node, $bank, "$prefix: tables and ledger agree");
}

for my $atomic (qw(true false))
{
	my $of = $atomic eq 'true' ? 'whole' : 'single';
	for my $who (qw(caller worker))
	{
		part($node, "kill -9, $who, $of", sub {
			my @requests = map { [ "kill$who$of-$_", 'tok_slow_1500' ] } 1 .. 5;
			my $one = session('one');
			$one->send(bundle_sql("atomic => $atomic", @requests));
			asked("kill$who$of", 5);
			crash($node, $who eq 'caller' ? $one->backend : worker());
			wait_worker($node);
			is_given_back_and_paid("kill$who$of", @requests);
		});
	}

	part($node, "kill -9, saved, $of", sub {
		my @requests = map { [ "saved$of-$_" ] } 1 .. 5;
		my $one = session('one');
		debug_arm($node, 'saved', 'stop 3');
		$one->send(bundle_sql("atomic => $atomic", @requests));
		crash($node, debug_wait($node, 'saved'));
		wait_worker($node);
		is_given_back_and_paid("saved$of", @requests);
	});

	part($node, "cancel, $of", sub {
		for my $how ('statement_timeout', 'pg_cancel_backend', 'pg_terminate_backend')
		{
			my $prefix = "$how$of";
			my @requests = map { [ "$prefix-$_", 'tok_slow_1500' ] } 1 .. 5;
			my $one = session('one');
			$one->run("SET statement_timeout = '700ms'") if $how eq 'statement_timeout';
			$one->send(bundle_sql("atomic => $atomic", @requests));
			asked($prefix, 5);
			sql("SELECT $how(" . $one->backend . ')') if $how ne 'statement_timeout';
			$one->wait;
			is($one->state, $how eq 'pg_terminate_backend' ? '08006' : '57014', "$how: the call ends");
			is($one->run('SELECT pg_current_xact_id_if_assigned() IS NULL'), 't', "$how: and with it its transaction") if $how ne 'pg_terminate_backend';
			is_given_back_and_paid($prefix, @requests);
		}
	});

	part($node, "worker terminated, $of", sub {
		my @requests = map { [ "term$of-$_", 'tok_slow_1500' ] } 1 .. 5;
		my $one = session('one');
		$one->send(bundle_sql("atomic => $atomic", @requests));
		asked("term$of", 5);
		sql('SELECT pg_terminate_backend(' . worker() . ')');
		my $rows = bundle_rows($one);
		wait_worker($node);
		ok($one->state eq '00000' ? @$rows == 5 && !grep({ !/captured|pending/ } @$rows) : $one->state =~ /^PW50/, 'a worker that ends answers, or hands over') or diag($one->state, $one->err, join "\n", @$rows);
		is_sound($node, $bank, "term$of: tables and ledger agree");
	});
}

part($node, 'timeout', sub {
	my @requests = ([ 'time-1' ], [ 'time-2', 'tok_slow_3000' ], [ 'time-3' ], [ 'time-4', 'tok_decline_fraud' ]);
	my $one = session('one');
	my $begin = time;
	$one->send(bundle_sql("atomic => false, timeout => '1s'", @requests));
	is_deeply(bundle_rows($one), [ row_of(1, 'time-1', 'captured', '', 'f', 201), row_of(2, 'time-2', 'pending', 'wait_timeout', 'f', 504), row_of(3, 'time-3', 'captured', '', 'f', 201),
		row_of(4, 'time-4', 'declined', 'suspected_fraud', 'f', 422) ], 'what is not known in time is pending, the others are what they are') or diag($one->err);
	in_time(time - $begin, 2.5, 'one time for all');
	ok(wait_until(sub { payment_status('time-') eq 'time-1 captured,time-2 captured,time-3 captured,time-4 declined' }, 20), 'the worker writes the rest') or diag(payment_status('time-'));
	$_->[0] =~ s/time/late/ for @requests;
	$one->send(bundle_sql("timeout => '1s'", @requests[ 0 .. 2 ]));
	$one->wait;
	is($one->state, 'PW504', 'all or none: raised');
	is_given_back_and_paid('late', @requests[ 0 .. 2 ]);
});

# More than the bank takes at a time: some are sent, others have never left when the time is up.
part($node, 'withdrawn', sub {
	sql('UPDATE pgw.banks SET max_in_flight = 4');
	my @requests = map { [ "with-$_", 'tok_slow_700' ] } 1 .. 24;
	my $one = session('one');
	$one->send(bundle_sql("atomic => false, timeout => '1s'", @requests));
	my $rows = bundle_rows($one);
	is($one->state, '00000', 'the call ends with rows') or diag($one->err);
	is(scalar(@$rows), 24, 'one for each');
	my %as;
	$as{ (split /\|/)[2] . (split /\|/)[3] }++ for @$rows;
	ok($as{captured} && $as{worker_busy}, 'some are taken, others were not sent') or diag(explain(\%as));
	is(($as{captured} // 0) + ($as{worker_busy} // 0) + ($as{pendingwait_timeout} // 0) + ($as{pendingoutcome_unknown} // 0), 24, 'and nothing else') or diag(explain(\%as));
	sql('UPDATE pgw.banks SET max_in_flight = DEFAULT');
	$one->send(bundle_sql('', @requests));
	is(scalar(grep { /captured/ } @{ bundle_rows($one) }), 24, 'the same call again pays what was left') or diag($one->err);
	is(scalar(charges('with-')), 24, 'each was charged once');
	is_sound($node, $bank, 'tables and ledger agree');
});

part($node, 'error while saving', sub {
	sql(<<'SQL');
CREATE FUNCTION refuse_third() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	IF NEW.client_request_id LIKE 'err%-3' AND NEW.status = 'captured' THEN RAISE 'not this one'; END IF; RETURN NEW; END$$;
CREATE TRIGGER refuse_third BEFORE UPDATE ON pgw.payments FOR EACH ROW EXECUTE FUNCTION refuse_third();
SQL
	for my $atomic (qw(true false))
	{
		my @requests = map { [ "err$atomic-$_" ] } 1 .. 5;
		my $one = session('one');
		$one->send(bundle_sql("atomic => $atomic", @requests));
		$one->wait;
		is($one->state, 'P0001', "atomic => $atomic: an error of somebody else's ends the call");
		is($one->run('SELECT 1'), '1', 'and with it its transaction');
		sql('ALTER TABLE pgw.payments DISABLE TRIGGER refuse_third') if $atomic eq 'false';
		is_given_back_and_paid("err$atomic", $atomic eq 'false' ? @requests : @requests[ 0, 1, 3, 4 ]);
	}
});

$node->stop('fast');
done_testing();
