# PgwDuplicates - several calls of one id: what sends them from sessions, reads what they answered, and sees who waits for whom. Each id is
# the payment's reference too, so that the bank's ledger is searched without the help of pgw's tables.
package PgwDuplicates;

use strict;
use warnings;
use Exporter 'import';
use PgwTest;
use Test::More;

our @EXPORT = qw(call_sql answer call charges_by_reference charge_requests adoptions is_waiting_for is_paid_once);

# SELECT of a call of process_payment or submit_payment; the same arguments give the same request.
sub call_sql
{
	my ($function, $id, %a) = @_;
	return 'SELECT payment_id, transaction_id, status, replayed, error_code FROM '
	  . pay_sql("${function}_payment", client_request_id => $id, reference => $id, %a);
}

# What a session's call answered: { payment, attempt, status, replayed, error }.
sub answer
{
	my ($session) = @_;
	my %answer;
	@answer{qw(payment attempt status replayed error)} = split /\|/, $session->wait, -1;
	return \%answer;
}

sub call
{
	my ($session, @call) = @_;
	$session->send(call_sql(@call));
	return answer($session);
}

# Every charge that the bank ever made for the id.
sub charges_by_reference
{
	my ($bank, $id) = @_;
	return grep { $_->{merchant_reference} eq $id } @{ bank_ledger($bank)->{charges} };
}

# How often the bank was asked to charge, whatever for.
sub charge_requests
{
	my ($bank) = @_;
	return bank_ledger($bank)->{requests_by_operation}{charge} // 0;
}

# How often an attempt of the id was taken over.
sub adoptions
{
	my ($node, $id) = @_;
	return scalar grep { $_ eq 'TransactionAdopted' } split /,/, events($node, $id);
}

# A wait for another session's (sub)transaction, as pg_stat_activity and pg_locks show it.
sub is_waiting_for
{
	my ($node, $session, $other, $name) = @_;
	my $sql = sprintf "SELECT a.wait_event_type, l.locktype, pg_blocking_pids(a.pid) FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE a.pid = %s AND NOT l.granted", $session->backend;
	my $expected = 'Lock|transactionid|{' . $other->backend . '}';
	my $seen = '';
	wait_until(sub { ($seen = $node->safe_psql('postgres', $sql)) eq $expected || $session->done }, 10);
	is($seen, $expected, $name);
}

# Captured in the end, one charge, asked for once since the bank had so many requests.
sub is_paid_once
{
	my ($node, $bank, $id, $requests, $name) = @_;
	is($node->safe_psql('postgres', "SELECT w.status FROM pgw.payments p, pgw.wait_for_payment(p.payment_id, '20s') w WHERE p.client_request_id = '$id'"), 'captured', "$name: paid");
	my @charges = charges_by_reference($bank, $id);
	is(join(',', map { "$_->{status} $_->{refunded} $_->{voided}" } @charges), 'approved 0 0', "$name: one charge, nothing given back");
	is(charge_requests($bank) - $requests, 1, "$name: one request");
}

1;
