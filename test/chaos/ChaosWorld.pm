# ChaosWorld - what happens around the payments without ending a process of the server: a worker that stands still, configuration that changes, DDL, an
# operator, a bank that is closed, a clock that jumps.
#
# Each is one function of the server and the blow's dice; it returns whether a call was in flight, or undef when there was nothing to do it to.
package ChaosWorld;

use strict;
use warnings;
use JSON::PP;
use PgwSession;
use Time::HiRes qw(time usleep);

my %happenings = (
	pause_worker => \&pause_worker,
	bank_down => sub { close_bank($_[0], 'down') },
	bank_drop => sub { close_bank($_[0], 'drop') },
	configure => \&configure,
	move_bank => \&move_bank,
	swap_bank => \&swap_bank,
	ddl => \&ddl,
	operator => \&operator,
	pause_mode => \&pause_mode,
	clock_forward => sub { $_[0]->set_clock(3600); return 0 },
	standby => sub { $_[0]->standby_begin; return 0 },
);

sub happen
{
	my ($server, $blow) = @_;
	my $what = $happenings{ $blow->{what} } or die "unknown blow $blow->{what}\n";
	return $what->($server, $blow->{dice});
}

# The worker stands still (as under memory pressure, or a stopped container) in the middle of its work, and goes on: callers give up meanwhile.
sub pause_worker
{
	my ($server, $dice) = @_;
	my ($pid, $busy) = $server->stop_worker;
	return undef if !$pid;
	usleep(1000 * (100 + $dice % 2000));    # how long it stands still
	kill 'CONT', $pid;
	return $busy;
}

sub close_bank
{
	my ($server, $switch) = @_;
	$server->bank('main', 'POST', '/control/settings', { $switch => JSON::PP::true });
	usleep(200_000);                        # how long the bank is closed
	$server->bank('main', 'POST', '/control/settings', { $switch => JSON::PP::false });
	return 0;
}

# How a bank is called changes; which bank it is does not.  Half of the time the change stays open for a while before it is committed.
sub configure
{
	my ($server, $dice) = @_;
	my @changes = ('max_in_flight = ' . (4 + $dice % 30), "request_timeout = '" . (700 + $dice % 600) . "ms'", 'priority = priority', "connect_timeout = '" . (500 + $dice % 1000) . "ms'",
		"settings = '{\"changed\": $dice}'");
	my $change = $changes[ $dice % @changes ];
	change($server, "UPDATE pgw.banks SET $change WHERE name = 'bank'", $dice);
	return 0;
}

sub change
{
	my ($server, $sql, $dice) = @_;
	$sql = "DO \$\$ BEGIN $sql; PERFORM pg_sleep(" . (0.1 + $dice % 10 / 10) . '); END $$' if $dice % 2;    # how long the change stays open
	eval { $server->query($sql); 1 } or push @{ $server->{wrong} }, "a change of the configuration was refused: $@";
	return;
}

# The same ledger under another address.
sub move_bank
{
	my ($server, $dice) = @_;
	change($server, "UPDATE pgw.banks SET base_url = CASE WHEN base_url LIKE '%localhost%' THEN replace(base_url, 'localhost', '127.0.0.1') ELSE replace(base_url, '127.0.0.1', 'localhost') END WHERE name = 'bank'", $dice);
	return 0;
}

# Another ledger: what is open at the former one has to stay there.
sub swap_bank
{
	my ($server, $dice) = @_;
	my ($main, $other) = map { $server->{banks}{$_}{url} } qw(main other);
	change($server, "UPDATE pgw.banks SET base_url = CASE WHEN base_url = '$other' THEN '$main' ELSE '$other' END WHERE name = 'bank'", $dice);
	return 0;
}

# What a DBA does to tables without asking: each must get through in bounded time, and no caller may hang on it.
sub ddl
{
	my ($server, $dice) = @_;
	my $n = ++$server->{ddl};
	my @statements = (
		"ALTER TABLE pgw.payments ADD COLUMN dba_$n text DEFAULT 'kept'",
		'VACUUM FULL pgw.payments',
		'REINDEX TABLE CONCURRENTLY pgw.payments',
		"CREATE INDEX dba_index_$n ON pgw.payments (reference)",
		"DO \$\$ BEGIN LOCK TABLE pgw.payments IN ACCESS EXCLUSIVE MODE; PERFORM pg_sleep(0.5); END \$\$",
		'ALTER TABLE pgw.payment_transactions ALTER reference SET STATISTICS ' . (100 + $n),
		'VACUUM ANALYZE pgw.payment_transactions',
		'CREATE INDEX CONCURRENTLY ON pgw.payment_transactions (reference)',
		'VACUUM FULL pgw.payment_transactions',
	);
	push @{ $server->{ddl_wanted} }, $statements[ $dice % @statements ];
	ddl_go_on($server);
	return 0;
}

# A REINDEX CONCURRENTLY that has given up leaves invalid indexes behind, which every INSERT maintains and locks; the next one would add as many again, until no lock is left.
my $remove_leftovers = q(DO $$ DECLARE i regclass; BEGIN
	FOR i IN SELECT indexrelid FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE NOT indisvalid AND relname ~ '_cc(new|old)[0-9]*$' LOOP EXECUTE 'DROP INDEX ' || i; END LOOP; END $$);

