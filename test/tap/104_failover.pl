# A standby takes over: what was replicated is finished there, and reconciled with the bank.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $conf = "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\nwal_receiver_status_interval = 1s\n";

sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

sub primary_and_standby
{
	my ($name, $bank) = @_;
	my $primary = pgw_node($name, conf => $conf, init => { allows_streaming => 1 });
	pgw_setup($primary, $bank);
	$primary->backup('b');
	my $standby = PostgreSQL::Test::Cluster->new("${name}_standby");
	$standby->init_from_backup($primary, 'b', has_streaming => 1);
	$standby->start;
	return ($primary, $standby);
}

# ---------------------------------------------------------------- asynchronous

asynchronous_failover();
sub asynchronous_failover
{
	my $bank = bank_start();
	my ($primary, $standby) = primary_and_standby('async', $bank);
	is($primary->safe_psql('postgres', pay('before')), 'captured', 'asynchronous: paid before');
	my $open = PgwSession->new($primary);
	$open->run('BEGIN; ' . pay('open'));
	my $prepared = PgwSession->new($primary);
	$prepared->run('BEGIN; ' . pay('prepared') . "; PREPARE TRANSACTION 'p'");
	# so that the standby finds both: what the worker's mark has passed, and what is younger
	ok($primary->poll_query_until('postgres', 'SELECT count(*) = 2 FROM pgw.open_work WHERE left_to_caller'), 'asynchronous: the mark has passed two');
	my $flight = PgwSession->new($primary)->send(pay('flight', token => 'tok_slow_3000'));
	my $submitted = $primary->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'submitted', token => 'tok_slow_3000'));
	wait_until(sub { 2 == map { charges_of($primary, $bank, $_) } 'flight', 'submitted' }, 10) or die 'never charged';
	is($primary->safe_psql('postgres', 'SELECT count(*) FROM pgw.open_work'), 2, 'asynchronous: and not two others');
	flush_wal($primary);
	$primary->wait_for_catchup($standby, 'replay');
	$primary->stop('immediate');
	$standby->promote;
	ok(wait_worker($standby), 'asynchronous: the promoted standby has its worker');
	ok($standby->poll_query_until('postgres', "SELECT count(*) = 0 FROM pgw.payment_transactions WHERE status IN ('Created', 'Saved', 'Refunding', 'BankUnknown')
		OR (status = 'BankApproved' AND client_request_id <> 'prepared')"), 'asynchronous: all is settled but what is prepared');
	is(status_of($standby, 'prepared'), 'BankApproved', 'asynchronous: what is prepared is left alone');
	$standby->safe_psql('postgres', "COMMIT PREPARED 'p'");
	is_sound($standby, $bank, 'asynchronous: sound after the failover');
	is($standby->safe_psql('postgres', 'SELECT string_agg(client_request_id, \',\' ORDER BY 1) FROM pgw.payments WHERE status = \'captured\''), 'before,prepared,submitted',
		'asynchronous: committed payments are kept');
	is(join(',', map { status_of($standby, $_) } 'open', 'flight'), 'Refunded,Refunded', 'asynchronous: open ones are given back');
	is($standby->safe_psql('postgres', pay('flight', token => 'tok_slow_3000')), 'captured', 'asynchronous: the same call again, at the new primary');
	is(scalar kept_charges($standby, $bank, 'flight'), 1, 'asynchronous: one charge');
	$standby->stop('fast');
}

# ---------------------------------------------------------------- synchronous

# Clients that pay without a pause while the primary is killed: whoever was told "captured" has paid, and nothing is lost.
synchronous_failover();
sub synchronous_failover
{
	my $bank = bank_start('--delay-ms', 5);
	my ($primary, $standby) = primary_and_standby('sync', $bank);
	$primary->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = '*'; SELECT pg_reload_conf()");
	ok($primary->poll_query_until('postgres', "SELECT sync_state = 'sync' FROM pg_stat_replication"), 'synchronous: the standby is');
	my @clients = map { PgwSession->new($primary) } 1 .. 8;
	my (%told, %asked);
	my $n = 0;
	my $next = sub {
		my ($s) = @_;
		my $id = 'sync' . ++$n;
		$asked{$id} = 1;
		$s->{id} = $id;
		my $call = pay($id, token => $n % 3 ? 'tok_ok' : 'tok_slow_100');
		$s->send($n % 4 ? $call : "BEGIN; $call; ROLLBACK");
		$s->{rolls_back} = !($n % 4);
	};
	my $take = sub {
		my ($s) = @_;
		$told{ $s->{id} } = 1 if $s->wait eq 'captured' && $s->state eq '00000' && !$s->{rolls_back};
	};
	$next->($_) for @clients;
	my $end = time + 1.5;
	while (time < $end)
	{
		for my $s (PgwSession::wait_any(1, @clients)) { $take->($s); $next->($s) }
	}
	my $in_flight = 0;
	wait_until(
		sub {
			$in_flight = $primary->safe_psql('postgres', "SELECT count(*) FROM pgw.payment_transactions WHERE status = 'Created'") and return 1;
			for my $s (PgwSession::wait_any(0.01, @clients)) { $take->($s); $next->($s) }
			return 0;
		}, 60);
	$primary->stop('immediate');
	$take->($_) for @clients;
	cmp_ok(scalar keys %told, '>=', 20, 'synchronous: ' . keys(%told) . ' payments told as captured');
	cmp_ok($in_flight, '>=', 1, "synchronous: $in_flight calls in flight at the end");
	$standby->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = ''");
	$standby->reload;
	$standby->promote;
	wait_worker($standby);
	is_sound($standby, $bank, 'synchronous: sound after the failover');
	my %there = map { $_ => 1 } split /\n/, $standby->safe_psql('postgres', "SELECT client_request_id FROM pgw.payments WHERE status = 'captured'");
	is(join(',', grep { !$there{$_} } sort keys %told), '', 'synchronous: whoever was told has paid');
	my $rest = PgwSession->new($standby);
	$rest->run(pay($_, token => substr($_, 4) % 3 ? 'tok_ok' : 'tok_slow_100')) for grep { !$told{$_} } keys %asked;
	is_sound($standby, $bank, 'synchronous: sound after everybody else has called again');
	is($standby->safe_psql('postgres', "SELECT count(*) FROM pgw.payments WHERE status = 'captured'"), scalar keys %asked, 'synchronous: everybody has paid');
	is(scalar(grep { !$_->{voided} && $_->{refunded} < $_->{captured} } @{ bank_ledger($bank)->{charges} }), scalar keys %asked, 'synchronous: once');
	$standby->stop('fast');
}

done_testing();
