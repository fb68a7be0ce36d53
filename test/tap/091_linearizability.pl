# Histories of concurrent calls with few ids are linearizable: 12 clients, 3 ids at a time, process and submit, commit, rollback and
# savepoints, READ COMMITTED and SERIALIZABLE, some with a short timeout. test/lib/PgwLinear.pm holds the model and the checker.
# And the bank agrees: no id has two charges that were kept.
use strict;
use warnings;
use lib 'test/lib';
use PgwLinear;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# First the checker itself. An operation from words: "0-1 process kept f captured p1 t1".
sub history
{
	return [ map {
		my ($times, $function, $end, $replayed, $status, $payment, $attempt) = split ' ';
		my ($call, $ended) = split /-/, $times;
		my $brief = $function =~ s/^brief-// ? 1 : 0;
		+{ call => $call, end => $ended, function => $function, brief => $brief, kept => $end eq 'kept' ? 1 : 0,
			state => $replayed =~ /^[tf]$/ ? '00000' : $replayed, replayed => $replayed, status => $status, payment => $payment, attempt => $attempt }
	} @_ ];
}
sub accepts { my ($name, $o, @h) = @_; is(PgwLinear::check(history(@h), %$o), '', "the checker accepts $name") }
sub rejects { my ($name, $o, @h) = @_; isnt(PgwLinear::check(history(@h), %$o), '', "the checker rejects $name") }

my @adopted = ('0-1 process back f captured p1 t1', '2-3 process kept f captured p2 t1', '4-5 process back t captured p2 t1');
accepts('rollback, adoption, replay', {}, @adopted);
accepts('a replay that was invoked before the commit', {}, '0-5 process kept t captured p1 t1', '1-2 process kept f captured p1 t1');
accepts('overlapping calls in an order that only a search finds', {}, '0-9 process kept t captured p3 t1', '1-8 process kept f captured p3 t1',
	'2-7 process back f captured p2 t1', '3-6 submit back f pending p1 t0', '4-5 process back f captured p0 t1');
accepts('a submit that is pending, then captured', {}, '0-1 submit kept f pending p1 t1', '2-3 process kept t pending p1 t1', '4-5 submit kept t captured p1 t1');
accepts('a submit that adopts', {}, '0-1 process back f captured p1 t1', '2-3 submit kept f pending p2 t2', '4-5 process kept t captured p2 t1');
accepts('a wait that ran out', {}, '0-5 process kept f captured p1 t1', '1-2 process back PW409');
accepts('a payment whose answer comes after its wait', {}, '0-1 brief-process kept f pending p1 t1', '2-3 submit kept t captured p1 t1');
accepts('a request that the worker did not take in time', {}, '0-1 brief-process back PW500', '2-3 process kept f captured p1 t1');
accepts('a new attempt after one that was never sent', {}, '0-1 brief-process back f pending p1 t1', '2-3 process kept f captured p2 t2');
accepts('a submit after one that was never sent', {}, '0-1 brief-process back f pending p1 t1', '2-3 submit kept f pending p2 t2', '4-5 process kept t captured p2 t2');
accepts('an attempt that is withdrawn while two brief callers leave', {}, '0-2 brief-process kept PW500', '1-3 brief-process back f failed p1 t1', '4-5 process kept f captured p2 t2');
accepts('a payment that fails so', {}, '0-2 brief-process back PW500', '1-3 brief-process kept f failed p1 t1', '4-5 process back t failed p1 t1');
accepts('a payment that turns out to have failed so', {}, '0-1 brief-process kept f pending p1 t1', '2-3 submit kept t pending p1 t1', '4-5 process kept t failed p1 t1');
accepts('a new attempt after a give-back', { give_back => 1 }, '0-1 process back f captured p1 t1', '2-3 process kept f captured p2 t2');

rejects('two payments of one id', {}, '0-1 process kept f captured p1 t1', '2-3 process kept f captured p2 t2');
rejects('two payments of one id at the same time', {}, '0-3 process kept f captured p1 t1', '0-3 process kept f captured p2 t1');
rejects('two payments of one id, whatever was given back', { give_back => 1 }, '0-3 process kept f captured p1 t1', '0-3 process kept f captured p2 t2');
rejects('a replay before the payment', {}, '0-1 process kept t captured p1 t1', '2-3 process kept f captured p1 t1');
rejects('a replay of what was rolled back', {}, '0-1 process back f captured p1 t1', '2-3 process kept t captured p1 t1');
rejects('a replay that nobody committed', {}, '0-9 process back t captured p1 t1', '1-2 process back f captured p1 t1');
rejects('a committed payment that a later call does not see', {}, '0-1 process kept f captured p1 t1', '2-3 process back f captured p2 t1');
rejects('a second charge instead of an adoption', {}, '0-1 process back f captured p1 t1', '2-3 process kept f captured p2 t2');
rejects('a second charge after one that was seen', {}, '0-1 brief-process back f pending p1 t1', '2-3 process back f captured p2 t1', '4-5 process kept f captured p3 t2');
rejects('a submit that charges again after one that was seen', {}, '0-1 brief-process back f pending p1 t1', '2-3 process back f captured p2 t1',
	'4-5 submit kept f pending p3 t2', '6-7 process kept t captured p3 t2');