# The statements run beside everything else, one after the other, as a careful DBA's session does: a client's open or prepared transaction holds them up, and while they wait everybody
# else waits behind them, so they give up after two seconds and come again.  Also when a blow took the connection, or after a deadlock.  true: one is under way.
my $ddl_patience = 90;    # seconds

sub ddl_go_on
{
	my ($server) = @_;
	my $now = $server->{ddl_now} //= do
	{
		my $sql = shift @{ $server->{ddl_wanted} // [] } // return 0;
		{ sql => $sql, began => time, again => 0 };
	};
	my $s = $now->{session};
	if (!$s)
	{
		return 1 if time < $now->{again};
		$now->{session} = $s = PgwSession->new($server, name => 'DBA');
		$s->run("SET lock_timeout = '2s'");
		$now->{steps} = [ $now->{sql} =~ /^REINDEX/ ? $remove_leftovers : (), $now->{sql} ];
		$s->send(shift @{ $now->{steps} });
	}
	if (!$s->done && time < $now->{began} + $ddl_patience)
	{
		# who holds it up: clients and their prepared transactions may, pgw's worker by itself may not
		my $by = eval { $server->value("SELECT string_agg(DISTINCT coalesce(a.backend_type, 'prepared transaction'), ', ') FROM unnest(pg_blocking_pids(" . $s->backend . ')) b (pid) LEFT JOIN pg_stat_activity a USING (pid)') } // '';
		$now->{by}{$by}++ if $by;
		return 1;
	}
	my $state = $s->done ? $s->state : 'not done';
	if ($state eq '00000' && @{ $now->{steps} })
	{
		$s->send(shift @{ $now->{steps} });
		return 1;
	}
	if ($state =~ /^(08|57|40P01|55P03)/ && time < $now->{began} + $ddl_patience)
	{
		delete $now->{session};
		$now->{again} = time + 1;
		$now->{began} = time if $state =~ /^(08|57)/;    # a blow, which is nobody's fault
		return 1;
	}
	if ($state ne '00000' && $s->err !~ /already exists/)    # done before a blow took the connection
	{
		my $behind = join '; ', map { "$_ ($now->{by}{$_})" } sort keys %{ $now->{by} // {} };
		# a transaction of the worker's is seen now and then among hundreds of the clients'; what holds it up is seen again and again
		my $looks = 0;
		$looks += $_ for values %{ $now->{by} // {} };
		my $worker_alone = $now->{by}{'pgw worker'} // 0;
		if ($state =~ /^(55P03|not done)/ && $behind =~ /client backend|prepared/ && $worker_alone <= $looks / 20) { $server->{ddl_given_up}++ }
		else { push @{ $server->{wrong} }, sprintf 'DDL did not get through in %.0f s: %s: %s %s; it waited for: %s', time - $now->{began}, $now->{sql}, $state, $s->err, $behind }
	}
	delete $server->{ddl_now};
	return 1;
}

# An operator looks, asks for a scan, or decides a review as the bank's statement says.
sub operator
{
	my ($server, $dice) = @_;
	if ($dice % 4 == 0) { $server->query('SELECT pgw.run_recovery()') }
	elsif ($dice % 4 == 1) { $server->query('SELECT count(*) FROM pgw.health()') }
	else { return resolve($server, $dice) }
	return 0;
}

sub resolve
{
	my ($server, $dice) = @_;
	my @reviews = $server->query("SELECT transaction_id, came_from FROM pgw.manual_reviews WHERE kind = 'payment' AND bank = 'form' ORDER BY transaction_id");
	return undef if !@reviews;
	my ($transaction_id, $came_from) = @{ $reviews[ $dice % @reviews ] };
	my $reference = $transaction_id =~ s/-//gr;
	my ($charge) = grep { $_->{reference} eq $reference && $_->{status} eq 'approved' } @{ $server->{json}->decode($server->bank('main', 'GET', '/ledger'))->{charges} };
	my $given_back = $charge && ($charge->{voided} || $charge->{captured} && $charge->{refunded} >= $charge->{captured});
	my ($action, $evidence) =
	    $came_from eq 'Refunding' ? ($given_back ? ('mark_refunded', "given back $charge->{id}") : 'retry')
	  : $came_from ne 'BankUnknown' ? 'retry'
	  : $charge && !$given_back ? ('mark_charged', $charge->{id})
	  : !$charge ? 'mark_not_charged'
	  : return undef;
	my $json = $evidence ? "{\"bank_reference\": \"$evidence\"}" : '{}';
	eval { $server->query("SELECT pgw.resolve_review('$transaction_id', '$action', 'as the statement says', '$json')"); 1 }
	  or $@ =~ /: PW422 / or push @{ $server->{wrong} }, "an operator's decision was refused: $@";    # PW422: somebody or something was faster
	return 0;
}

sub pause_mode
{
	my ($server) = @_;
	$server->query("ALTER SYSTEM SET pgw.worker_mode = 'paused'");
	$server->query('SELECT pg_reload_conf()');
	usleep(300_000);    # how long it is paused
	$server->query('ALTER SYSTEM RESET pgw.worker_mode');
	$server->query('SELECT pg_reload_conf()');
	return 0;
}

1;
