# The file pgw.state tells whose a data directory is: a cluster that has lost it, cannot read it, or could not write it touches no payment after its
# start. What only looks at the directory, or dies while it writes the file, leaves the old one.
use strict;
use warnings;
use lib 'test/lib';
use PgwCopies;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($origin, $bank) = origin_cluster(debug => 1);

part($origin, 'damaged', sub {
	my $copy = cluster_from('damaged', cold_copy($origin, 'cold'));
	$copy->start;
	is_paused($copy, $bank, 'another_directory', 'a copy');
	resume($copy, 'a copy');
	my $state_file = $copy->data_dir . '/pgw.state';

	$copy->stop('fast');
	unlink $state_file;
	$copy->start;
	is_paused($copy, $bank, 'state_missing', 'pgw.state deleted');
	resume($copy, 'pgw.state deleted');
	$copy->stop('fast');
	append_to_file($state_file, "more\n");
	my $seen = log_size($copy);
	$copy->start;
	is_paused($copy, $bank, 'state_unreadable', 'pgw.state edited');
	like(log_since($copy, $seen), qr/WARNING:  pgw: this may be a copy of another cluster.*HINT: .*resume_after_restore/s, 'pgw.state edited: the log says what to do');
	resume($copy, 'pgw.state edited');
	$copy->restart;
	is_paying($copy, 'pgw.state edited, resumed and restarted');

	# Not writable, as on a full disk
	$copy->stop('fast');
	unlink $state_file;
	mkdir "$state_file.tmp" or die $!;
	$seen = log_size($copy);
	$copy->start;
	like(log_since($copy, $seen), qr/WARNING:  pgw: could not write file "pgw.state.tmp"/, 'not writable: a warning');
	is_paused($copy, $bank, 'state_missing', 'not writable');
	is(health($copy, 'state_file'), 'error', 'not writable: health() says so');
	resume($copy, 'not writable');
	crash_launcher($copy);
	is_paying($copy, 'not writable, after a crash');
	$copy->restart;
	is_paused($copy, $bank, 'state_missing', 'not writable, restarted');
	rmdir "$state_file.tmp" or die $!;
	resume($copy, 'not writable, restarted');
	$copy->restart;
	is_paused($copy, $bank, 'state_missing', 'writable again');
	resume($copy, 'writable again');
	is(health($copy, 'state_file'), 'ok', 'writable again: health() is content');
	$copy->restart;
	is_paying($copy, 'writable again, restarted');
	$copy->stop('fast');
});

part($origin, 'killed', sub {
	$origin->backup('killed');
	my $copy = cluster_from('killed', $origin->backup_dir . '/killed');
	my $before = state_file_of($copy->data_dir);
	my $debug = $copy->basedir . '/debug';
	mkdir $debug;
	append_to_file("$debug/state_written", "kill\n");
	{
		local $ENV{PGW_DEBUG_DIR} = $debug;
		ok(!$copy->start(fail_ok => 1), 'killed: kill -9 of the postmaster, between writing and renaming the file');
	}
	ok(-e "$debug/state_written.hit", 'killed: just there');
	is(state_file_of($copy->data_dir), $before, 'killed: the file is the old one');
	ok(-s $copy->data_dir . '/pgw.state.tmp', 'killed: the new one lies beside it');
	unlink $copy->data_dir . '/postmaster.pid';
	$copy->start;
	is_paused($copy, $bank, 'base_backup', 'killed, started again');
	ok(!-e $copy->data_dir . '/pgw.state.tmp', 'killed, started again: nothing lies about');
	$copy->stop('fast');
});

# What only looks, or repairs, must not take the directory over.
part($origin, 'other modes', sub {
	$origin->backup('modes');
	my $copy = cluster_from('modes', $origin->backup_dir . '/modes');
	my $before = state_file_of($copy->data_dir);
	command_like([ 'postgres', '-D', $copy->data_dir, '-C', 'shared_memory_size' ], qr/^\d+$/, 'postgres -C');
	is(state_file_of($copy->data_dir), $before, 'postgres -C leaves the file alone');
	command_ok([ 'sh', '-c', "echo 'SELECT 1' | postgres --single -D '" . $copy->data_dir . "' postgres" ], 'single-user mode');
	ok(!-e $copy->data_dir . '/backup_label', 'single-user mode has consumed backup_label');
	is(state_file_of($copy->data_dir), $before, 'single-user mode leaves the file alone');
	$copy->start;
	is_paused($copy, $bank, 'another_directory', 'after single-user mode');
	$copy->stop('fast');
});

$origin->stop('fast');
done_testing();
