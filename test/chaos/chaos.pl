# chaos.pl - thousands of payments while everything breaks, then a reconciliation with the bank's ledger.
#
#   make chaos SEED=n PAYMENTS=n KILLS=n [CLIENTS=n] [FORM_SHARE=x] [KEEP_LOGS=folder]
#
# The plan comes from the seed alone (ChaosPlan); clients carry their part out as correct applications do (ChaosClient), while this process strikes the
# server at the planned numbers of orders begun (ChaosBlows, ChaosWorld) and neighbours pay at banks and in a database that have no fault of their own
# (ChaosNeighbour).  In the last part of the plan nobody strikes the server: there the neighbours' payments are judged by their time, too.  Then the faults
# are switched off, everything has a bounded time to come to rest, and every invariant is checked (ChaosCheck).  The last line is "violations: N"; the exit
# status is 1 if N > 0.
#
# The simulators, each with its own ledger: main and other (the bank "bank" is moved from one to the other and back; "form" is main's second dialect),
# backup (fail-over), slow (a backlog waits there), calm (no faults), second (the second database's).
use strict;
use warnings;
use File::Path 'make_path';
use Time::HiRes qw(time usleep);
use ChaosCheck;
use ChaosBlows;
use ChaosClient;
use ChaosCrew;
use ChaosNeighbour;
use ChaosNotified;
use ChaosPlan;
use ChaosServer;

$| = 1;
$SIG{PIPE} = "IGNORE";    # a psql that is gone shows in its answer
@SIG{qw(TERM INT)} = (sub { exit 1 }) x 2;
my %p = (seed => 1, payments => 10_000, kills => 200, clients => 24, form_share => 0.04, rest => 120, patience => 150, clock => 1, standby => 1, notified => 0, dir => "$ENV{PGW_WORK}/chaos");
for (@ARGV)
{
	my ($k, $v) = /^(\w+)=(.+)$/ or die "not understood: $_\n";
	die "unknown parameter $k\n" unless exists $p{$k};
	$p{$k} = $v;
}
$p{form_share} = 0 if $p{notified};    # a bank that neither answers nor notifies has only people
my $plan = ChaosPlan::make(%p);
printf "seed %d, %d orders of %d clients, %d kills and %d other blows, plan %s\n", $p{seed}, $plan->{ids}, $p{clients}, $p{kills}, @{ $plan->{blows} } - $p{kills}, $plan->{digest};

make_path($p{dir});
my $began = time;
my $server = ChaosServer->new(dir => $p{dir}, seed => $p{seed}, compensation_delay => 500, clock => $p{clock});
my ($crew, @neighbours, $postman);
my $main = $$;
END
{
	if ($main && $$ == $main)
	{
		my $status = $?;
		kill 'TERM', $crew ? @{ $crew->{children} } : (), $postman // (), map { $_->{pid} } @neighbours;
		$server->end if $server;
		$? = $status;
	}
}

# ---- the stage

