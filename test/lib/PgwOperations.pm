# PgwOperations - captures, voids and refunds: asking for them, what the bank has done, how the payment stands, who hears of it, and ways in
# which a process is lost meanwhile.
package PgwOperations;

use strict;
use warnings;
use Exporter 'import';
use JSON::PP;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(operations_cluster payment_sql pay operation_sql request_operation how_payment_stands done_by_bank listener is_heard
  lose_process @LOSSES %OPERATIONS);

# Each kind of operation: a payment that allows it, its arguments, what the bank has done then, and how the payment stands.
our %OPERATIONS = (
	capture => { payment => { capture => 'manual' }, args => ['600'], done => '1 captures 0 voids 0 refunds', stands => 'captured 600/0/0' },
	void => { payment => { capture => 'manual' }, args => [], done => '0 captures 1 voids 0 refunds', stands => 'voided 0/0/0' },
	refund => { payment => {}, args => ['400'], done => '0 captures 0 voids 1 refunds', stands => 'partially_refunded 1000/400/0' });

# How a process can be lost.
our @LOSSES = ('immediate stop', 'kill -9');

# A cluster and its bank. "Not found" counts there after one second instead of two; as bank form it can be asked nothing.
sub operations_cluster
{
	my ($name, %o) = @_;
	my $node = pgw_node($name, %o, conf => "restart_after_crash = on\nfsync = off\nwal_writer_delay = 10s\n"
		  . "pgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\nautovacuum = off\n");
	my $bank = bank_start();
	pgw_setup($node, $bank);
	my $formbank = slurp_file('test/connectors/formbank.json');
	$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition)
		SELECT 'quick', jsonb_set(definition::jsonb || '{\"name\": \"quick\"}', '{capabilities,lookup_consistent_after_seconds}', '1') FROM pgw.connectors WHERE name = 'json';
		UPDATE pgw.banks SET connector = 'quick', request_timeout = '1s' WHERE name = 'bank';
		INSERT INTO pgw.connectors (name, definition) VALUES ('formbank', \$json\$$formbank\$json\$);
		INSERT INTO pgw.banks (name, connector, base_url, secret, priority, request_timeout) VALUES ('form', 'formbank', '$bank->{url}', 'bank', 900, '1s')");
	return ($node, $bank);
}

# A payment's call; its status.
sub payment_sql
{
	my ($id, %a) = @_;
	return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, amount => 1000, %a);
}

sub pay
{
	my ($node, $id, %a) = @_;
	return $node->safe_psql('postgres', payment_sql($id, %a));
}

# An operation's call: its kind, the payment's request id, its own, and its arguments; its state.
sub operation_sql
{
	my ($kind, $id, $operation, @args) = @_;
	return "SELECT o.transaction_status FROM pgw.find_payment('$id') f, pgw.${kind}_payment(" . join(', ', 'f.payment_id', "'$operation'", @args) . ') o';
}

sub request_operation
{
	my ($node, @operation) = @_;
	return $node->safe_psql('postgres', operation_sql(@operation));
}

# When nothing of it is under way any more: status captured/refunded/refunds pending.
sub how_payment_stands
{
	my ($node, $id) = @_;
	return $node->safe_psql('postgres', "SELECT format('%s %s/%s/%s', w.status, w.captured_amount, w.refunded_amount, w.refund_pending_amount)
		FROM pgw.find_payment('$id') f, pgw.wait_for_payment(f.payment_id, '20s') w");
}

# What the bank has done with the charge of this id: captures, voids, refunds that stand.
sub done_by_bank
{
	my ($node, $bank, $id) = @_;
	my $reference = $node->safe_psql('postgres', "SELECT replace(transaction_id::text, '-', '') FROM pgw.find_payment('$id')");
	my $ledger = bank_ledger($bank);
	my %is_charge = map { $_->{id} => 1 } grep { $_->{reference} eq $reference } @{ $ledger->{charges} };
	my @done;
	for my $what (qw(captures voids refunds))
	{
		my @standing = grep { $is_charge{ $_->{charge} } && ($_->{status} // 'succeeded') eq 'succeeded' } @{ $ledger->{$what} };
		push @done, @standing . " $what";
	}
	return join ' ', @done;
}

# Who listens: { session, heard }, the latter all that was heard so far.
sub listener
{
	my ($node) = @_;
	my $session = PgwSession->new($node);
	$session->run('LISTEN pgw_payments');
	return { session => $session, heard => [] };
}

# Of this payment the listener hears just that, each operation and its outcome.
sub is_heard
{
	my ($node, $listener, $id, $want, $name) = @_;
	my $payment = $node->safe_psql('postgres', "SELECT payment_id FROM pgw.find_payment('$id')");
	my $last = '';
	my $heard = sub {
		my $out = $listener->{session}->run('SELECT 1');
		push @{ $listener->{heard} }, decode_json($1) while $out =~ /payload "(\{.*\})" received/g;
		return $last = join ',', map { "$_->{kind} $_->{outcome}" } grep { $_->{payment_id} eq $payment } @{ $listener->{heard} };
	};
	ok(wait_until(sub { $heard->() eq $want }, 20), $name) or diag $last;
}

# The process is lost, and the cluster is up again.
sub lose_process
{
	my ($node, $how, $pid) = @_;
	return crash($node, $pid) if $how eq 'kill -9';
	$node->stop('immediate');
	debug_clear($node);
	$node->start;
}

1;
