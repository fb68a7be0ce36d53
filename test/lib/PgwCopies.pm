# PgwCopies - copies of a cluster's files: an original whose payments are at stake, clusters made from its files or backups, and
# whether such a cluster pays, or is paused until a person says that it is the one that goes on.
package PgwCopies;

use strict;
use warnings;
use Exporter 'import';
use PgwRestore qw(worker_looks);
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(origin_cluster cluster_from cold_copy append_address touch state_file_of health log_size log_since crash_launcher
  is_paying is_refused is_paused resume);

my $payments = 0;

# The original and its bank; of it, backups and standbys can be made. It holds a payment: a copy without any has nothing to decide about, and
# is not paused.
sub origin_cluster
{
	my (%o) = @_;
	my $bank = bank_start();
	my $origin = pgw_node('origin', %o, init => { allows_streaming => 1 },
		conf => "restart_after_crash = on\nfsync = off\npgw.recovery_interval = 1s\npgw.compensation_delay = 50ms\nwal_log_hints = on\nwal_keep_size = 256MB\n");
	pgw_setup($origin, $bank);
	$origin->safe_psql('postgres', 'SELECT ' . pay_sql('process_payment', client_request_id => 'original'));
	# what a copy of postgresql.auto.conf brings along must not help
	$origin->safe_psql('postgres', "ALTER SYSTEM SET pgw.worker_mode = 'on'");
	return ($origin, $bank);
}

# A cluster in a folder of its own from a folder that a server has left or a backup has made.
sub cluster_from
{
	my ($name, $from, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	rmdir $node->data_dir;
	system_or_bail('cp', '-a', $from, $node->data_dir);
	unlink $node->data_dir . '/postmaster.pid';
	append_address($node);
	$node->append_conf('postgresql.conf', $conf) if defined $conf;
	return $node;
}

# The original's files as it leaves them when it is stopped; it is up again afterwards. The folder.
sub cold_copy
{
	my ($origin, $name) = @_;
	my $folder = $origin->basedir . "/$name";
	$origin->stop('fast');
	system_or_bail('cp', '-a', $origin->data_dir, $folder);
	$origin->start;
	return $folder;
}

# Files that were another cluster's have its address in them; the last one counts.
sub append_address
{
	my ($node) = @_;
	$node->append_conf('postgresql.conf', 'port = ' . $node->port . "\nunix_socket_directories = '" . $node->host . "'\n");
}

sub touch
{
	my ($file) = @_;
	append_to_file($file, '');
}

# What a data directory says of whose it is.
sub state_file_of
{
	my ($data_dir) = @_;
	return slurp_file("$data_dir/pgw.state");
}

# Status and reason of one check.
sub health
{
	my ($node, $check, $db) = @_;
	return $node->safe_psql($db // 'postgres', "SELECT concat_ws('|', status, details->>'reason') FROM pgw.health() WHERE check_name = '$check'");
}

sub log_size
{
	my ($node) = @_;
	return -s $node->logfile // 0;
}

sub log_since
{
	my ($node, $seen) = @_;
	return slurp_file($node->logfile, $seen);
}

sub crash_launcher
{
	my ($node) = @_;
	crash($node, $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw launcher'"));
}

sub is_paying
{
	my ($node, $name) = @_;
	my $id = 'pay' . ++$payments;
	ok(wait_worker($node), "$name: it has its worker");
	my ($rc, $out, $err) = $node->psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id));
	is($out, 'captured', "$name: it pays") or diag($err);
}

sub is_refused
{
	my ($node, $name, $db) = @_;
	PgwRestore::is_refused($node, $db // 'postgres', 'too-early', 'resume_after_restore', "$name: process_payment is refused, and the hint says what to do");
}

# Nothing reaches the bank, and health() says why.
sub is_paused
{
	my ($node, $bank, $reason, $name) = @_;
	my $sent = bank_ledger($bank)->{requests};
	ok(wait_worker($node), "$name: there is a worker");
	is_refused($node, $name);
	ok(worker_looks($node, 'postgres', 2), "$name: it looks at its tables");
	is(bank_ledger($bank)->{requests}, $sent, "$name: and asks the bank nothing");
	is(health($node, 'restored'), "error|$reason", "$name: health() says what happened");
}

# A person says that this cluster is the one that goes on, and it does.
sub resume
{
	my ($node, $name) = @_;
	my $seen = log_size($node);
	like($node->safe_psql('postgres', "SELECT pgw.resume_after_restore('by the test')"), qr/^\d+$/, "$name: resumed");
	ok(wait_until(sub { log_since($node, $seen) =~ /pgw: worker goes on/ }, 30), "$name: the worker goes on");
	is_paying($node, $name);
	like(health($node, 'restored'), qr/^ok\|/, "$name: health() is content");
}

1;
