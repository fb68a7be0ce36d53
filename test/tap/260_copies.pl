# A physical copy that is started beside its original touches no payment until it is told that it is the one that goes on; a standby, a move and a crash are
# no copies.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $bank = bank_start();
my $origin = pgw_node('origin', debug => 1, init => { allows_streaming => 1 },
	conf => "restart_after_crash = on\nfsync = off\npgw.recovery_interval = 1s\npgw.compensation_delay = 50ms\nwal_log_hints = on\nwal_keep_size = 256MB\n");
pgw_setup($origin, $bank);

sub requests { return bank_ledger($bank)->{requests} }
sub health { my ($node, $check, $db) = @_; return $node->safe_psql($db // 'postgres', "SELECT concat_ws('|', status, details->>'reason') FROM pgw.health() WHERE check_name = '$check'") }
sub state_of { my ($dir) = @_; return slurp_file("$dir/pgw.state") }
sub log_since { my ($node, $seen) = @_; return slurp_file($node->logfile, $seen) }
sub log_size { my ($node) = @_; return -s $node->logfile // 0 }

my $payments = 0;

sub pays
{
	my ($node, $name) = @_;
	my $id = 'pay' . ++$payments;
	ok(wait_worker($node), "$name: it has its worker");
	my ($rc, $out, $err) = $node->psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id));
	is($out, 'captured', "$name: it pays") or diag($err);
}

sub refused
{
	my ($node, $name, $db) = @_;
	my (undef, undef, $err) = $node->psql($db // 'postgres', "\\set VERBOSITY verbose\nSELECT " . pay_sql('process_payment', client_request_id => 'too-early'));
	like($err, qr/PW500.*"code": "worker_paused".*HINT: .*resume_after_restore/s, "$name: process_payment is refused, and the hint says what to do");
}

# The worker has looked at its tables n times more.
sub looks
{
	my ($node, $n) = @_;
	my $sql = "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relid = 'pgw.restore_pending'::regclass";
	my $before = $node->safe_psql('postgres', $sql);
	return wait_until(sub { my ($rc, $now) = $node->psql('postgres', $sql); $rc == 0 && $now >= $before + $n }, 60);
}

# Nothing reaches the bank, and health says why.
sub is_paused
{
	my ($node, $reason, $name) = @_;
	my $sent = requests();
	ok(wait_worker($node), "$name: there is a worker");
	refused($node, $name);
	ok(looks($node, 2), "$name: it looks at its tables");
	is(requests(), $sent, "$name: and asks the bank nothing");
	is(health($node, 'restored'), "error|$reason", "$name: health() says what happened");
}

sub resume
{
	my ($node, $name) = @_;
	my $seen = log_size($node);
	like($node->safe_psql('postgres', "SELECT pgw.resume_after_restore('by the test')"), qr/^\d+$/, "$name: resumed");
	ok(wait_until(sub { log_since($node, $seen) =~ /pgw: worker goes on/ }, 30), "$name: the worker goes on");
	pays($node, $name);
	like(health($node, 'restored'), qr/^ok\|/, "$name: health() is content");
}

# A cluster in a folder of its own from a folder that a server has left or a backup has made.
sub cluster_from
{
	my ($name, $from, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	rmdir $node->data_dir;
	system_or_bail('cp', '-a', $from, $node->data_dir);
	unlink $node->data_dir . '/postmaster.pid';
	$node->append_conf('postgresql.conf', 'port = ' . $node->port . "\nunix_socket_directories = '" . $node->host . "'\n" . ($conf // ''));
	return $node;
}

sub touch { my ($file) = @_; append_to_file($file, '') }

part($origin, 'a new database', sub {
	is($origin->safe_psql('postgres', 'SELECT count(*), count(taken_over), count(incident_id) FROM pgw.resumptions'), '1|0|1',
		'a new database: on record, as one that had no payments to decide about');
});
pays($origin, 'a new cluster');
is(health($origin, 'state_file'), 'ok', 'a new cluster: its state is on disk');
$origin->safe_psql('postgres', 'CREATE DATABASE shop');
pgw_setup($origin, $bank, db => 'shop');
is($origin->safe_psql('shop', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'shop')), 'captured', 'a second database pays');
# what a copy of postgresql.auto.conf brings along must not help
$origin->safe_psql('postgres', "ALTER SYSTEM SET pgw.worker_mode = 'on'");

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
	is_paused($copy, 'base_backup', 'base backup');
	$caller->query('COMMIT');
	is(status_of($origin, 'open'), 'Completed', 'base backup: the caller commits at the origin');
	is(scalar refunds_of($bank, charges_of($origin, $bank, 'open')), 0, 'base backup: and the copy has not given his money back');
	is($copy->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'queued')), 'pending', 'base backup: submit_payment is queued');

	$copy->restart;
	is_paused($copy, 'base_backup', 'base backup, started again');
	crash($copy, $copy->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw launcher'"));
	is_paused($copy, 'base_backup', 'base backup, after a crash');
	$copy->safe_psql('postgres', 'BEGIN; SELECT pgw.resume_after_restore(); ROLLBACK');
	refused($copy, 'base backup, a resumption was rolled back');
	$copy->safe_psql('postgres', 'DELETE FROM pgw.restore_pending');
	ok($copy->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pgw.restore_pending'), 'base backup: the mark cannot be deleted for good');

	resume($copy, 'base backup');
	ok($copy->poll_query_until('postgres', "SELECT status = 'RequiresManualReview' FROM pgw.payment_transactions WHERE client_request_id = 'open'"),
		'base backup: what the copy holds no payments row of is for a person');
	is(scalar refunds_of($bank, charges_of($origin, $bank, 'open')), 0, 'base backup: and is not given back');
	ok($copy->poll_query_until('postgres', "SELECT transaction_status = 'Completed' FROM pgw.find_payment('queued')"), 'base backup: what was queued is sent');
	is(status_of($copy, 'prepared'), 'BankApproved', 'base backup: what is prepared there waits for whoever ends it');
	is(status_of($origin, 'prepared'), 'BankApproved', 'base backup: as in the origin');
	refused($copy, 'base backup, the other database', 'shop');
	is(health($copy, 'restored', 'shop'), 'error|base_backup', 'base backup: each database is resumed by itself');
	$copy->restart;
	pays($copy, 'base backup, resumed and restarted');
	refused($copy, 'base backup, the other database after a restart', 'shop');
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
	is_paused($copy, 'point_in_time_recovery', 'point in time');
	resume($copy, 'point in time');
	$copy->restart;
	pays($copy, 'point in time, restarted');
	# again, in place: every file is its own
	$copy->stop('fast');
	$copy->append_conf('postgresql.conf', "recovery_target = ''\n");
	touch($copy->data_dir . '/recovery.signal');
	$copy->start;
	ok($copy->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'), 'point in time, in place: promoted');
	is_paused($copy, 'point_in_time_recovery', 'point in time, in place');
	$copy->stop('fast');

	my $target = cluster_from('target', $origin->backup_dir . '/pitr', "restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\n");
	touch($target->data_dir . '/standby.signal');
	$target->start;
	ok($target->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'), 'a standby with a recovery target: promoted');
	is_paused($target, 'point_in_time_recovery', 'a standby with a recovery target');
	$target->stop('fast');
});

part($origin, 'standby', sub {
	$origin->backup('standby');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($origin, 'standby', has_streaming => 1);
	$standby->append_conf('postgresql.conf', "wal_log_hints = on\n");
	$standby->start;
	$origin->wait_for_catchup($standby);
	is(health($standby, 'restored'), 'ok|state_missing', 'a new standby: health() is content with it');	# the origin's first start
	my $before = state_of($standby->data_dir);
	isnt($before, state_of($origin->data_dir), 'a new standby: its state is its own');
	$standby->restart;
	is(state_of($standby->data_dir), $before, 'a new standby: written once');
	$origin->wait_for_catchup($standby);

	# without a promotion, and without its signal file: a fork that the origin knows nothing of
	$standby->stop('fast');
	my $fork = cluster_from('fork', $standby->data_dir);
	unlink $fork->data_dir . '/standby.signal';
	$fork->start;
	is_paused($fork, 'standby_started_alone', 'a standby without its signal file');
	$fork->stop('fast');

	$standby->start;
	$origin->wait_for_catchup($standby);
	$standby->promote;
	pays($standby, 'a promoted standby');
	$standby->restart;
	pays($standby, 'a promoted standby, restarted');
	crash($standby, $standby->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw launcher'"));
	pays($standby, 'a promoted standby, after a crash');

	# The origin goes on for a moment, and is rewound: it has the new primary's state then, and is not it.
	$origin->safe_psql('postgres', 'CREATE TABLE astray (); CHECKPOINT');
	my $old = cluster_from_stopped('old');
	for my $case ([ 'rewound, started as a standby', 1 ], [ 'rewound, started as a primary', 0 ])
	{
		my ($name, $follows) = @$case;
		my $rewound = cluster_from($follows ? 'follower' : 'rival', $old);
		command_ok([ 'pg_rewind', '--target-pgdata', $rewound->data_dir, '--source-server', $standby->connstr('postgres') . ' user=' . ($ENV{PGUSER} // scalar getpwuid $<) ],
			"$name: pg_rewind");
		$rewound->append_conf('postgresql.conf', 'port = ' . $rewound->port . "\nunix_socket_directories = '" . $rewound->host . "'\nprimary_conninfo = '" . $standby->connstr . "'\n");
		touch($rewound->data_dir . '/standby.signal') if $follows;
		$rewound->start;
		if (!$follows)
		{
			is_paused($rewound, 'base_backup', $name);
			$rewound->stop('fast');
			next;
		}
		$standby->safe_psql('postgres', 'CREATE TABLE since ()');
		ok($rewound->poll_query_until('postgres', "SELECT to_regclass('since') IS NOT NULL"), "$name: it follows");
		$rewound->promote;
		pays($rewound, "$name, promoted");
		$rewound->restart;
		pays($rewound, "$name, restarted");
		$rewound->stop('fast');
	}
	$standby->stop('fast');
});

# The origin's files as it leaves them; it is up again afterwards.
sub cluster_from_stopped
{
	my ($name) = @_;
	my $dir = $origin->basedir . "/$name";
	$origin->stop('fast');
	system_or_bail('cp', '-a', $origin->data_dir, $dir);
	$origin->start;
	return $dir;
}

part($origin, 'file copies', sub {
	my $cold = cluster_from_stopped('cold');
	pays($origin, 'the original of a cp -a');
	my $copy = cluster_from('cp', $cold);
	$copy->start;
	is_paused($copy, 'another_directory', 'cp -a');
	resume($copy, 'cp -a');
	$copy->restart;
	pays($copy, 'cp -a, resumed and restarted');
	$copy->stop('fast');

	# mv keeps what the copy has not
	my $elsewhere = $copy->basedir . '/elsewhere';
	rename $copy->data_dir, $elsewhere or die $!;
	symlink $elsewhere, $copy->data_dir or die $!;
	$copy->start;
	pays($copy, 'mv, and started through a symbolic link');

	# An older copy is put back into the directory: the same directory, other files, older payments.
	$copy->stop('fast');
	system_or_bail('sh', '-c', "rm -rf '$elsewhere'/* && cp -a '$cold'/. '$elsewhere'");
	$copy->append_conf('postgresql.conf', 'port = ' . $copy->port . "\nunix_socket_directories = '" . $copy->host . "'\n");
	$copy->start;
	is_paused($copy, 'another_directory', 'put back in place');
	resume($copy, 'put back in place');

	# The file itself
	$copy->stop('fast');
	unlink "$elsewhere/pgw.state";
	$copy->start;
	is_paused($copy, 'state_missing', 'pgw.state deleted');
	resume($copy, 'pgw.state deleted');
	$copy->stop('fast');
	append_to_file("$elsewhere/pgw.state", "more\n");
	my $seen = log_size($copy);
	$copy->start;
	is_paused($copy, 'state_unreadable', 'pgw.state edited');
	like(log_since($copy, $seen), qr/WARNING:  pgw: this may be a copy of another cluster.*HINT: .*resume_after_restore/s, 'pgw.state edited: the log says what to do');
	resume($copy, 'pgw.state edited');
	$copy->restart;
	pays($copy, 'pgw.state edited, resumed and restarted');

	# Not writable, as on a full disk
	$copy->stop('fast');
	unlink "$elsewhere/pgw.state";
	mkdir "$elsewhere/pgw.state.tmp" or die $!;
	$seen = log_size($copy);
	$copy->start;
	like(log_since($copy, $seen), qr/WARNING:  pgw: could not write file "pgw.state.tmp"/, 'not writable: a warning');
	is_paused($copy, 'state_missing', 'not writable');
	is(health($copy, 'state_file'), 'error', 'not writable: health() says so');
	resume($copy, 'not writable');
	crash($copy, $copy->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw launcher'"));
	pays($copy, 'not writable, after a crash');
	$copy->restart;
	is_paused($copy, 'state_missing', 'not writable, restarted');
	rmdir "$elsewhere/pgw.state.tmp" or die $!;
	resume($copy, 'not writable, restarted');
	$copy->restart;
	is_paused($copy, 'state_missing', 'writable again');
	resume($copy, 'writable again');
	is(health($copy, 'state_file'), 'ok', 'writable again: health() is content');
	$copy->restart;
	pays($copy, 'writable again, restarted');
	$copy->stop('fast');
});

part($origin, 'killed', sub {
	$origin->backup('killed');
	my $copy = cluster_from('killed', $origin->backup_dir . '/killed');
	my $before = state_of($copy->data_dir);
	my $debug = $copy->basedir . '/debug';
	mkdir $debug;
	append_to_file("$debug/state_written", "kill\n");
	{
		local $ENV{PGW_DEBUG_DIR} = $debug;
		ok(!$copy->start(fail_ok => 1), 'killed: kill -9 of the postmaster, between writing and renaming the file');
	}
	ok(-e "$debug/state_written.hit", 'killed: just there');
	is(state_of($copy->data_dir), $before, 'killed: the file is the old one');
	ok(-s $copy->data_dir . '/pgw.state.tmp', 'killed: the new one lies beside it');
	unlink $copy->data_dir . '/postmaster.pid';
	$copy->start;
	is_paused($copy, 'base_backup', 'killed, started again');
	ok(!-e $copy->data_dir . '/pgw.state.tmp', 'killed, started again: nothing lies about');
	$copy->stop('fast');
});

# What only looks, or repairs, must not take the directory over.
part($origin, 'other modes', sub {
	$origin->backup('modes');
	my $copy = cluster_from('modes', $origin->backup_dir . '/modes');
	my $before = state_of($copy->data_dir);
	command_like([ 'postgres', '-D', $copy->data_dir, '-C', 'shared_memory_size' ], qr/^\d+$/, 'postgres -C');
	is(state_of($copy->data_dir), $before, 'postgres -C leaves the file alone');
	command_ok([ 'sh', '-c', "echo 'SELECT 1' | postgres --single -D '" . $copy->data_dir . "' postgres" ], 'single-user mode');
	ok(!-e $copy->data_dir . '/backup_label', 'single-user mode has consumed backup_label');
	is(state_of($copy->data_dir), $before, 'single-user mode leaves the file alone');
	$copy->start;
	is_paused($copy, 'another_directory', 'after single-user mode');
	$copy->stop('fast');
});

part($origin, 'instance', sub {
	my $cold = cluster_from_stopped('snapshot');
	my $node = cluster_from('snapshot', $cold);
	my $outside = $node->basedir . '/instance.conf';
	append_to_file($outside, "pgw.instance = 'a'\n");
	$node->append_conf('postgresql.conf', "include = '$outside'\n");
	$node->start;
	is($node->safe_psql('postgres', 'SELECT pgw.resume_after_restore() >= 0'), 't', 'an instance with a name');
	$node->restart;
	pays($node, 'instance a');
	is($node->safe_psql('postgres', "SELECT details->>'instance' FROM pgw.health() WHERE check_name = 'state_file'"), 'a', 'instance a: health() knows it');

	my $set = sub { unlink $outside; append_to_file($outside, $_[0]) };
	$node->stop('fast');
	$set->("pgw.instance = 'b'\n");
	$node->start;
	is_paused($node, 'another_instance', 'instance b');
	resume($node, 'instance b');
	$node->stop('fast');
	$set->('');
	$node->start;
	is_paused($node, 'another_instance', 'instance without a name');
	resume($node, 'instance without a name');
	$node->restart;
	pays($node, 'instance without a name, restarted');

	# a file of the data directory is no proof of anything
	$node->safe_psql('postgres', "ALTER SYSTEM SET pgw.instance = 'c'");
	my $seen = log_size($node);
	$node->restart;
	like(log_since($node, $seen), qr/WARNING:  pgw: pgw.instance in file ".*postgresql.auto.conf" is ignored.*HINT/s, 'instance in postgresql.auto.conf: a warning');
	is(health($node, 'state_file'), 'warning', 'instance in postgresql.auto.conf: health() says so');
	pays($node, 'instance in postgresql.auto.conf');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET pgw.instance');
	$node->stop('fast');
	{
		local $ENV{PGW_INSTANCE} = 'd';
		$node->start;
		pays($node, 'instance from the environment');
		is($node->safe_psql('postgres', 'SHOW pgw.instance'), 'd', 'instance from the environment: as the setting says');
		$node->stop('fast');
		local $ENV{PGW_INSTANCE} = 'e';
		$node->start;
		is_paused($node, 'another_instance', 'another one from the environment');
		$node->stop('fast');
		local $ENV{PGW_INSTANCE} = 'two words';
		$seen = log_size($node);
		ok(!$node->start(fail_ok => 1), 'an impossible name: no start');
		like(log_since($node, $seen), qr/FATAL:  invalid value in the environment variable PGW_INSTANCE/, 'an impossible name: the log says why');
	}
});

$origin->stop('fast');
done_testing();