rejects('an attempt that comes back after another', { give_back => 1 }, '0-1 process back f captured p1 t1', '2-3 process back f captured p2 t2', '4-5 process back f captured p3 t1');
rejects('a submit that charges again instead of adopting', {}, '0-1 process back f captured p1 t1', '2-3 submit kept f pending p2 t2', '4-5 process kept t captured p2 t2');
rejects('a replay with another attempt', {}, @adopted[ 0, 1 ], '4-5 process back t captured p2 t9');
rejects('a replay of another payment', {}, @adopted[ 0, 1 ], '4-5 process back t captured p1 t1');
rejects('captured, then pending', {}, '0-1 submit kept f pending p1 t1', '2-3 submit kept t captured p1 t1', '4-5 submit kept t pending p1 t1');
rejects('a wait that ran out for nothing', {}, '0-1 process kept f captured p1 t1', '2-3 process back PW409');
rejects('a missing answer without a short wait', {}, '0-1 process kept f pending p1 t1');
rejects('a refusal without a short wait', {}, '0-1 process back PW500');
rejects('a failure without a short wait', {}, '0-1 process back f failed p1 t1');
rejects('a failure of what was captured', {}, '0-1 process back f captured p1 t1', '2-3 brief-process back f failed p2 t1');
rejects('a payment that fails after its capture', {}, '0-1 brief-process kept f pending p1 t1', '2-3 submit kept t captured p1 t1', '4-5 submit kept t failed p1 t1');
rejects('a capture after its failure', {}, '0-1 brief-process back f failed p1 t1', '2-3 process kept f captured p2 t1');
rejects('a second charge after a committed failure', {}, '0-1 brief-process kept f failed p1 t1', '2-3 process kept f captured p2 t2');
rejects('a submit that fails', {}, '0-1 submit kept f pending p1 t1', '2-3 submit kept t failed p1 t1');
rejects('a serialization failure', {}, '0-5 process kept f captured p1 t1', '1-2 process back 40001');

# Then pgw. The plan depends on the seed only.
my $seed = $ENV{SEED} // 20;
srand $seed;
note "SEED=$seed";

my $node = pgw_node('linear', conf => "pgw.compensation_delay = '60s'\npgw.retry_base_delay = '50ms'\n");
my $bank = bank_start('--delay-ms', 6);
pgw_setup($node, $bank);
$node->safe_psql('postgres', 'CREATE TABLE seen (n int)');

my $CLIENTS = 12;
my $IDS = 3;
my $PER_ID = 24;    # operations until a new id takes its place
my @clients = map { PgwSession->new($node, name => "client $_") } 1 .. $CLIENTS;

my $serial = 0;

sub new_id { return { name => sprintf('id-%03d', ++$serial), left => $PER_ID, history => [] } }

# One operation: a call, and the statement that ends it.
sub operation
{
	my ($id, $end, $plain) = @_;
	my $function = $plain || rand() < 0.65 ? 'process' : 'submit';
	my $brief = !$plain && $function eq 'process' && rand() < 0.2;
	my %o = $brief ? (timeout => (1 + int rand 12) . ' ms') : ();
	return { id => $id, function => $function, brief => $brief, kept => $end eq 'COMMIT' ? 1 : 0,
		sql => 'SELECT payment_id, transaction_id, status, replayed FROM '
		  . pay_sql("${function}_payment", client_request_id => $id->{name}, reference => $id->{name}, %o) };
}

# What a client does next: a transaction of one operation, or of two with a savepoint around the first.
sub transaction
{
	my ($ids) = @_;
	my $at = int rand @$ids;
	my $id = $ids->[$at];
	my $end = rand() < 0.15 ? 'COMMIT' : 'ROLLBACK';
	my @steps = ({ sql => 'BEGIN ISOLATION LEVEL ' . (rand() < 0.5 ? 'READ COMMITTED' : 'SERIALIZABLE') . '; SELECT count(*) FROM seen' });
	if (rand() < 0.3)
	{
		my $op = operation($id, 'ROLLBACK TO s');
		push @steps, { sql => 'SAVEPOINT s' }, { op => $op, sql => $op->{sql} }, { ends => $op, sql => 'ROLLBACK TO s' };
	}
	my $op = operation($id, $end);
	push @steps, { op => $op, sql => $op->{sql} }, { ends => $op, sql => $end };
	my $operations = grep { $_->{op} } @steps;
	$ids->[$at] = new_id() if ($id->{left} -= $operations) <= 0;
	return @steps;
}

sub take_answer
{
	my ($step, $s) = @_;
	if (my $op = $step->{op})
	{
		$op->{state} = $s->state;
		@$op{qw(payment attempt status replayed)} = split /\|/, $s->{out};
	}
	if (my $op = $step->{ends})
	{
		$op->{end} = time;
		$op->{state} = $s->state if $s->state ne '00000';
		push @{ $op->{id}{history} }, $op;
	}
}

