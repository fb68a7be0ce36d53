# A cluster that is started under another pgw.instance than before is a copy, and touches no payment; the name counts only where a copy of the data
# directory does not bring it along.
use strict;
use warnings;
use lib 'test/lib';
use PgwCopies;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($origin, $bank) = origin_cluster();

part($origin, 'instance', sub {
	my $cold = cold_copy($origin, 'snapshot');
	my $node = cluster_from('snapshot', $cold);
	my $outside = $node->basedir . '/instance.conf';
	append_to_file($outside, "pgw.instance = 'a'\n");
	$node->append_conf('postgresql.conf', "include = '$outside'\n");
	$node->start;
	is($node->safe_psql('postgres', 'SELECT pgw.resume_after_restore() >= 0'), 't', 'an instance with a name');
	$node->restart;
	is_paying($node, 'instance a');
	is($node->safe_psql('postgres', "SELECT details->>'instance' FROM pgw.health() WHERE check_name = 'state_file'"), 'a', 'instance a: health() knows it');

	my $set = sub { unlink $outside; append_to_file($outside, $_[0]) };
	$node->stop('fast');
	$set->("pgw.instance = 'b'\n");
	$node->start;
	is_paused($node, $bank, 'another_instance', 'instance b');
	resume($node, 'instance b');
	$node->stop('fast');
	$set->('');
	$node->start;
	is_paused($node, $bank, 'another_instance', 'instance without a name');
	resume($node, 'instance without a name');
	$node->restart;
	is_paying($node, 'instance without a name, restarted');

	# a file of the data directory is no proof of anything
	$node->safe_psql('postgres', "ALTER SYSTEM SET pgw.instance = 'c'");
	my $seen = log_size($node);
	$node->restart;
	like(log_since($node, $seen), qr/WARNING:  pgw: pgw.instance in file ".*postgresql.auto.conf" is ignored.*HINT/s, 'instance in postgresql.auto.conf: a warning');
	is(health($node, 'state_file'), 'warning', 'instance in postgresql.auto.conf: health() says so');
	is_paying($node, 'instance in postgresql.auto.conf');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET pgw.instance');
	$node->stop('fast');
	{
		local $ENV{PGW_INSTANCE} = 'd';
		$node->start;
		is_paying($node, 'instance from the environment');
		is($node->safe_psql('postgres', 'SHOW pgw.instance'), 'd', 'instance from the environment: as the setting says');
		$node->stop('fast');
		local $ENV{PGW_INSTANCE} = 'e';
		$node->start;
		is_paused($node, $bank, 'another_instance', 'another one from the environment');
		$node->stop('fast');
		local $ENV{PGW_INSTANCE} = 'two words';
		$seen = log_size($node);
		ok(!$node->start(fail_ok => 1), 'an impossible name: no start');
		like(log_since($node, $seen), qr/FATAL:  invalid value in the environment variable PGW_INSTANCE/, 'an impossible name: the log says why');
	}
});

$origin->stop('fast');
done_testing();
