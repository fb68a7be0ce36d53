# shards.pl - payments over shards and a PL/Proxy router while everything breaks: calls that go to the wrong shard, maps that are wrong, slots that move to new shards,
# shards that crash or fail over to their standbys, and the router, too.  Then the reckoning of chaos.pl over all shards together.
#
#   make shard-chaos SEED=n PAYMENTS=n
#
# Two shards at first, the same banks behind all of them.  At the end each shard gives the rows of the slots that are at home there to one database, and ChaosCheck looks at
# that as at a single server; what a shard has of other slots must be a past that their home has, too.  The last line is "violations: N"; the exit status is 1 if N > 0.
use strict;
use warnings;
use File::Path 'make_path';
use Time::HiRes qw(time usleep);
use ChaosBlows;
use ChaosCheck;
use ChaosCrew;
use ChaosPlan;
use ChaosShardClient;
use ChaosShards;
use ChaosServer;

$| = 1;
$SIG{PIPE} = 'IGNORE';
@SIG{qw(TERM INT)} = (sub { exit 1 }) x 2;
my %p = (seed => 1, payments => 10_000, clients => 16, rest => 120, patience => 150, moves => 4, dir => "$ENV{PGW_WORK}/chaos");
for (@ARGV)
{
	my ($k, $v) = /^(\w+)=(.+)$/ or die "not understood: $_\n";
	die "unknown parameter $k\n" unless exists $p{$k};
	$p{$k} = $v;
}

# ---- the plan

my $plan = ChaosPlan::make(%p, kills => 0, form_share => 0, standby => 0, clock => 0, notified => 0);
my $random = ChaosPlan::random_numbers($p{seed} * 7_000_003);
for my $o (@{ $plan->{orders} })
{
	# two ids in one transaction are of two shards
	@$o{qw(shape function)} = ('auto', 'process') if delete $o->{peer};
	$o->{misrouted} = $random->() < 0.1;
	$o->{by_router} = $random->() < 0.5;
}
my $orders = @{ $plan->{orders} };
my $times = sub { my ($share) = @_; return 1 + int($orders * $share) };
my @on_shards = (('kill_worker') x $times->(0.0015), ('kill_backend') x $times->(0.002), ('kill_postmaster') x $times->(0.0006), ('kill_everything') x $times->(0.0006),
	('terminate_backend') x $times->(0.001), ('immediate_stop') x $times->(0.0003), ('failover') x $times->(0.0004), ('router') x $times->(0.0006), ('lie') x $times->(0.0008));
my @blows = (ChaosPlan::spread($random, int($orders * 0.03), int($orders * 0.9), 1, @on_shards), ChaosPlan::spread($random, int($orders * 0.1), int($orders * 0.8), 1, ('move') x $p{moves}));
@blows = sort { $a->{at} <=> $b->{at} } @blows;
printf "seed %d, %d orders of %d clients, %d of them misrouted first, %d blows\n", $p{seed}, $orders, $p{clients}, scalar(grep { $_->{misrouted} } @{ $plan->{orders} }), scalar @blows;

# ---- the stage