# All clients at once, until so many operations are done; returns the ids with their histories.
sub run_clients
{
	my ($operations) = @_;
	my @ids = map { new_id() } 1 .. $IDS;
	my %all;
	my %plan = map { $_ => [] } @clients;
	my %now;
	my $started = 0;
	my @busy = @clients;
	while (@busy)
	{
		my @done = PgwSession::wait_any(60, @busy);
		die 'the clients hang' unless @done;
		for my $s (@done)
		{
			take_answer(delete $now{$s}, $s) if $now{$s};
			if (!@{ $plan{$s} } && $started < $operations)
			{
				$plan{$s} = [ transaction(\@ids) ];
				$all{ $_->{op}{id}{name} } = $_->{op}{id} and $started++ for grep { $_->{op} } @{ $plan{$s} };
			}
			my $step = $now{$s} = shift @{ $plan{$s} };
			if (!$step)
			{
				delete $now{$s};
				@busy = grep { $_ != $s } @busy;
				next;
			}
			$step->{op}{call} = time if $step->{op};
			$s->send($step->{sql});
		}
	}
	return map { $all{$_} } sort keys %all;
}

# One more call, kept.
sub pay
{
	my ($id) = @_;
	my $op = operation($id, 'COMMIT', 1);
	$op->{call} = time;
	$clients[0]->run($op->{sql});
	take_answer({ op => $op, ends => $op }, $clients[0]);
}

sub check_round
{
	my ($name, $operations, %o) = @_;
	my $started = time;
	my @ids = run_clients($operations);
	my $took = time - $started;
	pay($_) for $o{pay_all} ? @ids : ();
	my %count;
	$count{operations} += @{ $_->{history} } for @ids;
	for my $op (map { @{ $_->{history} } } @ids)
	{
		$count{ $op->{state} eq '00000' ? $op->{replayed} eq 't' ? 'replays' : $op->{kept} ? 'payments' : 'rollbacks' : $op->{state} }++;
		$count{unanswered}++ if $op->{state} eq '00000' && $op->{function} eq 'process' && $op->{replayed} eq 'f' && $op->{status} eq 'pending';
	}
	$started = time;
	my @wrong = grep { length } map { my $r = PgwLinear::check($_->{history}, %o); $r && "$_->{name}: $r" } @ids;
	note sprintf '%s: %s in %.1f s, checked in %.1f s', $name, join(', ', map { "$count{$_} $_" } sort keys %count), $took, time - $started;
	is(scalar @wrong, 0, "$name: the histories of " . @ids . ' ids are linearizable') or diag(@wrong[ 0 .. ($#wrong > 1 ? 1 : $#wrong) ]);
	cmp_ok($count{$_} // 0, '>=', $operations / 40, "$name: enough $_ among them") for qw(payments replays rollbacks);
	cmp_ok($count{PW409} // 0, '>', 0, "$name: waits for another caller ran out");
	cmp_ok($count{unanswered} // 0, '>', 0, "$name: waits for the bank ran out");
	return @ids;
}

# Charges per id: [all, kept].
sub charge_count
{
	my %charges;
	for my $c (@{ bank_ledger($bank)->{charges} })
	{
		$charges{ $c->{merchant_reference} }[0]++;
		$charges{ $c->{merchant_reference} }[1] += $c->{status} eq 'approved' && !$c->{voided} && $c->{refunded} < $c->{captured} ? 1 : 0;
	}
	return \%charges;
}

# Retries come before compensation: each id is charged once, whatever happens to its callers; or never, where a payment was committed whose
# callers were all gone before it was sent. Its last call, which is kept, says which.
my @ids = check_round('adoption', 1200, pay_all => 1);
ok(wait_rest($node, $bank), 'adoption: at rest');
my $charges = charge_count();
my @paid = grep { $_->{history}[-1]{status} ne 'failed' } @ids;
is_deeply([ map { "$_ @{ $charges->{$_} }" } sort keys %$charges ], [ map { "$_->{name} 1 1" } @paid ], 'adoption: every id has one charge, and it stands');
is(bank_ledger($bank)->{requests_by_operation}{charge}, scalar @paid, 'adoption: nor was the bank asked more than once for any of them');

$node->append_conf('postgresql.conf', "pgw.compensation_delay = 0\n");
$node->reload;

# Compensation at once: retries race with it. At most one charge per id is kept.
check_round('race', 1200, give_back => 1);
ok(wait_rest($node, $bank), 'race: at rest');
cmp_ok(scalar @{ bank_ledger($bank)->{refunds} }, '>', 0, 'race: charges were given back');
$charges = charge_count();
is(scalar(grep { ($charges->{$_}[1] // 0) > 1 } keys %$charges), 0, 'race: no id has two charges that were kept');
my %kept = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', "SELECT client_request_id FROM pgw.payments WHERE status = 'captured'");
is_deeply([ sort grep { $charges->{$_}[1] } keys %$charges ], [ sort keys %kept ], 'race: and those that have one have a payment');
is_sound($node, $bank, 'tables and ledger agree');

$node->stop('fast');
done_testing();
