# PgwBundles - calls of process_payments(): their text from a list of requests, and their rows.
package PgwBundles;

use strict;
use warnings;
use Exporter 'import';
use JSON::PP;
use PgwTest;

our @EXPORT = qw(bundle_sql bundle_rows requests_of row_of);

my $json = JSON::PP->new->canonical;

# Each request is [ id, token, further members … ]; of an id as reference, too, the bank's ledger is searched by it.
sub requests_of
{
	return $json->encode([ map { my ($id, $token, %more) = @$_; +{ client_request_id => $id, amount => 1234, currency => 'EUR', token => $token // 'tok_ok', reference => $id, %more } } @_ ]);
}

sub bundle_sql
{
	my ($options, @requests) = @_;
	return sprintf "SELECT ordinal, client_request_id, status, error_code, replayed, http_status FROM pgw.process_payments('%s'%s)", requests_of(@requests), $options ? ", $options" : '';
}

# What a session's call has answered: one text for each row.
sub bundle_rows
{
	my ($session) = @_;
	return [ split /\n/, $session->wait ];
}

# A row as bundle_rows() has it.
sub row_of
{
	my ($ordinal, $id, $status, $error, $replayed, $http) = @_;
	return join '|', $ordinal, $id, $status, $error, $replayed, $http;
}

1;
