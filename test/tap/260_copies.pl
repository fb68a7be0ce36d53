# A physical copy that is started beside its original touches no payment until it is told that it is the one that goes on; a cluster that was moved
# is no copy.
use strict;
use warnings;
use lib 'test/lib';
use PgwCopies;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($origin, $bank) = origin_cluster();

part($origin, 'a new database', sub {
	is($origin->safe_psql('postgres', 'SELECT count(*), count(taken_over), count(incident_id) FROM pgw.resumptions'), '1|0|1',
		'a new database: on record, as one that had no payments to decide about');
});
is_paying($origin, 'a new cluster');
is(health($origin, 'state_file'), 'ok', 'a new cluster: its state is on disk');
$origin->safe_psql('postgres', 'CREATE DATABASE shop');
pgw_setup($origin, $bank, db => 'shop');
is($origin->safe_psql('shop', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'shop')), 'captured', 'a second database pays');

part($origin, 'base backup', sub {
	my $space = $origin->basedir . '/space';
	mkdir $space;
	$origin->safe_psql('postgres', "CREATE TABLESPACE space LOCATION '$space'");
	$origin->safe_psql('postgres', 'CREATE TABLE orders (id text) TABLESPACE space');
	my $caller = PgwSession->new($origin);
	$caller->query('BEGIN');
	is($caller->query('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'open')), 'captured', 'base backup: charged, and the caller has not committed');
	$origin->safe_psql('postgres', 'BEGIN; SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'prepared') . "; PREPARE TRANSACTION 'p'");
	$origin->backup('base', backup_options => [ "--tablespace-mapping=$space=" . $origin->basedir . '/copied-space' ]);
	my $copy = cluster_from('copy', $origin->backup_dir . '/base', "pgw.worker_mode = 'on'\n");
	$copy->start;
	is_paused($copy, $bank, 'base_backup', 'base backup');
	$caller->query('COMMIT');
	is(status_of($origin, 'open'), 'Completed', 'base backup: the caller commits at the origin');
	is(scalar refunds_of($bank, charges_of($origin, $bank, 'open')), 0, 'base backup: and the copy has not given his money back');
	is($copy->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'queued')), 'pending', 'base backup: submit_payment is queued');

	$copy->restart;
	is_paused($copy, $bank, 'base_backup', 'base backup, started again');
	crash_launcher($copy);
	is_paused($copy, $bank, 'base_backup', 'base backup, after a crash');
	$copy->safe_psql('postgres', 'BEGIN; SELECT pgw.resume_after_restore(); ROLLBACK');
	is_refused($copy, 'base backup, a resumption was rolled back');
	$copy->safe_psql('postgres', 'DELETE FROM pgw.restore_pending');
	ok($copy->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pgw.restore_pending'), 'base backup: the mark cannot be deleted for good');

	resume($copy, 'base backup');
	ok($copy->poll_query_until('postgres', "SELECT status = 'RequiresManualReview' FROM pgw.payment_transactions WHERE client_request_id = 'open'"),
		'base backup: what the copy holds no payments row of is for a person');
	is(scalar refunds_of($bank, charges_of($origin, $bank, 'open')), 0, 'base backup: and is not given back');
	ok($copy->poll_query_until('postgres', "SELECT transaction_status = 'Completed' FROM pgw.find_payment('queued')"), 'base backup: what was queued is sent');
	is(status_of($copy, 'prepared'), 'BankApproved', 'base backup: what is prepared there waits for whoever ends it');
	is(status_of($origin, 'prepared'), 'BankApproved', 'base backup: as in the origin');
	is_refused($copy, 'base backup, the other database', 'shop');
	is(health($copy, 'restored', 'shop'), 'error|base_backup', 'base backup: each database is resumed by itself');
	$copy->restart;
	is_paying($copy, 'base backup, resumed and restarted');
	is_refused($copy, 'base backup, the other database after a restart', 'shop');
	$copy->stop('fast');
	$origin->safe_psql('postgres', "COMMIT PREPARED 'p'");
	$origin->safe_psql('postgres', $_) for 'DROP TABLE orders', 'DROP TABLESPACE space';
});

part($origin, 'point in time', sub {
	$origin->backup('pitr');
	my $copy = cluster_from('pitr', $origin->backup_dir . '/pitr', "restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\n");
	touch($copy->data_dir . '/recovery.signal');
	$copy->start;
	ok($copy->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'), 'point in time: promoted');
	is_paused($copy, $bank, 'point_in_time_recovery', 'point in time');
	resume($copy, 'point in time');
	$copy->restart;
	is_paying($copy, 'point in time, restarted');
	# again, in place: every file is its own
	$copy->stop('fast');
	$copy->append_conf('postgresql.conf', "recovery_target = ''\n");
	touch($copy->data_dir . '/recovery.signal');
	$copy->start;
	ok($copy->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'), 'point in time, in place: promoted');
	is_paused($copy, $bank, 'point_in_time_recovery', 'point in time, in place');
	$copy->stop('fast');

	my $target = cluster_from('target', $origin->backup_dir . '/pitr', "restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\n");
	touch($target->data_dir . '/standby.signal');
	$target->start;
	ok($target->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'), 'a standby with a recovery target: promoted');
	is_paused($target, $bank, 'point_in_time_recovery', 'a standby with a recovery target');
	$target->stop('fast');
});

part($origin, 'file copies', sub {
	my $cold = cold_copy($origin, 'cold');
	is_paying($origin, 'the original of a cp -a');
	my $copy = cluster_from('cp', $cold);
	$copy->start;
	is_paused($copy, $bank, 'another_directory', 'cp -a');
	resume($copy, 'cp -a');
	$copy->restart;
	is_paying($copy, 'cp -a, resumed and restarted');
	$copy->stop('fast');

	# mv keeps what the copy has not
	my $elsewhere = $copy->basedir . '/elsewhere';
	rename $copy->data_dir, $elsewhere or die $!;
	symlink $elsewhere, $copy->data_dir or die $!;
	$copy->start;
	is_paying($copy, 'mv, and started through a symbolic link');

	# An older copy is put back into the directory: the same directory, other files, older payments.
	$copy->stop('fast');
	system_or_bail('sh', '-c', "rm -rf '$elsewhere'/* && cp -a '$cold'/. '$elsewhere'");
	append_address($copy);
	$copy->start;
	is_paused($copy, $bank, 'another_directory', 'put back in place');
	resume($copy, 'put back in place');
	$copy->stop('fast');
});

$origin->stop('fast');
done_testing();
