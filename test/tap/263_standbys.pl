# A standby is no copy: once it is promoted it pays without being told to, and so does a rewound primary. One that was started as a primary by itself
# is a copy, and touches no payment.
use strict;
use warnings;
use lib 'test/lib';
use PgwCopies;
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($origin, $bank) = origin_cluster();

part($origin, 'standby', sub {
	$origin->backup('standby');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($origin, 'standby', has_streaming => 1);
	$standby->append_conf('postgresql.conf', "wal_log_hints = on\n");
	$standby->start;
	$origin->wait_for_catchup($standby);
	is(health($standby, 'restored'), 'ok|state_missing', 'a new standby: health() is content with it');	# the origin's first start
	my $before = state_file_of($standby->data_dir);
	isnt($before, state_file_of($origin->data_dir), 'a new standby: its state is its own');
	$standby->restart;
	is(state_file_of($standby->data_dir), $before, 'a new standby: written once');
	$origin->wait_for_catchup($standby);

	# without a promotion, and without its signal file: a fork that the origin knows nothing of
	$standby->stop('fast');
	my $fork = cluster_from('fork', $standby->data_dir);
	unlink $fork->data_dir . '/standby.signal';
	$fork->start;
	is_paused($fork, $bank, 'standby_started_alone', 'a standby without its signal file');
	$fork->stop('fast');

	$standby->start;
	$origin->wait_for_catchup($standby);
	$standby->promote;
	is_paying($standby, 'a promoted standby');
	$standby->restart;
	is_paying($standby, 'a promoted standby, restarted');
	crash_launcher($standby);
	is_paying($standby, 'a promoted standby, after a crash');

	# The origin goes on for a moment, and is rewound: it has the new primary's state then, and is not it.
	$origin->safe_psql('postgres', 'CREATE TABLE astray (); CHECKPOINT');
	my $old = cold_copy($origin, 'old');
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
			is_paused($rewound, $bank, 'base_backup', $name);
			$rewound->stop('fast');
			next;
		}
		$standby->safe_psql('postgres', 'CREATE TABLE since ()');
		ok($rewound->poll_query_until('postgres', "SELECT to_regclass('since') IS NOT NULL"), "$name: it follows");
		$rewound->promote;
		is_paying($rewound, "$name, promoted");
		$rewound->restart;
		is_paying($rewound, "$name, restarted");
		$rewound->stop('fast');
	}
	$standby->stop('fast');
});

$origin->stop('fast');
done_testing();
