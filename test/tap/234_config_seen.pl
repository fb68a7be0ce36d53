# Nobody answers, or sends, from a configuration that is older than what the caller could see.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('seen', debug => 1, conf => "fsync = off\n");
my $bank = bank_start();
my $second = bank_start('--seed', 7);    # else its ids would be the first one's
pgw_setup($node, $bank);

sub pay
{
	my ($id, %a) = @_;
	return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, timeout => '60s', %a);
}

sub charge_count
{
	my ($at, $amount) = @_;
	return scalar grep { $_->{amount} == $amount } @{ bank_ledger($at)->{charges} };
}

sub bank_row
{
	my ($name, $at) = @_;
	return "INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('$name', 'json', '$at->{url}', 'bank', 50)";
}

my $old = PgwSession->new($node);    # has read the configuration, and keeps it
is($old->run(pay('first')), 'captured', 'a session that has paid before');

# ---------------------------------------------------------------- the worker has read the configuration of this turn already

# Stopped after that, with another payment; meanwhile the bank moves, a bank comes, and calls for both are made.
part($node, 'taken in the same turn', sub {
	debug_arm($node, 'config_read', 'stop');
	my $wakes = PgwSession->new($node)->send(pay('wakes'));
	debug_wait($node, 'config_read');
	$node->safe_psql('postgres', "UPDATE pgw.banks SET base_url = '$second->{url}' WHERE name = 'bank'; " . bank_row('new', $second));
	my $moved = PgwSession->new($node)->send(pay('moved', bank => 'bank', amount => 4001));
	my $new = $old->send(pay('new', bank => 'new', amount => 4002));
	# in their slots: until there they could wait for the worker's locks, and would choose their bank after the release
	ok($node->poll_query_until('postgres', "SELECT value >= 3 FROM pgw.metrics WHERE name = 'pgw_slots' AND labels->>'state' = 'requested'"), 'both calls wait for the worker');
	debug_release($node, 'config_read');
	is($moved->wait, 'captured', 'the bank that has moved: paid') or diag($moved->err);
	is(charge_count($second, 4001), 1, 'at its new address');
	is(charge_count($bank, 4001), 0, 'and not at the old one');
	is($new->wait, 'captured', 'the new bank: paid') or diag($new->err);
	is(charge_count($second, 4002), 1, 'there');
	$wakes->wait;
	$node->safe_psql('postgres', "UPDATE pgw.banks SET base_url = '$bank->{url}' WHERE name = 'bank'");
});

# ---------------------------------------------------------------- the commit is visible, and has not told anybody

part($node, 'visible', sub {
	debug_arm($node, 'config_visible', 'stop');
	my $change = PgwSession->new($node)->send("BEGIN; UPDATE pgw.banks SET base_url = '$second->{url}' WHERE name = 'bank'; " . bank_row('newer', $second) . '; COMMIT');
	debug_wait($node, 'config_visible');
	is($old->run("SELECT count(*) FROM pgw.banks WHERE name = 'newer'"), 1, 'visible: another session sees the new bank');
	is($old->run(pay('newer', bank => 'newer', amount => 5001)), 'captured', 'and pays there') or diag($old->err);
	is($old->run(pay('moved again', bank => 'bank', amount => 5002)), 'captured', 'and at the one that has moved') or diag($old->err);
	is(charge_count($second, 5001) . charge_count($second, 5002) . charge_count($bank, 5002), '110', 'each where the bank is');
	debug_release($node, 'config_visible');
	$change->wait;
	is($old->run(pay('settled', bank => 'newer', amount => 5003)), 'captured', 'and afterwards');
});

# ---------------------------------------------------------------- the extension anew

part($node, 'anew', sub {
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
	my $keeps = PgwSession->new($node, db => 'shop');
	my @bad;
	for my $round (1 .. 8)
	{
		$node->safe_psql('shop', "SELECT set_config(name, 'on', false) FROM pg_settings WHERE name = 'pgw.allow_drop'; DROP EXTENSION pgw") if $round > 1;
		$node->safe_psql('shop', 'CREATE EXTENSION pgw');
		$node->safe_psql('shop', bank_row("bank$round", $second));
		$keeps->run(pay("anew $round", bank => "bank$round"));
		push @bad, $keeps->err if $keeps->state ne '00000';
	}
	is(scalar @bad, 0, 'the extension dropped and made anew: the first call finds the new bank') or diag(@bad);
});

$node->stop('fast');
done_testing();
