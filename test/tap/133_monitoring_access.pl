# Who may ask pgw.health(), pgw.metrics and pgw.run_recovery(), which act as their owner: nothing of the caller's runs in them.
use strict;
use warnings;
use lib 'test/lib';
use PgwMonitoring;
use PgwTest;
use PgwSession;
use Test::More;

my ($node, $bank) = monitored_node('access');

sub sql { return $node->safe_psql('postgres', $_[0]) }

part($node, 'access', sub {
	sql("CREATE ROLE $_; SELECT pgw.grant_access('$_', '$_')") for qw(client auditor operator monitor);
	my %want = (client => '42501,42501,42501', monitor => '00000,00000,42501', auditor => '00000,00000,42501', operator => '00000,00000,00000');
	for my $role (sort keys %want)
	{
		my $s = PgwSession->new($node);
		$s->run("SET ROLE $role");
		is(join(',', map { $s->run($_); $s->state } 'SELECT count(*) FROM pgw.health()', 'SELECT count(*) FROM pgw.metrics', 'SELECT pgw.run_recovery()'),
			$want{$role}, "health, metrics, run_recovery: $role");
	}

	# they act as the owner: nothing of the caller's may run in them
	my $s = PgwSession->new($node);
	$s->run("CREATE SCHEMA trap; CREATE FUNCTION trap.to_regclass(text) RETURNS regclass LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';"
		  . " GRANT USAGE ON SCHEMA trap TO auditor; SET search_path = trap, pg_catalog; SET ROLE auditor");
	$s->run('SELECT count(*) FROM pgw.health(), pgw.metrics');
	is($s->state, '00000', "the caller's search_path is not used") or diag($s->err);
});

$node->stop('fast');
done_testing();