make_path($p{dir});
my $began = time;
my $main = $$;
my ($banks, $world, $crew);
END
{
	if ($main && $$ == $main)
	{
		my $status = $?;
		kill 'TERM', @{ $crew->{children} } if $crew;
		for my $s ($world ? ($world->all, $world->{router} // ()) : (), $banks // ())
		{
			$s->{banks} = {} if $s != $banks;
			eval { $s->end; 1 } or print STDERR "not ended: $@";    # one that cannot be keeps no other
		}
		$? = $status;
	}
}
$banks = ChaosServer->new(dir => $p{dir}, seed => $p{seed}, compensation_delay => 500);
$banks->bank_start($_) for qw(main backup);
$world = ChaosShards->new(dir => $p{dir}, seed => $p{seed}, banks => $banks->{banks}, map => "$p{dir}/map.json");
$world->make_shard('shard-1', 0, 511);
$world->make_shard('shard-2', 512, 1023);
$world->make_router;
$banks->bank($_, 'POST', '/control/faults', { seed => $p{seed}, probabilities => \%ChaosPlan::chances, operations => \@ChaosPlan::chance_operations, delay_ms => { min => 2, max => 60 } }) for qw(main backup);

# ---- the play

$_->disconnect for $world->all, $world->{router};    # or the clients would hold their input open
$crew = ChaosCrew->new($orders);
$crew->start($p{clients}, sub {
	return ChaosShardClient->new(@_, router => ChaosShardClient::place("$p{dir}/router"), map => $world->{map}, orders => $plan->{orders}, patience => $p{patience});
});
my $said = time;

# Take in what clients say, and give out orders: up to the next blow, or whatever they ask for.
sub go_on
{
	my ($seconds, $limit) = @_;
	$crew->hear($seconds);
	$crew->hand_out($limit, scalar @blows);
	if (time > $said + 30)
	{
		$said = time;
		printf "# %4d s: %d orders finished, %d blows to go, %d shards\n", $said - $began, $crew->{done}, scalar @blows, scalar $world->all;
	}
	return;
}

my $truth_at;    # when a wrong map is put right
sub blow
{
	my ($b) = @_;
	my @shards = $world->all;
	my $shard = $shards[ $b->{dice} % @shards ];
	return $world->move($b->{dice}, sub { go_on(0.02, $orders) }) if $b->{what} eq 'move';
	return $world->kill_router if $b->{what} eq 'router';
	if ($b->{what} eq 'lie') { $truth_at = time + 2; return $world->lie($b->{dice}) }
	if ($b->{what} eq 'failover')
	{
		ChaosBlows::blow($shard, { what => 'standby', dice => 0 });
		# some payments are on their way while it follows
		my $enough = $crew->{done} + 20;
		ChaosServer::wait_until(sub { go_on(0.02, $orders); return $crew->{done} >= $enough || $crew->{done} >= $orders }, 60);
	}
	return ChaosBlows::blow($shard, $b, sub { go_on(0.02, $orders) });
}

while ($crew->is_at_work)
{
	my $due = @blows && $blows[0]{at} <= $crew->{begun};
	go_on($due ? 0 : 0.5, @blows ? $blows[0]{at} : undef);
	if ($truth_at && (time > $truth_at || !@blows)) { undef $truth_at; $world->tell_the_truth }
	blow(shift @blows) if $due;
}
$crew->end($orders);
my $played = time - $began;

# ---- the rest, and the reckoning

$banks->bank($_, 'POST', '/control/faults', {}) for qw(main backup);
my @unrest;
ChaosServer::wait_until(sub { usleep(200_000); @unrest = map { $world->unrest($_) } $world->all; return !@unrest }, $p{rest});
my $judge = $world->judge;
ChaosCheck::load($judge, @$crew{qw(outcomes operations)});
my $rest = time - $began - $played;

sub table
{
	my ($title, @rows) = @_;
	print "\n$title\n";
	printf "  %-62s %8s  %s\n", $_->[0] // '', $_->[1] // '', join('  ', map { $_ // '' } @$_[ 2 .. $#$_ ]) for @rows;
	return;
}
my %blow;
$blow{ $_->{what} }++ for @{ $judge->{hits} };
table('blows', map { [ $_, $blow{$_} ] } sort keys %blow);
my ($ends, $counts) = @$crew{qw(ends counts)};
table('orders', (map { [ $_, $ends->{$_} ] } sort keys %$ends), map { [ "clients saw: $_", $counts->{$_} ] } sort keys %$counts);
table('shards at the end (payments of slots at home, others of before)', map { [ $_->{name}, @{ ($_->query($ChaosShards::counts))[0] } ] } $world->all);
table('states at rest', $judge->query('SELECT status, count(*) FROM pgw.payment_transactions GROUP BY 1 ORDER BY 1'));
table('reconciliation (tables | bank)', $judge->query("SELECT 'charges kept', (SELECT count(*) FROM chaos.taken), '| ' || (SELECT count(*) FROM chaos.kept)"),
	$judge->query("SELECT 'captured less refunded', (SELECT sum(captured_amount - refunded_amount) FROM pgw.payments), '| ' || (SELECT sum(captured - refunded) FROM chaos.charge WHERE status = 'approved')"));
print "\n";
my @results = (
	{ name => sprintf('everything came to rest (%.0f s)', $rest), bad => [ map { [ '', $_ ] } @unrest ] },
	{ name => 'clients met nothing that they must not meet', bad => [ map { [ '', $_ ] } @{ $crew->{wrong} } ] },
	{ name => 'a tenth of the orders went to the wrong shard first, and was refused there', bad => ($counts->{'misrouted: refused'} // 0) > $orders * 0.05 ? [] : [ [ '', 'too few' ] ] },
	$world->judged($judge), ChaosCheck::run($judge),
	(map { my $s = $_; map { +{ name => "$s->{name}: $_->{name}", bad => $_->{bad} } } ChaosCheck::secrets($s, [ map { $_->[0] } @ChaosPlan::cards ]), ChaosCheck::crashes($s) } $world->all, $world->{router}));
my $violations = ChaosCheck::tell($judge, @results);
printf "seed %d: %d orders in %.0f s, rest after %.0f s, in total %.0f s\n", $p{seed}, $crew->{done}, $played, $rest, time - $began;
print "violations: $violations\n";
exit($violations > 0);
