# A commit can be seen on a server before its synchronous standby has it: after a crash, or when its wait was cut short.  Nobody is told of a payment then, as the
# standby that is promoted gives it back: who repeats the call, or asks, waits until the standby has it.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $bank = bank_start();
my $node = pgw_node('seen', conf => "fsync = off\npgw.fencing_delay = 0\nmax_prepared_transactions = 5\n", init => { allows_streaming => 1 });
pgw_setup($node, $bank);
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('seen_standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);

sub pay { my ($id) = @_; return pay_sql('process_payment', client_request_id => $id, timeout => '2s') }

# A status, or the error.
sub told
{
	my ($sql, @before) = @_;
	my $session = PgwSession->new($node);
	$session->run($_) for @before;
	my $status = $session->send("SELECT status FROM $sql")->wait;
	return $session->state eq '00000' ? $status : $session->state;
}

# The session's command waits for the standby, as the worker may, too.
sub waits { my ($s) = @_; return $node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid = " . $s->backend) }

# Paid, and the caller has not voted yet; then the standby goes.
sub answered
{
	my ($id, $end) = @_;
	my $s = PgwSession->new($node);
	$s->run('BEGIN; SELECT status FROM ' . pay($id));
	like($s->{out}, qr/captured/, "$id is answered");
	$s->run("PREPARE TRANSACTION '$id'") if $end =~ /PREPARED/;
	$standby->stop('immediate');
	return $s->send($end);
}

sub crash_now
{
	my @processes = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity');
	$node->kill9;
	ok(wait_until(sub { !grep { kill 0, $_ } @processes }, 60), 'the server is killed');
	$node->start;
}

is($node->safe_psql('postgres', 'SELECT status FROM ' . pay('alone')), 'captured', 'a payment without a standby');
$node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = 'seen_standby'");
$node->reload;
is(told(pay('alone')), 'captured', '... is told, also when there is to be one from now on, which has not come yet');
$standby->start;
is($node->safe_psql('postgres', 'SELECT status FROM ' . pay('before')), 'captured', 'a payment, with its standby');
my $before = $node->safe_psql('postgres', "SELECT payment_id FROM pgw.payments WHERE client_request_id = 'before'");
my $refund = "pgw.refund_payment('$before', 'some', 1)";
$node->safe_psql('postgres', "SELECT $refund");
ok($node->poll_query_until('postgres', "SELECT status = 'partially_refunded' FROM pgw.get_payment('$before')"), 'partly refunded');
$standby->stop('immediate');
is(told(pay('before')), 'partially_refunded', 'what the standby has is told, also while it is away');
is(told("pgw.get_payment('$before')"), 'partially_refunded', '... to who asks, too');
$standby->start;

# ---------------------------------------------------------------- a crash

my $crashes = answered('crashed', 'COMMIT');
ok(waits($crashes), '... and its COMMIT waits');
crash_now();
is($node->safe_psql('postgres', "SELECT status FROM pgw.payments WHERE client_request_id = 'crashed'"), 'captured', 'after a crash the server shows it as committed');
my $crashed = $node->safe_psql('postgres', "SELECT payment_id FROM pgw.payments WHERE client_request_id = 'crashed'");
is(told(pay('crashed')), 'PW409', 'who repeats the call is not told so');
is(told("pgw.process_payments('[" . '{"client_request_id": "crashed", "amount": 1234, "currency": "EUR", "token": "tok_ok"}' . "]')", "SET pgw.wait_timeout = '2s'"), 'PW409', '... nor with many');
is(told("pgw.find_payment('crashed')", "SET pgw.wait_timeout = '1s'"), 'PW409', '... nor who looks for it');
is(told("pgw.get_payment('$crashed')", "SET pgw.wait_timeout = '1s'"), 'PW409', '... or asks for it');
is(told("pgw.wait_for_payment('$crashed', '1s')"), 'PW409', '... or waits for it');
is(told($refund, "SET pgw.wait_timeout = '1s'"), 'PW409', '... or repeats an operation');
is(told(pay('crashed'), "SET synchronous_commit = 'local'"), 'captured', 'who wants no standby is told at once');
my $patient = PgwSession->new($node)->send('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'crashed', timeout => '60s'));
ok(waits($patient), 'who has time waits');
$standby->start;
is($patient->wait, 'captured', '... and is told when the standby is back');

# ---------------------------------------------------------------- waits that are cut short

for my $end ('COMMIT', "COMMIT PREPARED 'prepared'")
{
	my $id = $end =~ /PREPARED/ ? 'prepared' : 'cancelled';
	my $s = answered($id, $end);
	ok(waits($s), "... and $end waits");
	$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $s->backend . ')');
	$s->wait;
	like($s->err, qr/the transaction has already committed locally/i, '... and is cancelled');
	is(told(pay($id)), 'PW409', 'nobody is told of it');
	$standby->start;
	is(told(pay($id)), 'captured', '... before the standby is back');
}
my $local = PgwSession->new($node);
$local->run("SET synchronous_commit = 'local'; BEGIN; SELECT status FROM " . pay('local'));
$standby->stop('immediate');
$local->run('COMMIT');
is($local->state, '00000', 'a COMMIT that does not wait');
is(told(pay('local')), 'PW409', '... is told to nobody else');

# ---------------------------------------------------------------- why

$standby->start;
is(told(pay('local')), 'captured', '... before the standby is back');
my $lost = answered('lost', 'COMMIT');
ok(waits($lost), '... and its COMMIT waits');
crash_now();
is(told(pay('lost')), 'PW409', 'another one that only this server has');
$node->stop('immediate');
$standby->start;
$standby->promote;
$standby->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf()");
ok(wait_worker($standby), 'the standby is promoted');
ok($standby->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgw.payment_transactions WHERE client_request_id = 'lost' AND status = 'Refunded'"), '... and gives it back');
is($standby->safe_psql('postgres', 'SELECT status FROM ' . pay('lost')), 'captured', 'the same call there: it is paid');
is(scalar kept_charges($standby, $bank, 'lost'), 1, '... once');
is_sound($standby, $bank, 'all is sound');
done_testing();
