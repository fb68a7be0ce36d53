# Card data as literals in a statement that fails before pgw can refuse the call, or whose text another process logs: neither the logs (in three formats) nor
# the client hold number, CVV or holder afterwards, and the search costs little.
use strict;
use warnings;
use lib 'test/lib';
use PgwCardLiterals;
use PgwLogs;
use PgwTest;
use PgwSession;
use PgwWire;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = card_literals_node('failing_literals');

part($node, 'before anybody can refuse it', sub {
	leaves_nothing($node, 'a syntax error', '42601', 'payer', "SELECT $LITERAL_CALL FORM orders a b c");
	leaves_nothing($node, 'a syntax error right at the number', '42601', 'payer', "SELECT pgw.process_payment('literal' '$CARD', '$CVV', '$HOLDER')");
	leaves_nothing($node, 'a function that does not exist', '42883', 'payer', 'SELECT ' . $LITERAL_CALL =~ s/'EUR'/1.5::float8/r);
	leaves_nothing($node, 'an argument that does not exist', '42883', 'payer', 'SELECT ' . $LITERAL_CALL =~ s/card_holder/card_owner/r);
	leaves_nothing($node, 'a value of the wrong type', '22P02', 'payer', 'SELECT ' . $LITERAL_CALL =~ s/100/'$CARD x'/r);
	leaves_nothing($node, 'no such table', '42P01', 'payer', "SELECT $LITERAL_CALL FROM nowhere");
	leaves_nothing($node, 'no rights in the schema', '42501', 'postgres', "CREATE ROLE outsider LOGIN; SET ROLE outsider; SELECT $LITERAL_CALL");
	leaves_nothing($node, 'in an aborted transaction', '25P02', 'payer', "BEGIN; SELECT 1/0; SELECT $LITERAL_CALL;");
	my $holding = PgwSession->new($node);
	$holding->query('BEGIN; LOCK TABLE orders');
	leaves_nothing($node, 'a time-out while it waits for a lock', '55P03', 'payer', "SELECT $LITERAL_CALL FROM orders", options => '-c lock_timeout=200ms');
	leaves_nothing($node, 'a statement time-out', '57014', 'payer', "SELECT $LITERAL_CALL FROM orders", options => '-c statement_timeout=500ms');
	leaves_nothing($node, 'both in a function', '55P03', 'payer', "SELECT shown(\$\$SELECT $LITERAL_CALL FROM orders\$\$)", options => '-c lock_timeout=200ms');

	# A crash while it waits: the postmaster says what the process was running.
	for my $victims ($LITERAL_CALL, $LITERAL_CALL =~ s/'$CARD'/current_user::text/r)
	{
		my $before = logs_size($node);
		my $victim = PgwSession->new($node, name => 'victim');
		$victim->send("SELECT $victims FROM orders");
		ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'victim' AND wait_event_type = 'Lock'"), 'it waits');
		kill 'KILL', $victim->backend;
		ok(wait_until(sub { slurp_file($node->data_dir . '/log/all.log', $before->{ $node->data_dir . '/log/all.log' }) =~ /ready to accept connections/ }, 60), 'crashed, and up again');
		my $log = logs_since($node, $before);
		like($log, qr/Failed process was running/, 'the postmaster says what the process was running');
		is(join(' ', leaks($log)), '', 'but not the card') or diag($log);
		wait_worker($node);
		$holding = PgwSession->new($node);
		$holding->query('BEGIN; LOCK TABLE orders');
	}
	$holding->query('ROLLBACK');
});

# The session that finds a deadlock logs the statements of all others.
part($node, 'deadlock', sub {
	for my $secret ("card_number => '$CARD'", "card_number => \$1, card_cvv => '$CVV', card_holder => '$HOLDER'")
	{
		my $payer = PgwWire->new($node, name => 'pays');
		my $innocent = PgwSession->new($node);
		$node->safe_psql('postgres', 'CREATE TABLE IF NOT EXISTS other_orders (a int)');
		$payer->simple("SET deadlock_timeout = '1h'");
		$payer->simple('BEGIN');
		$payer->simple('LOCK TABLE orders');
		$innocent->query('BEGIN; LOCK TABLE other_orders');
		$payer->send("SELECT status FROM other_orders, pgw.process_payment('deadlock', 100, 'EUR', card_expiry_month => 12, card_expiry_year => 2039, $secret)", $secret =~ /\$1/ ? [$CARD] : []);
		ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'pays' AND wait_event_type = 'Lock'"), 'it waits');
		my $before = logs_size($node);
		$innocent->run('LOCK TABLE orders');
		is($innocent->state, '40P01', 'another session finds the deadlock');
		my $log = logs_since($node, $before);
		is(join(' ', leaks($log)), '', 'and logs nothing of the card') or diag($log);
		my ($mine, $other) = ($innocent->backend, $payer->backend);
		like($log, qr/Process $mine waits for AccessExclusiveLock on relation \d+ of database \d+; blocked by process $other\./, 'but whom it waits for');
		like($log, qr/Process $other waits for AccessShareLock on relation \d+ of database \d+; blocked by process $mine\./, 'and who waits for it');
		$innocent->query('ROLLBACK');
		$payer->wait;
		$payer->quit;
	}
});

# How long a statement is and how many lines it makes must not multiply: a trigger warns of each row of one long INSERT.
part($node, 'many lines', sub {
	my $bare = pgw_node('bare', conf => "shared_preload_libraries = 'pg_stat_statements'\nlog_error_verbosity = verbose\n" . logs_conf());
	$node->safe_psql('postgres', 'CREATE DATABASE plain');
	my $insert = 'INSERT INTO bulk VALUES ' . join ', ', map { "($_, 'not a card')" } 1 .. 8000;
	my $pay = "SELECT status FROM pgw.process_payment(\$1, 100, 'EUR', card_number => \$2, card_expiry_month => 12, card_expiry_year => 2039)";
	my %session;
	for my $where ([ 'without pgw', $bare, 'postgres' ], [ 'another database', $node, 'plain' ], [ 'after a payment', $node, 'postgres' ])
	{
		my ($name, $server, $db) = @$where;
		my $s = $session{$name} = PgwWire->new($server, db => $db);
		$s->simple($_) for 'CREATE TEMP TABLE bulk (a int, b text)', 'SET client_min_messages = error',
		  q{CREATE FUNCTION pg_temp.warn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'row % is odd', NEW.a; RETURN NEW; END $$},
		  'CREATE TRIGGER warn BEFORE INSERT ON bulk FOR EACH ROW EXECUTE FUNCTION pg_temp.warn()';
		is($s->bind($pay, 'many lines', $CARD), 'captured', 'a payment') if $name eq 'after a payment';
	}
	my %best;
	for (1 .. 5)
	{
		for my $name (sort keys %session)
		{
			my $start = time;
			$session{$name}->simple($insert);
			my $took = time - $start;
			is($session{$name}->state, '00000', "$name: done");
			$best{$name} = $took if !defined $best{$name} || $took < $best{$name};
		}
	}
	for my $name ('another database', 'after a payment')
	{
		my $ratio = $best{$name} / $best{'without pgw'};
		cmp_ok($ratio, '<', 3, sprintf '%s: %.2f times as long as without pgw', $name, $ratio);
	}
	$_->quit for values %session;
	$bare->stop;
});

done_testing();
