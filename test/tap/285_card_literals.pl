# Card data as literals: whatever else goes wrong with the statement, and wherever the call stands in it, neither the server's logs (in three formats) nor the
# client nor the statistics hold number, CVV or holder afterwards.
use strict;
use warnings;
use lib 'test/lib';
use PgwLogs;
use PgwTest;
use PgwSession;
use PgwWire;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('literals', conf => "shared_preload_libraries = 'pg_stat_statements, pgw'\nrestart_after_crash = on\nlog_error_verbosity = verbose\n" . logs_conf());
my $bank = bank_start('--delay-ms', 3000);
pgw_setup($node, $bank);
$node->safe_psql('postgres', q{
	CREATE EXTENSION pg_stat_statements;
	CREATE ROLE payer LOGIN; SELECT pgw.grant_access('payer', 'client');
	CREATE ROLE stranger LOGIN; GRANT USAGE ON SCHEMA pgw TO stranger;
	CREATE ROLE half LOGIN; GRANT USAGE ON SCHEMA pgw TO half; GRANT EXECUTE ON FUNCTION pgw.process_payment TO half;
	CREATE TABLE orders (a int); GRANT ALL ON orders TO PUBLIC; CREATE TABLE secret (a int); GRANT CREATE ON SCHEMA public TO PUBLIC;
	CREATE FUNCTION by_format(card text, cvv text, holder text) RETURNS pgw.payment_result LANGUAGE plpgsql AS $$
	DECLARE
		r pgw.payment_result;
	BEGIN
		EXECUTE format('SELECT * FROM pgw.process_payment(%L, 100, %L, card_number => %L, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => %L, card_holder => %L)',
			'by format', 'EUR', card, cvv, holder) INTO r;
		RETURN r;
	END $$;
	CREATE FUNCTION by_format2(card text, cvv text, holder text) RETURNS pgw.payment_result LANGUAGE plpgsql AS
	$$ BEGIN RETURN by_format(card, cvv, holder); EXCEPTION WHEN division_by_zero THEN RETURN NULL; END $$;
	CREATE FUNCTION bound(card text, cvv text, holder text, id text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		RETURN (pgw.process_payment(id, 100, 'EUR', card_number => card, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => cvv, card_holder => holder)).status;
	END $$;
	CREATE FUNCTION broken(card text, cvv text, holder text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pgw.process_payment('broken', 1/length(cvv), 'EUR', card_number => card, card_cvv => cvv, card_holder => holder);
	END $$;
	CREATE FUNCTION shown(what text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN EXECUTE what INTO r; RETURN r; END $$;
});

my $holder = $HOLDER;
my $call = "pgw.process_payment('literal', 100, 'EUR', card_number => '$CARD', card_expiry_month => 12, card_expiry_year => 2039, card_cvv => '$CVV', card_holder => '$holder')";
my $spelt = join ', ', map { "spelt('" . join('x', split //, $_) . "')" } $CARD, $CVV, $holder;

# Run statements as a role; what psql says of it, with everything that it knows.
sub run_as
{
	my ($role, $sql, %o) = @_;
	my ($out, $err) = ('', '');
	my $file = $node->basedir . '/literal.sql';
	unlink $file;
	append_to_file($file, $sql);
	local $ENV{PGOPTIONS} = $o{options} // '';
	IPC::Run::run([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=always', '-h', $node->host, '-p', $node->port, '-U', $role, '-d', 'postgres', '-f', $file ],
		'>', \$out, '2>', \$err);
	unlink $file;
	# psql shows the line of its own text at which the server points
	$err =~ s/^LINE \d+:[^\n]*\n[^\n]*\n//mg;
	return $out . $err;
}

# One accident: the SQLSTATE it must have, and no trace of the card anywhere.
sub leaves_nothing
{
	my ($name, $state, $role, $sql, %o) = @_;
	my $before = logs_size($node);
	my $client = run_as($role, $sql, %o);
	my $log = logs_since($node, $before);
	like($client, qr/$state/, "$name: $state");
	is(join(' ', leaks($client)), '', "$name: nothing at the client") or diag($client);
	is(join(' ', leaks($log)), '', "$name: nothing in the logs") or diag($log);
	like($log, qr/$state/, "$name: but the error is there") unless $o{quiet};
}

part($node, 'the search finds what is there', sub {
	my $before = logs_size($node);
	run_as('postgres', "SELECT 1/0, '$CARD', '$CVV', '$holder'");
	is(join(' ', leaks(logs_since($node, $before))), 'number CVV holder', 'a failed statement that has nothing to do with pgw is in the logs as it is');
});

part($node, 'execute format', sub {
	# The card comes from outside, as it should; then the function puts it into a statement.
	my $pay = "SELECT status FROM by_format($spelt)";
	leaves_nothing('EXECUTE format', 'PW400', 'payer', $pay);
	leaves_nothing('EXECUTE format, nested', 'PW400', 'payer', "SELECT status FROM by_format2($spelt)");
	leaves_nothing('EXECUTE format, time-out', 'PW400', 'payer', $pay, options => '-c statement_timeout=1s');
	leaves_nothing('EXECUTE format, READ ONLY', 'PW400', 'payer', "BEGIN READ ONLY; $pay; COMMIT;");
	leaves_nothing('EXECUTE format, no grant on the function', 'PW400', 'stranger', $pay);
	leaves_nothing('EXECUTE format, no client of pgw', 'PW400', 'half', $pay);
	leaves_nothing('EXECUTE format, all of the log', 'PW400', 'postgres', $pay, options => '-c log_statement=all -c log_min_error_statement=debug5 -c log_min_messages=debug1 -c client_min_messages=debug1');
});

part($node, 'in the statement', sub {
	leaves_nothing('a literal', 'PW400', 'payer', "SELECT $call");
	leaves_nothing('READ ONLY', 'PW400', 'payer', "BEGIN READ ONLY; SELECT $call; COMMIT;");
	leaves_nothing('no grant on the function', 'PW400', 'stranger', "SELECT $call");
	leaves_nothing('no client of pgw', 'PW400', 'half', "SELECT $call");
	leaves_nothing('no grant on a table', 'PW400', 'payer', "SELECT $call FROM secret");
	leaves_nothing('within a DO block', 'PW400', 'payer', "DO \$\$ BEGIN PERFORM $call; END \$\$");
	leaves_nothing('prepared', 'PW400', 'payer', "PREPARE p AS SELECT $call");
	leaves_nothing('EXECUTE of what was prepared', 'PW400', 'payer', "PREPARE p(text, text, text) AS SELECT pgw.process_payment('literal', 100, 'EUR', card_number => \$1, card_expiry_month => 12,
		card_expiry_year => 2039, card_cvv => \$2, card_holder => \$3); EXECUTE p('$CARD', '$CVV', '$holder')");
	leaves_nothing('a function with a card in its body', 'PW400', 'payer', "CREATE FUNCTION mine() RETURNS text LANGUAGE plpgsql AS \$\$ DECLARE c text := '$CARD'; BEGIN PERFORM $call; END \$\$");
	leaves_nothing('COPY', 'PW400', 'payer', "COPY (SELECT $call) TO STDOUT");
	leaves_nothing('EXPLAIN', 'PW400', 'payer', "EXPLAIN ANALYZE SELECT $call");
	leaves_nothing('through a function, READ ONLY', 'PW400', 'payer', "BEGIN READ ONLY; SELECT bound('$CARD', spelt('$CVV'), spelt('x'), 'id'); COMMIT;");
	leaves_nothing('log_statement = all', 'PW400', 'postgres', "SELECT $call", options => '-c log_statement=all -c log_min_duration_statement=0');
	leaves_nothing('parse trees', 'PW400', 'postgres', "SELECT $call", options => '-c debug_print_parse=on -c debug_print_rewritten=on -c debug_print_plan=on');
});

part($node, 'before anybody can refuse it', sub {
	leaves_nothing('a syntax error', '42601', 'payer', "SELECT $call FORM orders a b c");
	leaves_nothing('a syntax error right at the number', '42601', 'payer', "SELECT pgw.process_payment('literal' '$CARD', '$CVV', '$holder')");
	leaves_nothing('a function that does not exist', '42883', 'payer', 'SELECT ' . $call =~ s/'EUR'/1.5::float8/r);
	leaves_nothing('an argument that does not exist', '42883', 'payer', 'SELECT ' . $call =~ s/card_holder/card_owner/r);
	leaves_nothing('a value of the wrong type', '22P02', 'payer', 'SELECT ' . $call =~ s/100/'$CARD x'/r);
	leaves_nothing('no such table', '42P01', 'payer', "SELECT $call FROM nowhere");
	leaves_nothing('no rights in the schema', '42501', 'postgres', "CREATE ROLE outsider LOGIN; SET ROLE outsider; SELECT $call");
	leaves_nothing('in an aborted transaction', '25P02', 'payer', "BEGIN; SELECT 1/0; SELECT $call;");
	my $holding = PgwSession->new($node);
	$holding->query('BEGIN; LOCK TABLE orders');
	leaves_nothing('a time-out while it waits for a lock', '55P03', 'payer', "SELECT $call FROM orders", options => '-c lock_timeout=200ms');
	leaves_nothing('a statement time-out', '57014', 'payer', "SELECT $call FROM orders", options => '-c statement_timeout=500ms');
	leaves_nothing('both in a function', '55P03', 'payer', "SELECT shown(\$\$SELECT $call FROM orders\$\$)", options => '-c lock_timeout=200ms');

	# A crash while it waits: the postmaster says what the process was running.
	for my $victims ($call, $call =~ s/'$CARD'/current_user::text/r)
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

# Columns that stand on one another: each level doubles the ways down to the parameter.
sub doubling
{
	my ($levels, $first) = @_;
	return "WITH v0 AS MATERIALIZED (SELECT $first AS n)" . join('', map { ", v$_ AS MATERIALIZED (SELECT n || n AS n FROM v" . ($_ - 1) . ')' } 1 .. $levels)
	  . " SELECT 1 FROM v$levels, pgw.process_payment('far', 100, 'EUR', card_number => v$levels.n) p WHERE false";
}

# Levels of a function around a value.
sub around { my ($levels, $value) = @_; return 'lower(' x $levels . $value . ')' x $levels }

part($node, 'far away', sub {
	is(run_as('payer', doubling(10, "spelt('visa')")), '', 'a value that a thousand ways lead to is a bound one');
	leaves_nothing('a literal that a thousand ways lead to', 'PW400', 'payer', doubling(10, "'$HOLDER'"));
	# A stranger may not pay; the look comes before that is known. It would go on for years, and could not be cancelled.
	my $said = run_as('stranger', doubling(60, "spelt('visa')"), options => '-c statement_timeout=60s');
	like($said, qr/PW400.*"field": "card_number", "code": "card_literal", "message": "too many expressions/s, 'more ways than anybody can go: refused');
	leaves_nothing('a literal that lies beyond', 'PW400', 'payer', doubling(60, "'$HOLDER'"));
	my $call = "pgw.process_payment('far', 100, 'EUR', 'tok_ok', card_cvv => %s, card_holder => %s)";
	leaves_nothing('CVV and holder within 70 functions', 'PW400', 'payer', 'SELECT ' . sprintf $call, around(70, "'$CVV'"), around(70, "'$HOLDER'"));
	leaves_nothing('CVV and holder within 1100 functions', 'PW400', 'payer', 'SELECT ' . sprintf $call, around(1100, "'$CVV'"), around(1100, "'$HOLDER'"));
	my $recursive = "WITH RECURSIVE r(i, c, h) AS (SELECT 1, %s UNION ALL SELECT i + 1, h, c || 'x' FROM r WHERE i < 3) SELECT count(*) FROM r, pgw.process_payment('far', 100, 'EUR', card_number => r.c) p WHERE false";
	is(run_as('payer', sprintf $recursive, "spelt('visa'), spelt('visa')"), "0\n", 'a recursive CTE over a bound value');
	leaves_nothing('a recursive CTE over a literal', 'PW400', 'payer', sprintf $recursive, "spelt('visa'), '$HOLDER'");
});

# A number that is bound, and the rest as literals: nothing that looks like a card, and yet card data.
part($node, 'beside a bound number', sub {
	my $literals = "card_cvv => '$CVV', card_holder => '$HOLDER'";
	my $bound = "pgw.process_payment('beside', 100, 'EUR', card_number => \$1, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => %s, card_holder => %s)";
	my $call = sprintf $bound, "'$CVV'", "'$HOLDER'";
	my $simple = $call =~ s/\$1/current_user::text/r;
	my $checked = sub {
		my ($name, $state, $sql, %o) = @_;
		my $wire = PgwWire->new($node, user => $o{user} // 'payer');
		$wire->simple($_) for @{ $o{before} // [] };
		my $before = logs_size($node);
		$o{simple} ? $wire->simple($sql) : $wire->send($sql, [ $o{value} // $CARD ])->wait;
		is($wire->state, $state, "$name: $state") or diag($wire->err);
		my $log = logs_since($node, $before);
		is(join(' ', leaks($log . $wire->err)), '', "$name: nothing in the logs") or diag($log);
		like($log, qr/$state/, "$name: but the error is there");
		$wire->quit;
		return $log;
	};
	# Before there is a tree
	$checked->('a misspelt argument', '42883', "SELECT pgw.process_payment('beside', 100, 'EUR', card_nr => \$1, $literals)");
	$checked->('misspelt names of the literals', '42883', "SELECT pgw.process_payment('beside', 100, 'EUR', card_number => \$1, cvv_code => '$CVV', cardholder => '$HOLDER')");
	$checked->('no names', '42883', "SELECT pgw.process_payment('beside', 1.5::float8, 'EUR', NULL, \$1, 12, 2039, '$CVV', '$HOLDER')");
	$checked->('in an aborted transaction', '25P02', "SELECT $call", before => [ 'BEGIN', 'SELECT 1/0' ]);
	$checked->('another statement of the text', '22012', "SELECT 1/0; SELECT $simple", simple => 1);
	$checked->('a syntax error', '42601', "SELECT $call FORM orders a b c");
	my $log = $checked->('a syntax error right at the literal', '42601', "SELECT pgw.process_payment('beside', 100, 'EUR', card_number => \$1, card_cvv => 'x' '$CVV', card_holder => '$HOLDER')");
	like($log, qr/syntax error at or near \(not shown by pgw/, 'the log says that something is missing');
	$checked->('a literal of the wrong type', '22P02', "SELECT pgw.process_payment('beside', 100, 'EUR', card_number => \$1, card_expiry_month => '$HOLDER', $literals)");
	$checked->('literals under a column\'s name', '42703', "SELECT no_such_column, (" . sprintf($bound, 'v.c', 'v.h') . ").status FROM (VALUES ('$CVV', '$HOLDER')) v(c, h)");
	$checked->('all of the log', 'PW400', "SELECT $call", user => scalar getpwuid($>), before => [ 'SET log_statement = all' ]);
	# From a tree
	my $columns = sprintf $bound, 'x.c', 'x.h';
	$checked->('XMLTABLE', 'PW400', "SELECT ($columns).status FROM xmltable('/r' PASSING '<r><c>$CVV</c><h>$HOLDER</h></r>' COLUMNS c text PATH 'c', h text PATH 'h') x");
	$checked->('a default of XMLTABLE', 'PW400', "SELECT ($columns).status FROM xmltable('/r' PASSING xmlparse(CONTENT '<r>' || \$1 || '</r>') COLUMNS c text PATH 'c' DEFAULT '$CVV', h text PATH 'h' DEFAULT '$HOLDER') x");
	my @x = ('CREATE TEMP TABLE x (n text, c text, h text, i int)', "INSERT INTO x VALUES ('a', 'b', 'c', 0)");
	$checked->('UPDATE … RETURNING', 'PW400', "UPDATE x SET c = '$CVV', h = '$HOLDER' RETURNING ($columns).status", before => \@x);
	$checked->('UPDATE of several columns', 'PW400', "UPDATE x SET (c, h) = (SELECT '$CVV', '$HOLDER') RETURNING ($columns).status", before => \@x);
	$checked->('INSERT … ON CONFLICT … RETURNING', 'PW400', "INSERT INTO x (i, c, h) SELECT 0, \$1, \$1 ON CONFLICT (i) DO UPDATE SET c = '$CVV', h = '$HOLDER' RETURNING ($columns).status",
		before => [ @x, 'ALTER TABLE x ADD UNIQUE (i)' ]);
	# What is bound stays in the log, and the same columns' old values are nobody's literals.
	$log = $checked->('all bound', '22012', "SELECT 1/0, (" . sprintf($bound, '$1::text::varchar(4)', '$1') . ").status");
	like($log, qr/STATEMENT:  SELECT 1\/0.*card_number => \$1/, 'a statement whose card is bound is shown');
	$log = $checked->('old values', 'PW400', "UPDATE x SET c = '$CVV', h = (" . sprintf($bound, 'x.c', 'NULL') . ').status', value => 'no number', before => \@x);
	like($log, qr/"field":"card_number","code":"invalid_format"/, 'are not taken for literals');
	$log = $checked->('a function with variables', '22012', "SELECT broken(\$1, '', \$1)");
	like($log, qr/CONTEXT:  SQL statement "SELECT pgw.process_payment\('broken', 1\/length\(cvv\), .*\n.*PL\/pgSQL function broken\(text,text,text\) line 3/, 'its CONTEXT stays');
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

# What only looks like a call, or stands where nobody can call pgw.
part($node, 'other names', sub {
	my $number = '4242 ' x 4;
	is(run_as('postgres', "DO \$\$ BEGIN PERFORM 'process_payments of $number'; END \$\$"), '', 'a longer word is another name');
	leaves_nothing('the word itself', 'PW400', 'postgres', "DO \$\$ BEGIN PERFORM 'process_payment of $CARD'; END \$\$");
	$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
	my $elsewhere = PgwSession->new($node, db => 'elsewhere');
	my $comment = "COMMENT ON DATABASE elsewhere IS 'process_payment of $number'";
	$elsewhere->run($comment);
	is($elsewhere->state, '00000', 'a database without pgw keeps what it likes') or diag($elsewhere->err);
	$elsewhere->query('CREATE EXTENSION pgw');
	$elsewhere->run($comment);
	is($elsewhere->state, 'PW400', 'until it has pgw');
});

# A prepared statement that has lost its tree.
part($node, 'EXECUTE after a failure', sub {
	$node->safe_psql('postgres', 'CREATE TABLE changing (x int); INSERT INTO changing VALUES (1); GRANT SELECT ON changing TO payer');
	my %prepared = (
		named => "card_number => \$1, card_expiry_month => \$4, card_expiry_year => 2039, card_cvv => trim(\$2), card_holder => \$3", placed => "NULL, \$1, \$4, 2039, trim(\$2), \$3");
	for my $how (sort keys %prepared)
	{
		my $payer = PgwWire->new($node, user => 'payer');
		$payer->simple("PREPARE p(text, text, text, int) AS SELECT p.status FROM changing, pgw.process_payment('lost $how', 100, 'EUR', $prepared{$how}) p WHERE changing.x = 1");
		is($payer->state, '00000', "$how: prepared");
		$node->safe_psql('postgres', 'ALTER TABLE changing RENAME x TO y');
		$payer->simple('EXECUTE p(NULL, NULL, NULL, NULL)');
		is($payer->state, '42703', "$how: it cannot be analyzed for a while");
		$node->safe_psql('postgres', 'ALTER TABLE changing RENAME y TO x');
		my $before = logs_size($node);
		$payer->simple("EXECUTE p('$CARD', '$CVV', '$HOLDER', 12)");
		is($payer->state, 'PW400', "$how: literals are refused") or diag($payer->err);
		is(join(',', $payer->err =~ /"field": "(\w+)"/g), 'card_number,card_cvv,card_holder', "$how: all three, and the month is none");
		is(join(' ', leaks(logs_since($node, $before))), '', "$how: nothing in the logs");
		$payer->simple(sprintf "EXECUTE p(%s, 12)", $spelt);
		is($payer->state, '00000', "$how: and what is none is taken") or diag($payer->err);
		$payer->quit;
	}
});

part($node, 'statistics', sub {
	my $s = PgwSession->new($node, name => 'refused');
	$s->run("SELECT $call");
	is($s->state, 'PW400', 'a session is refused, and stays');
	is(join(' ', leaks($node->safe_psql('postgres', "SELECT query FROM pg_stat_activity"))), '', 'its text is not to be seen in pg_stat_activity');
	run_as('payer', "DO \$\$ BEGIN PERFORM $call; EXCEPTION WHEN OTHERS THEN NULL; END \$\$");
	run_as('payer', "SELECT shown(\$\$SELECT $call\$\$)");
	my $all = $node->safe_psql('postgres', "SELECT query FROM pg_stat_statements");
	like($all, qr/SET application_name = 'refused'/, 'pg_stat_statements has seen the session');
	is(join(' ', leaks($all)), '', 'and no card');
});

part($node, 'bound', sub {
	# The same functions with variables: the charge is made, and errors show nothing.
	my $before = logs_size($node);
	is(run_as('payer', "SELECT bound($spelt, 'fine')"), "captured\n", 'variables in PL/pgSQL are fine');
	my $out = run_as('payer', "SELECT bound($spelt, 'late')", options => '-c statement_timeout=1s');
	like($out, qr/57014/, 'and with a time-out');
	is(join(' ', leaks($out . logs_since($node, $before))), '', 'nothing in the logs');
});

done_testing();
