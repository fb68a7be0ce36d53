# A bank that hangs, with few descriptors: what it holds is its share, and a healthy bank's payments neither fail nor wait; its own give-backs go before
# its new charges, and the merchants of one bank take turns.
use strict;
use warnings;
use lib 'test/lib';
use List::Util qw(max min);
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('bulkheads', debug => 1, conf => "fsync = off\nmax_files_per_process = 100\npgw.max_waiting = 24\npgw.compensation_delay = 0\nmax_connections = 60\n");
my ($bank, $hangs) = map { bank_start() } 1 .. 2;
pgw_setup($node, $bank);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

sub submit
{
	my ($prefix, $n, %a) = @_;
	return "SELECT count(pgw.submit_payment('$prefix' || n, 1000 + n, 'EUR', 'tok_ok', bank => '$a{bank}', merchant => '" . ($a{merchant} // 'default') . "')) FROM generate_series(1, $n) n";
}

sub charge_requests { return bank_ledger($hangs)->{requests_by_operation}{charge} // 0 }
sub end_delay { bank_control($hangs, 'settings', { delay_ms => 0 }) }

sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority, request_timeout) VALUES ('hangs', 'json', '$hangs->{url}', 'bank', 200, '60s'), ('idle', 'json', '$hangs->{url}', 'bank', 300, '60s');
	INSERT INTO pgw.merchants (merchant) VALUES ('other'), ('third')");
is(sql(pay('first', bank => 'hangs')), 'captured', 'a bank that is well');

# ---------------------------------------------------------------- waiting slots

part($node, 'waiting slots', sub {
	bank_control($hangs, 'settings', { delay_ms => 60000 });
	my @stuck = map { psql_start($node, pay("stuck$_", bank => 'hangs', timeout => '25s')) } 1 .. 30;
	ok(wait_until(sub { (grep { $_->{err} =~ /share of pgw.max_waiting/ } map { $_->{h}->pump_nb if $_->{h}->pumpable; $_ } @stuck) > 0 }, 20), 'the callers of a bank that hangs have no more than its share of the slots');
	my ($refused) = grep { $_->{err} =~ /share/ } @stuck;
	like($refused->{err}, qr/PW500.*worker_busy/s, 'the others are refused at once, with a code');
	like($refused->{err}, qr/HINT:.*Nothing was sent/s, 'and a hint');
	my @waits;
	for my $n (1 .. 20)
	{
		my $from = time;
		is(sql(pay("healthy$n", bank => 'bank', timeout => '20s')), 'captured', "a payment at the healthy bank, $n") or last;
		push @waits, time - $from;
	}
	diag(sprintf 'beside a bank that hangs: the longest of 20 payments took %.2f s', max(@waits, 0));
	in_time(max(@waits), 10, 'none of them waits for the other bank');
	is(sql("SELECT count(*) FROM pgw.bank_states WHERE bank = 'bank' AND (failures > 0 OR state <> 'closed')"), 0, 'nothing is held against the healthy one');
	$_->{h}->kill_kill for @stuck;
	end_delay();
	$node->restart;
	wait_worker($node);
});

# ---------------------------------------------------------------- connections

part($node, 'connections', sub {
	bank_control($hangs, 'settings', { delay_ms => 60000 });
	my $before = charge_requests();
	sql(submit('queued', 500, bank => 'hangs'));
	wait_until(sub { charge_requests() > $before }, 20);
	my $held;
	wait_until(sub { my $was = $held // -1; $held = charge_requests() - $before; select undef, undef, undef, 1; $held == $was }, 20);
	diag("the bank that hangs holds $held connections");

	# and a second one
	my $first = $held;
	sql(submit('idle', 500, bank => 'idle'));
	$held = undef;
	wait_until(sub { my $was = $held // -1; $held = charge_requests() - $before - $first; select undef, undef, undef, 1; $held > 0 && $held == $was }, 20);
	diag("a second one holds $held");
	my @waits;
	for my $n (1 .. 20)
	{
		my $from = time;
		is(sql(pay("beside$n", bank => 'bank', timeout => '20s')), 'captured', "a payment at the healthy bank, $n") or last;
		push @waits, time - $from;
	}
	in_time(max(@waits, 0), 10, 'none of them waits for a connection');
	sql("DO \$\$ BEGIN PERFORM " . pay_sql('process_payment', client_request_id => 'rolled back', bank => 'bank') . "; RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END \$\$");
	ok(wait_until(sub { status_of($node, 'rolled back') eq 'Refunded' }, 20), 'and what is rolled back there is given back');
	is(sql('SELECT count(*) FROM pgw.alerts WHERE bank = \'bank\''), 0, 'nobody is alarmed about the healthy bank');
	end_delay();
	$node->restart;
	wait_worker($node);
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE client_request_id ~ '^queued' AND status = 'captured'") == 500 }, 120), 'all of what waited is paid when the bank is back');
});

# ---------------------------------------------------------------- at one bank

part($node, 'lanes', sub {
	end_delay();
	sql("UPDATE pgw.banks SET max_in_flight = 4 WHERE name = 'hangs'; UPDATE pgw.banks SET max_in_flight = 1 WHERE name = 'idle'");
	is(sql(pay('settle', bank => 'hangs')), 'captured', 'the new limit');
	bank_control($hangs, 'settings', { delay_ms => 400 });
	sql(submit('backlog', 3000, bank => 'hangs'));
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE client_request_id ~ '^backlog' AND status = 'captured'") > 0 }, 30), 'a backlog of 3,000 at ten a second');

	# rolled back beside it
	my $from = time;
	$node->psql('postgres', 'BEGIN; ' . pay('gone', bank => 'hangs', timeout => '30s') . '; ROLLBACK');
	is(status_of($node, 'gone') =~ /BankApproved|Refunding|Refunded/ ? 'charged' : status_of($node, 'gone'), 'charged', 'a caller does not wait for the backlog');
	ok(wait_until(sub { status_of($node, 'gone') eq 'Refunded' }, 30), 'what he rolled back is given back before it');
	diag(sprintf 'charged, rolled back and given back beside the backlog in %.1f s', time - $from);

	# another merchant
	sql(submit('mine', 5, bank => 'hangs', merchant => 'other'));
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE client_request_id ~ '^mine' AND status = 'captured'") == 5 }, 30), 'another merchant has his turns');
	cmp_ok(sql("SELECT count(*) FROM pgw.payments WHERE client_request_id ~ '^backlog' AND status = 'captured'"), '<', 2500, 'long before the backlog is over');

	# one that is not to be sent after its time, though its bank has no room for it
	sql("SELECT status FROM " . pay_sql('submit_payment', client_request_id => 'expires', bank => 'hangs', expires_at => sql("SELECT now() + interval '3 s'")));
	ok(wait_until(sub { sql("SELECT status || ' ' || (SELECT error_code FROM pgw.find_payment('expires')) FROM pgw.payments WHERE client_request_id = 'expires'") =~ /^(failed request_expired|captured )/ }, 60), 'what has expired is failed while it waits')
	  or diag(sql("SELECT * FROM pgw.find_payment('expires')"));
	end_delay();
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE client_request_id ~ '^backlog' AND status = 'captured'") == 3000 }, 180), 'the backlog is worked off');
	is(sql("SELECT count(*) FROM pgw.payments WHERE client_request_id ~ '^backlog' AND status <> 'captured'"), 0, 'all of it');
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'and the tables are sound');
});

$node->stop('fast');
done_testing();
