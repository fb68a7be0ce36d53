# PgwRestore - databases that come out of a dump or a copy: making them, whether they stay paused, and what becomes of their attempts when they are resumed.
package PgwRestore;

use strict;
use warnings;
use Exporter 'import';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(scanning_node dump_to restore_into set_worker_mode requests_sent charge_requests attempt_state comes_to_state paid worker_looks
  is_refused stays_paused is_resumed charged_once_each);

# The worker looks at its tables every second: where nothing happens in spite of that, nothing will.
sub scanning_node
{
	my ($name, %o) = @_;
	return pgw_node($name, conf => "pgw.recovery_interval = 1s\npgw.compensation_delay = 1s\nwal_level = replica\nmax_wal_senders = 5\n", %o);
}

sub dump_to
{
	my ($node, $db, $file, @options) = @_;
	system_or_bail('pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', $file, @options, $db);
	return $file;
}

sub restore_into
{
	my ($node, $db, $file, @options) = @_;
	command_ok([ 'pg_restore', '-e', '-h', $node->host, '-p', $node->port, '-d', $db, @options, $file ], "pg_restore @options into $db of " . $node->name);
}

sub set_worker_mode
{
	my ($node, $mode) = @_;
	my $seen = -s $node->logfile;
	change_settings($node, 'pgw.worker_mode' => $mode);
	my $line = $mode eq 'paused' ? 'worker paused' : 'worker goes on';
	ok(wait_until(sub { slurp_file($node->logfile, $seen) =~ /LOG:  pgw: $line for database/ }, 20), "pgw.worker_mode = $mode takes effect at a reload, with a line in the log");
}

# The number of the last request that has reached the bank.
sub requests_sent { my ($bank) = @_; my $log = bank_log($bank, 1); return @$log ? $log->[0]{number} : 0 }

# How often the bank was asked to charge for this id.
sub charge_requests
{
	my ($node, $bank, $db, $id) = @_;
	my $reference = $node->safe_psql($db, "SELECT replace(transaction_id::text, '-', '') FROM pgw.find_payment('$id')");
	return scalar grep { $_->{operation} eq 'charge' && $_->{reference} eq $reference } @{ bank_log($bank, 5000) };
}

# The state of the attempt that find_payment() tells of.
sub attempt_state
{
	my ($node, $db, $id) = @_;
	return $node->safe_psql($db, "SELECT transaction_status FROM pgw.find_payment('$id')");
}

sub comes_to_state
{
	my ($node, $db, $id, $state, $name) = @_;
	ok(wait_until(sub { attempt_state($node, $db, $id) eq $state }, 30), $name) or diag(attempt_state($node, $db, $id));
}

# Call process_payment(); the status of the payment.
sub paid
{
	my ($node, $db, $id, %a) = @_;
	return $node->safe_psql($db, 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a));
}

# The worker has looked at its tables n times more.
sub worker_looks
{
	my ($node, $db, $n) = @_;
	my $sql = "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relid = 'pgw.restore_pending'::regclass";
	my $before = $node->safe_psql($db, $sql);
	return wait_until(sub { my ($rc, $now) = $node->psql($db, $sql); $rc == 0 && $now >= $before + $n }, 60);
}

sub is_refused
{
	my ($node, $db, $id, $hint, $name) = @_;
	my (undef, undef, $err) = $node->psql($db, "\\set VERBOSITY verbose\nSELECT " . pay_sql('process_payment', client_request_id => $id));
	like($err, qr/PW500.*"code": "worker_paused".*HINT: .*\Q$hint\E/s, $name);
}

# No request, whatever the worker sees in the tables, also after a restart.
sub stays_paused
{
	my ($node, $bank, $db, $name) = @_;
	my $sent = requests_sent($bank);
	is_refused($node, $db, 'too-early', 'pgw.resume_after_restore()', "$name: process_payment is refused, and the hint says what to do");
	is($node->safe_psql($db, "SELECT count(*) FROM pgw.find_payment('too-early')"), 0, "$name: and leaves nothing");
	is($node->safe_psql($db, 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => "queued in $name")), 'pending', "$name: submit_payment is queued");
	ok(worker_looks($node, $db, 3), "$name: the worker looks again and again");
	$node->restart;
	ok(wait_worker($node, $db), "$name: after a restart of the server");
	ok(worker_looks($node, $db, 2), "$name: too");
	is_refused($node, $db, 'too-early', 'pgw.resume_after_restore()', "$name: it is still paused");
	is(attempt_state($node, $db, "queued in $name"), 'Created', "$name: what was queued waits");
	is(requests_sent($bank), $sent, "$name: the bank has heard nothing");
}

# Resume what stays_paused() has looked at.
sub is_resumed
{
	my ($node, $db, $expected, $name) = @_;
	is($node->safe_psql($db, "SELECT pgw.resume_after_restore('by the test')"), $expected, "$name: resumed, $expected attempts taken over");
	my (undef, undef, $err) = $node->psql($db, "\\set VERBOSITY verbose\nSELECT pgw.resume_after_restore()");
	like($err, qr/PW422.*operation_not_allowed.*HINT/s, "$name: once");
	comes_to_state($node, $db, "queued in $name", 'Completed', "$name: what was queued is sent");
	is(paid($node, $db, "paid in $name"), 'captured', "$name: it pays again");
}

# Whatever was dumped, copied and resumed: no attempt was charged twice, and nothing that is kept was given back.
sub charged_once_each
{
	my ($bank) = @_;
	my %charges;
	$charges{ $_->{reference} }++ for grep { $_->{status} eq 'approved' } @{ bank_ledger($bank)->{charges} };
	is(join(',', grep { $charges{$_} > 1 } sort keys %charges), '', 'the bank holds one charge for each attempt');
	is(scalar @{ bank_ledger($bank)->{refunds} }, 0, 'and no refund');
}

1;