$server->bank_start($_) for qw(main other backup calm second);
$server->bank_start('slow', '--delay-ms', 400);
$server->init;
$server->start;
$server->query('CREATE EXTENSION pgw');
$server->query($ChaosPayment::spelt);
open my $f, '<', 'test/connectors/formbank.json' or die $!;
my $formbank = do { local $/; <$f> };
$server->query(join ' ', split /\n\s*/, "INSERT INTO pgw.connectors (name, definition) VALUES ('formbank', \$json\$$formbank\$json\$)");
$server->query("INSERT INTO pgw.merchants (merchant) VALUES ('acme')");
my $connector = $p{notified} ? 'told' : 'json';
ChaosNotified::prepare($server) if $p{notified};
my @banks = ([ bank => $connector => 'main', 1, 'scope', 16 ], [ backup => $connector => 'backup', 2, 'scope', 3 ], [ form => formbank => 'main', 3, 'form', 1000 ]);
$server->query("INSERT INTO pgw.banks (name, connector, base_url, secret, connect_timeout, request_timeout, priority, token_scope, max_in_flight)
	VALUES ('$_->[0]', '$_->[1]', '$server->{banks}{$_->[2]}{url}', 'bank', '1s', '1s', $_->[3], '$_->[4]', $_->[5])") for @banks;
$server->query("INSERT INTO pgw.banks (name, connector, base_url, secret, currencies, max_in_flight) VALUES ('$_->[0]', 'json', '$server->{banks}{$_->[0]}{url}', 'bank', '{CHF}', $_->[1])") for [ calm => 1000 ], [ slow => 4 ];
$server->query('CREATE TABLE orders (merchant text, client_request_id text, payment_id uuid, status text, PRIMARY KEY (merchant, client_request_id))');
$server->query('CREATE TABLE stock (k int PRIMARY KEY, n int)');
$server->query('INSERT INTO stock SELECT k, 1000000 FROM generate_series(1, 3) k');
$server->query('CREATE DATABASE second');
{
	my $second = PgwSession->new($server, db => 'second');
	$second->query('CREATE EXTENSION pgw');
	$second->query($ChaosPayment::spelt);
	$second->query("INSERT INTO pgw.banks (name, connector, base_url, secret, currencies) VALUES ('second', 'json', '$server->{banks}{second}{url}', 'bank', '{CHF}')");
}
$server->bank($_, 'POST', '/control/faults', { seed => $p{seed}, probabilities => $p{notified} ? \%ChaosPlan::told_chances : \%ChaosPlan::chances, operations => \@ChaosPlan::chance_operations, delay_ms => { min => 2, max => 60 } }) for qw(main other backup);
ChaosServer::wait_until(sub { $server->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pgw worker'") == 2 }, 30) or die 'no worker';

# ---- the play

ChaosNotified::begin($server) if $p{notified};
$server->disconnect;    # or the clients would hold its psql's input open
$postman = ChaosNotified::deliver($server, $p{seed}) if $p{notified};
push @neighbours, ChaosNeighbour::start($server, @$_)
  for [ calm => bank => 'calm', timeout => '20s', pace_ms => 50, roll_back_each => 4 ], [ hostage => bank => 'slow', timeout => '60s', pace_ms => 500, roll_back_each => 1 ],
  [ second => bank => 'second', db => 'second', timeout => '20s', pace_ms => 100 ], [ backlog => batches => 1 + int($p{payments} / 500) ];
$crew = ChaosCrew->new(scalar @{ $plan->{orders} });
$crew->start($p{clients}, sub { return ChaosClient->new(@_, server => $server, orders => $plan->{orders}, patience => $p{patience}) });

my @blows = @{ $plan->{blows} };
my $said = time;
my $strict;              # since when nobody strikes the server

# Orders are handed out up to the next blow; at the end everybody may leave.
sub hand_out { $crew->hand_out(@blows ? $blows[0]{at} : undef, scalar @blows); return }
while ($crew->is_at_work)
{
	$crew->hear(@blows && $blows[0]{at} <= $crew->{begun} ? 0 : 1);
	hand_out();
	if (@blows && $blows[0]{at} <= $crew->{begun})
	{
		ChaosBlows::blow($server, shift @blows, sub { $crew->hear(0); $crew->hand_out(@blows ? $blows[0]{at} : undef, 1 + @blows) });
		hand_out();
	}
	ChaosWorld::ddl_go_on($server);
	ChaosNeighbour::hear($server, $_) for @neighbours;
	$strict //= time + 5 if $crew->{begun} >= $plan->{settled_from} && !$server->{ddl_now} && !grep { $_->{server} } @blows;    # after what the last blow has left to do
	if (time > $said + 30)
	{
		$said = time;
		printf "# %4d s: %d orders finished, %d blows to go\n", $said - $began, $crew->{done}, scalar @blows;
	}
}
$crew->end($plan->{ids});
my $played = time - $began;

# The neighbours go on for a while when the orders were over too soon for them to be judged.
$strict //= time + 5;
while (ChaosWorld::ddl_go_on($server) || time < $strict + 10)
{
	ChaosNeighbour::hear($server, $_) for @neighbours;
	usleep(100_000);
}
ChaosNeighbour::stop($server, @neighbours);
my $stopped = time;
push @{ $crew->{wrong} }, @{ $server->{wrong} // [] };

# ---- the rest

$server->bank($_, 'POST', '/control/faults', {}) for qw(main other backup);
$server->bank('slow', 'POST', '/control/settings', { delay_ms => 0 });
$server->query("UPDATE pgw.banks SET max_in_flight = 50 WHERE name = 'slow'");
my @unrest;
my $rested = ChaosServer::wait_until(
	sub {
		usleep(200_000);    # the question costs the server more than the wait
		@unrest = ChaosCheck::unrest($server);
		push @unrest, ChaosNotified::unrest($server) if $p{notified};
		return !@unrest;
	}, $p{rest});
ChaosNotified::end($postman) if $postman;
undef $postman;
ChaosCheck::load($server, @$crew{qw(outcomes operations)});

# A charge that the bank made after it had been asked in vain turns up when it is asked again.
my $late = "SELECT count(*) FROM chaos.kept k JOIN pgw.payment_transactions t ON t.transaction_id = k.reference WHERE t.status = 'Failed'";
ChaosServer::wait_until(sub { return 1 unless $server->value($late); usleep(1_000_000); ChaosCheck::load($server, @$crew{qw(outcomes operations)}); return 0 }, $p{rest});
my $rest = time - $began - $played;

# ---- the reckoning

sub table
{
	my ($title, @rows) = @_;
	print "\n$title\n";
	printf "  %-62s %8s  %s\n", $_->[0] // '', $_->[1] // '', join('  ', map { $_ // '' } @$_[ 2 .. $#$_ ]) for @rows;
	return;
}
my $hits = $server->{hits};
my %blow;
for (@$hits) { $blow{ $_->{what} }[0]++; $blow{ $_->{what} }[1] += $_->{hit} }
my @kills = grep { $_->{what} =~ /^kill/ } @$hits;
table('blows (number, of them with a call in flight)', (map { [ $_, @{ $blow{$_} } ] } sort keys %blow),
	[ 'kill -9 in total', scalar @kills, scalar grep { $_->{hit} } @kills ],
	[ '  of them of the postmaster', (map { my $all = $_; scalar grep { $_->{what} =~ /postmaster|everything/ && ($all || $_->{hit}) } @kills } 1, 0) ]);
table('DDL that was given up behind open and prepared transactions of clients', [ 'statements', $server->{ddl_given_up} // 0 ]);
my ($ends, $counts) = @$crew{qw(ends counts)};
table('orders', (map { [ $_, $ends->{$_} ] } sort keys %$ends), map { [ "clients saw: $_", $counts->{$_} ] } sort keys %$counts);
table('faults of charges at the bank (attempts that met them)', $server->query("SELECT coalesce(substr(t.token, 5), 'a card, ' || t.card_last4) || CASE t.bank WHEN 'form' THEN ' (form)' ELSE '' END, count(*)
	FROM pgw.payment_transactions t WHERE EXISTS (SELECT FROM chaos.request r WHERE r.reference = replace(t.transaction_id::text, '-', '')) AND t.token IS DISTINCT FROM 'tok_ok' GROUP BY 1 ORDER BY 1"));
table('faults of all requests', $server->query("SELECT operation || ': ' || CASE WHEN delivery <> 'normal' THEN delivery ELSE 'answered ' || status END || CASE WHEN replayed THEN ', replayed' ELSE '' END, count(*)
	FROM chaos.request WHERE delivery <> 'normal' OR status >= 400 OR replayed GROUP BY 1 ORDER BY 1"));
table('states at rest', $server->query('SELECT status, count(*) FROM pgw.payment_transactions GROUP BY 1 ORDER BY 1'));
my ($adoptions) = map { $_->[0] } $server->query("SELECT count(*) FROM chaos.event WHERE event_type = 'TransactionAdopted'");
my @resolved = $server->query("SELECT coalesce(e.operation, '-') || ' -> ' || e.event_type || coalesce(' (' || e.reason || ')', ''), count(*) FROM chaos.event e
	WHERE e.was = 'BankUnknown' AND e.becomes <> 'BankUnknown' AND e.event_type NOT IN ('TransactionFailed', 'CompensationStarted', 'RefundStarted') GROUP BY 1 ORDER BY 2 DESC");
my $unknown = $server->value("SELECT count(DISTINCT transaction_id) FROM chaos.event WHERE becomes = 'BankUnknown' AND was <> 'BankUnknown'");
my $resolved = $server->value("SELECT count(DISTINCT transaction_id) FROM chaos.event WHERE was = 'BankUnknown' AND becomes NOT IN ('BankUnknown', 'RequiresManualReview')");
table("adoptions $adoptions, unknown outcomes $unknown, of them resolved $resolved (question -> what came of it)", @resolved);
table('operations after the charge', $server->query("SELECT kind || ', ' || status, count(*) FROM pgw.payment_transactions WHERE kind <> 'payment' GROUP BY 1 ORDER BY 1"),
	$server->query("SELECT 'payments ' || status, count(*) FROM pgw.payments GROUP BY 1 ORDER BY 1"));
my $answers = $p{notified} ? ChaosNotified::answers($server) : {};
table('notifications, by the answer that the bank got', map { [ $_, $answers->{$_} ] } sort keys %$answers) if $p{notified};
table('given back', $server->query("SELECT coalesce(operation, '-') || coalesce(' (' || reason || ')', ''), count(*) FROM chaos.event WHERE event_type = 'RefundCompleted' GROUP BY 1 ORDER BY 2 DESC"),
	$server->query("SELECT 'events ' || event_type, count(*) FROM chaos.event WHERE event_type IN ('PaymentDataSaveFailed', 'BankOutcomeUnacceptable', 'LateApprovalReceived', 'RefundFailed', 'RefundOutcomeUnknown') GROUP BY 1 ORDER BY 1"));
table('reviews at rest (bank, the injected fault)', map { [ ($_->[0] || '-') . ": " . ($_->[1] || 'none found'), $_->[2] ] } ChaosCheck::reviews($server));
table('reconciliation (tables | bank)', $server->query("SELECT 'charges kept, ' || currency, sum(n) FILTER (WHERE s = 't'), '| ' || sum(n) FILTER (WHERE s = 'b'), 'sum', sum(a) FILTER (WHERE s = 't'), '| ' || sum(a) FILTER (WHERE s = 'b') FROM (
		SELECT 't' AS s, currency, count(*) AS n, sum(amount) AS a FROM chaos.taken GROUP BY 2
		UNION ALL SELECT 'b', currency, count(*), sum(amount) FROM chaos.kept k WHERE NOT EXISTS (SELECT FROM pgw.payment_transactions t WHERE t.transaction_id = k.reference AND t.status = 'RequiresManualReview') GROUP BY 2) x
		GROUP BY currency ORDER BY 1"),
	$server->query("SELECT 'captured less refunded, ' || currency, sum(n) FILTER (WHERE s = 't'), '| ' || sum(n) FILTER (WHERE s = 'b') FROM (
		SELECT 't' AS s, currency, sum(captured_amount - refunded_amount) AS n FROM pgw.payments p WHERE NOT EXISTS (SELECT FROM pgw.payment_transactions t WHERE t.payment_id = p.payment_id AND t.status = 'RequiresManualReview') GROUP BY 2
		UNION ALL SELECT 'b', currency, sum(captured - refunded) FROM chaos.charge k WHERE status = 'approved' AND NOT EXISTS (SELECT FROM pgw.payment_transactions t JOIN pgw.payment_transactions r USING (payment_id)
			WHERE t.transaction_id = k.reference AND r.status = 'RequiresManualReview') GROUP BY 2) x GROUP BY currency ORDER BY 1"),
	$server->query("SELECT 'given back by us or on request', (SELECT count(*) FROM pgw.payment_transactions WHERE status = 'Refunded') + (SELECT count(*) FROM pgw.payments WHERE status IN ('refunded', 'voided')),
		'| ' || (SELECT count(*) FROM chaos.charge WHERE status = 'approved' AND (voided OR captured > 0 AND refunded = captured))"),
	$server->query("SELECT 'orders and their payments', (SELECT count(*) FROM orders), '| ' || (SELECT count(*) FROM pgw.payments)"));

print "\n";
my ($judged, $neighbour_rows) = ChaosNeighbour::judge($server, $strict, $stopped, @neighbours);
table(sprintf('neighbours, in the last %.0f s, while nobody struck the server', $stopped - $strict), @$neighbour_rows);
print "\n";
my @results = (@$judged, ChaosNeighbour::second($server, PgwSession->new($server, db => 'second')), ChaosCheck::run($server));
push @results, ChaosNotified::judge($server, $answers) if $p{notified};
push @results, ChaosCheck::secrets($server, [ map { $_->[0] } @ChaosPlan::cards ]), ChaosCheck::crashes($server);
unshift @results, { name => 'clients met nothing that they must not meet', bad => [ map { [ '', $_ ] } @{ $crew->{wrong} } ] };
unshift @results, { name => sprintf('everything came to rest (%.0f s)', $rest), bad => [ map { [ '', $_ ] } @unrest ] };
my $violations = ChaosCheck::tell($server, @results);
printf "seed %d: %d orders in %.0f s, rest after %.0f s, in total %.0f s\n", $p{seed}, $crew->{done}, $played, $rest, time - $began;
print "violations: $violations\n";
exit($violations > 0);
