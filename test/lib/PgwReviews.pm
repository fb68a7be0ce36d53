# PgwReviews - payments in manual review: a cluster with the banks that bring payments there, what stands in review, and what an operator
# says of it.
package PgwReviews;

use strict;
use warnings;
use Exporter 'import';
use JSON::PP;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(reviews_cluster pay pay_and_roll_back newest_attempt newest_status payment_status attempt_becomes payment_becomes
  open_review resolve_sql resolve refusal charge_id charges_made_and_kept requests_of);

# A cluster and its bank, which it knows by two more names: form, which can be asked nothing, and hasty, which is soon given up.
sub reviews_cluster
{
	my ($name) = @_;
	my $node = pgw_node($name, conf => "fsync = off\npgw.compensation_delay = '20ms'\npgw.retry_base_delay = '20ms'\npgw.retry_max_delay = '200ms'\n"
		  . "pgw.refund_max_attempts = 2\npgw.unknown_deadline = '1s'\npgw.breaker_failures = 10000\n");
	my $bank = bank_start();
	pgw_setup($node, $bank);
	my $definition = slurp_file('test/connectors/formbank.json');
	$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition) VALUES ('formbank', \$json\$$definition\$json\$);
		INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('form', 'formbank', '$bank->{url}', 'bank', 200);
		INSERT INTO pgw.banks (name, connector, base_url, secret, priority, request_timeout) VALUES ('hasty', 'json', '$bank->{url}', 'bank', 200, '300ms');
		SELECT pgw.grant_access('postgres', 'operator')");
	return ($node, $bank);
}

sub pay
{
	my ($node, $id, %a) = @_;
	return $node->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a));
}

sub pay_and_roll_back
{
	my ($node, $id, %a) = @_;
	return $node->safe_psql('postgres', 'BEGIN; SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) . '; ROLLBACK');
}

# The newest attempt of a request id, and its state.
sub newest_attempt
{
	my ($node, $id) = @_;
	return $node->safe_psql('postgres', "SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = '$id' ORDER BY transaction_id DESC LIMIT 1");
}

sub newest_status
{
	my ($node, $id) = @_;
	return (split /,/, status_of($node, $id))[-1];
}

# What the payments row says.
sub payment_status
{
	my ($node, $id) = @_;
	return $node->safe_psql('postgres', "SELECT status FROM pgw.payments WHERE client_request_id = '$id'");
}

sub attempt_becomes
{
	my ($node, $id, $status, $what) = @_;
	wait_until(sub { newest_status($node, $id) eq $status });
	return is(newest_status($node, $id), $status, $what);
}

sub payment_becomes
{
	my ($node, $id, $status, $what) = @_;
	wait_until(sub { payment_status($node, $id) eq $status });
	return is(payment_status($node, $id), $status, $what);
}

# Where the review came from, why, and what can be done.
sub open_review
{
	my ($node, $id) = @_;
	return $node->safe_psql('postgres', "SELECT came_from, reason, possible_actions FROM pgw.manual_reviews WHERE client_request_id = '$id'");
}

# An operator's action, with the bank's reference as its evidence if there is one.
sub resolve_sql
{
	my ($node, $id, $action, $reference) = @_;
	return sprintf "SELECT pgw.resolve_review('%s', '%s', 'because of $id', '%s')", newest_attempt($node, $id), $action,
	  defined $reference ? encode_json({ bank_reference => $reference }) : '{}';
}

sub resolve
{
	my ($node, @action) = @_;
	return $node->safe_psql('postgres', resolve_sql($node, @action));
}

# The error that the action is answered with.
sub refusal
{
	my ($node, @action) = @_;
	my (undef, undef, $err) = $node->psql('postgres', resolve_sql($node, @action), extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return $err;
}

# The bank's id of the charge that was made for a request id.
sub charge_id
{
	my ($node, $bank, $id) = @_;
	my ($charge) = charges_of($node, $bank, $id);
	return $charge ? $charge->{id} : 'ch_unknown';
}

sub charges_made_and_kept
{
	my ($node, $bank, $id) = @_;
	my @made = charges_of($node, $bank, $id);
	my @kept = kept_charges($node, $bank, $id);
	return @made . ' ' . @kept;
}

# How often the bank was asked for an operation.
sub requests_of
{
	my ($bank, $operation) = @_;
	return bank_ledger($bank)->{requests_by_operation}{$operation} // 0;
}

1;
