# What the worker knows of banks' health has an end and clear names; and payments go on while a change of the configuration waits for its commit.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use Test::More;

my $node = pgw_node('bank_health', debug => 1, conf => "fsync = off\npgw.retry_base_delay = '100ms'\npgw.breaker_failures = 1\nautovacuum = off\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

sub banks_with_state
{
	return sql("SELECT coalesce(string_agg(DISTINCT bank, ' ' ORDER BY bank), '') FROM pgw.bank_states");
}

# The worker's clock is ahead by that much: what it does once an hour is due.
sub pay_ahead
{
	my ($s) = @_;
	change_settings($node, 'pgw.debug_clock_offset' => $s);
	is(sql(pay("ahead $s")), 'captured', "the worker's clock is $s s ahead");
}

part($node, 'names', sub {
	for my $name ('bank@3', '@1', 'a@b@0')
	{
		my ($rc, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nINSERT INTO pgw.banks (name, connector, base_url) VALUES ('$name', 'json', 'https://bank.example')");
		like($err, qr/PW400.*"field": "name"/s, "$name is no bank's name, as a version is named so");
	}
	for my $name ('bank@', 'bank@b', '3@bank', 'bank@3x')
	{
		is(($node->psql('postgres', "BEGIN; INSERT INTO pgw.banks (name, connector, base_url) VALUES ('$name', 'json', 'https://bank.example'); ROLLBACK"))[0], 0, "$name is one");
	}
});

part($node, 'forgotten', sub {
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('former', 'json', 'http://127.0.0.1:1', 'bank', 500), ('present', 'json', 'http://127.0.0.1:1', 'bank', 501)");
	is(sql(pay("down $_", bank => $_)), 'failed', "forgotten: $_ is down") for 'former', 'present';
	ok(wait_until(sub { banks_with_state() eq 'former present' }, 30), 'forgotten: which is kept') or diag(banks_with_state());
	sql("DELETE FROM pgw.banks WHERE name = 'former'");
	pay_ahead(1800);
	is(banks_with_state(), 'former present', 'forgotten: for a while');
	pay_ahead(3 * 3600);
	ok(wait_until(sub { banks_with_state() eq 'present' }, 30), 'forgotten: not for ever, where there is no such bank any more') or diag(banks_with_state());
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('former', 'json', '$bank->{url}', 'bank', 500)");
	is(sql(pay('former again', bank => 'former')), 'captured', 'forgotten: one that comes with its name begins anew');
	is(sql("SELECT state <> 'closed' FROM pgw.bank_states WHERE bank = 'present' AND operation_group = 'charges'"), 't', 'forgotten: a bank that is there is left alone as before');
	change_settings($node, 'pgw.debug_clock_offset' => 0);
});

# Visible already, and the generation is not raised yet: as when a commit waits for a synchronous standby.
part($node, 'unsettled', sub {
	debug_arm($node, 'config_visible', 'stop');
	my $dba = PgwSession->new($node)->send("UPDATE pgw.banks SET priority = 502 WHERE name = 'present'");
	debug_wait($node, 'config_visible');
	is(sql(pay('unsettled')), 'captured', 'unsettled: payments go on');
	debug_release($node, 'config_visible');
	$dba->wait;
	is($dba->state, '00000', 'unsettled: the change is made');
});

is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
