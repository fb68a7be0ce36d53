# A dump that is older than operations of its payments: the restored database finds out what the bank has done, and does nothing twice.
use strict;
use warnings;
use lib 'test/lib';
use PgwOperations;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($node, $bank) = operations_cluster('operations_restored');
sub sql { return $node->safe_psql('postgres', $_[0]) }

part($node, 'dump', sub {
	pay($node, 'dumped');
	pay($node, 'dumped oc', capture => 'manual');
	change_settings($node, 'pgw.worker_mode' => 'paused');
	request_operation($node, 'refund', 'dumped', 'dumped-r', 400);
	request_operation($node, 'capture', 'dumped oc', 'dumped-c', 600);
	my $file = $node->basedir . '/dump';
	system_or_bail('pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', $file, 'postgres');
	change_settings($node, 'pgw.worker_mode' => 'on');
	is(how_payment_stands($node, 'dumped'), 'partially_refunded 1000/400/0', 'the original refunds');
	is(how_payment_stands($node, 'dumped oc'), 'captured 600/0/0', 'and captures');
	sql('CREATE DATABASE copy');
	system_or_bail('pg_restore', '-h', $node->host, '-p', $node->port, '-d', 'copy', $file);
	$node->safe_psql('copy', 'SELECT pgw.resume_after_restore()');
	for my $case ([ 'dumped', 'partially_refunded 400' ], [ 'dumped oc', 'captured 0' ])
	{
		my ($id, $stands) = @$case;
		is($node->safe_psql('copy', "SELECT w.status || ' ' || w.refunded_amount FROM pgw.find_payment('$id') f, pgw.wait_for_payment(f.payment_id, '20s') w"), $stands, "the copy finds out: $id, $stands");
	}
	is(done_by_bank($node, $bank, 'dumped'), '0 captures 0 voids 1 refunds', 'and the bank has refunded once');
	is(done_by_bank($node, $bank, 'dumped oc'), '1 captures 0 voids 0 refunds', 'and captured once');
});

$node->stop('fast');
done_testing();
